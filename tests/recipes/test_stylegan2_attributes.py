"""StyleGAN2's generator as a decoder of attributes: it draws them, its mapping network learns the codes, runs go on."""
import json

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import checkpoints, config, images, trainer
from ppgan_apps.errors import ConfigError, WeightsError
from ppgan_apps.predictors.stylegan2 import StyleGAN2Predictor
from ppgan_apps.weights import read_metadata

TINY = {"style_dim": 16, "n_mlp": 2, "channel_max": 16, "ema_half_life_images": 200}
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Squares of 16 px, their sky light or dark and their ground of one of three colours, as attributes.jsonl says."""
    folder, rows = tmp_path_factory.mktemp("pictures"), []
    for index, (sky, ground) in enumerate((sky, ground) for sky in ("dark", "light") for ground in COLOURS):
        picture = np.full((16, 16, 3), 30 if sky == "dark" else 230, np.uint8)
        picture[8:] = COLOURS[ground]
        images.write_image(folder / f"{index}.png", picture)
        rows.append({"file": f"{index}.png", "sky": sky, "ground": ground, "place": "field"})
    (folder / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run_of(folder, output, steps, size=16, **numbers):
    return config.parse_run({"family": "stylegan2_attributes", "steps": steps, "batch_size": 4, "output": str(output),
                             "log_every": 1, "checkpoint_every": steps, "preview_every": steps,
                             "data": {"path": str(folder), "size": size}, "recipe": {**TINY, **numbers}})


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """(the recipe after 300 steps, its checkpoint)."""
    output = tmp_path_factory.mktemp("run")
    step = trainer.train(run_of(folder, output, 300))
    run = config.load_run(step / "config.yaml")
    run.data.open()
    recipe = config.recipe_class(run.family)(run)
    checkpoints.load_checkpoint(recipe, step)
    return recipe, step


def test_pictures_have_the_attributes_that_are_asked_for(trained):
    recipe, step = trained
    drawn = recipe.G_ema.synthesis(recipe.E(paddle.to_tensor(recipe.run.data.one_hot)), noise="off").numpy()
    shown = np.stack([images.to_array(images.read_image(file))[0] for file in recipe.run.data.files])
    distances = np.abs(drawn[:, None] - shown[None]).mean((2, 3, 4))               # [drawn, real]
    assert (distances.argmin(1) == np.arange(6)).all()
    assert distances.diagonal().mean() < 0.25 * distances.mean()
    log = [json.loads(line) for line in (step.parent.parent / "log.jsonl").read_text().splitlines()]
    assert log[-1]["squares"] < 0.1 * log[0]["squares"]


def test_the_mapping_network_learns_the_codes(trained):
    recipe, _ = trained
    codes = recipe.E(paddle.to_tensor(recipe.run.data.one_hot)).numpy()            # [6, style_dim]

    def near(generator):
        w = generator.mapping(paddle.randn([200, 16])).numpy()
        distances = ((w[:, None] - codes[None]) ** 2).mean(2)
        return distances.min(1).mean(), np.bincount(distances.argmin(1), minlength=6).min()
    paddle.seed(1)
    distance, rarest = near(recipe.G)
    assert distance < 0.5 and rarest > 0                       # of every kind some; two codes are 2 apart on average
    untrained = config.recipe_class(recipe.run.family)(recipe.run)
    assert near(untrained.G)[0] > 2 * distance


def test_its_generator_is_an_ordinary_stylegan2_with_the_mean_of_w(trained, tmp_path):
    recipe, step = trained
    about = read_metadata(step / "G_ema.safetensors")
    np.testing.assert_allclose(about["w_mean"], recipe.w_mean.numpy(), atol=1e-5)
    assert about["attributes"] == {"sky": ["dark", "light"], "ground": ["blue", "green", "red"]}
    StyleGAN2Predictor(output_path=str(tmp_path), weight_path=str(step), seed=1).run(n_row=1, n_col=2)
    assert images.read_image(tmp_path / "sample.png").shape == (16, 32, 3)


def test_a_larger_run_begins_with_the_smaller_ones_pictures(trained, folder, tmp_path):
    recipe, step = trained
    run = run_of(folder, tmp_path, 1, size=32, start=str(step))
    run.data.open()
    larger = config.recipe_class(run.family)(run)
    attributes = paddle.to_tensor(recipe.run.data.one_hot)
    one, other = (made.G.synthesis(made.E(attributes), noise="off").numpy() for made in (recipe, larger))
    assert other.shape == (6, 3, 32, 32)
    distances = np.abs(other.reshape(6, 1, 3, 16, 2, 16, 2).mean((4, 6)) - one).mean((2, 3, 4))
    assert distances.diagonal().max() < 0.1 * distances.mean()             # the doubled pictures are a little softer
    for layer, same in zip(larger.code_D.parameters(), recipe.code_D.parameters(), strict=True):
        np.testing.assert_array_equal(layer.numpy(), same.numpy())


def test_the_game_of_stylegan2_goes_on_from_it(trained, folder, tmp_path):
    _, step = trained
    run = config.parse_run({"family": "stylegan2", "steps": 2, "batch_size": 2, "output": str(tmp_path),
                            "data": {"path": str(folder), "size": 16},
                            "recipe": {**TINY, "noise": False, "start": str(step)}})
    assert trainer.train(run).is_dir()
    with pytest.raises(WeightsError, match="E.safetensors"):
        trainer.train(run_of(folder, tmp_path / "back", 1, start=str(tmp_path)))


def test_numbers_below_one_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="code_updates is 0"):
        run_of(folder, tmp_path, 1, code_updates=0)

"""StyleGAN2 on small data: augmentations reach all that D sees, p follows D, fine-tuning and frozen layers."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import checkpoints, config, images, trainer, zoo
from ppgan_apps.errors import ConfigError, WeightsError
from ppgan_apps.losses import logistic_discriminator, logistic_generator, r1_penalty
from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
from ppgan_apps.steps import ema, frozen, update
from ppgan_apps.weights import load_strict, read_metadata, read_weights, save_weights

ROOT = Path(__file__).parent.parent.parent
TINY = {"style_dim": 8, "n_mlp": 2, "channel_max": 8, "r1_every": 2, "path_every": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of 16 px."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for index in range(6):
        images.write_image(folder / f"{index}.png", random.integers(0, 256, (16, 16, 3), np.uint8))
    return folder


def run_of(folder, output, steps, **numbers):
    return config.parse_run({"family": "stylegan2", "steps": steps, "batch_size": 2, "output": str(output),
                             "log_every": 1, "checkpoint_every": 1, "keep_checkpoints": 99, "preview_every": 0,
                             "data": {"path": str(folder), "size": 16}, "recipe": {**TINY, **numbers}})


def log_of(output):
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (output / "log.jsonl").read_text().splitlines()]


# ---- augmentation
def plain_step(recipe, real, step):
    """A step of StyleGAN2 that knows of no augmentation."""
    with paddle.no_grad():
        fake = recipe.G.synthesis(recipe._latents(len(real)), noise="fresh")
    loss_d = logistic_discriminator(recipe.D(real), recipe.D(fake))
    update(recipe.opt_D, loss_d)
    if step % recipe.cfg.r1_every == 0:
        real.stop_gradient = False
        update(recipe.opt_D, r1_penalty(real, recipe.D(real)) * (recipe.cfg.r1_weight / 2 * recipe.cfg.r1_every))
    with frozen(recipe.D):
        latents = recipe._latents(len(real))
        loss_g = logistic_generator(recipe.D(recipe.G.synthesis(latents, noise="fresh", twice_differentiable=False)))
        update(recipe.opt_G, loss_g)
    if step % recipe.cfg.path_every == 0:
        recipe._regularise_generator({"real": real})
    ema(recipe.G_ema, recipe.G, recipe.cfg.ema_half_life_images, recipe.run.batch_size)
    return float(loss_d), float(loss_g)


def test_without_augmentation_every_bit_is_that_of_the_plain_step(build, batch, weights):
    recipe, plain = build("stylegan2", **TINY), build("stylegan2", **TINY)
    for step in range(3):
        paddle.seed(step)
        losses = recipe.train_step(batch(), step)
        paddle.seed(step)
        assert (float(losses["D"]), float(losses["G"])) == plain_step(plain, batch()["real"], step)
    for name in ("G", "G_ema", "D"):
        one, other = weights(getattr(recipe, name)), weights(getattr(plain, name))
        assert all((one[key] == other[key]).all() for key in one), name
    assert set(checkpoints.Parts.of(recipe).tensors) == {"path_mean", "w_mean"}   # older checkpoints still fit


def test_all_that_the_discriminator_sees_is_augmented(build, batch):
    recipe = build("stylegan2", **TINY, augment="diffaugment", diffaugment=["cutout"])
    seen = []
    recipe.D.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].numpy()))
    recipe.train_step(batch(), 0)
    assert len(seen) == 4                                      # real, generated, R1, G's own step
    for shown in seen:
        holes = (shown == 0).all(1).mean((1, 2))               # at least a quarter of a square of half the side
        assert (holes >= 1 / 16).all() and (holes <= 1 / 4).all()
    assert (seen[0] != seen[2]).any()                          # R1 draws its own


@pytest.mark.parametrize("verdict, ps", [
    (5, [0.2, 0.2, 0.2, 0.36, 0.36, 0.36, 0.36, 0.52, 0.52]), (-5, [0.2, 0.2, 0.2, 0.04, 0.04, 0.04, 0.04, 0, 0])])
def test_p_follows_the_signs_of_the_discriminator(verdict, ps, build, batch):
    recipe = build("stylegan2", **TINY, augment="ada", ada_images=100, lr=0)
    recipe.D.final_linear[1].bias.set_value(paddle.full([1], verdict))            # sure of what it sees
    recipe.ada_p.set_value(paddle.full([1], 0.2))
    logits = []
    recipe.D.register_forward_post_hook(lambda layer, inputs, output: logits.append(output.numpy()))
    logged, signs = [], []
    for step in range(9):
        logits.clear()
        losses = recipe.train_step(batch(), step)
        signs = [*([] if step % 4 == 0 else signs), np.sign(logits[0])]
        assert float(losses["r_t"]) == pytest.approx(np.mean(signs), abs=1e-6) == np.sign(verdict)
        logged.append(float(losses["p"]))
    np.testing.assert_allclose(logged, ps, atol=1e-6)


def test_ada_goes_on_after_a_restart_as_if_nothing_had_happened(folder, tmp_path):
    numbers = {"augment": "ada", "ada_target": -0.99, "ada_images": 20}
    trainer.train(run_of(folder, tmp_path / "whole", 10, **numbers))
    trainer.train(run_of(folder, tmp_path / "half", 6, **numbers))                # in the middle of an interval
    last = trainer.train(run_of(folder, tmp_path / "half", 10, **numbers), "auto")
    whole = checkpoints.checkpoint_folder(tmp_path / "whole", 10)
    assert log_of(tmp_path / "half") == log_of(tmp_path / "whole") and log_of(tmp_path / "half")[-1]["p"] > 0.7
    for file in whole.glob("*.safetensors"):
        one, other = read_weights(file), read_weights(last / file.name)
        assert one.keys() == other.keys() and all((one[key] == other[key]).all() for key in one), file.name


# ---- fine-tuning
@pytest.fixture(scope="module")
def checkpoint(folder, tmp_path_factory):
    """A checkpoint folder after three steps."""
    return trainer.train(run_of(folder, tmp_path_factory.mktemp("first"), 3))


def test_fine_tuning_starts_where_the_checkpoint_ended(folder, tmp_path, checkpoint, weights):
    recipe = config.recipe_class("stylegan2")(run_of(folder, tmp_path / "fine", 2, start=str(checkpoint)))
    for name, file in (("G", "G_ema"), ("G_ema", "G_ema"), ("D", "D")):
        own, stored = weights(getattr(recipe, name)), read_weights(checkpoint / f"{file}.safetensors")
        assert all((own[key] == stored[key]).all() for key in own), name
    state = read_weights(checkpoint / "state.safetensors")
    assert recipe.path_mean.item() == state["path_mean"].item() != 0
    np.testing.assert_allclose(recipe.w_mean.numpy(), state["w_mean"], atol=1e-6)


def test_a_checkpoint_for_smaller_pictures_grows(folder, tmp_path, checkpoint):
    run = run_of(folder, tmp_path / "grown", 2, start=str(checkpoint))
    run.data.size = 32
    recipe, small = config.recipe_class("stylegan2")(run), read_weights(checkpoint / "G_ema.safetensors")
    assert recipe.path_mean.item() == read_weights(checkpoint / "state.safetensors")["path_mean"].item() != 0
    z = paddle.randn([4, recipe.G.style_dim])
    with paddle.no_grad():
        large = recipe.G_ema([z], noise="stored").numpy()      # [4, 3, 32, 32]
        other = StyleGAN2Generator(**{**recipe.G.arguments, "size": 16})
        load_strict(other, small)
        halved = large.reshape(4, 3, 16, 2, 16, 2).mean((3, 5))
        assert np.corrcoef(halved.ravel(), other([z], noise="stored").numpy().ravel())[0, 1] > 0.95
    last = trainer.train(run)
    grown, before = (read_weights(step / "D.safetensors") for step in (last, checkpoint))
    assert "convs.3.conv1.0.weight" in grown and "convs.3.conv1.0.weight" not in before   # a block more


def test_old_layers_of_grown_networks_learn_at_their_own_rate(folder, tmp_path, checkpoint):
    run = run_of(folder, tmp_path / "grown", 2, start=str(checkpoint), old_lr=0)
    run.data.size = 32
    last, small = trainer.train(run), read_weights(checkpoint / "G_ema.safetensors")
    grown, critic = read_weights(last / "G.safetensors"), read_weights(last / "D.safetensors")
    assert all((grown[name] == small[name]).all() for name in small)
    assert grown["to_rgbs.2.conv.weight"].any()                # it began at 0
    before = read_weights(checkpoint / "D.safetensors")
    assert (critic["convs.2.conv1.0.weight"] == before["convs.1.conv1.0.weight"]).all()
    with pytest.raises(ConfigError, match="old_lr is -1"):
        run_of(folder, tmp_path / "grown", 2, start=str(checkpoint), old_lr=-1)


def test_frozen_layers_keep_every_bit_and_the_others_learn(folder, tmp_path, checkpoint):
    output = tmp_path / "fine"
    numbers = {"start": str(checkpoint), "freeze_d": 1}
    trainer.train(run_of(folder, output, 2, **numbers))
    last = trainer.train(run_of(folder, output, 4, **numbers), "auto")            # its optimizer has fewer entries
    before, after = (read_weights(step / "D.safetensors") for step in (checkpoint, last))
    kept = {name for name in before if (before[name] == after[name]).all()}
    assert kept == {name for name in before if name.startswith(("convs.0.", "convs.1."))}
    unbroken = trainer.train(run_of(folder, tmp_path / "whole", 4, **numbers))
    assert (read_weights(unbroken / "D.safetensors")["final_conv.0.weight"] == after["final_conv.0.weight"]).all()


@pytest.mark.parametrize("name", ["bare.safetensors", "published.pdparams"])
def test_weights_that_do_not_say_the_mean_of_w_have_it_measured(name, folder, tmp_path, checkpoint):
    bare, state = tmp_path / name, read_weights(checkpoint / "G.safetensors")
    if name.endswith(".pdparams"):
        paddle.save({key: paddle.to_tensor(value) for key, value in state.items()}, str(bare))
    else:
        save_weights(bare, state)
    recipe = config.recipe_class("stylegan2")(run_of(folder, tmp_path / "fine", 2, start=str(bare)))
    np.testing.assert_array_equal(recipe.w_mean.numpy(), recipe.G.mean_latent()[0].numpy())
    np.testing.assert_array_equal(recipe.G_ema.input.input.numpy(), state["input.input"])


def test_without_noise_the_strengths_of_given_weights_are_put_to_zero(folder, tmp_path, checkpoint):
    assert any(array.any() for name, array in read_weights(checkpoint / "G.safetensors").items()
               if name.endswith("noise.weight"))
    run = run_of(folder, tmp_path / "fine", 2, start=str(checkpoint), noise=False)
    recipe = config.recipe_class("stylegan2")(run)
    assert not any(value.numpy().any() for name, value in recipe.G_ema.state_dict().items()
                   if name.endswith("noise.weight"))


@pytest.mark.parametrize("start, numbers, part", [
    ("stylegan2/avatars", {}, "has size 128, style_dim 128, .* where the YAML has size 16, .*: set data.size=128 "),
    ("stylegan2/avatar", {}, "no weights called 'stylegan2/avatar': choose from stylegan2/avatars"),
    ("animeganv2-pastel.safetensors", {}, "holds another network"),
    ("nowhere/step_3", {}, "no weight file or folder nowhere"),
    ("{bare}", {"freeze_d": 1}, "there is no .*D.safetensors whose layers could be kept"),
])
def test_weights_that_cannot_be_started_from_are_one_sentence(start, numbers, part, folder, tmp_path, checkpoint):
    bare = save_weights(tmp_path / "bare.safetensors", read_weights(checkpoint / "G.safetensors"))
    pastel = zoo.get("animeganv2/pastel").path()
    start = str(pastel) if start == pastel.name else start.format(bare=bare)
    with pytest.raises(WeightsError, match=part) as error:
        config.recipe_class("stylegan2")(run_of(folder, tmp_path / "fine", 2, start=start, **numbers))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("numbers, part", [
    ({"freeze_d": 1}, "name its weights in start"), ({"ada_images": 0}, "ada_images is 0"),
    ({"ada_target": 1}, "ada_target is 1"), ({"augment": "adaptive"}, "should be one of off, diffaugment, ada"),
    ({"diffaugment": ["color"]}, "recipe.diffaugment"), ({"freeze_d": 3, "start": "{checkpoint}"}, "from 0 to 2"),
])
def test_settings_that_make_no_sense_are_refused(numbers, part, folder, tmp_path, checkpoint):
    numbers = {key: str(checkpoint) if value == "{checkpoint}" else value for key, value in numbers.items()}
    with pytest.raises(ConfigError, match=part):
        config.recipe_class("stylegan2")(run_of(folder, tmp_path / "fine", 2, **numbers))


def test_the_embedded_avatars_are_fine_tuned_by_the_command(folder, tmp_path):
    output = tmp_path / "fine"
    command = [sys.executable, str(ROOT / "tools" / "main.py"), "-c", str(ROOT / "configs" / "stylegan2_finetune.yaml"),
               "-o", f"data.path={folder}", f"output={output}", "steps=1", "batch_size=2", "recipe.lr=0",
               "recipe.ema_half_life_images=0"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PPGAN_APPS_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert "weights: stylegan2/avatars (licence: CC-BY-4.0" in done.stderr
    assert "D starts from scratch" in done.stderr
    published = zoo.get("stylegan2/avatars").path()
    result = checkpoints.checkpoint_folder(output, 1) / "G_ema.safetensors"
    stored, tuned = read_weights(published), read_weights(result)
    for name in stored:                                        # a rate of 0 leaves what was loaded
        np.testing.assert_array_equal(tuned[name], stored[name].astype("float32"), err_msg=name)
    np.testing.assert_allclose(read_metadata(result)["w_mean"], read_metadata(published)["w_mean"], atol=0.05)
    line, = log_of(output)
    assert {"r_t", "p"} <= line.keys() and all(np.isfinite(value) for value in line.values())

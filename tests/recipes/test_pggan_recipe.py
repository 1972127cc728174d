"""Progressive GAN's training: the schedule, the loss, who is trained when, what is delivered, and an exact resume."""
import numpy as np
import paddle
import pytest

from ppgan_apps import checkpoints, config
from ppgan_apps.errors import ConfigError, WeightsError
from ppgan_apps.progressive import Growth, Stage
from ppgan_apps.weights import read_metadata, read_weights

# With four pictures a step: step 0 at 4 px, two steps of fading in 8 px and one of 8 px, two of fading in 16 px.
GROWING = {"latent_dim": 8, "channel_max": 8, "stable_kimages": [0.004], "fade_kimages": [0.008]}


def test_the_papers_schedule():
    """Appendix A.1: 800k pictures at 4 px, then 800k of fading in and 800k of training for each doubling."""
    growth = Growth()
    for number, resolution in enumerate([8, 16, 32, 64, 128, 256, 512, 1024]):
        begin = 800_000 + number * 1_600_000
        assert growth.stage(begin - 1, 1024) == Stage(resolution // 2, 1.0)
        assert growth.stage(begin, 1024) == Stage(resolution, 0.0)
        assert growth.stage(begin + 200_000, 1024) == Stage(resolution, 0.25)
        assert growth.stage(begin + 800_000, 1024) == Stage(resolution, 1.0)
    assert growth.stage(0, 1024) == Stage(4, 1.0) and growth.stage(10**9, 1024) == Stage(1024, 1.0)
    assert growth.stage(10**9, 64) == Stage(64, 1.0)


def test_a_schedule_with_a_number_for_each_resolution():
    growth = Growth(8, (1.0, 2.0, 0.0), (0.0, 4.0))
    stages = {0: (8, 1), 999: (8, 1), 1000: (16, 1), 2999: (16, 1), 3000: (32, 0), 4000: (32, 0.25), 6000: (32, 0.75),
              7000: (64, 0), 9000: (64, 0.5), 11000: (64, 1)}
    assert {images: tuple(growth.stage(images, 64)) for images in stages} == stages


@pytest.mark.parametrize("numbers, part", [
    ({"start_size": 6}, "start_size is 6"), ({"fade_kimages": []}, "fade_kimages"),
    ({"stable_kimages": [-1]}, "stable_kimages"), ({"lr": []}, "recipe.lr"), ({"start_size": 32}, "data.size is 16")])
def test_what_does_not_fit_is_said(build, numbers, part):
    with pytest.raises(ConfigError, match=part):
        build("pggan", **numbers)


def test_a_size_that_cannot_grow_is_refused(build):
    for size in (4, 24, 2048):
        with pytest.raises(ConfigError, match=f"data.size is {size}"):
            build("pggan", {"size": size}, latent_dim=8, channel_max=8)


def test_a_run_goes_through_its_stages(build, batch):
    recipe = build("pggan", **GROWING)
    seen = [recipe.train_step(batch(), step) for step in range(7)]
    assert [(line["resolution"], line["alpha"]) for line in seen] == \
        [(4, 1), (8, 0), (8, 0.5), (8, 1), (16, 0), (16, 0.5), (16, 1)]
    assert all(np.isfinite(float(line[name])) for line in seen for name in ("D", "G", "penalty", "drift"))
    assert recipe.preview(batch())["fake"].shape == [16, 3, 16, 16]


def test_what_is_not_in_use_is_not_trained(build, batch, weights):
    recipe = build("pggan", **GROWING)
    before = {name: weights(getattr(recipe, name)) for name in ("G", "D")}
    recipe.train_step(batch(), 0)
    for name, used in {"G": ("blocks.0", "to_rgb.0"), "D": ("from_rgb.0", "last_")}.items():
        after = weights(getattr(recipe, name))
        changed = {key for key in after if (after[key] != before[name][key]).any()}
        assert changed == {key for key in after if key.startswith(used)}


def test_the_critics_loss_is_wgan_gps_and_the_drift(build, batch):
    recipe, real = build("pggan", **GROWING), paddle.nn.functional.avg_pool2d(batch()["real"], 4)
    fake = recipe.generate(4).detach()
    paddle.seed(3)
    loss, logged = recipe.discriminator_loss(real, fake)
    paddle.seed(3)
    share = paddle.rand([4, 1, 1, 1]).numpy()
    points = paddle.to_tensor(share * real.numpy() + (1 - share) * fake.numpy(), stop_gradient=False)
    gradient = paddle.grad(recipe.D(points).sum(), points)[0].numpy()
    penalty = ((np.sqrt((gradient ** 2).sum((1, 2, 3))) - 1) ** 2).mean()
    real_logits, fake_logits = recipe.D(real).numpy(), recipe.D(fake).numpy()
    expected = fake_logits.mean() - real_logits.mean() + 10 * penalty + 0.001 * (real_logits ** 2).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert float(logged["penalty"]) == pytest.approx(penalty, rel=1e-4)


def test_the_average_has_its_half_life_in_pictures(build, batch, weights):
    recipe = build("pggan", **GROWING, ema_half_life_images=4.0)
    start = weights(recipe.G)
    recipe.train_step(batch(), 0)
    network, average = weights(recipe.G), weights(recipe.G_ema)
    for name in start:
        np.testing.assert_allclose(average[name], (start[name] + network[name]) / 2, atol=1e-6)


def test_the_learning_rate_follows_the_resolution(build):
    recipe = build("pggan", **GROWING, lr=[0.001, 0.002])
    rates = {}
    for step in (4, 0, 1):
        recipe.grow(step)
        rates[step] = (recipe.opt_G.get_lr(), recipe.opt_D.get_lr())
    assert rates == {0: (0.001, 0.001), 1: (0.002, 0.002), 4: (0.002, 0.002)}


@pytest.mark.parametrize("saved_at", [1, 3, 5])
def test_a_run_resumed_at_any_stage_is_the_unbroken_one(build, batch, weights, tmp_path, saved_at):
    """Before a resolution's first step its optimizer entries do not exist; of what has faded out they stay."""
    whole = build("pggan", **GROWING)
    train(whole, batch, 0, 6, {saved_at: tmp_path / "early", 6: tmp_path / "whole"})
    resumed = build("pggan", **GROWING)
    checkpoints.load_checkpoint(resumed, checkpoints.checkpoint_folder(tmp_path / "early", saved_at))
    train(resumed, batch, saved_at, 6, {6: tmp_path / "resumed"})
    folders = [checkpoints.checkpoint_folder(tmp_path / name, 6) for name in ("whole", "resumed")]
    for name in ("G", "D", "G_ema", "G.optimizer", "D.optimizer"):
        name = {"G.optimizer": "opt_G.optimizer", "D.optimizer": "opt_D.optimizer"}.get(name, name)
        first, second = (read_weights(folder / f"{name}.safetensors") for folder in folders)
        assert first.keys() == second.keys()
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def train(recipe, batch, first, last, saves):
    for step in range(first, last):
        paddle.seed(step)
        recipe.train_step(batch(), step)
        if step + 1 in saves:
            run = config.dataclasses.replace(recipe.run, output=str(saves[step + 1]))
            checkpoints.save_checkpoint(recipe, run, step + 1)


def test_the_delivered_file_tells_its_stage(build, batch, tmp_path):
    recipe = build("pggan", **GROWING)
    train(recipe, batch, 0, 3, {1: tmp_path, 3: tmp_path})
    folder = checkpoints.checkpoint_folder(tmp_path, 3)
    metadata = read_metadata(folder / "G_ema.safetensors")
    assert (metadata["resolution"], metadata["alpha"]) == (8, 0.5)
    assert (metadata["network"]["resolution"], metadata["network"]["alpha"]) == (8, 0.5)
    early = read_weights(checkpoints.checkpoint_folder(tmp_path, 1) / "opt_G.optimizer.safetensors")
    late = read_weights(folder / "opt_G.optimizer.safetensors")
    assert early.keys() < late.keys() and not any(key.startswith("G.blocks.1") for key in early)


def test_an_optimizer_file_with_half_of_a_parameters_entries_is_refused(build, batch, tmp_path):
    recipe = build("pggan", **GROWING)
    train(recipe, batch, 0, 1, {1: tmp_path})
    folder = checkpoints.checkpoint_folder(tmp_path, 1)
    path = folder / "opt_G.optimizer.safetensors"
    state = read_weights(path)
    state = {key: value for key, value in state.items() if key != "G.to_rgb.0.bias/moment2_0"}
    path.unlink()
    checkpoints.save_weights(path, state, {})
    with pytest.raises(WeightsError, match="does not fit the optimizer"):
        checkpoints.load_checkpoint(build("pggan", **GROWING), folder)


def test_a_loaded_checkpoint_draws_at_the_stage_it_was_trained_to(build, batch, tmp_path):
    """As an evaluation does, which trains nothing: after four steps 8 px, after six 16 px half faded in."""
    recipe = build("pggan", **GROWING)
    train(recipe, batch, 0, 6, {4: tmp_path / "four", 6: tmp_path / "six"})
    for step, folder, stage in ((4, "four", (8, 1.0)), (6, "six", (16, 0.5))):
        loaded = build("pggan", **GROWING)
        checkpoints.load_checkpoint(loaded, checkpoints.checkpoint_folder(tmp_path / folder, step))
        assert (loaded.G_ema.resolution, loaded.G_ema.alpha) == stage
    paddle.seed(1)
    expected = recipe.sample(2).numpy()
    paddle.seed(1)
    assert np.array_equal(loaded.sample(2).numpy(), expected)

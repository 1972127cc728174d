"""StyleGAN's training: both losses against numpy, style mixing, the mean of w, what is delivered."""
import numpy as np
import paddle
import pytest

from ppgan_apps import checkpoints, config
from ppgan_apps.weights import read_metadata

SMALL = {"style_dim": 8, "n_mlp": 2, "channel_max": 8, "start_size": 4, "stable_kimages": [0.004],
         "fade_kimages": [0.008]}


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_defaults_are_those_for_ffhq():
    cfg = config.recipe_class("stylegan").Config()
    assert (cfg.start_size, cfg.loss, cfg.r1_weight, cfg.mixing, cfg.n_mlp) == (8, "logistic_r1", 10, 0.9, 8)
    rates = {resolution: cfg.lr[min(number, len(cfg.lr) - 1)] for number, resolution in
             enumerate([8, 16, 32, 64, 128, 256, 512, 1024])}
    assert rates == {8: 0.001, 16: 0.001, 32: 0.001, 64: 0.001, 128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}


def test_a_run_goes_through_its_stages(build, batch):
    recipe = build("stylegan", **SMALL)
    seen = [recipe.train_step(batch(), step) for step in range(7)]
    assert [(line["resolution"], line["alpha"]) for line in seen] == \
        [(4, 1), (8, 0), (8, 0.5), (8, 1), (16, 0), (16, 0.5), (16, 1)]
    assert all(np.isfinite(float(line[name])) for line in seen for name in ("D", "G", "r1"))
    assert recipe.preview(batch())["fake"].shape == [16, 3, 16, 16]


def test_the_logistic_loss_has_half_of_gamma_times_r1(build, batch):
    recipe = build("stylegan", **SMALL, r1_weight=6)
    recipe.grow(5)
    real = batch()["real"]
    fake = recipe.generate(4).detach()
    loss, logged = recipe.discriminator_loss(real, fake)
    points = real.detach()
    points.stop_gradient = False
    gradient = paddle.grad(recipe.D(points).sum(), points)[0].numpy()
    penalty = (gradient ** 2).sum((1, 2, 3)).mean()
    adversarial = softplus(-recipe.D(real).numpy()).mean() + softplus(recipe.D(fake).numpy()).mean()
    assert float(logged["r1"]) == pytest.approx(penalty, rel=1e-4)
    assert float(loss) == pytest.approx(adversarial + 3 * penalty, rel=1e-4)
    logits = recipe.D(fake)
    assert float(recipe.generator_loss(logits)) == pytest.approx(softplus(-logits.numpy()).mean(), rel=1e-5)


def test_wgan_gp_is_the_other_loss(build, batch):
    recipe = build("stylegan", **SMALL, loss="wgan_gp")
    losses = recipe.train_step(batch(), 5)
    assert {"penalty", "drift"} < losses.keys() and "r1" not in losses
    logits = paddle.to_tensor([[1.0], [3.0]])
    assert float(recipe.generator_loss(logits)) == -2


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_styles_are_mixed_with_the_given_probability(build, mixing):
    recipe = build("stylegan", **SMALL, mixing=mixing)
    recipe.grow(5)
    seen, cuts = [], set()
    synthesis = recipe.G.synthesis
    recipe.G.synthesis = lambda w, noise=None: (seen.append(w.numpy()), synthesis(w, noise))[1]
    for _ in range(30):
        recipe.generate(2)
    for w in seen:
        if mixing == 0:
            assert w.shape == (2, 8)                           # one style for all layers
            continue
        changes = [layer for layer in range(1, 6) if (w[:, layer] != w[:, layer - 1]).any()]
        assert len(changes) == 1
        cuts.update(changes)
    assert cuts == (set() if mixing == 0 else {1, 2, 3, 4, 5})


def test_the_mean_of_w_follows_the_latents(build):
    recipe = build("stylegan", **SMALL, mixing=0.0, w_decay=0.5)
    drawn = []
    mapping = recipe.G.mapping.forward
    recipe.G.mapping.forward = lambda z: (drawn.append(mapping(z)), drawn[-1])[1]
    expected = np.zeros(8)
    for _ in range(3):
        recipe.follow_w(4)
        expected = (expected + drawn[-1].numpy().mean(0)) / 2
    np.testing.assert_allclose(recipe.w_mean.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_without_noise_a_latent_makes_one_picture(build):
    recipe = build("stylegan", **SMALL, noise=False)
    assert not [name for name, _ in recipe.G.named_parameters() if "noise" in name]


def test_the_delivered_file_tells_its_stage_and_the_mean_of_w(build, batch, tmp_path):
    recipe = build("stylegan", **SMALL)
    for step in range(3):
        recipe.train_step(batch(), step)
    run = config.dataclasses.replace(recipe.run, output=str(tmp_path))
    metadata = read_metadata(checkpoints.save_checkpoint(recipe, run, 3) / "G_ema.safetensors")
    assert (metadata["resolution"], metadata["alpha"]) == (8, 0.5)
    assert metadata["network"]["resolution"] == 8 and metadata["network"]["style_dim"] == 8
    np.testing.assert_allclose(metadata["w_mean"], recipe.w_mean.numpy(), atol=1e-6)

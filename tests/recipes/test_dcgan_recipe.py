"""DCGAN: latents, the two pairs of networks, their losses, and a toy data set that it learns."""
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppgan_apps import config, losses
from ppgan_apps.errors import ConfigError
from ppgan_apps.networks.dcgan import AvatarDiscriminator, AvatarGenerator

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def test_the_avatar_yaml_is_the_network_described():
    """z of 72 numbers in [0, 1), momentum 0.5, dropout 0.4, softmax head, Adam with beta1 0.8 and 2e-4, batch 100."""
    run = config.load_run(CONFIGS / "dcgan_avatars.yaml", ["recipe.width=2"])
    recipe = config.recipe_class("dcgan")(run)
    assert isinstance(recipe.G, AvatarGenerator) and isinstance(recipe.D, AvatarDiscriminator)
    z = recipe.latents(500).numpy()
    assert z.shape == (500, 72) and 0 <= z.min() < 0.01 and 0.99 < z.max() < 1
    assert recipe.G.arguments["momentum"] == recipe.D.arguments["momentum"] == 0.5
    assert recipe.D.arguments["dropout"] == 0.4 and recipe.D.arguments["outputs"] == 2
    assert recipe.opt_G.get_lr() == recipe.opt_D.get_lr() == 2e-4 and recipe.opt_D._beta1 == 0.8
    assert run.batch_size == 100 and run.data.size == 96


def test_the_mnist_yaml_is_the_network_of_the_tutorials():
    run = config.load_run(CONFIGS / "dcgan_mnist.yaml")
    recipe = config.recipe_class("dcgan")(run)
    z = recipe.latents(500).numpy()
    assert z.shape == (500, 100) and z.std() == pytest.approx(1, rel=0.02) and abs(z.mean()) < 0.02
    assert recipe.G(recipe.latents(1)).shape == [1, 1, 32, 32]
    assert recipe.opt_G.get_lr() == 2e-4 and recipe.opt_G._beta1 == 0.5


def test_the_loss_follows_the_head(build):
    recipe = build("dcgan", width=2)
    one, two = paddle.randn([4, 1]), paddle.randn([4, 2])
    assert float(recipe.discriminator_loss(one, -one)) == float(losses.logistic_discriminator(one, -one))
    assert float(recipe.discriminator_loss(two, -two)) == float(losses.softmax_discriminator(two, -two))
    assert float(recipe.generator_loss(one)) == float(losses.logistic_generator(one))
    assert float(recipe.generator_loss(two)) == float(losses.softmax_generator(two))


def test_real_pictures_get_the_second_class(build, batch):
    """After some steps on one batch, softmax says real of the real ones."""
    data = batch(96)
    recipe = build("dcgan", {"size": 96}, network="avatar", latent_dim=72, width=2, lr=2e-3)
    for _ in range(6):
        recipe.train_discriminator(data)
    recipe.D.eval()
    logits = recipe.D(data["real"]).numpy()
    fake = recipe.D(recipe.generate(data)).numpy()
    assert (logits[:, 1] - logits[:, 0]).mean() > (fake[:, 1] - fake[:, 0]).mean()


def test_it_learns_the_brightness_of_its_data(build):
    """Pictures that are all 0.6 bright: samples start at 0 and get near."""
    recipe = build("dcgan", {"size": 8, "channels": 1}, width=8, latent_dim=8, lr=2e-3)
    real = 0.6 + 0.1 * np.random.default_rng(0).standard_normal((16, 1, 8, 8)).astype("float32")
    data = {"real": paddle.to_tensor(real)}
    assert abs(float(recipe.generate(data).mean())) < 0.1
    for step in range(80):
        recipe.train_step(data, step)
    assert float(recipe.generate(data).mean()) == pytest.approx(0.6, abs=0.25)


@pytest.mark.parametrize("data, numbers", [({"size": 20}, {}), ({"size": 64}, {"network": "avatar", "latent_dim": 72}),
                                           ({"size": 96}, {"network": "avatar"})])
def test_sizes_that_do_not_fit_are_one_sentence(build, data, numbers):
    with pytest.raises(ConfigError, match="data.size is"):
        build("dcgan", data, **numbers)


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_d_sees_noise_that_falls_in_a_line_to_nothing(build, batch, family):
    data = batch(8)
    recipe = build(family, {"size": 8}, width=2, latent_dim=4, instance_noise=0.4) if family == "dcgan" else \
        build_with_labels(instance_noise=0.4)
    for step, deviation in ((0, 0.4), (50, 0.2)):              # of 100 steps
        recipe.train_step(data, step)
        assert recipe.noise == pytest.approx(deviation)
        assert float(recipe.shown(paddle.zeros([8, 3, 32, 32])).std()) == pytest.approx(deviation, rel=0.05)
    recipe.D.eval()
    told = (data["label"],) if family == "cgan" else ()
    paddle.seed(7)
    noisy = data["real"] + 0.2 * paddle.randn(data["real"].shape)
    paddle.seed(7)
    assert np.allclose(recipe.judge(data["real"], data).numpy(), recipe.D(noisy, *told).numpy(), atol=1e-6)


def build_with_labels(**numbers):
    """A cgan of two labels without a folder of pictures."""
    run = config.parse_run({"family": "cgan", "steps": 100, "batch_size": 4, "data": {"path": "none", "size": 8},
                            "recipe": {"width": 2, "latent_dim": 4, **numbers}})
    run.data.classes = ("short", "long")
    return config.recipe_class("cgan")(run)


def test_without_instance_noise_d_sees_the_bits(build, batch):
    recipe, pictures = build("dcgan", width=2), batch()["real"]
    assert recipe.shown(pictures) is pictures
    with pytest.raises(ConfigError, match="instance_noise is -1"):
        build("dcgan", instance_noise=-1)


def test_noise_can_end_above_nothing(build, batch):
    data = batch(8)
    recipe = build("dcgan", {"size": 8}, width=2, latent_dim=4, instance_noise=0.4, instance_noise_end=0.1)
    for step, deviation in ((0, 0.4), (50, 0.25), (100, 0.1)):         # of 100 steps
        recipe.train_step(data, step)
        assert recipe.noise == pytest.approx(deviation)


def test_d_sees_augmented_pictures_and_their_gradient_reaches_g(build, batch):
    recipe, data = build("dcgan", width=2, latent_dim=4, diffaugment=["translation"]), batch()
    ones = paddle.ones([64, 3, 16, 16])
    seen = recipe.shown(ones)
    bordered = (seen.numpy() == 0).any((1, 2, 3)).mean()       # 24 of 25 shifts by up to 2 pixels bring zeros in
    assert 0.8 < bordered < 1 and set(np.unique(seen.numpy())) == {0.0, 1.0}
    before = recipe.G.layers[0].weight.numpy().copy()
    recipe.train_generator(data)
    assert not np.array_equal(recipe.G.layers[0].weight.numpy(), before)


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_the_averaged_generator_is_delivered_and_lags_behind(build, batch, family, weights):
    """With a half-life of one step's pictures the average goes half of the way."""
    data, numbers = batch(8), {"ema_half_life_images": 4}      # 4 pictures a step
    recipe = build("dcgan", {"size": 8}, width=2, latent_dim=4, **numbers) if family == "dcgan" else \
        build_with_labels(**numbers)
    start = weights(recipe.G_ema)
    assert recipe.deliver == "G_ema" and recipe.delivered is recipe.G_ema
    assert all(np.array_equal(value, start[name]) for name, value in weights(recipe.G).items())
    recipe.train_step(data, 0)
    moved, average = weights(recipe.G), weights(recipe.G_ema)
    trained = [name for name in moved if not name.endswith(("_mean", "_variance"))]
    assert len(trained) < len(moved)
    for name in trained:
        assert np.allclose(average[name], (start[name] + moved[name]) / 2, atol=1e-6), name
    assert not recipe.G_ema.training
    recipe.run.data.classes = ("short", "long")
    assert all(tuple(shown.shape[1:]) == (3, 8, 8) for shown in recipe.preview(data).values())


def test_the_averages_norms_know_what_it_draws_itself(build, batch):
    """G's weights, made twice as large after the average was taken, would otherwise give the average their moments."""
    recipe, data = build("dcgan", {"size": 8}, width=2, latent_dim=4, ema_half_life_images=1e9), batch(8)
    with paddle.no_grad():
        recipe.G.layers[0].weight.set_value(recipe.G.layers[0].weight * 2)
        for _ in range(120):                                   # the statistics begin at 0 and 1
            recipe.average({"real": data["real"].tile([64, 1, 1, 1])})
        z = recipe.latents(512)
        first = recipe.G_ema.layers[0](z.unsqueeze([2, 3]))
    np.testing.assert_allclose(recipe.G_ema.layers[1]._variance.numpy(), first.numpy().var((0, 2, 3)), rtol=0.15)


def test_without_an_average_g_is_delivered(build):
    recipe = build("dcgan", width=2)
    assert recipe.deliver == "G" and not hasattr(recipe, "G_ema")

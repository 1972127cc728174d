"""CartoonGAN: networks, losses against numpy, warm-up, and its data in colour."""
import numpy as np
import pytest

from ppgan_apps import config, images
from ppgan_apps.data import CartoonImages

# isort: split
import paddle

from ppgan_apps.networks.cartoongan import CartoonGANDiscriminator, CartoonGANGenerator

SIZE = 32


def recipe_of(**recipe):
    small = {"ngf": 4, "n_blocks": 1, "ndf": 4, "vgg_weights": "random", "features": "conv2_2", "warmup_steps": 0}
    run = config.parse_run({"family": "cartoongan", "steps": 8, "batch_size": 1, "recipe": {**small, **recipe},
                            "data": {"photo": "a", "style": "b", "smooth": "c", "size": SIZE}})
    with paddle.utils.unique_name.guard():
        paddle.seed(0)
        return config.recipe_class("cartoongan")(run)


def batch_of():
    random = np.random.default_rng(0)
    return {name: paddle.to_tensor(random.uniform(-1, 1, (1, 3, SIZE, SIZE)).astype("float32"))
            for name in ("photo", "cartoon", "smooth")}


def cross_entropy(logits, target):
    probability = 1 / (1 + np.exp(-logits))
    return -np.log(probability if target else 1 - probability).mean()


def test_networks_have_the_papers_layers():
    generator, discriminator = CartoonGANGenerator(), CartoonGANDiscriminator()
    kernels = [entry.shape for name, entry in generator.named_parameters() if len(entry.shape) == 4]
    residual = [[256, 256, 3, 3]] * 16                         # figure 2: flat, two down, eight residual, two up, last
    assert kernels == [[64, 3, 7, 7], [128, 64, 3, 3], [128, 128, 3, 3], [256, 128, 3, 3], [256, 256, 3, 3], *residual,
                       [256, 128, 3, 3], [128, 128, 3, 3], [128, 64, 3, 3], [64, 64, 3, 3], [3, 64, 7, 7]]
    kernels = [entry.shape for entry in discriminator.parameters() if len(entry.shape) == 4]
    assert kernels == [[32, 3, 3, 3], [64, 32, 3, 3], [128, 64, 3, 3], [128, 128, 3, 3], [256, 128, 3, 3],
                       [256, 256, 3, 3], [1, 256, 3, 3]]
    assert sum(entry.size for entry in generator.parameters()) == 11_129_667


def test_networks_keep_their_promises_about_sizes():
    x = paddle.uniform([2, 3, 16, 24], min=-1)
    picture = CartoonGANGenerator(ngf=4, n_blocks=2)(x)
    assert picture.shape == [2, 3, 16, 24] and float(picture.abs().max()) <= 1
    assert CartoonGANDiscriminator(ndf=4)(x).shape == [2, 1, 4, 6]
    assert CartoonGANGenerator(4, 2).arguments == {"ngf": 4, "n_blocks": 2}


def test_losses_against_numpy():
    recipe, batch = recipe_of(smooth_term=0.5), batch_of()
    with paddle.no_grad():
        fake = recipe.netG(batch["photo"])
        real, smooth, made = (recipe.netD(x).numpy() for x in (batch["cartoon"], batch["smooth"], fake))
        content = 10 * np.abs(recipe._features(batch["photo"]).numpy() - recipe._features(fake).numpy()).mean()
    losses = recipe.train_step(batch, 0)
    expected = cross_entropy(real, 1) + 0.5 * cross_entropy(smooth, 0) + cross_entropy(made, 0)
    assert float(losses["D"]) == pytest.approx(expected, rel=1e-4)
    assert float(losses["content"]) == pytest.approx(content, rel=1e-4)


def test_warm_up_leaves_the_discriminator_alone():
    recipe, batch = recipe_of(warmup_steps=1), batch_of()
    before = [entry.numpy().copy() for entry in recipe.netD.parameters()]
    assert set(recipe.train_step(batch, 0)) == {"content"}
    assert all(np.array_equal(entry.numpy(), old) for entry, old in zip(recipe.netD.parameters(), before))
    assert set(recipe.train_step(batch, 1)) == {"D", "adversarial", "content"}


def test_cartoons_and_smoothed_ones_keep_their_colour(tmp_path):
    colours = {"photo": (10, 20, 30), "style": (200, 100, 50), "smooth": (100, 150, 200)}
    for name, colour in colours.items():
        images.write_image(tmp_path / name / "one.png", np.full((40, 48, 3), colour, np.uint8))
    data = CartoonImages(*(str(tmp_path / name) for name in colours), size=16).open()
    sample = data.sample(0, np.random.default_rng(0))
    for key, name in (("photo", "photo"), ("cartoon", "style"), ("smooth", "smooth")):
        assert sample[key].shape == (3, 16, 16)
        np.testing.assert_allclose(sample[key][:, 0, 0], np.array(colours[name]) / 127.5 - 1, atol=1e-6)

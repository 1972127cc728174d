"""LSGAN: DCGAN's networks, squared distances on outputs that no sigmoid has touched."""
import numpy as np
import paddle
import pytest


def test_both_losses_are_the_papers(build, batch):
    recipe, data = build("lsgan", width=2), batch()
    real, fake = recipe.judge(data["real"], data), recipe.judge(recipe.generate(data), data)
    expected = ((real.numpy() - 1) ** 2).mean() + (fake.numpy() ** 2).mean()
    assert float(recipe.discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(recipe.generator_loss(fake)) == pytest.approx(((fake.numpy() - 1) ** 2).mean(), rel=1e-5)


def test_the_networks_are_those_of_dcgan(build):
    one, other = build("lsgan", width=2), build("dcgan", width=2)
    for name in ("G", "D"):
        assert getattr(one, name).arguments == getattr(other, name).arguments
    avatar = build("lsgan", {"size": 96}, network="avatar", latent_dim=72, width=2)
    assert avatar.D(paddle.zeros([2, 3, 96, 96])).shape == [2, 1]


def test_outputs_are_pulled_to_one_and_zero(build, batch):
    recipe, data = build("lsgan", width=4, lr=2e-3), batch()
    first = float(recipe.train_discriminator(data)["D"])
    for _ in range(30):
        last = float(recipe.train_discriminator(data)["D"])
    assert last < 0.2 * first
    assert np.abs(recipe.D(data["real"]).numpy() - 1).mean() < 0.4

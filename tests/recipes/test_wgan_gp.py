"""WGAN-GP: the penalty through the real critic, where it is taken, and a critic that sees each picture by itself."""
import numpy as np
import paddle
import pytest

from ppgan_apps import losses
from tests.networks.test_derivatives import assert_gradient_matches


@pytest.mark.parametrize("data, numbers", [
    ({"size": 16}, {"width": 4}), ({"size": 96}, {"network": "avatar", "latent_dim": 72, "width": 1})])
def test_the_penalty_has_the_right_gradient_through_the_critic(build, data, numbers):
    recipe = build("wgan_gp", data, **numbers)
    recipe.D.to(dtype="float64")
    for parameter in recipe.D.parameters():                    # gradients near 1, as after training
        parameter.set_value(parameter * 4)
    pictures = paddle.uniform([3, 3, data["size"], data["size"]], dtype="float64", min=-1)

    def penalty(create_graph):
        points = pictures.detach()
        points.stop_gradient = False
        return losses.gradient_penalty(points, recipe.D(points))
    assert float(penalty(True)) > 1e-3
    assert_gradient_matches(recipe.D, penalty)


def test_the_penalty_is_taken_on_lines_from_real_to_generated(build, batch, monkeypatch):
    recipe, data = build("wgan_gp", width=2), batch()
    seen = []
    judge = recipe.judge
    monkeypatch.setattr(recipe, "judge", lambda images, batch: (seen.append(images), judge(images, batch))[1])
    fake = recipe.generate(data).detach()
    recipe.penalty(data["real"], fake, data)
    points, real, fake = seen[0].numpy(), data["real"].numpy(), fake.numpy()
    shares = ((points - fake) * (real - fake)).sum((1, 2, 3)) / ((real - fake) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(points, fake + shares[:, None, None, None] * (real - fake), atol=1e-5)
    assert (shares > 0).all() and (shares < 1).all() and len(set(shares.round(4))) == 4


def test_the_critic_judges_a_picture_whatever_its_batch(build, batch):
    recipe, data = build("wgan_gp", width=2), batch()
    together, alone = recipe.D(data["real"]).numpy(), recipe.D(data["real"][:1]).numpy()
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-9)
    assert not [layer for layer in recipe.D.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]


def test_training_brings_the_critics_slope_near_one_without_clipping(build, batch):
    recipe, data = build("wgan_gp", width=4, lr=2e-3), batch()
    penalties = [float(recipe.train_discriminator(data)["penalty"]) for _ in range(40)]
    assert penalties[0] > 0.8 and penalties[-1] < 0.2          # |grad| begins near 0
    assert max(float(parameter.abs().max()) for parameter in recipe.D.parameters()) > 0.01

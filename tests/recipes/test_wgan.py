"""WGAN: clipped weights, no sigmoid, RMSProp, the critic ahead of the generator."""
import numpy as np
import paddle
import pytest

from ppgan_apps.errors import ConfigError


def test_the_critics_weights_stay_within_the_clip_and_the_generators_do_not(build, batch):
    recipe, data = build("wgan", width=4, lr=5e-3, critic_steps=2), batch()
    for step in range(4):
        recipe.train_step(data, step)
        trained = [parameter for parameter in recipe.D.parameters() if not parameter.stop_gradient]
        assert max(float(parameter.abs().max()) for parameter in trained) == pytest.approx(0.01)   # some lie at it
        assert float(recipe.D.features[3]._variance.min()) > 0.1   # statistics are no weights
    assert max(float(parameter.abs().max()) for parameter in recipe.G.parameters()) > 0.02


def test_the_generator_moves_at_every_nth_step_only(build, batch, weights):
    recipe, data = build("wgan", width=2, critic_steps=3), batch()
    for step in range(6):
        before = weights(recipe.G)
        logged = recipe.train_step(data, step)
        moved = any(np.any(before[key] != value) for key, value in weights(recipe.G).items() if key.endswith("weight"))
        assert moved == ("G" in logged) == (step in (2, 5))
    with pytest.raises(ConfigError, match="critic_steps is 0"):
        build("wgan", critic_steps=0)


def test_the_critic_is_linear_in_its_last_layer_and_its_loss_in_the_critic(build, batch):
    recipe, data = build("wgan", width=2), batch()
    recipe.D.eval()
    logits = recipe.judge(data["real"], data)
    recipe.D.head.weight.set_value(recipe.D.head.weight * 1000)
    larger = recipe.judge(data["real"], data)
    np.testing.assert_allclose(larger.numpy(), 1000 * logits.numpy(), rtol=1e-4)     # a sigmoid would end at 1
    real, fake = paddle.to_tensor([[3.0], [1.0]]), paddle.to_tensor([[0.5], [-1.5]])
    assert float(recipe.discriminator_loss(real, fake)) == -2.5
    assert float(recipe.generator_loss(fake)) == 0.5


def test_the_first_step_is_that_of_rmsprop(build, batch):
    """lr * g / sqrt(0.01 g^2 + epsilon), which is 10 lr wherever the gradient is large."""
    recipe, data = build("wgan", width=2, lr=1e-4, clip=10.0), batch()
    before = recipe.D.head.weight.numpy().copy()
    loss = recipe.discriminator_loss(recipe.judge(data["real"], data), recipe.judge(recipe.generate(data), data))
    loss.backward()
    gradient = recipe.D.head.weight.grad.numpy().copy()
    recipe.opt_D.step()
    expected = 1e-4 * gradient / np.sqrt(0.01 * gradient**2 + 1e-8)
    np.testing.assert_allclose(before - recipe.D.head.weight.numpy(), expected, rtol=1e-3, atol=1e-7)

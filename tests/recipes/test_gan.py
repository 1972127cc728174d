"""The first GAN: who is updated when, from which latents, by which step."""
import numpy as np
import pytest

SMALL = {"g_width": 8, "d_width": 4}
DATA = {"size": 28, "channels": 1}


def test_latents_are_uniform_from_minus_one_to_one(build):
    z = build("gan", DATA, **SMALL).latents(500).numpy()
    assert z.shape == (500, 100) and z.min() < -0.99 and z.max() > 0.99
    assert z.std() == pytest.approx(1 / np.sqrt(3), rel=0.02) and abs(z.mean()) < 0.01


def test_each_half_of_a_step_moves_its_own_network_only(build, batch, weights):
    recipe, data = build("gan", DATA, **SMALL), batch(28, 1)
    generator, discriminator = weights(recipe.G), weights(recipe.D)
    recipe.train_discriminator(data)
    assert all(np.array_equal(generator[key], value) for key, value in weights(recipe.G).items())
    assert all(np.any(discriminator[key] != value) for key, value in weights(recipe.D).items() if "weight" in key)
    discriminator = weights(recipe.D)
    recipe.train_generator(data)
    assert all(np.array_equal(discriminator[key], value) for key, value in weights(recipe.D).items())
    assert all(np.any(generator[key] != value) for key, value in weights(recipe.G).items() if "weight" in key)


def test_the_gradient_is_that_of_equation_one(build, batch):
    """Against differences of the loss of eq. 1, in double precision and without dropout."""
    recipe, data = build("gan", DATA, dropout=0.0, input_dropout=0.0, **SMALL), batch(28, 1)
    recipe.D.to(dtype="float64")
    real, fake = data["real"].astype("float64"), recipe.generate(data).detach().astype("float64")

    def loss():
        real_p, fake_p = (1 / (1 + np.exp(-recipe.D(images).numpy())) for images in (real, fake))
        return -np.log(real_p).mean() - np.log(1 - fake_p).mean()
    bias = recipe.D.head.bias
    start = bias.numpy().copy()
    values = []
    for sign in (1, -1):
        bias.set_value(start + sign * 1e-6)
        values.append(loss())
    bias.set_value(start)
    objective = recipe.discriminator_loss(recipe.D(real), recipe.D(fake))
    assert float(objective) == pytest.approx(loss())
    objective.backward()
    assert bias.grad.item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_long_columns_of_the_discriminator_are_shortened(build, batch):
    recipe, data = build("gan", DATA, **SMALL), batch(28, 1)
    weight = recipe.D.hidden[0].weight
    weight.set_value(weight * 40)
    before = weight.numpy()
    lengths = np.linalg.norm(before, axis=0)
    assert lengths.min() > 1.9365
    recipe.constrain()
    np.testing.assert_allclose(weight.numpy(), before * 1.9365 / lengths, rtol=1e-5)
    recipe.train_discriminator(data)
    assert np.linalg.norm(weight.numpy(), axis=0).max() < 1.93651


def test_a_preview_is_a_square_of_samples(build):
    assert build("gan", DATA, **SMALL).preview({})["fake"].shape == [64, 1, 28, 28]

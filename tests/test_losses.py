"""Losses and penalties against numpy and closed forms."""
import numpy as np
import paddle
import pytest

from ppgan_apps import losses, perceptual

RANDOM = np.random.default_rng(0)
tensor = paddle.to_tensor


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_logistic_losses_are_the_cross_entropy_of_the_paper():
    real, fake = RANDOM.normal(size=(5, 1)), RANDOM.normal(size=(5, 1))
    expected = -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
    assert float(losses.logistic_discriminator(tensor(real), tensor(fake))) == pytest.approx(expected)
    assert float(losses.logistic_generator(tensor(fake))) == pytest.approx(-np.log(sigmoid(fake)).mean())
    assert float(losses.binary_cross_entropy(tensor(fake), 0.0)) == pytest.approx(-np.log(1 - sigmoid(fake)).mean())


def test_least_squares_losses():
    real, fake = RANDOM.normal(size=(3, 1, 4, 4)), RANDOM.normal(size=(3, 1, 4, 4))
    expected = ((real - 1) ** 2).mean() + (fake**2).mean()
    assert float(losses.least_squares_discriminator(tensor(real), tensor(fake))) == pytest.approx(expected)
    assert float(losses.least_squares_generator(tensor(fake))) == pytest.approx(((fake - 1) ** 2).mean())


def test_r1_of_a_linear_discriminator_is_the_squared_norm_of_its_weights():
    weights = tensor(RANDOM.normal(size=(3 * 4 * 4, 1)), stop_gradient=False)
    images = tensor(RANDOM.normal(size=(2, 3, 4, 4)), stop_gradient=False)
    penalty = losses.r1_penalty(images, paddle.matmul(images.reshape([2, -1]), weights))
    assert float(penalty) == pytest.approx(float((weights.numpy() ** 2).sum()))
    penalty.backward()                                         # d|w|^2 / dw = 2 w
    np.testing.assert_allclose(weights.grad.numpy(), 2 * weights.numpy(), rtol=1e-10)


def test_path_length_of_a_linear_generator_is_the_norm_of_the_projected_noise():
    matrix = RANDOM.normal(size=(6, 3 * 4 * 4))                # w of 6 numbers in each of 2 layers, summed
    latents = tensor(RANDOM.normal(size=(2, 2, 6)), stop_gradient=False)
    noise = RANDOM.normal(size=(2, 3, 4, 4))
    images = paddle.matmul(latents.sum(1), tensor(matrix)).reshape([2, 3, 4, 4])
    lengths = losses.path_lengths(images, latents, tensor(noise)).numpy()
    expected = np.linalg.norm(noise.reshape(2, -1) @ matrix.T / 4, axis=1)     # sqrt(H W) = 4; both layers are equal
    np.testing.assert_allclose(lengths, expected, rtol=1e-10)


def test_gram_style_and_content():
    a, b = RANDOM.normal(size=(2, 3, 4, 5)), RANDOM.normal(size=(2, 3, 4, 5))

    def gram(x):
        flat = x.reshape(2, 3, 20)
        return flat @ flat.transpose(0, 2, 1) / 60
    np.testing.assert_allclose(perceptual.gram(tensor(a)).numpy(), gram(a))
    assert float(perceptual.style(tensor(a), tensor(b))) == pytest.approx(np.abs(gram(a) - gram(b)).mean())
    assert float(perceptual.content(tensor(a), tensor(b))) == pytest.approx(np.abs(a - b).mean())


def test_colour_is_zero_for_equal_pictures_and_luma_for_greys():
    white, black = paddle.ones([1, 3, 2, 2]), -paddle.ones([1, 3, 2, 2])
    assert float(perceptual.colour(white, white)) == 0
    assert float(perceptual.colour(white, black)) == pytest.approx(1.0, abs=1e-5)  # only Y differs
    red = tensor(np.array([1.0, -1, -1], "float32").reshape(1, 3, 1, 1))
    np.testing.assert_allclose(perceptual.to_yuv(red).numpy().ravel(), [0.299, -0.14714119, 0.61497538], rtol=1e-5)


def test_total_variation_of_a_ramp_is_its_slope():
    ramp = np.tile(np.arange(5.0) * 0.25, (1, 3, 4, 1))
    assert float(perceptual.total_variation(tensor(ramp))) == pytest.approx(0.25)


def test_gradient_difference_sees_slopes_and_not_brightness():
    ramp = np.tile(np.arange(5.0) * 0.25, (1, 3, 4, 1))
    assert float(perceptual.gradient_difference(tensor(ramp), tensor(ramp + 7))) == pytest.approx(0)
    assert float(perceptual.gradient_difference(tensor(ramp), tensor(3 * ramp))) == pytest.approx(0.5)


def test_a_softmax_over_two_is_a_sigmoid_of_their_difference():
    real, fake = RANDOM.normal(size=(5, 2)), RANDOM.normal(size=(5, 2))

    def probability(logits):
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(probability(real)[:, 1]).mean() - np.log(probability(fake)[:, 0]).mean()
    assert float(losses.softmax_discriminator(tensor(real), tensor(fake))) == pytest.approx(expected)
    assert float(losses.softmax_generator(tensor(fake))) == pytest.approx(-np.log(probability(fake)[:, 1]).mean())
    single = [tensor(logits[:, 1:] - logits[:, :1]) for logits in (real, fake)]
    assert float(losses.logistic_discriminator(*single)) == pytest.approx(expected)


def test_wasserstein_losses_are_differences_of_means():
    real, fake = RANDOM.normal(size=(5, 1)), RANDOM.normal(size=(7, 1))
    assert float(losses.wasserstein_discriminator(tensor(real), tensor(fake))) == \
        pytest.approx(fake.mean() - real.mean())
    assert float(losses.wasserstein_generator(tensor(fake))) == pytest.approx(-fake.mean())


@pytest.mark.parametrize("norm", [0.25, 3.0])                  # below and above 1: the penalty is two-sided
def test_gradient_penalty_of_a_linear_critic_is_that_of_its_norm(norm):
    direction = RANDOM.normal(size=(3 * 4 * 5, 1))
    weights = tensor(direction * norm / np.linalg.norm(direction), stop_gradient=False)
    points = tensor(RANDOM.normal(size=(2, 3, 4, 5)), stop_gradient=False)
    penalty = losses.gradient_penalty(points, paddle.matmul(points.reshape([2, -1]), weights))
    assert float(penalty) == pytest.approx((norm - 1) ** 2)
    penalty.backward()                                         # d(|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|
    np.testing.assert_allclose(weights.grad.numpy(), 2 * (norm - 1) * weights.numpy() / norm, rtol=1e-9)


def test_gradient_penalty_takes_the_norm_of_each_sample():
    scales = np.array([0.5, 2.0, 4.0])
    points = tensor(RANDOM.normal(size=(3, 2, 3, 3)), stop_gradient=False)
    logits = (points * tensor(scales.reshape(3, 1, 1, 1))).sum([1, 2, 3]).unsqueeze(1)
    expected = ((scales * np.sqrt(18) - 1) ** 2).mean()
    assert float(losses.gradient_penalty(points, logits)) == pytest.approx(expected)


def test_gradient_penalty_of_a_flat_critic_is_one_and_has_a_gradient():
    weights = paddle.zeros([12, 1])
    weights.stop_gradient = False
    points = tensor(RANDOM.normal(size=(2, 3, 2, 2)).astype("float32"), stop_gradient=False)
    penalty = losses.gradient_penalty(points, paddle.matmul(points.reshape([2, -1]), weights))
    penalty.backward()
    assert float(penalty) == pytest.approx(1, abs=1e-5) and np.isfinite(weights.grad.numpy()).all()

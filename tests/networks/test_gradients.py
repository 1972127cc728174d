"""Operators with a fast gradient: values and gradients are those of the plain form, in float64 where sums differ."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle
import paddle.nn.functional as F

from ppgan_apps.networks import gradients, layers, resampling


def picture(*shape, seed=0):
    paddle.seed(seed)
    made = paddle.randn(list(shape), dtype="float64")
    made.stop_gradient = False
    return made


def assert_alike(ours, theirs, *inputs, close=1e-10):
    """Equal results, and equal gradients of a sum of them, weighted differently at every place."""
    results = []
    for function in (ours, theirs):
        made = function(*inputs)
        made = made if isinstance(made, tuple) else (made,)
        aim = sum((entry * paddle.cos(paddle.arange(entry.size, dtype="float64")).reshape(entry.shape)).sum()
                  for entry in made)
        results.append([*made, *paddle.grad(aim, list(inputs))])
    for own, wanted in zip(*results, strict=True):
        assert own.shape == wanted.shape
        np.testing.assert_allclose(own.numpy(), wanted.numpy(), rtol=close, atol=close)


@pytest.mark.parametrize("shape, width", [((2, 3, 7, 5), 1), ((1, 2, 8, 9), 3), ((1, 1, 4, 4), 3)])
def test_mirrored_borders_are_paddles(shape, width):
    assert_alike(lambda x: gradients.mirror(x, width), lambda x: F.pad(x, [width] * 4, mode="reflect"), picture(*shape))


def test_large_pictures_are_mirrored_by_slices(monkeypatch):
    x = picture(1, 2, 6, 5)
    by_products = gradients.mirror(x, 2)
    monkeypatch.setattr(gradients, "_LARGEST_PRODUCT", 4)
    assert np.array_equal(gradients.mirror(x, 2).numpy(), by_products.numpy())


@pytest.mark.parametrize("count", [1, 3, 7])
def test_shifted_rows_are_added(count):
    rows = picture(2, count * 4, 9, 5)

    def plainly(rows):
        return sum(rows[:, 4 * row:4 * row + 4, row:row + 10 - count] for row in range(count))
    assert_alike(lambda rows: gradients.sum_shifted(rows, count), plainly, rows)


def test_moments_of_maps_and_samples():
    def plainly(x):
        deviation = x - x.mean([1, 2, 3], keepdim=True)
        centred = x - x.mean([2, 3], keepdim=True)
        return (x.mean([2, 3], keepdim=True), (centred ** 2).mean([2, 3], keepdim=True),
                x.mean([1, 2, 3], keepdim=True), (deviation ** 2).mean([1, 2, 3], keepdim=True))
    assert_alike(gradients.moments, plainly, picture(2, 3, 4, 5) + 2)


def test_phases_become_a_picture_of_twice_the_size():
    phases = picture(2, 3 * 4, 4, 5)
    doubled = gradients.double_by_phases(phases).numpy()
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        assert np.array_equal(doubled[:, :, row::2, column::2], phases.numpy()[:, place::4])


def test_phases_can_be_differentiated_twice():
    phases = picture(2, 4, 3, 3)
    gradient, = paddle.grad((gradients.double_by_phases(phases) ** 3).sum(), [phases], create_graph=True)
    (gradient ** 2).sum().backward()                           # the sum of 9 x^4
    np.testing.assert_allclose(phases.grad.numpy(), 36 * phases.numpy() ** 3)


@pytest.mark.parametrize("size, padding", [(3, 1), (4, 1), (4, 0)])
def test_a_convolution_to_one_map_is_paddles(size, padding):
    assert_alike(lambda x, weight: layers.convolve_to_one_map(x, weight, padding),
                 lambda x, weight: F.conv2d(x, weight, padding=padding),
                 picture(2, 6, 7, 5), picture(1, 6, size, size, seed=1))


def varied(x):
    mean, variance, layer_mean, layer_variance = gradients.moments(x)
    return (x - mean) * variance + layer_mean * layer_variance


@pytest.mark.parametrize("function, shape", [
    (lambda x, weight: layers.convolve_to_one_map(x, weight, 1), (1, 3, 4, 4)),
    (lambda x, weight: F.conv2d(gradients.mirror(x, 1), weight), (4, 3, 3, 3)),
    (lambda x, weight: gradients.sum_shifted(F.conv2d(x, weight), 2), (4, 3, 3, 3)),
    (lambda x, weight: F.conv2d(resampling.upsample(x, paddle.to_tensor(resampling.binomial_kernel(4.0))), weight),
     (4, 3, 3, 3)),
    (lambda x, weight: varied(F.conv2d(x, weight)), (4, 3, 3, 3)),
], ids=["to one map", "mirror", "sum of rows", "doubled", "moments"])
def test_a_gradient_penalty_has_the_right_gradient(function, shape):
    """Of the weight, through the gradient of the picture: against finite differences of the penalty."""
    x, weight = picture(2, 3, 6, 6), picture(*shape, seed=1)

    def penalty(weight):
        gradient, = paddle.grad((function(x, weight) ** 2).sum(), [x], create_graph=True)
        return (gradient ** 2).sum()
    direction = paddle.cos(paddle.arange(weight.size, dtype="float64")).reshape(weight.shape)
    analytic, = paddle.grad(penalty(weight), [weight])
    sides = []
    for step in (1e-5, -1e-5):
        moved = weight.detach() + step * direction
        moved.stop_gradient = False
        sides.append(float(penalty(moved)))
    assert float((analytic * direction).sum()) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("side, smaller", [(8, "weight"), (3, "picture")])
def test_a_spectral_convolution_divides_its_weight_or_its_result(side, smaller):
    paddle.seed(0)
    layer = layers.SpectralConv2D(4, 5, 3, padding=1)
    layer.to(dtype="float64")
    layer.eval()
    x = picture(1, 4, side, side)
    assert (layer.weight_orig.size < x.size) == (smaller == "weight")
    assert_alike(lambda x, weight: layer(x), lambda x, weight: layers.add_bias(
        F.conv2d(x, weight / layer.spectral_norm(), padding=1), layer.bias), x, layer.weight_orig)


def test_a_filter_that_is_no_outer_product_doubles_as_well():
    x, kernel = picture(1, 2, 4, 4), picture(4, 4, seed=1).detach()
    outer = paddle.to_tensor(resampling.binomial_kernel(4.0)).astype("float64")
    for chosen in (kernel, outer):
        assert_alike(lambda x, chosen=chosen: resampling.upsample(x, chosen),
                     lambda x, chosen=chosen: resampling._upsample_by_convolution(x, chosen), x, close=1e-6)

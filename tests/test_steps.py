"""The verbs of a training step: optimizer step, freezing, weight average, learning-rate decay."""
import numpy as np
import paddle
import pytest

from ppgan_apps.steps import LossScale, ema, frozen, linear_decay, update


def test_update_takes_one_step_and_leaves_no_gradient():
    layer = paddle.nn.Linear(3, 1, bias_attr=False)
    before, x = layer.weight.numpy().copy(), np.ones((2, 3), "float32")
    optimizer = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    update(optimizer, layer(paddle.to_tensor(x)).sum())
    np.testing.assert_allclose(layer.weight.numpy(), before - 0.1 * 2, rtol=1e-5)
    assert layer.weight.grad is None or not layer.weight.grad.numpy().any()


def test_frozen_networks_pass_gradients_on_but_keep_none():
    first, second = paddle.nn.Linear(2, 2), paddle.nn.Linear(2, 1)
    second.bias.stop_gradient = True
    with frozen(second):
        second(first(paddle.ones([1, 2]))).sum().backward()
    assert first.weight.grad is not None and second.weight.grad is None
    assert not second.weight.stop_gradient and second.bias.stop_gradient      # as before the block


def test_the_average_halves_its_distance_every_half_life_whatever_the_batch_size():
    for batch_size in (1, 8, 64):
        slow, fast = paddle.nn.Linear(2, 2), paddle.nn.Linear(2, 2)
        start, target = slow.weight.numpy().copy(), fast.weight.numpy()
        for _ in range(128 // batch_size):
            ema(slow, fast, half_life_images=128, batch_size=batch_size)
        np.testing.assert_allclose(slow.weight.numpy(), (start + target) / 2, atol=1e-5)


def test_buffers_of_the_average_are_copied():
    slow, fast = paddle.nn.BatchNorm2D(2), paddle.nn.BatchNorm2D(2)
    fast(paddle.randn([8, 2, 3, 3]) + 5)
    ema(slow, fast, half_life_images=1000, batch_size=1)
    np.testing.assert_array_equal(slow._mean.numpy(), fast._mean.numpy())


def test_linear_decay():
    assert [linear_decay(1.0, step, 100) for step in (0, 49, 50, 75, 100)] == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert linear_decay(2.0, 50, 100, start=0.0) == pytest.approx(1.0)


def a_step(scale, gradient, layer=None):
    """One update of a Linear of two weights whose gradient is `gradient`; the layer."""
    if layer is None:
        paddle.seed(0)
        layer = paddle.nn.Linear(2, 1, bias_attr=False)
    optimizer = paddle.optimizer.Adam(0.1, parameters=layer.parameters())
    if scale is not None:
        optimizer.loss_scale = scale
    update(optimizer, (layer.weight[:, 0] * paddle.to_tensor(gradient)).sum())
    return layer


def test_a_loss_scale_changes_nothing_but_steps_that_are_not_finite():
    gradient = np.array([0.3, -1e-6], "float32")
    scale = LossScale(start=1024.0)
    np.testing.assert_array_equal(a_step(scale, gradient).weight.numpy(), a_step(None, gradient).weight.numpy())
    assert scale.state.tolist() == [1024.0, 1.0]
    layer = a_step(None, gradient)
    before = layer.weight.numpy().copy()
    for bad, expected in ((np.inf, 512.0), (np.nan, 256.0)):
        a_step(scale, np.array([bad, 1.0], "float32"), layer)
        np.testing.assert_array_equal(layer.weight.numpy(), before)
        assert scale.state.tolist() == [expected, 0.0]


def test_a_gradient_that_overflows_only_when_scaled_is_left_out_until_the_scale_fits():
    scale, gradient, shown = LossScale(start=2.0**20), np.array([1e33, 0.0], "float32"), []
    for _ in range(3):                                         # 2^18 x 1e33 is the first below 3.4e38
        a_step(scale, gradient)
        shown.append(scale.state.tolist())
    assert shown == [[2.0**19, 0], [2.0**18, 0], [2.0**18, 1]]


def test_a_loss_scale_doubles_after_good_steps_in_a_row_and_never_falls_below_one():
    scale = LossScale(start=4.0, growth_every=3)
    shown = []
    for bad in (False, False, True, False, False, False, True, True, True, True):
        a_step(scale, np.array([np.inf if bad else 1.0, 1.0], "float32"))
        shown.append(scale.state[0].item())
    assert shown == [4, 4, 2, 2, 2, 4, 2, 1, 1, 1]

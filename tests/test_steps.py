"""The verbs of a training step: optimizer step, freezing, weight average, learning-rate decay."""
import numpy as np
import paddle
import pytest

from ppgan_apps.steps import ema, frozen, linear_decay, update


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

"""Shares of a batch: draws, dropout, parts and what the forward passes change in the networks."""
from dataclasses import replace

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import sharing
from ppgan_apps.errors import ConfigError
from ppgan_apps.networks.layers import SpectralLinear
from ppgan_apps.sharing import Sharing, shared
from ppgan_apps.steps import once, update


def drawn(draw, state):
    paddle.seed(3)
    with shared(state):
        return draw().numpy()


@pytest.mark.parametrize("draw", [lambda n: sharing.randn([n, 5]), lambda n: sharing.rand([n, 1, 2]),
                                  lambda n: sharing.dropout(paddle.ones([n, 4, 3]), 0.5),
                                  lambda n: sharing.dropout(paddle.ones([n, 4, 3]), 0.5, whole_maps=True)])
def test_shares_of_a_draw_are_the_draw_of_the_whole_batch(draw):
    whole = drawn(lambda: draw(12), Sharing())
    for rank in range(2):
        np.testing.assert_array_equal(drawn(lambda: draw(6), Sharing(rank, 2)), whole[rank::2])
        for part in range(3):
            share = drawn(lambda: draw(2), Sharing(rank, 2, 3, part=part))
            np.testing.assert_array_equal(share, whole[rank + 2 * part::6])


def test_dropout_keeps_the_mean_and_drops_whole_maps():
    paddle.seed(0)
    kept = sharing.dropout(paddle.ones([400, 10, 4]), 0.3).numpy()
    assert kept.mean() == pytest.approx(1, abs=0.02) and set(np.unique(kept)) == {0, np.float32(1 / 0.7)}
    maps = sharing.dropout(paddle.ones([50, 10, 3, 3]), 0.3, whole_maps=True).numpy()
    assert np.ptp(maps, axis=(2, 3)).max() == 0 and 0.2 < (maps == 0).mean() < 0.4
    x = paddle.ones([2, 2])
    assert sharing.dropout(x, 0.3, training=False) is x and sharing.dropout(x, 0.0) is x


def test_parts_come_together_in_the_order_of_the_batch():
    batch = {"real": paddle.arange(6)}
    with shared(Sharing(accumulate=3)):
        parts = sharing.each_part(batch, lambda part: part["real"])
        assert [part.tolist() for part in parts] == [[0, 3], [1, 4], [2, 5]]
        np.testing.assert_array_equal(sharing.together(parts).numpy(), range(6))


def test_every_part_starts_from_the_same_buffers_and_statistics_end_as_their_mean():
    paddle.seed(0)
    network = paddle.nn.Sequential(SpectralLinear(3, 4), paddle.nn.BatchNorm1D(4, momentum=0.5))
    spectral, norm = network
    x = paddle.randn([8, 3])
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    features = spectral(x).numpy()                             # one power iteration more than before
    once_more = spectral.weight_u.numpy().copy()
    network.set_state_dict({name: paddle.to_tensor(value) for name, value in before.items()})
    with shared(Sharing(accumulate=2, networks=(network,))):
        sharing.each_part({"x": x}, lambda part: network(part["x"]))
    np.testing.assert_allclose(spectral.weight_u.numpy(), once_more, rtol=1e-6)
    np.testing.assert_allclose(norm._mean.numpy(), 0.5 * features.mean(0), rtol=1e-4, atol=1e-6)


def one_update(accumulate, x):
    """(the weights, what was logged) after an update of a Linear whose loss draws noise and has a mean of its own."""
    paddle.seed(1)
    layer = paddle.nn.Linear(3, 2)
    optimizer = paddle.optimizer.SGD(0.1, parameters=layer.parameters())

    def loss(part):
        value = ((layer(part["x"]) - sharing.randn([len(part["x"]), 2])) ** 2).mean()
        return value, {"loss": value, "mean": part["x"].mean(0)}
    paddle.seed(2)
    with shared(Sharing(accumulate=accumulate)):
        shown = update(optimizer, loss, {"x": x})
    assert shown["loss"].stop_gradient
    return layer.weight.numpy(), np.append(shown["mean"].numpy(), shown["loss"].numpy())


def test_the_parts_of_an_update_give_the_gradient_and_the_log_of_the_whole():
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(6, 3)).astype("float32"))
    weights, logged = one_update(1, x)
    for accumulate in (2, 3):
        for got, expected in zip(one_update(accumulate, x), (weights, logged)):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_a_loss_of_the_whole_batch_cannot_be_split():
    layer = paddle.nn.Linear(1, 1)
    with shared(Sharing(accumulate=2)), pytest.raises(ConfigError, match="accumulate is 2, but this family"):
        update(paddle.optimizer.SGD(0.1, parameters=layer.parameters()), layer(paddle.ones([2, 1])).mean())


def test_once_keeps_the_result_for_a_whole_batch_only():
    calls = []
    for accumulate, expected in ((1, 1), (2, 4)):
        calls.clear()
        make = once(lambda part: calls.append(part) or part)
        with shared(replace(Sharing(), accumulate=accumulate)):
            for _ in range(2):
                sharing.each_part({"x": paddle.ones([2])}, make)
        assert len(calls) == expected

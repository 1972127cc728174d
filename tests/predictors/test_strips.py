"""Convolutions in strips give what the layer gives."""
import numpy as np
import pytest

from ppgan_apps.predictors import strips


@pytest.mark.parametrize("kind", ["Conv2D", "BiasedConv2D"])
@pytest.mark.parametrize("kernel, stride, padding, dilation", [(7, 1, 3, 1), (3, 2, 1, 1), (3, 1, 0, 1), (1, 1, 0, 1),
                                                               (3, 1, 2, 2), (4, 2, 1, 1)])
def test_the_same_numbers_as_the_layer(kernel, stride, padding, dilation, kind, monkeypatch):
    import paddle

    from ppgan_apps.networks.layers import BiasedConv2D
    paddle.seed(0)
    layer = {"Conv2D": paddle.nn.Conv2D, "BiasedConv2D": BiasedConv2D}[kind](5, 6, kernel, stride, padding,
                                                                             dilation=dilation)
    image = paddle.randn([2, 5, 37, 23])
    wanted = layer(image).numpy()
    network = paddle.nn.Sequential(layer)
    strips.convolve_in_strips(network)
    for largest in (1, 20_000):
        monkeypatch.setattr(strips, "LARGEST_COPY", largest)
        np.testing.assert_allclose(network(image).numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_what_is_not_plain_is_left_alone():
    import paddle
    network = paddle.nn.Sequential(paddle.nn.Conv2D(4, 4, 3, padding=1, groups=4),
                                   paddle.nn.Conv2D(4, 4, 3, padding=1, padding_mode="reflect"))
    strips.convolve_in_strips(network)
    assert all("forward" not in vars(layer) for layer in network)

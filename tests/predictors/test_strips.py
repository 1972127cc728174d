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
        with paddle.no_grad():
            np.testing.assert_allclose(network(image).numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_a_stylegan2_in_strips_draws_what_it_drew(monkeypatch):
    import paddle

    from ppgan_apps.networks import stylegan2
    monkeypatch.setattr(stylegan2, "_LARGEST_TRANSPOSED", 8)   # so that both kinds of enlargement take part
    paddle.seed(0)
    network = stylegan2.StyleGAN2Generator(32, 8, 2, channel_max=8)
    w, convolutions = paddle.randn([2, 8]), []
    with paddle.no_grad():
        wanted = network.synthesis(w, noise="stored").numpy()
        strips.convolve_in_strips(network)
        monkeypatch.setattr(strips, "LARGEST_COPY", 10_000)
        joined = strips._joined
        monkeypatch.setattr(strips, "_joined", lambda *strip: convolutions.append(strip) or joined(*strip))
        np.testing.assert_allclose(network.synthesis(w, noise="stored").numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert len(convolutions) == 4                              # of 16 and 32 pixels
    assert network.synthesis(w, noise="stored").stop_gradient is False and len(convolutions) == 4


def test_a_convolution_by_rows_and_its_gradients_are_paddles(monkeypatch):
    import paddle

    from ppgan_apps.networks.layers import RowsConv2D
    paddle.seed(0)
    layer, image = RowsConv2D(5, 6, 7, padding=3, bias_attr=False), paddle.randn([2, 5, 37, 23])
    image.stop_gradient = False
    wanted = paddle.nn.functional.conv2d(image, layer.weight, padding=3)
    aim = paddle.randn(wanted.shape)

    def gradients(result):
        return paddle.grad((result * aim).sum(), [image, layer.weight])
    for ours, theirs in zip([layer(image), *gradients(layer(image))], [wanted, *gradients(wanted)], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=2e-4)
    strips.convolve_in_strips(paddle.nn.Sequential(layer))
    monkeypatch.setattr(strips, "LARGEST_COPY", 20_000)
    with paddle.no_grad():
        np.testing.assert_allclose(layer(image).numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_what_is_not_plain_is_left_alone():
    import paddle
    network = paddle.nn.Sequential(paddle.nn.Conv2D(4, 4, 3, padding=1, groups=4),
                                   paddle.nn.Conv2D(4, 4, 3, padding=1, padding_mode="reflect"))
    strips.convolve_in_strips(network)
    assert all("forward" not in vars(layer) for layer in network)

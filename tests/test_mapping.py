"""StyleGAN2's mapping network in NumPy against the Layer."""
import numpy as np
import paddle
import pytest

from ppgan_apps.mapping import Mapping
from ppgan_apps.networks import equalised, stylegan2


@pytest.fixture(scope="module")
def generator():
    paddle.seed(3)
    generator = stylegan2.StyleGAN2Generator(16, style_dim=24, n_mlp=5, channel_max=8)
    for layer in list(generator.style)[1:]:
        layer.bias.set_value(paddle.randn(layer.bias.shape) * 20)      # 0 at the start
    return generator


@pytest.fixture(scope="module")
def mapping(generator):
    return Mapping({name: value.numpy() for name, value in generator.state_dict().items()}, 5)


def test_w_is_the_layers(generator, mapping):
    z = np.random.RandomState(0).randn(7, 24).astype(np.float32)
    wanted = generator.mapping(paddle.to_tensor(z)).numpy()
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(mapping(z), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mapping(z.astype(np.float64)), wanted, rtol=1e-4, atol=1e-6)


def test_a_row_does_not_depend_on_how_many_there_are(mapping):
    z = np.random.RandomState(1).randn(9, 24).astype(np.float32)
    assert np.array_equal(mapping(z)[4], mapping(z[4:5])[0])


def test_the_mean_is_the_generators(generator, mapping):
    np.testing.assert_allclose(mapping.mean(500), generator.mean_latent(500).numpy(), rtol=1e-3, atol=1e-5)


def test_the_length_of_z_does_not_matter(mapping):
    z = np.random.RandomState(2).randn(1, 24).astype(np.float32)
    np.testing.assert_allclose(mapping(3 * z), mapping(z), rtol=1e-5, atol=1e-6)


def test_the_constants_are_the_networks():
    from ppgan_apps import mapping
    assert (mapping.SLOPE, mapping.GAIN) == (equalised.SLOPE, equalised.GAIN)
    layer = stylegan2.StyleGAN2Generator(8, style_dim=4, n_mlp=1, channel_max=4).style[1]
    assert layer.bias_scale == pytest.approx(mapping.GAIN * mapping.LEARNING_RATE)

"""StyleGAN's networks: AdaIN, mixing, truncation, filters and growth against closed forms; count; R1's gradient."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle
import paddle.nn.functional as F

from ppgan_apps.networks import stylegan
from ppgan_apps.networks.stylegan import StyleGANDiscriminator, StyleGANGenerator
from tests.networks.test_derivatives import assert_gradient_matches, r1_penalty
from tests.networks.test_pggan import WIDTHS, close, convolution, count, latents, pictures


@pytest.fixture
def generator():
    paddle.seed(0)
    network = StyleGANGenerator(16, style_dim=8, n_mlp=2, channel_max=8)
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            parameter.set_value(parameter + 0.5)
    return network


def test_the_generator_has_the_papers_26_2_million_parameters():
    linear = 512 * 512 + 512
    total = 8 * linear + 512 * 16                                              # mapping, constant
    for number, width in enumerate(WIDTHS):
        total += convolution(WIDTHS[number - 1], width, 3) if number else 512  # the constant has a bias alone
        total += convolution(width, width, 3)
        total += 2 * (width + 512 * 2 * width + 2 * width)                     # strengths of the noise, styles
        total += convolution(width, 3, 1)
    assert round(total / 1e6, 1) == 26.2
    assert count(StyleGANGenerator(1024)) == total


def test_adain_is_equation_1():
    paddle.seed(0)
    layer, x, w = stylegan.AdaIN(5, 8), paddle.randn([3, 5, 4, 4]) * 3 + 1, paddle.randn([3, 8])
    layer.affine.bias.set_value(np.linspace(-1, 1, 10).astype("float32"))
    y = w.numpy() @ layer.affine.weight.numpy() / 8 ** 0.5 + layer.affine.bias.numpy()
    values = x.numpy()
    mean, deviation = values.mean((2, 3), keepdims=True), values.std((2, 3), keepdims=True)
    expected = (y[:, :5, None, None] + 1) * (values - mean) / deviation + y[:, 5:, None, None]
    with paddle.no_grad():
        np.testing.assert_allclose(layer(x, w).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_start_is_the_published_one():
    paddle.seed(0)
    network = StyleGANGenerator(8, style_dim=64, n_mlp=1, channel_max=16)
    assert network.mapping[1].weight.numpy().std() == pytest.approx(100, rel=0.05)     # used times a hundredth
    assert (network.constant.numpy() == 1).all()
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "noise.weight")):
            assert not parameter.numpy().any(), name


def test_the_mapping_is_the_closed_form(generator):
    z = latents()
    x = z.numpy() / np.sqrt((z.numpy() ** 2).mean(1, keepdims=True) + 1e-8)
    for layer in list(generator.mapping)[1:]:
        layer.bias.set_value(np.linspace(-50, 50, 8).astype("float32"))
        x = x @ layer.weight.numpy() * (0.01 * (2 / 8) ** 0.5) + 0.01 * layer.bias.numpy()
        x = np.where(x > 0, x, 0.2 * x)
    with paddle.no_grad():
        np.testing.assert_allclose(generator.mapping(z).numpy(), x, rtol=1e-4, atol=1e-5)


class Unchanged(paddle.nn.Layer):
    """In the place of AdaIN."""

    def forward(self, x, w):
        return x


def test_noise_comes_in_before_bias_and_activation_with_a_strength_for_each_map():
    paddle.seed(0)
    layer = stylegan.StyledLayer(None, 3, 8, True)
    layer.adain = Unchanged()                                  # to see what AdaIN is given
    layer.noise.weight.set_value(np.float32([0, 1, -2]))
    layer.activate.bias.set_value(np.float32([0, 1, 2]))
    x, noise = paddle.randn([2, 3, 4, 4]), paddle.randn([2, 1, 4, 4])
    total = x.numpy() + noise.numpy() * np.reshape([0, 1, -2], (3, 1, 1)) + np.reshape([0, 1, 2], (3, 1, 1))
    with paddle.no_grad():
        np.testing.assert_allclose(layer(x, None, noise).numpy(), np.where(total > 0, total, 0.2 * total), rtol=1e-5,
                                   atol=1e-6)


def test_the_same_noise_repeats_and_fresh_noise_does_not(generator):
    z, noise = latents(), generator.make_noise(3)
    assert [entry.shape[-1] for entry in noise] == [4, 4, 8, 8, 16, 16]
    with paddle.no_grad():
        np.testing.assert_array_equal(generator(z, noise).numpy(), generator(z, noise).numpy())
        assert float((generator(z) - generator(z, noise)).abs().max()) > 0.01
        silent = StyleGANGenerator(16, style_dim=8, n_mlp=2, channel_max=8, noise=False)
        np.testing.assert_array_equal(silent(z).numpy(), silent(z).numpy())


def test_mixing_crosses_over_at_the_cut(generator):
    with paddle.no_grad():
        first, second = generator.mapping(latents(seed=1)), generator.mapping(latents(seed=2))
        mixed = generator.mix(first, second, 2).numpy()
        assert mixed.shape == (3, 6, 8)
        np.testing.assert_array_equal(mixed[:, :2], first.numpy()[:, None].repeat(2, 1))
        np.testing.assert_array_equal(mixed[:, 2:], second.numpy()[:, None].repeat(4, 1))
        noise = generator.make_noise()
        noise = [entry.expand([3, 1, *entry.shape[2:]]) for entry in noise]
        close(generator.synthesis(generator.mix(first, second, 6), noise), generator.synthesis(first, noise))
        close(generator.synthesis(generator.mix(first, second, 0), noise), generator.synthesis(second, noise))
        generator.grow_to(8)
        assert generator.mix(first, second, 1).shape == [3, 4, 8]


def test_each_layer_listens_to_its_own_style(generator):
    noise = generator.make_noise(3)
    with paddle.no_grad():
        w = generator.mix(generator.mapping(latents()))
        start = generator.synthesis(w, noise)
        for layer in range(6):
            changed = w.numpy()
            changed[:, layer] += 1
            assert float((generator.synthesis(paddle.to_tensor(changed), noise) - start).abs().max()) > 1e-3, layer


def test_truncation_pulls_the_coarse_layers_to_the_mean(generator):
    with paddle.no_grad():
        w, mean = generator.mapping(latents()), generator.mean_latent(64)
        assert mean.shape == [1, 8]
        whole = generator.truncate(w, mean, psi=0.0)
        np.testing.assert_allclose(whole.numpy(), np.broadcast_to(mean.numpy(), (3, 6, 8)), atol=1e-6)
        half = generator.truncate(w, mean, psi=0.5, layers=4).numpy()
        np.testing.assert_allclose(half[:, :4], ((w + mean) / 2).numpy()[:, None].repeat(4, 1), atol=1e-6)
        np.testing.assert_array_equal(half[:, 4:], w.numpy()[:, None].repeat(2, 1))
        close(generator.truncate(w, mean, psi=1.0), generator.mix(w))


def filtered(x):
    """[1, 2, 1] / 4 along both axes, zeros outside."""
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    weight = paddle.to_tensor(taps.astype("float32")).reshape([1, 1, 3, 3]).expand([x.shape[1], 1, 3, 3])
    return F.conv2d(x, weight, padding=1, groups=x.shape[1])


def test_resampling_is_the_papers_away_from_the_border():
    """Doubling, convolution, filter; and filter, convolution, halving (section 2)."""
    paddle.seed(0)
    x = paddle.randn([2, 4, 8, 8])
    up = stylegan.UpsamplingConvolution(4, 3, 8)
    down = paddle.nn.Sequential(*StyleGANDiscriminator(8, channel_max=4).halving(4, 3, 8))
    with paddle.no_grad():
        doubled = paddle.to_tensor(x.numpy().repeat(2, 2).repeat(2, 3))
        mirrored = up.weight.flip([2, 3]) * up.scale           # a transposed convolution reads its kernel backwards
        expected = filtered(F.conv2d(doubled, mirrored, padding=1))
        close(up(x)[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2])
        expected = F.avg_pool2d(F.conv2d(filtered(x), down[1].weight * down[1].scale, padding=1), 2)
        close(down(x)[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])


def test_a_resolution_that_begins_to_fade_in_changes_nothing_and_ends_alone(generator):
    z, noise = latents(), generator.make_noise(3)
    discriminator, images = StyleGANDiscriminator(16, channel_max=8), pictures(3)
    with paddle.no_grad():
        generator.grow_to(8)
        doubled = paddle.to_tensor(generator(z, noise).numpy().repeat(2, 2).repeat(2, 3))
        generator.grow_to(16)
        after = generator(z, noise)
        assert float((after - doubled).abs().mean()) > 0.01
        for alpha in (0.0, 0.25, 1.0):
            generator.grow_to(16, alpha)
            close(generator(z, noise), doubled * (1 - alpha) + after * alpha)
        discriminator.grow_to(8)
        verdict = discriminator(F.avg_pool2d(images, 2))
        discriminator.grow_to(16, 0.0)
        close(discriminator(images), verdict)


@pytest.mark.parametrize("stage", [(4, 1.0), (16, 0.4), (16, 1.0)])
def test_r1_through_the_discriminator(stage):
    paddle.seed(1)
    network = StyleGANDiscriminator(16, channel_max=6)
    network.grow_to(*stage)
    network.to(dtype="float64")
    images = pictures(3, stage[0], dtype="float64")
    assert_gradient_matches(network, lambda create_graph: r1_penalty(network, images, create_graph))


def test_the_gradient_of_the_generator_is_right_in_a_fade(generator):
    generator.to(dtype="float64")
    generator.grow_to(16, 0.4)
    z, noise = latents().astype("float64"), [entry.astype("float64") for entry in generator.make_noise(3)]
    target = pictures(3, dtype="float64")
    assert_gradient_matches(generator, lambda create_graph: ((generator(z, noise) - target) ** 2).mean())


def test_large_pictures_take_the_other_form_of_upsampling(monkeypatch):
    paddle.seed(0)
    x = paddle.randn([1, 3, 4, 4])
    small = stylegan.UpsamplingConvolution(3, 2, 4)
    monkeypatch.setattr(stylegan, "_LARGEST_TRANSPOSED", 2)
    large = stylegan.UpsamplingConvolution(3, 2, 4)
    large.weight.set_value(small.weight)
    with paddle.no_grad():
        assert large.matrix.shape == [4, 9, 9]
        close(large(x), small(x))


def test_a_network_rebuilt_from_its_arguments_stands_at_the_same_stage(generator):
    generator.grow_to(8, 0.5)
    copy = StyleGANGenerator(**generator.arguments)
    copy.set_state_dict(generator.state_dict())
    noise = generator.make_noise(3)
    with paddle.no_grad():
        np.testing.assert_array_equal(copy(latents(), noise).numpy(), generator(latents(), noise).numpy())

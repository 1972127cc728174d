"""Progressive GAN's networks: growth, the paper's counts, layers against closed forms, the penalty's gradient."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle
import paddle.nn.functional as F

from ppgan_apps import losses
from ppgan_apps.networks import pggan
from ppgan_apps.networks.pggan import PGGANDiscriminator, PGGANGenerator
from tests.networks.test_derivatives import assert_gradient_matches

# Table 2, from 4 to 1024 pixels.
WIDTHS = [512, 512, 512, 512, 256, 128, 64, 32, 16]


def count(network):
    return sum(int(np.prod(parameter.shape)) for parameter in network.parameters())


def convolution(inputs, outputs, kernel_size):
    return inputs * outputs * kernel_size ** 2 + outputs


def table_2_generator():
    total = convolution(512, 512, 4) + convolution(512, 512, 3)
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        total += convolution(inputs, outputs, 3) + convolution(outputs, outputs, 3)
    return total + convolution(16, 3, 1)


def table_2_discriminator():
    total = convolution(3, 16, 1)
    for outputs, inputs in zip(WIDTHS, WIDTHS[1:]):
        total += convolution(inputs, inputs, 3) + convolution(inputs, outputs, 3)
    return total + convolution(513, 512, 3) + convolution(512, 512, 4) + convolution(512, 1, 1)


def pictures(count=4, size=16, seed=0, dtype="float32"):
    return paddle.to_tensor(np.random.default_rng(seed).uniform(-1, 1, (count, 3, size, size)).astype(dtype))


def latents(count=3, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal((count, 8)).astype("float32"))


def close(first, second):
    np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-4, atol=1e-5)


@pytest.fixture
def generator():
    paddle.seed(0)
    return PGGANGenerator(16, latent_dim=8, channel_max=8)


@pytest.fixture
def discriminator():
    paddle.seed(0)
    return PGGANDiscriminator(16, channel_max=8)


def test_the_counts_are_those_of_table_2_and_of_the_unused_colour_layers():
    assert [round(number / 1e6, 1) for number in (table_2_generator(), table_2_discriminator())] == [23.1, 23.1]
    assert count(PGGANGenerator(1024)) == table_2_generator() + sum(convolution(width, 3, 1) for width in WIDTHS[:-1])
    assert count(PGGANDiscriminator(1024)) == \
        table_2_discriminator() + sum(convolution(3, width, 1) for width in WIDTHS[:-1])


def test_a_resolution_that_begins_to_fade_in_changes_nothing_and_ends_alone(generator, discriminator):
    z, images = latents(), pictures(3)
    with paddle.no_grad():
        for resolution in (8, 16):
            generator.grow_to(resolution // 2)
            discriminator.grow_to(resolution // 2)
            before, verdict = generator(z), discriminator(images_at(images, resolution // 2))
            generator.grow_to(resolution)
            discriminator.grow_to(resolution)
            after, own_verdict = generator(z), discriminator(images_at(images, resolution))
            doubled = paddle.to_tensor(before.numpy().repeat(2, 2).repeat(2, 3))
            assert after.shape == [3, 3, resolution, resolution]
            assert float((after - doubled).abs().mean()) > 0.01
            for alpha in (0.0, 0.25, 1.0):
                generator.grow_to(resolution, alpha)
                close(generator(z), doubled * (1 - alpha) + after * alpha)
            discriminator.grow_to(resolution, 0.0)
            close(discriminator(images_at(images, resolution)), verdict)
            discriminator.grow_to(resolution, 1.0)
            close(discriminator(images_at(images, resolution)), own_verdict)
            assert float((own_verdict - verdict).abs().max()) > 1e-4


def images_at(images, resolution):
    while images.shape[-1] > resolution:
        images = F.avg_pool2d(images, 2)
    return images


def test_in_a_fade_the_discriminator_mixes_the_features_of_two_resolutions(discriminator):
    images = pictures(4)
    discriminator.grow_to(16, 0.3)
    with paddle.no_grad():
        new = discriminator.blocks[1](discriminator.from_rgb[2](images))
        old = discriminator.from_rgb[1](images_at(images, 8))
        x = discriminator.blocks[0](0.7 * old + 0.3 * new)
        x = discriminator.last_conv(pggan.minibatch_stddev(x))
        close(discriminator(images), discriminator.last_linear(x.reshape([4, -1])))


def test_real_pictures_fade_with_the_networks():
    images = pictures(2).numpy()
    small = images.reshape(2, 3, 8, 2, 8, 2).mean((3, 5))
    smaller = small.reshape(2, 3, 4, 2, 4, 2).mean((3, 5)).repeat(2, 2).repeat(2, 3)
    for alpha in (0.0, 0.4, 1.0):
        shown = pggan.resize_real(paddle.to_tensor(images), 8, alpha).numpy()
        np.testing.assert_allclose(shown, (1 - alpha) * smaller + alpha * small, atol=1e-6)
    np.testing.assert_array_equal(pggan.resize_real(paddle.to_tensor(images), 16).numpy(), images)


def test_layers_above_the_stage_get_no_gradient(generator, discriminator):
    for network in (generator, discriminator):
        network.grow_to(8, 0.5)
    discriminator(generator(latents())).sum().backward()
    unused = [name for network in (generator, discriminator) for name, parameter in network.named_parameters()
              if parameter.grad is None]
    above = [name for name, _ in generator.named_parameters() if name.startswith(("blocks.2", "to_rgb.2"))] + \
            [name for name, _ in discriminator.named_parameters() if name.startswith(("blocks.1", "from_rgb.2"))]
    assert unused == above and above


def test_doubling_and_halving_convolutions_are_their_two_steps():
    paddle.seed(0)
    doubling, halving = pggan.DoublingConvolution(5, 4), pggan.HalvingConvolution(5, 4)
    x = paddle.randn([2, 5, 6, 6])
    with paddle.no_grad():
        doubled = paddle.to_tensor(x.numpy().repeat(2, 2).repeat(2, 3))
        close(doubling(x), F.conv2d(doubled, doubling.weight * (2 / 45) ** 0.5, padding=1))
        close(halving(x), F.avg_pool2d(F.conv2d(x, halving.weight * (2 / 45) ** 0.5, padding=1), 2))


def test_a_latent_is_convolved_as_one_pixel():
    paddle.seed(0)
    layer, z = pggan.FromLatent(5, 3), paddle.randn([2, 5])
    weight = layer.weight.reshape([5, 3, 4, 4]) * (2 / 80) ** 0.5
    with paddle.no_grad():
        close(layer(z), F.conv2d_transpose(z.reshape([2, 5, 1, 1]), weight))


@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 4, 4)])
def test_pixel_norm_is_the_closed_form(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    expected = x / np.sqrt((x ** 2).mean(1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(pggan.PixelNorm()(paddle.to_tensor(x)).numpy(), expected, rtol=1e-5)


def test_the_length_of_a_latent_does_not_count(generator):
    with paddle.no_grad():
        close(generator(latents() * 3), generator(latents()))


def test_the_deviation_of_the_batch_is_the_last_map_before_the_verdict(discriminator):
    """A discriminator whose last convolution sees that map alone."""
    discriminator.grow_to(4)
    images = pictures(4, 4)
    convolution_layer = discriminator.last_conv[0]
    weight = convolution_layer.weight.numpy() * 0
    weight[0, -1, 1, 1] = 1.0
    convolution_layer.weight.set_value(weight)
    with paddle.no_grad():
        features = discriminator.from_rgb[0](images).numpy()
        seen = discriminator.last_conv(pggan.minibatch_stddev(paddle.to_tensor(features))).numpy()
    deviation = np.sqrt(features.var(0) + 1e-8).mean()
    np.testing.assert_allclose(seen[:, 0], deviation * (2 / (9 * 9)) ** 0.5, rtol=1e-4)


def test_weights_start_alike_and_are_scaled_when_used():
    """Equalised learning rate: N(0, 1) in every layer, variance near 1 after each (section 4.1)."""
    paddle.seed(0)
    generator = PGGANGenerator(8, latent_dim=64, channel_max=64)
    for name, parameter in generator.named_parameters():
        if name.endswith("weight"):
            assert parameter.numpy().std() == pytest.approx(1, abs=0.1), name
        else:
            assert not parameter.numpy().any(), name
    with paddle.no_grad():
        picture = generator(paddle.randn([64, 64]))
    assert 0.7 < float(picture.std()) < 1.4


@pytest.mark.parametrize("stage", [(4, 1.0), (16, 0.4), (16, 1.0)])
def test_the_gradient_penalty_through_the_discriminator(stage):
    paddle.seed(1)
    network = PGGANDiscriminator(16, channel_max=6)
    network.grow_to(*stage)
    network.to(dtype="float64")
    images = pictures(3, stage[0], dtype="float64")

    def penalty(create_graph):
        points = images.detach()
        points.stop_gradient = False
        return losses.gradient_penalty(points, network(points))
    assert float(penalty(True)) > 1e-3
    assert_gradient_matches(network, penalty)


def test_the_gradient_of_the_generator_is_right_in_a_fade(generator):
    generator.to(dtype="float64")
    generator.grow_to(16, 0.4)
    z, target = latents().astype("float64"), pictures(3, dtype="float64")
    assert_gradient_matches(generator, lambda create_graph: ((generator(z) - target) ** 2).mean())


def test_a_network_rebuilt_from_its_arguments_stands_at_the_same_stage(generator, discriminator):
    for network in (generator, discriminator):
        network.grow_to(8, 0.5)
        copy = type(network)(**network.arguments)
        copy.set_state_dict(network.state_dict())
        given = latents() if network is generator else pictures(3, 8)
        with paddle.no_grad():
            np.testing.assert_array_equal(copy(given).numpy(), network(given).numpy())


def test_sizes_and_stages_that_do_not_fit_are_refused(generator):
    for size in (4, 48, 2048):
        with pytest.raises(ValueError, match="power of two"):
            PGGANGenerator(size)
    for stage in ((32, 1.0), (12, 1.0), (8, 1.5), (4, 0.5)):
        with pytest.raises(ValueError, match="does not fit"):
            generator.grow_to(*stage)

"""Gradients of gradients, which Paddle gets wrong for some operators: R1 and path length against finite differences."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator

STEP = 1e-6


def r1_penalty(discriminator, images, create_graph):
    images = images.detach()
    images.stop_gradient = False
    gradient, = paddle.grad(discriminator(images).sum(), [images], create_graph=create_graph)
    return (gradient * gradient).sum() / len(images)


def path_length_penalty(generator, z, directions, create_graph):
    w = generator.mix([generator.mapping(z)])
    if not create_graph:
        w = w.detach()
        w.stop_gradient = False
    images = generator.synthesis(w, noise="stored", twice_differentiable=True)
    gradient, = paddle.grad((images * directions).sum(), [w], create_graph=create_graph)
    return (((gradient * gradient).sum(2).mean(1).sqrt() - 0.3) ** 2).mean()


def assert_gradient_matches(network, penalty):
    """Every parameter, along one random direction each."""
    penalty(create_graph=True).backward()
    random = np.random.RandomState(5)
    for name, parameter in network.named_parameters():
        direction, start = random.standard_normal(parameter.shape), parameter.numpy()
        analytic = 0.0 if parameter.grad is None else float((parameter.grad.numpy() * direction).sum())
        values = []
        for sign in (1, -1):
            parameter.set_value(start + sign * STEP * direction)
            values.append(float(penalty(create_graph=False)))
        parameter.set_value(start)
        numeric = (values[0] - values[1]) / (2 * STEP)
        assert analytic == pytest.approx(numeric, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("size", [8, 16])
def test_r1_through_the_discriminator(size):
    paddle.seed(1)
    discriminator = StyleGAN2Discriminator(size, channel_max=8)
    discriminator.to(dtype="float64")
    images = paddle.randn([4, 3, size, size], dtype="float64")
    assert_gradient_matches(discriminator, lambda create_graph: r1_penalty(discriminator, images, create_graph))


@pytest.mark.parametrize("size", [8, 16])
def test_path_length_through_the_generator(size):
    paddle.seed(1)
    generator = StyleGAN2Generator(size, style_dim=8, n_mlp=2, channel_max=8)
    generator.to(dtype="float64")
    for name, parameter in generator.named_parameters():
        if name.endswith("noise.weight"):
            parameter.set_value(np.array([0.3]))
    z, directions = paddle.randn([3, 8], dtype="float64"), paddle.randn([3, 3, size, size], dtype="float64")
    assert_gradient_matches(generator, lambda create_graph: path_length_penalty(generator, z, directions, create_graph))


def test_r1_in_single_precision_is_the_double_one():
    """Single precision takes other kernels (oneDNN), whose second derivatives must agree."""
    paddle.seed(2)
    discriminator = StyleGAN2Discriminator(16, channel_max=8)
    images = paddle.randn([4, 3, 16, 16])
    gradients = []
    for dtype in ("float32", "float64"):
        discriminator.to(dtype=dtype)
        discriminator.clear_gradients()
        r1_penalty(discriminator, images.astype(dtype), create_graph=True).backward()
        gradients.append(np.concatenate([parameter.grad.numpy().ravel() for parameter in discriminator.parameters()
                                         if parameter.grad is not None]))
    assert np.abs(gradients[0] - gradients[1]).max() < 1e-4 * np.abs(gradients[1]).max()


def test_a_forgotten_second_derivative_is_an_error():
    generator = StyleGAN2Generator(8, style_dim=8, n_mlp=1, channel_max=8)
    w = paddle.randn([2, 8])
    w.stop_gradient = False
    images = generator.synthesis(w, noise="stored", twice_differentiable=False)
    with pytest.raises(Exception, match="(?i)grad"):
        gradient, = paddle.grad(images.sum(), [w], create_graph=True)
        (gradient * gradient).sum().backward()

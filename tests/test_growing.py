"""A StyleGAN2 that has grown draws the smaller one's pictures doubled and judges as the smaller one did."""
import numpy as np
import paddle
import pytest

from ppgan_apps.errors import WeightsError
from ppgan_apps.growing import discriminator_size, generator_size, grow_discriminator, grow_generator
from ppgan_apps.networks.resampling import binomial_kernel, blur, blur_matrix, upsample
from ppgan_apps.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator

SHAPE = {"channel_multiplier": 0.0625, "channel_max": 12}


def uneven(network):
    """The same network with biases away from 0, as training leaves them."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
    return network


@pytest.mark.parametrize("sizes", [(8, 16), (8, 32)])
def test_the_pictures_are_the_small_ones_doubled(sizes):
    paddle.seed(3)
    small, large = (StyleGAN2Generator(size, 16, 2, **SHAPE) for size in sizes)
    state = uneven(small).state_dict()
    assert generator_size(state) == sizes[0]
    grow_generator(large, state)
    z = paddle.randn([2, 16])
    with paddle.no_grad():
        expected = small([z], noise="stored")
        for _ in range(sizes[1] // sizes[0] // 2):
            expected = upsample(expected, paddle.to_tensor(binomial_kernel(gain=4.0)))
        found = large([z], noise="stored")
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("sizes", [(8, 16), (8, 32)])
def test_a_picture_is_judged_as_its_half_was(sizes):
    paddle.seed(3)
    small, large = (StyleGAN2Discriminator(size, **SHAPE) for size in sizes)
    state = uneven(small).state_dict()
    assert discriminator_size(state) == sizes[0]
    grow_discriminator(large, state)
    picture = paddle.rand([4, 3, sizes[1], sizes[1]]) * 2 - 1
    halved = picture
    for size in (32, 16):
        if sizes[1] >= size:
            halved = blur(halved, paddle.to_tensor(blur_matrix(size, (1, 1), 2)))
    with paddle.no_grad():
        found, expected = large(picture).numpy(), small(halved).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_what_is_new_learns():
    paddle.seed(3)
    small, large = (StyleGAN2Generator(size, 16, 2, **SHAPE) for size in (8, 16))
    critic, larger_critic = (StyleGAN2Discriminator(size, **SHAPE) for size in (8, 16))
    grow_generator(large, small.state_dict())
    grow_discriminator(larger_critic, critic.state_dict())
    larger_critic(large([paddle.randn([4, 16])])).mean().backward()
    gradients = {name: float(parameter.grad.abs().max()) for name, parameter in large.named_parameters()
                 if parameter.grad is not None}
    assert gradients["to_rgbs.1.conv.weight"] > 0
    reads_new = dict(larger_critic.named_parameters())["convs.1.conv2.1.weight"].grad[:, 6:]
    assert float(reads_new.abs().max()) > 0


def test_other_weights_and_too_few_maps_are_refused():
    wide = StyleGAN2Generator(16, 16, 2, channel_multiplier=0.0625, channel_max=16)
    with pytest.raises(WeightsError):
        grow_generator(wide, StyleGAN2Generator(8, 16, 2, **SHAPE).state_dict())
    narrow = {"channel_multiplier": 1, "channel_max": 4}
    with pytest.raises(WeightsError, match="raise channel_multiplier until it has 6"):
        grow_discriminator(StyleGAN2Discriminator(16, **narrow), StyleGAN2Discriminator(8, **narrow).state_dict())

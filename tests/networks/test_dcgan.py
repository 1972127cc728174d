"""The networks of the first GANs: shapes, ranges, and parameter counts worked out by hand."""
import json

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.networks.dcgan import (
    AvatarDiscriminator,
    AvatarGenerator,
    BasicBlock,
    DCGANDiscriminator,
    DCGANGenerator,
)
from ppgan_apps.networks.mlp import MLPDiscriminator, MLPGenerator
from ppgan_apps.sharing import Dropout

NETWORKS = {
    "mlp_generator": (MLPGenerator, {"width": 16}, [100]),
    "mlp_discriminator": (MLPDiscriminator, {"widths": [6, 5]}, [1, 28, 28]),
    "generator": (DCGANGenerator, {"width": 4, "channels": 1}, [100]),
    "discriminator": (DCGANDiscriminator, {"width": 4, "dropout": 0.1}, [3, 32, 32]),
    "critic": (DCGANDiscriminator, {"width": 4, "norm": False, "size": 64}, [3, 64, 64]),
    "labelled_generator": (DCGANGenerator, {"width": 4, "size": 16, "classes": 3}, [100]),
    "labelled_discriminator": (DCGANDiscriminator, {"width": 4, "size": 16, "classes": 3}, [3, 16, 16]),
    "avatar_generator": (AvatarGenerator, {"width": 4}, [72]),
    "avatar_discriminator": (AvatarDiscriminator, {"width": 4}, [3, 96, 96]),
}


def count(network):
    return sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient)


def run(network, shape, samples=3):
    labels = [paddle.arange(samples)] if network.arguments.get("classes") else []
    return network(paddle.uniform([samples, *shape], min=-1), *labels)


@pytest.mark.parametrize("name", NETWORKS)
def test_arguments_rebuild_the_network_and_every_parameter_gets_a_gradient(name):
    network_class, arguments, shape = NETWORKS[name]
    network = network_class(**arguments)
    again = network_class(**json.loads(json.dumps(network.arguments)))
    assert {key: entry.shape for key, entry in again.state_dict().items()} == \
           {key: entry.shape for key, entry in network.state_dict().items()}
    outputs = run(network, shape)
    (outputs * paddle.uniform(outputs.shape)).sum().backward()
    trained = {key: entry for key, entry in network.named_parameters() if not entry.stop_gradient}
    assert [key for key, entry in trained.items() if entry.grad is None] == []


@pytest.mark.parametrize("name, shape", [
    ("mlp_generator", [3, 1, 28, 28]), ("mlp_discriminator", [3, 1]), ("generator", [3, 1, 32, 32]),
    ("discriminator", [3, 1]), ("critic", [3, 1]), ("labelled_generator", [3, 3, 16, 16]),
    ("labelled_discriminator", [3, 1]), ("avatar_generator", [3, 3, 96, 96]), ("avatar_discriminator", [3, 2]),
])
def test_pictures_and_logits_have_their_shapes(name, shape):
    network_class, arguments, inputs = NETWORKS[name]
    outputs = run(network_class(**arguments), inputs)
    assert outputs.shape == shape
    assert "generator" not in name or float(outputs.abs().max()) <= 1


def convolution(inputs, outputs, kernel, extra):
    """Weights of a convolution and `extra` numbers for each map: 1 for a bias, 2 for batch normalisation."""
    return inputs * outputs * kernel**2 + extra * outputs


def test_the_mnist_networks_count_what_the_tutorial_says():
    generator = (convolution(100, 256, 4, 2) + convolution(256, 128, 4, 2) + convolution(128, 64, 4, 2)
                 + convolution(64, 1, 4, 1))
    assert count(DCGANGenerator(32, channels=1)) == generator == 1_066_881
    discriminator = (convolution(1, 64, 4, 1) + convolution(64, 128, 4, 2) + convolution(128, 256, 4, 2)
                     + convolution(256, 1, 4, 1))
    assert count(DCGANDiscriminator(32, channels=1)) == discriminator == 661_313
    transposed = [layer for layer in DCGANGenerator(32).sublayers() if isinstance(layer, paddle.nn.Conv2DTranspose)]
    assert len(transposed) == 4


def test_the_avatar_networks_count_what_their_layers_say():
    block = convolution(8, 512, 3, 2) + convolution(512, 512, 3, 2) + convolution(8, 512, 1, 2)
    assert count(BasicBlock(8, 512)) == block
    widths = [512, 512, 256, 128, 64]
    doublings = sum(convolution(wide, narrow, 4, 2) for wide, narrow in zip(widths, widths[1:]))
    assert count(AvatarGenerator()) == block + doublings + convolution(64, 3, 4, 1) == 9_355_139
    widths = [64, 128, 256, 512, 512]
    halvings = sum(convolution(narrow, wide, 4, 2) for narrow, wide in zip(widths, widths[1:]))
    assert count(AvatarDiscriminator()) == convolution(3, 64, 4, 1) + halvings + convolution(512, 2, 3, 1) == 6_961_986


def test_the_first_gan_counts_what_the_authors_say():
    assert count(MLPGenerator()) == 100 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    assert count(MLPDiscriminator()) == 784 * 1200 + 1200 + 240 * 1200 + 1200 + 240 + 1


def test_the_avatar_networks_normalise_and_drop_as_described():
    generator, discriminator = AvatarGenerator(), AvatarDiscriminator()
    norms = [layer for network in (generator, discriminator) for layer in network.sublayers()
             if isinstance(layer, paddle.nn.BatchNorm2D)]
    assert norms and {norm._momentum for norm in norms} == {0.5}
    assert {layer.share for layer in discriminator.sublayers() if isinstance(layer, Dropout)} == {0.4}
    slopes = {layer._negative_slope for layer in discriminator.sublayers() if isinstance(layer, paddle.nn.LeakyReLU)}
    assert slopes == {0.2}
    assert isinstance(generator.layers[0], BasicBlock)


def test_a_basic_block_adds_its_shortcut():
    paddle.seed(0)
    block, x = BasicBlock(2, 4), paddle.randn([3, 2, 5, 5])
    block.eval()
    expected = np.maximum(block.body(x).numpy() + block.shortcut(x).numpy(), 0)
    assert np.array_equal(block(x).numpy(), expected)


def test_maxout_takes_the_largest_piece():
    paddle.seed(0)
    network, x = MLPDiscriminator(4, 1, [3], pieces=2), paddle.randn([5, 1, 4, 4])
    network.eval()
    pieces = (x.numpy().reshape(5, 16) + 1) / 2 @ network.hidden[0].weight.numpy() + network.hidden[0].bias.numpy()
    expected = pieces.reshape(5, 3, 2).max(2) @ network.head.weight.numpy() + network.head.bias.numpy()
    np.testing.assert_allclose(network(x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_weights_start_with_a_deviation_of_a_fiftieth():
    paddle.seed(0)
    weights = [parameter for network in (DCGANGenerator(), DCGANDiscriminator(), AvatarDiscriminator(32))
               for parameter in network.parameters() if parameter.ndim == 4 and parameter.size > 2000]
    assert weights and all(abs(float(weight.std()) - 0.02) < 0.002 for weight in weights)


@pytest.mark.parametrize("size, start", [(12, 6), (24, 6), (32, 4), (96, 6)])
def test_sizes_begin_at_four_or_six(size, start):
    generator, discriminator = DCGANGenerator(size, 5, 2), DCGANDiscriminator(size, 2)
    assert generator.layers[0].weight.shape[2:] == discriminator.head.weight.shape[2:] == [start, start]
    pictures = generator(paddle.randn([2, 5]))
    assert pictures.shape == [2, 3, size, size] and discriminator(pictures).shape == [2, 1]


@pytest.mark.parametrize("size", [3, 4, 6, 20, 36, 100])
def test_other_sizes_are_refused(size):
    for network in (DCGANGenerator, DCGANDiscriminator):
        with pytest.raises(ValueError, match="power of two"):
            network(size)
    with pytest.raises(ValueError, match="multiple of 9"):
        AvatarGenerator(100)

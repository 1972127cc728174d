"""What all networks promise: sizes, rebuilding from arguments, starts, statistics, one image whatever its batch."""
import importlib
import inspect
import json
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import networks
from ppgan_apps.networks import layers
from ppgan_apps.networks.animegan import AnimeGANDiscriminator, AnimeGANGenerator
from ppgan_apps.networks.animeganv2 import AnimeGANv2Discriminator, AnimeGANv2Generator
from ppgan_apps.networks.cartoongan import CartoonGANDiscriminator, CartoonGANGenerator
from ppgan_apps.networks.dcgan import AvatarDiscriminator, AvatarGenerator, DCGANDiscriminator, DCGANGenerator
from ppgan_apps.networks.landmarks import LandmarkNet
from ppgan_apps.networks.mlp import MLPDiscriminator, MLPGenerator
from ppgan_apps.networks.mobilefacenet import MobileFaceNet, recognisable_face
from ppgan_apps.networks.mobilenetv2 import MobileNetV2
from ppgan_apps.networks.patchgan import NLayerDiscriminator
from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
from ppgan_apps.networks.resnet import ResnetGenerator
from ppgan_apps.networks.segmentation import PortraitSegmenter
from ppgan_apps.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ppgan_apps.networks.ugatit import UGATITDiscriminator, UGATITGenerator
from ppgan_apps.networks.unet import UnetGenerator
from ppgan_apps.networks.vgg import VGG19

# Every network: a small one of its class, and the shape of one input.
SMALL = {
    "animegan": (AnimeGANGenerator, {"channel": 4, "n_blocks": 2}, [1, 3, 16, 24]),
    "animegan_discriminator": (AnimeGANDiscriminator, {"channel": 16}, [1, 3, 32, 32]),
    "animegan_discriminator_by_instance": (AnimeGANDiscriminator, {"channel": 8, "norm_type": "instance"},
                                           [1, 3, 16, 24]),
    "animeganv2": (AnimeGANv2Generator, {}, [1, 3, 32, 40]),
    "animeganv2_lite": (AnimeGANv2Generator, {"lite": True}, [1, 3, 40, 32]),
    "avatar": (AvatarGenerator, {"width": 4}, [1, 72]),
    "avatar_discriminator": (AvatarDiscriminator, {"width": 4}, [1, 3, 96, 96]),
    "cartoongan": (CartoonGANGenerator, {"ngf": 4, "n_blocks": 2}, [1, 3, 16, 24]),
    "cartoongan_discriminator": (CartoonGANDiscriminator, {"ndf": 4}, [1, 3, 16, 24]),
    "cgan": (DCGANGenerator, {"size": 16, "width": 4, "classes": 3}, [1, 100]),
    "cgan_discriminator": (DCGANDiscriminator, {"size": 16, "width": 4, "classes": 3}, [1, 3, 16, 16]),
    "dcgan": (DCGANGenerator, {"width": 4, "channels": 1}, [1, 100]),
    "dcgan_discriminator": (DCGANDiscriminator, {"width": 4, "dropout": 0.1}, [1, 3, 32, 32]),
    "landmarks": (LandmarkNet, {"points": 3, "widths": [4, 4, 4, 4], "depths": [0, 1, 1, 0], "hidden": 8, "side": 32},
                  [1, 1, 32, 32]),
    "mlp": (MLPGenerator, {"width": 16}, [1, 100]),
    "mlp_discriminator": (MLPDiscriminator, {"widths": [6, 5]}, [1, 1, 28, 28]),
    "mobilefacenet": (MobileFaceNet, {}, [1, 3, 112, 112]),
    "mobilenetv2": (MobileNetV2, {"taps": ["block2", "block6"]}, [1, 3, 32, 48]),
    "patchgan": (NLayerDiscriminator, {"ndf": 8}, [1, 6, 64, 64]),
    "photo2cartoon": (Photo2CartoonGenerator, {"ngf": 8, "img_size": 64}, [1, 3, 64, 64]),
    "photo2cartoon_full": (Photo2CartoonGenerator, {"ngf": 8, "img_size": 64, "light": False}, [1, 3, 64, 64]),
    "resnet": (ResnetGenerator, {"ngf": 8, "n_blocks": 2}, [1, 3, 32, 48]),
    "segmenter": (PortraitSegmenter, {"widths": [4, 4, 8, 8], "side": 32}, [1, 3, 32, 32]),
    "stylegan2": (StyleGAN2Generator, {"size": 16, "style_dim": 8, "n_mlp": 2, "channel_max": 8}, [1, 8]),
    "stylegan2_discriminator": (StyleGAN2Discriminator, {"size": 16, "channel_max": 8}, [1, 3, 16, 16]),
    "ugatit": (UGATITGenerator, {"ngf": 8, "img_size": 32, "n_blocks": 2}, [1, 3, 32, 32]),
    "ugatit_discriminator": (UGATITDiscriminator, {"ndf": 8}, [1, 3, 64, 64]),
    "ugatit_light": (UGATITGenerator, {"ngf": 8, "n_blocks": 2, "light": True}, [1, 3, 32, 48]),
    "unet": (UnetGenerator, {"num_downs": 5, "ngf": 8}, [1, 3, 64, 32]),
    "vgg": (VGG19, {"width": 8}, [1, 3, 32, 32]),
}
# Networks that another file puts through the like: class name, and the file beside this one.
ELSEWHERE = {"PGGANGenerator": "test_pggan.py", "StyleGANGenerator": "test_stylegan.py",
             "StyleGANDiscriminator": "test_stylegan.py", "InceptionV3": "test_golden.py"}
# By batch normalisation as pix2pix uses it, and by the standard deviation that StyleGAN2's discriminator is given.
DEPENDS_ON_THE_BATCH = {"unet", "patchgan", "stylegan2_discriminator"}
FROZEN = {"vgg", "mobilenetv2"}


def run(network, x):
    """The outputs for `x`, with the label 0, 1 ... for a conditional network."""
    labels = [paddle.arange(len(x))] if network.arguments.get("classes") else []
    outputs = network(x, *labels)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return outputs if isinstance(outputs, (list, tuple)) else [outputs]


def outputs_of(network, x):
    with paddle.no_grad():
        return run(network, x)


def built(name, seed=0):
    network_class, arguments, shape = SMALL[name]
    paddle.seed(seed)
    return network_class(**arguments), paddle.uniform(shape, min=-1, max=1)


def network_classes():
    """Names of the classes in ppgan_apps/networks that keep their arguments, and so can be saved and rebuilt; without
    those that only others are derived from."""
    modules = [importlib.import_module(f"{networks.__name__}.{found.name}")
               for found in pkgutil.iter_modules([Path(networks.__file__).parent])]
    found = {value for module in modules for value in vars(module).values()
             if isinstance(value, type) and issubclass(value, paddle.nn.Layer) and keeps_arguments(value)}
    return {value.__name__ for value in found if not any(issubclass(other, value) for other in found - {value})}


def keeps_arguments(network_class):
    starts = [base.__init__ for base in network_class.__mro__
              if base.__module__.startswith(networks.__name__) and "__init__" in vars(base)]
    return any("self.arguments" in inspect.getsource(start) for start in starts)


def test_every_network_is_listed():
    listed = {network_class.__name__ for network_class, _, _ in SMALL.values()}
    found = network_classes()
    assert {"UGATITGenerator", "StyleGAN2Discriminator"} <= found
    assert found - listed - set(ELSEWHERE) == set(), "give each a line in SMALL, or in ELSEWHERE"
    for name, file in ELSEWHERE.items():
        assert name in (Path(__file__).parent / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SMALL)
def test_arguments_rebuild_the_network(name):
    network, _ = built(name)
    again = type(network)(**json.loads(json.dumps(network.arguments)))
    assert {key: entry.shape for key, entry in again.state_dict().items()} == \
           {key: entry.shape for key, entry in network.state_dict().items()}


@pytest.mark.parametrize("name", sorted(set(SMALL) - DEPENDS_ON_THE_BATCH))
def test_an_image_does_not_depend_on_its_batch(name):
    """In double precision, since untrained norms of a few values enlarge the rounding that differs between batches."""
    network, x = built(name)
    network.eval()
    network.to(dtype="float64")
    x = x.astype("float64")
    together = outputs_of(network, paddle.concat([x, -x]))
    for alone, both in zip(outputs_of(network, x), together, strict=True):
        assert np.abs(alone.numpy() - both[:1].numpy()).max() <= 1e-8 * np.abs(both.numpy()).max()


@pytest.mark.parametrize("name", SMALL)
def test_evaluating_changes_no_weight(name):
    network, x = built(name)
    network.eval()
    before = {key: entry.numpy().copy() for key, entry in network.state_dict().items()}
    outputs_of(network, x)
    assert all(np.array_equal(before[key], entry.numpy()) for key, entry in network.state_dict().items())


@pytest.mark.parametrize("name", sorted(set(SMALL) - FROZEN))
def test_every_trained_parameter_gets_a_gradient(name):
    network, x = built(name)
    network.train()
    outputs = run(network, paddle.concat([x, -x]))
    sum((output * paddle.uniform(output.shape)).sum() for output in outputs).backward()
    trained = {key: entry for key, entry in network.named_parameters() if not entry.stop_gradient}
    assert [key for key, entry in trained.items() if entry.grad is None] == []


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (64, 20), (100, 36)])
def test_animeganv2_takes_any_multiple_of_four(lite, size):
    network = AnimeGANv2Generator(lite)
    picture, = outputs_of(network, paddle.uniform([1, 3, *size], min=-1))
    assert picture.shape == [1, 3, *size] and float(picture.abs().max()) <= 1


# Parameters: figures that the authors publish, and sums of the layers that a paper or its code lists.

def trained(network_class, *args, **arguments):
    """Trained parameters of a network that is built without its numbers: up to a gigabyte of them."""
    with paddle.LazyGuard():
        network = network_class(*args, **arguments)
    return sum(math.prod(parameter.shape) for parameter in network.parameters() if not parameter.stop_gradient)


def convolution(inputs, outputs, kernel, more=0, groups=1):
    """Weights of a convolution, and `more` numbers per map: 1 for a bias or slope, 2 for a norm's scale and shift."""
    return inputs // groups * outputs * kernel**2 + more * outputs


@pytest.mark.parametrize("network, arguments, expected", [
    (StyleGAN2Generator, {"size": 256}, 30_034_338),
    (StyleGAN2Generator, {"size": 512}, 30_276_583),
    (StyleGAN2Generator, {"size": 1024}, 30_370_060),
    (StyleGAN2Discriminator, {"size": 1024}, 29_012_513),      # as the authors' training prints it
    (Photo2CartoonGenerator, {}, 3_767_333),
    (AnimeGANv2Generator, {}, 2_143_552),
    (ResnetGenerator, {}, 11_378_179),
    (UGATITGenerator, {"light": True}, 10_589_888),
])
def test_trained_parameter_counts_are_the_published_ones(network, arguments, expected):
    assert trained(network, **arguments) == expected


@pytest.mark.parametrize("network, arguments, millions, digits", [
    (UnetGenerator, {}, 54.414, 3),
    (NLayerDiscriminator, {}, 2.77, 2),
    (NLayerDiscriminator, {"input_nc": 3, "norm_type": "instance"}, 2.765, 3),     # CycleGAN's
])
def test_pix2pix_and_cyclegan_have_the_published_millions(network, arguments, millions, digits):
    assert round(trained(network, **arguments) / 1e6, digits) == millions


def test_animegans_sizes_are_those_that_its_authors_state():
    """15.8 MB and 8.6 MB on the page of AnimeGANv2, 8.17 "Mb" (of 2^20 bytes) in its README; in float32."""
    assert round(4 * trained(AnimeGANGenerator) / 1e6, 1) == 15.8
    size = 4 * trained(AnimeGANv2Generator)
    assert round(size / 1e6, 1) == 8.6 and int(100 * size / 2**20) == 817


def test_frozen_networks_count_what_their_classifiers_leave():
    """VGG19: 20,024,384 without its top (Keras). MobileNetV2: 3,504,872 (torchvision) less its classifier of 1,000
    classes and the last convolution."""
    def every(network):
        return sum(parameter.size for name, parameter in network.named_parameters()
                   if not name.endswith(("_mean", "_variance")))
    assert every(VGG19(["conv5_4"])) == 20_024_384
    assert every(MobileNetV2(["block17"])) == 3_504_872 - (1280 + 1) * 1000 - convolution(320, 1280, 1, 2)


def test_animegans_networks_count_what_their_layers_say():
    def separable(inputs, outputs):
        return convolution(inputs, inputs, 3, groups=inputs) + convolution(inputs, outputs, 1, 2)

    def inverted(channels):
        wide = 2 * channels
        return (convolution(channels, wide, 1, 2) + convolution(wide, wide, 3, 2, groups=wide)
                + convolution(wide, channels, 1, 2))
    encoder = (convolution(3, 64, 3, 2) + convolution(64, 64, 3, 2) + 2 * separable(64, 128)
               + convolution(128, 128, 3, 2) + separable(128, 128) + 2 * separable(128, 256))
    middle = 2 * convolution(256, 256, 3, 2) + 8 * inverted(256)
    decoder = (separable(256, 128) + separable(128, 128) + convolution(128, 128, 3, 2)
               + separable(128, 128) + convolution(128, 64, 3, 2) + convolution(64, 64, 3, 2) + convolution(64, 3, 1))
    assert trained(AnimeGANGenerator) == encoder + middle + decoder == 3_956_096
    discriminator = (convolution(3, 32, 3) + convolution(32, 64, 3) + convolution(64, 128, 3, 2)
                     + convolution(128, 128, 3) + convolution(128, 256, 3, 2) + convolution(256, 256, 3, 2)
                     + convolution(256, 1, 3))
    for norm_type in ("layer", "instance"):
        assert trained(AnimeGANDiscriminator, norm_type=norm_type) == discriminator


def test_animeganv2s_lite_generator_counts_what_its_layers_say():
    """net/generator_lite.py of the authors, the variant with the scopes A to E."""
    block = convolution(64, 128, 1, 2) + convolution(128, 128, 3, 2) + convolution(128, 64, 1)
    down = (convolution(3, 32, 7, 2) + 2 * convolution(32, 32, 3, 2) + convolution(32, 64, 3, 2)
            + 2 * convolution(64, 64, 3, 2))
    up = (3 * convolution(64, 64, 3, 2) + convolution(64, 32, 3, 2) + convolution(32, 32, 3, 2)
          + convolution(32, 32, 7, 2) + convolution(32, 3, 1))
    assert trained(AnimeGANv2Generator, lite=True) == down + 4 * block + up


def test_cartoongans_networks_count_what_its_figure_says():
    down = (convolution(3, 64, 7, 3) + convolution(64, 128, 3, 1) + convolution(128, 128, 3, 3)
            + convolution(128, 256, 3, 1) + convolution(256, 256, 3, 3))
    up = (convolution(256, 128, 3, 1) + convolution(128, 128, 3, 3) + convolution(128, 64, 3, 1)
          + convolution(64, 64, 3, 3) + convolution(64, 3, 7, 1))
    blocks = 8 * 2 * convolution(256, 256, 3, 3)
    assert trained(CartoonGANGenerator) == down + blocks + up == 11_129_667
    discriminator = (convolution(3, 32, 3, 1) + convolution(32, 64, 3, 1) + convolution(64, 128, 3, 3)
                     + convolution(128, 128, 3, 1) + convolution(128, 256, 3, 3) + convolution(256, 256, 3, 3)
                     + convolution(256, 1, 3, 1))
    assert trained(CartoonGANDiscriminator) == discriminator


def test_ugatits_networks_count_what_their_table_says():
    """The full generator differs from the light one in the style's first layer alone: 278,959,808 parameters."""
    around = (convolution(3, 64, 7) + convolution(64, 128, 3) + convolution(128, 256, 3)
              + 8 * convolution(256, 256, 3)                   # the encoder's four residual blocks
              + 2 * 256 + convolution(512, 256, 1, 1)          # attention
              + 3 * 256**2                                     # the style's second layer, gamma and beta
              + 8 * convolution(256, 256, 3, 1)                # the decoder's, with rho
              + convolution(256, 128, 3, 3) + convolution(128, 64, 3, 3) + convolution(64, 3, 7))
    assert trained(UGATITGenerator, light=True) == around + 256**2
    assert trained(UGATITGenerator) == around + 64 * 64 * 256 * 256 == 278_959_808
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    for layers_, last in ((5, 4), (7, 6)):
        down = sum(convolution(*pair, 4, 1) for pair in zip(widths[:last], widths[1:last + 1]))
        wide = widths[last]
        head = 2 * wide + convolution(2 * wide, wide, 1, 1) + convolution(wide, 1, 4)
        assert trained(UGATITDiscriminator, n_layers=layers_) == down + head


def test_mobilefacenet_counts_what_its_layers_say():
    """Table 1 of Chen 2018 as InsightFace_Pytorch has it, with 512 numbers for a face instead of 128."""
    def bottleneck(inputs, outputs, wide):
        return convolution(inputs, wide, 1, 3) + convolution(wide, wide, 3, 3, wide) + convolution(wide, outputs, 1, 2)
    expected = (convolution(3, 64, 3, 3) + convolution(64, 64, 3, 3, 64) + 5 * bottleneck(64, 64, 128)
                + bottleneck(64, 128, 256) + 6 * bottleneck(128, 128, 256) + bottleneck(128, 128, 512)
                + 2 * bottleneck(128, 128, 256) + convolution(128, 512, 1, 3) + convolution(512, 512, 7, 2, 512)
                + 512 * 512 + 2 * 512)
    assert trained(MobileFaceNet) == expected


def test_the_segmenter_is_as_small_as_described():
    assert round(trained(PortraitSegmenter) / 1e6, 2) == 0.14


def test_landmarks_are_the_middle_of_their_heat_maps():
    network = LandmarkNet(points=2, widths=(4, 4, 4, 4), depths=(0, 0, 0, 0), hidden=8, side=64)
    network.eval()
    network.heat.weight.set_value(paddle.zeros_like(network.heat.weight))
    _, points = network(paddle.uniform([1, 1, 64, 64]))
    np.testing.assert_allclose(points.numpy(), 0, atol=1e-6)   # every cell as likely: the middle of the patch
    cells = np.full([8, 8], -50.0)
    cells[2, 5] = cells[2, 6] = 50                              # row 2 of 8, between columns 5 and 6
    places = paddle.nn.functional.softmax(paddle.to_tensor(cells.ravel(), "float32")) @ network.places
    np.testing.assert_allclose(places.numpy(), [(6 * 8) / 32 - 1, (2.5 * 8) / 32 - 1], atol=1e-5)


@pytest.mark.parametrize("network", [lambda: UnetGenerator(num_downs=5, ngf=32), lambda: NLayerDiscriminator(),
                                     lambda: ResnetGenerator(n_blocks=1), lambda: AnimeGANv2Generator()])
def test_these_start_with_a_deviation_of_a_fiftieth(network):
    paddle.seed(0)
    weights = [parameter for parameter in network().parameters() if parameter.ndim == 4 and parameter.size > 2000]
    assert weights and all(abs(float(weight.std()) - 0.02) < 0.002 for weight in weights)


def test_the_patchgan_sees_patches():
    assert outputs_of(NLayerDiscriminator(), paddle.zeros([1, 6, 256, 256]))[0].shape == [1, 1, 30, 30]


def test_animeganv2_trains_against_animegans_discriminator():
    assert AnimeGANv2Discriminator is AnimeGANDiscriminator


def test_spectral_norm_converges_in_training_and_rests_in_evaluation():
    paddle.seed(0)
    for layer in (layers.SpectralConv2D(4, 6, 3), layers.SpectralLinear(8, 5)):
        layer.train()
        for _ in range(100):
            weight = layer.weight()
        matrix = weight.numpy().reshape(6, -1) if weight.ndim == 4 else weight.numpy()
        assert np.linalg.norm(matrix, 2) == pytest.approx(1, abs=1e-3)
        layer.eval()
        stored = layer.weight_u.numpy().copy()
        layer.weight()
        assert np.array_equal(layer.weight_u.numpy(), stored)


def test_two_spectral_passes_before_one_backward_keep_their_own_vectors():
    paddle.seed(0)
    layer = layers.SpectralLinear(8, 5)
    layer.train()
    x = paddle.randn([3, 8])
    first = layer(x)
    (first.sum() + layer(x).sum()).backward()
    assert np.isfinite(layer.weight_orig.grad.numpy()).all()


def test_layer_instance_norm_is_both_norms_mixed():
    random = np.random.RandomState(0)
    x = random.standard_normal((2, 3, 5, 4)) * [[[[1]], [[3]], [[5]]]] + [[[[0]], [[2]], [[-1]]]]
    rho, gamma, beta = (random.uniform(size=(1, 3, 1, 1)) for _ in range(3))

    def normalised(axes):
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True, ddof=1) + 1e-5)

    expected = gamma * (rho * normalised((2, 3)) + (1 - rho) * normalised((1, 2, 3))) + beta
    ours = layers.layer_instance_norm(*(paddle.to_tensor(value) for value in (x, rho, gamma, beta)))
    assert ours.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("width", [1, 3])
def test_reflection_mirrors_without_repeating_the_border(width):
    x = np.random.RandomState(0).standard_normal((2, 3, 5, 7)).astype("float32")
    padded = layers.ReflectionPad(width)(paddle.to_tensor(x)).numpy()
    assert np.array_equal(padded, np.pad(x, [(0, 0), (0, 0), (width, width), (width, width)], mode="reflect"))


def test_batch_norm_uses_the_batch_at_hand_and_moves_its_statistics_in_training_only():
    paddle.seed(0)
    norm, x = layers.BatchStatisticsNorm(3), paddle.randn([2, 3, 4, 4]) * 3 + 1
    norm.eval()
    evaluated = norm(x)
    assert norm._mean.numpy() == pytest.approx(0)
    norm.train()
    assert np.array_equal(norm(x).numpy(), evaluated.numpy())
    assert norm._mean.numpy() == pytest.approx(0.1 * x.mean([0, 2, 3]).numpy(), rel=1e-4)


def test_vgg_is_frozen_repeatable_and_tapped_before_or_after_its_activation():
    x = paddle.uniform([1, 3, 32, 32], min=-1)
    before, after = (VGG19(["conv1_2", "conv3_1"], before_activation=flag, width=8) for flag in (True, False))
    features, activated = before(x), after(x)
    assert list(features) == ["conv1_2", "conv3_1"] and features["conv3_1"].shape == [1, 32, 8, 8]
    for name in features:
        assert np.array_equal(np.maximum(features[name].numpy(), 0), activated[name].numpy())
    assert all(parameter.stop_gradient for parameter in before.parameters())
    assert "features.10.weight" in before.state_dict() and "features.12.weight" not in before.state_dict()
    with pytest.raises(ValueError, match="conv6_1"):
        VGG19(["conv6_1"])


def test_vgg_preprocessing_is_what_its_weights_expect():
    x = paddle.to_tensor(np.float32([-1, 0, 1]).reshape(1, 3, 1, 1).repeat(16, 2).repeat(16, 3))
    rgb = np.array([0.0, 0.5, 1.0])
    network = VGG19(["conv1_1"], width=4)
    expected = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    weight = network.features[0].weight.numpy()
    centre = network(x)["conv1_1"].numpy()[0, :, 8, 8]
    assert centre == pytest.approx((weight.sum((2, 3)) * expected).sum(1), rel=1e-4)
    network = VGG19(["conv1_1"], width=4, preprocessing="caffe")
    expected = (rgb * 255)[::-1] - [103.939, 116.779, 123.68]
    centre = network(x)["conv1_1"].numpy()[0, :, 8, 8]
    assert centre == pytest.approx((weight.sum((2, 3)) * expected).sum(1), rel=1e-4)


def test_mobilefacenet_gives_unit_vectors_of_the_face():
    network = MobileFaceNet()
    network.eval()
    face = recognisable_face(paddle.uniform([2, 3, 256, 256], min=-1))
    assert face.shape == [2, 3, 112, 112]
    embedding, = outputs_of(network, face)
    assert embedding.shape == [2, 512]
    assert np.linalg.norm(embedding.numpy(), axis=1) == pytest.approx(1, abs=1e-5)
    keys = {"conv_3.model.0.conv_dw.prelu.weight", "conv_6_dw.bn._variance", "linear.weight"}
    assert keys <= set(network.state_dict())


def test_photo2cartoon_starts_so_that_a_cycle_can_be_learned():
    """The gradient that the first of two chained networks gets is about as large as its own, not hundreds of times."""
    paddle.seed(1)
    there, back = (Photo2CartoonGenerator(ngf=8, img_size=64, n_blocks=1) for _ in range(2))
    picture = paddle.rand([1, 3, 64, 64]) * 2 - 1

    def gradient(loss) -> float:
        there.clear_gradients()
        loss.backward()
        squares = [float((value.grad ** 2).sum()) for value in there.parameters() if value.grad is not None]
        return sum(squares) ** 0.5

    alone = gradient((there(picture)[0] - picture).abs().mean())
    assert gradient((back(there(picture)[0])[0] - picture).abs().mean()) < 5 * alone

"""What all networks promise: sizes, rebuilding from arguments, starts, statistics, one image whatever its batch."""
import json

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.networks import layers
from ppgan_apps.networks.animegan import AnimeGANDiscriminator
from ppgan_apps.networks.animeganv2 import AnimeGANv2Discriminator, AnimeGANv2Generator
from ppgan_apps.networks.mobilefacenet import MobileFaceNet, recognisable_face
from ppgan_apps.networks.patchgan import NLayerDiscriminator
from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
from ppgan_apps.networks.resnet import ResnetGenerator
from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
from ppgan_apps.networks.ugatit import UGATITDiscriminator, UGATITGenerator
from ppgan_apps.networks.unet import UnetGenerator
from ppgan_apps.networks.vgg import VGG19

SMALL = {
    "animeganv2": (AnimeGANv2Generator, {}, [1, 3, 32, 40]),
    "animeganv2_lite": (AnimeGANv2Generator, {"lite": True}, [1, 3, 40, 32]),
    "animegan_discriminator": (AnimeGANDiscriminator, {"channel": 16}, [1, 3, 32, 32]),
    "photo2cartoon": (Photo2CartoonGenerator, {"ngf": 8, "img_size": 64}, [1, 3, 64, 64]),
    "photo2cartoon_full": (Photo2CartoonGenerator, {"ngf": 8, "img_size": 64, "light": False}, [1, 3, 64, 64]),
    "ugatit": (UGATITGenerator, {"ngf": 8, "img_size": 32, "n_blocks": 2}, [1, 3, 32, 32]),
    "ugatit_light": (UGATITGenerator, {"ngf": 8, "n_blocks": 2, "light": True}, [1, 3, 32, 48]),
    "ugatit_discriminator": (UGATITDiscriminator, {"ndf": 8}, [1, 3, 64, 64]),
    "unet": (UnetGenerator, {"num_downs": 5, "ngf": 8}, [1, 3, 64, 32]),
    "patchgan": (NLayerDiscriminator, {"ndf": 8}, [1, 6, 64, 64]),
    "resnet": (ResnetGenerator, {"ngf": 8, "n_blocks": 2}, [1, 3, 32, 48]),
    "vgg": (VGG19, {"width": 8}, [1, 3, 32, 32]),
    "mobilefacenet": (MobileFaceNet, {}, [1, 3, 112, 112]),
}
DEPENDS_ON_THE_BATCH = {"unet", "patchgan"}              # batch normalisation, as pix2pix uses it


def outputs_of(network, x):
    with paddle.no_grad():
        outputs = network(x)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return outputs if isinstance(outputs, (list, tuple)) else [outputs]


def built(name, seed=0):
    network_class, arguments, shape = SMALL[name]
    paddle.seed(seed)
    return network_class(**arguments), paddle.uniform(shape, min=-1, max=1)


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


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"vgg"}))
def test_every_trained_parameter_gets_a_gradient(name):
    network, x = built(name)
    network.train()
    outputs = network(paddle.concat([x, -x]))
    outputs = outputs if isinstance(outputs, tuple) else [outputs]
    sum((output * paddle.uniform(output.shape)).sum() for output in outputs).backward()
    trained = {key: entry for key, entry in network.named_parameters() if not entry.stop_gradient}
    assert [key for key, entry in trained.items() if entry.grad is None] == []


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (64, 20), (100, 36)])
def test_animeganv2_takes_any_multiple_of_four(lite, size):
    network = AnimeGANv2Generator(lite)
    picture, = outputs_of(network, paddle.uniform([1, 3, *size], min=-1))
    assert picture.shape == [1, 3, *size] and float(picture.abs().max()) <= 1


@pytest.mark.parametrize("network, expected", [
    (lambda: StyleGAN2Generator(256), 30_034_338),
    (lambda: StyleGAN2Generator(512), 30_276_583),
    (lambda: StyleGAN2Generator(1024), 30_370_060),
    (lambda: Photo2CartoonGenerator(), 3_767_333),
    (lambda: AnimeGANv2Generator(), 2_143_552),
    (lambda: ResnetGenerator(), 11_378_179),
    (lambda: UGATITGenerator(light=True), 10_589_888),
], ids=["stylegan2_256", "stylegan2_512", "stylegan2_1024", "photo2cartoon", "animeganv2", "resnet9", "ugatit_light"])
def test_trained_parameter_counts_are_the_published_ones(network, expected):
    assert sum(parameter.size for parameter in network().parameters() if not parameter.stop_gradient) == expected


@pytest.mark.parametrize("network, millions", [(UnetGenerator, 54.41), (NLayerDiscriminator, 2.77)])
def test_pix2pix_has_the_published_millions(network, millions):
    count = sum(parameter.size for parameter in network().parameters() if not parameter.stop_gradient)
    assert round(count / 1e6, 2) == millions


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

"""StyleGAN2's latents, noise, truncation and resampling."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle
import paddle.nn.functional as F

from ppgan_apps.networks import resampling, stylegan2
from ppgan_apps.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator


@pytest.fixture(scope="module")
def generator():
    paddle.seed(0)
    network = StyleGAN2Generator(16, style_dim=16, n_mlp=2, channel_max=16)
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            parameter.set_value(np.float32([0.5]))
    network.eval()
    return network


@pytest.fixture(autouse=True)
def no_gradients():
    with paddle.no_grad():
        yield


def latents(count, seed=0):
    return paddle.to_tensor(np.random.RandomState(seed).standard_normal((count, 16)).astype("float32"))


def close(a, b, tolerance=1e-5):
    return float((a - b).abs().max()) <= tolerance * float(b.abs().max())


def test_both_upsampling_convolutions_are_zero_insertion_convolution_and_blur():
    paddle.seed(0)
    x, weight = paddle.randn([2, 3, 5, 5]), paddle.randn([4, 3, 3, 3])
    inserted = F.conv2d_transpose(x, weight.transpose([1, 0, 2, 3]), stride=2)        # [2, 4, 11, 11]
    kernel = paddle.to_tensor(resampling.binomial_kernel(4.0)).reshape([1, 1, 4, 4])
    expected = F.conv2d(inserted.reshape([8, 1, 11, 11]), kernel, padding=1).reshape([2, 4, 10, 10])
    matrices = paddle.to_tensor(resampling.phase_matrices())
    matrix = paddle.to_tensor(resampling.blur_matrix(11, (1, 1), gain=2.0))
    assert close(resampling.upsampling_convolution(x, weight, matrices), expected)
    assert close(resampling.upsampling_convolution_once(x, weight, matrix), expected)


def test_upsampling_is_zero_insertion_and_the_given_filter():
    paddle.seed(0)
    x, kernel = paddle.randn([2, 3, 4, 4]), paddle.randn([4, 4])                      # asymmetric, to see a flip
    inserted = paddle.zeros([6, 1, 8, 8])
    inserted[:, :, ::2, ::2] = x.reshape([6, 1, 4, 4])
    flipped = kernel.flip([0, 1]).reshape([1, 1, 4, 4])
    expected = F.conv2d(F.pad(inserted, [2, 1, 2, 1]), flipped).reshape([2, 3, 8, 8])
    assert close(resampling.upsample(x, kernel), expected)


def test_a_blur_keeps_the_mean_inside():
    matrix = resampling.blur_matrix(8, (1, 2))
    assert matrix.shape == (8, 8)
    assert matrix[:, 1:-2].sum(0) == pytest.approx(1.0)


def test_stored_noise_repeats_and_fresh_noise_does_not(generator):
    z = latents(2)
    stored = [generator([z], randomize_noise=False) for _ in range(2)]
    assert np.array_equal(stored[0].numpy(), stored[1].numpy())
    assert not close(generator([z]), generator([z]))
    assert close(generator([z], noise=generator.stored_noise()), stored[0])
    assert [noise.shape[-1] for noise in generator.make_noise()] == [4, 8, 8, 16, 16]


def test_a_list_of_wrong_noises_is_refused(generator):
    with pytest.raises(ValueError, match="5 tensors"):
        generator([latents(1)], noise=[None])


def test_mapping_and_synthesis_are_what_the_call_does(generator):
    z = latents(2)
    images, styles = generator([z], randomize_noise=False, return_latents=True)
    assert images.shape == [2, 3, 16, 16] and styles.shape == [2, generator.n_latent, 16]
    assert close(generator.synthesis(generator.mapping(z), "stored"), images)
    assert close(generator.synthesis(styles, "stored"), images)
    assert close(generator([styles], input_is_latent=True, randomize_noise=False), images)


def test_twice_differentiable_or_not_is_the_same_picture(generator):
    w = generator.mapping(latents(2))
    assert close(generator.synthesis(w, "stored", twice_differentiable=True),
                 generator.synthesis(w, "stored", twice_differentiable=False))


def test_mixing_takes_each_layer_from_its_latent(generator):
    a, b = generator.mapping(latents(1, 1)), generator.mapping(latents(1, 2))
    mixed = generator.mix([a, b], 2)
    assert close(mixed[:, :2], a.unsqueeze(1).expand([-1, 2, -1]))
    assert close(mixed[:, 2:], b.unsqueeze(1).expand([-1, 4, -1]))
    three = generator.mix([a, b, a], [1, 3])
    assert close(three[:, 0], a) and close(three[:, 2], b) and close(three[:, 3], a)
    assert generator.mix([a, b]).shape == [1, 6, 16]
    with pytest.raises(ValueError, match="rising"):
        generator.mix([a, b], 7)


def test_truncation_pulls_towards_the_mean(generator):
    z, centre = latents(1), generator.mean_latent(64, seed=3)
    whole = generator.synthesis(centre.expand([1, -1]), "stored")
    assert close(generator([z], truncation=0.0, truncation_latent=centre, randomize_noise=False), whole)
    half = generator.synthesis((generator.mapping(z) + centre) / 2, "stored")
    assert close(generator([z], truncation=0.5, truncation_latent=centre, randomize_noise=False), half)
    default = generator([z], truncation=0.5, randomize_noise=False)
    mean = generator.mean_latent()
    assert close(generator([z], truncation=0.5, truncation_latent=mean, randomize_noise=False), default)


def test_an_image_does_not_depend_on_its_batch(generator):
    z = latents(3)
    together = generator([z], randomize_noise=False)
    assert close(generator([z[1:2]], randomize_noise=False), together[1:2])


def test_the_seed_decides_the_start():
    states = []
    for seed in (4, 4, 5):
        paddle.seed(seed)
        states.append(StyleGAN2Generator(8, style_dim=8, n_mlp=1, channel_max=8).conv1.conv.weight.numpy())
    assert np.array_equal(states[0], states[1]) and not np.array_equal(states[0], states[2])


def test_the_start_is_normal_with_the_multiplier_taken_out():
    paddle.seed(0)
    network = StyleGAN2Generator(8, style_dim=64, n_mlp=1, channel_max=16)
    assert network.style[1].weight.numpy().std() == pytest.approx(100, rel=0.05)
    assert network.conv1.conv.modulation.bias.numpy() == pytest.approx(1)


def test_channels_are_the_published_ones_up_to_a_bound():
    assert [stylegan2.channels_at(size) for size in (4, 32, 64, 128, 256, 1024)] == [512, 512, 512, 256, 128, 32]
    assert [stylegan2.channels_at(size, 1) for size in (64, 256)] == [256, 64]
    assert [stylegan2.channels_at(size, 2, 64) for size in (4, 256, 1024)] == [64, 64, 32]


@pytest.mark.parametrize("size", [4, 48, 2048])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="power-of-two"):
        StyleGAN2Generator(size)


@pytest.mark.parametrize("batch, group", [(1, 1), (4, 4), (6, 3), (8, 4)])
def test_minibatch_stddev_is_the_deviation_within_each_group(batch, group):
    x = np.random.RandomState(0).standard_normal((batch, 5, 4, 4)).astype("float32")
    out = stylegan2.minibatch_stddev(paddle.to_tensor(x)).numpy()
    assert np.array_equal(out[:, :5], x)
    expected = np.sqrt(x.reshape(group, -1, 5, 4, 4).var(0) + 1e-8).mean((1, 2, 3))   # of each group
    expected = np.broadcast_to(expected[:, None], (group, batch // group, 16))
    assert out[:, 5].reshape(group, -1, 16) == pytest.approx(expected)


def test_the_discriminator_judges_small_images():
    network = StyleGAN2Discriminator(8, channel_max=8)
    assert network(paddle.randn([3, 3, 8, 8])).shape == [3, 1]
    assert network.arguments == {"size": 8, "channel_multiplier": 2, "channel_max": 8}

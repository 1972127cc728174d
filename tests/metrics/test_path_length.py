"""Path lengths of generators whose length is known, and the ways between two latents."""
import numpy as np
import pytest

from ppgan_apps.metrics.features import FeatureSpace
from ppgan_apps.metrics.ppl import LatentPath, lerp, path_length, path_lengths, slerp, without_extremes

RANDOM = np.random.RandomState(0)
MATRIX = RANDOM.randn(5, 3 * 4 * 4)                            # a linear generator's weights


class Pixels(FeatureSpace):
    """The pixels themselves, 0 to 255."""

    name, sha256, size, resizer = "pixels", "none", 4, "none"

    def resize(self, picture):
        return np.asarray(picture)

    def compute(self, pictures):
        return pictures.reshape(len(pictures), -1)


def linear(interpolation="linear"):
    return LatentPath("z", interpolation, lambda random, count: random.randn(count, 5),
                      lambda z, numbers: (z @ MATRIX).reshape(-1, 3, 4, 4))


def squared(first, second):
    return ((first - second) ** 2).sum((1, 2, 3))


def test_linear_generator_in_closed_form():
    """On a straight line the length is |A (z2 - z1)|^2 wherever one stands, and 2 |A|^2 on average."""
    lengths = path_lengths(linear(), squared, 4000)
    expected = 2 * (MATRIX ** 2).sum()
    assert lengths.mean() == pytest.approx(expected, abs=4 * lengths.std() / np.sqrt(4000))
    random = np.random.RandomState(7)
    first, last = random.randn(16, 5), random.randn(16, 5)
    found = path_lengths(linear(), squared, 16, seed=7)
    np.testing.assert_allclose(found, (((last - first) @ MATRIX) ** 2).sum(1), rtol=1e-6)
    np.testing.assert_allclose(path_lengths(linear(), squared, 16, seed=7, epsilon=0.5, ends=True), found, rtol=1e-6)


def test_path_length_in_a_feature_space():
    """Pictures go from [-1, 1] to 0 ... 255, so pixel features give 127.5^2 times the closed form."""
    result = path_length(linear(), Pixels(), 400, seed=3, reject=0)
    lengths = path_lengths(linear(), squared, 400, seed=3)
    assert result.metric == "path length" and result.values["mean"] == pytest.approx(127.5 ** 2 * lengths.mean(), 1e-4)
    assert result.protocol["epsilon"] == 1e-4 and result.protocol["latents"] == "z" and result.protocol["rejected"] == 0
    assert result.protocol["features"] == "pixels" and result.protocol["sampling"] == "full"


def test_on_the_sphere_the_end_costs_the_angle():
    """G(z) = z: at t = 0 the arc's speed is the angle and the length's change, at right angles to each other."""
    same = LatentPath("z", "spherical", lambda random, count: random.randn(count, 48),
                      lambda z, numbers: z.reshape(-1, 3, 4, 4))
    random = np.random.RandomState(2)
    first, last = random.randn(16, 48), random.randn(16, 48)
    near, far = np.linalg.norm(first, axis=1), np.linalg.norm(last, axis=1)
    angle = np.arccos((first * last).sum(1) / near / far)
    found = path_lengths(same, squared, 16, seed=2, ends=True)
    np.testing.assert_allclose(found, (near * angle) ** 2 + (far - near) ** 2, rtol=1e-3)


def test_spherical_and_linear_ways():
    first, last = np.array([[2.0, 0]]), np.array([[0.0, 4]])
    half = 3 * np.sqrt(0.5)
    np.testing.assert_allclose(slerp(first, last, 0.5), [[half, half]])
    np.testing.assert_allclose(slerp(first, last, 0), first)
    np.testing.assert_allclose(slerp(first, last, 1), last, atol=1e-12)
    np.testing.assert_allclose(slerp(first, first, 0.3), first)
    np.testing.assert_allclose(lerp(first, last, np.array([[0.25]])), [[1.5, 1]])


def test_extremes_are_left_out():
    lengths = np.concatenate([np.arange(1, 100.0), [1e9]])
    assert without_extremes(lengths, 0.02).tolist() == list(range(2, 100)) and len(without_extremes(lengths, 0)) == 100


def test_every_sample_has_its_number():
    seen = []
    path = LatentPath("z", "linear", lambda random, count: random.randn(count, 2),
                      lambda z, numbers: seen.append(numbers) or np.zeros((len(z), 3, 4, 4)))
    path_lengths(path, squared, 20, batch_size=8)
    assert np.concatenate(seen[::2]).tolist() == np.concatenate(seen[1::2]).tolist() == list(range(20))

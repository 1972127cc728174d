"""The Laplacian pyramid and sliced Wasserstein distances against closed forms and scipy."""
import cv2
import numpy as np
import pytest
from scipy import ndimage, stats

from ppgan_apps.errors import DataError
from ppgan_apps.metrics import swd as module
from ppgan_apps.metrics.swd import descriptors, laplacian_pyramid, level_sides, sliced_wasserstein, swd


def rebuilt(pyramid):
    """The picture that a pyramid was made of, by scipy's filter."""
    taps = np.array([1, 4, 6, 4, 1]) / 8
    layer = pyramid[-1]
    for finer in reversed(pyramid[:-1]):
        spread = np.zeros_like(finer)
        spread[::2, ::2] = layer
        for axis in (0, 1):
            spread = ndimage.convolve1d(spread, taps, axis=axis, mode="mirror")
        layer = finer + spread
    return layer


def test_the_pyramid_gives_the_picture_back():
    picture = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    pyramid = laplacian_pyramid(picture, 3)
    assert [layer.shape for layer in pyramid] == [(64, 64, 3), (32, 32, 3), (16, 16, 3)]
    np.testing.assert_allclose(rebuilt(pyramid), picture, atol=1e-3)
    flat = laplacian_pyramid(np.full((32, 32, 3), 50, np.uint8), 2)
    np.testing.assert_allclose(flat[0], 0, atol=1e-4)
    np.testing.assert_allclose(flat[1], 50, atol=1e-4)


def test_levels_stop_at_16():
    assert level_sides(128) == [128, 64, 32, 16] and level_sides(96) == [96, 48, 24] and level_sides(45) == [45]


def test_descriptors_are_normalised_patches(monkeypatch):
    monkeypatch.setattr(module, "PATCHES", 9)
    picture = np.random.RandomState(0).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    found = descriptors([picture] * 3, 0, 1, np.random.RandomState(0)).reshape(27, 3, 7, 7)
    np.testing.assert_allclose(found.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std((0, 2, 3)), 1, atol=1e-5)
    top = np.random.RandomState(0).randint(10, size=9)[0]
    spread = picture[top:top + 7, :, 0].astype(float)
    match = [np.corrcoef(found[0, 0].ravel(), spread[:, left:left + 7].ravel())[0, 1] for left in range(10)]
    assert max(match) > 0.9999                                 # a patch of the picture, not of something else


def test_one_dimension_equals_scipy():
    random = np.random.RandomState(0)
    first, second = random.randn(500, 1).astype(np.float32), (2 * random.randn(500, 1) + 1).astype(np.float32)
    expected = stats.wasserstein_distance(first[:, 0], second[:, 0])
    assert sliced_wasserstein(first, second, random, 1, 4) == pytest.approx(expected, rel=1e-4)


def test_a_shift_costs_its_mean_projection():
    """A shift by v costs E|v . axis|, for evenly spread axes in three dimensions |v| / 2."""
    cloud = np.random.RandomState(1).randn(50, 3).astype(np.float32)
    found = sliced_wasserstein(cloud, cloud + np.array([3, 0, 4], np.float32), np.random.RandomState(0), 8, 1000)
    assert found == pytest.approx(2.5, rel=0.03)


def test_blur_shows_at_the_finest_level(faces):
    blurred = [cv2.GaussianBlur(face, (0, 0), 1) for face in faces[:20]]
    clean, dull = swd(faces[:20], faces[20:40]), swd(faces[:20], blurred)
    assert list(clean.values) == ["64", "32", "16", "mean"] and clean.protocol["projections"] == 512
    assert dull.values["64"] > 1.3 * clean.values["64"]
    assert clean == swd(faces[:20], faces[20:40])


def test_pictures_that_do_not_fit_are_refused(faces):
    with pytest.raises(DataError, match="of one size of 16 px or more, not 32x32, 64x64"):
        swd(faces[:2], [face[:32, :32] for face in faces[:2]])
    with pytest.raises(DataError, match="not 8x8"):
        swd([face[:8, :8] for face in faces[:2]], [face[:8, :8] for face in faces[:2]])

"""Masks: the guided filter's closed forms, GrabCut's repeatability, errors, and the embedded network's quality."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faces import intersection_over_union, label_mask
from ppgan_apps.errors import ImageError, MissingExtra, NoFaceError, SuiteError
from ppgan_apps.faces import prepare_face, segment
from ppgan_apps.faces.align import crop_face, transform
from ppgan_apps.faces.segment import guided_filter, letterbox
from ppgan_apps.images import read_image

LABELS = np.load(Path(__file__).parent / "labels.npz")
HELD_OUT = sorted(name[5:] for name in LABELS.files if name.startswith("mask_"))


def portrait(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A held-out portrait's 256 px crop, its landmarks in the crop, and mediapipe's mask of it (bool)."""
    sex, number = name.split("_")
    image, points = read_image(shared / "data" / "portraits" / sex / f"{number}.jpg"), LABELS[f"portrait_{name}"]
    crop = crop_face(image, points)
    return crop.image, transform(points, crop.to_crop), label_mask(LABELS, f"mask_{name}")


def test_guided_filter_keeps_a_constant():
    guide = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    np.testing.assert_allclose(guided_filter(guide, np.full((40, 50), 0.7), 4, 1e-3), 0.7, atol=1e-5)


def test_guided_filter_of_the_guide_itself():
    """With the source as its own guide and no smoothing the answer is the source; with much, it is the doubled box
    mean.
    """
    import cv2

    guide = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    np.testing.assert_allclose(guided_filter(guide, guide, 3, 1e-9), guide, atol=1e-4)
    box = cv2.boxFilter(cv2.boxFilter(guide, -1, (7, 7), borderType=2), -1, (7, 7), borderType=2)
    np.testing.assert_allclose(guided_filter(guide, guide, 3, 1e6), box, atol=1e-4)


def test_guided_filter_moves_a_blurred_edge_onto_the_pictures():
    import cv2

    picture = np.zeros((60, 60), np.float32)
    picture[:, 30:] = 1
    blurred = cv2.GaussianBlur(picture, (0, 0), 4)
    filtered = guided_filter(picture, blurred, 8, 1e-4)
    assert filtered[:, 30:34].mean() > blurred[:, 30:34].mean() and filtered[:, 26:30].mean() < blurred[:, 26:30].mean()
    assert filtered[30, 30] - filtered[30, 29] > 5 * (blurred[30, 30] - blurred[30, 29])


def test_letterbox_keeps_the_shape_and_fills_with_white():
    window, (height, width) = letterbox(np.zeros((100, 50, 3), np.uint8), 64)
    assert (height, width) == (64, 32) and window.shape == (2, 3, 64, 64)
    assert (window[..., :32] == -1).all() and (window[..., 32:] == 1).all()


def test_unknown_backends_and_arrays_are_refused():
    with pytest.raises(SuiteError, match="embedded, grabcut"):
        segment(np.zeros((9, 9, 3), np.uint8), backend="magic")
    with pytest.raises(ImageError):
        segment(np.zeros((9, 9), np.uint8))
    with pytest.raises(NoFaceError, match="landmarks"):
        segment(np.zeros((9, 9, 3), np.uint8), backend="grabcut")
    with pytest.raises(NoFaceError, match="outside"):
        segment(np.zeros((64, 64, 3), np.uint8), LABELS["photo_001"] + 9999, backend="grabcut")


@pytest.mark.skipif(importlib.util.find_spec("paddleseg") is not None, reason="paddleseg is installed")
@pytest.mark.parametrize("backend", ["pp_humanseg", "fcn_hrnet_w18"])
def test_paddleseg_backends_name_their_extra(backend):
    with pytest.raises(MissingExtra, match="paddleseg"):
        segment(np.zeros((32, 32, 3), np.uint8), backend=backend)


def test_a_face_that_fills_the_picture_does_not_crash_grabcut():
    points = LABELS["photo_001"]
    points = (points - points.min(axis=0)) * 4 - 60
    image = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    mask = segment(image, points, backend="grabcut")
    assert mask.shape == (120, 120) and mask.min() >= 0 and mask.max() <= 1


def test_grabcut_gives_the_same_mask_twice_and_finds_the_person(shared):
    scores = []
    for name in HELD_OUT[::5]:
        image, points, truth = portrait(shared, name)
        first, second = (segment(image, points, backend="grabcut") for _ in range(2))
        assert (first == second).all()
        scores.append(intersection_over_union(first > 0.5, truth))
    assert np.mean(scores) > 0.85


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (256, 256), (90, 64)])
def test_embedded_masks_any_shape(shape):
    mask = segment(np.full((*shape, 3), 127, np.uint8))
    assert mask.shape == shape and mask.dtype == np.float32 and 0 <= mask.min() <= mask.max() <= 1


def test_embedded_agrees_with_mediapipe_on_portraits_not_trained_on(shared):
    scores = []
    for name in HELD_OUT:
        image, points, truth = portrait(shared, name)
        scores.append(intersection_over_union(segment(image, points) > 0.5, truth))
    assert len(scores) == 20 and np.mean(scores) >= 0.963, dict(zip(HELD_OUT, np.round(scores, 3)))


def test_prepare_face_lays_the_person_on_white(shared):
    class Found:
        landmarks = LABELS["photo_001"]

    crop = prepare_face(read_image(shared / "data" / "photos" / "001.jpg"), Found())
    assert crop.image.shape == (256, 256, 3) and crop.mask.shape == (256, 256)
    assert (crop.image[crop.mask == 0] == 255).all() and (crop.mask == 0).mean() > 0.2
    centre = transform(LABELS["photo_001"].mean(axis=0), crop.to_crop).astype(int)
    assert crop.mask[centre[1], centre[0]] > 0.9


def test_a_crisp_mask_keeps_its_edge_and_only_its_largest_piece():
    from ppgan_apps.faces import crisp
    mask = np.zeros((8, 12), np.float32)
    mask[:, 3:8] = (0.2, 0.5, 1.0, 0.5, 0.4)
    mask[0, 11] = 1.0
    row = [0, 0, 0, 0, 0.5, 1, 0.5, 1 / 6, 0, 0, 0, 0]
    np.testing.assert_allclose(crisp(mask), np.tile(row, (8, 1)), atol=1e-6)
    assert crisp(np.zeros((4, 4), np.float32)).max() == 0

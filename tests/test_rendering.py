"""The renderings: flat stays flat, edges get ink, white stays white, the same picture gives the same bytes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ppgan_apps import rendering
from ppgan_apps.errors import ImageError
from ppgan_apps.rendering import anime, cartoon, comic, edge_smoothed, watercolour

SIZE = 256


def textured(seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Two flat halves, dark left and light right, under noise."""
    base = np.full((size, size, 3), (90, 70, 60), np.float32)
    base[:, size // 2:] = (200, 180, 150)
    noise = np.random.default_rng(seed).normal(0, 6, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def face_points(size: int = SIZE) -> np.ndarray:
    """A symmetrical set of 68 landmarks in the middle of a square of `size`."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.24 * np.cos(turn), 0.52 + 0.30 * np.sin(turn)], axis=1)
    rise = np.sin(np.linspace(0, np.pi, 5)) * 0.02
    brows = [np.stack([np.linspace(a, a + 0.14, 5), 0.43 - rise], axis=1) for a in (0.31, 0.55)]
    nose = np.concatenate([np.stack([np.full(4, 0.5), np.linspace(0.48, 0.60, 4)], axis=1),
                           np.stack([np.linspace(0.45, 0.55, 5), 0.63 + rise], axis=1)])
    eye = np.array([[-0.05, 0], [-0.02, -0.022], [0.02, -0.022], [0.05, 0], [0.02, 0.022], [-0.02, 0.022]])
    eyes = [eye + (x, 0.49) for x in (0.39, 0.61)]
    around = np.linspace(np.pi, 3 * np.pi, 13)[:12]
    outer = np.stack([0.5 + 0.10 * np.cos(around), 0.71 + 0.035 * np.sin(around)], axis=1)
    inside = np.linspace(np.pi, 3 * np.pi, 9)[:8]
    inner = np.stack([0.5 + 0.08 * np.cos(inside), 0.71 + 0.004 * np.sin(inside)], axis=1)
    return (np.concatenate([jaw, *brows, nose, *eyes, outer, inner]) * size).astype(np.float32)


def face_picture(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A skin-coloured disc on green with its mask."""
    rows, columns = np.indices((size, size)) / size
    mask = (np.hypot((columns - 0.5) / 0.30, (rows - 0.52) / 0.38) < 1).astype(np.float32)
    image = np.full((size, size, 3), (40, 160, 60), np.uint8)
    image[mask > 0] = (196, 150, 125)
    return image, mask


@pytest.mark.parametrize("render", [cartoon, anime, comic, watercolour])
def test_same_picture_same_bytes(render):
    image = textured()
    before = image.copy()
    first, second = render(image), render(image)
    assert first.dtype == np.uint8 and first.shape == image.shape
    assert np.array_equal(first, second)
    assert np.array_equal(image, before), "the input must not be written to"


@pytest.mark.parametrize("render", [cartoon, anime, comic, watercolour])
def test_texture_is_flattened(render):
    image = textured()
    drawn = render(image).astype(np.float32)
    for part in (np.s_[30:220, 20:100], np.s_[30:220, 160:240]):
        assert drawn[part].std(axis=(0, 1)).max() < 0.5 * image[part].astype(np.float32).std(axis=(0, 1)).min()


@pytest.mark.parametrize("render", [cartoon, anime, comic, watercolour])
def test_a_step_becomes_a_dark_line(render):
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    image[:, SIZE // 2:] = 230
    light = render(image).astype(np.float32).mean(axis=2)[SIZE // 2]
    line = light[SIZE // 2 - 4:SIZE // 2 + 2].min()
    assert line < 0.75 * light[40], "the dark side next to the step must be inked"
    assert light[SIZE - 40] > light[40] + 50, "both sides keep their tones"
    assert abs(light[SIZE // 2 + 8] - light[SIZE - 40]) < 4, "no halo on the light side"


@pytest.mark.parametrize("render", [cartoon, anime, comic, watercolour])
def test_single_specks_get_no_ink(render):
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[100:102, 100:102] = 150
    drawn = render(image).astype(np.float32).mean(axis=2)
    assert drawn.min() > 0.6 * np.median(drawn)


def test_cartoon_is_white_outside_the_mask_and_outlined_on_its_border():
    image, mask = face_picture()
    drawn = cartoon(image, mask, face_points())
    import cv2

    far = cv2.dilate(mask, np.ones((13, 13))) == 0
    assert (drawn[far] == 255).all()
    middle = drawn[SIZE // 2].mean(axis=1)
    edge = int(np.argmax(mask[SIZE // 2] > 0))
    assert middle[edge - 3:edge + 4].min() < 110, "the silhouette is a dark line"
    green = (drawn[..., 1].astype(int) - drawn[..., 0]) > 20
    assert not green.any(), "no fringe of the background is left"


def test_landmarks_draw_eyes_brows_and_mouth():
    image, mask = face_picture()
    points = face_points()
    image = image.copy()
    for part in rendering.EYES:  # dark irises for the pen to find
        x, y = points[part].mean(axis=0).astype(int)
        image[y - 4:y + 5, x - 4:x + 5] = (50, 35, 30)
    drawn = cartoon(image, mask, points).astype(np.float32).mean(axis=2)
    skin = np.median(drawn[150:170, 90:110])
    for part in rendering.EYES:
        left, top = points[part].min(axis=0).astype(int)
        right, bottom = points[part].max(axis=0).astype(int)
        eye = drawn[top - 2:bottom + 3, left - 2:right + 3]
        assert eye.min() < 80 and eye.max() > skin, "an eye has a dark iris and a white"
    x, y = points[66].astype(int)
    assert drawn[y - 3:y + 4, x].min() < 0.6 * skin, "the lips meet in a dark line"
    x, y = points[19].astype(int)
    assert drawn[y - 2:y + 6, x].min() < 0.8 * skin, "a brow is drawn even where the photo shows none"


def test_without_redrawing_the_photo_s_own_features_are_inked():
    image, mask = face_picture()
    points = face_points()
    plain = cartoon(image, mask, points, redraw=False).astype(np.float32).mean(axis=2)
    redrawn = cartoon(image, mask, points).astype(np.float32).mean(axis=2)
    x, y = points[66].astype(int)
    mouth = np.s_[y - 3:y + 4, x]
    assert redrawn[mouth].min() < 0.6 * plain[mouth].min(), "a face without a mouth gets none"
    image = image.copy()
    image[y - 2:y + 2, x - 20:x + 20] = (70, 30, 30)
    inked = cartoon(image, mask, points, redraw=False).astype(np.float32).mean(axis=2)
    assert inked[mouth].min() < 0.6 * plain[mouth].min(), "the photo's own mouth is kept"
    assert (cartoon(image, mask, points, redraw=False)[mask == 0][:2000] == 255).all()


@pytest.mark.parametrize("tone", [(240, 205, 185), (190, 140, 110), (95, 62, 48)])
def test_skin_is_lifted_and_keeps_its_order(tone):
    image, mask = face_picture()
    image[mask > 0] = tone
    drawn = cartoon(image, mask, face_points())
    cheek = np.median(drawn[155:165, 85:100].reshape(-1, 3), axis=0)
    assert cheek.mean() >= np.mean(tone) - 3
    assert cheek[0] > cheek[1] > cheek[2], "skin stays warm"


@pytest.mark.parametrize("render", [cartoon, anime, comic, watercolour])
@pytest.mark.parametrize("shape", [(40, 40), (17, 90), (1, 1), (300, 200, 3)])
def test_grey_small_and_oblong_pictures(render, shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    drawn = render(image)
    assert drawn.dtype == np.uint8 and drawn.shape == (*shape[:2], 3)


def test_cartoon_of_an_empty_mask_is_white():
    assert (cartoon(textured(), np.zeros((SIZE, SIZE), np.float32)) == 255).all()


def test_a_mask_or_landmarks_of_another_picture_are_refused():
    image, mask = face_picture()
    with pytest.raises(ImageError, match="mask"):
        cartoon(image, mask[:100], face_points())
    with pytest.raises(ImageError, match="68"):
        cartoon(image, mask, face_points()[:5])


def test_landmarks_beside_the_picture_do_not_fail():
    image, mask = face_picture()
    assert cartoon(image, mask, face_points() + 150).shape == image.shape
    assert cartoon(image, mask, np.zeros((68, 2), np.float32)).shape == image.shape


def test_anime_depends_on_the_neighbourhood_only():
    image = textured()
    changed = image.copy()
    changed[:, 200:] = (20, 200, 40)
    assert np.array_equal(anime(image)[:, :120], anime(changed)[:, :120])


def test_anime_lifts_black_to_blue_and_keeps_white():
    black, white = anime(np.zeros((64, 64, 3), np.uint8)), anime(np.full((64, 64, 3), 255, np.uint8))
    assert 15 < black.mean() < 60 and black[..., 2].mean() > black[..., 0].mean()
    assert white.mean() > 235


def test_edge_smoothed_changes_edges_only():
    image = np.full((64, 64, 3), 40, np.uint8)
    image[:, 32:] = 220
    smooth = edge_smoothed(image)
    assert np.array_equal(smooth[:, :24], image[:, :24]) and np.array_equal(smooth[:, 40:], image[:, 40:])
    assert 40 < smooth[32, 31, 0] < 220


def test_speed_of_one_core():
    import cv2

    image, mask = face_picture()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        cartoon(image, mask, face_points())
        start = time.process_time()
        cartoon(image, mask, face_points())
        assert time.process_time() - start < 0.5
    finally:
        cv2.setNumThreads(threads)

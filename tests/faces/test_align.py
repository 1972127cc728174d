"""Alignment is geometry: angles, crops and the way back have closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from ppgan_apps.faces.align import (
    MIRRORED,
    crop_face,
    crop_matrix,
    eye_line_angle,
    inside,
    inverse,
    paste_back,
    rotation,
    transform,
    warp,
    with_mask,
)


def upright_landmarks(left=100.0, top=200.0, width=60.0, height=80.0) -> np.ndarray:
    """68 points that fill a box exactly, with level outer eye corners."""
    random = np.random.default_rng(0)
    points = np.stack([left + width * random.random(68), top + height * random.random(68)], axis=1)
    points[0], points[16] = (left, top + 0.2 * height), (left + width, top + 0.2 * height)
    points[8], points[19] = (left + width / 2, top + height), (left + 0.3 * width, top)
    points[36], points[45] = (left + 0.2 * width, top + 0.25 * height), (left + 0.8 * width, top + 0.25 * height)
    return points


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points turned clockwise on screen by `angle` degrees about their mean."""
    centre = points.mean(axis=0)
    return (points - centre) @ rotation(-angle).T + centre


@pytest.mark.parametrize("angle", [-180 + 1e-6, -135, -90, -60, -30, 0, 15, 45, 90, 120, 150, 180])
def test_the_eye_line_angle_is_right_in_all_quadrants(angle):
    assert eye_line_angle(turned(upright_landmarks(), angle)) == pytest.approx(angle, abs=1e-4)


def test_the_crop_is_the_published_one():
    points = upright_landmarks(100, 200, 60, 80)
    to_crop = crop_matrix(points, 256)
    # 0.8 of the height above, 0.3 below, 0.3 of the width on each side: 96 x 168, squared to 168.
    side = 168.0
    centre = np.array([100 + 30, (200 - 0.8 * 80 + 280 + 0.3 * 80) / 2])
    assert np.linalg.det(to_crop[:, :2]) ** 0.5 == pytest.approx(256 / side)
    np.testing.assert_allclose(transform(centre, to_crop), [127.5, 127.5])
    np.testing.assert_allclose(transform(points.min(axis=0), to_crop)[1], 127.5 + (200 - centre[1]) * 256 / side)


@pytest.mark.parametrize("angle", [-170, -100, -30, 20, 95, 179])
def test_a_turned_face_gives_the_crop_of_the_upright_one(angle):
    points = upright_landmarks()
    np.testing.assert_allclose(
        transform(turned(points, angle), crop_matrix(turned(points, angle))),
        transform(points, crop_matrix(points)),
        atol=1e-6,
    )


def test_inverse_undoes():
    matrix = crop_matrix(turned(upright_landmarks(), 33))
    points = np.random.default_rng(1).normal(size=(5, 2)) * 100
    np.testing.assert_allclose(transform(transform(points, matrix), inverse(matrix)), points, atol=1e-9)


def test_white_outside_the_picture():
    image = np.zeros((300, 300, 3), np.uint8)
    points = upright_landmarks(0, 0, 60, 80)
    crop = crop_face(image, points)
    shown = inside(image.shape[:2], crop.to_crop, 256)
    assert (crop.image[shown == 0] == 255).all() and (crop.image[shown == 1] == 0).all()
    assert 0.2 < shown.mean() < 0.8


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_warp_keeps_positions_at_every_scale(scale):
    """A smooth ramp is its own coordinate: each crop pixel must show the coordinate that the inverse map gives it."""
    columns = np.tile(np.arange(800, dtype=np.float32), (800, 1))
    linear = scale * rotation(25)
    matrix = np.concatenate([linear, (32 - linear @ (400, 400))[:, None]], axis=1)
    expected = transform(np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1), inverse(matrix))[..., 0]
    np.testing.assert_allclose(warp(columns, matrix, 64), expected, atol=0.3)


@pytest.mark.parametrize("angle", [0, 25, 120])
def test_crop_and_paste_back_is_the_identity_up_to_resampling(angle):
    rows, columns = np.mgrid[0:400, 0:400]
    image = np.stack([rows * 0.6, columns * 0.6, 120 + 60 * np.sin(rows / 40)], axis=-1).astype(np.uint8)
    points = turned(upright_landmarks(150, 160, 70, 90), angle)
    crop = crop_face(image, points)
    back = paste_back(image, crop, crop.image)
    assert np.abs(back.astype(int) - image).max() <= 4
    changed = paste_back(image, crop, np.zeros((512, 512, 3), np.uint8))
    centre = np.rint(transform((127.5, 127.5), inverse(crop.to_crop))).astype(int)
    assert (changed[centre[1], centre[0]] == 0).all()
    assert (changed[0, 0] == image[0, 0]).all() and (changed[-1, -1] == image[-1, -1]).all()


def test_paste_back_keeps_what_the_mask_leaves_out():
    image = np.full((400, 400, 3), 90, np.uint8)
    crop = with_mask(crop_face(image, upright_landmarks(150, 160, 70, 90)), np.zeros((256, 256)))
    assert (crop.image == 255).all()
    assert (paste_back(image, crop, np.zeros((256, 256, 3), np.uint8)) == image).all()


def test_paste_back_of_a_crop_outside_the_picture_changes_nothing():
    image = np.full((50, 50, 3), 90, np.uint8)
    crop = crop_face(image, upright_landmarks(900, 900))
    assert (crop.image == 255).all()
    assert (paste_back(image, crop, crop.image) == image).all()


def test_mirroring_twice_is_the_identity():
    assert (MIRRORED[MIRRORED] == np.arange(68)).all()

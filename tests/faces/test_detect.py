"""Detection and landmarks on real photographs, upright and turned, and on what holds no face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.faces import FRONTAL, angle_error, is_on, turn
from ppgan_apps.errors import ImageError, WeightsError
from ppgan_apps.faces import Face, detect
from ppgan_apps.faces.align import crop_matrix, transform
from ppgan_apps.faces.detect import merge, overlap
from ppgan_apps.images import read_image

LABELS = np.load(Path(__file__).parent / "labels.npz")
# Every fourth, and the hardest: mirrored sunglasses, glasses under a fringe. Left out is 021: of its right eye hair and
# shadow leave half, and mediapipe, with which the lines are compared, puts that eye beside it.
TURNED = sorted({*FRONTAL[::4], "010", "034"} - {"021"})


@pytest.mark.parametrize("name", FRONTAL)
def test_every_frontal_face_is_the_first_one_found(shared, name):
    faces = detect(read_image(shared / "data" / "photos" / f"{name}.jpg"))
    assert faces and is_on(faces[0], LABELS[f"photo_{name}"]) and faces[0].landmarks.shape == (68, 2)


@pytest.mark.parametrize("angle", [-30, -15, 15, 30])
def test_the_eye_line_of_turned_photographs(shared, angle):
    errors = {}
    for name in TURNED:
        image, points = turn(read_image(shared / "data" / "photos" / f"{name}.jpg"), LABELS[f"photo_{name}"], angle)
        faces = detect(image)
        assert faces and is_on(faces[0], points), name
        errors[name] = angle_error(faces[0].landmarks, points)
    assert max(errors.values()) < 3, errors


def test_a_face_in_a_very_dark_picture_is_found(shared):
    image, points = read_image(shared / "data" / "photos" / "034.jpg"), LABELS["photo_034"]
    dark = (image * 0.06).astype(np.uint8)
    assert dark.max() <= 15
    faces = detect(dark)
    assert faces and is_on(faces[0], points) and angle_error(faces[0].landmarks, points) < 10


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_faces_lying_on_their_side_or_head_are_found(shared, angle):
    image, points = turn(read_image(shared / "data" / "photos" / "001.jpg"), LABELS["photo_001"], angle)
    face = detect(image)[0]
    assert is_on(face, points) and angle_error(face.landmarks, points) < 3


def test_a_large_photograph_and_a_small_one_give_the_same_crop(shared):
    import cv2

    image = read_image(shared / "data" / "photos" / "001.jpg")
    large = cv2.resize(image, (4000, 4000 * image.shape[0] // image.shape[1]), interpolation=cv2.INTER_CUBIC)
    ratio = 4000 / image.shape[1]
    small_crop, large_crop = crop_matrix(detect(image)[0].landmarks), crop_matrix(detect(large)[0].landmarks)
    where = np.array([[0, 0], [image.shape[1], 0], [0, image.shape[0]]])
    np.testing.assert_allclose(transform(where, small_crop), transform(where * ratio, large_crop), atol=12)


def test_every_face_of_a_group_is_found_and_the_largest_is_first(shared):
    pictures = [read_image(shared / "data" / "photos" / f"{name}.jpg") for name in ("001", "007", "030", "050")]
    side = min(picture.shape[0] for picture in pictures)
    rows = [np.hstack([picture[:side, :side] for picture in pictures[pair : pair + 2]]) for pair in (0, 2)]
    faces = detect(np.vstack(rows))
    assert len(faces) == 4
    assert [face.weight for face in faces] == sorted((face.weight for face in faces), reverse=True)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (300, 400, 3)])
def test_no_face_in_nothing(shape):
    assert detect(np.full(shape, 200, np.uint8)) == []
    assert detect(np.random.default_rng(0).integers(0, 256, shape, np.uint8)) == []


def test_no_face_in_the_clothes_of_portraits(shared):
    for path in sorted((shared / "data" / "portraits").rglob("*.jpg"))[::40]:
        image = read_image(path)
        assert detect(np.ascontiguousarray(image[int(0.62 * len(image)) :])) == [], path


def test_arrays_that_are_no_pictures_are_refused():
    for array in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ImageError):
            detect(array)


def test_predictor_files_that_are_none_are_refused(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(WeightsError, match="does not exist"):
        detect(image, landmarks=tmp_path / "none.dat")
    (tmp_path / "bad.dat").write_bytes(b"no shape predictor at all" * 10)
    with pytest.raises(WeightsError, match="no dlib shape predictor"):
        detect(image, landmarks=tmp_path / "bad.dat")


def test_overlap_and_merge():
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    points = np.zeros((68, 2), np.float32)
    faces = [Face((0, 0, 10, 10), points, 0.5), Face((1, 0, 11, 10), points, 2.0), Face((20, 20, 30, 30), points, 1.0)]
    assert [face.score for face in merge(faces)] == [2.0, 1.0]

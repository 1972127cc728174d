"""The embedded landmark networks: symmetry, steadiness and accuracy; how their training turns heads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faces import angle_error, point_error
from ppgan_apps.faces.align import MIRRORED
from ppgan_apps.faces.landmarks import NETWORKS_FILE, PARTS, box_of_landmarks, load_networks, load_placer, upright_patch
from ppgan_apps.images import read_image

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

from turn_heads import OUTLINE, Head, mixed_mesh, space_rotation, turned_head, visible  # noqa: E402

LABELS = np.load(Path(__file__).parent / "labels.npz")
HELD_OUT = sorted(name[9:] for name in LABELS.files if name.startswith("portrait_"))


def portrait(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    sex, number = name.split("_")
    return read_image(shared / "data" / "portraits" / sex / f"{number}.jpg"), LABELS[f"portrait_{name}"]


def eye_span(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36] - points[45]))


# ------------------------------------------------------------------------------------------------------------- placing


def test_the_package_holds_both_networks_in_a_small_file():
    path = ROOT / "ppgan_apps" / "pretrained" / NETWORKS_FILE
    assert path.stat().st_size < 2e6
    first, careful = load_networks()
    assert len(PARTS) == 2 and first.side < careful.side and first.engine == careful.engine


def test_a_mirrored_picture_has_mirrored_landmarks(shared):
    image, points = portrait(shared, HELD_OUT[2])
    (centre, width), placer = box_of_landmarks(points), load_placer()
    straight = placer.place(image, centre, width, 5.0)
    # The middle of a patch lies between two pixels, and a mirror image's on the pixel beside it.
    mirrored_centre = np.array([image.shape[1] - centre[0], centre[1]])
    mirrored = placer.place(np.ascontiguousarray(image[:, ::-1]), mirrored_centre, width, -5.0)
    back = (mirrored * (-1, 1) + (image.shape[1] - 1, 0))[MIRRORED]
    assert np.linalg.norm(back - straight, axis=1).max() < 0.02 * eye_span(points)


def test_the_answer_is_the_same_twice_and_hardly_depends_on_the_box(shared):
    image, points = portrait(shared, HELD_OUT[5])
    (centre, width), placer = box_of_landmarks(points), load_placer()
    straight = placer.place(image, centre, width, 0.0)
    assert (placer.place(image, centre, width, 0.0) == straight).all()
    for shift, scale, angle in (((0.08, 0), 1.0, 0.0), ((0, -0.08), 1.1, 20.0), ((0, 0), 0.9, -20.0)):
        other = placer.place(image, centre + np.array(shift) * width, scale * width, angle)
        assert np.linalg.norm(other - straight, axis=1).mean() < 0.03 * eye_span(points), (shift, scale, angle)


def test_held_out_portraits_agree_with_mediapipe(shared):
    placer, errors, angles = load_placer(), [], []
    for name in HELD_OUT:
        image, points = portrait(shared, name)
        found = placer.place(image, *box_of_landmarks(points), 0.0)
        errors.append(point_error(found, points))
        angles.append(angle_error(found, points))
    assert len(errors) == 20 and np.mean(errors) < 0.03 and np.mean(angles) < 1.0, (np.mean(errors), angles)


def test_a_patch_shows_the_box_upright_in_its_middle():
    rows, columns = np.mgrid[0:200, 0:300]
    image = np.repeat(((columns - 150) * 0.5 + (rows - 100) * 0.7 + 128).clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    patch, matrix = upright_patch(image, np.array([150.0, 100.0]), 40.0, 0.0, side=64, face=40.0)
    np.testing.assert_allclose(matrix, [[1, 0, 32 - 150], [0, 1, 32 - 100]], atol=1e-9)
    np.testing.assert_allclose(patch, image[100 - 32 : 132, 150 - 32 : 182, 0], atol=1)
    empty, _ = upright_patch(image, np.array([900.0, 900.0]), 40.0, 0.0, side=64, face=40.0)
    assert (empty == 128).all()


# ------------------------------------------------------------------------------------------------------ heads turned


@pytest.fixture(scope="module")
def head() -> Head:
    """A bowl, the nearer the closer to its middle, with the mesh's outline for its rim, before a smooth picture."""
    turns = np.arange(468) * 2.399963                         # the golden angle: evenly spread points
    radius = 0.95 * np.sqrt(np.arange(468) / 468)
    turns[OUTLINE] = np.linspace(-np.pi / 2, 1.5 * np.pi, len(OUTLINE), endpoint=False)
    radius[OUTLINE] = 1
    places = 128 + 50 * radius[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    mesh = np.concatenate([places, 40 * radius[:, None] ** 2], axis=1)
    rows, columns = np.mgrid[0:256, 0:256]
    image = (120 + 60 * np.sin(rows / 20) + 50 * np.cos(columns / 15)).astype(np.uint8)
    return Head(image, mesh.astype(np.float32))


def test_a_head_turned_by_nothing_is_the_head(head):
    same = turned_head(head, 0.0, 0.0)
    np.testing.assert_allclose(same.mesh, head.mesh, atol=1e-3)
    assert np.abs(same.image.astype(int) - head.image).max() <= 3


def test_turning_moves_the_near_parts_the_way_the_head_turns(head):
    nearest = head.mesh[:, 2].argmin()
    for yaw, nod in ((30.0, 0.0), (0.0, 20.0)):
        turned = turned_head(head, yaw, nod)
        moved = turned.mesh[nearest, :2] - head.mesh[nearest, :2]
        expected = np.array([np.sign(yaw), np.sign(nod)])
        assert (moved * expected).sum() > 5 and np.abs(moved * (1 - np.abs(expected))).max() < 1.5
        # A rigid turn: distances in space stay as they are.
        between = [np.linalg.norm(mesh[10] - mesh[152]) for mesh in (head.mesh, turned.mesh)]
        assert between[0] == pytest.approx(between[1], rel=1e-4)
        # The pixels go along: the new picture shows at the vertex what the old one showed at its old place.
        old, new = (np.rint(h.mesh[nearest, :2]).astype(int) for h in (head, turned))
        assert abs(int(turned.image[new[1], new[0]]) - int(head.image[old[1], old[0]])) < 12


def test_space_rotations_are_rotations():
    turn = space_rotation(33.0, -12.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(space_rotation(90, 0) @ (0, 0, -1), (1, 0, 0), atol=1e-12)   # nearer goes right


def test_what_lies_behind_is_hidden(head):
    rings = np.concatenate([head.mesh, head.mesh[OUTLINE] * (1.2, 1.2, 1) - (0.2 * 128, 0.2 * 128, -30)])
    assert visible(rings).all()
    behind = np.concatenate([head.mesh, head.mesh[:36] + (0, 0, 60)])
    assert visible(behind)[:400].mean() > 0.9 and not visible(behind)[468:].any()


def test_a_share_of_a_shape_that_differs_only_by_place_size_and_turn_changes_nothing(head):
    other = 1.7 * head.mesh @ space_rotation(20.0, 10.0).T + (5, -30, 9)
    np.testing.assert_allclose(mixed_mesh(head.mesh, other, 0.8), head.mesh, atol=0.01)
    stretched = head.mesh * (1.2, 1, 1)
    halfway = mixed_mesh(head.mesh, stretched, 0.5)
    widths = [np.ptp(mesh[:, 0]) / np.ptp(mesh[:, 1]) for mesh in (head.mesh, halfway, stretched)]
    assert widths[0] < widths[1] < widths[2]

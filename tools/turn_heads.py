"""Portraits seen from another side: heads turned in space, others' proportions, and the landmarks that follow.

The portraits look straight at the camera and photographs do not. mediapipe's 468 vertices are a surface in space: it is
turned, the rings of hair and neck around it follow less and less, the picture's border stays; the pixels follow
piecewise linearly (after Zhu et al., "Face Alignment Across Large Poses", CVPR 2016, section 5, "face profiling").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from label_faces import MESH_VERTICES

# The mesh's own outline, from the middle of the forehead clockwise on screen.
OUTLINE = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150]
    + [136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)
# Rings around the outline: how far out (1 is the outline), how far behind it in face widths, share of the turn taken.
RINGS = ((1.12, 0.12, 1.0), (1.35, 0.25, 0.9), (1.75, 0.3, 0.55))


@dataclass(frozen=True)
class Head:
    """A face in a square picture: grey uint8 [side, side]; mesh float32 [468, 3], x, y and depth in its pixels."""

    image: np.ndarray
    mesh: np.ndarray

    @property
    def landmarks(self) -> np.ndarray:
        """The 68 points [68, 2]."""
        return self.mesh[MESH_VERTICES, :2]


def turned_head(head: Head, yaw: float, nod: float, mesh: np.ndarray | None = None) -> Head:
    """The head turned by `yaw` (positive: towards the right of the picture) and `nod` degrees (positive: down).

    mesh: another shape [468, 3] for the face before it is turned, such as `mixed_mesh` gives.
    """
    import cv2

    face = head.mesh if mesh is None else mesh
    solid_from, solid_to = with_rings(head.mesh), with_rings(face)
    width = np.ptp(face[:, 0])
    # The neck's joint lies behind the middle of the face, about 0.45 of its width.
    pivot = np.array([*face[OUTLINE, :2].mean(axis=0), face[OUTLINE, 2].mean() + 0.3 * width])
    moved = np.empty_like(solid_to)
    share = np.concatenate([np.ones(468), *(np.full(len(OUTLINE), ring[2]) for ring in RINGS)])
    for part in np.unique(share):
        chosen = share == part
        moved[chosen] = (solid_to[chosen] - pivot) @ space_rotation(part * yaw, part * nod).T + pivot
    seen = visible(moved)
    places, sources = border_points(len(head.image)), border_points(len(head.image))
    places = np.concatenate([moved[seen, :2], places])
    sources = np.concatenate([solid_from[seen, :2], sources])
    field = backward_map(places, sources, len(head.image))
    picture = cv2.remap(head.image, field[..., 0], field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Head(picture, moved[:468].astype(np.float32))


def with_rings(mesh: np.ndarray) -> np.ndarray:
    """The face's vertices [468, 3] and, behind and around its outline, those of RINGS: [468 + 36 * rings, 3]."""
    outline = mesh[OUTLINE].astype(np.float64)
    centre, width = outline[:, :2].mean(axis=0), np.ptp(outline[:, 0])
    rings = [
        np.concatenate([centre + out * (outline[:, :2] - centre), outline[:, 2:] + behind * width], axis=1)
        for out, behind, _ in RINGS
    ]
    return np.concatenate([mesh, *rings])


def space_rotation(yaw: float, nod: float) -> np.ndarray:
    """The 3x3 matrix for points (x right, y down, z away from the camera)."""
    a, b = np.radians(yaw), np.radians(nod)
    sideways = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    down = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return down @ sideways


def visible(moved: np.ndarray) -> np.ndarray:
    """Which of the vertices nothing hides: bool [n]. In front of them lies no other within a small distance on screen.

    Rings behind the face's turned outline, the far cheek behind the nose: what is more than a twelfth of the face's
    width behind something at the same place is hidden.
    """
    from scipy.spatial import cKDTree

    width = np.ptp(moved[:468, 0])
    pairs = cKDTree(moved[:, :2]).query_pairs(0.05 * width, output_type="ndarray")
    behind = moved[pairs[:, 0], 2] - moved[pairs[:, 1], 2]
    hidden = np.concatenate([pairs[behind > width / 12, 0], pairs[behind < -width / 12, 1]])
    seen = np.ones(len(moved), bool)
    seen[hidden] = False
    # Rings inside the turned face's outline are behind it, even where the mesh has wide triangles.
    import cv2

    hull = cv2.convexHull(moved[:468, :2].astype(np.float32))
    for index in range(468, len(moved)):
        seen[index] &= cv2.pointPolygonTest(hull, tuple(moved[index, :2].tolist()), True) < -0.01 * width
    return seen


def border_points(side: int) -> np.ndarray:
    """The points [24, 2] of a square's border, which stay in place."""
    steps = np.linspace(0, side - 1, 7)
    return np.array([(u, v) for u in steps for v in steps if u in (0, side - 1) or v in (0, side - 1)])


def backward_map(places: np.ndarray, sources: np.ndarray, side: int) -> np.ndarray:
    """For each pixel of a square where its colour comes from, float32 [side, side, 2]: linear between the points."""
    import cv2
    from scipy.interpolate import LinearNDInterpolator

    small = side // 2
    steps = np.linspace(0, side - 1, small)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    field = LinearNDInterpolator(places, sources)(grid.reshape(-1, 2)).reshape(small, small, 2)
    field = np.where(np.isfinite(field), field, grid).astype(np.float32)
    # cv2.resize puts the first sample half a cell inside; the grid's corners are the square's corners.
    axis = (np.arange(side, dtype=np.float32) * (small - 1) / (side - 1)).astype(np.float32)
    return cv2.remap(field, *np.meshgrid(axis, axis), cv2.INTER_LINEAR)


def mixed_mesh(mesh: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """`mesh` [468, 3] with a `share` of another face's proportions, laid on it by the best similarity (Umeyama, PAMI
    1991).
    """
    mesh, other = mesh.astype(np.float64), other.astype(np.float64)
    here, there = mesh - mesh.mean(axis=0), other - other.mean(axis=0)
    u, singular, v = np.linalg.svd(there.T @ here)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ v))])
    turn = u @ flip @ v
    scale = (singular * np.diag(flip)).sum() / (there**2).sum()
    return (1 - share) * mesh + share * (scale * there @ turn + mesh.mean(axis=0))

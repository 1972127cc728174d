"""Label pictures of people with mediapipe: 68 landmarks and a soft mask of the person, one .npz per picture.

Runs in an environment of its own, because mediapipe 0.10.21 wants numpy < 2 and protobuf < 5:

    python -m venv labelling && labelling/bin/pip install mediapipe==0.10.21
    labelling/bin/python tools/label_faces.py data/portraits -o labels/portraits

mediapipe's models travel in its wheel under Apache-2.0; nothing else is downloaded.

What the mask means: the whole person as far as the picture shows them (head, hair, head-wear, neck, shoulders and
body), not the face alone. That is what Photo2Cartoon's own segmenter keeps: a portrait cut out on white. Labels are
soft (0 to 1) at full picture size: the selfie segmenter answers at 256 px, so it is asked for the whole picture,
its mirror image and two windows around the face, averaged, and a guided filter moves the edge onto the picture's
own edge.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

# iBUG-68 point -> vertex of mediapipe's 468-vertex face mesh. "Right" is the person's right: on the left of the
# picture.
MESH_VERTICES = np.array(
    [
        127,
        234,
        132,
        58,
        172,
        136,
        149,
        148,
        152,
        377,
        378,
        365,
        397,
        288,
        361,
        454,
        356,
    ]  # 0-16 jaw, picture left to right
    + [70, 63, 105, 66, 107]  # 17-21 right eyebrow
    + [336, 296, 334, 293, 300]  # 22-26 left eyebrow
    + [168, 197, 5, 4]  # 27-30 bridge of the nose
    + [98, 97, 2, 326, 327]  # 31-35 nostrils
    + [33, 160, 158, 133, 153, 144]  # 36-41 right eye, outer corner first
    + [362, 385, 387, 263, 373, 380]  # 42-47 left eye, inner corner first
    + [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]  # 48-59 outer lips
    + [78, 82, 13, 312, 308, 317, 14, 87]  # 60-67 inner lips
)

# Where a mirrored face's points come from in iBUG order.
MIRRORED = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
# By how many degrees a picture is turned for --views.
VIEW_ANGLES = (-30, -20, -10, 0, 10, 20, 30)


def guided_filter(guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Edge-keeping smoothing of `source` [H, W] led by the grey `guide` [H, W] in [0, 1] (He et al., ECCV 2010, eq.
    5-8).
    """

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    guide_mean, source_mean = mean(guide), mean(source)
    slope = (mean(guide * source) - guide_mean * source_mean) / (mean(guide * guide) - guide_mean**2 + epsilon)
    return mean(slope) * guide + mean(source_mean - slope * guide_mean)


def find_meshes(mesh, image: np.ndarray) -> list[np.ndarray]:
    """The 468 vertices of every face mediapipe finds in an RGB image, largest face first: arrays [468, 3], x, y and
    depth in pixels (depth grows away from the camera).
    """
    height, width = image.shape[:2]
    answer = mesh.process(image)
    faces = [
        np.array([(point.x * width, point.y * height, point.z * width) for point in face.landmark], np.float32)
        for face in answer.multi_face_landmarks or ()
    ]
    return sorted(faces, key=lambda points: -np.prod(np.ptp(points[:, :2], axis=0)))


def find_meshes_anywhere(mesh, image: np.ndarray) -> list[np.ndarray]:
    """As find_meshes; a picture without a find is tried again with a wide border and in overlapping windows."""
    faces = find_meshes(mesh, image)
    if faces:
        return faces
    height, width = image.shape[:2]
    border = max(height, width) // 4
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    faces = [points - (border, border, 0) for points in find_meshes(mesh, padded)]
    if faces:
        return faces
    side = int(0.6 * max(height, width))
    for top in np.linspace(0, max(height - side, 0), 3).astype(int):
        for left in np.linspace(0, max(width - side, 0), 3).astype(int):
            window = np.ascontiguousarray(image[top : top + side, left : left + side])
            faces += [points + (left, top, 0) for points in find_meshes(mesh, window)]
    return sorted(faces, key=lambda points: -np.prod(np.ptp(points[:, :2], axis=0)))[:1]


def find_in_views(mesh, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The 68 points of one face as mediapipe sees them in the picture turned by VIEW_ANGLES and in its mirror image
    turned so, in the picture's own pixels and in iBUG order: [views, 68, 2]. How far they differ is how far the labels
    can be trusted; views in which the face is missed are left out.
    """
    height, width = image.shape[:2]
    found = []
    for mirrored in (False, True):
        picture = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
        for angle in VIEW_ANGLES:
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1.0)
            room = np.abs(matrix[:, :2]) @ (width, height)
            matrix[:, 2] += (room - (width, height)) / 2
            turned = cv2.warpAffine(picture, matrix, tuple(int(v) for v in room), borderValue=(255, 255, 255))
            back = cv2.invertAffineTransform(matrix)
            for face in find_meshes(mesh, turned):
                points = face[MESH_VERTICES, :2] @ back[:, :2].T + back[:, 2]
                if mirrored:
                    points = (points * (-1, 1) + (width - 1, 0))[MIRRORED]
                if np.linalg.norm(points.mean(axis=0) - landmarks.mean(axis=0)) < 0.3 * np.ptp(landmarks[:, 0]):
                    found.append(points)
                    break
    return np.array(found, np.float32).reshape(-1, 68, 2)


def person_mask(segmenter, image: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """The soft mask [H, W] in [0, 1] of the person or people in an RGB image."""
    height, width = image.shape[:2]
    total = np.zeros((height, width), np.float32)
    weight = np.zeros((height, width), np.float32)

    def add(left: int, top: int, right: int, bottom: int) -> None:
        window = np.ascontiguousarray(image[top:bottom, left:right])
        direct = segmenter.process(window).segmentation_mask
        mirrored = segmenter.process(np.ascontiguousarray(window[:, ::-1])).segmentation_mask[:, ::-1]
        # A window's own borders know least of what lies beyond them: let its weight fall off unless the picture ends
        # there.
        rows, columns = np.arange(bottom - top), np.arange(right - left)
        fade = 0.12 * max(bottom - top, right - left)
        up = np.ones_like(rows, float) if top == 0 else np.clip(rows / fade, 0, 1)
        down = np.ones_like(rows, float) if bottom == height else np.clip(rows[::-1] / fade, 0, 1)
        before = np.ones_like(columns, float) if left == 0 else np.clip(columns / fade, 0, 1)
        after = np.ones_like(columns, float) if right == width else np.clip(columns[::-1] / fade, 0, 1)
        share = (np.minimum(up, down)[:, None] * np.minimum(before, after)[None]).astype(np.float32)
        total[top:bottom, left:right] += share * (direct + mirrored) / 2
        weight[top:bottom, left:right] += share

    add(0, 0, width, height)
    if landmarks is not None:
        centre = landmarks.mean(axis=0)
        extent = float(np.ptp(landmarks, axis=0).max())
        for scale in (1.3, 1.8):  # half window in face sizes: the head, then head and shoulders
            half = scale * extent
            left, top = (int(max(0, v - half)) for v in centre)
            right, bottom = int(min(width, centre[0] + half)), int(min(height, centre[1] + half))
            if right - left >= 64 and bottom - top >= 64 and (right - left) * (bottom - top) < 0.8 * width * height:
                add(left, top, right, bottom)
    mask = total / np.maximum(weight, 1e-6)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(2, round(max(height, width) / 128))
    refined = guided_filter(grey, mask, radius, 1e-3)
    # The filter may only move the edge: what the segmenter is sure of stays.
    return np.clip(np.where((mask > 0.02) & (mask < 0.98), refined, mask), 0, 1)


def save_label(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz under a temporary name in the same folder, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    os.replace(name, path)


def label_name(path: Path, root: Path) -> str:
    """`female/07.jpg` below root becomes `female_07`."""
    return "_".join(path.relative_to(root).with_suffix("").parts)


def read_rgb(path: Path) -> np.ndarray | None:
    """A picture as uint8 RGB, turned by its EXIF tag; None when it is no picture."""
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of pictures, searched with its sub-folders")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the .npz labels")
    parser.add_argument("--views", action="store_true", help="also label each picture turned and mirrored (slower)")
    options = parser.parse_args(arguments)
    pictures = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        print(f"{options.folder}: no pictures found; name a folder that holds some", file=sys.stderr)
        return 2
    import mediapipe

    solutions = mediapipe.solutions
    missed = 0
    with (
        solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=10, min_detection_confidence=0.5) as mesh,
        solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter,
    ):
        for picture in pictures:
            image = read_rgb(picture)
            if image is None:
                print(f"{picture}: not a picture; left out", file=sys.stderr)
                continue
            faces = find_meshes_anywhere(mesh, image)
            vertices = faces[0] if faces else np.zeros((468, 3), np.float32)
            points = [face[MESH_VERTICES] for face in faces]
            mask = person_mask(segmenter, image, points[0][:, :2] if faces else None)
            missed += not faces
            save_label(
                options.output / f"{label_name(picture, options.folder)}.npz",
                landmarks=vertices[MESH_VERTICES, :2],
                depth=vertices[MESH_VERTICES, 2],
                all_landmarks=np.array(points, np.float32).reshape(-1, 68, 3)[..., :2],
                mesh=vertices,
                views=find_in_views(mesh, image, points[0][:, :2]) if faces and options.views else np.zeros((0, 68, 2)),
                mask=mask.astype(np.float16),
                found=np.bool_(bool(faces)),
            )
    print(f"{len(pictures)} pictures labelled in {options.output}, {missed} without a face")
    return 0


if __name__ == "__main__":
    sys.exit(main())

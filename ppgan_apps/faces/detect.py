"""Face detection with dlib's HOG detector and 68 landmarks per face: every face of a picture, the wanted one first.

The detector's templates are about 80 pixels high, so a picture is looked at in small copies (361 pixels on the
longer side, enlarged twice, finds faces from a ninth of that side on); larger copies and turned ones are tried
while nothing sure is found. Landmarks are placed in an upright patch around the face and placed again after turning
the patch by the eye line just found, so that a predictor trained on nearly upright faces serves faces at any angle.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ImageError, SuiteError, WeightsError
from .align import MIRRORED, eye_line_angle, inverse, rotation, transform, warp

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
# Two boxes are one face when they share this much of their union.
SAME_FACE = 0.35
# Landmarks are placed in a grey square of PATCH pixels in which the face box has FACE pixels: what the predictor is
# trained on.
PATCH, FACE = 240, 126.0
# The predictor is asked from several boxes (shift x, shift y, scale) and the answers averaged; dlib rounds each to
# whole pixels.
GUESSES = ((0, 0, 1.0), (-0.04, -0.03, 1.04), (0.04, 0.03, 0.96))
# The first looks at a face turn it by these angles in degrees from the one that the detector suggests.
TILTS = (-20, -10, 0, 10, 20)

EMBEDDED_LANDMARKS = "faces-landmarks.dat"
# dlib reads its files with native code: the embedded file is opened only when it is the one that was published.
EMBEDDED_SHA256 = "40e96c4a41980aae80b7979a6550b272070499933ec14ac2a9df2fd9e03bfdd6"


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

    image: uint8 RGB [H, W, 3], any size. landmarks: "embedded" (trained by tools/train_faces.py), "dlib68" (dlib's
    public file, non-commercial, from the cache or the package face_recognition_models) or the path of a dlib shape
    predictor with 68 points. Raises WeightsError when that file cannot be had, SuiteError without dlib,
    ImageError for an array that is no picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"A uint8 RGB picture [H, W, 3] is needed to look for faces, not {image.dtype} {image.shape}.")
    predictor = load_predictor(landmarks)
    if min(image.shape[:2]) < 8:
        return []
    searched = Pyramid(image)
    faces = merge(find(searched, SIDES[0], predictor))
    for smaller, side in zip(SIDES, SIDES[1:]):
        # A copy larger than the picture shows nothing new; the largest is for pictures in which nothing was found.
        if searched.side <= smaller or (faces and side == SIDES[-1]):
            break
        faces = merge(faces + find(searched, side, predictor))
    # A weak find may be a face upside down: then, too, the turned picture decides.
    for turn in TURNS:
        if any(face.score >= SURE_SCORE for face in faces):
            break
        faces = merge(faces + find(searched, SIDES[0], predictor, turn))
    return sorted(faces, key=lambda face: -face.weight)


class Pyramid:
    """A picture with smaller copies of it, so that a large photograph is shrunk from a size near the wanted one."""

    def __init__(self, image: np.ndarray):
        self.image = image
        self.side = max(image.shape[:2])
        self._reduced = shrink(image, 2 * SIDES[-1]) if self.side > 2 * SIDES[-1] else image

    def copy(self, side: int) -> tuple[np.ndarray, float]:
        """The picture with `side` pixels on its longer side (never enlarged more than a small picture needs), and
        its scale.
        """
        target = min(side, max(self.side, SIDES[0]))
        copy = shrink(self._reduced, target)
        return copy, target / self.side


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """`image` at `side` pixels on its longer side, at least 1 on the other."""
    import cv2

    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def find(searched: Pyramid, side: int, predictor, turn: float = 0.0) -> list[Face]:
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
        points = place_landmarks(searched.image, centre, width, angle, predictor)
        if score < SURE_SCORE:
            upright = upright_score(searched.image, points)
            if upright < UPRIGHT_SCORE:
                continue
            score = max(float(score), upright)
        half = width / 2
        box = tuple(float(v) for v in (*(centre - half), *(centre + half)))
        faces.append(Face(box, points.astype(np.float32), float(score)))
    return faces


def place_landmarks(image: np.ndarray, centre: np.ndarray, width: float, angle: float, predictor) -> np.ndarray:
    """68 points [68, 2] in picture pixels for a face box (centre [2], width) whose eye line is near `angle` degrees.

    Quick looks from the detector's box at several tilts, of which the median counts, because one may go astray on
    sunglasses; then two careful ones, each from the box and angle that the landmarks before it imply. A careful look
    averages several first guesses on the patch and on its mirror image: what the predictor gets wrong on one side it
    gets wrong on the other.
    """
    looks = []
    for tilt in TILTS:
        quick, matrix = upright_patch(image, centre, width, angle + tilt)
        looks.append(transform(ask(predictor, quick, *GUESSES[0]), inverse(matrix)))
    points = np.median(looks, axis=0)
    for _ in range(2):
        centre, width = box_of_landmarks(points)
        patch, matrix = upright_patch(image, centre, width, eye_line_angle(points))
        mirror, back = np.ascontiguousarray(patch[:, ::-1]), inverse(matrix)
        answers = []
        for guess in GUESSES:
            answers.append(ask(predictor, patch, *guess))
            answers.append((ask(predictor, mirror, *guess) * (-1, 1) + (PATCH - 1, 0))[MIRRORED])
        points = transform(np.mean(answers, axis=0), back)
    return points


def upright_patch(image: np.ndarray, centre: np.ndarray, width: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Grey [PATCH, PATCH] around a face turned upright, and the map [2, 3] from picture to patch pixels."""
    import cv2

    linear = FACE / max(width, 1.0) * rotation(angle)
    matrix = np.concatenate([linear, (PATCH / 2 - linear @ centre)[:, None]], axis=1)
    reach = 0.75 * PATCH / FACE * max(width, 1.0)
    left, top = np.maximum(np.floor(centre - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + reach), image.shape[1::-1]).astype(int)
    if right <= left or bottom <= top:
        return np.full((PATCH, PATCH), 128, np.uint8), matrix
    window = image[top:bottom, left:right]  # a small window of a large photograph is all that a warp need read
    shifted = np.concatenate([linear, (matrix[:, 2] + linear @ (left, top))[:, None]], axis=1)
    return cv2.cvtColor(warp(np.ascontiguousarray(window), shifted, PATCH, border=128), cv2.COLOR_RGB2GRAY), matrix


def ask(predictor, patch: np.ndarray, shift_x: float, shift_y: float, scale: float) -> np.ndarray:
    """The predictor's 68 points [68, 2] in a patch, from the face box shifted and scaled by parts of its side."""
    import dlib

    centre = np.array([PATCH / 2 + shift_x * FACE, PATCH / 2 + shift_y * FACE])
    corners = np.rint([centre - scale * FACE / 2, centre + scale * FACE / 2]).astype(int)
    shape = predictor(patch, dlib.rectangle(*corners.ravel().tolist()))
    return np.array([(point.x, point.y) for point in shape.parts()], np.float64)


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


def box_of_landmarks(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [2] and width of the box that the HOG detector puts around landmarks, whatever their angle.

    Measured on 160 portraits: centred between the outer eye corners and the mouth corners, its side 0.97 of the eye
    span plus the distance from eyes to mouth (spread 7 %, most of it the detector's own steps of 6/5 in size).
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = (points[36] + points[45]) / 2, (points[48] + points[54]) / 2
    span = np.linalg.norm(points[45] - points[36]) + np.linalg.norm(mouth - eyes)
    return (eyes + mouth) / 2, 0.97 * float(span)


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


@functools.lru_cache(maxsize=2)
def load_predictor(landmarks: str | Path = "embedded"):
    """A dlib shape predictor with 68 points; see `detect` for the names."""
    dlib = import_dlib()
    if landmarks == "embedded":
        path = embedded_landmarks()
    elif landmarks == "dlib68":
        path = dlib68_file()
    else:
        path = Path(landmarks)
        if not path.is_file():
            raise WeightsError(f"{path} does not exist: give landmarks='embedded', 'dlib68' or a dlib 68-point file.")
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} is no dlib shape predictor ({str(error).splitlines()[0]}).") from error
    if count_points(predictor) != 68:
        raise WeightsError(f"{path} places {count_points(predictor)} points, not 68: give a 68-point predictor.")
    return predictor


def count_points(predictor) -> int:
    """How many points a shape predictor places."""
    import dlib

    return predictor(np.zeros((8, 8), np.uint8), dlib.rectangle(0, 0, 7, 7)).num_parts


def embedded_landmarks() -> Path:
    """The predictor in the package, checked against its published sum before dlib's native reader sees it."""
    import hashlib

    path = Path(__file__).parents[1] / "pretrained" / EMBEDDED_LANDMARKS
    if not path.is_file():
        raise WeightsError(f"{path} is missing: install the package again, it holds this file.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != EMBEDDED_SHA256:
        raise WeightsError(f"{path} is damaged or was changed: install the package again.")
    return path


def dlib68_file() -> Path:
    """dlib's public 68-point file: from the installed package face_recognition_models, else through the zoo."""
    from importlib.util import find_spec

    # Found by its spec, not imported: the package asks for pkg_resources, which new Pythons lack.
    package = find_spec("face_recognition_models")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat"
        if path.is_file():
            return path
    from .. import zoo

    return zoo.get("faces/dlib68").path()


def import_dlib():
    """The module dlib. Raises SuiteError with what to install."""
    try:
        import dlib
    except ImportError as error:
        raise SuiteError("Face detection needs the package 'dlib-bin': pip install dlib-bin.") from error
    return dlib

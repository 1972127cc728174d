"""68 landmarks on a face whose place is known: by the embedded networks, or by a dlib shape predictor.

Both look at an upright patch around the face, and look again after turning the patch by the eye line just found, so
that what is trained on nearly upright faces serves faces at any angle; both look at the mirror image as well, because
what a model gets wrong on one side it gets wrong on the other.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import SuiteError, WeightsError
from .align import MIRRORED, angle_difference, eye_line_angle, inverse, rotation, transform, warp
from .embedded import FOLDER, FaceNetwork, open_network

NETWORKS_FILE = "faces-landmarks.safetensors"
# The networks in it: entries of each begin with its name.
PARTS = ("first", "careful")
# The networks' patches show this many times the side of the face's box.
CONTEXT = 1.5
# How often the careful network looks: twice, and on until the eye line moves by less than SETTLED degrees. Under
# glasses and hair an answer may take two more looks to settle.
LEAST_LOOKS, MOST_LOOKS, SETTLED = 2, 4, 0.3

# dlib's predictors look at a grey square of PATCH pixels in which the face's box has FACE pixels.
PATCH, FACE = 240, 126.0
# They are asked from several boxes (shift x, shift y, scale), which dlib rounds to whole pixels; the mean counts.
GUESSES = ((0, 0, 1.0), (-0.04, -0.03, 1.04), (0.04, 0.03, 0.96))
# Their first looks at a face turn it by these angles in degrees from the one that the detector suggests.
TILTS = (-20, -10, 0, 10, 20)


class Placer(Protocol):
    """What places landmarks."""

    def place(self, image: np.ndarray, centre: np.ndarray, width: float, angle: float) -> np.ndarray:
        """68 points [68, 2], x then y in pixels of `image` (uint8 RGB [H, W, 3]), in iBUG-68 order, for a face box
        (centre [2] and width in pixels) whose eye line is near `angle` degrees.
        """


class NetworkPlacer:
    """The embedded networks: a small one looks from the detector's box, then the careful one, two to four times, from
    the box and angle that the answer before implies.
    """

    def __init__(self, first: FaceNetwork, careful: FaceNetwork):
        self._first, self._careful = first, careful

    def place(self, image: np.ndarray, centre: np.ndarray, width: float, angle: float) -> np.ndarray:
        points = look(self._first, image, centre, width, angle)
        for number in range(1, MOST_LOOKS + 1):
            before = eye_line_angle(points)
            points = look(self._careful, image, *box_of_landmarks(points), before)
            if number >= LEAST_LOOKS and abs(angle_difference(eye_line_angle(points), before)) < SETTLED:
                break
        return points


def look(network: FaceNetwork, image: np.ndarray, centre: np.ndarray, width: float, angle: float) -> np.ndarray:
    """A LandmarkNet's 68 points [68, 2] in picture pixels for the face in a box, turned by `angle` degrees: the mean of
    its two guesses, on the patch and on its mirror image.
    """
    side = network.side
    patch, matrix = upright_patch(image, centre, width, angle, side, side / CONTEXT)
    both = np.stack([patch, patch[:, ::-1]])[:, None].astype(np.float32) / 127.5 - 1  # [2, 1, side, side]
    straight, mirrored = np.mean(network.run(both), axis=0, dtype=np.float64)
    answer = (straight + (mirrored * (-1, 1))[MIRRORED]) / 2
    return transform((answer + 1) * side / 2 - 0.5, inverse(matrix))


class DlibPlacer:
    """A dlib shape predictor with 68 points.

    Quick looks from the detector's box at several tilts, of which the median counts, because one may go astray on
    sunglasses; then two careful ones, each from the box and angle that the landmarks before it imply. A careful look
    averages several first guesses on the patch and on its mirror image.
    """

    def __init__(self, predictor):
        self._predictor = predictor

    def place(self, image: np.ndarray, centre: np.ndarray, width: float, angle: float) -> np.ndarray:
        looks = []
        for tilt in TILTS:
            quick, matrix = upright_patch(image, centre, width, angle + tilt)
            looks.append(transform(self._ask(quick, *GUESSES[0]), inverse(matrix)))
        points = np.median(looks, axis=0)
        for _ in range(2):
            patch, matrix = upright_patch(image, *box_of_landmarks(points), eye_line_angle(points))
            mirror, answers = np.ascontiguousarray(patch[:, ::-1]), []
            for guess in GUESSES:
                answers.append(self._ask(patch, *guess))
                answers.append((self._ask(mirror, *guess) * (-1, 1) + (PATCH - 1, 0))[MIRRORED])
            points = transform(np.mean(answers, axis=0), inverse(matrix))
        return points

    def _ask(self, patch: np.ndarray, shift_x: float, shift_y: float, scale: float) -> np.ndarray:
        """68 points [68, 2] in a patch, from the face box shifted and scaled by parts of its side."""
        import dlib

        centre = np.array([PATCH / 2 + shift_x * FACE, PATCH / 2 + shift_y * FACE])
        corners = np.rint([centre - scale * FACE / 2, centre + scale * FACE / 2]).astype(int)
        shape = self._predictor(patch, dlib.rectangle(*corners.ravel().tolist()))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float64)


def upright_patch(
    image: np.ndarray, centre: np.ndarray, width: float, angle: float, side: int = PATCH, face: float = FACE
) -> tuple[np.ndarray, np.ndarray]:
    """Grey [side, side] around a face turned upright, its box `face` pixels wide in the middle, and the map [2, 3] from
    picture to patch pixels.
    """
    import cv2

    linear = face / max(width, 1.0) * rotation(angle)
    matrix = np.concatenate([linear, (side / 2 - linear @ centre)[:, None]], axis=1)
    reach = 0.75 * side / face * max(width, 1.0)
    left, top = np.maximum(np.floor(centre - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + reach), image.shape[1::-1]).astype(int)
    if right <= left or bottom <= top:
        return np.full((side, side), 128, np.uint8), matrix
    window = image[top:bottom, left:right]  # a small window of a large photograph is all that a warp need read
    shifted = np.concatenate([linear, (matrix[:, 2] + linear @ (left, top))[:, None]], axis=1)
    return warp(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY), shifted, side, border=128), matrix


def box_of_landmarks(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [2] and width of the box that the HOG detector puts around landmarks, whatever their angle.

    Measured on 160 portraits: centred between the outer eye corners and the mouth corners, its side 0.97 of the eye
    span plus the distance from eyes to mouth (spread 7 %, most of it the detector's own steps of 6/5 in size).
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = (points[36] + points[45]) / 2, (points[48] + points[54]) / 2
    span = np.linalg.norm(points[45] - points[36]) + np.linalg.norm(mouth - eyes)
    return (eyes + mouth) / 2, 0.97 * float(span)


@functools.lru_cache(maxsize=2)
def load_placer(landmarks: str | Path = "embedded") -> Placer:
    """What places landmarks by name ("embedded", "dlib68") or from a dlib file; see `detect`."""
    if landmarks == "embedded":
        return NetworkPlacer(*load_networks())
    if landmarks == "dlib68":
        return DlibPlacer(read_predictor(dlib68_file()))
    if not Path(landmarks).is_file():
        raise WeightsError(f"{landmarks} does not exist: give landmarks='embedded', 'dlib68' or a dlib 68-point file.")
    return DlibPlacer(read_predictor(Path(landmarks)))


def load_networks(path: Path | None = None) -> list[FaceNetwork]:
    """The embedded first and careful LandmarkNet, ready to run; `path` names another file."""
    return [open_network(path or FOLDER / NETWORKS_FILE, "landmarks:LandmarkNet", part) for part in PARTS]


def read_predictor(path: Path):
    """The dlib shape predictor in a file. Raises WeightsError when it is none or places other than 68 points."""
    try:
        predictor = import_dlib().shape_predictor(str(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} is no dlib shape predictor ({str(error).splitlines()[0]}).") from error
    if count_points(predictor) != 68:
        raise WeightsError(f"{path} places {count_points(predictor)} points, not 68: give a 68-point predictor.")
    return predictor


def count_points(predictor) -> int:
    """How many points a shape predictor places."""
    import dlib

    return predictor(np.zeros((8, 8), np.uint8), dlib.rectangle(0, 0, 7, 7)).num_parts


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

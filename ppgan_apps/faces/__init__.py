"""Faces: detection with 68 landmarks, the upright crop, the person's mask, and the way back into the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import NoFaceError
from .align import FaceCrop, crop_face, crop_portrait, on_white, paste_back, with_mask
from .detect import SURE_SCORE, Face, detect
from .segment import segment

# The width of the band of mask values, around 0.5, that stays between 0 and 1.
CRISPNESS = 0.3

__all__ = ["Face", "FaceCrop", "crop_face", "crop_portrait", "cut_out", "detect", "on_white", "paste_back",
           "prepare_face", "segment", "wanted_faces"]


def wanted_faces(image: np.ndarray, which: str, landmarks: str = "embedded", name: object = None) -> list[Face]:
    """The "largest" face of a picture, or "all" of them, best first; never an empty list.

    A weak find is better than none, but beside another face it is more often a fold of cloth, and left out. A path as
    `name` is named in the message. Raises NoFaceError where there is no face.
    """
    found = detect(image, landmarks=landmarks)
    if not found:
        where = str(name) if isinstance(name, (str, Path)) else "the picture"
        raise NoFaceError(f"No face was found in {where}: use a photo that shows one from the front.")
    others = [face for face in found[1:] if face.score >= SURE_SCORE] if which == "all" else []
    return [found[0], *others]


def prepare_face(image: np.ndarray, face: Face, size: int = 256, segmenter: str = "embedded") -> FaceCrop:
    """The picture that Photo2Cartoon is fed: one face upright in a square, the person cut out on white.

    image: uint8 RGB [H, W, 3]; face: one of `detect(image)`; size: side of the crop in pixels; segmenter: a backend of
    `segment`. The crop's mask [size, size] in [0, 1] is 1 on the person (head, hair, neck, shoulders) and 0 outside the
    picture. Raises MissingExtra or WeightsError when the named backend cannot be had.
    """
    return cut_out(crop_face(image, face, size), face, image.shape[:2], segmenter)


def cut_out(crop: FaceCrop, face: Face, picture_size: tuple[int, int], segmenter: str = "embedded") -> FaceCrop:
    """`prepare_face` for a crop that `crop_face` has made of a picture of (height, width)."""
    from .align import inside, transform

    mask = crisp(segment(crop.image, transform(face.landmarks, crop.to_crop), backend=segmenter))
    return with_mask(crop, mask * inside(picture_size, crop.to_crop, len(crop.image)))


def crisp(mask: np.ndarray) -> np.ndarray:
    """A mask in [0, 1] whose half-sure values are pulled apart around 0.5; only its largest piece is kept.

    Haze around hair and islands of background would otherwise be drawn as parts of the person.
    """
    import cv2

    mask = np.clip((mask - 0.5) / CRISPNESS + 0.5, 0, 1)
    _, pieces, facts, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    areas = facts[1:, cv2.CC_STAT_AREA]                        # the first piece is the background
    return mask * (pieces == 1 + areas.argmax()) if len(areas) else mask

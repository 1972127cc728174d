"""Faces: detection with 68 landmarks, the upright crop, the person's mask, and the way back into the picture."""

from __future__ import annotations

import numpy as np

from .align import FaceCrop, crop_face, paste_back, with_mask
from .detect import Face, detect
from .segment import segment

__all__ = ["Face", "FaceCrop", "crop_face", "detect", "paste_back", "prepare_face", "segment"]


def prepare_face(image: np.ndarray, face: Face, size: int = 256, segmenter: str = "embedded") -> FaceCrop:
    """The picture that Photo2Cartoon is fed: one face upright in a square, the person cut out on white.

    image: uint8 RGB [H, W, 3]; face: one of `detect(image)`; size: side of the crop in pixels; segmenter: a backend of
    `segment`. The crop's mask [size, size] in [0, 1] is 1 on the person (head, hair, neck, shoulders) and 0 outside the
    picture. Raises MissingExtra or WeightsError when the named backend cannot be had.
    """
    from .align import inside, transform

    crop = crop_face(image, face, size)
    mask = segment(crop.image, transform(face.landmarks, crop.to_crop), backend=segmenter)
    return with_mask(crop, mask * inside(image.shape[:2], crop.to_crop, size))

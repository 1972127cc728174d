"""Anime2Real: a drawn face to a photo-like one, by a U-Net trained as pix2pix."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import images
from .base import ImagePredictor, checked, read

WHITE = 255


class Anime2RealPredictor(ImagePredictor):
    """Picture of a drawn face in, photo-like picture out: the same shape, its long side as the network was trained at.

    Source: pix2pix (https://arxiv.org/abs/1611.07004). The picture should be the face alone, as Photo2Cartoon cuts it:
    no face detector works on drawings. One that is not square is laid on white, which is what stands around the
    drawings that the network has seen, and the white is cut off again.
    """

    zoo_folder = "anime2real"
    networks = ("unet:UnetGenerator", "photo2cartoon:Photo2CartoonGenerator", "resnet:ResnetGenerator",
                "animeganv2:AnimeGANv2Generator")
    kind = "real"

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 style: str | None = None, device: str = "auto", engine: str = "auto"):
        super().__init__(output_path, weight_path, style, device, engine=engine)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB drawing [H, W, 3] -> uint8 RGB picture whose long side is the network's (256 if unknown)."""
        side = self.weights.size or 256
        square, (left, top, right, bottom) = _on_square(checked(image), side)
        real = images.to_images(self._run_network(images.to_array(square)))[0]
        return np.ascontiguousarray(real[top:bottom, left:right])

    def run(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Writes a2r_anime.png (the drawing as it was fed) and a2r_real.png, and returns the latter."""
        drawing = read(image)
        real = self.predict(drawing)
        self._write(a2r_anime=images.resize(drawing, (real.shape[1], real.shape[0])), a2r_real=real)
        return real


def _on_square(image: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The picture within a white square [side, side, 3], and where it lies: left, top, right, bottom."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (side - width) // 2, (side - height) // 2
    square = np.full((side, side, 3), WHITE, np.uint8)
    square[top:top + height, left:left + width] = images.resize(image, (width, height))
    return square, (left, top, left + width, top + height)

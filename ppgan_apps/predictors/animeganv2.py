"""AnimeGANv2: any photo, of any size, in the manner of a drawn film."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import images
from ..errors import ConfigError
from .base import ImagePredictor, checked, read, say
from .strips import convolve_in_strips

# The authors feed the generator whole multiples of 32; a U-Net in its place halves `num_downs` times.
HALVINGS = 5
# It was trained on 256 x 256: what is smaller is enlarged to that on its short side first, and brought back after.
SHORT_SIDE = 256
# What the brightness of each channel contributes (Rec. 601), as published.
LUMA = np.array([0.299, 0.587, 0.114])


class AnimeGANv2Predictor(ImagePredictor):
    """Photo in, anime of the same size out.

    Source: TachibanaYoshino/AnimeGANv2. `use_adjust_brightness` gives the anime the photo's mean brightness. A photo
    whose long side is over `max_size` pixels is made smaller first and stays so, since memory grows with its area
    (about 2 GB per million pixels).
    """

    zoo_folder = "animeganv2"
    public = "animeganv2/hayao"
    networks = ("animeganv2:AnimeGANv2Generator", "unet:UnetGenerator")
    kind = "anime"

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 use_adjust_brightness: bool = True, style: str | None = None, max_size: int = 1536,
                 device: str = "auto"):
        if max_size < SHORT_SIDE:
            raise ConfigError(f"max_size is {max_size}: use at least {SHORT_SIDE}.")
        super().__init__(output_path, weight_path, style, device)
        if self.device == "cpu" and not self.is_exported:
            convolve_in_strips(self.network)
        self.use_adjust_brightness, self.max_size = use_adjust_brightness, max_size
        self.multiple_of = 2 ** self.network.arguments.get("num_downs", HALVINGS)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB photo [H, W, 3] -> uint8 RGB anime of the same size, or with `max_size` as its long side."""
        photo = self._bounded(checked(image))
        height, width = photo.shape[:2]
        fed = _enlarged(photo, self.max_size)
        anime = images.resize(self._draw(fed), (width, height))
        return adjust_brightness(anime, photo) if self.use_adjust_brightness else anime

    def run(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Writes anime.png and returns it (PaddleGAN's returns the photo)."""
        anime = self.predict(read(image))
        self._write(anime=anime)
        return anime

    def _bounded(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = self.max_size / max(height, width)
        if scale >= 1:
            return image
        size = max(1, round(width * scale)), max(1, round(height * scale))
        say(f"A picture of {width}x{height} pixels is made {size[0]}x{size[1]}: raise max_size to draw more of it.")
        return images.resize(image, size)

    def _draw(self, image: np.ndarray) -> np.ndarray:
        """The network on the picture, its sides filled up by reflection to what it can halve, then cut off again."""
        height, width = image.shape[:2]
        below, right = -height % self.multiple_of, -width % self.multiple_of
        # "symmetric" repeats the edge pixel and so, unlike "reflect", exists for any fill up to the side itself.
        filled = np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")
        anime = images.to_images(self._run_network(images.to_array(filled)))[0]
        return anime[:height, :width]


def adjust_brightness(anime: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """`anime` scaled so that its mean brightness (Rec. 601) is the photo's; uint8 RGB both, of any size."""
    wanted, drawn = (picture.reshape(-1, 3).mean(axis=0) @ LUMA for picture in (photo, anime))
    if drawn == 0:                                             # a black picture has nothing to scale
        return anime
    return np.clip(anime * np.float32(wanted / drawn), 0, 255).astype(np.uint8)


def _enlarged(photo: np.ndarray, max_size: int) -> np.ndarray:
    """The photo with 256 pixels on its short side if it has fewer, as far as `max_size` on the long side allows."""
    height, width = photo.shape[:2]
    scale = min(SHORT_SIDE / min(height, width), max_size / max(height, width))
    return images.resize(photo, (round(width * scale), round(height * scale))) if scale > 1 else photo

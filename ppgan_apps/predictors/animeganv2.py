"""AnimeGANv2: any photo, of any size, in the manner of a drawn film."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import images
from ..errors import ConfigError
from .base import ImagePredictor, checked, read, say
from .onnx_network import OnnxNetwork
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
    (about 2 GB per million pixels). `weight_path` may be an ONNX file of any network from picture to picture in
    [-1, 1], such as AnimeGANv3's.
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
        self.use_adjust_brightness, self.max_size = use_adjust_brightness, max_size
        if isinstance(self.network, OnnxNetwork):
            self.multiple_of, self.fixed_size = self.network.multiple_of, self.network.size
            return
        self.multiple_of, self.fixed_size = 2 ** self.network.arguments.get("num_downs", HALVINGS), None
        if self.device == "cpu":
            convolve_in_strips(self.network)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB photo [H, W, 3] -> uint8 RGB anime of the same size, or with `max_size` as its long side."""
        return self._predict([image])[0]

    def predict_batch(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`predict` of each; pictures of one size, such as the frames of a clip, go through the network together."""
        same = len({(getattr(image, "dtype", None), getattr(image, "shape", None)) for image in batch}) == 1
        # Alone, or where something may be wrong with one, each for itself, so that the error can name it.
        return self._predict(batch) if same and len(batch) > 1 else super().predict_batch(batch)

    def _predict(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Pictures of one size -> their animes."""
        photos = [self._bounded(checked(image)) for image in batch]
        height, width = photos[0].shape[:2]
        animes = self._draw([self._sized(photo) for photo in photos])
        animes = [images.resize(anime, (width, height)) for anime in animes]
        if not self.use_adjust_brightness:
            return animes
        return [adjust_brightness(anime, photo) for anime, photo in zip(animes, photos, strict=True)]

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

    def _sized(self, photo: np.ndarray) -> np.ndarray:
        """The photo large enough to be drawn or, for a network of one size, as large as fits into it."""
        if not self.fixed_size:
            return _enlarged(photo, self.max_size)
        scale = min(room / side for room, side in zip(self.fixed_size, photo.shape[:2], strict=True))
        height, width = (max(1, int(side * scale + 1e-6)) for side in photo.shape[:2])
        return images.resize(photo, (width, height))

    def _draw(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The network on pictures of one size, sides filled up by reflection to what it can halve, then cut off."""
        height, width = batch[0].shape[:2]
        below, right = -height % self.multiple_of, -width % self.multiple_of
        if self.fixed_size:
            below, right = self.fixed_size[0] - height, self.fixed_size[1] - width
        # "symmetric" repeats the edge pixel and so, unlike "reflect", exists for any fill up to the side itself.
        filled = [np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric") for image in batch]
        animes = images.to_images(self._run_network(images.to_array(filled)))
        return [anime[:height, :width] for anime in animes]


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

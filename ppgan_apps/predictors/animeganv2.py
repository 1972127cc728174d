"""AnimeGANv2: any photo, of any size, in the manner of a drawn film; or the faces of a photo, each as a portrait."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import faces as face_tools
from .. import images
from ..errors import ConfigError
from . import tiles
from .base import ImagePredictor, checked, read, say
from .onnx_network import PictureNetwork

# The authors feed the generator whole multiples of 32; a U-Net in its place halves `num_downs` times.
HALVINGS = 5
# It was trained on 256 x 256: what is smaller is enlarged to that on its short side first, and brought back after.
SHORT_SIDE = 256
FACES = ("none", "largest", "all")
# The side of a face's crop, where the weights do not say which they were trained on.
FACE_SIZE = 512
# A pasted face is as good as its border: it fades over this share of the crop's side.
FEATHER = 0.12
# What the brightness of each channel contributes (Rec. 601), as published.
LUMA = np.array([0.299, 0.587, 0.114])


class AnimeGANv2Predictor(ImagePredictor):
    """Photo in, anime of the same size out; with face weights or `faces`, an upright square with the face.

    Source: TachibanaYoshino/AnimeGANv2, bryandlee/animegan2-pytorch. `use_adjust_brightness` gives the anime of a whole
    photo the photo's mean brightness, but where the brightness is part of the style ("comic", "watercolour"). A photo
    whose long side is over `max_size` pixels is made smaller first and stays so. On a processor memory does not grow
    with the photo (see tiles.py); on a GPU it takes about 2 GB per million pixels.

    `weight_path` may be an ONNX file of any network from picture to picture in [-1, 1], such as AnimeGANv3's.

    `faces` "largest" (the face with the best size and score) or "all" cuts faces out as their weights' training did and
    draws those; "none" draws the whole photo; None does what the weights are made for ("face_paint_512_v2" and others
    are for faces). `paste_back` puts the drawn faces back into the photo, which keeps its size. With `side_by_side`
    each result has what it was drawn from on its left. Raises NoFaceError where a face is wanted and none is there.
    """

    zoo_folder = "animeganv2"
    public = "animeganv2/hayao"
    networks = ("animeganv2:AnimeGANv2Generator", "unet:UnetGenerator")
    kind = "anime"

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 use_adjust_brightness: bool = True, style: str | None = None, max_size: int = 1536,
                 device: str = "auto", faces: str | None = None, paste_back: bool = False, side_by_side: bool = False,
                 engine: str = "auto"):
        if max_size < SHORT_SIDE:
            raise ConfigError(f"max_size is {max_size}: use at least {SHORT_SIDE}.")
        if faces not in (None, *FACES):
            raise ConfigError(f"faces is '{faces}': use {', '.join(FACES)}.")
        super().__init__(output_path, weight_path, style, device, engine=engine)
        self.use_adjust_brightness = use_adjust_brightness and self.weights.brightness != "own"
        self.max_size = max_size
        self._tiles: tiles.Tiled | None = None                 # see _tiled
        for_faces = self.weights.crop == "face"
        self.faces = faces or ("largest" if for_faces else "none")
        self.face_size = self.weights.size if for_faces and self.weights.size else FACE_SIZE
        self.paste_back, self.side_by_side = paste_back, side_by_side
        if paste_back and self.faces == "none":
            raise ConfigError("paste_back puts faces back, and whole photos are drawn: set faces to largest or all.")
        if isinstance(self.network, PictureNetwork):
            self.multiple_of, self.fixed_size = self.network.multiple_of, self.network.size
            self.face_size = min(self.fixed_size) if self.fixed_size else self.face_size
            return
        self.multiple_of, self.fixed_size = 2 ** self.network.arguments.get("num_downs", HALVINGS), None

    def predict(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB photo [H, W, 3] -> uint8 RGB anime: of the same size, or with `max_size` as its long side; of a
        face a square, by default of 512 pixels; with `paste_back` the photo, changed."""
        return self.predict_all(image)[0]

    def opened(self, path: str | Path) -> np.ndarray:
        photo = read(path)
        return self._bounded(photo) if self.faces == "none" else photo

    def predict_all(self, image: np.ndarray) -> list[np.ndarray]:
        """One anime, or with faces="all" and without `paste_back` one for each face, best first."""
        photo = checked(image)
        if self.faces == "none":
            return self._wholes([photo])
        crops = [face_tools.crop_portrait(photo, face, self.face_size)
                 for face in face_tools.wanted_faces(photo, self.faces)]
        drawn = self._draw([crop.image for crop in crops])
        if not self.paste_back:
            return [self._beside(crop.image, anime) for crop, anime in zip(crops, drawn, strict=True)]
        pasted = photo
        for crop, anime in list(zip(crops, drawn, strict=True))[::-1]:  # the best face last, so that it lies on top
            pasted = face_tools.paste_back(pasted, crop, anime, FEATHER)
        return [self._beside(photo, pasted)]

    def predict_batch(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`predict` of each; pictures of one size, such as the frames of a clip, go through the network together."""
        same = len({(getattr(image, "dtype", None), getattr(image, "shape", None)) for image in batch}) == 1
        # Alone, or where something may be wrong with one, each for itself, so that the error can name it.
        together = same and len(batch) > 1 and self.faces == "none"
        return self._wholes([checked(image) for image in batch]) if together else super().predict_batch(batch)

    def _wholes(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Pictures of one size -> their animes."""
        photos = [self._bounded(image) for image in batch]
        height, width = photos[0].shape[:2]
        drawn = self._draw([self._sized(photo) for photo in photos])
        animes = [images.resize(anime, (width, height)) for anime in drawn]
        if self.use_adjust_brightness:
            animes = [adjust_brightness(anime, photo) for anime, photo in zip(animes, photos, strict=True)]
        return [self._beside(photo, anime) for photo, anime in zip(photos, animes, strict=True)]

    def _beside(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.concatenate([before, after], axis=1) if self.side_by_side else after

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
        if height * width > tiles.LARGEST_WHOLE and self._tiled():
            return [self._tiled().draw(image) for image in batch]
        # "symmetric" repeats the edge pixel and so, unlike "reflect", exists for any fill up to the side itself.
        filled = [np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric") for image in batch]
        animes = images.to_images(self._run_network(images.to_array(filled)))
        return [anime[:height, :width] for anime in animes]


    def _tiled(self) -> tiles.Tiled | None:
        """What draws large pictures, where the engine has it; made when the first one comes."""
        if self._tiles is None and self.device == "cpu":
            self._tiles = tiles.Tiled.of(self.network, self.multiple_of)
        return self._tiles


def adjust_brightness(anime: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """`anime` scaled so that its mean brightness (Rec. 601) is the photo's; uint8 RGB both, of any size."""
    import cv2
    wanted, drawn = (np.array(cv2.mean(picture)[:3]) @ LUMA for picture in (photo, anime))
    if drawn == 0:                                             # a black picture has nothing to scale
        return anime
    # A table of what becomes of each of the 256 levels: the same numbers, many times faster, as is OpenCV's mean.
    levels = np.clip(np.arange(256, dtype=np.float32) * np.float32(wanted / drawn), 0, 255).astype(np.uint8)
    return cv2.LUT(anime, levels)


def _enlarged(photo: np.ndarray, max_size: int) -> np.ndarray:
    """The photo with 256 pixels on its short side if it has fewer, as far as `max_size` on the long side allows."""
    height, width = photo.shape[:2]
    scale = min(SHORT_SIDE / min(height, width), max_size / max(height, width))
    return images.resize(photo, (round(width * scale), round(height * scale))) if scale > 1 else photo

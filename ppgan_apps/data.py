"""Folders of pictures as training samples, and which sample is used at which step.

A data class is the `data:` section of the YAML: its fields are numbers and paths. `open()` lists the files; `sample`
gives one sample as float32 arrays [3, H, W] in [-1, 1]. Order and augmentation follow from (seed, step, index) alone,
so a checkpoint needs no random state.
"""
from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from . import images
from .errors import ConfigError, DataError, ImageError

log = logging.getLogger("ppgan_apps")
_TRIES = 20                                                    # neighbours tried in place of a bad file


class Dataset:
    """What every data section offers the trainer."""

    def open(self) -> Dataset:
        """Lists the files and returns the data set. Raises DataError when a folder is missing or holds no picture."""
        raise TypeError(f"{type(self).__name__} does not say how it is opened.")

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} does not say how long it is.")

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Sample number `index`; `random` decides its augmentation."""
        raise TypeError(f"{type(self).__name__} does not say what a sample is.")


@dataclass
class Images(Dataset):
    """One folder of pictures, each resized (shorter side) and centre-cropped to a square."""

    path: str                           # folder, searched with its sub-folders
    size: int = 256                     # pixels on a side
    flip: bool = True                   # mirrors half of the samples

    def open(self):
        self.files = list_folder(self.path)
        return self

    def __len__(self):
        return len(self.files)

    def sample(self, index, random):
        image = square(read_or_neighbour(self.files, index), self.size)
        return {"real": images.to_array(_flip(image, self.flip and random.random() < 0.5))[0]}


@dataclass
class PairedImages(Dataset):
    """A|B pictures: twice as wide as high, A on the left and B on the right (pix2pix)."""

    path: str                           # folder of A|B pictures
    size: int = 256                     # pixels on a side after the crop
    load_size: int = 286                # both halves are resized to this, then one crop is taken of both
    flip: bool = True                   # mirrors half of the samples
    direction: Literal["AtoB", "BtoA"] = "AtoB"

    def __post_init__(self):
        if self.load_size < self.size:
            raise ConfigError(f"load_size is {self.load_size}, should be at least size ({self.size}).")

    def open(self):
        self.files = list_folder(self.path)
        return self

    def __len__(self):
        return len(self.files)

    def sample(self, index, random):
        pair = read_or_neighbour(self.files, index)
        half = pair.shape[1] // 2
        halves = [images.resize(side, (self.load_size, self.load_size)) for side in (pair[:, :half], pair[:, -half:])]
        window = crop_window(self.load_size, self.load_size, self.size, random)
        mirrored = self.flip and random.random() < 0.5
        a, b = (images.to_array(_flip(side[window], mirrored))[0] for side in halves)
        return {"real_a": a, "real_b": b} if self.direction == "AtoB" else {"real_a": b, "real_b": a}


@dataclass
class UnpairedImages(Dataset):
    """Two folders without correspondence (CycleGAN, U-GAT-IT): A in order, B drawn at random."""

    path_a: str                         # folder of domain A (photos)
    path_b: str                         # folder of domain B (cartoons)
    size: int = 256                     # pixels on a side after the crop
    load_size: int = 286                # pictures are resized to this, then cropped
    flip: bool = True

    def __post_init__(self):
        if self.load_size < self.size:
            raise ConfigError(f"load_size is {self.load_size}, should be at least size ({self.size}).")

    def open(self):
        self.files_a, self.files_b = list_folder(self.path_a), list_folder(self.path_b)
        return self

    def __len__(self):
        return len(self.files_a)

    def sample(self, index, random):
        a = read_or_neighbour(self.files_a, index)
        b = read_or_neighbour(self.files_b, int(random.integers(len(self.files_b))))
        return {"real_a": self._augment(a, random), "real_b": self._augment(b, random)}

    def _augment(self, image, random):
        image = images.resize(image, (self.load_size, self.load_size))
        window = crop_window(self.load_size, self.load_size, self.size, random)
        return images.to_array(_flip(image[window], self.flip and random.random() < 0.5))[0]


@dataclass
class StyleImages(Dataset):
    """Photos, a style's pictures and their edge-smoothed copies (AnimeGAN, AnimeGANv2).

    The style's colours are shifted so that their mean is neutral, by the mean measured over the style folder, as the
    paper's authors do with numbers worked out by hand.
    """

    photo: str                          # folder of photographs
    style: str                          # folder of pictures in the wanted style
    smooth: str                         # the style pictures with their edges smoothed (tools/prepare.py style --smooth)
    size: int = 256                     # pixels on a side after the crop
    flip: bool = True
    balance_colour: bool = True         # takes the style's colour cast off
    colour_samples: int = 200           # style pictures read to measure the cast

    def open(self):
        self.photos, self.styles = list_folder(self.photo), list_folder(self.style)
        self.smooths = list_folder(self.smooth)
        self.shift = self._colour_shift() if self.balance_colour else np.zeros(3, np.float32)
        return self

    def _colour_shift(self) -> np.ndarray:
        """What to add to each channel (0-255) so that all three have the style's mean grey."""
        every = max(1, len(self.styles) // self.colour_samples)
        chosen = range(0, len(self.styles), every)
        means = np.mean([read_or_neighbour(self.styles, index).mean((0, 1)) for index in chosen], axis=0)
        return (means.mean() - means).astype(np.float32)

    def __len__(self):
        return len(self.photos)

    def sample(self, index, random):
        style_index = int(random.integers(len(self.styles)))
        smooth_index = int(random.integers(len(self.smooths)))
        photo = self._augment(read_or_neighbour(self.photos, index), random)
        style = self._augment(read_or_neighbour(self.styles, style_index), random)
        smooth = self._augment(read_or_neighbour(self.smooths, smooth_index), random)
        balanced = np.clip(style.astype(np.float32) + self.shift, 0, 255)
        return {"photo": images.to_array(photo)[0], "anime": images.to_array(balanced)[0],
                "anime_grey": images.to_array(grey(style))[0], "smooth_grey": images.to_array(grey(smooth))[0]}

    def _augment(self, image, random):
        image = shorter_side(image, self.size)
        window = crop_window(image.shape[1], image.shape[0], self.size, random)
        return _flip(image[window], self.flip and random.random() < 0.5)


def list_folder(path: str | Path) -> list[Path]:
    """The pictures below `path`, sorted. Raises DataError when it is no folder or holds none."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist: make it, or set its path with -o data.<key>=FOLDER.")
    try:
        return images.find_images(folder)
    except ImageError as error:
        raise DataError(str(error)) from error


def read_or_neighbour(files: list[Path], index: int) -> np.ndarray:
    """The picture at `index`, or the next one that can be read; a bad file is named once.

    A run of days must not end at one bad file, and the same neighbour is taken every time, so resuming stays exact.
    Raises DataError when many in a row are bad.
    """
    for offset in range(min(_TRIES, len(files))):
        path = files[(index + offset) % len(files)]
        try:
            return images.read_image(path)
        except ImageError as error:
            _warn_once(str(error))
    raise DataError(f"{min(_TRIES, len(files))} pictures in a row of {files[0].parent} cannot be read: "
                    f"run tools/prepare.py check on the folder.")


@lru_cache(maxsize=1024)
def _warn_once(message: str) -> None:
    log.warning("%s Another picture is used in its place.", message)


def square(image: np.ndarray, size: int) -> np.ndarray:
    """The centre of `image`, `size` x `size`, after its shorter side is resized to `size`."""
    image = shorter_side(image, size)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top:top + size, left:left + size]


def shorter_side(image: np.ndarray, size: int) -> np.ndarray:
    """`image` resized so that its shorter side is `size`."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    return images.resize(image, (max(size, round(width * scale)), max(size, round(height * scale))))


def crop_window(width: int, height: int, size: int, random: np.random.Generator) -> tuple[slice, slice]:
    """A random square of `size` pixels inside a picture, as (rows, columns)."""
    top = int(random.integers(height - size + 1))
    left = int(random.integers(width - size + 1))
    return slice(top, top + size), slice(left, left + size)


def grey(image: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) repeated over three channels, uint8."""
    luma = np.rint(image @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=-1)


def _flip(image: np.ndarray, mirrored: bool) -> np.ndarray:
    return image[:, ::-1] if mirrored else image


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(length)


def sample_index(seed: int, position: int, length: int) -> int:
    """Which sample the `position`-th draw of a run takes: every sample once an epoch, each epoch in its own order."""
    epoch, place = divmod(position, length)
    return int(_order(seed, epoch, length)[place])


def make_batch(dataset: Dataset, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1):
    """The arrays of one step: process `rank` of `world` takes its equal share of the `batch_size` samples.

    Returns a dict of float32 [batch_size / world, ...].
    """
    share = batch_size // world
    samples = []
    for place in range(rank * share, (rank + 1) * share):
        position = step * batch_size + place
        random = np.random.default_rng([seed, 1, position])
        samples.append(dataset.sample(sample_index(seed, position, len(dataset)), random))
    return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}


def batches(dataset: Dataset, seed: int, first_step: int, last_step: int, batch_size: int, rank: int = 0,
            world: int = 1, workers: int = 1) -> Iterator[dict[str, np.ndarray]]:
    """The batches of steps first_step .. last_step - 1 in order, read ahead by `workers` threads (0: none)."""
    steps = range(first_step, last_step)
    if workers < 1:
        yield from (make_batch(dataset, seed, step, batch_size, rank, world) for step in steps)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = []
        try:
            for step in steps:
                waiting.append(pool.submit(make_batch, dataset, seed, step, batch_size, rank, world))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()

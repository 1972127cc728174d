"""Folders of pictures as training samples, and which sample is used at which step.

A data class is the `data:` section of the YAML: its fields are numbers and paths. A folder may also be a .zip, which is
read in place. `open()` lists the files; `sample`
gives one sample as float32 arrays [3, H, W] in [-1, 1]. Order and augmentation follow from (seed, step, index) alone,
so a checkpoint needs no random state.
"""
from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from . import images
from .archives import ZipPath, is_zip, zip_root
from .downloads import offline
from .errors import ConfigError, DataError, ImageError

log = logging.getLogger("ppgan_apps")
_MOST_VALUES = 64                                              # of a column that tells pictures apart
_TRIES = 20                                                    # neighbours tried in place of a bad file


class Dataset:
    """What every data section offers the trainer."""

    # The field of a folder -> the list of its files once open: what can be divided into groups (groups.py). The first
    # one decides which groups there are.
    file_lists: ClassVar[dict[str, str]] = {}

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

    path: str                           # folder, searched with its sub-folders, or a .zip
    size: int = 256                     # pixels on a side
    flip: bool = True                   # mirrors half of the samples

    file_lists = {"path": "files"}

    def open(self) -> Images:
        self.files = list_folder(self.path)
        return self

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        image = square(read_or_neighbour(self.files, index), self.size)
        return {"real": images.to_array(_flip(image, self.flip and random.random() < 0.5))[0]}


@dataclass
class AttributedImages(Images):
    """A folder of pictures with attributes.jsonl or .csv, which says of each picture what is to be seen in it."""

    columns: tuple[str, ...] = ()       # of the table; empty: every column that has 2 to 64 values
    flip: bool = False                  # mirrors half of the samples; not where a column tells left from right

    values = dict[str, tuple[str, ...]]()                      # of each column, sorted; known once opened
    one_hot = np.zeros((0, 0), np.float32)                     # of each picture, the columns side by side

    def open(self) -> AttributedImages:
        super().open()
        folder = data_root(self.path)
        table = attributes_file(folder)
        if table is None:
            raise DataError(f"{folder} has no attributes.jsonl or attributes.csv: write one with a column 'file' and "
                            f"a row for each picture.")
        rows = rows_of(self.files, folder, table)
        numbered = {column: _numbered([str(row.get(column, "")) for row in rows])
                    for column in self.columns or _telling_columns(rows)}
        self.values = {column: names for column, (names, _) in numbered.items()}
        known = sorted({key for row in rows for key in row} - {"file"})
        for column, names in self.values.items():
            if len(names) < 2:
                raise DataError(f"{table} has no two values of '{column}' (its columns: {', '.join(known)}): change "
                                f"data.columns.")
        if not self.values:
            raise DataError(f"{table} has no column of 2 to {_MOST_VALUES} values: name columns in data.columns.")
        self.one_hot = np.concatenate([np.eye(len(names), dtype=np.float32)[numbers]
                                       for names, numbers in numbered.values()], 1)
        return self

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        return {**super().sample(index, random), "attributes": self.one_hot[index]}


@dataclass
class PairedImages(Dataset):
    """A|B pictures: twice as wide as high, A on the left and B on the right (pix2pix)."""

    path: str                           # folder of A|B pictures
    size: int = 256                     # pixels on a side after the crop
    load_size: int = 286                # both halves are resized to this, then one crop is taken of both
    flip: bool = True                   # mirrors half of the samples
    direction: Literal["AtoB", "BtoA"] = "AtoB"

    file_lists = {"path": "files"}

    def __post_init__(self) -> None:
        _check_load_size(self.load_size, self.size)

    def open(self) -> PairedImages:
        self.files = list_folder(self.path)
        return self

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
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

    file_lists = {"path_a": "files_a", "path_b": "files_b"}

    def __post_init__(self) -> None:
        _check_load_size(self.load_size, self.size)

    def open(self) -> UnpairedImages:
        self.files_a, self.files_b = list_folder(self.path_a), list_folder(self.path_b)
        return self

    def __len__(self) -> int:
        return len(self.files_a)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        a = read_or_neighbour(self.files_a, index)
        b = read_or_neighbour(self.files_b, int(random.integers(len(self.files_b))))
        return {"real_a": self._augment(a, random), "real_b": self._augment(b, random)}

    def _augment(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        image = images.resize(image, (self.load_size, self.load_size))
        window = crop_window(self.load_size, self.load_size, self.size, random)
        augmented: np.ndarray = images.to_array(_flip(image[window], self.flip and random.random() < 0.5))[0]
        return augmented


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

    file_lists = {"photo": "photos"}    # a style is everybody's

    def open(self) -> StyleImages:
        self.photos, self.styles = list_folder(self.photo), list_folder(self.style)
        self.smooths = list_folder(self.smooth)
        self.shift = self._colour_shift() if self.balance_colour else np.zeros(3, np.float32)
        return self

    def _colour_shift(self) -> np.ndarray:
        """What to add to each channel (0-255) so that all three have the style's mean grey."""
        every = max(1, len(self.styles) // self.colour_samples)
        chosen = range(0, len(self.styles), every)
        means = np.mean([read_or_neighbour(self.styles, index).mean((0, 1)) for index in chosen], axis=0)
        shift: np.ndarray = (means.mean() - means).astype(np.float32)
        return shift

    def __len__(self) -> int:
        return len(self.photos)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        photo, style, smooth = self._draw(index, random)
        return {"photo": images.to_array(photo)[0], "anime": images.to_array(self._balanced(style))[0],
                "anime_grey": images.to_array(grey(style))[0], "smooth_grey": images.to_array(grey(smooth))[0]}

    def _draw(self, index: int, random: np.random.Generator
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(a photo, a picture of the style, a smoothed one), uint8 [size, size, 3]."""
        style_index = int(random.integers(len(self.styles)))
        smooth_index = int(random.integers(len(self.smooths)))
        return (self._augment(read_or_neighbour(self.photos, index), random),
                self._augment(read_or_neighbour(self.styles, style_index), random),
                self._augment(read_or_neighbour(self.smooths, smooth_index), random))

    def _balanced(self, image: np.ndarray) -> np.ndarray:
        return np.clip(image.astype(np.float32) + self.shift, 0, 255)

    def _augment(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        image = shorter_side(image, self.size)
        window = crop_window(image.shape[1], image.shape[0], self.size, random)
        return _flip(image[window], self.flip and random.random() < 0.5)


@dataclass
class CartoonImages(StyleImages):
    """Photos, cartoons and their edge-smoothed copies, all in colour (CartoonGAN)."""

    balance_colour: bool = False        # takes the cartoons' colour cast off

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        photo, cartoon, smooth = self._draw(index, random)
        return {"photo": images.to_array(photo)[0], "cartoon": images.to_array(self._balanced(cartoon))[0],
                "smooth": images.to_array(self._balanced(smooth))[0]}


@dataclass
class LabelledImages(Dataset):
    """Pictures with a label each, from a folder of pictures or from MNIST's IDX files."""

    path: str                           # folder of pictures, or of MNIST's IDX files; "paddle": Paddle's copy of MNIST
    size: int = 64                      # pixels on a side
    channels: Literal[1, 3] = 3         # 1: grey
    flip: bool = False                  # mirrors half of the samples; not for digits
    label: str = ""                     # column of attributes.jsonl or .csv; empty: the sub-folders are the labels

    classes = tuple[str, ...]()         # names of the labels, sorted; known once opened

    def open(self) -> LabelledImages:
        folder = paddle_mnist() if self.path == "paddle" else data_root(self.path)
        digits = find_mnist(folder)
        names: Sequence[str] | np.ndarray
        self.pictures: np.ndarray | None = None
        if digits:
            self.pictures, names = read_mnist(*digits)
        else:
            self.files = list_folder(folder)
            names = label_names(self.files, folder, self.label)
        self.classes, self.labels = _numbered(names)
        self.alike = [np.flatnonzero(self.labels == number) for number in range(len(self.classes))]
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        image = square(self._read(index), self.size)
        image = _flip(image, self.flip and random.random() < 0.5)
        if self.channels == 1:
            image = grey(image)[..., :1]
        return {"real": images.to_array(image)[0], "label": self.labels[index]}

    def _read(self, index: int) -> np.ndarray:
        """The picture at `index`, uint8 RGB; in place of a bad file another one with the same label."""
        if self.pictures is not None:
            return np.repeat(self.pictures[index][..., None], 3, axis=-1)
        alike = self.alike[self.labels[index]]
        place = int(np.searchsorted(alike, index))
        return read_or_neighbour([self.files[other] for other in np.roll(alike, -place)[:_TRIES]], 0)


def _check_load_size(load_size: int, size: int) -> None:
    """Raises ConfigError when no crop of `size` fits into pictures resized to `load_size`."""
    if load_size < size:
        raise ConfigError(f"load_size is {load_size}, should be at least size ({size}).")


def data_root(path: str | Path | ZipPath) -> Path | ZipPath:
    """The folder that a data path names, inside the file where it is a .zip. Raises DataError for a damaged .zip."""
    if isinstance(path, ZipPath):
        return path
    return zip_root(path) if is_zip(path) else Path(path)


def list_folder(path: str | Path | ZipPath) -> list[Path] | list[ZipPath]:
    """The pictures below `path`, a folder or a .zip, sorted. Raises DataError when it is neither or holds none."""
    folder = data_root(path)
    if isinstance(folder, ZipPath):
        found = [file for file in folder.files() if images.is_picture(file)]
        if not found:
            raise DataError(f"{folder} holds no picture ({', '.join(images.SUFFIXES)}).")
        return found
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist: make it, or set its path with -o data.<key>=FOLDER.")
    try:
        return images.find_images(folder)
    except ImageError as error:
        raise DataError(str(error)) from error


def read_picture(path: Path | ZipPath) -> np.ndarray:
    """A picture of a folder or of a .zip, uint8 RGB. Raises ImageError when it cannot be read."""
    if isinstance(path, ZipPath):
        return images.decode_image(io.BytesIO(path.read_bytes()), str(path))
    return images.read_image(path)


def read_or_neighbour(files: Sequence[Path | ZipPath], index: int) -> np.ndarray:
    """The picture at `index`, or the next one that can be read; a bad file is named once.

    A run of days must not end at one bad file, and the same neighbour is taken every time, so resuming stays exact.
    Raises DataError when many in a row are bad.
    """
    for offset in range(min(_TRIES, len(files))):
        path = files[(index + offset) % len(files)]
        try:
            return read_picture(path)
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


def make_batch(dataset: Dataset, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1
               ) -> dict[str, np.ndarray]:
    """The arrays of one step: process `rank` of `world` takes every world-th of the `batch_size` samples, from rank on.

    Returns a dict of float32 [batch_size / world, ...].
    """
    samples = []
    for place in range(rank, batch_size, world):
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


def label_names(files: Sequence[Any], folder: Path | ZipPath, column: str) -> list[str]:
    """The label of each file: its entry in `column` of attributes.jsonl or .csv, or the sub-folder it lies in.

    Without a column and without sub-folders every label is "". Raises DataError for a missing file, column or entry.
    """
    if not column:
        return [file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files]
    table = attributes_file(folder)
    if table is None:
        raise DataError(f"{folder} has no attributes.jsonl or attributes.csv: write one with a column 'file', "
                        f"or leave data.label empty and sort the pictures into sub-folders.")
    rows = read_attributes(table)
    names = []
    for file in files:
        row = rows.get(file.relative_to(folder).as_posix())
        if row is None or row.get(column) in (None, ""):
            known = sorted({key for entry in rows.values() for key in entry} - {"file"})
            what = f"row for {file.relative_to(folder)}" if row is None else f"'{column}' for {file.name}"
            raise DataError(f"{table} has no {what} (its columns: {', '.join(map(str, known))}): "
                            f"add it, or change data.label.")
        names.append(str(row[column]))
    return names


def rows_of(files: Sequence[Any], folder: Path | ZipPath, table: Path | ZipPath) -> list[dict[str, Any]]:
    """The row of each file in `table`. Raises DataError for a file without one."""
    rows = read_attributes(table)
    for file in files:
        if file.relative_to(folder).as_posix() not in rows:
            raise DataError(f"{table} has no row for {file.relative_to(folder)}: add it, or take the picture away.")
    return [rows[file.relative_to(folder).as_posix()] for file in files]


def _telling_columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The columns that have 2 to 64 values, in the order in which they first appear."""
    columns = dict.fromkeys(key for row in rows for key in row if key != "file")
    return [column for column in columns
            if 2 <= len({str(row.get(column, "")) for row in rows}) <= _MOST_VALUES]


def attributes_file(folder: Path | ZipPath) -> Path | ZipPath | None:
    """The table of a folder's attributes, attributes.jsonl or attributes.csv; None when it has none."""
    tables = (folder / "attributes.jsonl", folder / "attributes.csv")
    return next((table for table in tables if table.is_file()), None)


def read_attributes(table: Path | ZipPath) -> dict[str, dict[str, Any]]:
    """The rows of a table by their file. Raises DataError when there is no such table or it is damaged."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            if table.suffix == ".jsonl":
                rows = [json.loads(line) for line in file if line.strip()]
            else:
                rows = list(csv.DictReader(file))
        return {row["file"]: row for row in rows}
    except FileNotFoundError:
        raise DataError(f"There is no table {table}: check its path.") from None
    except (ImageError, OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{table} is not a table with a column 'file' ({error}): correct it.") from error


def _numbered(names: Sequence[str] | np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """(the sorted names, the number of each entry's name as int64 [N])."""
    known, numbers = np.unique(np.asarray(names), return_inverse=True)
    return tuple(str(name) for name in known), numbers.reshape(-1).astype(np.int64)


def find_mnist(folder: Path | ZipPath) -> tuple[Path | ZipPath, Path | ZipPath] | None:
    """The training pictures and labels of MNIST, or of its relatives, in a folder; None when they are not there."""
    found: list[Path | ZipPath] = []
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        variants = (name, f"{name}.gz", name.replace("-idx", ".idx"))
        found += [folder / entry for entry in variants if (folder / entry).is_file()][:1]
    return (found[0], found[1]) if len(found) == 2 else None


def read_mnist(pictures: Path | ZipPath, labels: Path | ZipPath) -> tuple[np.ndarray, np.ndarray]:
    """Two IDX files as uint8 [N, H, W] and [N]. Raises DataError when they are damaged or do not belong together."""
    grids, numbers = read_idx(pictures), read_idx(labels)
    if grids.ndim != 3 or numbers.shape != grids.shape[:1] or not len(numbers):
        raise DataError(f"{pictures} and {labels} do not belong together (shapes {list(grids.shape)} and "
                        f"{list(numbers.shape)}): fetch both again.")
    return grids, numbers


def read_idx(path: Path | ZipPath) -> np.ndarray:
    """A uint8 array in MNIST's IDX format, packed with gzip or not. Raises DataError when it is damaged."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        zero, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        if (zero, kind) != (0, 8):                             # 8: unsigned bytes
            raise ValueError("it does not begin as one")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (ImageError, OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{path} is not a whole IDX file of bytes ({error}): fetch it again.") from error


def paddle_mnist() -> Path:
    """The folder in which Paddle keeps its copy of MNIST, which its own loader downloads (11 MB) when it is not there.

    Raises DataError when the download is forbidden by PPGAN_APPS_OFFLINE or fails.
    """
    folder = Path("~/.cache/paddle/dataset/mnist").expanduser()
    if find_mnist(folder):
        return folder
    if offline():
        raise DataError(f"{folder} has no MNIST and PPGAN_APPS_OFFLINE forbids the network: put its IDX files into a "
                        f"folder and set data.path to it.")
    log.warning("Paddle's loader downloads MNIST to %s.", folder)
    from paddle.vision.datasets import MNIST
    try:
        return Path(MNIST(mode="train", backend="cv2").image_path).parent
    except Exception as error:                                 # Paddle raises bare exceptions of many kinds here
        raise DataError(f"Paddle's loader could not fetch MNIST ({' '.join(str(error).split())}): put its IDX files "
                        f"into a folder and set data.path to it.") from error

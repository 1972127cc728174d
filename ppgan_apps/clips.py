"""Clips: frames as an mp4 (PyAV, the extra `video`) or a GIF (Pillow); the final name only ever holds a whole clip."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import codec, images
from .errors import OutputError

SUFFIXES = (".mp4", ".gif")


def check_clip(path: str | Path) -> None:
    """Raises OutputError for another suffix than .mp4 and .gif, MissingExtra for an mp4 without PyAV."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path} has no suffix of a clip: use {' or '.join(SUFFIXES)}.")
    if suffix == ".mp4":
        codec.pyav()


def write_clip(path: str | Path, frames: Iterable[np.ndarray], fps: int = 30) -> Path:
    """Writes uint8 RGB frames [H, W, 3] of one size as they come; the suffix decides the kind. A GIF repeats for ever.

    A GIF counts time in hundredths of a second, so its speed is rounded. Raises OutputError when there is no frame or
    the file cannot be written, MissingExtra for an mp4 without PyAV; an error leaves no file.
    """
    path = Path(path)
    check_clip(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise OutputError(f"{path} would have no frame: ask for at least one.")
    images.make_folder(path.parent)
    with images.replacing(path) as temporary:
        write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
        write(temporary, _with(first, frames), fps)
    return path


def _with(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    with codec.Encoder(path, "mp4", (width, height), Fraction(1, fps), Fraction(fps)) as encoder:
        for number, picture in enumerate(_with(first, frames)):
            encoder.write(picture, number)


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    from PIL import Image
    # Its 256 colours by octree: Pillow's own choice is a little closer and a hundred times slower.
    pictures = (Image.fromarray(np.ascontiguousarray(frame)).quantize(256, Image.Quantize.FASTOCTREE)
                for frame in frames)
    next(pictures).save(path, "GIF", save_all=True, append_images=pictures, duration=max(20, round(100 / fps) * 10),
                        loop=0)

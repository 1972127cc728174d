"""Clips: frames as an mp4 (PyAV, the extra `video`) or a GIF (Pillow); the final name only ever holds a whole clip."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from . import images
from .errors import MissingExtra, OutputError

SUFFIXES = (".mp4", ".gif")
ENCODERS = ("libx264", "libopenh264", "mpeg4")                 # the first that this build of FFmpeg has
# One thread: how x264 divides its work among threads changes the file, and it should be the same on every machine.
OPTIONS = {"crf": "16", "preset": "medium", "threads": "1"}


def check_clip(path: str | Path) -> None:
    """Raises OutputError for another suffix than .mp4 and .gif, MissingExtra for an mp4 without PyAV."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path} has no suffix of a clip: use {' or '.join(SUFFIXES)}.")
    if suffix == ".mp4":
        _pyav()


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


def _pyav():
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "video", "Writing an mp4") from None
    return av


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    av = _pyav()
    encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise OutputError(f"This PyAV has none of the encoders {', '.join(ENCODERS)}: write a .gif.")
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(encoder, rate=fps, options=OPTIONS if encoder == "libx264" else {})
        stream.pix_fmt = "yuv420p"                             # what every player can show
        for number, picture in enumerate(frames):
            picture = _even(picture)
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _even(picture: np.ndarray) -> np.ndarray:
    """With the last row and column repeated where a side is odd: colours are stored for each two pixels."""
    height, width = picture.shape[:2]
    return np.ascontiguousarray(np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    from PIL import Image
    # Its 256 colours by octree: Pillow's own choice is a little closer and a hundred times slower.
    pictures = (Image.fromarray(np.ascontiguousarray(frame)).quantize(256, Image.Quantize.FASTOCTREE)
                for frame in frames)
    next(pictures).save(path, "GIF", save_all=True, append_images=pictures, duration=max(20, round(100 / fps) * 10),
                        loop=0)

"""What a request may cost: bytes, pixels, frames and seconds, each checked before the memory or the time is spent."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import codec, images
from ..errors import SuiteError
from ..predictors.base import checked
from .faults import REFUSED, Refusal

THE_FILE = "The file"                                          # what messages call an upload, whatever its path here


@dataclass(frozen=True)
class Limits:
    """Of one request. upload: bytes; pixels: of a picture or a frame; drawn_side: longest side that is drawn, larger
    pictures are made smaller; clip_side: the same of a video; frames: of a video; seconds: that a job may take once it
    has begun; seeds: pictures of one sheet of avatars."""
    upload: int = 20_000_000
    pixels: int = 24_000_000
    drawn_side: int = 1024
    clip_side: int = 640
    frames: int = 600
    seconds: float = 300.0
    seeds: int = 64

    def check_pixels(self, width: int, height: int) -> None:
        """Raises Refusal."""
        if width * height > self.pixels:
            raise Refusal("too_many_pixels", 413, width=width, height=height, limit=f"{self.pixels / 1e6:g}")

    def check_frames(self, count: int | None) -> None:
        """Raises Refusal; a count that is not known is checked while frames are drawn."""
        if count is not None and count > self.frames:
            raise Refusal("too_many_frames", 413, limit=self.frames)

    def check_seeds(self, count: int) -> None:
        """Raises Refusal."""
        if not 1 <= count <= self.seeds:
            raise Refusal("too_many_seeds", REFUSED, limit=self.seeds)

    def read_picture(self, path: Path) -> np.ndarray:
        """An uploaded picture, uint8 RGB [H, W, 3]; its size is looked at before it is decoded. Raises Refusal,
        ImageError."""
        from PIL import Image
        try:
            with Image.open(path) as opened:
                size = opened.size
        except Image.DecompressionBombError:                   # far beyond any limit; Pillow does not say the size
            raise Refusal("picture_bomb", 413, limit=f"{self.pixels / 1e6:g}") from None
        except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError):
            size = (0, 0)                                      # decode_image says what is wrong
        self.check_pixels(*size)
        return checked(images.decode_image(path, THE_FILE))

    def open_clip(self, path: Path) -> codec.Clip:
        """An uploaded video; its frames' size is looked at before one is decoded. Raises Refusal, VideoError,
        MissingExtra."""
        av = codec.pyav()
        try:
            with av.open(str(path)) as container:
                stream = next(iter(container.streams.video), None)
                size = (stream.width, stream.height) if stream is not None else (0, 0)
        except (av.FFmpegError, OSError, ValueError):
            size = (0, 0)                                      # codec.open_clip says what is wrong
        self.check_pixels(*size)
        clip = codec.open_clip(path)
        self.check_frames(clip.count)
        return clip


def without_path(error: SuiteError, path: Path) -> str:
    """The message of an error, without the place where the server keeps an upload."""
    return str(error).replace(str(path), THE_FILE)

"""Pictures in and out: reading every common kind into uint8 RGB, writing atomically, arrays in [-1, 1], grids."""
from __future__ import annotations

import glob
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ImageError, OutputError

if TYPE_CHECKING:
    from .archives import ZipPath

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
WHITE = (255, 255, 255)
# A 12,000 x 9,000 picture is read; what is larger is more likely an attack than a photograph.
MAX_PIXELS = 150_000_000
MAX_PIXELS_VARIABLE = "PPGAN_APPS_MAX_PIXELS"                  # another limit, for pictures and frames of clips
# What Pillow may take a file for. It knows forty kinds more, among them EPS, which it has another program run.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
STRIP_PIXELS = 1 << 22                                         # converted at a time: the steps take 20 bytes a pixel


def read_image(path: str | Path, background: Sequence[int] = WHITE) -> np.ndarray:
    """Reads a picture as uint8 RGB [H, W, 3].

    EXIF orientation is applied; transparency is laid over `background`; grey, palette, CMYK and 16-bit pictures are
    converted; of an animation the first frame is taken. Raises ImageError when there is no such file, when it is no
    picture, damaged, or larger than `max_pixels`.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ImageError(f"{path} {kind}: give the path of a picture.")
    return decode_image(path, str(path), background)


def max_pixels() -> int:
    """The pixels that a picture, or a frame of a clip, may have: `MAX_PIXELS`, or what the environment variable
    PPGAN_APPS_MAX_PIXELS says. Raises ImageError when that is no number."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, "").strip()
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text)):
        raise ImageError(f"{MAX_PIXELS_VARIABLE} is '{text[:40]}': set it to a whole number of pixels.")
    return int(text)


def check_pixels(width: int, height: int, name: str) -> None:
    """Raises ImageError for a picture of too many pixels; the message calls it `name`."""
    if width * height > max_pixels():
        raise ImageError(f"{name} has {width}x{height} pixels, more than the {max_pixels() / 1e6:.3g} million allowed: "
                         f"make it smaller first, or allow more with {MAX_PIXELS_VARIABLE}.")


def decode_image(source: Any, name: str, background: Sequence[int] = WHITE) -> np.ndarray:
    """`read_image` of a path or an open binary file; errors call it `name`."""
    from PIL import Image, UnidentifiedImageError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                    # the size limit below is ours
            with _pillows_limit(), Image.open(source, formats=FORMATS) as opened:
                check_pixels(*opened.size, name)
                opened.load()
                return _to_rgb(_upright(opened), background)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read: use PNG, JPEG, WebP, BMP, TIFF or GIF.") from None
    except Exception as error:                                 # Pillow's decoders raise of every kind
        raise ImageError(f"{name} is damaged or unreadable ({_one_line(error)}): save it again or leave it out."
                         ) from error


@contextmanager
def _pillows_limit() -> Iterator[None]:
    """Where the user allows more pixels than Pillow does, Pillow's own limit is raised; never lowered again, since
    other threads may be reading."""
    from PIL import Image
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels() > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels()
    yield


def _upright(picture: Any) -> Any:
    """The picture turned as its EXIF says; EXIF that makes no sense is no reason to refuse the picture."""
    from PIL import ImageOps
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:                                          # as above
        return picture


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _to_rgb(picture: Any, background: Sequence[int]) -> np.ndarray:
    """uint8 RGB [H, W, 3] of a PIL picture of any mode."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _grey_from_deep(np.asarray(picture))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        return _in_strips(partial(_laid_over, background=np.asarray(background, np.uint16)),
                          np.asarray(picture.convert("RGBA")))
    return np.array(picture.convert("RGB"))


def _in_strips(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """`function` of a few rows at a time, so that what it needs in between stays small; uint8 [H, W, 3]."""
    height, width = values.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    step = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        result[top:top + step] = function(values[top:top + step])
    return result


def _laid_over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint16)
    return (rgba[..., :3] * alpha + background * (255 - alpha) + 127) // 255


def _grey_from_deep(values: np.ndarray) -> np.ndarray:
    """A 16-bit, 32-bit or float grey picture: 16-bit values are scaled by their full range, not by their content."""
    top = 65535.0 if values.max(initial=0) > 255 else 255.0

    def grey(rows: np.ndarray) -> np.ndarray:
        known = np.nan_to_num(rows.astype(np.float32), posinf=top)
        levels: np.ndarray = np.clip(known * (255.0 / top), 0, 255).round().astype(np.uint8)[..., None]
        return levels
    return _in_strips(grey, values)


def write_image(path: str | Path, image: np.ndarray, overwrite: bool = True) -> Path:
    """Writes uint8 RGB [H, W, 3] as PNG, JPEG or WebP by suffix; the final name only ever holds a whole picture.

    Raises OutputError when the folder cannot be written, the suffix is unknown, or the file exists and may not be
    overwritten.
    """
    from PIL import Image
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: use --overwrite, or another output folder.")
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if path.suffix.lower() not in formats:
        raise OutputError(f"{path} has no suffix that can be written: use .png, .jpg or .webp.")
    # Lossless either way: run lengths take a third of the time of zlib's search, and photographs grow by 1 or 2 %.
    options = {"quality": 95} if path.suffix.lower() != ".png" else {"compress_type": zlib.Z_RLE}
    make_folder(path.parent)
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, formats[path.suffix.lower()], **options)
    return path


def make_folder(folder: str | Path) -> Path:
    """Creates `folder` with its parents. Raises OutputError when that is not possible."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error.strerror}): choose another.") from error
    return folder


def replace_folder(new: Path, folder: Path) -> None:
    """Moves the folder `new` to where `folder` is or will be, both on one file system. At no moment does half a folder
    stand under the name: the old one is moved aside before it is removed. Raises OSError."""
    aside = new.with_name(f"{new.name}.old")
    if folder.exists():
        os.replace(folder, aside)
    os.replace(new, folder)
    shutil.rmtree(aside, ignore_errors=True)


class replacing:
    """Context: a temporary path beside `path`, moved over it when the block ends well and removed when it does not.

    Raises OutputError for what the file system refuses.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __enter__(self) -> Path:
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name[:60]}.", suffix=".part", dir=self.path.parent)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({error.strerror}): choose another folder.") from error
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(self.temporary, 0o666 & ~mask)            # mkstemp makes files that only their owner may read
            os.replace(self.temporary, self.path)
            return
        self.temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{self.path} cannot be written ({_one_line(error)}): check the disk.") from error


def find_images(inputs: str | Path | Iterable[str | Path], recursive: bool = True) -> list[Path]:
    """The pictures that files, folders and glob patterns name, each once, in the order given, folders sorted by name.

    A file named outright is kept whatever its suffix, so that its reader can say what is wrong with it. Raises
    ImageError when an input matches nothing.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    found: dict[Path, None] = {}
    for entry in inputs:
        path = Path(entry)
        if path.is_dir():
            matches = [p for p in sorted(path.rglob("*") if recursive else path.iterdir()) if is_picture(p)]
            if not matches:
                raise ImageError(f"The folder {path} holds no picture ({', '.join(SUFFIXES)}).")
        elif path.is_file() or not glob.has_magic(str(entry)):
            matches = [path]
        else:
            matches = [Path(p) for p in sorted(glob.glob(str(entry), recursive=True)) if Path(p).is_file()]
            if not matches:
                raise ImageError(f"The pattern {entry} matches no file.")
        found.update(dict.fromkeys(matches))
    return list(found)


def is_picture(path: Path | ZipPath) -> bool:
    """Whether a file's name is that of a picture, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def to_array(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Picture(s) of one size, uint8 or float [H, W, 3 or 1] -> float32 [N, 3 or 1, H, W]; 0 -> -1 and 255 -> 1."""
    import cv2
    batch = images[None] if isinstance(images, np.ndarray) and images.ndim == 3 else images
    height, width, channels = batch[0].shape
    array = np.empty((len(batch), channels, height, width), np.float32)
    levels = _in_range(np.arange(256, dtype=np.float32))
    for picture, planes in zip(batch, array, strict=True):
        for channel, plane in zip(cv2.split(picture), planes, strict=True):
            if channel.dtype == np.uint8:                      # a table takes a third of the arithmetic's time
                cv2.LUT(channel, levels, dst=plane)
            else:
                plane[:] = _in_range(channel)
    return array


def _in_range(levels: np.ndarray) -> np.ndarray:
    return levels * np.float32(1 / 127.5) - np.float32(1)


def to_images(tensor: Any) -> list[np.ndarray]:
    """float [N, 3 or 1, H, W] in [-1, 1], array or tensor -> list of uint8 RGB [H, W, 3], clipped."""
    import cv2
    array = np.asarray(tensor.astype("float32").numpy() if hasattr(tensor, "numpy") else tensor, np.float32)
    array = np.clip(array, -1, 1)
    array += 1                                                 # in place from here on: large pictures, one copy
    array *= 127.5
    pictures = np.rint(array, out=array).astype(np.uint8)
    return [cv2.merge([picture[0]] * 3 if len(picture) == 1 else list(picture)) for picture in pictures]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` at size (width, height): averaged when it shrinks, cubic when it grows."""
    import cv2
    height, width = image.shape[:2]
    if (width, height) == tuple(size):
        return image
    shrinking = size[0] * size[1] < width * height
    resized: np.ndarray = cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA if shrinking else
                                     cv2.INTER_CUBIC)
    return resized


def grid(images: Sequence[np.ndarray], columns: int, padding: int = 2, background: int = 255) -> np.ndarray:
    """One picture of `images` (all of one size) in rows of `columns`, `padding` pixels between and around them."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    shape = (rows * (height + padding) + padding, columns * (width + padding) + padding, 3)
    canvas = np.full(shape, background, np.uint8)
    for index, image in enumerate(images):
        top = padding + (index // columns) * (height + padding)
        left = padding + (index % columns) * (width + padding)
        canvas[top:top + height, left:left + width] = image
    return canvas

"""Pictures in and out: reading every common kind into uint8 RGB, writing atomically, arrays in [-1, 1], grids."""
from __future__ import annotations

import glob
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .errors import ImageError, OutputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
WHITE = (255, 255, 255)
# A 12,000 x 9,000 picture is read; what is larger is more likely an attack than a photograph.
MAX_PIXELS = 200_000_000


def read_image(path: str | Path, background: Sequence[int] = WHITE) -> np.ndarray:
    """Reads a picture as uint8 RGB [H, W, 3].

    EXIF orientation is applied; transparency is laid over `background`; grey, palette, CMYK and 16-bit pictures are
    converted; of an animation the first frame is taken. Raises ImageError when there is no such file, when it is no
    picture, damaged, or larger than `MAX_PIXELS`.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ImageError(f"{path} {kind}: give the path of a picture.")
    return decode_image(path, str(path), background)


def decode_image(source, name: str, background: Sequence[int] = WHITE) -> np.ndarray:
    """`read_image` of a path or an open binary file; errors call it `name`."""
    from PIL import Image, ImageOps, UnidentifiedImageError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                    # the size limit below is ours
            with Image.open(source) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise ImageError(f"{name} has {opened.width}x{opened.height} pixels, more than the "
                                     f"{MAX_PIXELS // 1_000_000} million allowed: make it smaller first.")
                opened.load()
                return _to_rgb(ImageOps.exif_transpose(opened), background)
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read: use PNG, JPEG, WebP, BMP, TIFF or GIF.") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, TypeError, KeyError,
            Image.DecompressionBombError) as error:
        raise ImageError(f"{name} is damaged or unreadable ({_one_line(error)}): save it again or leave it out."
                         ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _to_rgb(picture, background: Sequence[int]) -> np.ndarray:
    """uint8 RGB [H, W, 3] of a PIL picture of any mode."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _grey_from_deep(np.asarray(picture))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        rgba = np.asarray(picture.convert("RGBA"))
        alpha = rgba[..., 3:].astype(np.uint16)
        base = np.asarray(background, np.uint16)
        mixed = (rgba[..., :3] * alpha + base * (255 - alpha) + 127) // 255
        return mixed.astype(np.uint8)
    return np.array(picture.convert("RGB"))


def _grey_from_deep(values: np.ndarray) -> np.ndarray:
    """A 16-bit, 32-bit or float grey picture: 16-bit values are scaled by their full range, not by their content."""
    values = values.astype(np.float32)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    grey = np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


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
    options = {"quality": 95} if path.suffix.lower() != ".png" else {}
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

    def __exit__(self, kind, error, trace) -> None:
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


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def to_array(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """uint8 RGB picture(s) of one size -> float32 [N, 3, H, W] in [-1, 1]; 0 -> -1 and 255 -> 1."""
    stack = np.asarray(images) if isinstance(images, np.ndarray) else np.stack(images)
    if stack.ndim == 3:
        stack = stack[None]
    array = np.ascontiguousarray(stack.transpose(0, 3, 1, 2), dtype=np.float32)
    array *= 1 / 127.5
    array -= 1
    return array


def to_images(tensor) -> list[np.ndarray]:
    """float [N, 3 or 1, H, W] in [-1, 1], array or tensor -> list of uint8 RGB [H, W, 3], clipped."""
    array = np.asarray(tensor.astype("float32").numpy() if hasattr(tensor, "numpy") else tensor, np.float32)
    array = np.clip(array, -1, 1)
    array += 1                                                 # in place from here on: large pictures, one copy
    array *= 127.5
    pictures = np.rint(array, out=array).astype(np.uint8).transpose(0, 2, 3, 1)
    if pictures.shape[-1] == 1:
        pictures = np.repeat(pictures, 3, axis=-1)
    return [np.ascontiguousarray(picture) for picture in pictures]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` at size (width, height): averaged when it shrinks, cubic when it grows."""
    import cv2
    height, width = image.shape[:2]
    if (width, height) == tuple(size):
        return image
    shrinking = size[0] * size[1] < width * height
    return cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


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

"""Makes the pages' examples: python tools/web_examples.py --portraits FOLDER --photos FOLDER

The folders hold the pictures that ppgan_apps/web/examples/README.md names; no network here was trained on them.
Portraits and photographs are made smaller, the drawings are what Photo2Cartoon makes of the portraits, and the video
goes across a photograph.
"""
from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

from ppgan_apps import codec, images  # noqa: E402
from ppgan_apps.errors import SuiteError  # noqa: E402

PORTRAITS = ("female/19.jpg", "male/19.jpg", "female/75.jpg")
SCENES = ("036.jpg", "044.jpg")
FILM = "027.jpg"
PORTRAIT_SIDE, SCENE_SIDE, QUALITY = 360, 400, 82
FILM_SIZE, FILM_FRAMES, FILM_RATE, FILM_CRF = (240, 180), 36, 12, 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, required=True, help="faker-js/assets-person-portrait")
    parser.add_argument("--photos", type=Path, required=True, help="001.jpg to 050.jpg of cjdowner/interfaces")
    parser.add_argument("--output", type=Path, default=ROOT / "ppgan_apps" / "web" / "examples")
    arguments = parser.parse_args()
    try:
        for path in make(arguments.portraits, arguments.photos, images.make_folder(arguments.output)):
            print(path, path.stat().st_size)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def make(portraits: Path, photos: Path, output: Path):
    """Writes every example; gives their paths as they are written."""
    from ppgan_apps import Photo2CartoonPredictor
    predictor = Photo2CartoonPredictor(style="embedded")
    for number, name in enumerate(PORTRAITS, 1):
        portrait = images.read_image(portraits / name)
        yield write(output / f"portrait_{number}.jpg", shrunk(portrait, PORTRAIT_SIDE))
        yield write(output / f"drawing_{number}.jpg", predictor.predict(portrait))
    for number, name in enumerate(SCENES, 1):
        yield write(output / f"scene_{number}.jpg", shrunk(images.read_image(photos / name), SCENE_SIDE))
    yield film(output / "clip.mp4", images.read_image(photos / FILM))


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture with `side` pixels on its longer side."""
    height, width = picture.shape[:2]
    return images.resize(picture, (round(width * side / max(height, width)), round(height * side / max(height, width))))


def write(path: Path, picture: np.ndarray) -> Path:
    from PIL import Image
    Image.fromarray(picture).save(path, quality=QUALITY, optimize=True)
    return path


def film(path: Path, photo: np.ndarray) -> Path:
    """A video that goes nearer to the middle of a photograph's upper half, where faces are."""
    width, height = FILM_SIZE
    rows, columns = photo.shape[:2]
    full = min(columns, rows * width / height)
    with codec.Encoder(path, "mp4", FILM_SIZE, Fraction(1, FILM_RATE), Fraction(FILM_RATE), crf=FILM_CRF) as encoder:
        for number in range(FILM_FRAMES):
            wide = full * (1 - 0.35 * number / FILM_FRAMES)
            high = wide * height / width
            left, top = int((columns - wide) / 2), int(max(0, rows * 0.4 - high / 2))
            encoder.write(images.resize(photo[top:top + int(high), left:left + int(wide)], FILM_SIZE), number)
    return path


if __name__ == "__main__":
    sys.exit(main())

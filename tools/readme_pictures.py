"""Makes the README's pictures from the embedded weights: python tools/readme_pictures.py --photos FOLDER

FOLDER holds photographs of people; docs/images/README.md names those that are shown and their licence. Each sheet has
the input above and the result below; nothing is retouched or chosen by its result.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

from ppgan_apps import images  # noqa: E402
from ppgan_apps.errors import SuiteError  # noqa: E402

CELL, PADDING = 192, 4
FACES = ("001", "009", "016", "035", "047", "050")
SCENES = ("027", "036", "044")
STYLES = ("comic", "watercolour", "pastel")
SEED, AVATARS = 233, (3, 8)                                      # rows, columns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="001.jpg to 050.jpg of cjdowner/interfaces")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", nargs="+", choices=SHEETS, default=list(SHEETS))
    arguments = parser.parse_args()
    for name in arguments.only:
        try:
            print(images.write_image(arguments.output / f"{name}.png", SHEETS[name](arguments.photos)))
        except SuiteError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return 0


def photo2cartoon(photos: Path) -> np.ndarray:
    """The turned and cropped faces above, their cartoons below."""
    from ppgan_apps import Photo2CartoonPredictor
    predictor = Photo2CartoonPredictor(style="embedded")
    drawn = [predictor.draw(read(photos, name))[0] for name in FACES]
    return sheet([cartoon.photo for cartoon in drawn], [cartoon.picture for cartoon in drawn])


def anime2real(photos: Path) -> np.ndarray:
    """The cartoons of `photo2cartoon` above, what the network makes of them below."""
    from ppgan_apps import Anime2RealPredictor, Photo2CartoonPredictor
    cartoonist, predictor = Photo2CartoonPredictor(style="embedded"), Anime2RealPredictor(style="embedded")
    cartoons = [cartoonist.predict(read(photos, name)) for name in FACES]
    return sheet(cartoons, [predictor.predict(cartoon) for cartoon in cartoons])


def animeganv2(photos: Path) -> np.ndarray:
    """Whole photographs above, below them each of the embedded styles."""
    from ppgan_apps import AnimeGANv2Predictor
    scenes = [square(read(photos, name)) for name in SCENES]
    drawn = []
    for style in STYLES:
        predictor = AnimeGANv2Predictor(style=style)
        drawn += [predictor.predict(scene) for scene in scenes]
    return sheet(scenes, drawn, cell=3 * CELL // 2)


def avatars(photos: Path) -> np.ndarray:
    """Avatars of one seed, at twice their size; needs no photo."""
    from ppgan_apps import StyleGAN2Predictor
    rows, columns = AVATARS
    drawn = StyleGAN2Predictor(model_type="avatars", seed=SEED).sample(rows * columns)
    side = 128 if drawn[0].shape[0] <= 128 else CELL
    return images.grid([images.resize(picture, (side, side)) for picture in drawn], columns, PADDING)


SHEETS = {"photo2cartoon": photo2cartoon, "anime2real": anime2real, "animeganv2": animeganv2, "avatars": avatars}


def read(photos: Path, name: str) -> np.ndarray:
    return images.read_image(photos / f"{name}.jpg")


def square(image: np.ndarray) -> np.ndarray:
    """The middle square of a picture."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.ascontiguousarray(image[top:top + side, left:left + side])


def sheet(inputs: list[np.ndarray], results: list[np.ndarray], cell: int = CELL) -> np.ndarray:
    """Inputs in one row, results in the rows below."""
    return images.grid([images.resize(picture, (cell, cell)) for picture in [*inputs, *results]], len(inputs), PADDING)


if __name__ == "__main__":
    sys.exit(main())

"""Measures the embedded picture models on pictures that they were not trained on, and shows them: docs/models.

    python benchmarks/models.py ../shared/data
    python benchmarks/models.py ../shared/data photo2cartoon --before old.safetensors

The folder holds portraits/ (with attributes.csv), photos/ and avatars/. Of the portraits every eighth is used, which
`tools/prepare.py faces --hold-out 8` keeps back; of the photos those of TRAINED_PHOTOS are left out. Each model is
compared with the rendering by rules that it learned from (`ppgan_apps/rendering.py`), which it can at best equal.

- PSNR: of the pictures made against the renderings, in dB.
- crispness: the mean slope of the pictures made, as a part of the renderings'; blur is below 1.
- landmarks: how far the 68 points move when they are looked for in the picture made instead of the photo, in parts of
  the distance between the outer eye corners: whether the face is still that face.
- white: share of the background that is white (all channels 250 or more).
- feature distance: between the maps of a random VGG (docs/metrics.md), as a part of the maps' size.
- distance: between generated and real pictures, the Frechet distance of such maps; two halves of the real ones have
  what the first line says. precision, recall: how many of the generated pictures lie among the real ones, and of the
  real ones among the generated, which is their diversity (docs/metrics.md).
- step: on a walk from one seed to the next in 40 frames, the largest change from a frame to its neighbour as a multiple
  of the mean; the largest of 8 such walks. A walk that jumps has a large one.
- noise: how many levels the picture changes for each level of noise that the photo is given (sigma 2 of 255); above 1
  a clip would flicker more than its camera.
"""
from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

import ppgan_apps  # noqa: E402, F401  (settles flags before Paddle is imported)
from benchmarks.report import replace_section  # noqa: E402
from ppgan_apps import images, rendering  # noqa: E402
from ppgan_apps.errors import DataError, MissingExtra, SuiteError  # noqa: E402
from ppgan_apps.faces import detect, prepare_face  # noqa: E402
from ppgan_apps.faces.align import eye_line_angle, transform  # noqa: E402
from ppgan_apps.latents import interpolate  # noqa: E402
from ppgan_apps.metrics.features import open_space  # noqa: E402
from ppgan_apps.metrics.fid import frechet_distance  # noqa: E402
from ppgan_apps.metrics.precision_recall import manifold_shares  # noqa: E402
from ppgan_apps.predictors.dcgan import DCGANPredictor  # noqa: E402

HOLD_OUT = 8
# Photographs whose renderings the styles comic and watercolour were trained on besides the portraits.
TRAINED_PHOTOS = {f"{number:03d}" for number in range(2, 50, 2)} - {"016", "036", "044"}
STYLES = {"pastel": rendering.anime, "comic": rendering.comic, "watercolour": rendering.watercolour}
# Of the photographs without people, from the packages' own notes.
SCENES_CREDIT = ("Photographs: the Summer Palace by danielbuechele, a flower by vultilion (both CC BY 2.0, cut, from "
                 "scikit-learn); a rocket by SpaceX (public domain), coffee by Rachel Michetti and a cat by Stefan van "
                 "der Walt (both CC0, from scikit-image).")
CELL, COLUMNS = 160, 10
WALK, FRAMES = 8, 40                                             # seeds of a walk, and frames from one to the next
AGES = ((0, 30, "under 30"), (30, 60, "30 to 59"), (60, 200, "60 and over"))
DARK = 55.0                                                      # L of the cheeks under which skin counts as darker


@dataclass
class Head:
    """A face that was not trained on: the crop on white [256, 256, 3], its mask, its landmarks, its drawing."""
    name: str
    groups: tuple[str, ...]
    crop: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray
    drawing: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with portraits/, photos/ and avatars/")
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], help="which (default all)")
    parser.add_argument("--before", type=Path, metavar="FILE", help="earlier weights to compare with")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "models")
    arguments = parser.parse_args()
    try:
        for name in arguments.models or MODELS:
            MODELS[name](arguments)
    except SuiteError as error:
        print(f"models.py: {error}", file=sys.stderr)
        return error.exit_code
    return 0


# ---- The models

def photo2cartoon(arguments: argparse.Namespace) -> None:
    heads = held_out_heads(arguments.data)
    drawn = {label: [predictor.predict_crop(head) for head in heads]
             for label, predictor in drawers("Photo2CartoonPredictor", arguments.before).items()}
    lines = ["| pictures | number | weights | PSNR | crispness | landmarks | white |", "|---|---|---|---|---|---|---|"]
    groups = ["all", *dict.fromkeys(group for head in heads for group in head.groups)]
    for group in sorted(groups, key=GROUPS.index):
        chosen = [index for index, head in enumerate(heads) if group == "all" or group in head.groups]
        for label, pictures in drawn.items():
            rows = [cartoon_row(heads[index], pictures[index]) for index in chosen]
            lines.append(f"| {group} | {len(chosen)} | {label} | {' | '.join(means(rows, (1, 2, 3, 3)))} |")
    write_sheet(arguments.output / "photo2cartoon.jpg", [[head.crop for head in heads],
                *([drawn["before"]] if "before" in drawn else []), drawn["now"], [head.drawing for head in heads]])
    write_section(arguments, "photo2cartoon", [
        f"{len(heads)} portraits held back from training. Landmarks in the rendering itself: "
        f"{np.mean([moved(head, head.drawing) for head in heads]):.3f}.", "", *lines, "",
        "![Photo, cartoon" + (" before, now" if "before" in drawn else "") + ", rendering](photo2cartoon.jpg)", "",
        "From above: photo" + (", cartoon before, now" if "before" in drawn else ", cartoon")
        + ", and the rendering that it learned from."])


def anime2real(arguments: argparse.Namespace) -> None:
    heads = held_out_heads(arguments.data)
    lines = ["| weights | PSNR | crispness | landmarks | feature distance |", "|---|---|---|---|---|"]
    drawn = {label: [predictor.predict(head.drawing) for head in heads]
             for label, predictor in drawers("Anime2RealPredictor", arguments.before).items()}
    for label, pictures in drawn.items():
        far = feature_distances(pictures, [head.crop for head in heads])
        rows = [(psnr(picture, head.crop), crispness(picture, head.crop), moved(head, picture), distance)
                for head, picture, distance in zip(heads, pictures, far, strict=True)]
        lines.append(f"| {label} | {' | '.join(means(rows, (1, 2, 3, 3)))} |")
    drawings = feature_distances([head.drawing for head in heads], [head.crop for head in heads])
    rows = [(psnr(head.drawing, head.crop), crispness(head.drawing, head.crop), moved(head, head.drawing), distance)
            for head, distance in zip(heads, drawings, strict=True)]
    lines.append(f"| the drawing itself | {' | '.join(means(rows, (1, 2, 3, 3)))} |")
    write_sheet(arguments.output / "anime2real.jpg", [[head.drawing for head in heads], drawn["now"],
                                                      [head.crop for head in heads]])
    write_section(arguments, "anime2real", [
        f"{len(heads)} portraits held back from training, against the photos that were drawn.", "", *lines, "",
        "![Drawing, what is made of it, the photo that was drawn](anime2real.jpg)", "",
        "From above: drawing, what is made of it, and the photo that was drawn."])


def animeganv2(arguments: argparse.Namespace) -> None:
    written = []
    for title, file, scenes, remark in (
            ("photographs of people", "animeganv2.jpg", held_out_scenes(arguments.data), f"The first {COLUMNS}."),
            ("photographs without people", "animeganv2_scenes.jpg", scenes_without_people(), SCENES_CREDIT)):
        lines, sheet = styles_measured(scenes)
        write_sheet(arguments.output / file, sheet)
        written += [f"The middle squares of {len(scenes)} {title}, at 512 pixels, none of them trained on.", "",
                    *lines, "", f"![Photo and the styles {', '.join(STYLES)}]({file})", "",
                    f"From above: photo, {', '.join(STYLES)}. {remark}", ""]
    write_section(arguments, "animeganv2", written[:-1])


def styles_measured(scenes: Sequence[np.ndarray]) -> tuple[list[str], list[Sequence[np.ndarray]]]:
    """A table of the styles on some photographs, and the rows of a sheet: the photographs, and each style's pictures.
    """
    from ppgan_apps import AnimeGANv2Predictor
    random = np.random.default_rng(0)
    noisy = [np.clip(scene + random.normal(0, 2, scene.shape), 0, 255).round().astype(np.uint8) for scene in scenes]
    lines = ["| style | PSNR | crispness | noise | noise of the rendering |", "|---|---|---|---|---|"]
    sheet: list[Sequence[np.ndarray]] = [scenes]
    for style, render in STYLES.items():
        predictor = AnimeGANv2Predictor(style=style, use_adjust_brightness=False)
        pictures, renderings = [predictor.predict(scene) for scene in scenes], [render(scene) for scene in scenes]
        rows = [(psnr(picture, target), crispness(picture, target), gain(predictor.predict, *pair, picture),
                 gain(render, *pair, target))
                for picture, target, pair in zip(pictures, renderings, zip(scenes, noisy, strict=True), strict=True)]
        lines.append(f"| {style} | {' | '.join(means(rows, (1, 2, 2, 2)))} |")
        sheet += [pictures]
    return lines, sheet


def avatars(arguments: argparse.Namespace) -> None:
    paths = sorted((arguments.data / "avatars").glob("*.png"))
    if not paths:
        raise DataError(f"There are no avatars in {arguments.data / 'avatars'}: give the folder that holds them.")
    real = [images.read_image(path) for path in paths]
    halves = distances(real[::2], real[1::2])[0]
    lines = [f"Between two halves of the real avatars the distance is {halves:.1f}.", "",
             "| weights | side | distance | precision | recall | step |", "|---|---|---|---|---|---|"]
    sheet: list[Sequence[np.ndarray]] = [real]
    for name, source in seed_sources(arguments.before).items():
        made, walk = source.draw(source.latents(len(real))), source.draw(source.walk())
        numbers = "{:.1f} | {:.2f} | {:.2f}".format(*distances(real, made))
        lines.append(f"| {name} | {len(made[0])} px | {numbers} | {largest_step(walk):.1f} |")
        sheet += [made, walk[:FRAMES:FRAMES // COLUMNS]]
    write_sheet(arguments.output / "avatars.jpg", sheet)
    write_section(arguments, "avatars", [
        f"{len(real)} pictures each, not truncated, against the {len(real)} avatars that were trained on.", "", *lines,
        "", "![Real avatars, each model's avatars and a walk](avatars.jpg)", "",
        f"From above: real avatars; then of each model in the table's order those of the seeds 0 to {COLUMNS - 1}, not "
        "chosen, and a walk from the seed 0 to the seed 1."])


MODELS: dict[str, Callable[[argparse.Namespace], None]] = {
    "photo2cartoon": photo2cartoon, "anime2real": anime2real, "animeganv2": animeganv2, "avatars": avatars}
GROUPS = ["all", "female", "male", *(name for *_, name in AGES), "lighter skin", "darker skin"]


# ---- Pictures that were not trained on

def held_out_heads(data: Path) -> list[Head]:
    """The portraits kept back, found, cropped and cut out by the embedded face models, as the predictor does."""
    table = data / "portraits" / "attributes.csv"
    if not table.is_file():
        raise DataError(f"There is no {table}: give the folder that holds portraits/ and photos/.")
    with open(table, encoding="utf-8", newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["file"])
    return [head for row in rows[HOLD_OUT - 1::HOLD_OUT]
            if (head := _head(data / "portraits" / row["file"], row))]


def _head(path: Path, row: dict[str, str]) -> Head | None:
    import cv2
    photo = images.read_image(path)
    found = detect(photo)
    if not found:
        return None
    crop = prepare_face(photo, found[0])
    landmarks = transform(found[0].landmarks, crop.to_crop)
    cheeks = landmarks[[1, 2, 3, 13, 14, 15]] * 0.6 + landmarks[[31, 31, 31, 35, 35, 35]] * 0.4
    lab = cv2.cvtColor(crop.image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    light = np.median([lab[int(y), int(x), 0] for x, y in cheeks])
    age = next(name for least, most, name in AGES if least <= int(row["age"]) < most)
    groups = (row["sex"], age, "darker skin" if light < DARK else "lighter skin")
    drawing = rendering.cartoon(crop.image, crop.mask, landmarks, redraw=False)
    return Head(path.stem, groups, crop.image, crop.mask, landmarks, drawing)


def held_out_scenes(data: Path) -> list[np.ndarray]:
    """The middle squares of the photographs that no style was trained on, uint8 RGB [512, 512, 3]."""
    paths = [path for path in sorted((data / "photos").glob("*.jpg")) if path.stem not in TRAINED_PHOTOS]
    if not paths:
        raise DataError(f"There are no photographs in {data / 'photos'}: give the folder that holds them.")
    return [middle_square(images.read_image(path)) for path in paths]


def scenes_without_people() -> list[np.ndarray]:
    """Photographs of places and things that travel in scikit-learn and scikit-image, as `held_out_scenes`."""
    import skimage.data
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise MissingExtra("sklearn", "bench", "The photographs without people") from error
    photos = [*load_sample_images().images, skimage.data.rocket(), skimage.data.coffee(), skimage.data.chelsea()]
    return [middle_square(photo) for photo in photos]


def middle_square(photo: np.ndarray) -> np.ndarray:
    """The middle square of a photograph, uint8 RGB [512, 512, 3]."""
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return images.resize(np.ascontiguousarray(photo[top:top + side, left:left + side]), (512, 512))


class Drawer:
    """A predictor of faces that is given crops."""

    def __init__(self, predictor):
        self._predictor = predictor

    def predict_crop(self, head: Head) -> np.ndarray:
        """The network's picture of a crop on white, uint8 RGB [256, 256, 3]."""
        return images.to_images(self._predictor._run_network(images.to_array([head.crop])))[0]

    def predict(self, image: np.ndarray) -> np.ndarray:
        return self._predictor.predict(image)


def drawers(name: str, before: Path | None) -> dict[str, Drawer]:
    predictor = getattr(ppgan_apps, name)
    made = {"before": Drawer(predictor(weight_path=before))} if before else {}
    return {**made, "now": Drawer(predictor(style="embedded"))}


@dataclass
class SeedSource:
    """A generator that is given seeds: `latents` makes [N, ...] of a number of them, `draw` pictures of these."""
    latents: Callable[[int], np.ndarray]
    draw: Callable[[np.ndarray], list[np.ndarray]]
    spherical: bool

    def walk(self) -> np.ndarray:
        """The latents of a walk through WALK seeds and back to the first, FRAMES between two."""
        return interpolate(self.latents(WALK), WALK * FRAMES, spherical=self.spherical)


def seed_sources(before: Path | None) -> dict[str, SeedSource]:
    """The embedded generators of avatars, and the StyleGAN2 in the file `before`."""
    def stylegan2(**weights) -> SeedSource:
        predictor = ppgan_apps.StyleGAN2Predictor(seed=0, **weights)
        return SeedSource(lambda count: predictor.w_of_seeds(range(count), 1.0), predictor._draw, spherical=False)
    made = {"stylegan2/avatars before": stylegan2(weight_path=before)} if before else {}
    dcgan = DCGANPredictor()
    return {**made, "stylegan2/avatars": stylegan2(model_type="avatars"), "dcgan/avatars": SeedSource(
        lambda count: np.concatenate([dcgan.z_of_seed(seed) for seed in range(count)]), dcgan.draw, spherical=True)}


# ---- Measures

def distances(real: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Frechet distance, precision and recall."""
    space = open_space()
    wanted, found = space.of(real), space.of(made)
    return (frechet_distance(wanted, found), *manifold_shares(wanted, found))


def largest_step(frames: Sequence[np.ndarray]) -> float:
    """The largest change between neighbouring frames, in levels, as a multiple of the mean on the way from one seed to
    the next; `frames` is a whole loop of WALK such ways."""
    following = [*frames[1:], frames[0]]
    changes = np.array([np.abs(one.astype(np.float64) - other).mean() for one, other in zip(frames, following)])
    ways = changes.reshape(WALK, FRAMES)
    return float((ways.max(1) / ways.mean(1)).max())


def cartoon_row(head: Head, picture: np.ndarray) -> tuple[float, float, float, float]:
    import cv2
    far = cv2.dilate((head.mask > 0.02).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    white = float((picture[far].min(axis=-1) >= 250).mean()) if far.any() else float("nan")
    return psnr(picture, head.drawing), crispness(picture, head.drawing), moved(head, picture), white


def psnr(picture: np.ndarray, target: np.ndarray) -> float:
    squared = np.mean((picture.astype(np.float64) - target) ** 2)
    return float(10 * np.log10(255**2 / max(squared, 1e-9)))


def crispness(picture: np.ndarray, target: np.ndarray) -> float:
    def slope(image: np.ndarray) -> float:
        image = image.astype(np.float64)
        return np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()
    return slope(picture) / slope(target)


def moved(head: Head, picture: np.ndarray) -> float:
    """Mean distance of the landmarks found in a picture from those of the photo, in eye spans."""
    from ppgan_apps.faces.landmarks import box_of_landmarks, load_placer
    placer = load_placer("embedded")
    points = placer.place(picture, *box_of_landmarks(head.landmarks), eye_line_angle(head.landmarks))
    span = np.linalg.norm(head.landmarks[36] - head.landmarks[45])
    return float(np.linalg.norm(points - head.landmarks, axis=1).mean() / span)


def gain(draw: Callable[[np.ndarray], np.ndarray], photo: np.ndarray, noisy: np.ndarray, picture: np.ndarray) -> float:
    change = np.abs(draw(noisy).astype(np.float64) - picture).mean()
    return float(change / np.abs(noisy.astype(np.float64) - photo).mean())


def feature_distances(pictures: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    space = open_space("random-vgg-128")
    made, wanted = space.of(pictures), space.of(targets)
    return np.linalg.norm(made - wanted, axis=1) / np.linalg.norm(wanted, axis=1)


def means(rows: Sequence[Sequence[float]], digits: Sequence[int]) -> list[str]:
    return [f"{value:.{places}f}" for value, places in zip(np.nanmean(rows, axis=0), digits, strict=True)]


# ---- Report

def write_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    pictures = [images.resize(picture, (CELL, CELL)) for row in rows for picture in row[:COLUMNS]]
    columns = min(COLUMNS, len(rows[0]))
    print(images.write_image(path, images.grid(pictures, columns, 4), overwrite=True))


def write_section(arguments: argparse.Namespace, name: str, lines: Sequence[str]) -> None:
    section = "\n".join(["## Measured", "", f"Written by `python benchmarks/models.py ../shared/data {name}`, whose "
                         "`--help` says what each column is; do not edit.", "", *lines, ""])
    print(section)
    replace_section(arguments.output / f"{name}.md", section)


if __name__ == "__main__":
    sys.exit(main())

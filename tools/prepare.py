"""Prepare training pictures: aligned faces, photo|cartoon pairs, style sets, frames of videos, a check of a folder."""

from __future__ import annotations

import argparse
import csv
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # works from a clone that is not installed

from ppgan_apps.data import attributes_file, read_attributes  # noqa: E402
from ppgan_apps.errors import DataError, ImageError, NoFaceError, OutputError, SuiteError  # noqa: E402
from ppgan_apps.images import find_images, make_folder, read_image, replacing, resize, write_image  # noqa: E402

EXAMPLES = """examples:
  python tools/prepare.py check data/portraits
  python tools/prepare.py faces data/portraits -o data/faces --jitter 2 --hold-out 8
  python tools/prepare.py pairs data/faces/train -o data/pairs/train
  python tools/prepare.py pairs data/portraits -o data/pairs/train --predictor photo2cartoon
  python tools/prepare.py frames film.mp4 -o data/film --per-second 1
  python tools/prepare.py style data/photos -o data/anime --size 288 --crops 2 --smooth --hold-out 8

Nothing is overwritten unless --overwrite is given. Exit status: 0 all done, 1 some pictures were left out
(each is named), 2 the command cannot be carried out.
"""
MARGIN = 0.12  # of the crop's side: how far the jitter may shift and scale
# The names of `ppgan-apps` for what turns a picture into another, and their classes in the package.
PREDICTORS = {"photo2cartoon": "Photo2CartoonPredictor", "animeganv2": "AnimeGANv2Predictor",
              "anime2real": "Anime2RealPredictor"}
TURN = 10.0  # degrees: the most that the jitter rotates
BRIGHTNESS = 0.15  # the most that the jitter brightens or darkens, as an exponent of gamma


@dataclass(frozen=True)
class Label:
    """What is known about the face of one picture: landmarks float32 [68, 2] (x, y), mask float32 [H, W] in [0, 1]."""

    landmarks: np.ndarray
    mask: np.ndarray


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return options.command(options)
    except SuiteError as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: stopped; the pictures written so far are whole.", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    faces = commands.add_parser("faces", help="find, align and cut out the main face of each portrait, on white; "
                               "rows of an attributes.csv of the portraits follow the crops")
    _inputs_and_output(faces)
    faces.add_argument("--size", type=_size, default=256, help="side of a crop in pixels (default 256)")
    faces.add_argument("--labels", type=Path, help="folder of label files (.npz with landmarks and mask, as "
                       "tools/label_faces.py makes) to use instead of the embedded face models")
    faces.add_argument("--jitter", type=_count, default=0, metavar="N",
                       help="N more crops per face, slightly turned, shifted, scaled and lit otherwise (default 0)")
    faces.add_argument("--seed", type=int, default=0, help="seed of the jitter (default 0)")
    faces.add_argument("--hold-out", type=_count, default=0, metavar="N",
                       help="put every Nth face into OUTPUT/val, without jitter, and the others into OUTPUT/train")
    faces.set_defaults(command=faces_command)

    pairs = commands.add_parser("pairs", help="write pictures 2W x W: a photo left, its cartoon or anime right")
    _inputs_and_output(pairs)
    pairs.add_argument("--labels", type=Path, help="folder of the crops' label files (default: the folder 'labels' "
                       "beside each crop, which 'faces' writes; the embedded face models where there is none)")
    pairs.add_argument("--predictor", choices=("drawn", *PREDICTORS), default="drawn",
                       help="what makes the right half: drawn (default) renders a face crop without a network; "
                       "photo2cartoon cuts out the main face of any photo first, the others take the middle square")
    pairs.add_argument("--inked", action="store_true", help="of a drawn cartoon: the photo's own features in ink, not "
                       "eyes, nose and mouth drawn anew from the landmarks")
    pairs.add_argument("--style", help="weights of the predictor, see `ppgan-apps zoo` (default: as the command does)")
    pairs.add_argument("--weight-path", help="weights of the predictor: a file, a checkpoint or a run folder")
    pairs.add_argument("--size", type=_size, default=256, help="side of the squares that animeganv2 and anime2real are "
                       "fed in pixels (default 256)")
    pairs.set_defaults(command=pairs_command)

    frames = commands.add_parser("frames", help="write frames of videos as pictures, upright")
    frames.add_argument("inputs", nargs="+", type=Path, help="videos")
    frames.add_argument("-o", "--output", type=Path, required=True, help="folder to write into")
    frames.add_argument("--overwrite", action="store_true", help="replace files of the same names")
    pace = frames.add_mutually_exclusive_group()
    pace.add_argument("--every", type=_positive, default=1, metavar="N", help="every Nth frame (default 1: all)")
    pace.add_argument("--per-second", type=_rate, metavar="R", help="R frames for each second of the video, e.g. 0.5")
    frames.set_defaults(command=frames_command)

    style = commands.add_parser("style", help="write photos, their rendering in a style and its edge-smoothed version")
    _inputs_and_output(style)
    style.add_argument("--size", type=_size, default=288, help="side of the squares in pixels (default 288)")
    style.add_argument("--style", choices=("anime", "comic", "watercolour"), default="anime",
                       help="the rendering (default anime)")
    style.add_argument("--smooth", action="store_true",
                       help="also write OUTPUT/smooth: the renderings blurred along edges, for AnimeGAN's edge term")
    style.add_argument("--pairs", action="store_true",
                       help="also write OUTPUT/pairs: photo left, rendering right, for pix2pix")
    style.add_argument("--crops", type=_count, default=0, metavar="N",
                       help="N random closer crops of each photo besides the whole (default 0)")
    style.add_argument("--seed", type=int, default=0, help="seed of the crops (default 0)")
    style.add_argument("--hold-out", type=_count, default=0, metavar="N",
                       help="put every Nth photo into OUTPUT/val instead, without crops")
    style.set_defaults(command=style_command)

    check = commands.add_parser("check", help="list the files of a folder that cannot be trained on")
    check.add_argument("inputs", nargs="+", help="pictures, folders or patterns")
    check.add_argument("--least", type=_size, default=32, help="shortest side allowed in pixels (default 32)")
    check.set_defaults(command=check_command)
    return parser


def _inputs_and_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="pictures, folders or patterns")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same names")


def _size(text: str) -> int:
    value = int(text)
    if not 16 <= value <= 4096:
        raise argparse.ArgumentTypeError(f"{value} is not between 16 and 4096")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


# faces ----------------------------------------------------------------------------------------------------------------


def faces_command(options: argparse.Namespace) -> int:
    from ppgan_apps.faces import align

    tasks = _tasks(options.inputs)
    known = _attributes(options.inputs)
    tables: dict[Path, dict[str, dict]] = {}                   # folder -> the rows of its crops, by file
    folders = [_split(options.output, index, options.hold_out) for index in range(len(tasks))]
    copies = [0 if folder.name == "val" and options.hold_out else options.jitter for folder in folders]
    names = [[name] + [f"{name}_{k + 1}" for k in range(count)]
             for (_, name), count in zip(tasks, copies, strict=True)]
    planned = [folder / f"{n}.png" for folder, group in zip(folders, names, strict=True) for n in group]
    _refuse_existing(options, planned)

    def prepare(index: int) -> None:
        path, name = tasks[index]
        image = read_image(path)
        label = _label(image, path, name, options.labels)
        straight = align.crop_matrix(label.landmarks, options.size)
        for copy, crop_name in enumerate(names[index]):
            random = np.random.default_rng([options.seed, index, copy])
            matrix = straight if copy == 0 else _jitter(straight, options.size, random)
            crop = align.warp(image, matrix, options.size)
            if copy:
                crop = _relight(crop, random)
            mask = np.clip(align.warp(label.mask, matrix, options.size, border=0.0), 0, 1)
            landmarks = align.transform(label.landmarks, matrix).astype(np.float32)
            write_image(folders[index] / f"{crop_name}.png", _on_white(crop, mask), overwrite=options.overwrite)
            write_label(folders[index] / "labels" / f"{crop_name}.npz", Label(landmarks, mask))
            if path in known:
                tables.setdefault(folders[index], {})[f"{crop_name}.png"] = known[path]

    status = _each(prepare, [path for path, _ in tasks], "faces")
    for folder, rows in tables.items():
        _add_attributes(folder, rows)
    return status


def _attributes(inputs: list[str]) -> dict[Path, dict]:
    """What attributes.csv or attributes.jsonl in a folder among the inputs says about each picture."""
    tables = [table for entry in inputs if Path(entry).is_dir() and (table := attributes_file(Path(entry)))]
    return {table.parent / name: row for table in tables for name, row in read_attributes(table).items()}


def _add_attributes(folder: Path, rows: dict[str, dict]) -> None:
    """Writes rows into attributes.csv of a folder of crops, under the crops' names; rows of other crops stay."""
    table = folder / "attributes.csv"
    merged = {**(read_attributes(table) if table.is_file() else {}), **rows}
    columns = dict.fromkeys(column for row in merged.values() for column in row if column not in ("file", None))
    with replacing(table) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["file", *columns], extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, "file": name} for name, row in sorted(merged.items()))


def _jitter(matrix: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """A crop matrix [2, 3] followed by a small turn, scale and shift about the middle of the crop."""
    angle = np.radians(random.uniform(-TURN, TURN))
    scale = np.exp(random.uniform(-MARGIN, MARGIN))
    shift = random.uniform(-MARGIN / 2, MARGIN / 2, 2) * size
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([(size - 1) / 2, (size - 1) / 2])
    offset = turn @ (matrix[:, 2] - middle) + middle + shift
    return np.concatenate([turn @ matrix[:, :2], offset[:, None]], axis=1)


def _relight(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    gamma = np.exp(random.uniform(-BRIGHTNESS, BRIGHTNESS)) * np.exp(random.uniform(-0.05, 0.05, 3))
    return np.rint(255.0 * (image / 255.0) ** gamma).astype(np.uint8)


def _on_white(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    share = mask[..., None]
    return np.rint(image * share + 255.0 * (1 - share)).astype(np.uint8)


def _label(image: np.ndarray, path: Path, name: str, folder: Path | None) -> Label:
    """The label file of a picture, or what the embedded face models see in it. Raises NoFaceError, DataError."""
    if folder is None:
        return _see(image, path)
    candidates = [folder / f"{stem}.npz" for stem in (name, f"{path.parent.name}_{path.stem}", path.stem)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise DataError(f"{path} has no label file in {folder}: make {name}.npz with tools/label_faces.py.")
    return read_label(found, image.shape[:2])


def _see(image: np.ndarray, path: Path) -> Label:
    from ppgan_apps.faces.detect import detect
    from ppgan_apps.faces.segment import segment

    faces = detect(image)
    if not faces:
        raise NoFaceError(f"{path} shows no face that can be found: leave it out, or use --labels.")
    landmarks = np.asarray(faces[0].landmarks, np.float32)
    return Label(landmarks, np.asarray(segment(image, landmarks), np.float32))


def read_label(path: Path, shape: tuple[int, int]) -> Label:
    """Read a .npz with landmarks [68, 2] and mask [H, W] (and found) for a picture of `shape` (H, W).

    Raises NoFaceError when the file says that no face was found, DataError when it does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            landmarks = arrays["landmarks"].astype(np.float32)
            mask = arrays["mask"].astype(np.float32)
            found = bool(arrays["found"]) if "found" in arrays.files else True
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a label file with landmarks and mask ({error}): make it again.") from error
    if not found:
        raise NoFaceError(f"{path} says that its picture shows no face: leave the picture out.")
    if landmarks.shape != (68, 2) or mask.shape != tuple(shape):
        raise DataError(f"{path} does not fit its picture (landmarks {landmarks.shape}, mask {mask.shape}, picture "
                        f"{tuple(shape)}): make it again.")
    return Label(landmarks, np.clip(mask, 0, 1))


def write_label(path: Path, label: Label) -> None:
    """Write a label file (half-precision mask) under a temporary name, then rename it."""
    make_folder(path.parent)
    with replacing(path) as temporary:
        with open(temporary, "wb") as stream:
            np.savez_compressed(stream, landmarks=label.landmarks, mask=label.mask.astype(np.float16), found=True)


# pairs ----------------------------------------------------------------------------------------------------------------


def pairs_command(options: argparse.Namespace) -> int:
    if options.predictor == "drawn" and (options.style or options.weight_path):
        raise DataError("--style and --weight-path belong to a predictor: name it with --predictor.")
    tasks = _tasks(options.inputs)
    _refuse_existing(options, [options.output / f"{name}.png" for _, name in tasks])
    make = _drawn_pair(options) if options.predictor == "drawn" else _predicted_pair(options)

    def prepare(index: int) -> None:
        path, name = tasks[index]
        write_image(options.output / f"{name}.png", np.hstack(make(read_image(path), path, name)),
                    overwrite=options.overwrite)

    return _each(prepare, [path for path, _ in tasks], "pairs")


def _drawn_pair(options: argparse.Namespace):
    """A function of (picture, path, name) that gives a face crop on white and its rendering."""
    from ppgan_apps.rendering import cartoon

    def make(image: np.ndarray, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        if image.shape[0] != image.shape[1]:
            raise ImageError(f"{path} is {image.shape[1]}x{image.shape[0]}, not square: make crops with 'faces' first.")
        beside = path.parent / "labels"
        folder = options.labels or (beside if (beside / f"{path.stem}.npz").is_file() else None)
        label = _label(image, path, name, folder)
        photo = _on_white(image, label.mask) if folder is None else image  # crops by 'faces' are on white already
        return photo, cartoon(image, label.mask, label.landmarks, redraw=not options.inked)
    return make


def _predicted_pair(options: argparse.Namespace):
    """A function of (picture, path, name) that gives what a predictor was fed and what it made of it."""
    import ppgan_apps

    predictor = getattr(ppgan_apps, PREDICTORS[options.predictor])(
        output_path=options.output, weight_path=options.weight_path, style=options.style)

    def make(image: np.ndarray, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        if options.predictor == "photo2cartoon":
            made = predictor.draw(image, path)[0]
            return made.crop.image, made.picture
        photo = square(image, options.size)
        made = predictor.predict(photo)
        return resize(photo, made.shape[1::-1]), made
    return make


# frames ---------------------------------------------------------------------------------------------------------------


def frames_command(options: argparse.Namespace) -> int:
    names = [path.stem for path in options.inputs]
    if len(set(names)) < len(names):
        raise OutputError("Two of the videos have one name, which their pictures would share: rename one of them.")
    _refuse_existing(options, [found for name in names for found in sorted(options.output.glob(f"{name}_*.png"))])
    for path, name in zip(options.inputs, names, strict=True):
        count = 0
        for count, picture in enumerate(_frames(path, options), 1):
            write_image(options.output / f"{name}_{count:06d}.png", picture, overwrite=options.overwrite)
        print(f"{path}: {count} pictures", file=sys.stderr)
    return 0


def _frames(path: Path, options: argparse.Namespace):
    """The frames of a video that are asked for, uint8 RGB [H, W, 3], upright. Raises VideoError, MissingExtra."""
    from ppgan_apps.codec import open_clip

    clip = open_clip(path, tell=lambda sentence: print(sentence, file=sys.stderr))
    due, first = 0.0, None
    for index, frame in enumerate(_progress(clip.read(0), path.name, "frame", clip.count)):
        if options.per_second:
            first = frame.pts if first is None else first
            since = float((frame.pts - first) * clip.time_base)
            if since < due - 1e-6:
                continue
            due = max(due + 1 / options.per_second, since)
        elif index % options.every:
            continue
        yield frame.picture


# style ----------------------------------------------------------------------------------------------------------------


def style_command(options: argparse.Namespace) -> int:
    from ppgan_apps import rendering

    render = getattr(rendering, options.style)
    tasks = _tasks(options.inputs)
    held = [bool(options.hold_out) and index % options.hold_out == options.hold_out - 1 for index in range(len(tasks))]
    names = [[name] + ([] if out else [f"{name}_{k + 1}" for k in range(options.crops)])
             for (_, name), out in zip(tasks, held, strict=True)]
    kinds = ["photo", "style"] + ["smooth"] * options.smooth + ["pairs"] * options.pairs
    folders = [options.output / "val" if out else options.output for out in held]
    _refuse_existing(options, [folder / kind / f"{n}.png" for folder, group in zip(folders, names, strict=True)
                               for kind in kinds for n in group])

    def prepare(index: int) -> None:
        whole = read_image(tasks[index][0])
        for copy, name in enumerate(names[index]):
            random = np.random.default_rng([options.seed, index, copy])
            photo = square(whole, options.size, random if copy else None)
            drawn = render(photo)
            pictures = {"photo": photo, "style": drawn}
            if options.smooth:
                pictures["smooth"] = rendering.edge_smoothed(drawn)
            if options.pairs:
                pictures["pairs"] = np.hstack([photo, drawn])
            for kind, picture in pictures.items():
                write_image(folders[index] / kind / f"{name}.png", picture, overwrite=options.overwrite)

    return _each(prepare, [path for path, _ in tasks], "style")


def square(image: np.ndarray, size: int, random: np.random.Generator | None = None) -> np.ndarray:
    """The middle square of a picture at `size`; with `random`, a square of 55 to 90 % of its side anywhere in it."""
    height, width = image.shape[:2]
    side = min(height, width)
    if random is None:
        top, left = (height - side) // 2, (width - side) // 2
    else:
        side = max(1, round(side * random.uniform(0.55, 0.90)))
        top, left = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
    return resize(np.ascontiguousarray(image[top:top + side, left:left + side]), (size, size))


# check ----------------------------------------------------------------------------------------------------------------


def check_command(options: argparse.Namespace) -> int:
    paths = find_images(options.inputs)
    bad = 0
    for path in _progress(paths, "check"):
        try:
            height, width = read_image(path).shape[:2]
            if min(height, width) < options.least:
                raise ImageError(f"{path} has {width}x{height} pixels: its shorter side is under {options.least}.")
        except ImageError as error:
            bad += 1
            print(error)
    print(f"{len(paths) - bad} of {len(paths)} pictures are good.", file=sys.stderr)
    return 1 if bad else 0


# shared ---------------------------------------------------------------------------------------------------------------


def _tasks(inputs: list[str]) -> list[tuple[Path, str]]:
    """(path, output name) of every picture, sorted; folders below an input join the name: female/07 -> female_07."""
    tasks: dict[str, Path] = {}
    for entry in inputs:
        root = Path(entry)
        for path in find_images([entry]):
            relative = path.relative_to(root) if root.is_dir() else Path(path.name)
            name = "_".join(relative.with_suffix("").parts)
            if tasks.setdefault(name, path) != path:
                raise OutputError(f"{path} and {tasks[name]} would both be written as {name}: rename one of them.")
    return sorted(((path, name) for name, path in tasks.items()), key=lambda task: task[1])


def _split(output: Path, index: int, hold_out: int) -> Path:
    if not hold_out:
        return output
    return output / ("val" if index % hold_out == hold_out - 1 else "train")


def _refuse_existing(options: argparse.Namespace, paths: list[Path]) -> None:
    """Nothing is written at all when one file of the plan is there already."""
    existing = next((path for path in paths if path.exists()), None)
    if existing is not None and not options.overwrite:
        raise OutputError(f"{existing} exists: use --overwrite, or another output folder.")


def _each(prepare, paths: list[Path], what: str) -> int:
    """Call prepare(index) for every picture; a bad one is named and left out. Returns the exit status."""
    left_out = []
    for index, _ in enumerate(_progress(paths, what)):
        try:
            prepare(index)
        except (ImageError, DataError) as error:
            if len(paths) == 1:
                raise
            left_out.append(str(error))
    for message in left_out:
        print(f"left out: {message}", file=sys.stderr)
    if len(left_out) == len(paths):
        raise DataError(f"No picture could be used for {what}: see the reasons above.")
    return 1 if left_out else 0


def _progress(items, what: str, unit: str = "picture", total: int | None = None):
    from tqdm import tqdm

    return tqdm(items, desc=what, unit=unit, total=total, disable=None)  # no bar where stderr is not a terminal


if __name__ == "__main__":
    sys.exit(main())

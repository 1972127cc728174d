"""Writes the record of a training run: its distance to real pictures at every checkpoint, a curve and sample sheets.

python tools/record_run.py output/dcgan_avatars -o docs/training
"""
from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

from ppgan_apps import config, data, evaluation, images, runtime  # noqa: E402
from ppgan_apps.checkpoints import checkpoints, read_meta  # noqa: E402
from ppgan_apps.config import RunConfig  # noqa: E402
from ppgan_apps.errors import ConfigError, DataError, MissingExtra, SuiteError  # noqa: E402
from ppgan_apps.metrics import features as spaces  # noqa: E402
from ppgan_apps.metrics.fid import fid  # noqa: E402
from ppgan_apps.metrics.precision_recall import precision_recall  # noqa: E402
from ppgan_apps.metrics.result import Result  # noqa: E402

EXAMPLES = """examples:
  python tools/record_run.py output/dcgan_avatars
  python tools/record_run.py output/pix2pix --name pix2pix_portraits --override data.path=data/held_out \\
      --held-out "20 pairs that were not trained on" --features random-vgg-128

The run must have kept its checkpoints: train with -o keep_checkpoints=99. Exit status: 0, or 2 after one line.
"""
COLUMNS, ROWS = 8, 4                                             # of a sheet of samples
TRANSLATED = 4                                                   # rows of a sheet of translated pictures
FEWEST = 50                                                      # real pictures whose distance to others says something
LIMIT = 300_000                                                  # bytes of a picture in the repository
# Settings that change what is seen of a run but not what it learns, and where things are.
UNTOLD = {"output", "device", "workers", "log_every", "preview_every", "checkpoint_every", "keep_checkpoints",
          "evaluate_every", "evaluate_count", "data.path", "data.path_a", "data.path_b", "data.photo", "data.style",
          "data.smooth"}


@dataclass(frozen=True)
class Point:
    """One checkpoint's measurement; `seconds` of training up to it, None where the log does not say."""

    step: int
    seconds: float | None
    results: list[Result]


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    try:
        print(record(arguments))
        return 0
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=EXAMPLES,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path, help="a run's folder with several checkpoints")
    made.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "training", metavar="DIR",
                      help="folder for the page and its pictures (default: docs/training)")
    made.add_argument("--name", help="of the page and its pictures (default: the run folder's name)")
    made.add_argument("--config", metavar="NAME", help="the YAML in configs/ that was trained (default: --name)")
    made.add_argument("--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                      help="change a value for the measurement, such as data.path to held-out pictures")
    made.add_argument("--held-out", default="", metavar="WORDS", help="what the pictures of --override are")
    made.add_argument("--count", type=int, default=evaluation.COUNT,
                      help=f"pictures of each side at most (default: {evaluation.COUNT})")
    made.add_argument("--features", default=spaces.DEFAULT, help=f"feature space (default: {spaces.DEFAULT})")
    made.add_argument("--note", default="", help="a paragraph for the page, such as the machine that trained it")
    made.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N")
    made.add_argument("--overwrite", action="store_true", help="replace a page that exists")
    return made


def record(arguments: argparse.Namespace) -> Path:
    """Measures and draws every checkpoint and writes the page; returns its path."""
    from tqdm import tqdm
    name = arguments.name or arguments.run.resolve().name
    page = arguments.output / f"{name}.md"
    if page.exists() and not arguments.overwrite:
        raise ConfigError(f"{page} exists: use --overwrite, or another --name.")
    _pyplot()                                                    # told before any work is done
    folders = checkpoints(arguments.run)
    if len(folders) < 2:
        raise DataError(f"{arguments.run} has {len(folders)} checkpoints, and a record needs two or more: train with "
                        f"-o keep_checkpoints=99.")
    runtime.device(arguments.device)
    trained = config.load_run(folders[-1] / "config.yaml")
    run = config.load_run(folders[-1] / "config.yaml", arguments.override)
    trained_by = command(trained, arguments.config or name)
    space = spaces.open_space(arguments.features)
    real, floor = real_features(run, space, arguments.count)
    seconds = seconds_of(arguments.run)
    points, sheets = [], {}
    shown = dict(zip(("early", "middle", "last"), (folders[0], folders[len(folders) // 2], folders[-1])))
    for folder in tqdm([None, *folders], "checkpoints", file=sys.stderr, disable=None):
        recipe = untrained(run) if folder is None else evaluation.load_recipe(run, folder)
        step = 0 if folder is None else int(read_meta(folder)["step"])
        made = list(evaluation.generated_pictures(recipe, arguments.count, run.seed))
        fake = space.extract(made, "generated pictures")
        elapsed = 0.0 if folder is None else seconds.get(step)
        points.append(Point(step, elapsed, [fid(real, fake), precision_recall(real, fake)]))
        for stage in [stage for stage, place in shown.items() if place == folder]:
            file = arguments.output / f"{name}_{stage}.png"
            sheets[stage] = (step, write_small(file, sheet(recipe, made)))
    curve = arguments.output / f"{name}_distance.png"
    draw_curve(curve, points, floor, name)
    about = {"command": trained_by, "steps": points[-1].step,
             "batch_size": trained.batch_size, "parameters": parameters(recipe)}
    text = page_text(name, about, points, floor, curve, sheets, arguments.held_out, arguments.note)
    with images.replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def untrained(run: RunConfig):
    """The recipe as training starts it."""
    import paddle
    run.data.open()
    with paddle.utils.unique_name.guard():
        paddle.seed(run.seed)
        return config.recipe_class(run.family)(run)


def real_features(run: RunConfig, space, count: int):
    """(features of up to `count` real pictures, the distance from them to as many other ones, or None).

    That distance is what a perfect generator would reach. With fewer than twice `count` pictures it is between halves;
    it is None where those hold fewer than 50, and for pairs, whose results show the very same subjects.
    """
    pictures = evaluation.RealPictures(run.data, 2 * count, run.seed)
    everything = space.extract(pictures, "real pictures", len(pictures))
    half = len(everything) // 2
    first, second = (spaces.Features(rows, space) for rows in (everything.values[:half], everything.values[half:]))
    comparable = half >= FEWEST and not isinstance(run.data, data.PairedImages)
    floor = fid(first, second) if comparable else None
    return spaces.Features(everything.values[:count], space), floor


def seconds_of(folder: Path) -> dict[int, float]:
    """Seconds of training by step, from log.jsonl, whose clock starts again with every resume."""
    elapsed, before, latest = {}, 0.0, 0.0
    try:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    for line in lines:
        if line["seconds"] < latest:
            before += latest
        latest = line["seconds"]
        elapsed[line["step"]] = before + latest
    return elapsed


def command(run: RunConfig, name: str) -> str:
    """The command that trains `run`: the YAML's name and the values that differ from it."""
    yaml = ROOT / "configs" / f"{name}.yaml"
    if not yaml.is_file():
        raise ConfigError(f"There is no {yaml.relative_to(ROOT)}: name the YAML that was trained with --config.")
    stored, current = _flat(config.load_run(yaml).to_dict()), _flat(run.to_dict())
    told = [f"{key}={_as_yaml(value)}" for key, value in current.items()
            if key not in UNTOLD and stored.get(key) != value]
    return " ".join([f"python tools/main.py --config-file configs/{name}.yaml", *(["-o", *told] if told else [])])


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _as_yaml(value) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def parameters(recipe) -> str:
    """The size of the network that is delivered."""
    network = recipe.delivered
    return f"{sum(int(np.prod(entry.shape)) for entry in network.parameters()):,} parameters in {recipe.deliver}"


def sheet(recipe, made: list[np.ndarray]) -> np.ndarray:
    """Samples side by side; of a family that translates pictures, rows of what goes in, what comes out, and more."""
    import paddle
    dataset = evaluation.without_augmentation(recipe.run.data).open()
    batch = data.make_batch(dataset, recipe.run.seed, 0, min(TRANSLATED, len(dataset)))
    if "real" in batch:
        return images.grid(made[:COLUMNS * ROWS], COLUMNS)
    rows = []
    with evaluation.evaluating(recipe), paddle.no_grad():
        for index in range(len(next(iter(batch.values())))):
            one = {key: paddle.to_tensor(value[index:index + 1]) for key, value in batch.items()}
            rows += [images.to_images(tensor)[0] for tensor in list(recipe.preview(one).values())[:3]]
    return images.grid(rows, 3)


def write_small(path: Path, picture: np.ndarray) -> Path:
    """Writes a PNG of at most LIMIT bytes, made smaller until it fits."""
    images.write_image(path, picture)
    while path.stat().st_size > LIMIT:
        height, width = picture.shape[:2]
        picture = images.resize(picture, (round(width * 0.9), round(height * 0.9)))
        images.write_image(path, picture)
    return path


def _pyplot():
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "train", "The curve of a run's record") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot
    return pyplot


def draw_curve(path: Path, points: list[Point], floor: Result | None, name: str) -> None:
    """The distance by step, with that between real pictures as a line below."""
    pyplot = _pyplot()
    first = points[0].results[0]
    figure, axes = pyplot.subplots(figsize=(6, 3.2), dpi=110)
    axes.plot([point.step for point in points], [point.results[0].values["value"] for point in points], "o-")
    if floor:
        axes.axhline(floor.values["value"], linestyle="--", color="grey")
        axes.annotate("real pictures", (0, floor.values["value"]), textcoords="offset points", xytext=(2, 4),
                      color="grey", fontsize=8)
    axes.set(yscale="log", xlabel="step", ylabel=first.metric, title=f"{name}, {first.protocol['features']}")
    axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    images.make_folder(path.parent)
    with images.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)


def page_text(name: str, about: dict, points: list[Point], floor: Result | None, curve: Path, sheets: dict,
              held_out: str, note: str) -> str:
    """The page in Markdown."""
    distance = points[0].results[0].metric
    first, best, last = points[0], min(points, key=lambda point: point.results[0].values["value"]), points[-1]
    numbers = {kind: point.results[0].values["value"] for kind, point in
               (("first", first), ("best", best), ("last", last))}
    protocol = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in last.results[0].protocol.items())
    lines = [f"# {name}", "", f"```bash\n{about['command']}\n```", "",
             f"{about['steps']:,} steps of {about['batch_size']} pictures, {_time(last.seconds)} "
             f"({about['parameters']}).", ""]
    lines += [note, ""] if note else []
    lines += [f"The {distance} to real pictures falls from {numbers['first']:.4g} untrained to {numbers['last']:.4g} "
              f"at the end"
              + (f"; it was lowest, {numbers['best']:.4g}, at step {best.step:,}." if best is not last else ".")
              + (f" Between two sets of {floor.protocol['real']} real pictures it is {floor.values['value']:.4g}."
                 if floor else ""), "",
              f"| step | time | {distance} | precision | recall |", "|---:|---:|---:|---:|---:|"]
    for point in points:
        shares = point.results[1].values
        lines.append(f"| {point.step:,} | {_time(point.seconds)} | {point.results[0].values['value']:.4g} | "
                     f"{shares['precision']:.3f} | {shares['recall']:.3f} |")
    lines += ["", f"![{distance} by step]({curve.name})", "", f"Protocol: {protocol}."
              + (f" Measured on {held_out}." if held_out else " Real pictures are the training pictures."), ""]
    for stage, (step, file) in sheets.items():
        lines += [f"{stage.capitalize()}, step {step:,}:", "", f"![Results at step {step:,}]({file.name})", ""]
    lines += ["Made by `python tools/record_run.py`; nothing is chosen by its looks."]
    return "\n".join(lines) + "\n"


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    sys.exit(main())

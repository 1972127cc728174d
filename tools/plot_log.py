"""Draws what a run logged: a curve for each loss, averaged over neighbours, from its log.jsonl.

python tools/plot_log.py output/embedded_photo2cartoon -o docs/models/photo2cartoon_log.png
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

from ppgan_apps import images  # noqa: E402
from ppgan_apps.errors import DataError, MissingExtra, OutputError, SuiteError  # noqa: E402

WINDOW = 20                                                      # lines of the log that one point of a curve averages


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder, or its log.jsonl")
    parser.add_argument("-o", "--output", type=Path, help="the picture, PNG (default: log.png in the run folder)")
    parser.add_argument("--only", nargs="+", metavar="LOSS", help="these losses (default all)")
    parser.add_argument("--overwrite", action="store_true", help="replace a picture that is there")
    options = parser.parse_args(arguments)
    try:
        print(plot(options.run, options.output, options.only, options.overwrite))
    except SuiteError as error:
        print(f"plot_log.py: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def plot(run: Path, output: Path | None, only: list[str] | None, overwrite: bool) -> Path:
    log = run / "log.jsonl" if run.is_dir() else run
    output = output or log.parent / "log.png"
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists: use --overwrite, or another name.")
    steps, curves = read_log(log)
    missing = sorted(set(only or []) - set(curves))
    if missing:
        raise DataError(f"{log} has no {', '.join(missing)}: it has {', '.join(curves)}.")
    draw(output, steps, {name: curves[name] for name in only or curves})
    return output


def read_log(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The steps [N] and every loss [N] (NaN where a line has none) of a log.jsonl. Raises DataError."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        steps = np.array([row["step"] for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not the log of a run ({error}): give a run folder.") from error
    names = dict.fromkeys(name for row in rows for name, value in row.items()
                          if name not in ("step", "seconds") and isinstance(value, (int, float)))
    if not names:
        raise DataError(f"{path} has no losses: let the run go on for a while.")
    return steps, {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}


def averaged(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """The mean of each value and up to window - 1 before it, NaN left out."""
    known = np.nan_to_num(values)
    sums, counts = np.cumsum(known), np.cumsum(~np.isnan(values))
    sums[window:], counts[window:] = sums[window:] - sums[:-window], counts[window:] - counts[:-window]
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def draw(path: Path, steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "train", "The curves of a run") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, every = pyplot.subplots(1, len(curves), figsize=(4.2 * len(curves), 3), dpi=110, squeeze=False)
    for axes, (name, values) in zip(every[0], curves.items(), strict=True):
        axes.plot(steps, values, color="lightgrey", linewidth=0.6)
        axes.plot(steps, averaged(values))
        if np.nanmin(values) > 0:
            axes.set_yscale("log")
        axes.set(xlabel="step", title=name)
        axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    images.make_folder(path.parent)
    with images.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())

"""How much of the time the network runs: over a folder by the command, and in one prediction of each predictor.

    python benchmarks/network_share.py --dry-run
    python benchmarks/network_share.py --photos my_photos --engines openvino paddle

- The command: `ppgan-apps animeganv2` over a folder of photos, in this process. The share is what the network's calls
  take of the time from the first call's start to the last result's being written; opening the network comes before.
- One prediction: what `predict` takes beside the network, as a share of the network's own time. Finding the face and
  cutting it out of its background are other networks, and stand by themselves.

Without --photos they are made: the photograph of scikit-image (NASA, public domain) enlarged to 2048 x 1536, shifted.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                  # runs from a clone without being installed

import ppgan_apps  # noqa: E402 - importing it settles Paddle's settings

# isort: split
import numpy as np  # noqa: E402

from benchmarks.report import processor, replace_section  # noqa: E402
from ppgan_apps import cli, engines, images  # noqa: E402
from ppgan_apps.predictors import photo2cartoon  # noqa: E402
from ppgan_apps.predictors.base import Predictor  # noqa: E402

HEADING = "## The network's share"
PICTURES, WIDTH, HEIGHT = 4, 2048, 1536
PREDICTORS = {"animeganv2": ppgan_apps.AnimeGANv2Predictor, "photo2cartoon": ppgan_apps.Photo2CartoonPredictor,
              "anime2real": ppgan_apps.Anime2RealPredictor}


class Stopwatch:
    """Counts what the calls that it watches take: `seconds` in all, and when the first one began."""

    def __init__(self):
        self.seconds, self.began, self._inside = 0.0, None, False

    def watch(self, stack: contextlib.ExitStack, owner, name: str) -> None:
        """Until the stack closes, calls of owner.name count; those inside another one count once."""
        called = getattr(owner, name)

        def timed(*arguments, **options):
            if self._inside:
                return called(*arguments, **options)
            self._inside, start = True, time.perf_counter()
            self.began = self.began or start
            try:
                return called(*arguments, **options)
            finally:
                self._inside = False
                self.seconds += time.perf_counter() - start
        setattr(owner, name, timed)
        stack.callback(setattr, owner, name, called)


@contextmanager
def watched(*calls):
    """A Stopwatch of the calls (owner, name) inside the block."""
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        for owner, name in calls:
            watch.watch(stack, owner, name)
        yield watch


def network_calls():
    """What runs a network in any engine. (Paddle's has the copies in and out in it, which are small.)"""
    return [(engines.OnnxNetwork, "__call__"), (engines.OpenVinoNetwork, "__call__"), (Predictor, "_run_network")]


def share_of_command(folder: Path, engine: str) -> tuple[float, float]:
    """(share of the time, seconds from the first call to the end) of drawing a folder."""
    with tempfile.TemporaryDirectory() as output, watched(*network_calls()) as watch:
        command = ["animeganv2", str(folder), "-o", output, "--style", "embedded", "--engine", engine]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            if cli.main(command):
                raise SystemExit(f"The command failed: ppgan-apps {' '.join(command)}")
        whole = time.perf_counter() - watch.began
    return watch.seconds / whole, whole


def around_network(name: str, photo: np.ndarray, engine: str, rounds: int = 3) -> tuple[float, float, float]:
    """Seconds of one prediction, fastest of `rounds`: (the network, what is beside it, finding and cutting out)."""
    with contextlib.redirect_stderr(io.StringIO()):
        predictor = PREDICTORS[name](style="embedded", engine=engine)
    best = None
    for _ in range(rounds + 1):                                # the first warms up
        with watched((Predictor, "_run_network")) as network, watched(
                (photo2cartoon.face_tools, "wanted_faces"), (photo2cartoon.face_tools, "cut_out")) as faces:
            start = time.perf_counter()
            predictor.predict(photo)
            whole = time.perf_counter() - start
        # The face networks run in an engine too, but not as a predictor's.
        found = network.seconds, whole - network.seconds - faces.seconds, faces.seconds
        best = found if best is None or sum(found) < sum(best) else best
    return best


def make_photos(folder: Path) -> Path:
    import skimage.data
    photo = images.resize(skimage.data.astronaut(), (WIDTH, HEIGHT))
    for number in range(PICTURES):
        images.write_image(folder / f"photo_{number}.jpg", np.roll(photo, 37 * number, axis=1))
    return folder


def table(folder: Path, names: list[str]) -> list[str]:
    """Markdown: a line per engine and what was drawn."""
    import skimage.data
    portrait = skimage.data.astronaut()
    lines = ["| Engine | Drawn | Network, s | Beside it, s | Share | Faces, s |", "|---|---|---|---|---|---|"]
    for engine in names:
        share, whole = share_of_command(folder, engine)
        lines.append(f"| {engine} | `ppgan-apps animeganv2` over a folder | {share * whole:.2f} | "
                     f"{(1 - share) * whole:.2f} | network busy {share:.0%} of the time | - |")
        for name in PREDICTORS:
            network, beside, faces = around_network(name, portrait, engine)
            lines.append(f"| {engine} | one {name} of 512 x 512 | {network:.3f} | {beside:.3f} | beside it "
                         f"{beside / network:.0%} of the network's time | {f'{faces:.3f}' if faces else '-'} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = [name for name in engines.ENGINES if name != "auto" and engines.installed(name)]
    parser.add_argument("--engines", nargs="+", choices=here, default=[name for name in here if name != engines.PADDLE],
                        help="which (default: those installed beside Paddle)")
    parser.add_argument("--photos", type=Path, help="a folder of photos (default: made, see above)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--dry-run", action="store_true", help="print the table and write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        lines = table(arguments.photos or make_photos(Path(made)), arguments.engines)
    section = "\n".join([
        HEADING, "",
        "Written by `python benchmarks/network_share.py`, whose `--help` says what is counted; do not edit.", "",
        f"{date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f},",
        f"Python {platform.python_version()}.", "", *lines, ""])
    print(section)
    if not arguments.dry_run:
        replace_section(arguments.output, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())

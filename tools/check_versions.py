"""Tries the suite with several Pythons, Paddles, numpys and OpenCVs, and rewrites the table of docs/install.md.

    python tools/check_versions.py --python 3.10=/path/to/python3.10 --python 3.12=/path/to/python3.12

Each line gets a fresh virtual environment, `pip install .` with the line's versions, and four checks: the libraries
work together, golden tests of the networks, `ppgan-apps styleganv2` with the embedded weights, and Paddle without
libgomp.so.1 (Linux, as root: the library is hidden in a mount namespace). A line whose Python is not given is left out.
"""
from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "install.md"
COLUMNS = ("Python", "paddlepaddle", "numpy", "opencv-python-headless", "dlib-bin",
           "together", "golden tests", "styleganv2", "no libgomp")
BEGIN, END = "<!-- begin: tools/check_versions.py -->", "<!-- end: tools/check_versions.py -->"


@dataclass(frozen=True)
class Line:
    """One combination: a Python and what pip is told beyond `pip install .`."""
    python: str
    wanted: tuple[str, ...] = ()


LINES = (
    Line("3.10"),
    Line("3.11"),
    Line("3.12"),
    Line("3.13"),
    Line("3.10", ("numpy<2", "opencv-python-headless<5")),
    Line("3.11", ("paddlepaddle==2.6.2", "numpy<2")),
    Line("3.11", ("paddlepaddle==2.6.2", "numpy>=2.3")),
)
# Uses each compiled library after Paddle is in the process: they share symbols, and a clash shows here.
TOGETHER = """
import ppgan_apps
from ppgan_apps.runtime import import_paddle
paddle = import_paddle()
import zlib, numpy as np, cv2, dlib, skimage.transform
image = np.random.RandomState(0).randint(0, 255, (96, 96, 3)).astype("uint8")
assert zlib.decompress(zlib.compress(image.tobytes())) == image.tobytes()
assert cv2.imdecode(cv2.imencode(".png", image)[1], 1).tobytes() == image.tobytes()
dlib.get_frontal_face_detector()(image)
skimage.transform.resize(image, (48, 48))
assert np.linalg.svd(np.eye(3))[1].sum() == 3
assert paddle.nn.Conv2D(3, 4, 3)(paddle.rand([1, 3, 8, 8])).shape == [1, 4, 6, 6]
"""
VERSIONS = """
import platform
from importlib.metadata import version
names = ("paddlepaddle", "numpy", "opencv-python-headless", "dlib-bin")
print(platform.python_version(), *map(version, names), sep=" | ")
"""
HIDE_LIBGOMP = """
for library in $(ls /usr/lib/*/libgomp.so.1.*); do mount --bind /dev/null "$library" || exit 1; done
exec "$@"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="X.Y=PATH", help="a Python to try with")
    parser.add_argument("--tests", nargs="+", default=["tests/networks/test_golden.py"], help="what pytest is given")
    parser.add_argument("--print", action="store_true", help="print the table, leave docs/install.md as it is")
    arguments = parser.parse_args()
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    pythons = {own: sys.executable, **dict(entry.split("=", 1) for entry in arguments.python)}
    rows = [try_line(line, pythons[line.python], arguments.tests) for line in LINES if line.python in pythons]
    table = "\n".join([
        f"{date.today().isoformat()}, {platform.system()} {platform.machine()}:",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
        *(f"| {' | '.join(row)} |" for row in rows),
    ])
    print(table)
    if not arguments.print:
        before, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
        REPORT.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.partition(END)[2], encoding="utf-8")
    return int(any("FAILS" in cell for row in rows for cell in row))


def try_line(line: Line, python: str, tests: list[str]) -> list[str]:
    """The cells of one combination."""
    print(f"Python {line.python} {' '.join(line.wanted)}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        binaries = Path(folder, "venv", "bin")
        inside = str(binaries / "python")
        install = [inside, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "pytest", *line.wanted]
        if not (runs([python, "-m", "venv", str(binaries.parent)]) and runs([*install, f"{ROOT}"])):
            return [line.python, " ".join(line.wanted), "", "", "", "does not install: FAILS", "", "", ""]
        versions = subprocess.run([inside, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.strip()
        sample = [str(binaries / "ppgan-apps"), "styleganv2", "--model-type", "avatars", "--seed", "1", "-o", "samples"]
        checks = {
            "together": runs([inside, "-c", TOGETHER], folder),
            "golden": runs([inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], ROOT),
            "sample": runs(sample, folder),
            "no libgomp": runs(["unshare", "-m", "sh", "-c", HIDE_LIBGOMP, "sh", inside, "-c", TOGETHER], folder)
            if can_hide_libgomp() else None,
        }
    words = {None: "not tried", True: "passes", False: "FAILS"}
    return [*versions.split(" | "), *(words[passed] for passed in checks.values())]


def runs(command: list[str], folder: str | Path | None = None) -> bool:
    """Whether a command ends with 0; its last lines are shown when it does not."""
    offline = {**os.environ, "PPGAN_APPS_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=offline)
    if done.returncode:
        print(f"  {' '.join(command[:6])} ... ended with {done.returncode}\n  "
              + "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-8:]), file=sys.stderr)
    return done.returncode == 0


def can_hide_libgomp() -> bool:
    return sys.platform.startswith("linux") and os.geteuid() == 0


if __name__ == "__main__":
    sys.exit(main())

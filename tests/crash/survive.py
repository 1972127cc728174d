"""Kills the suite's own commands at random moments (SIGKILL) and looks at what is left, as often as asked for.

Nothing broken may stand under a final name, and going on must give what an unbroken run gives. A kind of work is
started, killed at a random moment from its first write on, looked at, started again ... until it ends.
"""
from __future__ import annotations

import argparse
import hashlib
import http.server
import importlib
import json
import os
import random
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402

KINDS = ("training", "exporting", "downloading", "video", "pictures")
CONTENT = np.random.default_rng(0).bytes(3 << 20)
DOWNLOAD = """
import sys
from pathlib import Path
from ppgan_apps import downloads
downloads.fetch(sys.argv[1], Path(sys.argv[2]), patience=downloads.Patience(open=30, block=30, lock=60))
"""


class Broken(AssertionError):
    """What a kill must not leave."""


@dataclass
class Work:
    """One kind of work in a folder: its command, what may stand there at any time, and what stands there at the end."""
    folder: Path
    command: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)             # the command that goes on, where it is another

    def begin(self) -> None:
        """Makes the folder as it is before the first start."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def check(self) -> None:
        """Raises Broken when a file under a final name is not whole."""

    def result(self) -> dict[str, str]:
        """The sums of what a finished run leaves, by name."""
        return {}


def sums(paths) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def _sum_of_arrays(path: Path) -> str:
    """Of a .safetensors file's numbers by name: the format's library writes names in no fixed order."""
    from ppgan_apps.weights import read_weights
    arrays = sorted(read_weights(path).items())
    return hashlib.sha256(b"".join(name.encode() + array.tobytes() for name, array in arrays)).hexdigest()


class Training(Work):
    """Six steps of the smallest StyleGAN2, a checkpoint after each, which a kill also meets while it is written."""

    def __init__(self, folder: Path, data: Path):
        super().__init__(folder)
        from test_training import command
        self.command = command("stylegan2_avatars", _Folders(data), folder / "run", 6)
        self.again = [*self.command, "--resume", "auto"]

    def check(self) -> None:
        from ppgan_apps import checkpoints
        from ppgan_apps.weights import read_weights, resolve
        run = self.folder / "run"
        for checkpoint in checkpoints.checkpoints(run):
            wrong = checkpoints.damage(checkpoint)
            if wrong:
                raise Broken(f"{checkpoint}: {wrong}")
            read_weights(resolve(checkpoint))
        for preview in run.glob("previews/*.png"):
            _picture(preview)

    def result(self) -> dict[str, str]:
        last = self.folder / "run" / "checkpoints" / "step_00000006"
        losses = [{key: value for key, value in json.loads(line).items() if key != "seconds"}
                  for line in (self.folder / "run" / "log.jsonl").read_text().splitlines()]
        return {**{path.name: _sum_of_arrays(path) for path in last.glob("*.safetensors")}, "log": json.dumps(losses)}


class Exporting(Work):
    """An ONNX file, then a Paddle program over an earlier one."""

    def __init__(self, folder: Path, weights: Path):
        super().__init__(folder)
        code = ("import sys\nfrom ppgan_apps.cli import main\n"
                "for name in ('a.onnx', 'program'):\n"
                f"    status = main(['export', {str(weights)!r}, '-o', sys.argv[1] + '/' + name, '--overwrite'])\n"
                "    assert status == 0, status\n")
        self.command = self.again = [sys.executable, "-c", code, str(folder)]

    def check(self) -> None:
        from ppgan_apps import engines
        if (self.folder / "a.onnx").exists():
            engines.OnnxNetwork(self.folder / "a.onnx")
        if (self.folder / "program").exists():
            engines.PaddleProgram(self.folder / "program")

    def result(self) -> dict[str, str]:
        return {**sums([self.folder / "a.onnx"]), **sums((self.folder / "program").glob("*.pdiparams"))}


class Downloading(Work):
    """Three megabytes from a slow server of this machine that can go on where it was left."""

    def __init__(self, folder: Path, server: str):
        super().__init__(folder)
        self.command = self.again = [sys.executable, "-c", DOWNLOAD, f"{server}/net.bin", str(folder / "net.bin")]

    def check(self) -> None:
        target = self.folder / "net.bin"
        if target.exists() and target.read_bytes() != CONTENT:
            raise Broken(f"{target} is not what the server has")

    def result(self) -> dict[str, str]:
        left = {path.name for path in self.folder.iterdir()} - {"net.bin", "net.bin.sha256", "net.bin.lock"}
        if left:
            raise Broken(f"left behind: {left}")
        return sums([self.folder / "net.bin"])


class Video(Work):
    """A clip of 120 frames, with sound, through an ONNX file."""

    def __init__(self, folder: Path, clip: Path, network: Path):
        super().__init__(folder)
        self.command = self.again = [sys.executable, "-m", "ppgan_apps", "animeganv2", str(clip), "-o",
                                     str(folder / "out.mp4"), "--weight-path", str(network), "--smooth", "0.5",
                                     "--overwrite"]            # a kill may come after the clip is there

    def check(self) -> None:
        if (self.folder / "out.mp4").exists():
            import clips
            if len(clips.frames(self.folder / "out.mp4")) != 120:
                raise Broken(f"{self.folder / 'out.mp4'} is not whole")

    def result(self) -> dict[str, str]:
        if (self.folder / ".out.mp4.parts").exists():
            raise Broken("the folder of parts is left")
        return sums([self.folder / "out.mp4"])


class Pictures(Work):
    """A folder of pictures through an ONNX file."""

    def __init__(self, folder: Path, photos: Path, network: Path):
        super().__init__(folder)
        self.command = self.again = [sys.executable, "-m", "ppgan_apps", "animeganv2", str(photos), "-o", str(folder),
                                     "--weight-path", str(network), "--overwrite"]

    def check(self) -> None:
        for path in self.folder.glob("*.png"):
            if not path.name.startswith("."):
                _picture(path)

    def result(self) -> dict[str, str]:
        return sums(path for path in self.folder.glob("*.png") if not path.name.startswith("."))


class _Folders:
    """What test_training's `overrides` wants: any of its data folders by name."""

    def __init__(self, data: Path):
        self._data = data

    def __truediv__(self, name: str) -> Path:
        return self._data


def _picture(path: Path) -> None:
    from ppgan_apps.errors import ImageError
    from ppgan_apps.images import read_image
    try:
        read_image(path)
    except ImageError as error:
        raise Broken(str(error)) from error


# ---------------------------------------------------------------------------------------------------------------------
# What they work on
# ---------------------------------------------------------------------------------------------------------------------
class _Slow(http.server.BaseHTTPRequestHandler):
    """Sends CONTENT over a second or so, from any byte on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        start = int(asked[len("bytes="):-1]) if asked and self.headers.get("If-Range") == '"v1"' else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        for at in range(start, len(CONTENT), 64 << 10):
            self.wfile.write(CONTENT[at:at + (64 << 10)])
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Silence."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address) -> None:
        """A client that is killed is what is tested here."""


def make(kind: str, root: Path) -> Work:
    """The work of a kind below `root`, with what it needs."""
    import clips
    import onnx_files

    from ppgan_apps import images
    from ppgan_apps.weights import save_weights
    folder, given = root / kind / "work", root / kind / "given"
    given.mkdir(parents=True, exist_ok=True)
    if kind == "training":
        for number in range(6):
            images.write_image(given / f"{number}.png", clips.scene(number * 9, (48, 48)))
        return Training(folder, given)
    if kind == "exporting":
        import paddle

        from ppgan_apps.networks.unet import UnetGenerator
        paddle.seed(0)
        network = UnetGenerator(num_downs=5, ngf=4)
        state = {name: value.numpy() for name, value in network.state_dict().items()}
        return Exporting(folder, save_weights(given / "net.safetensors", state, {"network": network.arguments,
                                                                                 "family": "pix2pix"}))
    if kind == "downloading":
        server = _Server(("127.0.0.1", 0), _Slow)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        os.environ.pop("PPGAN_APPS_OFFLINE", None)
        return Downloading(folder, f"http://127.0.0.1:{server.server_address[1]}")
    network = onnx_files.write(given / "mixing.onnx", "NHWC")
    if kind == "video":
        return Video(folder, clips.write(given / "clip.mp4", frames=120), network)
    photos = given / "photos"
    for number in range(40):
        images.write_image(photos / f"{number:02d}.png", clips.scene(number, (320, 240)))
    return Pictures(folder, photos, network)


# ---------------------------------------------------------------------------------------------------------------------
# The kills
# ---------------------------------------------------------------------------------------------------------------------
class Copies:
    """Starts commands as copies (fork) of a process that has imported what they need and run nothing of it: most of a
    command's time goes into imports, during which it has nothing that a kill could break."""

    IMPORTED = ("paddle", "cv2", "PIL.Image", "onnx", "onnxruntime", "openvino", "av", "safetensors.numpy",
                "ppgan_apps.cli", "ppgan_apps.trainer", "ppgan_apps.export", "ppgan_apps.export_forms",
                "ppgan_apps.video", "ppgan_apps.predictors.animeganv2", "ppgan_apps.predictors.onnx_network")

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, __file__, "--copies"], cwd=ROOT, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, bufsize=0)   # `select` sees no buffer of ours

    def start(self, command: list[str], errors: Path) -> Copy:
        self._process.stdin.write(json.dumps([command[1:], str(errors)]).encode() + b"\n")
        return Copy(int(self._process.stdout.readline()), self._process.stdout)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    @classmethod
    def serve(cls) -> None:
        """The process itself: reads commands, makes copies one after another, tells how each ended."""
        told = os.dup(1)
        os.dup2(2, 1)                                          # some packages print when they are imported
        import ppgan_apps.runtime  # noqa: F401 - settles Paddle's flags
        for name in cls.IMPORTED:
            try:
                importlib.import_module(name)
            except ImportError:                                # of an extra that is not installed
                continue
        for line in sys.stdin:
            arguments, errors = json.loads(line)
            child = os.fork()
            if child == 0:
                os.setsid()
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                os.dup2(0, 1)
                os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
                _execute(arguments)
            os.write(told, b"%d\n" % child)
            os.write(told, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _execute(arguments: list[str]) -> None:
    """What Python does with such arguments: -m MODULE, -c CODE or the path of a script; ends the process."""
    status = 1
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "-c", "exec"), {"__name__": "__main__"})
        elif arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = str(Path(arguments[0]).parent)
            runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Copy:
    """One of them, as subprocess.Popen shows a process."""

    def __init__(self, pid: int, told):
        self.pid, self.returncode, self._told = pid, None, told

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = int(self._told.readline())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while self.poll() is None:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("copy", timeout)
            select.select([self._told], [], [], min(left, 60))
        return self.returncode


def run(command: list[str], folder: Path, seconds: float | None = None, copies: Copies | None = None) -> float | None:
    """Runs a command that writes into `folder`, and kills it with all its processes `seconds` after its first write.

    Returns None when it was killed, else how long it went on after its first write. Raises Broken when it fails on its
    own.
    """
    before = _state(folder)
    with tempfile.NamedTemporaryFile() as errors:
        process = copies.start(command, Path(errors.name)) if copies else subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        while process.poll() is None and _state(folder) == before:
            time.sleep(0.01)
        first = time.monotonic()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        if process.returncode:
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace")
            raise Broken(f"{command[-6:]} ended with {process.returncode}: {text[-800:]}")
    return time.monotonic() - first


def _state(folder: Path) -> set[tuple[str, int]]:
    """The files below a folder, and their sizes."""
    found = set()
    for path in folder.rglob("*"):
        try:
            found.add((str(path), path.stat().st_size))
        except FileNotFoundError:                              # it was a temporary one
            continue
    return found


def survive(work: Work, kills: int, source: random.Random, tell=lambda text: None,
            copies: Copies | None = None) -> dict[str, float]:
    """Kills `work` so often, over as many whole runs as that takes; counts of kills, runs and finished ones.

    Each moment is drawn from the time that an unbroken run writes for, and a little more.
    """
    work.begin()
    whole = run(work.command, work.folder, copies=copies) or 0.0
    expected = work.result()
    counts = {"kills": 0, "finished": 0, "seconds of writing": round(whole, 2)}
    while counts["kills"] < kills:
        work.begin()
        killed, first = True, True
        for _ in range(8):                                     # so often in one run, then it may end
            command, moment = work.command if first else work.again, source.uniform(0, 1.1) * whole
            killed = run(command, work.folder, moment, copies) is None
            first = False
            work.check()
            counts["kills"] += killed
            if not killed or counts["kills"] >= kills:
                break
        if killed:
            run(work.again, work.folder, copies=copies)
        work.check()
        if work.result() != expected:
            raise Broken(f"{type(work).__name__}: what is there at the end is not what an unbroken run leaves: "
                         f"{work.result()} instead of {expected}")
        counts["finished"] += 1
        tell(f"{type(work).__name__}: {counts}")
    return counts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=KINDS, help=f"of {', '.join(KINDS)}; all without")
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--fast", action="store_true", help="start the commands as copies of a process that has "
                        "imported what they need: several times as many kills an hour")
    parser.add_argument("--copies", action="store_true", help=argparse.SUPPRESS)   # what --fast starts
    options = parser.parse_args(argv)
    if options.copies:
        Copies.serve()
        return 0
    if set(options.kinds) - set(KINDS):
        parser.error(f"kinds are {', '.join(KINDS)}")
    status, copies = 0, Copies() if options.fast else None
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(prefix="survive_") as root:
            try:
                counts = survive(make(kind, Path(root)), options.kills, random.Random(options.seed),
                                 lambda text: print(text, file=sys.stderr, flush=True), copies)
                print(json.dumps({"what": "kills", "date": time.strftime("%Y-%m-%d", time.gmtime()), "kind": kind,
                                  **counts}), flush=True)
            except Broken as broken:
                print(json.dumps({"kind": kind, "broken": str(broken)}), flush=True)
                status = 1
    if copies:
        copies.close()
    return status


if __name__ == "__main__":
    sys.exit(main())

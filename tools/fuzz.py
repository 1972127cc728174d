"""Feeds the readers of files from strangers with broken and hostile ones: each ends in a result or a SuiteError.

While a reader works no process may start, no address be connected, nothing compiled or executed, and no file opened
but its input; memory (--megabytes) and time (--seconds-each) are bounded. What breaks a rule is kept in the folder of
findings. With atheris the inputs follow the code that is reached, without it they are random changes of the corpus.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "tests" / "data" / "fuzz"
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ppgan_apps.runtime  # noqa: F401, E402 - settles the threads before numpy is imported
from ppgan_apps.errors import SuiteError  # noqa: E402

LARGEST_INPUT = 1 << 16
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "os.remove", "os.rename",
             "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "shutil.",
             "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "exec", "compile", "pickle.find_class",
             "ctypes.dlopen", "marshal.loads", "import")


# ---------------------------------------------------------------------------------------------------------------------
# The readers: each takes the path of a file with the input, and does what the suite does with such a file
# ---------------------------------------------------------------------------------------------------------------------
def read_pdparams(path: Path) -> None:
    from ppgan_apps.weights import read_weights
    read_weights(path, "netG")


def read_pt(path: Path) -> None:
    """The input is data.pkl of an otherwise good .pt, or the whole zip where it begins as one."""
    from ppgan_apps.foreign import importing
    data = path.read_bytes()
    if data[:2] != b"PK":
        path.write_bytes(_zip({"archive/data.pkl": data, "archive/data/0": bytes(range(256)) * 2, "archive/data/1":
                               bytes(64), "archive/version": b"3\n"}))
    importing.read_network(path)


def read_pkl(path: Path) -> None:
    from ppgan_apps.foreign import importing
    importing.read_network(path)


def read_safetensors(path: Path) -> None:
    """The input is the header of an otherwise good file, or the whole file where it begins as one."""
    from ppgan_apps.weights import read_metadata, read_weights
    data = path.read_bytes()
    if data[:1] == b"{":
        path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(256))
    metadata_faults = []
    for read in (read_metadata, read_weights):
        try:
            read(path)
        except SuiteError as error:
            metadata_faults.append(error)
    if metadata_faults:
        raise metadata_faults[0]


def read_onnx(path: Path) -> None:
    """What is read of an ONNX file before, and after, ONNX Runtime reads it; the first line of the input is metadata.
    """
    from ppgan_apps import engines
    data = path.read_bytes()
    text, _, model = data.partition(b"\n")
    path.write_bytes(model)
    try:
        engines.check_external_data(path)
    finally:
        engines.parsed({name: str(text, "utf-8", "replace") for name in ("network", "input", "note")}, path)


def run_onnx(path: Path) -> None:
    """The whole file by ONNX Runtime."""
    from ppgan_apps.predictors.onnx_network import PictureNetwork
    PictureNetwork(path)


def read_tensorflow(path: Path) -> None:
    """The input is an index and a data file; what begins with a zero byte is first made a table with right checksums,
    which random changes never find."""
    from ppgan_apps.foreign import tensorbundle
    data = path.read_bytes()
    index, numbers = _split(data)
    if data[:1] == b"\0":
        index = _table(index)
    prefix = path.with_name("x.ckpt")
    path.with_name("x.ckpt.index").write_bytes(index)
    path.with_name("x.ckpt.data-00000-of-00001").write_bytes(numbers)
    tensorbundle.read_checkpoint(prefix)


def read_snappy(path: Path) -> None:
    from ppgan_apps.errors import WeightsError
    from ppgan_apps.foreign import sstable
    try:
        sstable.unpack_snappy(path.read_bytes())
    except ValueError as error:                                # what its callers expect
        raise WeightsError(str(error)) from error


def read_yaml(path: Path) -> None:
    from ppgan_apps import config
    config.load_run(path)


def read_picture(path: Path) -> None:
    from ppgan_apps import images
    images.read_image(path)


def read_clip(path: Path) -> None:
    from ppgan_apps import codec
    clip = codec.open_clip(path)
    for number, _ in enumerate(clip.read(0)):
        if number == 20:
            break


def read_zip(path: Path) -> None:
    """A data set in a .zip: every file in it."""
    from ppgan_apps import archives
    path = path.rename(path.with_suffix(".zip"))
    try:
        for entry in archives.zip_root(path).files():
            try:
                entry.read_bytes()
            except SuiteError:
                continue
    finally:
        path.rename(path.with_suffix(""))


READERS: dict[str, Callable[[Path], None]] = {
    "pdparams": read_pdparams, "pt": read_pt, "pkl": read_pkl, "safetensors": read_safetensors, "onnx": read_onnx,
    "onnxruntime": run_onnx, "tensorflow": read_tensorflow, "snappy": read_snappy, "yaml": read_yaml,
    "picture": read_picture, "clip": read_clip, "zip": read_zip,
}
OWN_CODE = ("pdparams", "pt", "pkl", "safetensors", "onnx", "tensorflow", "snappy", "yaml", "zip")  # not a C library's


def _zip(entries: dict[str, bytes]) -> bytes:
    import io
    import zipfile
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Index and data: the two bytes after the first tell where the first ends."""
    at = 3 + int.from_bytes(data[1:3], "little")
    return data[3:at], data[at:]


def _table(block: bytes) -> bytes:
    """A LevelDB table of one block, of which the last byte tells how it is packed."""
    from ppgan_apps.foreign.sstable import MAGIC, masked_crc32c

    def finished(content: bytes, packing: int) -> bytes:
        whole = content + bytes([packing])
        return whole + masked_crc32c(whole).to_bytes(4, "little")

    def number(value: int) -> bytes:
        head = b""
        while value > 127:
            head, value = head + bytes([value & 127 | 128]), value >> 7
        return head + bytes([value])
    content, packing = block[:-1], block[-1] & 1 if block else 0
    data = finished(content, packing)
    handle = number(0) + number(len(content))
    inside = number(0) + number(1) + number(len(handle)) + b"z" + handle
    index = inside + struct.pack("<II", 0, 1)
    footer = (b"\0\0" + number(len(data)) + number(len(index))).ljust(40, b"\0") + MAGIC.to_bytes(8, "little")
    return data + finished(index, 0) + footer


# ---------------------------------------------------------------------------------------------------------------------
# The rules
# ---------------------------------------------------------------------------------------------------------------------
class Violation(Exception):
    """A reader did what no input may make it do."""


class Watch:
    """Runs a reader on inputs under the rules; `count` of them so far, of which `accepted` gave a result."""

    def __init__(self, name: str, megabytes: int = 1024, seconds: float = 10.0):
        self.name, self.reader, self.seconds = name, READERS[name], seconds
        self.count = self.accepted = 0
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz_", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self._path = self._folder / "input"
        self._seen: list[str] = []
        self._watching = False
        for seed in sorted((CORPUS / name).iterdir()):         # imports what is imported late
            self._work(seed.read_bytes())
        sys.addaudithook(self._audit)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, self._too_slow)

    def __call__(self, data: bytes) -> None:
        """Raises Violation, or whatever the reader raises that is no SuiteError."""
        self.count += 1
        self._seen.clear()
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            self._work(data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._seen:
            raise Violation("; ".join(self._seen[:5]))

    def _work(self, data: bytes) -> None:
        self._path.write_bytes(data)
        self._watching = True
        try:
            self.reader(self._path)
            self.accepted += 1
        except SuiteError as error:
            if "\n" in str(error) or len(str(error)) > 4000:
                raise Violation(f"a message that is no sentence: {str(error)[:300]!r}") from error
        finally:
            self._watching = False

    def _audit(self, event: str, arguments: tuple) -> None:
        if not self._watching:
            return
        if event == "open":
            name = str(arguments[0])
            reads = not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
            # Python's own files (an error's text, a late import) are read now and then.
            if not name.startswith(str(self._folder)) and not (reads and name.endswith((".py", ".pyc"))):
                self._note(f"opens {name[:200]}")
        elif event.startswith(FORBIDDEN) and not self._is_own(event, arguments):
            self._note(f"{event} {str(arguments)[:200]}")

    def _is_own(self, event: str, arguments: tuple) -> bool:
        """What the harness itself and Python's import of a known module do."""
        if event in ("os.rename", "os.remove"):
            return str(arguments[0]).startswith(str(self._folder))
        if event == "import":
            return str(arguments[0]).split(".")[0] in {name.split(".")[0] for name in sys.modules}
        if event in ("exec", "compile", "marshal.loads"):
            if event == "compile" and arguments[0] == b"_getframe()":
                return True                                    # how Cython makes the lines of a trace
            frame = sys._getframe(1)
            while frame is not None:
                if "importlib" in frame.f_code.co_filename or frame.f_code.co_name == "get_type_hints":
                    return True
                frame = frame.f_back
        return False

    def _note(self, text: str) -> None:
        self._seen.append(text)

    def _too_slow(self, *_: object) -> None:
        raise Violation(f"takes longer than {self.seconds:g} s")

    def close(self) -> None:
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()


# ---------------------------------------------------------------------------------------------------------------------
# Without atheris: random changes
# ---------------------------------------------------------------------------------------------------------------------
WORDS = (b"\0", b"\xff", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\xff" * 8, b"(", b".", b"R", b"b", b"\x81",
         b"\x93", b"cos\nsystem\n", b"\x94", b"h\0", b"q\0", b"[", b"{", b"*a", b"&a ", b"<<: ", b"../", b"1e999")


def mutate(data: bytes, source: random.Random, others: list[bytes]) -> bytes:
    """A few random changes: bytes flipped, replaced, removed, doubled, moved in from other inputs, or cut off."""
    changed = bytearray(data)
    for _ in range(1 + int(source.expovariate(0.5))):
        at = source.randrange(len(changed) + 1)
        kind = source.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = source.randrange(256)
        elif kind == 2:
            del changed[at:at + source.randrange(1, 17)]
        elif kind == 3:
            changed[at:at] = changed[at:at + source.randrange(1, 33)] * source.choice((1, 1, 2, 20))
        elif kind == 4:
            word = source.choice(WORDS)
            changed[at:at + source.choice((0, len(word)))] = word
        elif kind == 5:
            other = source.choice(others)
            begin = source.randrange(len(other) + 1)
            changed[at:at + source.choice((0, 16))] = other[begin:begin + source.randrange(1, 65)]
        elif kind == 6 and source.random() < 0.2:
            del changed[at:]
    return bytes(changed[:LARGEST_INPUT])


def change_randomly(watch: Watch, runs: int, seconds: float, seed: int, keep: Callable[[bytes, BaseException], None],
                    corpus: Path, tell: Callable[[], None] = lambda: None) -> None:
    """`runs` inputs, or as many as `seconds` allow; every finding goes to `keep`."""
    source, end = random.Random(seed), time.monotonic() + seconds
    seeds = [path.read_bytes() for path in sorted(corpus.iterdir())]
    for number in range(runs):
        data = mutate(source.choice(seeds), source, seeds)
        try:
            watch(data)
        except Exception as error:                             # a finding, whatever it is
            keep(data, error)
        if number % 1000 == 999:
            tell()
            if time.monotonic() > end:
                return


def follow_coverage(watch: Watch, runs: int, seconds: float, keep: Callable[[bytes, BaseException], None], work: Path,
                    tell: Callable[[], None]) -> None:
    """The same by libFuzzer, which keeps inputs that reach new code in the folder `work`; it ends the process."""
    import atheris

    def one(data: bytes) -> None:
        try:
            watch(data)
        except Exception as error:                             # a finding, whatever it is
            keep(data, error)
        if watch.count % 1000 == 0:
            tell()
    work.mkdir(parents=True, exist_ok=True)
    flags = {"runs": runs, "max_total_time": int(seconds), "max_len": LARGEST_INPUT // 16, "len_control": 0,
             "verbosity": 0, "rss_limit_mb": 0, "timeout": 0}   # memory and time are bounded by Watch
    atheris.Setup([sys.argv[0], str(work), str(CORPUS / watch.name), *(f"-{k}={v}" for k, v in flags.items())], one)
    atheris.Fuzz()


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.
                                     RawDescriptionHelpFormatter, epilog=EXAMPLES)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each reader")
    parser.add_argument("--seconds", type=float, default=3600, help="the longest that a reader is fuzzed")
    parser.add_argument("--seed", type=int, default=0, help="of the random changes")
    parser.add_argument("--atheris", action="store_true", help="follow the code reached (pip install atheris)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder of what broke a rule")
    parser.add_argument("--megabytes", type=int, default=1024, help="memory that an input may take")
    parser.add_argument("--seconds-each", type=float, default=10, help="time that an input may take")
    options = parser.parse_args(argv)
    if options.reader == "all":
        return max(_in_a_process(name, options) for name in READERS)
    if options.atheris:
        import atheris
        with atheris.instrument_imports(include=["ppgan_apps", "yaml", "zipfile"]):
            _import_all()
    _import_all()
    os.environ.setdefault("PPGAN_APPS_MAX_PIXELS", "4000000")
    watch = Watch(options.reader, options.megabytes, options.seconds_each)
    found: set[str] = set()

    def keep(data: bytes, error: BaseException) -> None:
        kind = _kind(error)
        if kind not in found:
            found.add(kind)
            folder = options.findings / options.reader
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{len(found):03d}_{type(error).__name__}").write_bytes(data)
            print(f"{options.reader}: {kind}", file=sys.stderr, flush=True)

    started = time.monotonic()

    def tell() -> None:
        """The counts so far, for a run that is stopped."""
        options.findings.mkdir(parents=True, exist_ok=True)
        line = {"reader": options.reader, "by": "atheris" if options.atheris else f"random changes, {options.seed}",
                "inputs": watch.count, "accepted": watch.accepted, "findings": len(found),
                "seconds": round(time.monotonic() - started)}
        (options.findings / f"{options.reader}_{os.getpid()}.json").write_text(json.dumps(line) + "\n")
    if options.atheris:
        import atexit
        atexit.register(tell)
        follow_coverage(watch, options.runs, options.seconds, keep, options.findings / "corpus" / options.reader, tell)
        return 1 if found else 0
    change_randomly(watch, options.runs, options.seconds, options.seed, keep, CORPUS / options.reader, tell)
    tell()
    watch.close()
    print(f"{options.reader}: {watch.count} inputs, {watch.accepted} of them accepted, {len(found)} findings")
    return 1 if found else 0


def _kind(error: BaseException) -> str:
    """What happened and where, so that each kind is kept once."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "fuzz.py" not in file:
            place = f"{Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:160]}" if isinstance(error, Violation) else \
        f"{type(error).__name__} at {place}"


def _import_all() -> None:
    """What the readers are made of, so that atheris can follow it, and none is imported late."""
    import safetensors.numpy  # noqa: F401
    import yaml  # noqa: F401

    from ppgan_apps import archives, codec, config, engines, images, protobuf, unpickling, weights  # noqa: F401
    from ppgan_apps.foreign import importing, sstable, tensorbundle  # noqa: F401


def _in_a_process(name: str, options: argparse.Namespace) -> int:
    """A reader in a process of its own: its memory is limited for good, and a C library may end it."""
    import subprocess
    given = {"runs": options.runs, "seconds": options.seconds, "seed": options.seed, "findings": options.findings,
             "megabytes": options.megabytes, "seconds-each": options.seconds_each}
    arguments = [sys.executable, __file__, name, *(f"--{key}={value}" for key, value in given.items()),
                 *(["--atheris"] if options.atheris else [])]
    return abs(subprocess.run(arguments, check=False).returncode)


EXAMPLES = """examples:
  python tools/fuzz.py all --runs 20000                    # every reader, random changes, some minutes
  python tools/fuzz.py pkl --atheris --runs 1000000        # one reader, inputs that follow the code reached
"""

if __name__ == "__main__":
    sys.exit(main())

"""Feeds the readers of files from strangers with broken and hostile ones: each ends in a result or a SuiteError.

While a reader (fuzz_readers.py) works no process may start, no address be connected, nothing compiled or executed, and
no file opened but its input; memory (--megabytes) and time (--seconds-each) are bounded. What breaks a rule is kept in
the folder of findings, and beside it how many inputs there were, which tools/reliability.py adds up. With atheris the
inputs follow the code that is reached, without it they are random changes of the corpus and of what atheris has found.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ppgan_apps.runtime  # noqa: F401, E402 - settles the threads before numpy is imported
from ppgan_apps.errors import SuiteError  # noqa: E402
from tools.fuzz_readers import READERS  # noqa: E402

LARGEST_INPUT = 1 << 16
LARGEST_SEED, MOST_SEEDS = 1 << 12, 1000                       # of what atheris has found
FOLDER = "PPGAN_APPS_FUZZ_FOLDER"                              # where inputs lie while they are read
TELL_SECONDS = 2.0                                             # between writes of the counts
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "os.remove", "os.rename",
             "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "shutil.",
             "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "exec", "compile", "pickle.find_class",
             "ctypes.dlopen", "marshal.loads", "import")


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
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}_", dir=os.environ.get(FOLDER) or memory_folder()))
        self._path = self._folder / "input"
        self._own = str(self._folder)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT)
        self._seen: list[str] = []
        self._watching = False
        for seed in self.reader.inputs():                      # imports what is imported late
            self._work(seed)
        self.accepted = 0
        sys.addaudithook(self._audit)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, self._too_slow)

    def __call__(self, data: bytes) -> None:
        """Raises Violation, or whatever the reader raises that is no SuiteError."""
        self.count += 1
        if self._seen:
            self._seen.clear()
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            self._work(data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._seen:
            raise Violation("; ".join(self._seen[:5]))

    def _work(self, data: bytes) -> None:
        # Written into the same open file: opening one for each input took as long as some readers do. The bytes of an
        # inner reader are not written; where one ends the process, `--seed` and the counts lead to them.
        source = data if self.reader.inner else self._written(data)
        self._watching = True
        try:
            self.reader.work(source)
            self.accepted += 1
        except SuiteError as error:
            text = str(error)
            if "\n" in text or len(text) > 4000:
                raise Violation(f"a message that is no sentence: {text[:300]!r}") from error
        finally:
            self._watching = False

    def _written(self, data: bytes) -> Path:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, data, 0)
        return self._path

    def _audit(self, event: str, arguments: tuple) -> None:
        if not self._watching:
            return
        if event == "open":
            name = str(arguments[0])
            reads = not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
            # Python's own files (an error's text, a late import) are read now and then.
            if not name.startswith(self._own) and not (reads and name.endswith((".py", ".pyc"))):
                self._note(f"opens {name[:200]}")
        elif event.startswith(FORBIDDEN) and not self._is_own(event, arguments):
            self._note(f"{event} {str(arguments)[:200]}")

    def _is_own(self, event: str, arguments: tuple) -> bool:
        """What the harness itself and Python's import of a known module do."""
        if event in ("os.rename", "os.remove"):
            return str(arguments[0]).startswith(self._own)
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
        os.close(self._file)
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()


def memory_folder() -> str | None:
    """Where files lie in memory, if there is such a place."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


# ---------------------------------------------------------------------------------------------------------------------
# Without atheris: random changes
# ---------------------------------------------------------------------------------------------------------------------
WORDS = (b"\0", b"\xff", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\xff" * 8, b"(", b".", b"R", b"b", b"\x81",
         b"\x93", b"cos\nsystem\n", b"\x94", b"h\0", b"q\0", b"[", b"{", b"*a", b"&a ", b"<<: ", b"../", b"1e999")


def mutate(data: bytes, source: random.Random, others: list[bytes]) -> bytes:
    """A few random changes: bytes flipped, replaced, removed, doubled, moved in from other inputs, or cut off."""
    changed, draw = bytearray(data), source.random             # several times faster than randrange
    for _ in range(1 + int(source.expovariate(0.5))):
        at = int(draw() * (len(changed) + 1))
        kind = int(draw() * 7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(draw() * 8)
        elif kind == 1 and at < len(changed):
            changed[at] = int(draw() * 256)
        elif kind == 2:
            del changed[at:at + 1 + int(draw() * 16)]
        elif kind == 3:
            changed[at:at] = changed[at:at + 1 + int(draw() * 32)] * (1, 1, 2, 20)[int(draw() * 4)]
        elif kind == 4:
            word = WORDS[int(draw() * len(WORDS))]
            changed[at:at + (0, len(word))[int(draw() * 2)]] = word
        elif kind == 5:
            other = others[int(draw() * len(others))]
            begin = int(draw() * (len(other) + 1))
            changed[at:at + (0, 16)[int(draw() * 2)]] = other[begin:begin + 1 + int(draw() * 64)]
        elif kind == 6 and draw() < 0.2:
            del changed[at:]
    return bytes(changed[:LARGEST_INPUT])


def seeds_of(name: str, found: Path) -> list[bytes]:
    """What random changes begin with: the reader's corpus, and small inputs of the folder `found`, which atheris
    fills."""
    paths = sorted(found.iterdir()) if found.is_dir() else []
    small = [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST_SEED]
    return READERS[name].inputs() + random.Random(0).sample(small, min(len(small), MOST_SEEDS))


def change_randomly(watch: Watch, runs: int, seconds: float, seed: int, keep: Callable[[bytes, BaseException], None],
                    seeds: list[bytes], tell: Callable[[], None] = lambda: None) -> None:
    """`runs` inputs, or as many as `seconds` allow; every finding goes to `keep`."""
    source = random.Random(seed)
    now = told = time.monotonic()
    end = now + seconds
    for number in range(runs):
        data = mutate(seeds[int(source.random() * len(seeds))], source, seeds)
        try:
            watch(data)
        except Exception as error:                             # a finding, whatever it is
            keep(data, error)
        if number % 64 == 0:
            now = time.monotonic()
            if now - told > TELL_SECONDS:
                tell()
                told = now
            if now > end:
                return


def follow_coverage(watch: Watch, runs: int, seconds: float, keep: Callable[[bytes, BaseException], None], work: Path,
                    tell: Callable[[], None]) -> None:
    """The same by libFuzzer, which keeps inputs that reach new code in the folder `work`; it ends the process."""
    import atheris
    told = time.monotonic()

    def one(data: bytes) -> None:
        nonlocal told
        try:
            watch(data)
        except Exception as error:                             # a finding, whatever it is
            keep(data, error)
        is_last = watch.count == runs                          # libFuzzer ends the process without a word
        if is_last or watch.count % 64 == 0 and time.monotonic() - told > TELL_SECONDS:
            tell()
            told = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    begin = work.parent.parent / "seeds" / watch.name
    begin.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(watch.reader.inputs()):
        (begin / str(number)).write_bytes(seed)
    flags = {"runs": runs, "max_total_time": int(seconds), "max_len": LARGEST_INPUT // 16, "len_control": 0,
             "verbosity": 0, "rss_limit_mb": 0, "timeout": 0}   # memory and time are bounded by Watch
    atheris.Setup([sys.argv[0], str(work), str(begin), *(f"-{k}={v}" for k, v in flags.items())], one)
    atheris.Fuzz()


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.
                                     RawDescriptionHelpFormatter, epilog=EXAMPLES)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each reader")
    parser.add_argument("--total", type=int, help="inputs for all readers together, the fast ones most; with `all`")
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
            (folder / f"{os.getpid()}_{len(found):03d}_{type(error).__name__}").write_bytes(data)
            print(f"{options.reader}: {kind}", file=sys.stderr, flush=True)

    started, worked = time.time(), time.process_time()
    counts = options.findings / "counts" / f"{options.reader}_{started:.0f}_{os.getpid()}.json"
    counts.parent.mkdir(parents=True, exist_ok=True)

    def tell() -> None:
        """The counts so far: a run may be stopped at any time."""
        line = {"what": "fuzzing", "date": time.strftime("%Y-%m-%d", time.gmtime(started)), "reader": options.reader,
                "by": "atheris" if options.atheris else "random changes", "inputs": watch.count,
                "accepted": watch.accepted, "findings": len(found),
                "cpu_seconds": round(time.process_time() - worked, 1)}
        counts.write_text(json.dumps(line) + "\n")
    corpus = options.findings / "corpus" / options.reader
    if options.atheris:
        follow_coverage(watch, options.runs, options.seconds, keep, corpus, tell)
        return 1 if found else 0
    change_randomly(watch, options.runs, options.seconds, options.seed, keep, seeds_of(options.reader, corpus), tell)
    tell()
    watch.close()
    print(f"{options.reader}: {watch.count} inputs, {watch.accepted} of them accepted, {len(found)} findings, "
          f"{watch.count / max(time.process_time() - worked, 1e-9):.0f} a second of processor time")
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
    """A reader in a process of its own: its memory is limited for good, and a C library may end it, in which case the
    input that did is kept."""
    import shutil
    import subprocess
    runs = options.runs if options.total is None else options.total * READERS[name].share // 1000
    given = {"runs": runs, "seconds": options.seconds, "seed": options.seed, "findings": options.findings,
             "megabytes": options.megabytes, "seconds-each": options.seconds_each}
    arguments = [sys.executable, __file__, name, *(f"--{key}={value}" for key, value in given.items()),
                 *(["--atheris"] if options.atheris else [])]
    with tempfile.TemporaryDirectory(prefix="fuzz_", dir=memory_folder()) as folder:
        code = subprocess.run(arguments, check=False, env={**os.environ, FOLDER: folder}).returncode
        if code < 0:
            kept = options.findings / name
            kept.mkdir(parents=True, exist_ok=True)
            for path in Path(folder).rglob("input"):
                shutil.copy(path, kept / f"ended_by_{-code}_{path.parent.name}")
            print(f"{name}: ended by signal {-code}", file=sys.stderr, flush=True)
    return abs(code)


EXAMPLES = """examples:
  python tools/fuzz.py all --runs 20000                    # every reader, random changes, some minutes
  python tools/fuzz.py all --total 10000000                # the fast readers most
  python tools/fuzz.py pkl --atheris --runs 1000000        # one reader, inputs that follow the code reached
"""

if __name__ == "__main__":
    sys.exit(main())

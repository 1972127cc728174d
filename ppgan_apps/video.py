"""Stylised clips: decoding, drawing and encoding side by side, in parts that an interrupted run finds again.

Beside the result `out.mp4` stands, while it is made, the folder `.out.mp4.parts`: `plan.json` says what is made from
what, each part holds `PART_FRAMES` encoded frames, and the last part's `.npz` what the frames after it depend on. A run
with the same plan goes on after the last part, another plan starts anew. At the end the parts' packets and those of
the sound are joined without encoding anything again, and the whole file is moved to its name.
"""
from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import __version__, codec, downloads, images
from .codec import CRF, Clip, Frame
from .errors import ConfigError, NoFaceError, OutputError
from .predictors.base import say
from .smoothing import Smoother

PART_FRAMES = 48                                               # what a killed run loses at most; batches divide it
BATCHES = (8, 4, 2, 1)                                         # frames drawn together on a GPU, where memory allows
# What AnimeGANv2, the largest network here, takes for each pixel of a frame (see AnimeGANv2Predictor).
BYTES_PER_PIXEL = 2000
MEMORY_SHARE = 0.5                                             # of the free memory may be used by a batch
AHEAD = 4                                                      # batches decoded, and batches drawn, that may wait
SUFFIXES = (*codec.CONTAINERS, ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv")


class Painter(Protocol):
    """What turns frames into pictures of the same size."""

    def __call__(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        """The picture of each photo, uint8 RGB [H, W, 3], the next ones of the clip each time."""

    def state(self) -> dict[str, np.ndarray]:
        """What it knows of the frames so far."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes up what `state` gave in an earlier run."""

    def finish(self, clip: Path) -> None:
        """Raises a SuiteError when the whole clip gave nothing."""


class FramePainter:
    """Each frame through the predictor, on its own."""

    def __init__(self, predictor: Any):
        self._predictor = predictor

    def __call__(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        drawn: list[np.ndarray] = self._predictor.predict_batch(photos)
        return drawn

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        pass

    def finish(self, clip: Path) -> None:
        pass


class FacePainter:
    """The faces of each frame, followed from frame to frame, drawn by Photo2Cartoon and pasted back."""

    def __init__(self, predictor: Any):
        from .faces.track import FaceTracker
        self._predictor = predictor
        self._tracker = FaceTracker(landmarks=predictor.landmarks)
        self._drawn = 0

    def __call__(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        tracks = [self._tracker.follow(photo) for photo in photos]
        if self._predictor.faces == "largest":
            tracks = [found[:1] for found in tracks]
        self._drawn += sum(map(len, tracks))
        pasted: list[np.ndarray] = self._predictor.paste_faces(photos, tracks)
        return pasted

    def state(self) -> dict[str, np.ndarray]:
        return {"drawn": np.array(self._drawn), **self._tracker.state()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._drawn = int(state["drawn"])
        self._tracker.restore(state)

    def finish(self, clip: Path) -> None:
        if not self._drawn:
            raise NoFaceError(f"No face was found in {clip}: use a clip that shows one from the front.")


@dataclass(frozen=True)
class Wishes:
    """How a clip is made. max_size: its longest side in pixels, None for the clip's own; crf: constant quality of x264,
    0 (lossless) to 51; smooth: share of the picture before in each, 0 for none; pictures: a folder of PNG files
    instead of a video."""
    max_size: int | None = None
    crf: int = CRF
    smooth: float = 0.0
    pictures: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"The crf is {self.crf}: use 0 (lossless) to 51 (smallest file).")
        if not 0 <= self.smooth < 1:
            raise ConfigError(f"The smoothing is {self.smooth}: use 0 (none) to 0.9.")


def check_target(target: Path, wishes: Wishes) -> None:
    """Raises OutputError: exists, is no name of a video, or cannot be written there; makes nothing."""
    if not wishes.pictures:
        codec.container_of(target)
    if target.is_dir() and not wishes.pictures:
        raise OutputError(f"{target} is a folder: give the name of a file.")
    exists = target.is_dir() and any(target.iterdir()) if wishes.pictures else target.exists()
    if exists and not wishes.overwrite:
        raise OutputError(f"{target} exists: use --overwrite, or another name.")


def stylise(clip: Clip, target: str | Path, predictor: Any, wishes: Wishes | None = None) -> Path:
    """Writes `clip`, drawn by an AnimeGANv2Predictor (each frame) or a Photo2CartoonPredictor (its faces, pasted back),
    as a video with the clip's sound and times, or as a folder of PNG files; returns `target`.

    Raises NoFaceError for a clip in which no face was seen, OutputError; what is finished is kept, but for a clip
    without faces, and the next call with the same arguments goes on after it.
    """
    target, wishes = Path(target), wishes or Wishes()
    painter: Painter = FacePainter(predictor) if hasattr(predictor, "paste_faces") else FramePainter(predictor)
    check_target(target, wishes)
    images.make_folder(target.parent)
    size = bounded(clip.size, wishes.max_size)
    batch = batch_size(size, predictor.device)
    work = target.with_name(f".{target.name}.parts")
    try:
        plan = _plan(clip, size, batch, _identity(predictor), wishes)
        _prepare(work, plan)
        kind: type[_Pictures] | type[_Video] = _Pictures if wishes.pictures else _Video
        parts = _Parts(work, clip, size, wishes, kind)
        if not wishes.pictures:
            codec.check_sound(clip, target, work / "head")
        smoother = Smoother(wishes.smooth) if wishes.smooth else None
        try:
            _make(clip, size, batch, painter, smoother, parts)
            _finish(parts, painter, clip, target, wishes)
        except KeyboardInterrupt:
            say(f"{parts.frames} frames are kept in {work}: the same command goes on after them.")
            raise
    except (OSError, codec.pyav().FFmpegError) as error:
        raise OutputError(f"{target} cannot be written ({codec.reason(error)}): check the folder and the disk."
                          ) from error
    if smoother and smoother.flicker:
        say("flicker, in levels of 255: {:.2f} without smoothing, {:.2f} with it".format(*smoother.flicker))
    return target


def _finish(parts: _Parts, painter: Painter, clip: Clip, target: Path, wishes: Wishes) -> None:
    try:
        painter.finish(clip.path)
    except NoFaceError:
        shutil.rmtree(parts.work)
        raise
    parts.kind.join(parts, clip, target, wishes)
    shutil.rmtree(parts.work)


def bounded(size: tuple[int, int], max_size: int | None) -> tuple[int, int]:
    """(width, height) with at most `max_size` on the longer side; even sides where anything changes."""
    if max_size is None or max(size) <= max_size:
        return size
    width, height = (max(2, int(side * max_size / max(size)) // 2 * 2) for side in size)
    return width, height


def batch_size(size: tuple[int, int], device: str = "cpu") -> int:
    """How many frames of (width, height) are drawn together. On a CPU one: more are no faster, and a frame's picture
    then never depends on the frames beside it. Says so when even one is more than the free memory."""
    needed = BYTES_PER_PIXEL * size[0] * size[1]
    if device.startswith("gpu"):
        import paddle
        total = paddle.device.cuda.get_device_properties().total_memory
        free = (total - paddle.device.cuda.memory_reserved()) * MEMORY_SHARE
        return next((batch for batch in BATCHES if batch * needed <= free), 1)
    free = free_memory()
    if free is not None and needed > free:
        say(f"A frame of {size[0]}x{size[1]} may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: "
            "--max-size makes frames smaller.")
    return 1


def free_memory() -> int | None:
    """Bytes that may still be used, by the system's and the container's account; None where nothing tells."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        found += [int(limit) - int(used)] if limit.strip() != "max" else []
    except (OSError, ValueError):
        pass
    return min(found, default=None)


# The plan

def _plan(clip: Clip, size: tuple[int, int], batch: int, predictor: dict[str, str], wishes: Wishes
          ) -> dict[str, Any]:
    """All that decides the bytes of the parts, as JSON has it."""
    source = [clip.path, *sorted(clip.path.iterdir())] if clip.path.is_dir() else [clip.path]
    facts = [[os.path.abspath(path), path.stat().st_size, path.stat().st_mtime_ns] for path in source]
    return {
        "suite": __version__, "av": codec.pyav().__version__, "source": facts, "origin": str(clip.origin),
        "end": str(clip.end), "rate": str(clip.rate), "size": list(size), "batch": batch, "frames": PART_FRAMES,
        "encoder": codec.OPTIONS, "crf": wishes.crf, "smooth": wishes.smooth, "pictures": wishes.pictures,
        "predictor": predictor,
    }


def _identity(predictor: Any) -> dict[str, str]:
    """A predictor's class, its weights by their contents, and its options."""
    options = {name: str(value) for name, value in sorted(vars(predictor).items())
               if isinstance(value, (bool, int, float, str))}
    return {"class": type(predictor).__name__, "weights": downloads.sha256_of(predictor.weights.path), **options}


def _prepare(work: Path, plan: dict[str, Any]) -> None:
    """The folder of parts, empty but for the plan, or as an interrupted run with the same plan left it."""
    text = json.dumps(plan, indent=1)
    written = work / "plan.json"
    if work.is_dir() and not (written.is_file() and written.read_text() == text):
        shutil.rmtree(work)
    if not work.is_dir():
        work.mkdir()
        with images.replacing(written) as temporary:
            temporary.write_text(text)


# The parts

class _Video:
    """A part as a NUT file, which keeps any time base and the encoder's packets as they are."""
    suffix = ".nut"

    def __init__(self, path: Path, clip: Clip, size: tuple[int, int], crf: int, first: int, number: int):
        self._encoder = codec.Encoder(path, "nut", size, clip.time_base, clip.rate, clip.aspect, crf)
        self._first = first

    def write(self, picture: np.ndarray, pts: int) -> None:
        self._encoder.write(picture, pts - self._first)        # NUT files begin at 0

    def close(self) -> None:
        self._encoder.__exit__(None, None, None)

    @staticmethod
    def join(parts: _Parts, clip: Clip, target: Path, wishes: Wishes) -> None:
        whole = parts.work / f"whole{target.suffix}"
        codec.join(parts.finished(), clip, whole, codec.container_of(target), parts.last_duration())
        check_target(target, wishes)                           # it may have come to be meanwhile
        os.replace(whole, target)


class _Pictures:
    """A part as a folder of PNG files, numbered through the whole clip."""
    suffix = ".png.d"

    def __init__(self, path: Path, clip: Clip, size: tuple[int, int], crf: int, first: int, number: int):
        path.unlink()
        path.mkdir()
        self._path, self._number = path, number

    def write(self, picture: np.ndarray, pts: int) -> None:
        self._number += 1
        images.write_image(self._path / f"{self._number:06d}.png", picture)

    def close(self) -> None:
        pass

    @staticmethod
    def join(parts: _Parts, clip: Clip, target: Path, wishes: Wishes) -> None:
        """The folder appears whole; where it exists already (--overwrite), file by file."""
        whole = images.make_folder(parts.work / "whole")
        for part, _ in parts.finished():
            for path in sorted(part.iterdir()):
                shutil.copyfile(path, whole / path.name)
        check_target(target, wishes)
        if not target.is_dir() or not any(target.iterdir()):
            os.replace(whole, target)
            return
        for path in whole.iterdir():
            os.replace(path, target / path.name)


class _Parts:
    """The finished parts in the folder `work`, and the one being written."""

    def __init__(self, work: Path, clip: Clip, size: tuple[int, int], wishes: Wishes,
                 kind: type[_Pictures] | type[_Video]):
        self.work, self.kind = work, kind
        self._clip, self._size, self._crf = clip, size, wishes.crf
        self._temporary = work / f"unfinished{kind.suffix}"
        self._writer: _Pictures | _Video | None = None
        self.done = len(self.finished())
        self.frames = self.done * PART_FRAMES                  # the last may hold fewer, and then none comes after it

    def finished(self) -> list[tuple[Path, int]]:
        """(part, pts of its first frame) in order."""
        found = sorted(self.work.glob(f"[0-9]*{self.kind.suffix}"))
        return [(path, int(path.name.split(".")[1])) for path in found]

    def write(self, picture: np.ndarray, pts: int) -> None:
        if self._writer is None:
            self._name = f"{self.done:06d}.{pts}"
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary.write_bytes(b"")
            self._writer = self.kind(self._temporary, self._clip, self._size, self._crf, pts, self.frames)
        self._writer.write(picture, pts)

    def finish(self, frames: int, state: Mapping[str, np.ndarray]) -> None:
        """The part gets its name once it and what the next depends on are whole."""
        if self._writer is None:
            raise ValueError("a part without a frame")
        self._writer.close()
        with images.replacing(self._state_file(self.done)) as temporary, open(temporary, "wb") as file:
            arrays: dict[str, Any] = dict(state)
            np.savez(file, **arrays)
        os.replace(self._temporary, self.work / f"{self._name}{self.kind.suffix}")
        self._writer = None
        self.done, self.frames = self.done + 1, self.frames + frames
        self._state_file(self.done - 2).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Closes the part being written, which may be broken by what ends the work, such as a full disk."""
        if self._writer is not None:
            with suppress(OSError, codec.pyav().FFmpegError):
                self._writer.close()
            self._writer = None

    def state(self) -> dict[str, np.ndarray]:
        if not self.done:
            return {}
        with np.load(self._state_file(self.done - 1), allow_pickle=False) as arrays:
            return dict(arrays)

    def last_duration(self) -> int:
        return int(self.state()["duration"])

    def _state_file(self, number: int) -> Path:
        return self.work / f"{number:06d}.npz"


# The work

def _make(clip: Clip, size: tuple[int, int], batch: int, painter: Painter, smoother: Smoother | None,
          parts: _Parts) -> None:
    """All parts that are not there yet: frames are read ahead in one thread and encoded behind in another."""
    from tqdm import tqdm
    state = parts.state()
    if state:
        painter.restore(_under("painter", state))
        if smoother:
            smoother.restore(_under("smoother", state))
        say(f"{parts.frames if clip.count is None else min(parts.frames, clip.count)} frames are there already.")
    photos = (Frame(images.resize(frame.picture, size), frame.pts, frame.duration)
              for frame in clip.read(parts.frames))
    writer = _PartWriter(parts, smoother)
    # None: no bar where stderr is no terminal.
    with closing(_ahead(_batches(photos, batch), AHEAD)) as batches, _Behind(writer, AHEAD) as put, \
            tqdm(total=clip.count, initial=parts.frames, unit="frame", disable=None, file=sys.stderr) as bar:
        count = 0
        for frames in batches:
            pictures = painter([frame.picture for frame in frames])
            count += len(frames)
            put((frames, pictures, painter.state() if count % PART_FRAMES == 0 else None))
            bar.update(len(frames))
        if count % PART_FRAMES:
            put(([], [], painter.state()))
    if not parts.done:
        raise OutputError(f"{clip.path} gave no frame: use another file.")


class _PartWriter:
    """Takes (frames, their pictures, the painter's state at the end of a part or None) and writes parts."""

    def __init__(self, parts: _Parts, smoother: Smoother | None):
        self._parts, self._smoother = parts, smoother
        self._count, self._duration = 0, 0

    def __call__(self, item: tuple[Sequence[Frame], Sequence[np.ndarray],
                                    dict[str, np.ndarray] | None]) -> None:
        frames, pictures, state = item
        for frame, picture in zip(frames, pictures, strict=True):
            self._parts.write(self._smoother(frame.picture, picture) if self._smoother else picture, frame.pts)
            self._count, self._duration = self._count + 1, frame.duration
        if state is not None:
            smoothing = self._smoother.state() if self._smoother else {}
            self._parts.finish(self._count, {"duration": np.array(self._duration), **_over("painter", state),
                                             **_over("smoother", smoothing)})
            self._count = 0

    def abandon(self) -> None:
        self._parts.abandon()


def _over(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def _under(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Lists of `size` frames, the last of what is left; `size` divides PART_FRAMES."""
    batch = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


_END = object()
_PATIENCE = 0.1                                                # seconds between looks at whether the other side stopped


def _ahead(items: Iterable[Any], depth: int) -> Generator[Any, None, None]:
    """`items`, made in a thread that is at most `depth` of them ahead; what it raises is raised here."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def offer(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer((item, None)):
                    return
            offer((_END, None))
        # Whatever it is, it belongs to the thread that asked for the items.
        except BaseException as error:
            offer((_END, error))

    thread = threading.Thread(target=work, name="decoder", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


class _Worker(Protocol):
    """What `_Behind` calls."""

    def __call__(self, item: Any) -> None:
        """Does one item."""

    def abandon(self) -> None:
        """Called once when the items end before their time."""


class _Behind:
    """Context: a function of an item, `put`, that has `function(item)` called in a thread, in order, at most `depth`
    items behind. What it raises is raised by the next `put` or at the end; after an error elsewhere what waits is
    dropped and `function.abandon()` called."""

    def __init__(self, function: _Worker, depth: int):
        self._function = function
        self._waiting: queue.Queue[Any] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="encoder", daemon=True)
        self._dropping = False

    def __enter__(self) -> Callable[[Any], None]:
        self._thread.start()
        return self._put

    def _work(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._error is not None or self._dropping:
                continue
            try:
                self._function(item)
            except BaseException as error:                     # raised in the thread that puts
                self._error = error
        if self._error is not None or self._dropping:
            self._function.abandon()

    def _put(self, item: Any) -> None:
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._dropping = kind is not None
        self._waiting.put(_END)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

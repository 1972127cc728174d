"""Many pictures on many machines: a predictor over folders or object stores, through Ray Data.

Ray Data reads, spreads the pictures over workers, each with one model, and repeats what a machine or a connection
failed at. What is here is which picture becomes which result, so that an interrupted run goes on where it was.
"""
from __future__ import annotations

import argparse
import logging
import os
import posixpath
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import images
from .errors import ImageError, MissingExtra, OutputError, SuiteError


def stylise(predictor: str, inputs: Iterable[str], output: str, workers: int = 1, address: str | None = None,
            cpus: int = 1, gpus: float = 0, options: dict[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """Draws every picture and yields (its path, "" or why it failed) as they are done.

    Args:
        predictor: a predictor's class in ppgan_apps, "AnimeGANv2Predictor".
        inputs: folders or single pictures, local or with a scheme (s3://, gs://, hdfs://).
        output: a folder, local or with a scheme; below it each result has its picture's place, with _anime.png or the
            like for the suffix. Pictures whose result is there are left out.
        workers: processes with a model each, of `cpus` cores and `gpus` GPUs; spread by Ray over its machines, on each
            of which this package is installed and the paths mean the same.
        address: of a Ray cluster, "auto" for the one that this machine is part of; None starts Ray here.
        options: the predictor's arguments.
    Raises MissingExtra without Ray, ImageError where there is no picture, OutputError for a folder out of reach.
    """
    ray = _ray()
    kind = _kind(predictor)
    targets = dict(_pending(inputs, output, kind))
    if not targets:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # its notices are for its developers
        # Blocks as small as the workers can share evenly; a block is what is repeated when a machine is lost.
        blocks = min(len(targets), 4 * workers)
        # Reading asks for no core of its own: workers may hold all of them, and would wait for it for ever.
        pictures = ray.data.read_binary_files(list(targets), include_paths=True, override_num_blocks=blocks,
                                              num_cpus=0)
        drawn = pictures.map(Worker, fn_constructor_args=[predictor, options or {}, output, _by_key(targets)],
                             compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=cpus, num_gpus=gpus)
        for row in drawn.iter_rows():
            yield row["path"], row["reason"]
    finally:
        if started:
            ray.shutdown()


class Worker:
    """One process with one model: a row {bytes, path} to {path, reason}, and the result written."""

    def __init__(self, predictor: str, options: dict[str, Any], output: str, targets: dict[str, str]):
        import ppgan_apps
        self.predictor = getattr(ppgan_apps, predictor)(**options)
        self.output, self.targets = output, targets

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        reason = ""
        try:
            self._draw(row)
        # One picture must not cost the others; what a store refused for now is drawn by the next run. Reads that fail
        # and machines that are lost are Ray's to repeat.
        except SuiteError as error:
            reason = str(error)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return {"path": row["path"], "reason": reason}

    def _draw(self, row: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder, "picture" + posixpath.splitext(row["path"])[1].lower())
            picture.write_bytes(row["bytes"])
            try:
                image = images.read_image(picture)
            except ImageError as error:                        # its name here means nothing to the user
                raise ImageError(str(error).replace(str(picture), "it")) from error
            result = images.write_image(Path(folder, "result.png"), self.predictor.predict(image))
            put(result.read_bytes(), self.output, self.targets[_key(row["path"])])


def put(data: bytes, output: str, name: str) -> None:
    """Writes `data` as output/name, which only ever holds a whole file: a store shows what is complete; in a file
    system it gets its name afterwards. Raises OSError."""
    from pyarrow import fs
    system, folder = _opened(output)
    target = posixpath.join(folder, name)
    system.create_dir(posixpath.dirname(target), recursive=True)
    local = isinstance(system, fs.LocalFileSystem)
    written = posixpath.join(posixpath.dirname(target), f".{posixpath.basename(target)}.part") if local else target
    with system.open_output_stream(written) as stream:
        stream.write(data)
    if local:
        system.move(written, target)


def _pending(inputs: Iterable[str], output: str, kind: str) -> Iterator[tuple[str, str]]:
    """(picture, name of its result below `output`) of every picture that has none yet."""
    there = _existing(output)
    results = _opened(output)[1]
    for entry in inputs:
        scheme = entry.partition("://")[0] + "://" if "://" in entry else ""
        found = [(path, inside) for path, inside in _pictures(entry) if not path.startswith(f"{results}/")]
        if not found:
            raise ImageError(f"{entry} holds no picture ({', '.join(images.SUFFIXES)}).")
        stems = Counter(posixpath.splitext(inside)[0].casefold() for _, inside in found)
        for path, inside in sorted(found):
            stem, suffix = posixpath.splitext(inside)
            # Two pictures that differ by their suffix alone both keep it.
            name = f"{stem if stems[stem.casefold()] == 1 else inside.replace('.', '_')}_{kind}.png"
            if name not in there:
                there.add(name)
                yield scheme + path, name


def _pictures(entry: str) -> list[tuple[str, str]]:
    """(path, path below `entry`) of the pictures in a folder, or of a single one."""
    from pyarrow import fs
    system, path = _opened(entry)
    kind = system.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise ImageError(f"There is no {entry}: check the path.")
    if kind == fs.FileType.File:
        return [(path, posixpath.basename(path))]
    found = system.get_file_info(fs.FileSelector(path, recursive=True))
    return [(info.path, posixpath.relpath(info.path, path)) for info in found
            if info.type == fs.FileType.File and info.path.lower().endswith(images.SUFFIXES)
            and not info.base_name.startswith(".")]


def _existing(output: str) -> set[str]:
    """The files below `output`."""
    from pyarrow import fs
    system, path = _opened(output)
    found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return {posixpath.relpath(info.path, path) for info in found if info.type == fs.FileType.File}


def _opened(path: str) -> tuple[Any, str]:
    """(pyarrow's file system, the path within it) of a local path or one with a scheme. Raises OutputError."""
    from pyarrow import fs
    try:
        if "://" in path:
            system, inside = fs.FileSystem.from_uri(path)
            return system, inside.rstrip("/")
        return fs.LocalFileSystem(), os.path.abspath(path)
    except (OSError, ValueError) as error:                     # pyarrow's errors derive from these two
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"{path} cannot be reached ({reason}): check the address.") from error


def _by_key(targets: dict[str, str]) -> dict[str, str]:
    return {_key(path): name for path, name in targets.items()}


def _key(path: str) -> str:
    """A path as Ray Data reports it, which may leave the scheme out."""
    return path.partition("://")[2] or path


def _kind(predictor: str) -> str:
    import ppgan_apps
    return str(getattr(ppgan_apps, predictor).kind)


def _ray() -> Any:
    try:
        import pyarrow  # noqa: F401
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra(error.name or "ray", "ray", "Drawing on many machines") from error
    return ray


def run(arguments: argparse.Namespace, predictor: str) -> int:
    """The command `ppgan-apps batch`."""
    from tqdm import tqdm
    weight_path = arguments.weight_path and os.path.abspath(arguments.weight_path)
    options = {"style": arguments.style, "weight_path": weight_path, "device": arguments.device,
               "engine": arguments.engine}
    results = stylise(predictor, arguments.inputs, arguments.output, arguments.workers, arguments.address,
                      arguments.cpus, arguments.gpus, options)
    drawn, failed = 0, 0
    with tqdm(results, unit="picture", disable=None, file=sys.stderr) as bar:
        for path, reason in bar:
            drawn, failed = drawn + (not reason), failed + bool(reason)
            if reason:
                bar.write(f"failed: {path}: {reason}", file=sys.stderr)
    print(f"{drawn} drawn into {arguments.output}" + (f", {failed} failed." if failed else "."))
    return 1 if failed else 0

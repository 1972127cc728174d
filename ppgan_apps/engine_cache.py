"""The suite's networks in a faster engine than Paddle on a processor: exported once per weights, compared, kept.

Below <cache>/engines stands for each network <key>.onnx. A key is a digest of the weights, of how the network is built
and of the code that writes it, so that nothing there is ever out of date. Beside it, <key>.<engine>-<version>.json says
how far that engine's result was from Paddle's when it was first used; what differs by more than `export.BOUND` is
refused. What is found there is opened without Paddle.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from . import downloads, engines, export, images
from .errors import ExportError, MissingExtra, OutputError, WeightsError

# The files that say what is written for a network: when one changes, everything is exported anew.
WRITERS = ("export.py", "export_forms.py", "onnx_graphs.py", "onnx_networks.py")
# One input suffices to compare by: the files' own tests try all. The one that is most like real use comes first.
SAMPLES = ("picture", "mixed", "single")
DIGITS = 40                                                    # of a key


def folder() -> Path:
    """Where exported networks are kept."""
    return downloads.home() / "engines"


def find(key: str, engine: str) -> engines.ExportedNetwork | None:
    """The network, run by `engine` ("onnx" or "openvino"), when an earlier call of `accelerated` left it; or None."""
    path = folder() / f"{key}.onnx"
    known = read_record(_record_of(path, engine))
    if "difference" not in known or not path.is_file():
        return None
    try:
        return _open(engine, path, known)
    except (WeightsError, MissingExtra):                       # damaged since, or its engine is: `accelerated` tells
        return None


def accelerated(network, engine: str, key: str = "") -> engines.ExportedNetwork:
    """A generator of the suite, run by `engine`, exported when it is not there; several processes may ask at once.

    `key` is what `find` is to know it by, its own digest when empty. A StyleGAN2 generator takes w [N, 1 or n_latent,
    style_dim] and draws with the noise stored with its weights.
    Raises ExportError when the network has no such form or its result differs from Paddle's, MissingExtra when a
    package is missing, OutputError when the cache cannot be written.
    """
    from filelock import FileLock, Timeout
    images.make_folder(folder())
    path = folder() / f"{key or digest(network)}.onnx"
    try:
        with FileLock(str(path.with_suffix(".lock")), timeout=downloads.Patience().lock):
            return _opened(network, engine, path)
    except Timeout:
        raise OutputError(f"{path} is locked by another process that does not end: remove {path.stem}.lock.") from None
    except OSError as error:
        raise OutputError(f"{folder()} cannot be used ({error.strerror or error}): choose another folder with "
                          "PPGAN_APPS_HOME.") from error


def part(network: engines.ExportedNetwork, name: str) -> engines.ExportedNetwork | None:
    """A part of a network that `accelerated` or `find` opened, in the same engine; see `export.parts_for_tiles`."""
    path = _part_of(network.path, name)
    return _open(network.engine, path, {}) if network.path.parent == folder() and path.is_file() else None


def file_key(weights: Path, *said) -> str:
    """The key of the network in a file of weights: `said` is all else, any JSON, that decides how it is built."""
    seen = _writers()
    seen.update(json.dumps([downloads.sha256_of(weights), *said], sort_keys=True).encode())
    return seen.hexdigest()[:DIGITS]


def _writers():
    seen = hashlib.sha256()
    for name in WRITERS:
        seen.update(Path(__file__).with_name(name).read_bytes())
    return seen


def digest(network) -> str:
    """The key of a network by its values."""
    seen = _writers()
    seen.update(json.dumps([type(network).__name__, dict(network.arguments)], sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        array = np.ascontiguousarray(value.numpy())
        seen.update(f"{name} {array.dtype} {array.shape}".encode())
        seen.update(array)
    return seen.hexdigest()[:DIGITS]


def _opened(network, engine: str, path: Path) -> engines.ExportedNetwork:
    """The network from the file, which is written first when it is missing or damaged."""
    record = _record_of(path, engine)
    known = read_record(record)
    if known.get("refused"):
        raise ExportError(known["refused"])
    opened = find(path.stem, engine)
    if opened:                                                 # another process was faster
        return opened
    subject, built = single_subject(network), {"class": type(network).__name__, "network": dict(network.arguments)}
    if "difference" in known or not path.is_file():            # the former: it was there, and is damaged
        _write(subject, path)
    opened = _open(engine, path, built)
    try:
        differences = export.compare(subject, opened, f"{type(network).__name__} in the engine {engine}", export.BOUND,
                                     exact=True)
    except ExportError as error:
        write_record(record, {"refused": str(error)})
        raise
    write_record(record, {**built, "difference": max(value for name, value in differences.items()
                                                if not name.endswith(export.ROUNDED))})
    return opened


def _record_of(path: Path, engine: str) -> Path:
    return path.with_name(f"{path.stem}.{engine}-{version_of(engine)}.json")


def version_of(engine: str) -> str:
    """The version of the engine's package."""
    for package in ("paddlepaddle", "paddlepaddle-gpu") if engine == engines.PADDLE else (engines.PACKAGES[engine],):
        try:
            return version(package)
        except ModuleNotFoundError:
            continue
    return "unknown"                                           # built by hand, or missing: opening tells


def single_subject(network) -> export.Subject:
    """What is exported, with a single input to compare by."""
    if type(network).__name__ == "StyleGAN2Generator":
        # The predictor truncates by itself: the mean has no part in it and need not be measured.
        subject = export.describe(network, {"w_mean": np.zeros(network.style_dim)}, latent="w", truncation=1.0)
    else:
        subject = export.describe(network)
    name = next(name for name in (*SAMPLES, *subject.samples) if name in subject.samples)
    return replace(subject, samples={name: subject.samples[name]})


def _write(subject: export.Subject, path: Path) -> None:
    for name, part in export.parts_for_tiles(subject).items():
        _write_one(part, _part_of(path, name))
    _write_one(subject, path)


def _part_of(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}-{name}.onnx")


def _write_one(subject: export.Subject, path: Path) -> None:
    with images.replacing(path) as temporary:
        temporary.write_bytes(export.onnx_model(subject).SerializeToString())


def _open(engine: str, path: Path, about: Mapping[str, Any]) -> engines.ExportedNetwork:
    """`about` is what the network says of how it is built."""
    opened = (engines.OpenVinoNetwork(path, folder() / "openvino") if engine == engines.OPENVINO
              else engines.OnnxNetwork(path))
    opened.about = {name: about.get(name) for name in ("class", "network")}
    return opened


def read_record(record: Path) -> dict[str, Any]:
    """The JSON of a file beside the networks; {} where there is none."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):                              # not there, or damaged: it is made anew
        return {}
    return known if isinstance(known, dict) else {}


def write_record(record: Path, known: Mapping[str, Any]) -> None:
    """Writes what `read_record` reads."""
    with images.replacing(record) as temporary:
        temporary.write_text(json.dumps(known), encoding="utf-8")

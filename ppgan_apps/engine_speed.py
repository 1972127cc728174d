"""Which engine is the fastest for a network on this machine: measured once for each network, and kept.

No engine is the fastest for all networks on all processors. Beside the exported network <key>.onnx (engine_cache.py)
<key>.speed-<circumstances>.json holds what a pass took in each engine that agrees with Paddle; the circumstances are a
digest of the processor, the threads, the versions and the size that was drawn, so that another machine measures anew.
"""
from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import engine_cache, engines, export, images
from .errors import ExportError, MissingExtra, OutputError, WeightsError

# The side of the pictures that are drawn to compare, where the network leaves it free.
SIDE = 256
# Passes of each engine, and the seconds in which no further round of them is begun.
ROUNDS, SECONDS = 5, 3.0
# An engine that took this many times what the fastest did is out of the running.
HOPELESS = 1.5


def known(key: str, names: Sequence[str]) -> list[str]:
    """The engines `names` by rising time, of those that agree with Paddle, as `by_speed` found in these circumstances;
    [] where it has not looked. Imports neither Paddle nor an engine."""
    seconds = engine_cache.read_record(_record(key, names)).get("seconds")
    return sorted(seconds, key=seconds.get) if isinstance(seconds, dict) else []


def by_speed(network, names: Sequence[str], key: str) -> list[str]:
    """The engines `names` for a generator of the suite by rising time, measured where `known` knows nothing.

    Those that cannot run it, or give other pictures than Paddle, come first, so that who tries them in this order can
    say why they are left out. `names` holds "paddle" and at least one other; `key` is as for `accelerated`.
    """
    from filelock import FileLock, Timeout

    from . import downloads
    record = _record(key, names)
    try:
        images.make_folder(engine_cache.folder())
        with FileLock(str(record.with_suffix(".lock")), timeout=downloads.Patience().lock):   # or two would slow
            return known(key, names) or _measured(network, names, key, record)                # each other down
    except (OSError, OutputError, Timeout):                    # there is no cache: none but Paddle will do
        return list(names)


def _measured(network, names: Sequence[str], key: str, record) -> list[str]:
    subject = engine_cache.single_subject(network)
    drawn = _of_usual_size(subject)
    passes: dict[str, Callable[[], Any]] = {engines.PADDLE: lambda: export.eager(subject, drawn)}
    for name in names:
        if name != engines.PADDLE:
            try:
                opened = engine_cache.accelerated(network, name, key)
            except (ExportError, MissingExtra, OutputError, WeightsError):
                continue
            passes[name] = lambda opened=opened: opened(*drawn)
    failed = [name for name in names if name not in passes]
    if len(passes) > 1:
        seconds = fastest_passes(passes)
        engine_cache.write_record(record, {"class": type(network).__name__, "input": list(drawn[0].shape),
                                           **circumstances(names), "seconds": seconds})
        return [*failed, *sorted(seconds, key=seconds.get)]
    return [*failed, engines.PADDLE]


def fastest_passes(passes: dict[str, Callable[[], Any]], rounds: int = ROUNDS, patience: float = SECONDS
                   ) -> dict[str, float]:
    """Seconds of the fastest pass of each. They take turns, and who is far behind the fastest runs no more."""
    best = dict.fromkeys(passes, float("inf"))
    start = time.perf_counter()
    for turn in range(rounds):
        if turn > 1 and time.perf_counter() - start > patience:      # the first pass of each warms it up
            break
        for name, one_pass in passes.items():
            if turn < 2 or best[name] <= HOPELESS * min(best.values()):
                began = time.perf_counter()
                one_pass()
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def _of_usual_size(subject: export.Subject) -> tuple[np.ndarray, ...]:
    """One sample of the network: a picture of `SIDE` where it takes any size."""
    arrays = next(iter(subject.samples.values()))
    if len(subject.inputs[0].shape) < 4 or not isinstance(subject.inputs[0].shape[2], str):
        return arrays
    shape = (1, arrays[0].shape[1], SIDE, SIDE)
    return (np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32),)


def circumstances(names: Sequence[str]) -> dict[str, Any]:
    """What the times depend on besides the network."""
    versions = {name: engine_cache.version_of(name) for name in sorted(names)}
    return {"processor": processor(), "threads": engines.threads(), "versions": versions}


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:                                            # no Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def records() -> list[dict[str, Any]]:
    """Everything that was measured, by name of the network: what `ppgan-apps doctor` shows."""
    found = [engine_cache.read_record(path) for path in sorted(engine_cache.folder().glob("*.speed-*.json"))]
    return sorted((record for record in found if isinstance(record.get("seconds"), dict)),
                  key=lambda record: (str(record.get("class")), str(record.get("input"))))


def _record(key: str, names: Sequence[str]):
    digest = hashlib.sha256(json.dumps([circumstances(names), SIDE], sort_keys=True).encode()).hexdigest()[:12]
    return engine_cache.folder() / f"{key}.speed-{digest}.json"

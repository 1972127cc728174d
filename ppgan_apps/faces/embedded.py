"""The embedded face networks, called with arrays: by ONNX Runtime where it is installed, else by Paddle.

They are small, so that in Paddle most of their time is the operators' overhead: a pair of 96-pixel patches takes 8 ms
there and 1.5 ms in ONNX Runtime on one core.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import engine_cache, engines
from ..errors import ExportError, MissingExtra, OutputError, WeightsError

FOLDER = Path(__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class FaceNetwork:
    """side: of the square pictures that it takes; run: float32 [N, C, side, side] to its outputs; engine: what runs
    it, of engines.ENGINES.
    """

    side: int
    run: Callable[[np.ndarray], list[np.ndarray]]
    engine: str


def open_network(path: Path, entry: str, part: str = "") -> FaceNetwork:
    """The network in an embedded file, or in a `part` of it; `entry` is its "module:class" below networks/.

    PPGAN_APPS_ENGINE chooses another engine. Raises WeightsError for a file that is damaged.
    """
    from ..weights import read_metadata

    arguments = read_metadata(path).get("network", {})
    arguments = arguments.get(part, {}) if part else arguments
    engine = chosen_engine()
    if engine != engines.PADDLE:
        key = engine_cache.file_key(path, part, entry, dict(arguments))
        try:
            found = engine_cache.find(key, engine)             # without Paddle, where an earlier process left it
            found = found or engine_cache.accelerated(build(path, entry, arguments, part), engine, key)
            return FaceNetwork(arguments["side"], found, engine)
        except (ExportError, MissingExtra, OutputError, WeightsError):
            pass                                               # such as a cache that cannot be written
    return FaceNetwork(arguments["side"], in_paddle(build(path, entry, arguments, part)), engines.PADDLE)


def chosen_engine() -> str:
    """ONNX Runtime among those that may be taken, the fastest for small networks; else the first of them."""
    names = engines.choose()
    return engines.ONNX if engines.ONNX in names else names[0]


def build(path: Path, entry: str, arguments: Mapping[str, Any], part: str = ""):
    """The network as a Paddle Layer with its weights, evaluating."""
    from ..weights import load_strict, read_weights

    module, _, name = entry.partition(":")
    network = getattr(import_module(f"..networks.{module}", __package__), name)(**arguments)
    load_strict(network, read_weights(path, part), f"{path} ({part})" if part else str(path))
    network.eval()
    return network


def in_paddle(network) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A Layer called with arrays, without gradients."""
    def run(array: np.ndarray) -> list[np.ndarray]:
        import paddle

        with paddle.no_grad():
            outputs = network(paddle.to_tensor(array))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    return run

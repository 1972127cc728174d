"""How a foreign project's entries become ours: a table with one line per tensor, and nothing left unaccounted for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import WeightsError

NAMED_IN_ERRORS = 8  # entries listed in one message

State = dict[str, np.ndarray]
# Our name of an entry, and how its numbers are brought into our order.
Place = tuple[str, Callable[[np.ndarray], np.ndarray]]
Table = dict[str, Place]


@dataclass(frozen=True)
class Imported:
    """A network in our terms.

    network: "module:class" below ppgan_apps/networks; arguments: of its constructor; state: its entries by our names;
    dropped: the foreign entries that have no place in it, by rule; metadata: what else the weight file should say;
    notices: what the user should know.
    """

    network: str
    arguments: Mapping[str, Any]
    state: State
    dropped: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------
# Orders of numbers
# ---------------------------------------------------------------------------------------------------------------------
def same(array: np.ndarray) -> np.ndarray:
    """As it is: PyTorch and Paddle both store convolutions as [out, in, h, w], transposed ones as [in, out, h, w]."""
    return array


def linear(array: np.ndarray) -> np.ndarray:
    """PyTorch's Linear [out, in] to Paddle's [in, out]."""
    return array.T


def tensorflow_convolution(array: np.ndarray) -> np.ndarray:
    """TensorFlow's convolution [height, width, in, out] to [out, in, height, width]."""
    return array.transpose(3, 2, 0, 1)


def tensorflow_depthwise(array: np.ndarray) -> np.ndarray:
    """TensorFlow's depthwise convolution [height, width, channels, 1] to [channels, 1, height, width]."""
    return array.transpose(2, 3, 0, 1)


def shaped(*shape: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same numbers in another shape; -1 stands for what is left."""
    return lambda array: array.reshape(shape)


# ---------------------------------------------------------------------------------------------------------------------
# The table at work
# ---------------------------------------------------------------------------------------------------------------------
def move(state: Mapping[str, np.ndarray], table: Table, project: str, drop: Iterable[str] = ()
         ) -> tuple[State, tuple[str, ...]]:
    """Our entries, and the names of those that were dropped.

    Args:
        table: for each foreign name ours and the order; a name that is not in `state` is missing.
        drop: patterns of whole foreign names that are left out by rule.
    Raises:
        WeightsError: missing or unexpected entries, or numbers that do not fit their order; named.
    """
    rules = [re.compile(pattern) for pattern in drop]
    dropped = tuple(name for name in state if name not in table and any(rule.fullmatch(name) for rule in rules))
    missing = [name for name in table if name not in state]
    unexpected = [name for name in state if name not in table and name not in dropped]
    problems = [f"{len(names)} {kind} ({some(names)})" for kind, names in
                (("missing", missing), ("unexpected", unexpected)) if names]
    if problems:
        raise WeightsError(f"This is not a network as {project} writes it: {'; '.join(problems)}.")
    moved = {}
    for name, (ours, order) in table.items():
        try:
            moved[ours] = np.ascontiguousarray(order(state[name])) if state[name].ndim else order(state[name])
        except ValueError as error:
            raise WeightsError(f"The entry {name} of shape {list(state[name].shape)} is none of {project}: {error}."
                               ) from error
    return moved, dropped


def some(names: Iterable[str]) -> str:
    """The first few of several names, for a message."""
    names = list(names)
    return ", ".join(names[:NAMED_IN_ERRORS]) + (", ..." if len(names) > NAMED_IN_ERRORS else "")


def shape_of(state: Mapping[str, np.ndarray], name: str, dimensions: int, project: str) -> tuple[int, ...]:
    """The shape of an entry from which a network's sizes are read. Raises WeightsError where it is not there."""
    if name not in state or state[name].ndim != dimensions:
        raise WeightsError(f"This is not a network as {project} writes it: {name} is missing or of another shape.")
    return state[name].shape


def numbered(state: Iterable[str], pattern: str) -> list[int]:
    """The different numbers that a pattern's group finds in the names, in rising order."""
    rule = re.compile(pattern)
    return sorted({int(found[1]) for name in state if (found := rule.match(name))})

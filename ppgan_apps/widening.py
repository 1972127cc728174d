"""A wider U-Net that draws what a narrow one draws, to go on training from (Net2Net, Chen et al. 2016,
https://arxiv.org/abs/1511.05641)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from paddle import nn

from .networks.unet import UnetGenerator
from .weights import load_strict


def width_of(state: Mapping[str, Any]) -> int:
    """`ngf` of the U-Net whose weights `state` holds; 0 when it holds another network."""
    first = state.get("model.model.0.weight")                  # [ngf, 3, 4, 4]
    return 0 if first is None else int(first.shape[0])


def widen(wide: UnetGenerator, state: Mapping[str, Any], source: str = "", seed: int = 0) -> None:
    """Fills `wide` so that it gives the pictures of the narrower U-Net whose weights `state` holds.

    A map of the wide network beyond the narrow one's number is a copy of one of those. What reads a map that has copies
    reads each of them with a share of its weight; the shares are random, so that copies do not learn the same.
    Raises WeightsError when the weights are not those of the same U-Net with fewer maps.
    """
    narrow = UnetGenerator(**{**wide.arguments, "ngf": width_of(state)})
    load_strict(narrow, state, source)
    random = np.random.default_rng(seed)
    ratio = wide.arguments["ngf"] / narrow.arguments["ngf"]
    sources = {count * narrow.arguments["ngf"]: _sources(count * narrow.arguments["ngf"], ratio, random)
               for count in (1, 2, 4, 8)}
    doubling = [name for name, layer in narrow.named_sublayers() if isinstance(layer, nn.Conv2DTranspose)]
    first, last = "model.model.0", min(doubling, key=len)      # these read, and make, pictures
    filled = {}
    for name, layer in narrow.named_sublayers():
        arrays = {key: value.numpy() for key, value in layer.state_dict(include_sublayers=False).items()}
        reads, makes = (0, 1) if name in doubling else (1, 0)  # axes of the maps read and made in a weight
        # A doubling layer reads the level's own maps and those from within; the innermost has nothing within.
        sets = 2 if name in doubling and name != max(doubling, key=len) else 1
        for key, values in arrays.items():
            axis = makes if values.ndim == 4 else 0
            values = values if name == last else np.take(values, sources[values.shape[axis]], axis)
            if values.ndim == 4 and name != first:
                values = np.concatenate([_read_copies(part, reads, sources[part.shape[reads]], random)
                                         for part in np.split(values, sets, reads)], reads)
            filled[f"{name}.{key}"] = values
    load_strict(wide, filled, source)


def _sources(narrow: int, ratio: float, random: np.random.Generator) -> np.ndarray:
    """Which narrow map each wide one is: all of them first, then copies, spread evenly."""
    wide = round(narrow * ratio)
    copies = [random.permutation(narrow) for _ in range(wide // narrow)]
    return np.concatenate([np.arange(narrow), *copies])[:wide]


def _read_copies(weight: np.ndarray, axis: int, source: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A weight that reads narrow maps along `axis`, as one that reads wide ones."""
    raw = random.uniform(0.5, 1.5, len(source))
    share = raw / np.bincount(source, raw)[source]             # those of one narrow map add up to 1
    shape = [len(source) if along == axis else 1 for along in range(weight.ndim)]
    return np.take(weight, source, axis) * share.reshape(shape).astype(weight.dtype)

"""bryandlee/animegan2-pytorch: AnimeGANv2's generator in PyTorch (face_paint_512_v1 and _v2, celeba_distill, paprika).

Its graph is TensorFlow's: reflected borders, skip connections, and layer norms that are group norms of one group. It
upsamples with aligned corners unless told otherwise (torch.hub's model does, the repository's test.py does not).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .layout import Imported, Table, move, same

PROJECT = "bryandlee/animegan2-pytorch"
FAMILY = "animeganv2"
PARTS: tuple[str, ...] = ()
LICENCE = "MIT code (bryandlee/animegan2-pytorch); nothing is stated about the weights: take it as non-commercial"

ARGUMENTS = {"skip": True, "padding_type": "reflect", "upsample_align": "align_corners"}
# What the published files want to be fed with, by their names.
INPUTS: dict[str, dict[str, Any]] = {
    "face_paint_512_v1": {"size": 512, "crop": "face"},
    "face_paint_512_v2": {"size": 512, "crop": "face"},
    "celeba_distill": {"size": 256, "crop": "face"},
    "paprika": {"size": 256},
}
# Convolution, norm, leaky ReLU: the foreign name is that of a Sequential with padding at 0, these at 1, 2 and 3.
UNITS = {
    "block_a.0": "A.0", "block_a.1": "A.1", "block_a.2": "A.2",
    "block_b.0": "B.0", "block_b.1": "B.1", "block_c.0": "B.2",
    "block_c.5": "C.4",
    "block_d.0": "D.1", "block_d.1": "D.2",
    "block_e.0": "E.1", "block_e.1": "E.2", "block_e.2": "E.3",
    **{f"block_c.{block}.layers.0": f"C.{block - 1}.body.0" for block in (1, 2, 3, 4)},
}
# The rest of the inverted bottlenecks: the depthwise convolution (the only one with a bias) and the last one.
BOTTLENECK = {
    "layers.1.1.weight": "body.1.weight", "layers.1.1.bias": "body.1.bias",
    "layers.1.2.weight": "body.2.weight", "layers.1.2.bias": "body.2.bias",
    "layers.2.weight": "body.4.weight",
    "layers.3.weight": "body.5.weight", "layers.3.bias": "body.5.bias",
}
TABLE: Table = {
    **{f"{theirs}.1.weight": (f"{ours}.conv.weight", same) for theirs, ours in UNITS.items()},
    **{f"{theirs}.2.weight": (f"{ours}.norm.weight", same) for theirs, ours in UNITS.items()},
    **{f"{theirs}.2.bias": (f"{ours}.norm.bias", same) for theirs, ours in UNITS.items()},
    **{f"block_c.{block}.{theirs}": (f"C.{block - 1}.{ours}", same)
       for block in (1, 2, 3, 4) for theirs, ours in BOTTLENECK.items()},
    "out_layer.0.weight": ("out.0.weight", same),
}


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these entries are such a network's."""
    return {"block_a.0.1.weight", "out_layer.0.weight"} <= set(state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The generator in our terms; `name` is the file's, without its ending. Raises WeightsError."""
    moved, dropped = move(state, TABLE, PROJECT)
    known = INPUTS.get(name)
    return Imported("animeganv2:AnimeGANv2Generator", ARGUMENTS, moved, dropped, {"input": known} if known else {})

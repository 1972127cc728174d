"""TachibanaYoshino/AnimeGANv2: the generator in TensorFlow 1 checkpoints (Hayao, Shinkai, Paprika).

The same graph as in PyTorch, except that its norms add 1e-12 to the variance (tf.contrib.layers.layer_norm) and that
tf.image.resize_images puts pixel i of a doubled picture at i / 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .layout import Imported, Table, move, same, tensorflow_convolution, tensorflow_depthwise

PROJECT = "TachibanaYoshino/AnimeGANv2"
FAMILY = "animeganv2"
PARTS: tuple[str, ...] = ()
LICENCE = "non-commercial purposes such as research and teaching (TachibanaYoshino/AnimeGANv2)"

SCOPE = "generator/G_MODEL"
ARGUMENTS = {"skip": True, "padding_type": "reflect", "upsample_align": "asymmetric", "epsilon": 1e-12}
# (scope, which convolution of that scope): TensorFlow numbers them from the second on, and their norms alike.
UNITS = {
    ("A", ""): "A.0", ("A", "_1"): "A.1", ("A", "_2"): "A.2",
    ("B", ""): "B.0", ("B", "_1"): "B.1", ("C", ""): "B.2",
    ("C", "_1"): "C.4",
    ("D", ""): "D.1", ("D", "_1"): "D.2",
    ("E", ""): "E.1", ("E", "_1"): "E.2", ("E", "_2"): "E.3",
    **{(f"C/r{block}", ""): f"C.{block - 1}.body.0" for block in (1, 2, 3, 4)},
}


def _bottleneck(block: int) -> Table:
    """The depthwise and the last convolution of an inverted bottleneck, with the norms behind them."""
    theirs, ours = f"{SCOPE}/C/r{block}", f"C.{block - 1}.body"
    return {
        f"{theirs}/r{block}/w": (f"{ours}.1.weight", tensorflow_depthwise),
        f"{theirs}/r{block}/bias": (f"{ours}.1.bias", same),
        f"{theirs}/1/gamma": (f"{ours}.2.weight", same),
        f"{theirs}/1/beta": (f"{ours}.2.bias", same),
        f"{theirs}/Conv_1/weights": (f"{ours}.4.weight", tensorflow_convolution),
        f"{theirs}/2/gamma": (f"{ours}.5.weight", same),
        f"{theirs}/2/beta": (f"{ours}.5.bias", same),
    }


TABLE: Table = {
    **{f"{SCOPE}/{scope}/Conv{number}/weights": (f"{ours}.conv.weight", tensorflow_convolution)
       for (scope, number), ours in UNITS.items()},
    **{f"{SCOPE}/{scope}/LayerNorm{number}/gamma": (f"{ours}.norm.weight", same)
       for (scope, number), ours in UNITS.items()},
    **{f"{SCOPE}/{scope}/LayerNorm{number}/beta": (f"{ours}.norm.bias", same)
       for (scope, number), ours in UNITS.items()},
    **{name: place for block in (1, 2, 3, 4) for name, place in _bottleneck(block).items()},
    f"{SCOPE}/out_layer/Conv/weights": ("out.0.weight", tensorflow_convolution),
}
# A whole training's checkpoint: the optimizer's averages, and the discriminator, which draws nothing.
DROP = (r".*/Adam(_1)?", r".*beta[12]_power(_\d+)?", r"discriminator/.*", r"global_step")


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these tensors are such a network's."""
    return any(name.startswith(f"{SCOPE}/") for name in state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The generator in our terms. Raises WeightsError."""
    moved, dropped = move(state, TABLE, PROJECT, DROP)
    return Imported("animeganv2:AnimeGANv2Generator", ARGUMENTS, moved, dropped, {"input": {"size": 256}})

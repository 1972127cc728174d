"""minivision-ai/photo2cartoon: the PyTorch original of Photo2Cartoon, two generators and four discriminators.

The generators are ours under other names, and their Linears have biases. Every block of three convolutions carries a
fourth that is never used, since it would only be needed where the number of channels changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from .layout import Imported, Table, linear, move, numbered, same, shape_of

PROJECT = "minivision-ai/photo2cartoon"
FAMILY = "photo2cartoon"
PARTS: tuple[str, ...] = ("genA2B", "genB2A")  # photo to cartoon, and back
LICENCE = ("MIT code (minivision-ai/photo2cartoon); nothing is stated about the weights, whose training pictures were "
           "collected from the internet: take it as non-commercial")

DROP = (r".*\.ConvBlock4\.2\.weight",)  # of a PyramidBlock; an hourglass's own ConvBlock4_1 has no such ending
HOURGLASSES = {"HourGlass1": "DownBlock.4", "HourGlass2": "DownBlock.5", "HourGlass3": "UpBlock.10",
               "HourGlass4": "UpBlock.11"}
CONVOLUTIONS = {
    "ConvBlock1.1": "DownBlock.1", "DownBlock1.1": "DownBlock.7", "DownBlock2.1": "DownBlock.11",
    "UpBlock1.2": "UpBlock.2", "UpBlock2.2": "UpBlock.7", "ConvBlock2.1": "UpBlock.13",
}
NORMS = {"UpBlock1.3": "UpBlock.3", "UpBlock2.3": "UpBlock.8"}
# Inside an hourglass: x_1 is on the way past the halving, x_2 behind it.
PYRAMIDS = {
    **{f"HG.0.ConvBlock{level}_1": f"HG.0.ConvBlockskip{level}" for level in (1, 2, 3, 4)},
    **{f"HG.0.ConvBlock{level}_2": f"HG.0.ConvBlock{level}" for level in (1, 2, 3, 4)},
    **{f"HG.0.ConvBlock{level}": f"HG.0.ConvBlock{level}" for level in (5, 6, 7, 8, 9)},
    "HG.1": "HG.1",
}
LINEARS = ("c_gamma.0", "c_gamma.2", "c_beta.0", "c_beta.2", "s_gamma", "s_beta")  # of a SoftAdaLIN


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these entries are a generator's or a discriminator's of this project."""
    return "HourGlass1.Conv1.weight" in state or _is_discriminator(state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The network in our terms. Raises WeightsError."""
    return _discriminator(state) if _is_discriminator(state) else _generator(state)


def _is_discriminator(state: Mapping[str, np.ndarray]) -> bool:
    return {"gap_fc.weight_orig", "conv.weight_orig", "conv1x1.weight"} <= set(state)


def _generator(state: Mapping[str, np.ndarray]) -> Imported:
    ngf, input_nc, _, _ = shape_of(state, "ConvBlock1.1.weight", 4, PROJECT)
    output_nc = shape_of(state, "ConvBlock2.1.weight", 4, PROJECT)[0]
    inputs = shape_of(state, "FC.0.weight", 2, PROJECT)[1]
    blocks = len(numbered(state, r"EncodeBlock(\d+)\."))
    light = inputs == 4 * ngf
    side = 256 if light else 4 * round((inputs / (4 * ngf)) ** 0.5)
    if blocks != 4:  # the graph behind the names meets four features of the encoder again
        raise WeightsError(f"This is not a network as {PROJECT} writes it: it has {blocks} blocks instead of 4.")
    moved, dropped = move(state, _generator_table(blocks), PROJECT, DROP)
    arguments = {"ngf": ngf, "img_size": side, "n_blocks": blocks, "light": light, "input_nc": input_nc,
                 "output_nc": output_nc, "biased": True}
    return Imported("photo2cartoon:Photo2CartoonGenerator", arguments, moved, dropped, {"input": {"size": side}})


def _generator_table(blocks: int) -> Table:
    table: Table = {f"{theirs}.weight": (f"{ours}.weight", same) for theirs, ours in CONVOLUTIONS.items()}
    for theirs, ours in NORMS.items():
        table.update({f"{theirs}.{name}": (f"{ours}.{name}", same) for name in ("rho", "gamma", "beta")})
    for theirs, ours in HOURGLASSES.items():
        table.update(_hourglass(theirs, ours, returns_picture=theirs == "HourGlass4"))
    table.update({f"conv1x1.{name}": (f"conv1x1.{name}", same) for name in ("weight", "bias")})
    for name in ("gap_fc", "gmp_fc", "FC.0", "FC.2"):
        table.update(_linear(name))
    for block in range(1, blocks + 1):
        for convolution in (1, 5):
            name = f"EncodeBlock{block}.conv_block.{convolution}.weight"
            table[name] = (name, same)
        for number in (1, 2):
            norm = f"DecodeBlock{block}.norm{number}"
            kept = (f"DecodeBlock{block}.conv{number}.weight", f"{norm}.norm.rho", f"{norm}.w_gamma", f"{norm}.w_beta")
            table.update({name: (name, same) for name in kept})
            for name in LINEARS:
                table.update(_linear(f"{norm}.{name}"))
    return table


def _linear(name: str) -> Table:
    return {f"{name}.weight": (f"{name}.weight", linear), f"{name}.bias": (f"{name}.bias", same)}


def _hourglass(theirs: str, ours: str, returns_picture: bool) -> Table:
    table: Table = {f"{theirs}.HG.2.weight": (f"{ours}.HG.2.weight", same)}
    for pyramid, place in PYRAMIDS.items():
        table.update({f"{theirs}.{pyramid}.ConvBlock{number}.3.weight":
                      (f"{ours}.{place}.conv_block{number}.3.weight", same) for number in (1, 2, 3)})
    for convolution in ("Conv1",) if returns_picture else ("Conv1", "Conv2", "Conv3"):
        table.update({f"{theirs}.{convolution}.{name}": (f"{ours}.{convolution}.{name}", same)
                      for name in ("weight", "bias")})
    return table


def _discriminator(state: Mapping[str, np.ndarray]) -> Imported:
    """Names and orders are ours, but for the two spectrally normalised Linears."""
    ndf, input_nc, _, _ = shape_of(state, "model.1.weight_orig", 4, PROJECT)
    convolutions = numbered(state, r"model\.(\d+)\.weight_orig")
    spectral = [*(f"model.{number}" for number in convolutions), "conv", "gap_fc", "gmp_fc"]
    table: Table = {f"{stem}.{name}": (f"{stem}.{name}", same)
                    for stem in spectral for name in ("weight_orig", "weight_u", "weight_v")}
    table.update({f"{stem}.weight_orig": (f"{stem}.weight_orig", linear) for stem in ("gap_fc", "gmp_fc")})
    table.update({f"{stem}.bias": (f"{stem}.bias", same) for stem in spectral[: len(convolutions)]})
    table.update({f"conv1x1.{name}": (f"conv1x1.{name}", same) for name in ("weight", "bias")})
    moved, dropped = move(state, table, PROJECT)
    arguments = {"ndf": ndf, "n_layers": len(convolutions) + 1, "input_nc": input_nc}
    return Imported("ugatit:UGATITDiscriminator", arguments, moved, dropped)

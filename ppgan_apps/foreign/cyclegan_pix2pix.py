"""junyanz/pytorch-CycleGAN-and-pix2pix: resnet_Nblocks and unet_N generators, and PatchGAN discriminators.

Names and orders are ours but for the norms. Instance norms have no entries there (files from before PyTorch 0.4 carry
statistics that are never used), and stored ones and zeros here; batch norms' statistics have other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from .layout import Imported, Table, move, numbered, same, shape_of

PROJECT = "junyanz/pytorch-CycleGAN-and-pix2pix"
FAMILY = "cyclegan"  # or pix2pix: the same networks
PARTS: tuple[str, ...] = ("G_A", "G", "netG_A", "netG")
LICENCE = ""

# A batch norm's entries there and here; num_batches_tracked is only a counter.
BATCH_NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
DROP = (r".*\.num_batches_tracked",)
DROP_WITH_INSTANCE = (*DROP, r".*\.running_(mean|var)")  # never used, and no longer written


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these entries are one of the three networks'."""
    return _is_resnet(state) or _is_unet(state) or _is_patchgan(state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The network in our terms. Raises WeightsError."""
    if _is_resnet(state):
        return _resnet(state)
    return _unet(state) if _is_unet(state) else _patchgan(state)


def _is_resnet(state: Mapping[str, np.ndarray]) -> bool:
    return "model.1.weight" in state and any(".conv_block." in name for name in state)


def _is_unet(state: Mapping[str, np.ndarray]) -> bool:
    return "model.model.0.weight" in state and "model.model.3.weight" in state


def _is_patchgan(state: Mapping[str, np.ndarray]) -> bool:
    return "model.0.weight" in state and "model.2.weight" in state and all(re.match(r"model\.\d+\.", n) for n in state)


def _network(network: str, arguments: dict[str, Any], state: Mapping[str, np.ndarray]) -> Imported:
    """Moves the entries by what our network, built with `arguments`, has: the names differ in the norms only."""
    from importlib import import_module

    module, _, kind = network.partition(":")
    try:
        net = getattr(import_module(f"...networks.{module}", __name__), kind)(**arguments)
    except ValueError as error:
        raise WeightsError(f"This is not a network as {PROJECT} writes it ({error}).") from error
    own = net.state_dict()
    instance = arguments["norm_type"] == "instance"
    table: Table = {}
    constants = {}
    norms = {name.rpartition(".")[0] for name in own if name.endswith((".scale", "._mean"))}
    for name, parameter in own.items():
        stem, _, last = name.rpartition(".")
        if stem not in norms:
            table[name] = (name, same)
        elif instance:
            constants[name] = np.full(parameter.shape, float(last == "scale"), np.float32)
    if not instance:
        table.update({f"{stem}.{theirs}": (f"{stem}.{ours}", same)
                      for stem in norms for theirs, ours in BATCH_NORM.items()})
    moved, dropped = move(state, table, PROJECT, DROP_WITH_INSTANCE if instance else DROP)
    return Imported(network, arguments, {**moved, **constants}, dropped)


def _norm_type(state: Mapping[str, np.ndarray], norm: str, convolution: str) -> str:
    """The kind of norm at the name `norm` behind a `convolution`, which has a bias where it is an instance norm."""
    if f"{norm}.weight" in state:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _resnet(state: Mapping[str, np.ndarray]) -> Imported:
    ngf, input_nc, _, _ = shape_of(state, "model.1.weight", 4, PROJECT)
    blocks = numbered(state, r"model\.(\d+)\.conv_block\.")
    last = max(numbered(state, r"model\.(\d+)\."))
    output_nc = shape_of(state, f"model.{last}.weight", 4, PROJECT)[0]
    inside = sorted({int(name.split(".")[3]) for name in state
                     if name.startswith(f"model.{blocks[0]}.conv_block.") and state[name].ndim == 4})
    # Where the two convolutions lie among padding (unless by zeros), norm, ReLU and dropout.
    padded = inside[0] == 1
    if inside not in ([1, 5], [1, 6], [0, 3], [0, 4]):
        raise WeightsError(f"This is not a network as {PROJECT} writes it: a block has convolutions at {inside}.")
    arguments = {"ngf": ngf, "n_blocks": len(blocks), "input_nc": input_nc, "output_nc": output_nc,
                 "norm_type": _norm_type(state, "model.2", "model.1"),
                 "use_dropout": inside[1] - inside[0] == (5 if padded else 4),
                 "padding_type": "reflect" if padded else "zero"}
    return _network("resnet:ResnetGenerator", arguments, state)


def _unet(state: Mapping[str, np.ndarray]) -> Imported:
    ngf, input_nc, _, _ = shape_of(state, "model.model.0.weight", 4, PROJECT)
    output_nc = shape_of(state, "model.model.3.weight", 4, PROJECT)[1]
    # Each level holds the next one at 3 (the outermost at 1) of its own `model`.
    depth = max(name.count("model") for name in state) - 1
    first_inner = "model.model.1.model"
    arguments = {"num_downs": depth, "ngf": ngf, "input_nc": input_nc, "output_nc": output_nc,
                 "norm_type": _norm_type(state, f"{first_inner}.2", f"{first_inner}.1")}
    return _network("unet:UnetGenerator", arguments, state)


def _patchgan(state: Mapping[str, np.ndarray]) -> Imported:
    ndf, input_nc, _, _ = shape_of(state, "model.0.weight", 4, PROJECT)
    convolutions = [name for name, array in state.items() if array.ndim == 4]
    arguments = {"input_nc": input_nc, "ndf": ndf, "n_layers": len(convolutions) - 2,
                 "norm_type": _norm_type(state, "model.3", "model.2"), "first_biased": "model.0.bias" in state}
    return _network("patchgan:NLayerDiscriminator", arguments, state)

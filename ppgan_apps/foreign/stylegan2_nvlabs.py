"""NVlabs/stylegan2-ada-pytorch: generator and discriminator of StyleGAN2 in network-snapshot-*.pkl ("G_ema", "G", "D").

Each module comes as a dict of its attributes (unpickling.read_persistent_pickle); its entries are named as PyTorch
would. Only what the suite's StyleGAN2 can express is taken: no classes, the "skip" generator, the "resnet"
discriminator. A mapping network with another learning-rate multiplier than ours is rescaled to give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from .layout import Imported, Place, Table, linear, move, numbered, same, shape_of, shaped
from .stylegan2_rosinality import channel_arguments, check_kernels, mean_latent

PROJECT = "NVlabs/stylegan2-ada-pytorch"
FAMILY = "stylegan2"
PARTS: tuple[str, ...] = ("G_ema", "G")
LICENCE = "NVIDIA Source Code License-NC: non-commercial use only, where the weights are NVIDIA's or made with its code"

MAPPING_MULTIPLIER = 0.01  # of the learning rate, as our generator has it
DROP = (r".*resample_filter", r"mapping\.w_avg")  # checked, and taken as metadata
# What an attribute must be, where a module has it.
WANTED = {"c_dim": (0,), "img_channels": (3,), "activation": ("lrelu", "linear")}
ARCHITECTURES = {"SynthesisBlock": "skip", "DiscriminatorBlock": "resnet", "DiscriminatorEpilogue": "resnet"}


def is_module(value: Any) -> bool:
    """Whether a value of such a file is a network's dict of attributes."""
    return isinstance(value, dict) and all(isinstance(value.get(kind), dict)
                                           for kind in ("_parameters", "_buffers", "_modules"))


def flatten(module: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The parameters and buffers of a module by PyTorch's names."""
    return {f"{path}{name}": array for path, inner in _walk(module) for kind in ("_parameters", "_buffers")
            for name, array in inner[kind].items() if isinstance(array, np.ndarray)}


def _walk(module: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each module within a module, with what the names of its entries begin with."""
    yield path, module
    for name, inner in module["_modules"].items():
        if is_module(inner):
            yield from _walk(inner, f"{path}{name}.")


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these entries are a generator's or a discriminator's of this project."""
    return "synthesis.b4.const" in state or {"b4.conv.weight", "b4.fc.weight", "b4.out.weight"} <= set(state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The network in our terms; `contents` is its module, or None. Raises WeightsError."""
    modules = list(_walk(contents)) if is_module(contents) else []
    _check(modules)
    check_kernels({name: array for name, array in state.items() if name.endswith("resample_filter")}, PROJECT)
    clamps = {module["conv_clamp"] for _, module in modules if isinstance(module.get("conv_clamp"), (int, float))}
    notices = tuple(f"features are clamped to +-{clamp:g} there, for half precision, and not here" for clamp in clamps)
    return (_generator(state, dict(modules), notices) if "synthesis.b4.const" in state
            else _discriminator(state, notices))


def _check(modules: list[tuple[str, Mapping[str, Any]]]) -> None:
    for path, module in modules:
        architecture = ARCHITECTURES.get(str(module.get("class_name")), module.get("architecture"))
        for name, values in {**WANTED, "architecture": (architecture,)}.items():
            if name in module and module[name] not in values:
                raise WeightsError(f"This {PROJECT} network has {name} {str(module[name])[:40]!r} at "
                                   f"{path or 'its top'} where the suite's StyleGAN2 has {values[0]!r}: it cannot be "
                                   "imported.")


def _generator(state: Mapping[str, np.ndarray], modules: Mapping[str, Mapping[str, Any]],
               notices: tuple[str, ...]) -> Imported:
    from ..networks.resampling import binomial_kernel

    n_mlp = len(numbered(state, r"mapping\.fc(\d+)\."))
    resolutions = numbered(state, r"synthesis\.b(\d+)\.")
    table: Table = {"synthesis.b4.const": ("input.input", shaped(1, -1, 4, 4))}
    for layer in range(n_mlp):
        table.update(_mapping_layer(layer, modules.get(f"mapping.fc{layer}.", {})))
    for index, resolution in enumerate(resolutions):
        block = f"synthesis.b{resolution}"
        if index == 0:
            table.update(_modulated(f"{block}.conv1", "conv1", 0))
        else:
            table.update(_modulated(f"{block}.conv0", f"convs.{2 * index - 2}", 2 * index - 1))
            table.update(_modulated(f"{block}.conv1", f"convs.{2 * index - 1}", 2 * index))
        table.update(_to_rgb(f"{block}.torgb", f"to_rgbs.{index - 1}" if index else "to_rgb1"))
    moved, dropped = move(state, table, PROJECT, DROP)
    kernels = {f"to_rgbs.{index}.upsample.kernel": binomial_kernel(gain=4.0) for index in range(len(resolutions) - 1)}
    widths = {size: shape_of(state, f"synthesis.b{size}.conv1.weight", 4, PROJECT)[0] for size in resolutions}
    style_dim = shape_of(state, "synthesis.b4.conv1.affine.weight", 2, PROJECT)[1]
    arguments = {"size": resolutions[-1], "style_dim": style_dim, "n_mlp": n_mlp, **channel_arguments(widths, PROJECT)}
    mean = state.get("mapping.w_avg")
    metadata = {} if mean is None else {"w_mean": mean_latent(mean, style_dim, PROJECT)}
    return Imported("stylegan2:StyleGAN2Generator", arguments, {**moved, **kernels}, dropped, metadata, notices)


def _mapping_layer(layer: int, module: Mapping[str, Any]) -> Table:
    """Weight and bias are multiplied when used, by numbers that the module holds: ours are taken out of them."""
    theirs, ours = f"mapping.fc{layer}", f"style.{layer + 1}"

    def weight(array: np.ndarray) -> np.ndarray:
        gain = float(module.get("weight_gain", MAPPING_MULTIPLIER / math.sqrt(array.shape[1])))
        return _scaled(array.T, gain * math.sqrt(array.shape[1]) / MAPPING_MULTIPLIER)

    def bias(array: np.ndarray) -> np.ndarray:
        return _scaled(array, float(module.get("bias_gain", MAPPING_MULTIPLIER)) / MAPPING_MULTIPLIER)

    return {f"{theirs}.weight": (f"{ours}.weight", weight), f"{theirs}.bias": (f"{ours}.bias", bias)}


def _scaled(array: np.ndarray, factor: float) -> np.ndarray:
    return array if math.isclose(factor, 1, rel_tol=1e-6) else (array * factor).astype(array.dtype)


def _modulated(theirs: str, ours: str, noise: int) -> Table:
    """A convolution that a style modulates, with noise and bias; `noise` is the number of its stored noise."""
    return {
        f"{theirs}.weight": _grouped(f"{ours}.conv.weight"),
        f"{theirs}.affine.weight": (f"{ours}.conv.modulation.weight", linear),
        f"{theirs}.affine.bias": (f"{ours}.conv.modulation.bias", same),
        f"{theirs}.noise_strength": (f"{ours}.noise.weight", shaped(1)),
        f"{theirs}.noise_const": (f"noises.noise_{noise}", _as_picture),
        f"{theirs}.bias": (f"{ours}.activate.bias", same),
    }


def _to_rgb(theirs: str, ours: str) -> Table:
    return {
        f"{theirs}.weight": _grouped(f"{ours}.conv.weight"),
        f"{theirs}.affine.weight": (f"{ours}.conv.modulation.weight", linear),
        f"{theirs}.affine.bias": (f"{ours}.conv.modulation.bias", same),
        f"{theirs}.bias": (f"{ours}.bias", shaped(1, 3, 1, 1)),
    }


def _grouped(ours: str) -> Place:
    return ours, lambda array: array[None]  # [out, in, k, k] to [1, out, in, k, k]


def _as_picture(array: np.ndarray) -> np.ndarray:
    return array[None, None]  # [size, size] to [1, 1, size, size]


def _discriminator(state: Mapping[str, np.ndarray], notices: tuple[str, ...]) -> Imported:
    resolutions = numbered(state, r"b(\d+)\.")[::-1]  # from the picture's size down to 4
    size = resolutions[0]
    table: Table = {f"b{size}.fromrgb.weight": ("convs.0.0.weight", same),
                    f"b{size}.fromrgb.bias": ("convs.0.1.bias", same)}
    for number, resolution in enumerate(resolutions[:-1], start=1):
        theirs, ours = f"b{resolution}", f"convs.{number}"
        table.update({
            f"{theirs}.conv0.weight": (f"{ours}.conv1.0.weight", same),
            f"{theirs}.conv0.bias": (f"{ours}.conv1.1.bias", same),
            f"{theirs}.conv1.weight": (f"{ours}.conv2.1.weight", same),
            f"{theirs}.conv1.bias": (f"{ours}.conv2.2.bias", same),
            f"{theirs}.skip.weight": (f"{ours}.skip.1.weight", same),
        })
    table.update({
        "b4.conv.weight": ("final_conv.0.weight", same), "b4.conv.bias": ("final_conv.1.bias", same),
        "b4.fc.weight": ("final_linear.0.weight", linear), "b4.fc.bias": ("final_linear.0.bias", same),
        "b4.out.weight": ("final_linear.1.weight", linear), "b4.out.bias": ("final_linear.1.bias", same),
    })
    moved, dropped = move(state, table, PROJECT, DROP)
    widths = {size: shape_of(state, f"b{size}.fromrgb.weight", 4, PROJECT)[0]}
    for resolution in resolutions[:-1]:
        widths[resolution // 2] = shape_of(state, f"b{resolution}.conv1.weight", 4, PROJECT)[0]
    arguments = {"size": size, **channel_arguments(widths, PROJECT)}
    return Imported("stylegan2:StyleGAN2Discriminator", arguments, moved, dropped, notices=notices)

"""rosinality/stylegan2-pytorch: generator and discriminator of StyleGAN2 ("g_ema", "g" and "d" of a checkpoint).

The names are ours, so the tables say only which entries there are. Linears are turned; the kernels of the blurs, which
must be the published filter, are left out but for those that our generator keeps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from .layout import Imported, Table, linear, move, numbered, same, shape_of

PROJECT = "rosinality/stylegan2-pytorch"
FAMILY = "stylegan2"
PARTS: tuple[str, ...] = ("g_ema", "g")
LICENCE = ""

KERNEL = re.compile(r".*\.kernel")
DROP = (r"convs\.\d+\.conv\.blur\.kernel", r"convs\.\d+\.(conv2|skip)\.0\.kernel")


def recognises(state: Mapping[str, np.ndarray]) -> bool:
    """Whether these entries are a generator's or a discriminator's of this project."""
    return _is_generator(state) or {"convs.0.0.weight", "final_linear.1.weight"} <= set(state)


def convert(state: Mapping[str, np.ndarray], name: str, contents: Any = None) -> Imported:
    """The network in our terms, with the mean latent that some files carry beside it. Raises WeightsError."""
    check_kernels({name: array for name, array in state.items() if KERNEL.fullmatch(name)}, PROJECT)
    if not _is_generator(state):
        return _discriminator(state)
    mean = contents.get("latent_avg") if isinstance(contents, dict) else None
    return _generator(state, mean if isinstance(mean, np.ndarray) else None)


def _is_generator(state: Mapping[str, np.ndarray]) -> bool:
    return {"input.input", "conv1.conv.weight", "style.1.weight"} <= set(state)


def check_kernels(kernels: Mapping[str, np.ndarray], project: str) -> None:
    """Raises WeightsError for a blur that is not the published [1, 3, 3, 1]: it is built into our networks."""
    wanted = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    for name, kernel in kernels.items():
        if kernel.shape != (4, 4) or not np.allclose(kernel / max(float(kernel.sum()), 1e-9), wanted, atol=1e-5):
            raise WeightsError(f"{name} of this {project} network is another filter than [1, 3, 3, 1], which is built "
                               "into the suite's StyleGAN2: it cannot be imported.")


def channel_arguments(widths: Mapping[int, int], project: str) -> dict[str, int]:
    """channel_multiplier and channel_max of a network with so many feature maps at each resolution.

    Raises WeightsError where no pair of them gives these widths.
    """
    from ..networks.stylegan2 import channels_at

    for multiplier in (2, 1, 4, 8, 16):
        arguments = {"channel_multiplier": multiplier, "channel_max": max(widths.values())}
        if all(channels_at(resolution, **arguments) == width for resolution, width in widths.items()):
            return arguments
    given = ", ".join(f"{width} at {resolution}" for resolution, width in sorted(widths.items()))
    raise WeightsError(f"This {project} network has {given} pixels as feature maps, which follow no channel_multiplier "
                       "and channel_max of the suite's StyleGAN2: it cannot be imported.")


def _generator(state: Mapping[str, np.ndarray], mean: np.ndarray | None) -> Imported:
    doublings = len(numbered(state, r"to_rgbs\.(\d+)\."))
    n_mlp = len(numbered(state, r"style\.(\d+)\.weight"))
    table: Table = {"input.input": ("input.input", same)}
    for layer in range(1, n_mlp + 1):
        table.update(_linear(f"style.{layer}"))
    for stem in ("conv1", *(f"convs.{index}" for index in range(2 * doublings))):
        table.update(_modulated(stem))
        table.update({name: (name, same) for name in (f"{stem}.noise.weight", f"{stem}.activate.bias")})
    for stem in ("to_rgb1", *(f"to_rgbs.{index}" for index in range(doublings))):
        table.update(_modulated(stem))
        table[f"{stem}.bias"] = (f"{stem}.bias", same)
        if stem != "to_rgb1":
            table[f"{stem}.upsample.kernel"] = (f"{stem}.upsample.kernel", same)
    names = [f"noises.noise_{index}" for index in range(2 * doublings + 1)]
    table.update({name: (name, same) for name in names})
    moved, dropped = move(state, table, PROJECT, DROP)
    widths = {4: shape_of(state, "conv1.conv.weight", 5, PROJECT)[1]}
    for index in range(doublings):
        widths[8 << index] = shape_of(state, f"convs.{2 * index}.conv.weight", 5, PROJECT)[1]
    style_dim = shape_of(state, "style.1.weight", 2, PROJECT)[0]
    arguments = {"size": 4 << doublings, "style_dim": style_dim, "n_mlp": n_mlp, **channel_arguments(widths, PROJECT)}
    metadata = {} if mean is None else {"w_mean": mean_latent(mean, style_dim, PROJECT)}
    return Imported("stylegan2:StyleGAN2Generator", arguments, moved, dropped, metadata)


def mean_latent(mean: np.ndarray, style_dim: int, project: str) -> list[float]:
    """The mean latent as a weight file's metadata hold it. Raises WeightsError for one of another length."""
    if mean.size != style_dim:
        raise WeightsError(f"The mean latent of this {project} file has {mean.size} numbers instead of {style_dim}.")
    return [float(number) for number in mean.ravel()]


def _linear(stem: str) -> Table:
    return {f"{stem}.weight": (f"{stem}.weight", linear), f"{stem}.bias": (f"{stem}.bias", same)}


def _modulated(stem: str) -> Table:
    return {f"{stem}.conv.weight": (f"{stem}.conv.weight", same), **_linear(f"{stem}.conv.modulation")}


def _discriminator(state: Mapping[str, np.ndarray]) -> Imported:
    blocks = len(numbered(state, r"convs\.(\d+)\.")) - 1
    kept = ["convs.0.0.weight", "convs.0.1.bias", "final_conv.0.weight", "final_conv.1.bias"]
    for block in range(1, blocks + 1):
        kept += [f"convs.{block}.{name}" for name in
                 ("conv1.0.weight", "conv1.1.bias", "conv2.1.weight", "conv2.2.bias", "skip.1.weight")]
    table: Table = {name: (name, same) for name in kept}
    table.update({**_linear("final_linear.0"), **_linear("final_linear.1")})
    moved, dropped = move(state, table, PROJECT, DROP)
    size = 4 << blocks
    widths = {size: shape_of(state, "convs.0.0.weight", 4, PROJECT)[0]}
    for block in range(1, blocks + 1):
        widths[size >> block] = shape_of(state, f"convs.{block}.conv2.1.weight", 4, PROJECT)[0]
    arguments = {"size": size, **channel_arguments(widths, PROJECT)}
    return Imported("stylegan2:StyleGAN2Discriminator", arguments, moved, dropped)

"""A larger StyleGAN2 that draws, and judges, what a smaller one does, to go on training from: growth as in Progressive
GAN (Karras et al. 2018), but without a fade, since each network starts as the same function of pictures (as in Net2Net,
Chen et al. 2016, https://arxiv.org/abs/1511.05641)."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import WeightsError
from .networks.equalised import SLOPE
from .networks.stylegan2 import ResBlock, StyleGAN2Discriminator, StyleGAN2Generator
from .weights import load_strict

# Red, green and blue and their negatives: leaky ReLU of both says what the colour was, whatever its sign.
COLOURS = np.concatenate([np.eye(3), -np.eye(3)])                      # [6, 3]
READ_COLOURS = COLOURS.T / (1 + SLOPE)                                 # [3, 6]: f(c) - f(-c) = (1 + slope) c


def generator_size(state: Mapping[str, Any]) -> int:
    """Side of the pictures in pixels of the StyleGAN2 generator whose weights `state` holds; 0 for another network."""
    doublings = {name.split(".")[1] for name in state if re.match(r"to_rgbs\.\d+\.", name)}
    return 4 << len(doublings) if doublings else 0


def discriminator_size(state: Mapping[str, Any]) -> int:
    """As `generator_size`, of a StyleGAN2 discriminator's weights."""
    blocks = {name.split(".")[1] for name in state if re.match(r"convs\.\d+\.conv1\.", name)}
    return 4 << len(blocks) if blocks else 0


def grow_generator(large: StyleGAN2Generator, state: Mapping[str, Any], source: str = "") -> set[str]:
    """Fills `large` so that it draws the pictures of the smaller one whose weights `state` holds, doubled in size.

    The layers of the new sizes start at random, and what they add to the picture at nothing. Returns the names of the
    old layers' parameters. Raises WeightsError for weights of another network, or of one that differs in more than the
    size.
    """
    small = StyleGAN2Generator(**{**large.arguments, "size": generator_size(state)})
    load_strict(small, state, source)
    filled = {name: value.numpy() for name, value in large.state_dict().items()}
    filled.update({name: value.numpy() for name, value in small.state_dict().items()})
    for index in range(len(small.to_rgbs), len(large.to_rgbs)):
        name = f"to_rgbs.{index}.conv.weight"
        filled[name] = np.zeros_like(filled[name])
    load_strict(large, filled, source)
    return {name for name, _ in small.named_parameters()}


def grow_discriminator(large: StyleGAN2Discriminator, state: Mapping[str, Any], source: str = "") -> set[str]:
    """Fills `large` so that it says of a picture what the smaller one whose weights `state` holds says of it halved (by
    the binomial filter with which the blocks halve).

    Six maps of each new block carry the colours; its others start at random, and nothing reads them yet. Returns
    the names of the old layers' parameters. Raises WeightsError for weights of another network, or where a new block
    has fewer than six maps.
    """
    small = StyleGAN2Discriminator(**{**large.arguments, "size": discriminator_size(state)})
    load_strict(small, state, source)
    new = len(large.convs) - len(small.convs)
    for old, layer in zip(list(small.convs)[1:], list(large.convs)[1 + new:], strict=True):
        layer.set_state_dict(old.state_dict())
    large.final_conv.set_state_dict(small.final_conv.state_dict())
    large.final_linear.set_state_dict(small.final_linear.state_dict())
    first = large.convs[0]
    if first[0].weight.shape[0] < len(COLOURS):
        raise WeightsError(f"{source} cannot grow into a discriminator whose first layer has "
                           f"{first[0].weight.shape[0]} maps: raise channel_multiplier until it has {len(COLOURS)}.")
    _write(first[0], COLOURS)
    read = small.convs[0]
    colours = read[0].weight.numpy()[:, :, 0, 0] * read[0].scale       # [maps, 3]
    for index in range(1, 1 + new):
        last = index == new
        _carry_colours(large.convs[index], colours if last else COLOURS,
                       read[1].bias.numpy() * read[1].gain if last else None)
    changed = tuple(f"convs.{index}." for index in range(1 + new))
    return {name for name, _ in large.named_parameters() if not name.startswith(changed)}


def _carry_colours(block: ResBlock, wanted: np.ndarray, bias: np.ndarray | None) -> None:
    """Has a block whose first maps are the COLOURS give leaky ReLU of `wanted` [maps, 3] of the halved colours, plus
    `bias` [maps]."""
    convolution, leaky = block.conv2[1], block.conv2[2]
    _write(block.conv1[0], COLOURS @ READ_COLOURS)
    _write(convolution, wanted @ READ_COLOURS)
    skip = block.skip[1].weight
    skip.set_value(np.zeros(skip.shape, np.float32))
    if bias is not None:
        leaky.bias.set_value((bias / leaky.gain).astype(np.float32))


def _write(convolution, matrix: np.ndarray) -> None:
    """The matrix [outputs, inputs] as the first outputs of an equalised convolution, read from the middle pixel of its
    first inputs and nowhere else."""
    weight = convolution.weight.numpy()
    outputs, inputs = matrix.shape
    middle = weight.shape[2] // 2
    weight[:outputs] = 0
    weight[:outputs, :inputs, middle, middle] = matrix / convolution.scale
    convolution.weight.set_value(weight)

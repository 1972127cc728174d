"""Latents as numbers: seeds, named layers, truncation, mixing, interpolation, sweeps, directions in the weights.

Pure functions of numpy arrays: z [N, D], w [N, D], or one w for each layer, [N, n_latent, D]. What draws them is
`generator.mapping` and `generator.synthesis` (networks/stylegan2.py).
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ConfigError

SEEDS = 2**32                                                  # numpy's RandomState takes 0 to SEEDS - 1
LARGEST_COUNT = 100_000                                        # a typing error should not fill the disk
# Resolutions of the layers that a name stands for (Karras 2019, section 3.1).
RANGES = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024), "all": (4, 1024)}
NEARLY_PARALLEL = 1e-6                                         # sine of an angle below which no arc is defined


def numbers(text: str, below: int, what: str) -> list[int]:
    """"1,5,20-39" as a list, in the order given. Raises ConfigError naming `what` for other text or numbers from
    `below` on."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = (piece.strip() for piece in part.partition("-"))
        if not _is_number(low) or (dash and not _is_number(high)):
            raise ConfigError(f"{what} {text!r} has the part {part!r}: write numbers and ranges, such as 1,5,20-39.")
        first, last = int(low), int(high or low)
        if last < first or last >= below:
            raise ConfigError(f"{what} {text!r} has the part {part!r}: use rising numbers from 0 to {below - 1}.")
        if len(found) + last - first >= LARGEST_COUNT:
            raise ConfigError(f"{what} {text!r} stands for more than {LARGEST_COUNT} numbers: ask for fewer at a time.")
        found += range(first, last + 1)
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def seeds(text: str) -> list[int]:
    """"1,5,20-39" as a list of seeds. Raises ConfigError."""
    return numbers(text, SEEDS, "The list of seeds")


def latents_of_seeds(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """z [N, z_dim], float32: the first normal numbers that each seed gives, as in NVlabs' generators. A seed's z does
    not depend on the others."""
    return np.concatenate([random_of_seed(seed).randn(1, z_dim) for seed in seeds]).astype(np.float32)


def random_of_seed(seed: int) -> np.random.RandomState:
    """numpy's generator, which gives the same numbers everywhere. Raises ConfigError for a seed that it cannot take."""
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"The seed is {seed}: use a number from 0 to {SEEDS - 1}.")
    return np.random.RandomState(seed)


def count_layers(size: int) -> int:
    """How many layers a generator of pictures of `size` pixels, a power of two, has, each with a w of its own."""
    return 2 * int(size).bit_length() - 4


def resolutions(n_latent: int) -> list[int]:
    """The resolution of the convolution that each layer's w styles: 4, 8, 8, 16, 16 ...

    The last layer has no convolution; its w styles the conversion to RGB at the full size.
    """
    largest = 2 ** ((n_latent + 2) // 2)
    return [min(2 ** ((layer + 5) // 2), largest) for layer in range(n_latent)]


def layers(text: str, n_latent: int) -> list[int]:
    """"coarse" (4 and 8 px), "middle" (16, 32), "fine" (64 and more), "all", layer numbers such as "0-3,7", or several
    of these with commas between them, as rising layer numbers.

    Raises ConfigError for other text, or when the generator has no such layer.
    """
    found: set[int] = set()
    for part in text.split(","):
        smallest, largest = RANGES.get(part.strip(), (0, 0))
        named = [layer for layer, side in enumerate(resolutions(n_latent)) if smallest <= side <= largest]
        if part.strip() in RANGES and not named:
            raise ConfigError(f"This generator has no layers of {smallest} pixels or more, which '{part}' stands for: "
                              f"choose others.")
        found.update(named or numbers(part, n_latent, f"The layers ({', '.join(RANGES)} or numbers)"))
    return sorted(found)


def per_layer(w: np.ndarray, n_latent: int) -> np.ndarray:
    """w [N, D] once for each layer, [N, n_latent, D]; what has layers already is returned as it is."""
    return w if w.ndim == 3 else np.repeat(w[:, None], n_latent, axis=1)


def truncate(w: np.ndarray, mean_w: np.ndarray, truncation: float, cutoff: int | None = None) -> np.ndarray:
    """w pulled towards `mean_w` [1, D]: 1 leaves it, 0 gives the mean (Karras 2019, appendix B).

    With `cutoff` only the layers below it are pulled, which w [N, n_latent, D] must have: fine layers keep their
    variety. The same shape as w.
    """
    if cutoff is None:
        moved: np.ndarray = mean_w + np.float32(truncation) * (w - mean_w)
        return moved
    pulled = w.copy()
    pulled[:, :cutoff] = truncate(w[:, :cutoff], mean_w, truncation)
    return pulled


def mix(w: np.ndarray, other: np.ndarray, layers: Sequence[int]) -> np.ndarray:
    """w [N, n_latent, D] whose `layers` come from `other` [N or 1, n_latent, D] (style mixing, Karras 2019)."""
    mixed = w.copy()
    mixed[:, list(layers)] = other[:, list(layers)]
    return mixed


def interpolate(points: np.ndarray, frames: int, loop: bool = True, spherical: bool = False) -> np.ndarray:
    """`frames` latents on the way through `points` [K, ...], evenly spaced within each piece; [frames, ...].

    A loop ends one step before its first point, so that a player that starts again sees no stop; otherwise the last
    frame is the last point. `spherical` follows the arc between two points (slerp, Shoemake 1985), along which normally
    distributed z keep their length. Raises ValueError for fewer than two points or no frame.
    """
    if len(points) < 2 or frames < 1:
        raise ValueError(f"A way needs two points and a frame, not {len(points)} and {frames}.")
    pieces = len(points) if loop else len(points) - 1
    steps = np.arange(frames) * (pieces / (frames if loop else max(1, frames - 1)))
    between = _slerp if spherical else _lerp
    found = []
    for step in steps:
        piece = min(int(step), pieces - 1)
        found.append(between(points[piece], points[(piece + 1) % len(points)], step - piece))
    return np.stack(found).astype(np.float32)


def _lerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    between: np.ndarray = a + (b - a) * share
    return between


def _slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(np.vdot(a, b) / max(lengths, 1e-12), -1, 1))
    if np.sin(angle) < NEARLY_PARALLEL:
        return _lerp(a, b, share)
    between: np.ndarray = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return between


def sweep(latent: np.ndarray, coordinate: int, values: Sequence[float]) -> np.ndarray:
    """`latent` [1, D] once for each of `values`, which its number `coordinate` takes; [len(values), D]."""
    swept = np.repeat(latent, len(values), axis=0)
    swept[:, coordinate] = values
    return swept


def style_weights(generator: Any, layers: Sequence[int]) -> np.ndarray:
    """The matrices that turn w into the styles of `layers`, one below the other: A [styles, D], as the generator
    scales them. The last layer's is that of its conversion to RGB, each other's that of its convolution."""
    convolutions = [generator.conv1, *generator.convs, generator.to_rgbs[-1]]
    affine = [convolutions[layer].conv.modulation for layer in layers]
    return np.concatenate([layer.weight.astype("float32").numpy().T * layer.weight_scale for layer in affine])


def sefa(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions that change the styles most: closed-form factorisation (SeFa, Shen and Zhou 2021, arXiv 2007.06600).

    Args:
        weights: A [styles, D], see `style_weights`.
    Returns: the unit eigenvectors of A^T A [D, D], one a row, by falling eigenvalue, and the eigenvalues [D]. An
        eigenvector's sign is arbitrary; here its largest entry is positive, so that a direction is the same each time.
    """
    weights = weights.astype(np.float64)
    values, vectors = np.linalg.eigh(weights.T @ weights)
    values, rows = values[::-1], vectors.T[::-1]
    largest = np.abs(rows).argmax(1)
    signs = np.sign(rows[np.arange(len(rows)), largest])
    return rows * signs[:, None], np.maximum(values, 0)


def move(w: np.ndarray, direction: np.ndarray, strengths: Sequence[float], layers: Sequence[int]) -> np.ndarray:
    """w [1, n_latent, D] plus each of `strengths` times `direction` [D] at `layers`; [len(strengths), n_latent, D]."""
    moved = np.repeat(w, len(strengths), axis=0)
    moved[:, list(layers)] += np.asarray(strengths, np.float32)[:, None, None] * direction.astype(np.float32)
    return moved

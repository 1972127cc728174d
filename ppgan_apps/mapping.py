"""StyleGAN2's mapping network from z to w, in NumPy: seeds become w without Paddle where another engine draws."""
from __future__ import annotations

import math
from collections.abc import Mapping as Entries

import numpy as np

# As in networks/equalised.py and networks/stylegan2.py, which cannot be imported without Paddle; a test compares.
SLOPE, GAIN, LEARNING_RATE = 0.2, math.sqrt(2.0), 0.01


class Mapping:
    """z [N, style_dim] to w [N, style_dim], as StyleGAN2Generator.mapping (Karras 2019, section 2).

    Each row is computed by itself, so that its last digits do not depend on how many there are.

    Args:
        state: a generator's entries by name, of which those below `style.` are kept.
        n_mlp: how many layers the mapping network has.
    """

    def __init__(self, state: Entries[str, np.ndarray], n_mlp: int):
        self._layers = []
        for number in range(1, n_mlp + 1):                     # 0 is the norm
            weight, bias = (np.asarray(state[f"style.{number}.{name}"], np.float32) for name in ("weight", "bias"))
            scale = np.float32(GAIN * LEARNING_RATE / math.sqrt(len(weight)))
            self._layers.append((weight * scale, bias * np.float32(GAIN * LEARNING_RATE)))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return np.concatenate([self._row(row[None]) for row in z.astype(np.float32)])

    def _row(self, x: np.ndarray) -> np.ndarray:
        x = x / np.sqrt((x * x).mean(1, keepdims=True) + np.float32(1e-8))
        for weight, bias in self._layers:
            x = x @ weight + bias
            x = np.maximum(x, np.float32(SLOPE) * x)
        return x

    def mean(self, count: int, seed: int = 0) -> np.ndarray:
        """The mean w [1, style_dim] of `count` z drawn from `seed`, as StyleGAN2Generator.mean_latent."""
        z = np.random.RandomState(seed).standard_normal((count, len(self._layers[0][0]))).astype(np.float32)
        x = np.asarray(self._row(z), np.float32)
        mean: np.ndarray = x.mean(0, keepdims=True)
        return mean

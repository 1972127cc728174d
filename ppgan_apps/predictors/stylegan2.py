"""StyleGAN2: pictures from a seed, and mixtures of their styles."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import images
from ..errors import ConfigError, WeightsError
from .base import Predictor

# PaddleGAN's names and the zoo's; "avatars" is the model in the package.
MODEL_TYPES = {
    "ffhq-config-f": "stylegan2/ffhq",
    "animeface-512": "stylegan2/animeface-512",
    "avatars": "stylegan2/avatars",
}
TRUNCATION = 0.7
BLACK = 0


class StyleGAN2Predictor(Predictor):
    """Pictures of a trained StyleGAN2; the same seed gives the same pictures, however many are asked for at a time.

    Source: https://arxiv.org/abs/1912.04958. `model_type` is one of `MODEL_TYPES`; without it and `weight_path` the
    published ffhq-config-f is used where it is at hand, else the embedded avatars, at their own size. `size`,
    `style_dim`, `n_mlp` and `channel_multiplier` count for a weight file that does not state them. Without a `seed`
    every predictor draws others.
    """

    zoo_folder = "stylegan2"
    public = "stylegan2/ffhq"
    networks = ("stylegan2:StyleGAN2Generator",)

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 model_type: str | None = None, seed: int | None = None, size: int = 1024, style_dim: int = 512,
                 n_mlp: int = 8, channel_multiplier: int = 2, device: str = "auto"):
        if model_type is not None and model_type not in MODEL_TYPES:
            raise ConfigError(f"There is no model_type '{model_type}': use {', '.join(MODEL_TYPES)}.")
        if seed is not None and not 0 <= seed < 2**32:
            raise ConfigError(f"The seed is {seed}: use a number from 0 to {2**32 - 1}.")
        if size < 4 or size & (size - 1):
            raise ConfigError(f"The size is {size}: use a power of two of at least 4.")
        arguments = {"size": size, "style_dim": style_dim, "n_mlp": n_mlp, "channel_multiplier": channel_multiplier}
        super().__init__(output_path, weight_path, MODEL_TYPES.get(model_type), device, arguments)
        self.seed = np.random.RandomState().randint(2**31) if seed is None else seed
        self.style_dim = self.weights.network["style_dim"] if self.is_exported else self.network.style_dim
        fixed = self.weights.metadata.get("truncation")
        self.truncation = TRUNCATION if fixed is None else float(fixed)
        self.mean_w = self._mean_w()                           # [1, style_dim]

    def sample(self, count: int = 1, seed: int | None = None, truncation: float | None = None,
               first: int = 0) -> list[np.ndarray]:
        """Pictures number `first` to `first + count - 1` of a seed, uint8 RGB [size, size, 3] each.

        A picture depends on its number and the seed, not on `count`. `truncation` pulls the latents to their mean: 1
        leaves them, 0 gives the mean picture; it is 0.7, or what an exported network was fixed at.
        """
        truncation = self.truncation if truncation is None else truncation
        random = np.random.RandomState(self.seed if seed is None else seed)
        return self._draw(self._latents(random, first + count, truncation)[first:], truncation)

    def run(self, n_row: int = 3, n_col: int = 5) -> list[np.ndarray]:
        """Writes sample.png (n_row x n_col pictures) and sample_mixing_0.png, sample_mixing_1.png; returns all three.

        A mixing sheet has n_col sources along the top, n_row targets down the left side, and between them each target's
        coarse styles with each source's fine ones; where coarse ends is drawn anew for each row. Raises OutputError.
        """
        if n_row < 1 or n_col < 1:
            raise ConfigError(f"A sheet of {n_row} rows and {n_col} columns has no picture: use at least 1 of each.")
        random = np.random.RandomState(self.seed)
        sheets = {"sample": images.grid(self._draw(self._latents(random, n_row * n_col)), n_col, padding=0)}
        for number in range(2):
            sheets[f"sample_mixing_{number}"] = self._mixing_sheet(random, n_row, n_col)
        for name, sheet in sheets.items():
            images.write_image(self.output_path / f"{name}.png", sheet)
        print(f"{', '.join(f'{name}.png' for name in sheets)} are written in {self.output_path} (seed {self.seed}).")
        return list(sheets.values())

    def _mixing_sheet(self, random: np.random.RandomState, n_row: int, n_col: int) -> np.ndarray:
        layers = 2 * int(self.weights.network["size"]).bit_length() - 4 if self.is_exported else self.network.n_latent
        sources = self._latents(random, n_col)                 # [n_col, style_dim]
        targets = self._latents(random, n_row)                 # [n_row, style_dim]
        pictures = self._draw(sources)
        rows = [np.full_like(pictures[0], BLACK), *pictures]
        for target in targets:
            coarse = random.randint(1, layers)                 # how many layers, from the coarsest, are the target's
            mixed = np.repeat(sources[:, None], layers, axis=1)  # [n_col, n_latent, style_dim]
            mixed[:, :coarse] = target
            rows += [*self._draw(target[None]), *self._draw(mixed)]
        return images.grid(rows, n_col + 1, padding=0)

    def _latents(self, random: np.random.RandomState, count: int, truncation: float = TRUNCATION) -> np.ndarray:
        """`count` truncated w, [count, style_dim]; z for an exported network, which makes w itself. numpy draws z, so
        that they are the same on every device."""
        z = random.randn(count, self.style_dim).astype(np.float32)
        if self.is_exported:
            return z
        w = self._batched(self.network.mapping, z)
        return self.mean_w + truncation * (w - self.mean_w)

    def _draw_exported(self, z: np.ndarray, truncation: float) -> list[np.ndarray]:
        z = z if z.ndim == 3 else z[:, None]                   # [N, 1 or n_latent, style_dim]
        shares = [np.array([truncation], np.float32)] if "truncation" in self.network.inputs else []
        if not shares and truncation != self.truncation:
            raise ConfigError(f"{self.weights.name} was exported for a truncation of {self.truncation}: export it "
                              "without one to choose it here.")
        return [picture for row in z for picture in images.to_images(self.network(row[None], *shares)[0])]

    def _mean_w(self) -> np.ndarray:
        stored = self.weights.metadata.get("w_mean")
        if stored is not None:
            return np.asarray(stored, np.float32).reshape(1, self.style_dim)
        if self.is_exported:                                   # made elsewhere, it does not say; nothing here needs it
            return np.zeros((1, self.style_dim), np.float32)
        return self.network.mean_latent().numpy()

    def _check_exported(self) -> None:
        super()._check_exported()
        if "z" not in self.network.inputs:
            raise WeightsError(f"{self.weights.name} takes no z, from which a seed's pictures are drawn: export it "
                               "with --latent z.")

    def _draw(self, w: np.ndarray, truncation: float | None = None) -> list[np.ndarray]:
        """w [N, style_dim] or [N, n_latent, style_dim] -> pictures, with the noise that is stored with the weights.
        For an exported network the latents are z, and truncated by it."""
        if self.is_exported:
            return self._draw_exported(w, self.truncation if truncation is None else truncation)
        return images.to_images(self._batched(lambda latents: self.network.synthesis(latents, noise="stored"), w))

"""DCGAN and its relatives: pictures of a trained generator, and sweeps along one number of z."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import images, latents
from ..errors import ConfigError
from .base import Predictor

FAMILIES = ("dcgan", "lsgan", "wgan", "wgan_gp")               # those whose generator is one of networks/dcgan.py
EMBEDDED = "dcgan-avatars"                                     # the name of the model in the package, as a model type
RANGES = {"normal": (-3.0, 3.0), "uniform": (0.0, 1.0)}        # where the numbers of z lie, by their distribution


class DCGANPredictor(Predictor):
    """Pictures of a DCGAN, drawn one at a time: a seed's picture does not depend on the others.

    `weight_path` is a checkpoint, a run's folder or the generator's file; None takes the embedded avatars of 96 px.
    `latent` is the distribution of z, "normal"
    or "uniform" in [0, 1); None takes what the run's config.yaml beside the file says, else normal.
    """

    zoo_folder = "dcgan"
    networks = ("dcgan:DCGANGenerator", "dcgan:AvatarGenerator")

    def __init__(self, weight_path: str | Path | None = None, output_path: str | Path = "output",
                 latent: str | None = None, device: str = "auto", engine: str = "auto"):
        super().__init__(output_path, weight_path, device=device, engine=engine)
        if self.network.arguments.get("classes"):
            raise ConfigError(f"{self.weights.name} draws a given class, which a sweep of z does not have: use the "
                              f"weights of another family ({', '.join(FAMILIES)}).")
        self.latent = latent or self._latent_of_run()
        if self.latent not in RANGES:
            raise ConfigError(f"There is no distribution '{self.latent}': use {' or '.join(RANGES)}.")
        self.z_dim = self.network.arguments["latent_dim"]

    def _latent_of_run(self) -> str:
        import yaml
        config = self.weights.path.parent / "config.yaml"
        if not config.is_file():
            return "normal"
        try:
            recipe = yaml.safe_load(config.read_text(encoding="utf-8"))["recipe"]
            return str(recipe.get("latent", "normal"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            raise ConfigError(f"{config} does not say how z is distributed ({error}): repair it, or give "
                              f"--latent normal or uniform.") from error

    def z_of_seed(self, seed: int) -> np.ndarray:
        """z [1, z_dim] of a seed, from numpy's RandomState."""
        if self.latent == "uniform":
            return latents.random_of_seed(seed).uniform(size=(1, self.z_dim)).astype(np.float32)
        return latents.latents_of_seeds([seed], self.z_dim)

    def draw(self, z: np.ndarray) -> list[np.ndarray]:
        """z [N, z_dim] to pictures, uint8 RGB."""
        return [picture for row in z for picture in images.to_images(self._run_network(row[None]))]

    def sweep(self, seed: int, coordinate: int, values: Sequence[float]) -> list[np.ndarray]:
        """A seed's picture with each of `values` as the number `coordinate` of its z. Raises ConfigError."""
        if not 0 <= coordinate < self.z_dim:
            raise ConfigError(f"There is no coordinate {coordinate}: z has those from 0 to {self.z_dim - 1}.")
        return self.draw(latents.sweep(self.z_of_seed(seed), coordinate, values))

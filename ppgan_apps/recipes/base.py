"""What every GAN family gives the trainer."""
from __future__ import annotations

from typing import Any, ClassVar

from ..data import Dataset


class Recipe:
    """One GAN family: its networks, its optimizers and one training step.

    Public attributes that are Layers, Optimizers or Tensors are saved and restored; a `_private` one (a frozen VGG) is
    not. A Tensor is what must survive a restart beside the networks, such as the running mean of the path length.
    """

    Config: ClassVar[type]              # dataclass: the `recipe` section of the YAML, with the paper's defaults
    Data: ClassVar[type[Dataset]]       # dataclass: the `data` section
    deliver: ClassVar[str] = "G"        # the network that a predictor loads

    def __init__(self, run):
        """Builds networks and optimizers from a RunConfig: `run.recipe` and `run.data` are this family's sections."""
        self.run, self.cfg = run, run.recipe

    @property
    def delivered(self):
        """The network that a predictor loads."""
        return getattr(self, self.deliver)

    def train_step(self, batch: dict[str, Any], step: int) -> dict[str, Any]:
        """Updates the networks once; returns the scalars to log. `batch` holds Paddle tensors, `step` counts from 0."""
        raise TypeError(f"{type(self).__name__} does not say how it trains.")

    def at_step(self, step: int) -> None:
        """Called when a checkpoint of `step` updates is loaded: sets what follows from the step alone, where a family
        has such, as the stage of networks that grow."""

    def preview(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Pictures to look at, tensors [N, 3, H, W] in [-1, 1], in the order in which they stand side by side."""
        raise TypeError(f"{type(self).__name__} does not say what it shows.")

    def samples(self, batch: dict[str, Any]) -> Any:
        """Results to be measured, a tensor [N, C, H, W] in [-1, 1]: samples, or what the batch's pictures become."""
        shown = self.preview(batch)
        return shown["fake_b"] if "fake_b" in shown else shown["fake"]

    def metadata(self) -> dict[str, Any]:
        """What a predictor must know beyond the weights of the delivered network; stored in its file."""
        return {}

"""Progressive growing: which resolution is trained, and how far it is faded in, as a function of the pictures shown."""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import ConfigError


class Stage(NamedTuple):
    """What is trained at one step."""

    resolution: int                     # pixels on a side
    alpha: float                        # share of the newest layers in the picture and in the verdict; 1: all theirs


@dataclass
class Growth:
    """The part of the `recipe` section that says how the networks grow; pggan and stylegan share it.

    `start_size` is trained for its `stable_kimages`; then each doubling is faded in and trained on. A list begins at
    `start_size` (`fade_kimages`: at its first doubling), and its last number holds for all larger resolutions.
    """

    start_size: int = 4                 # pixels on a side at the first step
    stable_kimages: tuple[float, ...] = (800.0,)    # thousands of real pictures shown at a resolution once it is in
    fade_kimages: tuple[float, ...] = (800.0,)      # thousands of real pictures shown while a resolution is faded in

    def __post_init__(self):
        if self.start_size < 4 or self.start_size & (self.start_size - 1):
            raise ConfigError(f"start_size is {self.start_size}, should be a power of two from 4 on.")
        for name in ("stable_kimages", "fade_kimages"):
            numbers = getattr(self, name)
            if not numbers or min(numbers) < 0:
                raise ConfigError(f"{name} is {list(numbers)}, should be one number or more, none below 0.")

    def stage(self, images: float, size: int) -> Stage:
        """The stage once `images` real pictures have been shown, in a training that ends at `size` pixels.

        alpha rises in a straight line from 0 (Karras 2018, figure 2); the last resolution is trained to the end.
        """
        resolution, doublings = self.start_size, 0
        left = images - 1000 * self.stable_kimages[0]
        while resolution < size and left >= 0:
            resolution, doublings = 2 * resolution, doublings + 1
            fade = 1000 * at(self.fade_kimages, doublings - 1)
            if left < fade:
                return Stage(resolution, left / fade)
            left -= fade + 1000 * at(self.stable_kimages, doublings)
        return Stage(resolution, 1.0)


def at(numbers: tuple[float, ...], place: int) -> float:
    """The entry at `place`; the last one beyond the end."""
    return numbers[min(place, len(numbers) - 1)]

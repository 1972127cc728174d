"""Less flicker in a stylised clip: each picture is mixed with the one before it where the photos agree.

A network draws small changes of a photo, such as a camera's noise, as larger ones. The picture drawn before is brought
to the present one along the photos' optical flow, and mixed in where the photo brought along in the same way is still
what is seen: so what stands or moves is steadied, and what appears, or a cut, stays as it was drawn.
"""
from __future__ import annotations

from typing import Any

import numpy as np

# Side in pixels of the copies between which the flow is found: details of it do not matter.
FLOW_SIDE = 320
# The photos' difference, in grey levels after averaging over BLUR x BLUR pixels (which noise does not survive), at
# which the mixing falls to 1/e of its strength.
AGREEMENT, BLUR = 6.0, 9
# Photos that differ by this many levels on average, even along the flow, are of two scenes.
CUT = 25.0
SAME = 0.5                                                     # agreement from which a pixel counts in the measure


class Smoother:
    """Steadies the pictures of one clip, given in order; `strength` in [0, 1) is the share of what was drawn before.

    Measures, as it goes, the flicker with and without it: the mean difference, in levels of 255, between a picture
    and the one before it brought along the flow, over the pixels in which the photos agree (the warping error of Lai
    et al. 2018, https://arxiv.org/abs/1808.00449).
    """

    def __init__(self, strength: float):
        self.strength = strength
        self._photo: np.ndarray | None = None
        self._drawn: np.ndarray | None = None
        self._steady: np.ndarray | None = None
        self._sums = np.zeros(3)                               # flicker without, with, and how many pixels

    def __call__(self, photo: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """photo, drawn: uint8 RGB [H, W, 3] of one size -> the steadied picture, uint8 RGB."""
        steady: np.ndarray = drawn.astype(np.float32)
        before, drawn_then, steady_then = self._photo, self._drawn, self._steady
        if before is not None and drawn_then is not None and steady_then is not None and before.shape == photo.shape:
            flow = optical_flow(photo, before)
            agreement = _agreement(photo, follow(before, flow))
            if agreement is not None:
                steadied, drawn_before = follow(steady_then, flow), follow(drawn_then, flow)
                share = self.strength * agreement[..., None]
                steady = steady + share * (steadied - steady)
                counted = agreement > SAME
                self._sums += (np.abs(drawn.astype(np.float32) - drawn_before).mean(axis=2)[counted].sum(dtype=float),
                               np.abs(steady - steadied).mean(axis=2)[counted].sum(dtype=float), counted.sum())
        self._photo, self._drawn, self._steady = photo, drawn, steady
        picture: np.ndarray = np.rint(steady).astype(np.uint8)
        return picture

    @property
    def flicker(self) -> tuple[float, float] | None:
        """(without, with smoothing) in levels of 255; None before any two pictures agreed."""
        without, remaining, pixels = self._sums
        return (without / pixels, remaining / pixels) if pixels else None

    def state(self) -> dict[str, np.ndarray]:
        """What is needed to go on in another process."""
        kept = {"photo": self._photo, "drawn": self._drawn, "steady": self._steady}
        return {"sums": self._sums, **{name: value for name, value in kept.items() if value is not None}}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._sums = state["sums"].copy()
        self._photo, self._drawn, self._steady = (state.get(name) for name in ("photo", "drawn", "steady"))


def optical_flow(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """float32 [H, W, 2]: how far (x, y) from each pixel of `now` its place in `before` lies (DIS, Kroeger et al. 2016,
    https://arxiv.org/abs/1603.03590)."""
    import cv2
    height, width = now.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    one, other = (cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
                  for picture in (now, before))
    flow: Any = None
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(one, other, flow)
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    scaled: np.ndarray = flow * np.array([width / size[0], height / size[1]], np.float32)
    return scaled


def follow(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`picture` [H, W, C] brought along: at each pixel what lies `flow` away from it, as float32."""
    import cv2
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    brought: np.ndarray = cv2.remap(picture.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1],
                                    cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return brought


def _agreement(photo: np.ndarray, brought: np.ndarray) -> np.ndarray | None:
    """float32 [H, W] in [0, 1]: how much the photo is what the flow brought along; None when they are two scenes."""
    import cv2
    difference = np.abs(cv2.blur(photo.astype(np.float32) - brought, (BLUR, BLUR))).max(axis=2)
    if difference.mean() > CUT:
        return None
    agreement: np.ndarray = np.exp(-(difference / np.float32(AGREEMENT)) ** 2)
    return agreement

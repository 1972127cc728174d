"""The predictors of a server: loaded when first asked for, kept, and each used by one job at a time."""
from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import zoo
from .faults import REFUSED, Refusal

EMBEDDED = "embedded"
PREDICTORS = {"photo2cartoon": "Photo2CartoonPredictor", "anime2real": "Anime2RealPredictor",
              "animeganv2": "AnimeGANv2Predictor", "stylegan2": "StyleGAN2Predictor"}
# StyleGAN2's predictor names its weights by PaddleGAN's model types.
MODEL_TYPES = {"avatars": "avatars", "animeface-512": "animeface-512", "ffhq": "ffhq-config-f"}


class Models:
    """Predictors by family and style. Only weights that are on this machine are offered, so no request waits for a
    download; the first style of a family is the one in the package."""

    def __init__(self, device: str = "auto"):
        self.device = device
        self._loaded: dict[tuple[str, str], object] = {}
        # One for each family: its predictors share a face detector, and Paddle's layers are not made for two threads.
        self._locks = {family: threading.Lock() for family in PREDICTORS}

    def styles(self, family: str) -> list[str]:
        """The names of a family's weights that can be used now, those in the package first."""
        return [style for style in zoo.styles(family) if zoo.get(f"{family}/{style}").available()]

    def checked_style(self, family: str, style: str | None) -> str:
        """`style`, or without one the first. Raises Refusal for one that is not here."""
        styles = self.styles(family)
        if style in (None, "", EMBEDDED):
            return styles[0]
        if style not in styles:
            raise Refusal("no_such_style", REFUSED, style=str(style)[:60], styles=", ".join(styles))
        return style

    @contextmanager
    def using(self, family: str, style: str | None = None, **options: Any) -> Iterator[Any]:
        """A predictor that no other job uses meanwhile, with `options` in the place of its attributes of these names.
        """
        with self._locks[family]:
            predictor = self._get(family, self.checked_style(family, style))
            if options:
                predictor = copy.copy(predictor)               # the network is shared
                vars(predictor).update(options)
            yield predictor

    def _get(self, family: str, style: str) -> Any:
        if (family, style) not in self._loaded:
            import ppgan_apps
            build = getattr(ppgan_apps, PREDICTORS[family])
            named = {"model_type": MODEL_TYPES[style], "seed": 0} if family == "stylegan2" else {"style": style}
            self._loaded[family, style] = build(device=self.device, **named)
        return self._loaded[family, style]

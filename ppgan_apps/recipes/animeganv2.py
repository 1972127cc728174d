"""AnimeGANv2 (Chen 2020): AnimeGAN with layer normalisation, total variation and a smaller generator."""
from __future__ import annotations

from dataclasses import dataclass

from .. import perceptual
from ..networks.animeganv2 import AnimeGANv2Discriminator, AnimeGANv2Generator
from .animegan import AnimeGAN, frozen_features


@dataclass
class Config:
    """The `recipe` section; defaults are the authors' numbers for the style Hayao (main.py of
    TachibanaYoshino/AnimeGANv2 and its remarks), where nothing else is said."""

    lite: bool = False                  # the small generator
    warmup_steps: int = 3000            # steps on content alone, about two epochs of the authors' photos in batches of
                                        # 4, as in PaddleGAN; the authors take 1 (README) or 10 (main.py)
    warmup_lr: float = 2e-4
    lr_g: float = 2e-5                  # Adam, beta1 0.5
    lr_d: float = 4e-5
    decay_start: float = 0.5            # fraction of the steps after which the rates fall to 0 in a straight line; the
                                        # authors keep them (1)
    adversarial_weight: float = 300.0   # of G and of D
    content_weight: float = 1.5
    style_weight: float = 2.5
    colour_weight: float = 15.0
    variation_weight: float = 1.0
    real_term: float = 1.2              # weights inside D's loss: the style's pictures,
    fake_term: float = 1.2              # generated pictures,
    grey_term: float = 1.2              # the style's pictures without colour,
    smooth_term: float = 0.8            # and with smoothed edges, without colour
    features: str = "conv4_4"           # the VGG19 layer that content and style are compared at
    vgg_weights: str = ""               # file of the VGG19; "random": fixed random filters; empty: the published one


class AnimeGANv2(AnimeGAN):
    """Learns photo -> anime; delivers netG. The step is AnimeGAN's."""

    Config = Config

    def _generator(self):
        return AnimeGANv2Generator(lite=self.cfg.lite)

    def _discriminator(self):
        return AnimeGANv2Discriminator()

    def _frozen_features(self):
        return frozen_features("vgg19", self.cfg.features, self.cfg.vgg_weights, "vgg_weights")

    def _style_pictures(self, batch):
        return batch["anime_grey"]

    def _generator_terms(self, photo, style, fake) -> dict:
        """AnimeGAN's terms and total variation."""
        terms = super()._generator_terms(photo, style, fake)
        terms["variation"] = self.cfg.variation_weight * perceptual.total_variation(fake)
        return terms

"""AnimeGANv2 (Chen 2020): photo to anime from unpaired folders; equations of "AnimeGAN: A Novel Lightweight GAN for
Photo Animation", with version 2's layer normalisation and total variation.

The first steps train the generator on content alone, so that it starts as an identity; both phases are one run.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from .. import perceptual, zoo
from ..data import StyleImages
from ..losses import least_squares
from ..networks.animegan import AnimeGANDiscriminator
from ..networks.animeganv2 import AnimeGANv2Generator
from ..networks.vgg import VGG19
from ..steps import frozen, linear_decay, update
from ..weights import load_strict, read_weights, resolve
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are the authors' numbers for the style Hayao."""

    lite: bool = False                  # the small generator
    warmup_steps: int = 3000            # steps on content alone, about two epochs of the authors' photos
    warmup_lr: float = 2e-4
    lr_g: float = 2e-5                  # Adam, beta1 0.5
    lr_d: float = 4e-5
    decay_start: float = 0.5            # fraction of the steps after which the rates fall to 0 in a straight line
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


class AnimeGANv2(Recipe):
    """Learns photo -> anime; delivers netG."""

    Config, Data, deliver = Config, StyleImages, "netG"

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        self.netG = AnimeGANv2Generator(lite=cfg.lite)
        self.netD = AnimeGANDiscriminator()
        self.opt_G = paddle.optimizer.Adam(cfg.lr_g, beta1=0.5, beta2=0.999, parameters=self.netG.parameters())
        self.opt_D = paddle.optimizer.Adam(cfg.lr_d, beta1=0.5, beta2=0.999, parameters=self.netD.parameters())
        self._vgg = self._load_vgg()

    def _load_vgg(self):
        network = VGG19([self.cfg.features])                   # random filters, frozen
        record = zoo.get("vgg19")
        if not self.cfg.vgg_weights:
            record.load(network)
        elif self.cfg.vgg_weights != "random":
            path = resolve(self.cfg.vgg_weights)
            load_strict(network, read_weights(path), str(path), optional=record.optional)
        network.eval()
        return network

    def train_step(self, batch, step):
        if step < self.cfg.warmup_steps:
            return self._warm_up(batch["photo"])
        self._set_rates(step)
        photo = batch["photo"]
        fake = self.netG(photo)
        loss_d = self._train_discriminator(batch, fake.detach())
        with frozen(self.netD):
            terms = self._generator_terms(photo, batch["anime_grey"], fake)
            update(self.opt_G, sum(terms.values()))
        return {"D": loss_d, **{name: term.detach() for name, term in terms.items()}}

    def _warm_up(self, photo):
        """Content alone, at its own rate: section 3.3."""
        self.opt_G.set_lr(self.cfg.warmup_lr)
        loss = self.cfg.content_weight * perceptual.content(self._features(photo), self._features(self.netG(photo)))
        update(self.opt_G, loss)
        return {"content": loss.detach()}

    def _set_rates(self, step: int) -> None:
        cfg = self.cfg
        since, left = step - cfg.warmup_steps, max(1, self.run.steps - cfg.warmup_steps)
        self.opt_G.set_lr(linear_decay(cfg.lr_g, since, left, cfg.decay_start))
        self.opt_D.set_lr(linear_decay(cfg.lr_d, since, left, cfg.decay_start))

    def _train_discriminator(self, batch, fake):
        """Real: the style in colour; not real: generated, without colour, with smoothed edges: eq. 8, least squares."""
        cfg = self.cfg
        loss = cfg.adversarial_weight * (
            cfg.real_term * least_squares(self.netD(batch["anime"]), 1.0)
            + cfg.fake_term * least_squares(self.netD(fake), 0.0)
            + cfg.grey_term * least_squares(self.netD(batch["anime_grey"]), 0.0)
            + cfg.smooth_term * least_squares(self.netD(batch["smooth_grey"]), 0.0))
        update(self.opt_D, loss)
        return loss.detach()

    def _generator_terms(self, photo, anime_grey, fake) -> dict:
        """The weighted terms of eq. 7, and total variation."""
        cfg = self.cfg
        photo_features, fake_features = self._features(photo), self._features(fake)
        return {
            "adversarial": cfg.adversarial_weight * least_squares(self.netD(fake), 1.0),
            "content": cfg.content_weight * perceptual.content(photo_features, fake_features),
            "style": cfg.style_weight * perceptual.style(self._features(anime_grey), fake_features),
            "colour": cfg.colour_weight * perceptual.colour(photo, fake),
            "variation": cfg.variation_weight * perceptual.total_variation(fake),
        }

    def _features(self, images):
        """The frozen network's features at the chosen layer, before its activation."""
        return self._vgg(images)[self.cfg.features]

    def preview(self, batch):
        return {"photo": batch["photo"], "fake": self.netG(batch["photo"]), "anime": batch["anime"]}

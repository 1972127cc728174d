"""AnimeGAN (Chen 2020): photo to anime from unpaired folders; equations of "AnimeGAN: A Novel Lightweight GAN for Photo
Animation".

The first steps train the generator on content alone, so that it starts as an identity; both phases are one run.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import paddle

from .. import perceptual, zoo
from ..data import StyleImages
from ..errors import ConfigError, WeightsError
from ..losses import least_squares
from ..networks.animegan import AnimeGANDiscriminator, AnimeGANGenerator
from ..networks.mobilenetv2 import MobileNetV2
from ..networks.vgg import VGG19
from ..steps import frozen, linear_decay, once, update
from ..weights import load_strict, read_weights, resolve
from .base import Recipe

FROZEN = {"vgg19": (VGG19, "conv4_4"), "mobilenetv2": (MobileNetV2, "block6")}   # and the layer compared at: H / 8


@dataclass
class Config:
    """The `recipe` section; defaults are those of the paper for the style Hayao: also in main.py of the first version
    of TachibanaYoshino/AnimeGAN (commit a38c1bc), which later ones change (4e-5, 8e-5 and a style weight of 1.8)."""

    channel: int = 64                   # feature maps of the generator at full size
    n_blocks: int = 8                   # inverted residual blocks of the generator
    warmup_steps: int = 1664            # steps on content alone, one epoch of the paper's 6,656 photos in batches of 4
    warmup_lr: float = 1e-4
    lr_g: float = 8e-5                  # Adam, beta1 0.5
    lr_d: float = 16e-5
    decay_start: float = 1.0            # fraction of the steps after which the rates fall to 0 in a line; 1: never, as
                                        # in the authors' code
    adversarial_weight: float = 300.0   # of G and of D, eq. 7
    content_weight: float = 1.5
    style_weight: float = 3.0
    colour_weight: float = 10.0
    real_term: float = 1.0              # weights inside D's loss, eq. 8: the style's pictures,
    fake_term: float = 1.0              # generated pictures,
    grey_term: float = 1.0              # the style's pictures without colour,
    smooth_term: float = 0.1            # and with smoothed edges, without colour
    style_from: Literal["grey", "colour"] = "grey"      # pictures that the style term takes its texture from
    discriminator_dropout: float = 0.0  # share of D's feature maps left out in training
    frozen_network: Literal["vgg19", "mobilenetv2"] = "vgg19"   # whose features content and style are compared in
    frozen_weights: str = ""            # its file; "random": fixed random filters; empty: the published one
    features: str = ""                  # its layer; empty: conv4_4 of VGG19, block6 of MobileNetV2

    def __post_init__(self):
        if not 0 <= self.discriminator_dropout < 1:
            raise ConfigError(f"discriminator_dropout is {self.discriminator_dropout}, should be from 0 to below 1.")


class AnimeGAN(Recipe):
    """Learns photo -> anime; delivers netG."""

    Config, Data, deliver = Config, StyleImages, "netG"

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        self.netG, self.netD = self._generator(), self._discriminator()
        self.opt_G = paddle.optimizer.Adam(cfg.lr_g, beta1=0.5, beta2=0.999, parameters=self.netG.parameters())
        self.opt_D = paddle.optimizer.Adam(cfg.lr_d, beta1=0.5, beta2=0.999, parameters=self.netD.parameters())
        self._features = self._frozen_features()

    def _generator(self):
        return AnimeGANGenerator(self.cfg.channel, self.cfg.n_blocks)

    def _discriminator(self):
        return AnimeGANDiscriminator(norm_type="instance", dropout=self.cfg.discriminator_dropout)

    def _frozen_features(self):
        cfg = self.cfg
        return frozen_features(cfg.frozen_network, cfg.features, cfg.frozen_weights, "frozen_weights")

    def _style_pictures(self, batch):
        """The pictures whose Gram matrix the result should have: without colour, so that only texture is taken over."""
        return batch["anime_grey" if self.cfg.style_from == "grey" else "anime"]

    def train_step(self, batch, step):
        if step < self.cfg.warmup_steps:
            return self._warm_up(batch)
        self._set_rates(step)
        generate = once(lambda part: self.netG(part["photo"]))

        def generator(part):
            terms = self._generator_terms(part["photo"], self._style_pictures(part), generate(part))
            return sum(terms.values()), terms
        losses = update(self.opt_D, lambda part: self._discriminator_loss(part, generate(part).detach()), batch)
        with frozen(self.netD):
            return {**losses, **update(self.opt_G, generator, batch)}

    def _warm_up(self, batch):
        """Content alone, at its own rate: section 3.3."""
        def objective(part):
            photo, fake = part["photo"], self.netG(part["photo"])
            loss = self.cfg.content_weight * perceptual.content(self._features(photo), self._features(fake))
            return loss, {"content": loss}
        self.opt_G.set_lr(self.cfg.warmup_lr)
        return update(self.opt_G, objective, batch)

    def _set_rates(self, step: int) -> None:
        cfg = self.cfg
        since, left = step - cfg.warmup_steps, max(1, self.run.steps - cfg.warmup_steps)
        self.opt_G.set_lr(linear_decay(cfg.lr_g, since, left, cfg.decay_start))
        self.opt_D.set_lr(linear_decay(cfg.lr_d, since, left, cfg.decay_start))

    def _discriminator_loss(self, batch, fake):
        """Real: the style in colour; not real: generated, without colour, with smoothed edges: eq. 8, least squares."""
        cfg = self.cfg
        loss = cfg.adversarial_weight * (
            cfg.real_term * least_squares(self.netD(batch["anime"]), 1.0)
            + cfg.fake_term * least_squares(self.netD(fake), 0.0)
            + cfg.grey_term * least_squares(self.netD(batch["anime_grey"]), 0.0)
            + cfg.smooth_term * least_squares(self.netD(batch["smooth_grey"]), 0.0))
        return loss, {"D": loss}

    def _generator_terms(self, photo, style, fake) -> dict:
        """The weighted terms of eq. 7."""
        cfg = self.cfg
        photo_features, fake_features = self._features(photo), self._features(fake)
        return {
            "adversarial": cfg.adversarial_weight * least_squares(self.netD(fake), 1.0),
            "content": cfg.content_weight * perceptual.content(photo_features, fake_features),
            "style": cfg.style_weight * perceptual.style(self._features(style), fake_features),
            "colour": cfg.colour_weight * perceptual.colour(photo, fake),
        }

    def preview(self, batch):
        return {"photo": batch["photo"], "fake": self.netG(batch["photo"]), "anime": batch["anime"]}


def frozen_features(name: str, layer: str, weights: str, key: str):
    """A function of pictures [N, 3, H, W] in [-1, 1] that gives a frozen network's features at one layer.

    `name` is a key of FROZEN, `layer` one of its taps or empty; `weights` a file, "random", or empty for the published
    ones; `key` is what the YAML calls `weights`. Raises ConfigError for an unknown layer, WeightsError for missing
    weights.
    """
    network_class, usual = FROZEN[name]
    layer = layer or usual
    try:
        network = network_class([layer])                       # random filters, frozen
    except ValueError as error:
        raise ConfigError(f"recipe.features is '{layer}': {error}") from error
    if weights != "random":
        _load_frozen(network, name, weights, key)
    network.eval()
    return lambda images: network(images)[layer]


def _load_frozen(network, name: str, weights: str, key: str) -> None:
    """The file `weights`, or the published one, into `network`; classifier and later layers are left out."""
    try:
        if weights:
            path = resolve(weights)
            load_strict(network, read_weights(path), str(path), optional=("classifier.", "features."))
        else:
            zoo.get(name).load(network)
    except WeightsError as error:
        raise WeightsError(f"The frozen network {name} has no weights ({str(error).rstrip('.')}): give a file "
                           f"by recipe.{key}=FILE, or train with random filters by recipe.{key}=random.") from error

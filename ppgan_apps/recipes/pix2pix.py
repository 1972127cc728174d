"""pix2pix (Isola 2017): a conditional GAN on pairs, with an L1 term; equations of arXiv 1611.07004.

`generator: photo2cartoon` or `animeganv2` puts those networks in the U-Net's place, which is how the embedded models
were distilled from renderings of photographs.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import paddle
import paddle.nn.functional as F

from ..data import PairedImages
from ..errors import ConfigError
from ..losses import logistic_discriminator, logistic_generator
from ..networks.animeganv2 import AnimeGANv2Generator
from ..networks.patchgan import NLayerDiscriminator
from ..networks.photo2cartoon import Photo2CartoonGenerator
from ..networks.unet import UnetGenerator
from ..perceptual import gradient_difference
from ..steps import frozen, linear_decay, once, update
from ..weights import load_strict, read_weights, resolve
from ..widening import widen, width_of
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are those of the paper for photos of 256 px."""

    generator: Literal["unet", "photo2cartoon", "animeganv2", "animeganv2_lite"] = "unet"
    ngf: int = 64                       # width of the generator's first layer (unet, photo2cartoon)
    num_downs: int = 8                  # halvings inside the U-Net: 8 takes 256 px down to one pixel
    norm: Literal["batch", "instance"] = "batch"    # of the U-Net and of D; batch: over the batch at hand, also in use
    ndf: int = 64                       # width of the discriminator's first layer
    n_layers: int = 3                   # 3: each logit sees 70x70 pixels
    start: str = ""                     # weights of a like generator to start from: a file, a checkpoint or a run;
                                        # those of a U-Net with fewer maps are widened
    lr: float = 2e-4                    # Adam
    beta1: float = 0.5
    decay_start: float = 0.5            # fraction of the steps after which the rate falls to 0 in a straight line: the
                                        # authors' PyTorch code; the paper and its Torch code keep the rate (1)
    l1_weight: float = 100.0            # lambda, eq. 4
    gan_weight: float = 1.0             # 0 trains without a discriminator
    warmup_steps: int = 0               # first steps without the discriminator, at a rate of their own
    warmup_lr: float = 2e-3
    edge_weight: float = 0.0            # L1 of the pictures' slopes, for crisp lines; not in the paper


class Pix2Pix(Recipe):
    """Learns A -> B: G(a) close to b, and D(a, b) unable to tell G(a) from b."""

    Config, Data = Config, PairedImages

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        self.G = self._generator(run.data.size)
        if cfg.start:
            self._start_from(resolve(cfg.start))
        self.opt_G = self._adam(self.G)
        if cfg.gan_weight:
            self.D = NLayerDiscriminator(input_nc=6, ndf=cfg.ndf, n_layers=cfg.n_layers, norm_type=cfg.norm)
            self.opt_D = self._adam(self.D)

    def _generator(self, size: int):
        cfg = self.cfg
        if cfg.generator == "unet":
            if size % 2**cfg.num_downs:
                raise ConfigError(f"data.size is {size}, should be a multiple of {2**cfg.num_downs} (2 to num_downs).")
            return UnetGenerator(num_downs=cfg.num_downs, ngf=cfg.ngf, norm_type=cfg.norm)
        if cfg.generator == "photo2cartoon":
            return Photo2CartoonGenerator(ngf=cfg.ngf, img_size=size)
        return AnimeGANv2Generator(lite=cfg.generator == "animeganv2_lite")

    def _start_from(self, path):
        state = read_weights(path)
        if self.cfg.generator == "unet" and 0 < width_of(state) < self.cfg.ngf:
            widen(self.G, state, str(path))
        else:
            load_strict(self.G, state, str(path))

    def _adam(self, network):
        return paddle.optimizer.Adam(self.cfg.lr, beta1=self.cfg.beta1, beta2=0.999, parameters=network.parameters())

    def train_step(self, batch, step):
        cfg = self.cfg
        warming_up = step < cfg.warmup_steps
        rate = cfg.warmup_lr if warming_up else linear_decay(cfg.lr, step, self.run.steps, cfg.decay_start)
        self.opt_G.set_lr(rate)
        generate = once(lambda part: self._generate(part["real_a"]))
        if warming_up or not cfg.gan_weight:
            return update(self.opt_G, lambda part: self._distance(generate(part), part["real_b"]), batch)
        self.opt_D.set_lr(rate)
        losses = update(self.opt_D, lambda part: self._discriminator_loss(part, generate(part).detach()), batch)
        with frozen(self.D):
            return {**losses, **update(self.opt_G, lambda part: self._generator_loss(part, generate(part)), batch)}

    def _distance(self, fake_b, real_b):
        """The weighted distance of the pictures made from those wanted, and its L1 to log."""
        cfg, l1 = self.cfg, F.l1_loss(fake_b, real_b)
        distance = cfg.l1_weight * l1
        if cfg.edge_weight:
            distance = distance + cfg.edge_weight * gradient_difference(fake_b, real_b)
        return distance, {"l1": l1}

    def _generator_loss(self, part, fake_b):
        """Eq. 4: G's part of eq. 1 and the distance."""
        adversarial = logistic_generator(self.D(paddle.concat([part["real_a"], fake_b], 1)))
        distance, logged = self._distance(fake_b, part["real_b"])
        return self.cfg.gan_weight * adversarial + distance, {"G": adversarial, **logged}

    def _discriminator_loss(self, part, fake_b):
        """Half of eq. 1, so that D learns at half of G's pace (section 3.3)."""
        loss = 0.5 * logistic_discriminator(self.D(paddle.concat([part["real_a"], part["real_b"]], 1)),
                                            self.D(paddle.concat([part["real_a"], fake_b], 1)))
        return loss, {"D": loss}

    def _generate(self, real_a):
        fake = self.G(real_a)
        return fake[0] if isinstance(fake, (tuple, list)) else fake      # Photo2Cartoon also returns its attention

    def preview(self, batch):
        return {"real_a": batch["real_a"], "fake_b": self._generate(batch["real_a"]), "real_b": batch["real_b"]}

    def metadata(self):
        return {"input": {"size": self.run.data.size}}

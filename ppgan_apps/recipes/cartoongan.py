"""CartoonGAN (Chen 2018): photo to cartoon from unpaired folders; equations of "CartoonGAN: Generative Adversarial
Networks for Photo Cartoonization" (CVPR 2018).

Cartoons with smoothed edges count as not real, so that the generator draws clear edges. The first steps train it on
content alone (section 3.3).
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from .. import perceptual
from ..data import CartoonImages
from ..losses import binary_cross_entropy, logistic_generator
from ..networks.cartoongan import CartoonGANDiscriminator, CartoonGANGenerator
from ..steps import frozen, once, update
from .animegan import frozen_features
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are those of the paper, which leaves rates and batch open: these are from
    znxlwm/pytorch-CartoonGAN, which divides the rates by 10 after half and three quarters of its epochs."""

    ngf: int = 64                       # width of the generator's first layer
    n_blocks: int = 8                   # residual blocks
    ndf: int = 32                       # width of the discriminator's first layer
    warmup_steps: int = 6750            # steps on content alone: 10 epochs of the paper's 5,402 photos in batches of 8
    lr: float = 2e-4                    # Adam
    beta1: float = 0.5
    content_weight: float = 10.0        # omega, eq. 2
    smooth_term: float = 1.0            # weight of the edge-smoothed cartoons inside D's loss, eq. 3
    features: str = "conv4_4"           # the VGG19 layer that content is compared at
    vgg_weights: str = ""               # file of the VGG19; "random": fixed random filters; empty: the published one


class CartoonGAN(Recipe):
    """Learns photo -> cartoon; delivers netG."""

    Config, Data, deliver = Config, CartoonImages, "netG"

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        self.netG, self.netD = CartoonGANGenerator(cfg.ngf, cfg.n_blocks), CartoonGANDiscriminator(cfg.ndf)
        self.opt_G, self.opt_D = self._adam(self.netG), self._adam(self.netD)
        self._features = frozen_features("vgg19", cfg.features, cfg.vgg_weights, "vgg_weights")

    def _adam(self, network):
        return paddle.optimizer.Adam(self.cfg.lr, beta1=self.cfg.beta1, beta2=0.999, parameters=network.parameters())

    def train_step(self, batch, step):
        generate = once(lambda part: self.netG(part["photo"]))
        if step < self.cfg.warmup_steps:
            return update(self.opt_G, lambda part: self._content(part["photo"], generate(part)), batch)
        losses = update(self.opt_D, lambda part: self._discriminator_loss(part, generate(part).detach()), batch)
        with frozen(self.netD):
            return {**losses, **update(self.opt_G, lambda part: self._generator_loss(part, generate(part)), batch)}

    def _content(self, photo, fake):
        """The weighted content term, eq. 4."""
        content = self.cfg.content_weight * perceptual.content(self._features(photo), self._features(fake))
        return content, {"content": content}

    def _generator_loss(self, batch, fake):
        """Eq. 2."""
        adversarial = logistic_generator(self.netD(fake))
        content, logged = self._content(batch["photo"], fake)
        return adversarial + content, {"adversarial": adversarial, **logged}

    def _discriminator_loss(self, batch, fake):
        """Real: cartoons; not real: cartoons with smoothed edges, generated pictures: eq. 3 as a minimisation."""
        loss = (binary_cross_entropy(self.netD(batch["cartoon"]), 1.0)
                + self.cfg.smooth_term * binary_cross_entropy(self.netD(batch["smooth"]), 0.0)
                + binary_cross_entropy(self.netD(fake), 0.0))
        return loss, {"D": loss}

    def preview(self, batch):
        return {"photo": batch["photo"], "fake": self.netG(batch["photo"]), "cartoon": batch["cartoon"]}

    def metadata(self):
        return {"input": {"size": self.run.data.size, "multiple_of": 4}}

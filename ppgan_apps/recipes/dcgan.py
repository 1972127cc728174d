"""DCGAN (Radford 2016, arXiv 1511.06434): the first GAN's game, played by convolutions with batch normalisation.

`network: avatar` is the 96 px pair with a residual block at the start and a softmax head at the end. Three options, off
by default, are for longer trainings on a few thousand pictures: instance noise, DiffAugment and an averaged generator.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import paddle

from ..augment import diffaugment, share_random
from ..data import LabelledImages
from ..errors import ConfigError
from ..losses import logistic_discriminator, logistic_generator, softmax_discriminator, softmax_generator
from ..networks.dcgan import AvatarDiscriminator, AvatarGenerator, DCGANDiscriminator, DCGANGenerator
from ..sharing import rand, randn
from ..steps import ema
from .gan import GAN


@dataclass
class Networks:
    """The part of the `recipe` section that says how large the networks are; lsgan, wgan, wgan_gp and cgan share it."""

    network: Literal["dcgan", "avatar"] = "dcgan"   # dcgan: 8, 12, 16, 24 ... px; avatar: 96 px
    latent_dim: int = 100               # length of z
    # z is drawn from N(0, 1), as in the authors' dcgan.torch, or evenly from [0, 1); the paper: evenly from [-1, 1]
    latent: Literal["normal", "uniform"] = "normal"
    width: int = 64                     # maps of the layer next to the picture
    norm_momentum: float = 0.9          # share of its running statistics that batch normalisation keeps at each step
    dropout: float = 0.0                # share of D's values dropped after each activation


@dataclass
class Config(Networks):
    """The `recipe` section; defaults are the paper's (section 4)."""

    lr: float = 2e-4                    # Adam, both networks
    beta1: float = 0.5
    beta2: float = 0.999
    instance_noise: float = 0.0         # deviation of the noise on all that D sees, at the first step
    instance_noise_end: float = 0.0     # and at the last; in between along a line
    diffaugment: tuple[Literal["colour", "translation", "cutout"], ...] = ()       # done to all that D sees
    ema_half_life_images: float = 0.0   # of the averaged generator, which is delivered then; 0: there is none

    def __post_init__(self):
        for name in ("instance_noise", "instance_noise_end", "ema_half_life_images"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, should be 0 (none) or more.")


class DCGAN(GAN):
    """The game of gan.py with other networks, other latents and Adam.

    Flat drawings have a white that tanh never reaches, by which D knows them at once and G learns nothing. Noise on the
    real and on the generated pictures, less and less of it, hides that (Sonderby 2017, arXiv 1610.04490, section 3.2).
    DiffAugment (Zhao 2020, arXiv 2006.10738) keeps D from learning few pictures by heart; the average of G's weights
    over many steps (as in Karras 2018, section A) draws with less grain than G itself.
    """

    Config, Data = Config, LabelledImages
    norm = True                         # batch normalisation in D
    outputs = 2                         # logits of the avatar network's D
    noise = 0.0                         # deviation at the step at hand

    def __init__(self, run):
        super().__init__(run)
        self.kinds = getattr(self.cfg, "diffaugment", ())      # the critics' Configs have no such options
        if getattr(self.cfg, "ema_half_life_images", 0):
            self.G_ema, self.deliver = self.networks()[0], "G_ema"
            self.G_ema.set_state_dict(self.G.state_dict())
            self.G_ema.eval()

    def networks(self):
        cfg, size, channels = self.cfg, self.run.data.size, self.run.data.channels
        if cfg.network == "avatar":
            if size != 96 or cfg.latent_dim % 9:
                raise ConfigError(f"data.size is {size} and recipe.latent_dim {cfg.latent_dim}, but the network "
                                  f"'avatar' needs 96 and a multiple of 9.")
            return (AvatarGenerator(cfg.latent_dim, cfg.width, channels, cfg.norm_momentum),
                    AvatarDiscriminator(cfg.width, channels, self.outputs, self.norm, cfg.norm_momentum, cfg.dropout))
        return self.paper_networks()

    def paper_networks(self, classes: int = 0):
        """G and D of the paper, with labels where there are classes. Raises ConfigError for a size they do not have."""
        cfg, size, channels = self.cfg, self.run.data.size, self.run.data.channels
        try:
            return (DCGANGenerator(size, cfg.latent_dim, cfg.width, channels, cfg.norm_momentum, classes),
                    DCGANDiscriminator(size, cfg.width, channels, self.norm, cfg.norm_momentum, cfg.dropout, classes))
        except ValueError as error:
            raise ConfigError(f"data.{error}") from None

    def optimizer(self, network):
        return paddle.optimizer.Adam(self.cfg.lr, beta1=self.cfg.beta1, beta2=self.cfg.beta2,
                                     parameters=network.parameters())

    def train_step(self, batch, step):
        first, last = self.cfg.instance_noise, self.cfg.instance_noise_end
        self.noise = first + (last - first) * step / self.run.steps
        losses = super().train_step(batch, step)
        if self.cfg.ema_half_life_images:
            self.average(batch)
        return losses

    @paddle.no_grad()
    def average(self, batch):
        """Moves G_ema towards G. Its norms' statistics are of what it draws itself: weights that are averages give
        smaller activations than G's, which G's statistics would turn into grey."""
        ema(self.G_ema, self.G, self.cfg.ema_half_life_images, self.run.batch_size, statistics="kept")
        self.G_ema.train()
        self.generate(batch, self.G_ema)
        self.G_ema.eval()

    def judge(self, images, batch):
        return self.D(self.shown(images))

    def shown(self, images):
        """What D sees of `images`."""
        if self.kinds:
            images = diffaugment(images, self.kinds, share_random())
        return images + self.noise * randn(images.shape) if self.noise else images

    def constrain(self):
        """Batch normalisation keeps D in bounds."""

    def latents(self, batch_size: int):
        shape = [batch_size, self.cfg.latent_dim]
        return rand(shape) if self.cfg.latent == "uniform" else randn(shape)

    def discriminator_loss(self, real_logits, fake_logits):
        loss = softmax_discriminator if real_logits.shape[1] == 2 else logistic_discriminator
        return loss(real_logits, fake_logits)

    def generator_loss(self, fake_logits):
        loss = softmax_generator if fake_logits.shape[1] == 2 else logistic_generator
        return loss(fake_logits)

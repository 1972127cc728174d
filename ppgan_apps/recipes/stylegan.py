"""StyleGAN (Karras 2019, arXiv 1812.04948): Progressive GAN with a style-based generator and style mixing.

Defaults are the paper's for FFHQ: the logistic loss with R1 at every step, growing from 8 pixels (configuration F,
appendix C). `loss: wgan_gp` is what the paper takes for CelebA-HQ.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import paddle

from ..data import Images
from ..losses import logistic_discriminator, logistic_generator, r1_penalty
from ..networks.stylegan import StyleGANDiscriminator, StyleGANGenerator
from ..progressive import Growth
from ..sharing import mean_over_processes, randn
from ..steps import full_precision
from .pggan import PGGAN


@dataclass
class Config(Growth):
    """The `recipe` section; defaults are configuration F of the paper."""

    start_size: int = 8                 # pixels on a side at the first step
    stable_kimages: tuple[float, ...] = (600.0,)    # as in the authors' code, here and in the next two
    fade_kimages: tuple[float, ...] = (600.0,)
    lr: tuple[float, ...] = (0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003)   # 8, 16 ... px; Adam, beta1 0
    style_dim: int = 512                # length of z and w
    n_mlp: int = 8                      # layers of the mapping network, which learns at a hundredth of lr
    channel_multiplier: float = 1       # width of the layers at 64 px and above
    channel_max: int = 512              # widest layer
    noise: bool = True                  # false: no noise inputs, for drawn pictures without texture
    loss: Literal["logistic_r1", "wgan_gp"] = "logistic_r1"
    r1_weight: float = 10.0             # gamma of logistic_r1
    penalty_weight: float = 10.0        # lambda of wgan_gp
    drift_weight: float = 0.001         # epsilon of wgan_gp
    mixing: float = 0.9                 # probability of style mixing in a training batch
    ema_half_life_images: float = 10_000.0   # of the averaged generator
    w_decay: float = 0.995              # of the running mean of w, towards which truncation pulls


class StyleGAN(PGGAN):
    """Trains G and D as PGGAN does; delivers G_ema with the stage it was trained to and the mean of w."""

    Config, Data, deliver = Config, Images, "G_ema"

    def __init__(self, run):
        super().__init__(run)
        self.w_mean = paddle.zeros([self.cfg.style_dim])

    def generator(self):
        cfg = self.cfg
        return StyleGANGenerator(self.run.data.size, cfg.style_dim, cfg.n_mlp, cfg.channel_multiplier, cfg.channel_max,
                                 cfg.noise)

    def discriminator(self):
        return StyleGANDiscriminator(self.run.data.size, self.cfg.channel_multiplier, self.cfg.channel_max)

    def train_step(self, batch, step):
        losses = super().train_step(batch, step)
        self.follow_w(len(batch["real"]))
        return losses

    @paddle.no_grad()
    def follow_w(self, batch_size: int) -> None:
        """Moves the running mean of w, towards which truncation pulls, to that of as many new latents."""
        mean = mean_over_processes(self.G.mapping(randn([batch_size, self.cfg.style_dim])).mean(0))
        self.w_mean.set_value(mean + (self.w_mean - mean) * self.cfg.w_decay)

    def discriminator_loss(self, real, fake):
        """Goodfellow 2014, eq. 1, and gamma / 2 times R1 on the same real pictures; or WGAN-GP's."""
        if self.cfg.loss == "wgan_gp":
            return super().discriminator_loss(real, fake)
        real = real.detach()
        real.stop_gradient = False
        with full_precision():
            real_logits = self.D(real)
            penalty = r1_penalty(real, real_logits)
        fake_logits = self.D(fake)
        loss = logistic_discriminator(real_logits, fake_logits.astype(real_logits.dtype))
        return loss + self.cfg.r1_weight / 2 * penalty, {
            "D": loss.detach(), "r1": penalty.detach(), "real": real_logits.detach().mean(),
            "fake": fake_logits.detach().mean()}

    def generator_loss(self, fake_logits):
        return super().generator_loss(fake_logits) if self.cfg.loss == "wgan_gp" else logistic_generator(fake_logits)

    def generate(self, batch_size):
        """Pictures of new latents; with probability `mixing` another latent's styles from a random layer on
        (section 3.1)."""
        w = self.G.mapping(randn([batch_size, self.cfg.style_dim]))
        if paddle.rand([1]).item() >= self.cfg.mixing:
            return self.G.synthesis(w)
        other = self.G.mapping(randn([batch_size, self.cfg.style_dim]))
        return self.G.synthesis(self.G.mix(w, other, int(paddle.randint(1, self.G.n_latent, [1]).item())))

    def sample(self, count):
        return self.G_ema(paddle.randn([count, self.cfg.style_dim]))

    def metadata(self):
        return {**super().metadata(), "w_mean": [round(float(value), 6) for value in self.w_mean.numpy()]}

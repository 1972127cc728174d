"""The first GAN (Goodfellow 2014, arXiv 1406.2661): two networks without convolutions play the minimax game of eq. 1.

The families that follow inherit this step and show what their paper changed: dcgan the networks, lsgan the loss, wgan
the distance, wgan_gp how the critic is kept smooth, cgan what the networks are told.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from ..data import LabelledImages
from ..losses import logistic_discriminator, logistic_generator
from ..networks.mlp import MLPDiscriminator, MLPGenerator
from ..sharing import rand
from ..steps import frozen, update
from .base import Recipe

_SHOWN = 64                                                    # samples in a preview


@dataclass
class Config:
    """The `recipe` section; defaults are those of the authors' experiments on MNIST (mnist.yaml of
    goodfeli/adversarial), whose rate falls by 4e-6 at each step and whose momentum rises to 0.7 over 250 epochs."""

    latent_dim: int = 100               # length of z, uniform in [-1, 1]
    g_width: int = 1200                 # rectified units in each of G's two hidden layers
    d_width: int = 240                  # maxout units in each of D's two hidden layers
    pieces: int = 5                     # linear functions that a maxout unit takes the largest of
    input_dropout: float = 0.2          # share of the pixels that D does not see in training
    dropout: float = 0.5                # share of D's hidden units dropped in training
    column_norm: float = 1.9365         # the weights into each of D's hidden linear functions are kept this short: the
                                        # authors' limit for maxout in other experiments; mnist.yaml has none
    lr: float = 0.1                     # both networks; gradient descent with momentum
    momentum: float = 0.5


class GAN(Recipe):
    """Trains G to fool D, and D to tell real pictures from G's: algorithm 1 with one update of D for each of G."""

    Config, Data = Config, LabelledImages

    def __init__(self, run):
        super().__init__(run)
        self.G, self.D = self.networks()
        self.opt_G, self.opt_D = self.optimizer(self.G), self.optimizer(self.D)

    def networks(self):
        """A new generator and discriminator."""
        cfg, size, channels = self.cfg, self.run.data.size, self.run.data.channels
        return (MLPGenerator(size, cfg.latent_dim, cfg.g_width, channels),
                MLPDiscriminator(size, channels, (cfg.d_width, cfg.d_width), cfg.pieces, cfg.input_dropout,
                                 cfg.dropout))

    def optimizer(self, network):
        """What turns a network's gradient into a step."""
        return paddle.optimizer.Momentum(self.cfg.lr, self.cfg.momentum, parameters=network.parameters())

    def latents(self, batch_size: int):
        """z, [N, latent_dim]."""
        return 2 * rand([batch_size, self.cfg.latent_dim]) - 1

    def train_step(self, batch, step):
        return {**self.train_discriminator(batch), **self.train_generator(batch)}

    def train_discriminator(self, batch) -> dict:
        """One update of D; G's pictures count as given."""
        def objective(part):
            with paddle.no_grad():
                fake = self.generate(part)
            loss = self.discriminator_loss(self.judge(part["real"], part), self.judge(fake, part))
            return loss, {"D": loss}
        losses = update(self.opt_D, objective, batch)
        self.constrain()
        return losses

    def constrain(self) -> None:
        """What keeps D in bounds after each update: without short columns, dropout and this rate diverge."""
        shorten_columns(self.D.hidden, self.cfg.column_norm)

    def train_generator(self, batch) -> dict:
        """One update of G, on new latents; D only passes the gradient on."""
        def objective(part):
            loss = self.generator_loss(self.judge(self.generate(part), part))
            return loss, {"G": loss}
        with frozen(self.D):
            return update(self.opt_G, objective, batch)

    def generate(self, batch, generator=None):
        """As many pictures as the batch has, [N, C, H, W], by G or another `generator`."""
        return (generator or self.G)(self.latents(len(batch["real"])))

    def judge(self, images, batch):
        """D's logits of `images`."""
        return self.D(images)

    def discriminator_loss(self, real_logits, fake_logits):
        """Eq. 1, D's part."""
        return logistic_discriminator(real_logits, fake_logits)

    def generator_loss(self, fake_logits):
        """The form of section 3 that does not saturate."""
        return logistic_generator(fake_logits)

    def samples(self, batch):
        return self.generate(batch, self.delivered)

    def preview(self, batch):
        return {"fake": self.delivered(self.latents(_SHOWN))}


@paddle.no_grad()
def shorten_columns(layers, limit: float) -> None:
    """Scales every column of the linear `layers`' weights [inputs, outputs] that is longer than `limit` to it."""
    for layer in layers:
        lengths = (layer.weight ** 2).sum(0, keepdim=True).sqrt()              # [1, outputs]
        layer.weight.set_value(layer.weight * (limit / lengths.clip(min=limit)))

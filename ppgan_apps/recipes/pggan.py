"""Progressive GAN (Karras 2018, arXiv 1710.10196): both networks grow from 4 pixels, each new resolution is faded in.

The loss is WGAN-GP's with one update of the critic for each of G and a small term against drift (appendix A.1).
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from ..data import Images
from ..errors import ConfigError
from ..losses import gradient_penalty, wasserstein_discriminator, wasserstein_generator
from ..networks.pggan import PGGANDiscriminator, PGGANGenerator, double, resize_real
from ..progressive import Growth, Stage, at
from ..sharing import rand, randn
from ..steps import ema, frozen, full_precision, update
from .base import Recipe

_SHOWN = 16                                                    # samples in a preview


@dataclass
class Config(Growth):
    """The `recipe` section; defaults are the paper's."""

    latent_dim: int = 512               # length of z
    channel_multiplier: float = 1       # width of the layers at 64 px and above
    channel_max: int = 512              # widest layer
    lr: tuple[float, ...] = (0.001,)    # both networks, from start_size on; Adam with beta1 0, beta2 0.99
    penalty_weight: float = 10.0        # lambda of the gradient penalty
    drift_weight: float = 0.001         # epsilon of the term that keeps D(x) near 0
    ema_half_life_images: float = 11_000.0   # of the averaged generator: 0.999 for each step of 16 pictures


class PGGAN(Recipe):
    """Trains G and D; delivers G_ema, the average of G, with the stage it was trained to."""

    Config, Data, deliver = Config, Images, "G_ema"

    def __init__(self, run):
        super().__init__(run)
        cfg, size = self.cfg, run.data.size
        if size & (size - 1) or not max(8, cfg.start_size) <= size <= 1024:
            raise ConfigError(f"data.size is {size}, should be a power of two from 8 to 1024, and start_size at most.")
        if not cfg.lr or min(cfg.lr) < 0:
            raise ConfigError(f"recipe.lr is {list(cfg.lr)}, should be one number or more, none below 0.")
        self.G, self.G_ema, self.D = self.generator(), self.generator(), self.discriminator()
        self.G_ema.set_state_dict(self.G.state_dict())
        self.G_ema.eval()
        self.opt_G, self.opt_D = (paddle.optimizer.Adam(cfg.lr[0], beta1=0.0, beta2=0.99, epsilon=1e-8,
                                                        parameters=network.parameters())
                                  for network in (self.G, self.D))
        self.grow(0)

    def generator(self):
        """A new generator."""
        cfg = self.cfg
        return PGGANGenerator(self.run.data.size, cfg.latent_dim, cfg.channel_multiplier, cfg.channel_max)

    def discriminator(self):
        """A new discriminator."""
        return PGGANDiscriminator(self.run.data.size, self.cfg.channel_multiplier, self.cfg.channel_max)

    def grow(self, step: int) -> Stage:
        """Brings networks and learning rates to the stage of `step`, which follows from the pictures shown before."""
        stage = self.cfg.stage(step * self.run.batch_size, self.run.data.size)
        for network in (self.G, self.G_ema, self.D):
            network.grow_to(*stage)
        doublings = (stage.resolution // self.cfg.start_size).bit_length() - 1
        for optimizer in (self.opt_G, self.opt_D):
            optimizer.set_lr(at(self.cfg.lr, doublings))
        return stage

    def at_step(self, step):
        self.grow(max(0, step - 1))                            # the stage of the last update

    def train_step(self, batch, step):
        stage = self.grow(step)
        batch = {"real": resize_real(batch["real"], *stage)}
        losses = {**self.train_discriminator(batch), **self.train_generator(batch)}
        ema(self.G_ema, self.G, self.cfg.ema_half_life_images, self.run.batch_size)
        return {"resolution": stage.resolution, "alpha": stage.alpha, **losses}

    def train_discriminator(self, batch) -> dict:
        """One update of D; G's pictures count as given."""
        def objective(part):
            with paddle.no_grad():
                fake = self.generate(len(part["real"]))
            return self.discriminator_loss(part["real"], fake)
        return self.descend(self.opt_D, objective, batch)

    def descend(self, optimizer, objective, batch) -> dict:
        """One update of the layers in use. Those of a resolution that has faded out get no gradient from then on: one
        of zero, which Paddle would leave, still counts as a step of Adam, but not after a restart."""
        losses = update(optimizer, objective, batch)
        optimizer.clear_grad(set_to_zero=False)
        return losses

    def discriminator_loss(self, real, fake) -> tuple:
        """(what D descends, the scalars to log): Gulrajani 2017, eq. 3, and epsilon E[D(x)^2] (appendix A.1)."""
        cfg = self.cfg
        real_logits, fake_logits = self.D(real), self.D(fake)
        distance = wasserstein_discriminator(real_logits, fake_logits)
        drift = (real_logits ** 2).mean()
        with full_precision():
            penalty = self.penalty(real, fake.astype(real.dtype))
            loss = (distance + cfg.drift_weight * drift).astype(penalty.dtype) + cfg.penalty_weight * penalty
        return loss, {"D": distance.detach(), "penalty": penalty.detach(), "drift": drift.detach()}

    def penalty(self, real, fake):
        """The gradient penalty at one point of each line from a real to a generated picture."""
        share = rand([len(real), 1, 1, 1]).astype(real.dtype)
        points = (share * real + (1 - share) * fake).detach()
        points.stop_gradient = False
        return gradient_penalty(points, self.D(points))

    def train_generator(self, batch) -> dict:
        """One update of G, on new latents; D only passes the gradient on."""
        def objective(part):
            loss = self.generator_loss(self.D(self.generate(len(part["real"]))))
            return loss, {"G": loss}
        with frozen(self.D):
            return self.descend(self.opt_G, objective, batch)

    def generator_loss(self, fake_logits):
        """What G descends."""
        return wasserstein_generator(fake_logits)

    def generate(self, batch_size: int):
        """Pictures of new latents, at the present stage."""
        return self.G(randn([batch_size, self.cfg.latent_dim]))

    def sample(self, count: int):
        """Pictures of the averaged generator."""
        return self.G_ema(paddle.randn([count, self.cfg.latent_dim]))

    def preview(self, batch):
        pictures = self.sample(_SHOWN)
        while pictures.shape[-1] < self.run.data.size:
            pictures = double(pictures)
        return {"fake": pictures}

    def metadata(self):
        return {"resolution": self.G_ema.resolution, "alpha": self.G_ema.alpha}

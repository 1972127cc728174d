"""WGAN-GP (Gulrajani 2017, arXiv 1704.00028): WGAN whose critic is kept smooth by a penalty in place of clipping.

The penalty is about single pictures, so the critic has no batch normalisation (section 4).
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from ..data import LabelledImages
from ..losses import gradient_penalty
from ..sharing import rand
from ..steps import full_precision, update
from .dcgan import DCGAN, Networks
from .wgan import WGAN, check_critic_steps


@dataclass
class Config(Networks):
    """The `recipe` section; defaults are those of algorithm 1."""

    penalty_weight: float = 10.0        # lambda
    lr: float = 1e-4                    # Adam, both networks
    beta1: float = 0.0
    beta2: float = 0.9
    critic_steps: int = 5               # updates of the critic for each of G

    def __post_init__(self):
        check_critic_steps(self.critic_steps)


class WGANGP(WGAN):
    """WGAN with eq. 3 of the paper as the critic's loss, and Adam."""

    Config, Data = Config, LabelledImages
    norm = False

    def optimizer(self, network):
        return DCGAN.optimizer(self, network)

    def train_discriminator(self, batch):
        def objective(part):
            real = part["real"]
            with paddle.no_grad():
                fake = self.generate(part)
            loss = self.discriminator_loss(self.judge(real, part), self.judge(fake, part))
            with full_precision():
                penalty = self.penalty(real, fake.astype(real.dtype), part)
            return loss.astype(penalty.dtype) + self.cfg.penalty_weight * penalty, {"D": loss, "penalty": penalty}
        return update(self.opt_D, objective, batch)

    def constrain(self):
        """The penalty keeps the critic smooth: nothing is clipped."""

    def penalty(self, real, fake, batch):
        """The penalty at one point of each line from a real to a generated picture: lines 4 to 7 of algorithm 1."""
        share = rand([len(real), 1, 1, 1])
        points = (share * real + (1 - share) * fake).detach()
        points.stop_gradient = False
        return gradient_penalty(points, self.judge(points, batch))

"""WGAN (Arjovsky 2017, arXiv 1701.07875): D becomes a critic that measures the Wasserstein distance, clipped weights.

No sigmoid, no logarithm: algorithm 1 of the paper. A step is one update of the critic on a batch of its own; the
generator is updated at every `critic_steps`-th step.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from ..data import LabelledImages
from ..errors import ConfigError
from ..losses import wasserstein_discriminator, wasserstein_generator
from .dcgan import DCGAN, Networks


@dataclass
class Config(Networks):
    """The `recipe` section; defaults are the paper's."""

    lr: float = 5e-5                    # RMSProp, both networks; momentum makes a critic unstable (section 4)
    critic_steps: int = 5               # updates of the critic for each of G; in the authors' code 100 for the first 25
                                        # of G and for every 500th
    clip: float = 0.01                  # c: the critic's weights stay in [-c, c]

    def __post_init__(self):
        check_critic_steps(self.critic_steps)


def check_critic_steps(steps: int) -> None:
    """Raises ConfigError for less than one update of the critic."""
    if steps < 1:
        raise ConfigError(f"critic_steps is {steps}, should be 1 or more.")


class WGAN(DCGAN):
    """DCGAN whose D is a critic, trained `critic_steps` times as often as G."""

    Config, Data = Config, LabelledImages
    outputs = 1

    def optimizer(self, network):
        return paddle.optimizer.RMSProp(self.cfg.lr, rho=0.99, epsilon=1e-8, parameters=network.parameters())

    def train_step(self, batch, step):
        losses = self.train_discriminator(batch)
        if (step + 1) % self.cfg.critic_steps == 0:
            losses.update(self.train_generator(batch))
        return losses

    def constrain(self):
        clip_weights(self.D, self.cfg.clip)

    def discriminator_loss(self, real_logits, fake_logits):
        """Minus the estimate of the distance: lines 5 and 6 of algorithm 1."""
        return wasserstein_discriminator(real_logits, fake_logits)

    def generator_loss(self, fake_logits):
        """Line 10 of algorithm 1."""
        return wasserstein_generator(fake_logits)


@paddle.no_grad()
def clip_weights(network, limit: float) -> None:
    """Keeps every trained number of `network` in [-limit, limit]: Arjovsky 2017, algorithm 1, line 7."""
    for parameter in network.parameters():
        if not parameter.stop_gradient:                        # Paddle lists a batch norm's statistics as parameters
            parameter.set_value(parameter.clip(-limit, limit))

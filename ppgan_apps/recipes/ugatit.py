"""U-GAT-IT (Kim 2020): attention by class activation maps and AdaLIN, from two folders; equations of arXiv 1907.10830.

Two generators and four discriminators: a global and a local one for each domain.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from ..data import UnpairedImages
from ..losses import binary_cross_entropy, least_squares, least_squares_discriminator
from ..networks.ugatit import UGATITDiscriminator, UGATITGenerator
from ..steps import frozen, linear_decay, once, update
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are those of the paper for pictures of 256 px."""

    ngf: int = 64                       # width of the generators' first layer
    n_blocks: int = 4                   # residual blocks in encoder and decoder
    light: bool = False                 # style from pooled features, not the whole map: 10.6 M parameters, not 278 M
    ndf: int = 64                       # width of the discriminators' first layer
    global_layers: int = 7              # depth of the global discriminators
    local_layers: int = 5               # depth of the local discriminators
    lr: float = 1e-4                    # Adam
    weight_decay: float = 1e-4
    decay_start: float = 0.5            # fraction of the steps after which the rate falls to 0 in a straight line
    adversarial_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    cam_weight: float = 1000.0


class UGATIT(Recipe):
    """Learns A -> B and back; delivers genA2B."""

    Config, Data, deliver = Config, UnpairedImages, "genA2B"

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        self.genA2B, self.genB2A = self._generator(), self._generator()
        self.disGA, self.disGB = (UGATITDiscriminator(ndf=cfg.ndf, n_layers=cfg.global_layers) for _ in "AB")
        self.disLA, self.disLB = (UGATITDiscriminator(ndf=cfg.ndf, n_layers=cfg.local_layers) for _ in "AB")
        self.opt_G = self._adam(self.genA2B, self.genB2A)
        self.opt_D = self._adam(self.disGA, self.disGB, self.disLA, self.disLB)

    def _generator(self):
        """A network that returns (image, attention logits [N, 2], heatmap)."""
        cfg = self.cfg
        return UGATITGenerator(ngf=cfg.ngf, n_blocks=cfg.n_blocks, img_size=self.run.data.size, light=cfg.light)

    def _adam(self, *networks):
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return paddle.optimizer.Adam(self.cfg.lr, beta1=0.5, beta2=0.999, parameters=parameters,
                                     weight_decay=self.cfg.weight_decay)

    def train_step(self, batch, step):
        rate = linear_decay(self.cfg.lr, step, self.run.steps, self.cfg.decay_start)
        self.opt_G.set_lr(rate)
        self.opt_D.set_lr(rate)
        fakes = once(lambda part: (*self.genB2A(part["real_b"])[:2], *self.genA2B(part["real_a"])[:2]))

        def discriminators(part):
            fake_a, _, fake_b, _ = fakes(part)
            loss = self._discriminator_loss(part["real_a"], fake_a.detach(), self.disGA, self.disLA)
            loss = loss + self._discriminator_loss(part["real_b"], fake_b.detach(), self.disGB, self.disLB)
            return self.cfg.adversarial_weight * loss, {"D": loss}

        def generators(part):
            fake_a, fake_a_cam, fake_b, fake_b_cam = fakes(part)
            terms = self._generator_terms(part["real_a"], part["real_b"], fake_a, fake_b, fake_a_cam, fake_b_cam)
            return sum(terms.values()), terms
        losses = update(self.opt_D, discriminators, batch)
        with frozen(self.disGA, self.disGB, self.disLA, self.disLB):
            losses.update(update(self.opt_G, generators, batch))
        for generator in (self.genA2B, self.genB2A):
            clip_rho(generator)
        return losses

    def _discriminator_loss(self, real, fake, *discriminators):
        """Least squares over the logits and the attention logits of each discriminator: section 2.2.1."""
        loss = 0.0
        for discriminator in discriminators:
            real_logits, real_cam, _ = discriminator(real)
            fake_logits, fake_cam, _ = discriminator(fake)
            loss = loss + least_squares_discriminator(real_logits, fake_logits)
            loss = loss + least_squares_discriminator(real_cam, fake_cam)
        return loss

    def _generator_terms(self, real_a, real_b, fake_a, fake_b, fake_a_cam, fake_b_cam) -> dict:
        """The weighted terms of the full objective, eq. 7."""
        cfg = self.cfg
        same_a, same_a_cam, _ = self.genB2A(real_a)
        same_b, same_b_cam, _ = self.genA2B(real_b)
        back_a, back_b = self.genB2A(fake_b)[0], self.genA2B(fake_a)[0]
        adversarial = self._fool(fake_a, self.disGA, self.disLA) + self._fool(fake_b, self.disGB, self.disLB)
        cam = (binary_cross_entropy(fake_a_cam, 1.0) + binary_cross_entropy(same_a_cam, 0.0)
               + binary_cross_entropy(fake_b_cam, 1.0) + binary_cross_entropy(same_b_cam, 0.0))
        return {
            "adversarial": cfg.adversarial_weight * adversarial,
            "cycle": cfg.cycle_weight * (F.l1_loss(back_a, real_a) + F.l1_loss(back_b, real_b)),
            "identity": cfg.identity_weight * (F.l1_loss(same_a, real_a) + F.l1_loss(same_b, real_b)),
            "cam": cfg.cam_weight * cam,
        }

    @staticmethod
    def _fool(fake, *discriminators):
        loss = 0.0
        for discriminator in discriminators:
            logits, cam, _ = discriminator(fake)
            loss = loss + least_squares(logits, 1.0) + least_squares(cam, 1.0)
        return loss

    def preview(self, batch):
        fake_b = self.genA2B(batch["real_a"])[0]
        return {"real_a": batch["real_a"], "fake_b": fake_b, "back_a": self.genB2A(fake_b)[0],
                "real_b": batch["real_b"], "fake_a": self.genB2A(batch["real_b"])[0]}


@paddle.no_grad()
def clip_rho(network) -> None:
    """Keeps every mixing ratio in [0, 1]: rho of AdaLIN and LIN (Kim 2020, eq. 2), and those of Photo2Cartoon's soft
    AdaLIN, as its authors do (WClipper in minivision-ai/photo2cartoon)."""
    for name, parameter in network.named_parameters():
        if name.rsplit(".", 1)[-1] in ("rho", "w_gamma", "w_beta"):
            parameter.set_value(parameter.clip(0.0, 1.0))

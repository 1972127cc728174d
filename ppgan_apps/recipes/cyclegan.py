"""CycleGAN (Zhu 2017): two generators that undo each other, from two folders; equations of arXiv 1703.10593.

Each discriminator sees a pool of earlier pictures beside the newest ones (section 4, after Shrivastava 2017).
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F

from ..data import UnpairedImages
from ..errors import ConfigError
from ..losses import least_squares_discriminator, least_squares_generator
from ..networks.patchgan import NLayerDiscriminator
from ..networks.resnet import ResnetGenerator
from ..sharing import gather, own, together
from ..steps import frozen, linear_decay, update
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are those of the paper for pictures of 256 px."""

    ngf: int = 64                       # width of the generators' first layer
    n_blocks: int = 9                   # residual blocks: 9 for 256 px, 6 for 128 px
    ndf: int = 64                       # width of the discriminators' first layer
    n_layers: int = 3                   # 3: each logit sees 70x70 pixels
    lr: float = 2e-4                    # Adam
    beta1: float = 0.5
    decay_start: float = 0.5            # fraction of the steps after which the rate falls to 0 in a straight line
    cycle_weight: float = 10.0          # lambda, eq. 3
    identity_weight: float = 0.5        # identity term, as a share of cycle_weight; 0 leaves it out. In the paper it is
                                        # for paintings to photos (section 5.2), in the authors' PyTorch code for all
    pool_size: int = 50                 # earlier pictures kept for each discriminator; 0: none

    def __post_init__(self):
        if self.pool_size < 0:
            raise ConfigError(f"pool_size is {self.pool_size}, should be 0 or more.")


class CycleGAN(Recipe):
    """Learns A -> B (netG_A) and back (netG_B); netD_A judges what netG_A makes, netD_B what netG_B makes."""

    Config, Data, deliver = Config, UnpairedImages, "netG_A"

    def __init__(self, run):
        super().__init__(run)
        cfg, size = self.cfg, run.data.size
        if size % 4:
            raise ConfigError(f"data.size is {size}, should be a multiple of 4.")
        self.netG_A, self.netG_B = (ResnetGenerator(ngf=cfg.ngf, n_blocks=cfg.n_blocks) for _ in "AB")
        self.netD_A, self.netD_B = (NLayerDiscriminator(input_nc=3, ndf=cfg.ndf, n_layers=cfg.n_layers,
                                                        norm_type="instance") for _ in "AB")
        self.opt_G = self._adam(self.netG_A, self.netG_B)
        self.opt_D = self._adam(self.netD_A, self.netD_B)
        if cfg.pool_size:
            self.pool_a, self.pool_b = (paddle.zeros([cfg.pool_size, 3, size, size]) for _ in "AB")

    def _adam(self, *networks):
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return paddle.optimizer.Adam(self.cfg.lr, beta1=self.cfg.beta1, beta2=0.999, parameters=parameters)

    def train_step(self, batch, step):
        rate = linear_decay(self.cfg.lr, step, self.run.steps, self.cfg.decay_start)
        self.opt_G.set_lr(rate)
        self.opt_D.set_lr(rate)
        made_a, made_b = [], []

        def objective(part):
            fake_a, fake_b, terms = self._generator_terms(part["real_a"], part["real_b"])
            made_a.append(fake_a.detach())
            made_b.append(fake_b.detach())
            return sum(terms.values()), terms
        with frozen(self.netD_A, self.netD_B):
            terms = update(self.opt_G, objective, batch)
        fake_a, fake_b = self._from_pools(together(made_a), together(made_b), step)
        return {**self._train_discriminators({**batch, "fake_a": fake_a, "fake_b": fake_b}), **terms}

    def _generator_terms(self, real_a, real_b):
        """The pictures made and the weighted terms of eq. 3, with the identity term of section 5.2."""
        cfg = self.cfg
        fake_b, fake_a = self.netG_A(real_a), self.netG_B(real_b)
        back_a, back_b = self.netG_B(fake_b), self.netG_A(fake_a)
        adversarial = least_squares_generator(self.netD_A(fake_b)) + least_squares_generator(self.netD_B(fake_a))
        terms = {"adversarial": adversarial,
                 "cycle": cfg.cycle_weight * (F.l1_loss(back_a, real_a) + F.l1_loss(back_b, real_b))}       # eq. 2
        if cfg.identity_weight:
            identity = F.l1_loss(self.netG_A(real_b), real_b) + F.l1_loss(self.netG_B(real_a), real_a)
            terms["identity"] = cfg.cycle_weight * cfg.identity_weight * identity
        return fake_a, fake_b, terms

    def _from_pools(self, fake_a, fake_b, step: int):
        """What the discriminators are shown in place of the newest pictures. Every process keeps the same pools."""
        fake_a, fake_b = fake_a.astype("float32"), fake_b.astype("float32")
        if not self.cfg.pool_size:
            return fake_a, fake_b
        random = np.random.default_rng([self.run.seed, 3, step])     # pools resume exactly without a saved state
        seen = step * self.run.batch_size
        shown_a = exchange(self.pool_a, gather(fake_a), seen, random)
        return own(shown_a), own(exchange(self.pool_b, gather(fake_b), seen, random))

    def _train_discriminators(self, batch):
        """Half of the least squares, so that D learns at half of G's pace (section 7.1)."""
        def objective(part):
            loss_a = 0.5 * least_squares_discriminator(self.netD_A(part["real_b"]), self.netD_A(part["fake_b"]))
            loss_b = 0.5 * least_squares_discriminator(self.netD_B(part["real_a"]), self.netD_B(part["fake_a"]))
            return loss_a + loss_b, {"D_A": loss_a, "D_B": loss_b}
        return update(self.opt_D, objective, batch)

    def samples(self, batch):
        return self.netG_A(batch["real_a"])

    def preview(self, batch):
        fake_b, fake_a = self.netG_A(batch["real_a"]), self.netG_B(batch["real_b"])
        return {"real_a": batch["real_a"], "fake_b": fake_b, "back_a": self.netG_B(fake_b),
                "real_b": batch["real_b"], "fake_a": fake_a, "back_b": self.netG_A(fake_a)}

    def metadata(self):
        return {"input": {"size": self.run.data.size, "multiple_of": 4}}


@paddle.no_grad()
def exchange(pool, pictures, seen: int, random: np.random.Generator):
    """Pictures to show a discriminator in place of `pictures`, [N, 3, H, W]; the pool changes in place.

    While the pool [K, 3, H, W] fills, each picture goes in and is shown itself. Then with probability 1/2 an older
    picture is shown and the new one takes its place, else the new one is shown and forgotten (Shrivastava 2017,
    section 2.3). `seen` is the number of pictures that came before these.
    """
    shown = []
    for index in range(len(pictures)):
        picture = pictures[index:index + 1]                          # [1, 3, H, W]
        filled = seen + index
        if filled < len(pool):
            pool[filled:filled + 1] = picture
        elif random.random() < 0.5:
            place = int(random.integers(len(pool)))
            older = pool[place:place + 1].clone()
            pool[place:place + 1] = picture
            picture = older
        shown.append(picture)
    return paddle.concat(shown)

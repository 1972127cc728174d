"""Photo2Cartoon: U-GAT-IT with an hourglass generator and Soft-AdaLIN (Kim 2020, arXiv 1907.10830; Minivision 2020).

Two generators and four discriminators (a global and a local one for each domain); cycle, identity and attention (CAM)
terms, and a Face-ID term that keeps the person: the cosine distance of a frozen MobileFaceNet's embeddings.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from .. import zoo
from ..data import UnpairedImages
from ..losses import binary_cross_entropy, least_squares, least_squares_discriminator
from ..networks.mobilefacenet import MobileFaceNet
from ..networks.photo2cartoon import Photo2CartoonGenerator
from ..networks.ugatit import UGATITDiscriminator
from ..steps import frozen, linear_decay, update
from ..weights import load_strict, read_weights, resolve
from .base import Recipe


@dataclass
class Config:
    """The `recipe` section; defaults are those that the published weights were trained with."""

    ngf: int = 32                       # width of the generators' first layer
    n_blocks: int = 4                   # residual blocks in encoder and decoder
    light: bool = True                  # attention parameters from pooled features, not from the whole map
    ndf: int = 32                       # width of the discriminators' first layer
    global_layers: int = 7              # depth of the global discriminators
    local_layers: int = 5               # depth of the local discriminators
    lr: float = 1e-4                    # Adam
    weight_decay: float = 1e-4
    decay_start: float = 0.5            # fraction of the steps after which the rate falls to 0 in a straight line
    adversarial_weight: float = 1.0
    cycle_weight: float = 50.0
    identity_weight: float = 10.0
    cam_weight: float = 1000.0
    face_id_weight: float = 1.0         # 0 trains without the face network
    face_id_weights: str = ""           # file of the MobileFaceNet; empty: the published one


class Photo2Cartoon(Recipe):
    """Learns photo (A) -> cartoon (B) and back from two folders; delivers genA2B."""

    Config, Data, deliver = Config, UnpairedImages, "genA2B"

    def __init__(self, run):
        super().__init__(run)
        cfg = self.cfg
        shape = {"ngf": cfg.ngf, "img_size": run.data.size, "n_blocks": cfg.n_blocks, "light": cfg.light}
        self.genA2B, self.genB2A = Photo2CartoonGenerator(**shape), Photo2CartoonGenerator(**shape)
        self.disGA, self.disGB = (UGATITDiscriminator(ndf=cfg.ndf, n_layers=cfg.global_layers) for _ in "AB")
        self.disLA, self.disLB = (UGATITDiscriminator(ndf=cfg.ndf, n_layers=cfg.local_layers) for _ in "AB")
        self.opt_G = self._adam(self.genA2B, self.genB2A)
        self.opt_D = self._adam(self.disGA, self.disGB, self.disLA, self.disLB)
        self._face_network = self._load_face_network() if cfg.face_id_weight else None

    def _adam(self, *networks):
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return paddle.optimizer.Adam(self.cfg.lr, beta1=0.5, beta2=0.999, parameters=parameters,
                                     weight_decay=self.cfg.weight_decay)

    def _load_face_network(self):
        network = MobileFaceNet()
        if self.cfg.face_id_weights:
            path = resolve(self.cfg.face_id_weights)
            load_strict(network, read_weights(path), str(path))
        else:
            zoo.get("faces/mobilefacenet").load(network)
        network.eval()
        for parameter in network.parameters():
            parameter.stop_gradient = True
        return network

    def train_step(self, batch, step):
        rate = linear_decay(self.cfg.lr, step, self.run.steps, self.cfg.decay_start)
        self.opt_G.set_lr(rate)
        self.opt_D.set_lr(rate)
        real_a, real_b = batch["real_a"], batch["real_b"]
        fake_b, fake_b_cam, _ = self.genA2B(real_a)
        fake_a, fake_a_cam, _ = self.genB2A(real_b)
        loss_d = self._discriminator_loss(real_a, fake_a.detach(), self.disGA, self.disLA)
        loss_d = loss_d + self._discriminator_loss(real_b, fake_b.detach(), self.disGB, self.disLB)
        update(self.opt_D, self.cfg.adversarial_weight * loss_d)
        with frozen(self.disGA, self.disGB, self.disLA, self.disLB):
            terms = self._generator_terms(real_a, real_b, fake_a, fake_b, fake_a_cam, fake_b_cam)
            update(self.opt_G, sum(terms.values()))
        for generator in (self.genA2B, self.genB2A):
            clip_rho(generator)
        return {"D": loss_d.detach(), **{name: term.detach() for name, term in terms.items()}}

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
        """The weighted terms of the full objective, eq. 7, and the Face-ID term."""
        cfg = self.cfg
        same_a, same_a_cam, _ = self.genB2A(real_a)
        same_b, same_b_cam, _ = self.genA2B(real_b)
        back_a, back_b = self.genB2A(fake_b)[0], self.genA2B(fake_a)[0]
        adversarial = self._fool(fake_a, self.disGA, self.disLA) + self._fool(fake_b, self.disGB, self.disLB)
        cam = (binary_cross_entropy(fake_a_cam, 1.0) + binary_cross_entropy(same_a_cam, 0.0)
               + binary_cross_entropy(fake_b_cam, 1.0) + binary_cross_entropy(same_b_cam, 0.0))
        terms = {
            "adversarial": cfg.adversarial_weight * adversarial,
            "cycle": cfg.cycle_weight * (F.l1_loss(back_a, real_a) + F.l1_loss(back_b, real_b)),
            "identity": cfg.identity_weight * (F.l1_loss(same_a, real_a) + F.l1_loss(same_b, real_b)),
            "cam": cfg.cam_weight * cam,
        }
        if cfg.face_id_weight:
            face_id = self._face_distance(real_a, fake_b) + self._face_distance(real_b, fake_a)
            terms["face_id"] = cfg.face_id_weight * face_id
        return terms

    @staticmethod
    def _fool(fake, *discriminators):
        loss = 0.0
        for discriminator in discriminators:
            logits, cam, _ = discriminator(fake)
            loss = loss + least_squares(logits, 1.0) + least_squares(cam, 1.0)
        return loss

    def _face_distance(self, real, fake):
        """1 - cosine of the two embeddings; the reference gets no gradient."""
        with paddle.no_grad():
            anchor = self._embed(real)
        return 1 - F.cosine_similarity(anchor, self._embed(fake)).mean()

    def _embed(self, images):
        """The face embedding [N, 512] of pictures in [-1, 1], at the 112 px that the network was trained with."""
        return self._face_network(F.interpolate(images, size=[112, 112], mode="bilinear"))

    def preview(self, batch):
        fake_b = self.genA2B(batch["real_a"])[0]
        return {"real_a": batch["real_a"], "fake_b": fake_b, "back_a": self.genB2A(fake_b)[0],
                "real_b": batch["real_b"], "fake_a": self.genB2A(batch["real_b"])[0]}


@paddle.no_grad()
def clip_rho(network) -> None:
    """Keeps every mixing ratio rho of AdaLIN and LIN in [0, 1]: Kim 2020, eq. 2."""
    for name, parameter in network.named_parameters():
        if name.rsplit(".", 1)[-1] == "rho":
            parameter.set_value(parameter.clip(0.0, 1.0))

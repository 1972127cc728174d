"""Photo2Cartoon: U-GAT-IT with an hourglass generator, Soft-AdaLIN and a Face-ID term (Minivision 2020).

The Face-ID term keeps the person: the cosine distance of a frozen MobileFaceNet's embeddings before and after.
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from .. import zoo
from ..networks.mobilefacenet import MobileFaceNet, recognisable_face
from ..networks.photo2cartoon import Photo2CartoonGenerator
from ..weights import load_strict, read_weights, resolve
from . import ugatit


@dataclass
class Config(ugatit.Config):
    """The `recipe` section: U-GAT-IT's, with the numbers that the published weights were trained with."""

    ngf: int = 32
    light: bool = True
    ndf: int = 32
    cycle_weight: float = 50.0
    face_id_weight: float = 1.0         # 0 trains without the face network
    face_id_weights: str = ""           # file of the MobileFaceNet; empty: the published one


class Photo2Cartoon(ugatit.UGATIT):
    """Learns photo (A) -> cartoon (B) and back from two folders; delivers genA2B."""

    Config = Config

    def __init__(self, run):
        super().__init__(run)
        self._face_network = self._load_face_network() if self.cfg.face_id_weight else None

    def _generator(self):
        cfg = self.cfg
        return Photo2CartoonGenerator(ngf=cfg.ngf, img_size=self.run.data.size, n_blocks=cfg.n_blocks, light=cfg.light)

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

    def _generator_terms(self, real_a, real_b, fake_a, fake_b, fake_a_cam, fake_b_cam) -> dict:
        """U-GAT-IT's terms and the weighted Face-ID term."""
        terms = super()._generator_terms(real_a, real_b, fake_a, fake_b, fake_a_cam, fake_b_cam)
        if self.cfg.face_id_weight:
            face_id = self._face_distance(real_a, fake_b) + self._face_distance(real_b, fake_a)
            terms["face_id"] = self.cfg.face_id_weight * face_id
        return terms

    def _face_distance(self, real, fake):
        """1 - cosine of the two embeddings; the reference gets no gradient."""
        with paddle.no_grad():
            anchor = self._embed(real)
        return 1 - F.cosine_similarity(anchor, self._embed(fake)).mean()

    def _embed(self, images):
        """The embedding [N, 512] of the face in pictures [-1, 1], cut out of the crop as the authors do."""
        return self._face_network(recognisable_face(images))

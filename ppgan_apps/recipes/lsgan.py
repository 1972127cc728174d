"""LSGAN (Mao 2017, arXiv 1611.04076): DCGAN with squared distances in place of the cross-entropy.

A generated picture that D takes for real still has a gradient as long as it is far from the data.
"""
from __future__ import annotations

from ..data import LabelledImages
from ..losses import least_squares_discriminator, least_squares_generator
from .dcgan import DCGAN, Config


class LSGAN(DCGAN):
    """DCGAN with eq. 9 of the paper: D's outputs, without a sigmoid, are pulled to 1 (real) and 0 (generated)."""

    Config, Data = Config, LabelledImages
    outputs = 1

    def discriminator_loss(self, real_logits, fake_logits):
        return least_squares_discriminator(real_logits, fake_logits)

    def generator_loss(self, fake_logits):
        return least_squares_generator(fake_logits)

"""Conditional GAN (Mirza 2014, arXiv 1411.1784): G and D are told the label, so a kind of picture can be asked for.

Eq. 2 of the paper, played by the networks of DCGAN. The labels are MNIST's digits, the sub-folders of the data, or a
column of its attributes.
"""
from __future__ import annotations

import paddle

from ..data import LabelledImages
from ..errors import ConfigError
from .dcgan import DCGAN, Config

_SAMPLES = 8                                                   # of each label in a preview


class CGAN(DCGAN):
    """DCGAN with labels in G and in D; delivers G, whose file names the labels in their order."""

    Config, Data = Config, LabelledImages

    def networks(self):
        cfg, data, classes = self.cfg, self.run.data, len(self.run.data.classes)
        if cfg.network != "dcgan":
            raise ConfigError(f"cgan uses the network 'dcgan', not '{cfg.network}'.")
        if classes < 2:
            raise ConfigError(f"{data.path} has no labels: name a column of its attributes with data.label, or sort "
                              f"the pictures into one sub-folder for each label.")
        return self.paper_networks(classes)

    def generate(self, batch, generator=None):
        return (generator or self.G)(self.latents(len(batch["real"])), batch["label"])

    def judge(self, images, batch):
        return self.D(self.shown(images), batch["label"])

    def preview(self, batch):
        """A row for each label, a column for each z."""
        classes = len(self.run.data.classes)
        labels = paddle.arange(classes)
        return {f"fake_{index}": self.delivered(z.expand([classes, self.cfg.latent_dim]), labels)
                for index, z in enumerate(self.latents(_SAMPLES).unsqueeze(1))}

    def metadata(self):
        return {"labels": list(self.run.data.classes)}

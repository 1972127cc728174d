"""StyleGAN2 (Karras 2020): logistic loss, lazy R1, lazy path length, style mixing, averaged generator.

The equations are numbered as in "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958). For small
data sets: DiffAugment (arXiv 2006.10738) or ADA (arXiv 2006.06676), and fine-tuning from given weights with the first
layers of D held fixed (FreezeD, arXiv 2002.10964).
"""
from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import paddle

from .. import growing, zoo
from ..augment import ada, adapt, diffaugment, share_random
from ..data import Images
from ..errors import ConfigError, WeightsError
from ..losses import logistic_discriminator, logistic_generator, path_lengths, r1_penalty
from ..networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ..sharing import current, mean_over_processes, randn
from ..steps import ema, frozen, full_precision, update
from ..weights import load_strict, read_metadata, read_weights, resolve
from .base import Recipe

log = logging.getLogger("ppgan_apps")
ADA_EVERY = 4                                                  # steps between corrections of p (ADA, section 3)


@dataclass
class Config:
    """The `recipe` section; defaults are configuration F of the paper."""

    style_dim: int = 512                # length of z and w
    n_mlp: int = 8                      # layers of the mapping network
    channel_multiplier: float = 2       # width of the layers at 64 px and above
    channel_max: int = 512              # widest layer
    lr: float = 0.002                   # both networks; Adam with beta1 0, beta2 0.99
    r1_weight: float = 10.0             # gamma; depends on the data: 0.0002 * size^2 / batch_size is a good start
    r1_every: int = 16                  # steps between R1 updates of D (appendix B)
    path_weight: float = 2.0            # weight of the path-length term; 0 leaves it out
    path_every: int = 4                 # steps between path-length updates of G
    path_batch_shrink: int = 2          # the path-length update uses this fraction of the batch, for memory
    path_decay: float = 0.01            # of the running mean of the path length, a in eq. 4
    noise: bool = True                  # false: no noise inputs, for drawn pictures without texture
    mixing: float = 0.9                 # probability of style mixing in a training sample
    ema_half_life_images: float = 10_000.0   # of the averaged generator
    w_decay: float = 0.995              # of the running mean of w, towards which truncation pulls
    augment: Literal["off", "diffaugment", "ada"] = "off"      # what D is shown; for some thousand pictures or fewer
    diffaugment: tuple[Literal["colour", "translation", "cutout"], ...] = ("colour", "translation", "cutout")
    ada_target: float = 0.6             # of r_t, the mean sign of D on real pictures: higher augments less
    ada_images: float = 500_000         # pictures in which the probability p can go from 0 to 1
    start: str = ""                     # weights to fine-tune: a file, a checkpoint, a run, or one of `ppgan-apps zoo`;
                                        # those for smaller pictures grow, see growing.py
    old_lr: float = 1.0                 # of networks that grow: the old layers' rate as a share of lr
    freeze_d: int = 0                   # so many blocks of D, from the picture on, keep the weights they start with

    def __post_init__(self):
        for name in ("r1_every", "path_every", "path_batch_shrink", "ada_images"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, should be 1 or more.")
        if self.old_lr < 0:
            raise ConfigError(f"old_lr is {self.old_lr}, should be 0 or more.")
        if not -1 < self.ada_target < 1:
            raise ConfigError(f"ada_target is {self.ada_target}, should lie between -1 and 1: it is a mean of signs.")
        if self.freeze_d and not self.start:
            raise ConfigError(f"freeze_d is {self.freeze_d}, but only the layers of a trained D are worth keeping: "
                              "name its weights in start.")


class StyleGAN2(Recipe):
    """Trains G and D; delivers G_ema, the average of G, with the mean of w for truncation."""

    Config, Data, deliver = Config, Images, "G_ema"

    def __init__(self, run):
        super().__init__(run)
        cfg, size = self.cfg, run.data.size
        check_size(size)
        if cfg.path_weight and run.batch_size // cfg.path_batch_shrink % run.accumulate:
            raise ConfigError(f"batch_size / path_batch_shrink is {run.batch_size // cfg.path_batch_shrink}, should be "
                              f"a multiple of accumulate ({run.accumulate}).")
        shape = {"channel_multiplier": cfg.channel_multiplier, "channel_max": cfg.channel_max}
        self.G = StyleGAN2Generator(size, cfg.style_dim, cfg.n_mlp, **shape)
        self.G_ema = StyleGAN2Generator(size, cfg.style_dim, cfg.n_mlp, **shape)
        self.D = StyleGAN2Discriminator(size, **shape)
        self.path_mean = paddle.zeros([1])
        self.w_mean = paddle.zeros([cfg.style_dim])
        if cfg.start:
            self._start()
        self.noise = "fresh" if cfg.noise else "off"
        if not cfg.noise:
            fix_noise_strengths(self.G)
        self._freeze_discriminator()
        self.G_ema.set_state_dict(self.G.state_dict())
        self.G_ema.eval()
        self.opt_G = self._adam(self.G, cfg.path_every if cfg.path_weight else 0)
        self.opt_D = self._adam(self.D, cfg.r1_every if cfg.r1_weight else 0)
        if cfg.augment == "ada":
            self.ada_p = paddle.zeros([1])                     # probability of each augmentation
            self.ada_signs = paddle.zeros([2])                 # since its last correction: sum of D's signs, pictures

    def _start(self) -> None:
        """Fills G, D and the running means from the weights that `start` names and the files beside them; those of a
        smaller size grow.

        Raises WeightsError for weights that are not there or of another shape.
        """
        path, about, old = start_generator(self.G, self.cfg.start)
        self._slow(self.G, old)
        w_mean = about.get("w_mean")
        known = isinstance(w_mean, list) and len(w_mean) == self.cfg.style_dim
        self.w_mean.set_value(np.asarray(w_mean, np.float32) if known else self.G.mean_latent()[0])
        means, discriminator = path.with_name("state.safetensors"), path.with_name("D.safetensors")
        if means.is_file():                                    # of a checkpoint
            self.path_mean.set_value(read_weights(means).get("path_mean", self.path_mean.numpy()))
        if discriminator.is_file():
            state = read_weights(discriminator)
            if 0 < growing.discriminator_size(state) < self.D.arguments["size"]:
                self._slow(self.D, growing.grow_discriminator(self.D, state, str(discriminator)))
            else:
                load_strict(self.D, state, str(discriminator))
            log.info("D starts from %s.", discriminator)
        elif self.cfg.freeze_d:
            raise WeightsError(f"freeze_d is {self.cfg.freeze_d}, but there is no {discriminator} whose layers could "
                               "be kept: set freeze_d to 0, or start from a checkpoint folder.")
        else:
            log.info("D starts from scratch: there is no %s.", discriminator)

    def _slow(self, network, names: set[str]) -> None:
        """Has the optimizer move the parameters called `names` at `old_lr` of its rate."""
        for name, parameter in network.named_parameters():
            if name in names:
                parameter.optimize_attr["learning_rate"] = self.cfg.old_lr

    def _freeze_discriminator(self) -> None:
        """Fixes the layers of D nearest to the picture: `freeze_d` residual blocks and the 1x1 convolution before."""
        count, blocks = self.cfg.freeze_d, len(self.D.convs) - 1
        if not 0 <= count <= blocks:
            raise ConfigError(f"freeze_d is {count}, should be from 0 to {blocks}, the number of blocks of D.")
        for layer in self.D.convs[:count + 1] if count else []:
            for parameter in layer.parameters():
                parameter.stop_gradient = True

    def _adam(self, network, every: int):
        """Adam whose rates make up for the regularisation steps between the main ones (appendix B)."""
        ratio = every / (every + 1) if every else 1.0
        return paddle.optimizer.Adam(self.cfg.lr * ratio, beta1=0.0, beta2=0.99**ratio, epsilon=1e-8,
                                     parameters=network.parameters())

    def train_step(self, batch, step):
        cfg = self.cfg
        losses = self._train_discriminator(batch)
        if cfg.r1_weight and step % cfg.r1_every == 0:
            losses["r1"] = self._regularise_discriminator(batch)
        losses.update(self._train_generator(batch))
        if cfg.path_weight and step % cfg.path_every == 0:
            losses["path"] = self._regularise_generator(batch)
        ema(self.G_ema, self.G, cfg.ema_half_life_images, self.run.batch_size)
        if cfg.augment == "ada":
            losses.update(self._adapt(step))
        return losses

    def _shown(self, images):
        """The pictures, real or generated, as D is shown them. R1 and G's gradient go through the augmentation."""
        cfg = self.cfg
        if cfg.augment == "off":
            return images
        random = share_random()
        with full_precision():
            images = images.astype("float32")
            if cfg.augment == "diffaugment":
                return diffaugment(images, cfg.diffaugment, random)
            return ada(images, self.ada_p.item(), random)

    def _count_signs(self, real_logits) -> None:
        signs = real_logits.detach().astype("float32").sign()
        seen = paddle.concat([signs.sum().reshape([1]), paddle.full([1], float(signs.size))])
        self.ada_signs.set_value(self.ada_signs + mean_over_processes(seen) * current().world)

    def _adapt(self, step: int) -> dict:
        """Corrects p every fourth step by whether D overfits (ADA, section 3); r_t is the mean sign since the last."""
        total, pictures = self.ada_signs.tolist()
        signs = total / pictures
        if (step + 1) % ADA_EVERY == 0:
            p = adapt(self.ada_p.item(), signs, self.cfg.ada_target, pictures, self.cfg.ada_images)
            self.ada_p.set_value(paddle.full([1], p))
            self.ada_signs.set_value(paddle.zeros([2]))
        return {"r_t": signs, "p": self.ada_p.item()}

    def _train_discriminator(self, batch) -> dict:
        def objective(part):
            real = part["real"]
            with paddle.no_grad():
                fake = self.G.synthesis(self._latents(len(real)), noise=self.noise)
            real_logits, fake_logits = self.D(self._shown(real)), self.D(self._shown(fake))
            if self.cfg.augment == "ada":
                self._count_signs(real_logits)
            loss = logistic_discriminator(real_logits, fake_logits)
            return loss, {"D": loss, "real": real_logits.mean(), "fake": fake_logits.mean()}
        return update(self.opt_D, objective, batch)

    def _regularise_discriminator(self, batch):
        def objective(part):
            real = part["real"].detach()
            real.stop_gradient = False
            penalty = r1_penalty(real, self.D(self._shown(real)))
            return penalty * (self.cfg.r1_weight / 2 * self.cfg.r1_every), {"r1": penalty}
        with full_precision():
            return update(self.opt_D, objective, batch)["r1"]

    def _train_generator(self, batch) -> dict:
        def objective(part):
            latents = self._latents(len(part["real"]))
            fake = self.G.synthesis(latents, noise=self.noise, twice_differentiable=False)
            loss = logistic_generator(self.D(self._shown(fake)))
            return loss, {"G": loss, "w": latents[:, 0].mean(0)}                   # the first layer's w is never mixed
        with frozen(self.D):
            losses = update(self.opt_G, objective, batch)
        mean = mean_over_processes(losses.pop("w"))
        self.w_mean.set_value(mean + (self.w_mean - mean) * self.cfg.w_decay)
        return losses

    def _regularise_generator(self, batch):
        """(|J_w^T y| - a)^2, a being the running mean of the length before this step: eq. 4."""
        def objective(part):
            latents = self._latents(len(part["real"]))
            fake = self.G.synthesis(latents, noise=self.noise)
            lengths = path_lengths(fake, latents, randn(fake.shape))
            penalty = ((lengths - self.path_mean) ** 2).mean()
            weight = self.cfg.path_weight * self.cfg.path_every
            return penalty * weight, {"path": penalty, "length": lengths.mean()}
        count = max(1, len(batch["real"]) // self.cfg.path_batch_shrink)           # only their number counts
        with full_precision():
            losses = update(self.opt_G, objective, {"real": batch["real"][:count]})
        mean = mean_over_processes(losses["length"])
        self.path_mean.set_value(self.path_mean + self.cfg.path_decay * (mean - self.path_mean))
        return losses["path"]

    def _latents(self, batch_size: int):
        """w for every layer, [N, n_latent, D]; with probability `mixing` another w from a random layer on."""
        w = self.G.mapping(randn([batch_size, self.cfg.style_dim]))
        layers = self.G.n_latent
        latents = w.unsqueeze(1).expand([batch_size, layers, w.shape[1]])
        if paddle.rand([1]).item() >= self.cfg.mixing:
            return latents
        other = self.G.mapping(randn([batch_size, self.cfg.style_dim])).unsqueeze(1).expand(latents.shape)
        cut = int(paddle.randint(1, layers, [1]).item())
        return paddle.concat([latents[:, :cut], other[:, cut:]], axis=1)

    def preview(self, batch):
        count = 16
        w = self.G_ema.mapping(paddle.randn([count, self.cfg.style_dim]))
        return {"fake": self.G_ema.synthesis(w, noise="stored")}

    def metadata(self):
        return {"w_mean": [round(float(value), 6) for value in self.w_mean.numpy()]}


def check_size(size: int) -> None:
    """Raises ConfigError for a `data.size` that the networks cannot have."""
    if size < 8 or size & (size - 1):
        raise ConfigError(f"data.size is {size}, should be a power of two from 8 on.")


def fix_noise_strengths(generator) -> None:
    """Keeps the strengths of a generator's noise inputs at 0, where they start."""
    for name, parameter in generator.named_parameters():
        if name.endswith("noise.weight"):
            parameter.set_value(paddle.zeros_like(parameter))                      # `start` may have others
            parameter.stop_gradient = True


def start_generator(generator, start: str) -> tuple[Path, dict, set[str]]:
    """Fills a generator from the weights that `start` names; those of a smaller size grow.

    Returns their file, what is known about them, and the names of the parameters that were there before growing, none
    when nothing grew. Raises WeightsError for weights that are not there or of another shape.
    """
    path, part, about, name = _find_weights(start)
    state = read_weights(path, part)
    grows = 0 < growing.generator_size(state) < generator.size
    _check_shape(name, about.get("network"), generator.arguments, {"size"} if grows else set())
    old: set[str] = set()
    if grows:
        old = growing.grow_generator(generator, state, name)
    else:
        load_strict(generator, state, name)
    log.info("G starts from %s.", name)
    return path, about, old


def _find_weights(start: str) -> tuple[Path, str, dict, str]:
    """(file, part of it, what is known about it, how to call it) of a path or of a name in the zoo."""
    if start.startswith("stylegan2/") and not Path(start).exists():
        record = zoo.get(start)
        path = record.path()
        log.info("weights: %s", record.describe())
        return path, record.part, {"network": dict(record.network), **read_metadata(path)}, record.name
    path = resolve(start)
    return path, "", read_metadata(path), str(path)


def _check_shape(name: str, stated, wanted: dict, free: set[str]) -> None:
    """Raises WeightsError, which says what to set, when weights state other arguments of their network, those that are
    `free` aside."""
    other = {key: value for key, value in stated.items() if wanted.get(key, value) != value and key not in free} \
        if isinstance(stated, dict) else {}
    if other:
        has, asked = (", ".join(f"{key} {values[key]}" for key in other) for values in (other, wanted))
        settings = " ".join(f"{'data' if key == 'size' else 'recipe'}.{key}={value}" for key, value in other.items())
        raise WeightsError(f"start is {name}, whose generator has {has} where the YAML has {asked}: set {settings}.")

"""StyleGAN2 (Karras 2020): logistic loss, lazy R1, lazy path length, style mixing, averaged generator.

The equations are numbered as in "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958).
"""
from __future__ import annotations

from dataclasses import dataclass

import paddle

from ..data import Images
from ..errors import ConfigError
from ..losses import logistic_discriminator, logistic_generator, path_lengths, r1_penalty
from ..networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ..sharing import mean_over_processes, randn
from ..steps import ema, frozen, full_precision, update
from .base import Recipe


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

    def __post_init__(self):
        for name in ("r1_every", "path_every", "path_batch_shrink"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, should be 1 or more.")


class StyleGAN2(Recipe):
    """Trains G and D; delivers G_ema, the average of G, with the mean of w for truncation."""

    Config, Data, deliver = Config, Images, "G_ema"

    def __init__(self, run):
        super().__init__(run)
        cfg, size = self.cfg, run.data.size
        if size < 8 or size & (size - 1):
            raise ConfigError(f"data.size is {size}, should be a power of two from 8 on.")
        shape = {"channel_multiplier": cfg.channel_multiplier, "channel_max": cfg.channel_max}
        self.G = StyleGAN2Generator(size, cfg.style_dim, cfg.n_mlp, **shape)
        if not cfg.noise:
            self._fix_noise_strengths()
        self.G_ema = StyleGAN2Generator(size, cfg.style_dim, cfg.n_mlp, **shape)
        self.G_ema.set_state_dict(self.G.state_dict())
        self.G_ema.eval()
        self.D = StyleGAN2Discriminator(size, **shape)
        self.opt_G = self._adam(self.G, cfg.path_every if cfg.path_weight else 0)
        self.opt_D = self._adam(self.D, cfg.r1_every if cfg.r1_weight else 0)
        self.path_mean = paddle.zeros([1])
        self.w_mean = paddle.zeros([cfg.style_dim])

    def _fix_noise_strengths(self) -> None:
        """Keeps the strengths of the noise inputs at 0, where they start."""
        for name, parameter in self.G.named_parameters():
            if name.endswith("noise.weight"):
                parameter.stop_gradient = True

    def _adam(self, network, every: int):
        """Adam whose rates make up for the regularisation steps between the main ones (appendix B)."""
        ratio = every / (every + 1) if every else 1.0
        return paddle.optimizer.Adam(self.cfg.lr * ratio, beta1=0.0, beta2=0.99**ratio, epsilon=1e-8,
                                     parameters=network.parameters())

    def train_step(self, batch, step):
        cfg, real = self.cfg, batch["real"]
        losses = self._train_discriminator(real)
        if cfg.r1_weight and step % cfg.r1_every == 0:
            losses["r1"] = self._regularise_discriminator(real)
        losses.update(self._train_generator(len(real)))
        if cfg.path_weight and step % cfg.path_every == 0:
            losses["path"] = self._regularise_generator(max(1, len(real) // cfg.path_batch_shrink))
        ema(self.G_ema, self.G, cfg.ema_half_life_images, self.run.batch_size)
        return losses

    def _train_discriminator(self, real):
        with paddle.no_grad():
            fake = self.G.synthesis(self._latents(len(real)), noise="fresh")
        real_logits, fake_logits = self.D(real), self.D(fake)
        loss = logistic_discriminator(real_logits, fake_logits)
        update(self.opt_D, loss)
        return {"D": loss.detach(), "real": real_logits.detach().mean(), "fake": fake_logits.detach().mean()}

    def _regularise_discriminator(self, real):
        real = real.detach()
        real.stop_gradient = False
        with full_precision():
            penalty = r1_penalty(real, self.D(real))
            update(self.opt_D, penalty * (self.cfg.r1_weight / 2 * self.cfg.r1_every))
        return penalty.detach()

    def _train_generator(self, batch_size: int):
        with frozen(self.D):
            latents = self._latents(batch_size, track=True)
            fake = self.G.synthesis(latents, noise="fresh", twice_differentiable=False)
            loss = logistic_generator(self.D(fake))
            update(self.opt_G, loss)
        return {"G": loss.detach()}

    def _regularise_generator(self, batch_size: int):
        """(|J_w^T y| - a)^2, a being the running mean of the length before this step: eq. 4."""
        with full_precision():
            latents = self._latents(batch_size)
            fake = self.G.synthesis(latents, noise="fresh")
            lengths = path_lengths(fake, latents, randn(fake.shape))
            penalty = ((lengths - self.path_mean) ** 2).mean()
            update(self.opt_G, penalty * (self.cfg.path_weight * self.cfg.path_every))
        mean = mean_over_processes(lengths.detach().mean())
        self.path_mean.set_value(self.path_mean + self.cfg.path_decay * (mean - self.path_mean))
        return penalty.detach()

    def _latents(self, batch_size: int, track: bool = False):
        """w for every layer, [N, n_latent, D]; with probability `mixing` another w from a random layer on."""
        w = self.G.mapping(randn([batch_size, self.cfg.style_dim]))
        if track:
            mean = mean_over_processes(w.detach().mean(0))
            self.w_mean.set_value(mean + (self.w_mean - mean) * self.cfg.w_decay)
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

"""StyleGAN2's generator taught as a decoder, from pictures whose attributes are known: a start for the game, or enough.

An encoder E makes a code of a picture's attributes, and the synthesis network draws the picture from it: squared error,
no game between pictures. The mapping network plays its game for codes alone: it makes z into codes that D cannot tell
from E's, which costs next to nothing. The generator is StyleGAN2's own (arXiv 1912.04958), so `family: stylegan2` goes
on from here, and every predictor reads it. (Codes of pictures for an adversarial network to imitate: as in the
adversarial autoencoder, Makhzani 2015, arXiv 1511.05644.)
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn as nn

from ..data import AttributedImages
from ..errors import ConfigError
from ..losses import logistic_discriminator, logistic_generator, r1_penalty
from ..networks.equalised import EqualLinear
from ..networks.stylegan2 import PixelNorm, StyleGAN2Generator
from ..perceptual import content, gradient_difference
from ..sharing import mean_over_processes, rand, randn
from ..steps import ema, frozen, full_precision, linear_decay, update
from ..weights import load_strict, read_weights
from .base import Recipe
from .stylegan2 import check_size, fix_noise_strengths, start_generator

_SHOWN = 16                                                    # pictures of a preview
_WIDTH = 256                                                   # of the hidden layers of E and D


@dataclass
class Config:
    """The `recipe` section."""

    style_dim: int = 512                # length of z and w
    n_mlp: int = 8                      # layers of the mapping network
    channel_multiplier: float = 2       # width of the layers at 64 px and above
    channel_max: int = 512              # widest layer
    lr: float = 0.012                   # of E and the synthesis network; Adam with beta1 0.9, beta2 0.99
    mapping_lr: float = 0.3             # of the mapping network, whose layers take a hundredth; beta1 0
    code_lr: float = 0.002              # of D; beta1 0
    decay_from: float = 0.7             # from this share of the steps on all rates fall to 0
    square_weight: float = 3.0          # of the mean squared error, which small features (eyes) need
    slope_weight: float = 0.2           # of the error of the differences between neighbours, for sharp lines
    content_weight: float = 0.2         # of the mean absolute error
    code_noise: float = 0.2             # deviation of what is added to codes, whose root mean square is 1
    code_mixing: float = 0.4            # largest share of another picture's code in a code that is drawn
    code_updates: int = 2               # updates of D and of the mapping network in a step
    codes_per_picture: int = 16         # codes in each of them, for each picture of the batch
    r1_weight: float = 1.0              # of R1 on codes
    ema_half_life_images: float = 3_000.0    # of the averaged generator
    w_decay: float = 0.995              # of the running mean of w, towards which truncation pulls
    start: str = ""                     # checkpoint of a run of this family, for pictures of this size or smaller

    def __post_init__(self):
        for name in ("code_updates", "codes_per_picture"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, should be 1 or more.")
        if not 0 <= self.code_mixing < 0.5:
            raise ConfigError(f"code_mixing is {self.code_mixing}, should be from 0 to less than 0.5: beyond the other "
                              "picture would be the nearer one.")


class AttributeEncoder(nn.Sequential):
    """Attributes, one-hot [N, values], to codes [N, style_dim] whose root mean square is 1."""

    def __init__(self, values: int, style_dim: int):
        super().__init__(EqualLinear(values, _WIDTH, activate=True), EqualLinear(_WIDTH, style_dim), PixelNorm())

    def forward(self, attributes):
        # An equalised layer expects inputs whose squares are 1 on average; of these one in each column is not 0.
        return super().forward(attributes * 4.0)


class CodeDiscriminator(nn.Sequential):
    """Codes [N, style_dim] to logits [N, 1]."""

    def __init__(self, style_dim: int):
        super().__init__(*[EqualLinear(inputs, _WIDTH, activate=True) for inputs in (style_dim, _WIDTH, _WIDTH)],
                         EqualLinear(_WIDTH, 1))


class StyleGAN2Attributes(Recipe):
    """Trains E, G and code_D, a discriminator of codes; delivers G_ema, the average of G, with the mean of w."""

    Config, Data, deliver = Config, AttributedImages, "G_ema"

    def __init__(self, run):
        super().__init__(run)
        cfg, size = self.cfg, run.data.size
        check_size(size)
        shape = (size, cfg.style_dim, cfg.n_mlp, cfg.channel_multiplier, cfg.channel_max)
        self.G, self.G_ema = StyleGAN2Generator(*shape), StyleGAN2Generator(*shape)
        self.E = AttributeEncoder(run.data.one_hot.shape[1], cfg.style_dim)
        self.code_D = CodeDiscriminator(cfg.style_dim)
        self.w_mean = paddle.zeros([cfg.style_dim])
        self._attributes = paddle.to_tensor(run.data.one_hot)                      # of all pictures, [N, values]
        columns = [len(names) for names in run.data.values.values()]
        self._values_of_column = paddle.to_tensor(np.repeat(np.eye(len(columns), dtype=np.float32), columns, axis=1))
        if cfg.start:
            self._start()
        fix_noise_strengths(self.G)
        self.G_ema.set_state_dict(self.G.state_dict())
        self.G_ema.eval()
        synthesis = [entry for name, entry in self.G.named_parameters() if not name.startswith("style.")]
        self.opt_G = self._adam([*self.E.parameters(), *synthesis], beta1=0.9)
        self.opt_M = self._adam(self.G.style.parameters(), beta1=0.0)
        self.opt_code_D = self._adam(self.code_D.parameters(), beta1=0.0)

    def _start(self) -> None:
        """Fills G, E and D from the checkpoint that `start` names. Raises WeightsError for another family's."""
        path = start_generator(self.G, self.cfg.start)[0]
        for name, network in (("E", self.E), ("code_D", self.code_D)):
            file = path.with_name(f"{name}.safetensors")
            load_strict(network, read_weights(file), str(file))

    def _adam(self, parameters, beta1: float):
        return paddle.optimizer.Adam(self.cfg.lr, beta1=beta1, beta2=0.99, epsilon=1e-8, parameters=parameters)

    def train_step(self, batch, step):
        cfg = self.cfg
        for optimizer, rate in ((self.opt_G, cfg.lr), (self.opt_M, cfg.mapping_lr), (self.opt_code_D, cfg.code_lr)):
            optimizer.set_lr(linear_decay(rate, step, self.run.steps, cfg.decay_from))
        losses = update(self.opt_G, self._draw, batch)
        for _ in range(cfg.code_updates):
            with full_precision():
                losses.update(update(self.opt_code_D, self._judge, batch))
                with frozen(self.code_D):
                    losses.update(update(self.opt_M, self._map, batch))
            mean = mean_over_processes(losses.pop("w"))
            self.w_mean.set_value(mean + (self.w_mean - mean) * cfg.w_decay)
        ema(self.G_ema, self.G, cfg.ema_half_life_images, self.run.batch_size)
        return losses

    def _draw(self, part):
        """How far the pictures drawn from codes of attributes are from the real ones."""
        cfg, real = self.cfg, part["real"]
        codes = self._noisy(self._mixed(part["attributes"]))
        drawn = self.G.synthesis(codes, noise="off", twice_differentiable=False)
        squares, absolute = ((drawn - real) ** 2).mean(), content(drawn, real)
        slopes = gradient_difference(drawn, real)
        loss = cfg.square_weight * squares + cfg.content_weight * absolute + cfg.slope_weight * slopes
        return loss, {"squares": squares, "absolute": absolute, "slopes": slopes}

    def _judge(self, part):
        """D's loss between codes of attributes, those of pictures drawn at random, and the mapping network's."""
        count = len(part["real"]) * self.cfg.codes_per_picture
        with paddle.no_grad():
            real, fake = self._noisy(self.E(self._others(count))), self._noisy(self._codes(count))
        real = real.reshape([count, -1, 1, 1])                                     # the shape that r1_penalty knows
        real.stop_gradient = False
        real_logits = self.code_D(real.reshape([count, -1]))
        loss, penalty = logistic_discriminator(real_logits, self.code_D(fake)), r1_penalty(real, real_logits)
        return loss + self.cfg.r1_weight / 2 * penalty, {"D": loss, "r1": penalty}

    def _map(self, part):
        codes = self._codes(len(part["real"]) * self.cfg.codes_per_picture)
        loss = logistic_generator(self.code_D(self._noisy(codes)))
        return loss, {"mapping": loss, "w": codes.mean(0)}

    def _mixed(self, attributes):
        """Codes of `attributes` with a smaller share of codes that differ in about half of the columns.

        What the mapping network makes lies between codes: a synthesis network that has seen such draws the nearest
        picture in the place of two that shine through one another. It makes truncation harmless too.
        """
        count = len(attributes)
        kept = (rand([count, len(self._values_of_column)]) < 0.5).astype("float32") @ self._values_of_column
        other = self.E(attributes * kept + self._others(count) * (1 - kept))
        share = self.cfg.code_mixing * rand([count, 1])
        return self.E(attributes) * (1 - share) + other * share

    def _others(self, count: int):
        """The attributes of pictures drawn at random, [count, values]."""
        return self._attributes[(rand([count]) * len(self._attributes)).astype("int64")]

    def _codes(self, count: int):
        return self.G.mapping(randn([count, self.cfg.style_dim]))

    def _noisy(self, codes):
        return codes + self.cfg.code_noise * randn(codes.shape)

    def preview(self, batch):
        """Real pictures, what the codes of their attributes draw, and what random z draw."""
        real = batch["real"][:_SHOWN]
        w = {"drawn": self.E(batch["attributes"][:_SHOWN]),
             "fake": self.G_ema.mapping(paddle.randn([len(real), self.cfg.style_dim]))}
        return {"real": real, **{name: self.G_ema.synthesis(codes, noise="off") for name, codes in w.items()}}

    def metadata(self):
        return {"w_mean": [round(float(value), 6) for value in self.w_mean.numpy()],
                "attributes": {column: list(names) for column, names in self.run.data.values.items()}}

"""StyleGAN: a generator controlled by a style at every layer (Karras et al. 2019, arXiv 1812.04948, configuration F).

It grows as Progressive GAN does, with binomial filters at every change of resolution (section 2, configuration B).
Doubling each pixel and the paper's filter [1, 2, 1] are together the filter [1, 3, 3, 1] of resampling.py, so those
functions serve here; only values at the border differ.
"""
from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..sharing import randn
from .equalised import GAIN, EqualConv2D, EqualLinear, LeakyBias
from .pggan import Convolution, Growing, LeakyLinear, PGGANDiscriminator, PixelNorm, ToRGB, blend, double, resolutions
from .resampling import blur_matrix, phase_matrices, upsampling_convolution, upsampling_convolution_once
from .stylegan2 import MEAN_LATENT_SAMPLES, Blur, channels_at

TRUNCATED_LAYERS = 8                         # those of 4 to 32 pixels (appendix B)
_MAPPING_RATE = 0.01                         # of the learning rate (appendix C)
# Above this size the two matrix products of the blur cost more than the transposed convolution saves.
_LARGEST_TRANSPOSED = 128


class UpsamplingConvolution(Convolution):
    """Doubles maps of `side` pixels, convolves and filters them; once differentiable, as G needs."""

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__(inputs, outputs)
        self.transposed = side <= _LARGEST_TRANSPOSED
        matrix = blur_matrix(2 * side + 1, (1, 1), gain=2.0) if self.transposed else phase_matrices()
        self.register_buffer("matrix", paddle.to_tensor(matrix), persistable=False)

    def forward(self, x):
        upsampling = upsampling_convolution_once if self.transposed else upsampling_convolution
        return upsampling(x, self.weight * self.scale, self.matrix)


class AdaIN(nn.Layer):
    """Adaptive instance normalisation, eq. 1: y_s (x - mean) / deviation + y_b, each map by itself.

    y = (y_s, y_b) is an affine function of w. Its biases start as (1, 0): the 1 is added here.
    """

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.affine = EqualLinear(style_dim, 2 * channels)

    def forward(self, x, w):
        """x [N, C, H, W] and w [N, style_dim] to [N, C, H, W]."""
        scale, shift = self.affine(w).unsqueeze([2, 3]).split(2, 1)  # [N, C, 1, 1] each
        return F.instance_norm(x, eps=1e-8) * (scale + 1) + shift


class ScaledNoise(nn.Layer):
    """Adds noise [N, 1, H, W], times one learned strength for each map."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x, noise):
        return x + noise.expand_as(x) * self.weight.reshape([-1, 1, 1])


class StyledLayer(nn.Layer):
    """A convolution or none (None), then noise, bias, leaky ReLU and AdaIN; see figure 1b."""

    def __init__(self, convolution: nn.Layer | None, channels: int, style_dim: int, noisy: bool):
        super().__init__()
        self.convolution = convolution
        self.noise = ScaledNoise(channels) if noisy else None
        self.activate = LeakyBias(channels, gain=1.0)
        self.adain = AdaIN(channels, style_dim)

    def forward(self, x, w, noise=None):
        """x [N, C, H, W], w [N, style_dim]; noise [N, 1, H, W], None draws it."""
        x = x if self.convolution is None else self.convolution(x)
        if self.noise is not None:
            x = self.noise(x, randn([x.shape[0], 1, *x.shape[2:]]).astype(x.dtype) if noise is None else noise)
        return self.adain(self.activate(x), w)


class StyleGANGenerator(Growing):
    """z [N, style_dim], normally distributed, to pictures [N, 3, resolution, resolution].

    Args:
        size: of the largest pictures, a power of two from 8 to 1024 pixels.
        style_dim: width of z and w.
        n_mlp: layers of the mapping network, trained at a hundredth of the learning rate.
        channel_multiplier: width at 64 px and above; 1 is the paper's, 256 maps at 64 px.
        channel_max: no layer is wider; the paper's 512.
        noise: whether there are noise inputs.
        resolution, alpha: the stage, see `Growing`; None: the largest.
    """

    def __init__(self, size: int, style_dim: int = 512, n_mlp: int = 8, channel_multiplier: float = 1,
                 channel_max: int = 512, noise: bool = True, resolution: int | None = None, alpha: float = 1.0):
        super().__init__(size, {"style_dim": style_dim, "n_mlp": n_mlp, "channel_multiplier": channel_multiplier,
                                "channel_max": channel_max, "noise": noise}, resolution, alpha)
        self.style_dim = style_dim
        self.mapping = nn.Sequential(PixelNorm(), *[LeakyLinear(style_dim, style_dim, _MAPPING_RATE)
                                                    for _ in range(n_mlp)])
        widths = [channels_at(side, channel_multiplier, channel_max) for side in resolutions(size)]
        self.constant = self.create_parameter([1, widths[0], 4, 4], default_initializer=nn.initializer.Constant(1.0))
        self.layers = nn.LayerList()                                 # two for each resolution
        for number, (side, width) in enumerate(zip(resolutions(size), widths, strict=True)):
            first = UpsamplingConvolution(widths[number - 1], width, side // 2) if number else None
            self.layers.append(StyledLayer(first, width, style_dim, noise))
            self.layers.append(StyledLayer(Convolution(width, width), width, style_dim, noise))
        self.to_rgb = nn.LayerList([ToRGB(width) for width in widths])

    @property
    def n_latent(self) -> int:
        """How many layers take a style at the present resolution."""
        return 2 * self.newest + 2

    def make_noise(self, batch: int = 1) -> list:
        """Noise for every layer of the present resolution: two [batch, 1, H, H] for each of 4, 8 ... pixels."""
        sides = [side for side in resolutions(self.resolution) for _ in range(2)]
        return [paddle.randn([batch, 1, side, side]) for side in sides]

    def mean_latent(self, n: int = MEAN_LATENT_SAMPLES):
        """The mean w [1, style_dim] of `n` latents drawn with Paddle's generator: what truncation pulls towards."""
        with paddle.no_grad():
            return self.mapping(paddle.randn([n, self.style_dim])).mean(0, keepdim=True)

    def mix(self, w, other=None, cut: int | None = None):
        """A style for each layer, [N, n_latent, style_dim]: w [N, style_dim] before layer `cut`, `other` from there."""
        styles = w.unsqueeze(1).expand([-1, self.n_latent, -1])
        if other is None:
            return styles
        others = other.unsqueeze(1).expand([-1, self.n_latent, -1])
        return paddle.concat([styles[:, :cut], others[:, cut:]], 1)

    def truncate(self, w, mean, psi: float = 0.7, layers: int = TRUNCATED_LAYERS):
        """w [N, style_dim] or [N, n_latent, style_dim] with the first `layers` layers pulled towards `mean`
        [1, style_dim]: mean + psi (w - mean) (appendix B). Returns [N, n_latent, style_dim]."""
        w = self.mix(w) if w.ndim == 2 else w
        pulled = mean.unsqueeze(1) + (w - mean.unsqueeze(1)) * psi
        return paddle.concat([pulled[:, :layers], w[:, layers:]], 1)

    def synthesis(self, w, noise: list | None = None):
        """w [N, style_dim] or [N, n_latent, style_dim] to pictures [N, 3, resolution, resolution].

        `noise`: as `make_noise(N)` gives it; None draws it with Paddle's generator.
        """
        w = self.mix(w) if w.ndim == 2 else w
        noise = noise or [None] * self.n_latent
        x = before = self.constant.expand([w.shape[0], -1, -1, -1])
        for number in range(self.n_latent):
            if number == self.n_latent - 2:
                before = x                                           # what the resolution below has made
            x = self.layers[number](x, w[:, number], noise[number])
        new = self.to_rgb[self.newest](x)
        return new if self.alpha == 1 else blend(double(self.to_rgb[self.newest - 1](before)), new, self.alpha)

    def forward(self, z, noise: list | None = None):
        return self.synthesis(self.mapping(z), noise)


class StyleGANDiscriminator(PGGANDiscriminator):
    """Progressive GAN's discriminator with a binomial filter before each halving; twice differentiable."""

    def halving(self, inputs, outputs, side):
        return [Blur(side, 2), EqualConv2D(inputs, outputs, 3, stride=2, gain=GAIN)]

"""StyleGAN2: generator and discriminator (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Published attribute names (rosinality's and PaddleGAN's): style, input, conv1, to_rgb1, convs, to_rgbs, noises in the
generator; convs, final_conv, final_linear in the discriminator. Convolutions scale activations by the style instead of
weights: the same numbers, in a form that can be differentiated twice on Paddle.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..sharing import randn
from .equalised import GAIN, EqualConv2D, EqualLinear, LeakyBias
from .layers import add_bias
from .resampling import (
    binomial_kernel,
    blur,
    blur_matrix,
    phase_matrices,
    upsample,
    upsampling_convolution,
    upsampling_convolution_once,
)

MEAN_LATENT_SAMPLES = 10240
# Above this size the two matrix products of the blur cost more than the transposed convolution saves.
_LARGEST_TRANSPOSED = 128
OFF = "off"                                                    # in place of a layer's noise: none is added


def channels_at(resolution: int, channel_multiplier: float = 2, channel_max: int = 512) -> int:
    """Feature maps at a resolution: 512 up to 32 pixels, then halved with each doubling; at most `channel_max`."""
    published = 512 if resolution <= 32 else 16384 // resolution * channel_multiplier
    return int(min(published, channel_max))


def _log2_of_size(size: int) -> int:
    exponent = int(size).bit_length() - 1
    if size != 2 ** exponent or not 8 <= size <= 1024:
        raise ValueError(f"StyleGAN2 makes images of a power-of-two size from 8 to 1024 pixels, not {size}.")
    return exponent


class PixelNorm(nn.Layer):
    """Scales each vector [N, C] to unit mean square."""

    def forward(self, x):
        return x * paddle.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)


class ModulatedConv2D(nn.Layer):
    """Convolution whose input channels are scaled by a style (equations 1 to 3), optionally doubling the resolution.

    Without `demodulate` it is the 1x1 convolution to RGB, done as one matrix product per image. `convolve` may be
    replaced by a function that does what Paddle's does in another way.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, style_dim: int, demodulate: bool = True,
                 input_size: int | None = None):
        super().__init__()
        self.weight = self.create_parameter([1, outputs, inputs, kernel_size, kernel_size],
                                            default_initializer=nn.initializer.Normal(0.0, 1.0))
        self.modulation = EqualLinear(style_dim, inputs, bias_init=1.0)
        self.scale = 1.0 / math.sqrt(inputs * kernel_size ** 2)
        self.demodulate, self.padding, self.input_size = demodulate, kernel_size // 2, input_size
        self.convolve = F.conv2d
        if input_size:                                               # of the images that are doubled
            self.register_buffer("phases", paddle.to_tensor(phase_matrices()), persistable=False)
            if input_size <= _LARGEST_TRANSPOSED:
                matrix = blur_matrix(2 * input_size + 1, (1, 1), gain=2.0)
                self.register_buffer("blurring", paddle.to_tensor(matrix), persistable=False)

    def forward(self, x, w, gain: float = 1.0, twice_differentiable: bool = True):
        """x [N, in, H, H] and w [N, style_dim] to [N, out, H, H] or [N, out, 2H, 2H], times `gain`."""
        style = self.modulation(w)                                   # [N, in]
        weight = self.weight[0] * self.scale                         # [out, in, k, k]
        if not self.demodulate:
            return _convolve_1x1(x, weight.reshape([1, weight.shape[0], -1]) * style.unsqueeze(1))
        norm = paddle.matmul(style * style, (weight * weight).sum([2, 3]), transpose_y=True)   # [N, out]
        x = x * style.unsqueeze([2, 3])
        if not self.input_size:
            x = self.convolve(x, weight, padding=self.padding)
        elif twice_differentiable or self.input_size > _LARGEST_TRANSPOSED:
            x = upsampling_convolution(x, weight, self.phases, self.convolve)
        else:
            x = upsampling_convolution_once(x, weight, self.blurring)
        return x * (paddle.rsqrt(norm + 1e-8) * gain).unsqueeze([2, 3])


def _convolve_1x1(x, weight):
    """x [N, in, H, W] and one weight [N, out, in] per image to [N, out, H, W]."""
    channels, height, width = x.shape[1:]
    rgb = paddle.matmul(weight, x.reshape([-1, channels, height * width]))
    return rgb.reshape([-1, weight.shape[1], height, width])


class NoiseInjection(nn.Layer):
    """Adds noise [N or 1, 1, H, W] times one learned strength."""

    def __init__(self):
        super().__init__()
        self.weight = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x, noise, gain: float = 1.0):
        return x + (noise * (self.weight * gain)).expand_as(x)       # adding without `expand` is 25 times slower


class ConstantInput(nn.Layer):
    """The learned 4x4 start of every image."""

    def __init__(self, channels: int):
        super().__init__()
        self.input = self.create_parameter([1, channels, 4, 4], default_initializer=nn.initializer.Normal(0.0, 1.0))

    def forward(self, batch: int):
        return self.input.expand([batch, -1, -1, -1])                # [N, C, 4, 4]


class StyledConv(nn.Layer):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, input_size: int | None = None):
        super().__init__()
        self.conv = ModulatedConv2D(inputs, outputs, 3, style_dim, input_size=input_size)
        self.noise = NoiseInjection()
        self.activate = LeakyBias(outputs)

    def forward(self, x, w, noise, twice_differentiable: bool = True):
        x = self.conv(x, w, GAIN, twice_differentiable)
        if noise is OFF:
            return self.activate(x)
        if noise is None:
            noise = randn([x.shape[0], 1, *x.shape[2:]])
        return self.activate(self.noise(x, noise, GAIN))


class DoubleRGB(nn.Layer):
    """Doubles the picture so far with the published filter, which weight files carry as `kernel`."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", paddle.to_tensor(binomial_kernel(gain=4.0)))

    def forward(self, picture):
        return upsample(picture, self.kernel)


class ToRGB(nn.Layer):
    """The picture of one resolution, added to the doubled picture of the one before."""

    def __init__(self, inputs: int, style_dim: int, doubles: bool = True):
        super().__init__()
        if doubles:
            self.upsample = DoubleRGB()
        self.bias = self.create_parameter([1, 3, 1, 1], default_initializer=nn.initializer.Constant(0.0))
        self.conv = ModulatedConv2D(inputs, 3, 1, style_dim, demodulate=False)

    def forward(self, x, w, picture=None):
        rgb = add_bias(self.conv(x, w), self.bias)                   # [N, 3, H, W]
        return rgb if picture is None else rgb + self.upsample(picture)


class StyleGAN2Generator(nn.Layer):
    """z [N, style_dim], normally distributed, to images [N, 3, size, size] whose range is about [-1, 1] after training.

    Args:
        size: a power of two from 8 to 1024, in pixels.
        style_dim: width of z and w.
        n_mlp: layers of the mapping network, trained at a hundredth of the learning rate.
        channel_multiplier: 2 is the paper's configuration F, 1 the smaller E.
        channel_max: no layer is wider; 512 is the published one, smaller values make small models.
    Raises ValueError for another size. Weights start as N(0, 1) and are scaled when used.
    """

    def __init__(self, size: int, style_dim: int = 512, n_mlp: int = 8, channel_multiplier: int = 2,
                 channel_max: int = 512):
        super().__init__()
        self.arguments = {"size": size, "style_dim": style_dim, "n_mlp": n_mlp,
                          "channel_multiplier": channel_multiplier, "channel_max": channel_max}
        log2_size = _log2_of_size(size)
        self.size, self.style_dim = size, style_dim
        self.n_latent = 2 * log2_size - 2
        self.num_layers = 2 * log2_size - 3
        self.style = nn.Sequential(PixelNorm(), *[EqualLinear(style_dim, style_dim, lr_multiplier=0.01, activate=True)
                                                  for _ in range(n_mlp)])
        width = channels_at(4, channel_multiplier, channel_max)
        self.input = ConstantInput(width)
        self.conv1 = StyledConv(width, width, style_dim)
        self.to_rgb1 = ToRGB(width, style_dim, doubles=False)
        self.convs, self.to_rgbs, self.noises = nn.LayerList(), nn.LayerList(), nn.Layer()
        for index, noise in enumerate(self.make_noise()):
            self.noises.register_buffer(f"noise_{index}", noise)
        for exponent in range(3, log2_size + 1):
            wider, width = width, channels_at(2 ** exponent, channel_multiplier, channel_max)
            self.convs.append(StyledConv(wider, width, style_dim, input_size=2 ** (exponent - 1)))
            self.convs.append(StyledConv(width, width, style_dim))
            self.to_rgbs.append(ToRGB(width, style_dim))

    def make_noise(self) -> list:
        """Fresh noise for every layer: [1, 1, 4, 4], then two of each larger resolution."""
        sizes = [2 ** ((index + 5) // 2) for index in range(self.num_layers)]
        return [paddle.randn([1, 1, size, size]) for size in sizes]

    def stored_noise(self) -> list:
        """The noise that belongs to the weights, so that a picture can be made again."""
        return [getattr(self.noises, f"noise_{index}") for index in range(self.num_layers)]

    def mapping(self, z: paddle.Tensor) -> paddle.Tensor:
        """z [N, style_dim], normally distributed, to w [N, style_dim]; the length of z does not matter."""
        return self.style(z)

    def mean_latent(self, n: int = MEAN_LATENT_SAMPLES, seed: int | None = 0):
        """The mean w [1, style_dim] of `n` latents drawn from `seed`: what truncation pulls towards."""
        z = np.random.RandomState(seed).standard_normal((n, self.style_dim)).astype(np.float32)
        with paddle.no_grad():
            return self.mapping(paddle.to_tensor(z).astype(self.input.input.dtype)).mean(0, keepdim=True)

    def mix(self, ws: Sequence, inject_index: int | Sequence[int] | None = None):
        """One style per layer, w [N, n_latent, style_dim], from one w [N, style_dim] or several.

        The second takes over at layer `inject_index` (with more than two: one index each, rising); None draws it from
        1 to n_latent - 1 with Paddle's generator. Raises ValueError for indices that do not fit.
        """
        if len(ws) == 1:
            return ws[0] if ws[0].ndim == 3 else ws[0].unsqueeze(1).expand([-1, self.n_latent, -1])
        if inject_index is None:
            drawn = paddle.randint(1, self.n_latent, [len(ws) - 1]).numpy()
            inject_index = sorted(int(index) for index in drawn)
        indices = [inject_index] if isinstance(inject_index, (int, np.integer)) else list(inject_index)
        ends = [0, *indices, self.n_latent]
        if len(indices) != len(ws) - 1 or ends != sorted(ends):
            raise ValueError(f"{len(ws)} latents need {len(ws) - 1} rising inject_index within 0 to {self.n_latent}, "
                             f"not {inject_index}.")
        return paddle.concat([w.unsqueeze(1).expand([-1, end - start, -1])
                              for w, start, end in zip(ws, ends[:-1], ends[1:], strict=True) if end > start], 1)

    def synthesis(self, w: paddle.Tensor, noise: str | Sequence | None = None,
                  twice_differentiable: bool | None = None) -> paddle.Tensor:
        """w [N, style_dim] or [N, n_latent, style_dim] to images [N, 3, size, size].

        Args:
            noise: None or "fresh" draws it, "stored" takes the buffers, "off" leaves it out, as strengths of 0 do; or a
                list with one [N or 1, 1, H, W], or None, per layer.
            twice_differentiable: False picks a transposed convolution, faster on a CPU, whose gradient has no gradient
                (Paddle raises); path length regularisation needs True. None: True where gradients are recorded.
        """
        if twice_differentiable is None:
            twice_differentiable = paddle.is_grad_enabled()
        noise = self._noise(noise)
        styles = [style.squeeze(1) for style in self.mix([w]).split(self.n_latent, 1)]   # [N, style_dim] each
        x = self.conv1(self.input(w.shape[0]), styles[0], noise[0])  # [N, C, 4, 4]
        picture = self.to_rgb1(x, styles[1])                         # [N, 3, 4, 4]
        for index, to_rgb in enumerate(self.to_rgbs):
            first, second = 2 * index, 2 * index + 1
            x = self.convs[first](x, styles[first + 1], noise[first + 1], twice_differentiable)   # [N, C, 2H, 2H]
            x = self.convs[second](x, styles[second + 1], noise[second + 1])
            picture = to_rgb(x, styles[second + 2], picture)
        return picture

    def _noise(self, noise) -> list:
        if noise is None or isinstance(noise, str) and noise == "fresh":
            return [None] * self.num_layers
        if isinstance(noise, str) and noise == "stored":
            return self.stored_noise()
        if isinstance(noise, str) and noise == "off":
            return [OFF] * self.num_layers
        if isinstance(noise, str) or len(noise) != self.num_layers:
            raise ValueError(f'noise is "stored", "fresh", "off" or a list of {self.num_layers} tensors.')
        return list(noise)

    def forward(self, styles, inject_index=None, truncation: float = 1.0, truncation_latent=None,
                randomize_noise: bool = True, noise=None, input_is_latent: bool = False, return_latents: bool = False,
                twice_differentiable: bool | None = None):
        """Images [N, 3, size, size] of latents; with `return_latents`, (images, w [N, n_latent, style_dim]).

        Args:
            styles: a list of z [N, style_dim]; with `input_is_latent` of w, a single one also [N, n_latent, style_dim].
            inject_index: the layer where the second latent takes over; see `mix`.
            truncation: below 1, pulls w towards `truncation_latent` (StyleGAN, appendix B).
            truncation_latent: w [1, style_dim]; None takes `mean_latent()`.
            randomize_noise: True draws noise, False takes the stored one; `noise` overrides both.
        """
        ws = list(styles) if isinstance(styles, (list, tuple)) else [styles]
        if not input_is_latent:
            ws = [self.mapping(z) for z in ws]
        if truncation < 1:
            centre = self.mean_latent() if truncation_latent is None else truncation_latent
            ws = [centre + truncation * (w - centre) for w in ws]
        latents = self.mix(ws, inject_index)
        if noise is None:
            noise = "fresh" if randomize_noise else "stored"
        images = self.synthesis(latents, noise, twice_differentiable)
        return (images, latents) if return_latents else images


class Blur(nn.Layer):
    """The binomial filter before a strided convolution; `stride` 2 keeps each second value of both axes."""

    def __init__(self, size: int, padding: int, stride: int = 1):
        super().__init__()
        matrix = blur_matrix(size, (padding, padding), stride)
        self.register_buffer("matrix", paddle.to_tensor(matrix), persistable=False)

    def forward(self, x):
        return blur(x, self.matrix)


class ConvLayer(nn.Sequential):
    """Equalised convolution, then bias and leaky ReLU unless `activate` is off; halves an image of `halved_size`."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, halved_size: int | None = None,
                 activate: bool = True, gain: float = GAIN):
        layers, stride, padding = [], 1, kernel_size // 2
        if halved_size and kernel_size == 1:
            # A 1x1 convolution looks at each second value only, so only those are filtered.
            layers.append(Blur(halved_size, 1, stride=2))
        elif halved_size:
            layers.append(Blur(halved_size, 2))
            stride, padding = 2, 0
        layers.append(EqualConv2D(inputs, outputs, kernel_size, stride, padding, gain))
        if activate:
            layers.append(LeakyBias(outputs, gain))
        super().__init__(*layers)


class ResBlock(nn.Layer):
    """Two convolutions beside a 1x1 one, halving the size; the sum's 1 / sqrt(2) is folded into both."""

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = ConvLayer(inputs, outputs, 3, halved_size=size, gain=1.0)
        self.skip = ConvLayer(inputs, outputs, 1, halved_size=size, activate=False, gain=1 / math.sqrt(2))

    def forward(self, x):
        return self.conv2(self.conv1(x)) + self.skip(x)


def minibatch_stddev(x, largest_group: int = 4):
    """Appends the mean standard deviation over groups of the batch as one more channel (Progressive GAN, section 3).

    Groups have four images, or the largest smaller number that divides the batch. Sample i shares its group with
    i + N / group, as published. [N, C, H, W] to [N, C + 1, H, W].
    """
    batch, channels, height, width = x.shape
    group = max(size for size in range(1, largest_group + 1) if batch % size == 0)
    grouped = x.reshape([group, batch // group, channels, height, width])
    centred = grouped - grouped.mean(0, keepdim=True)
    deviation = paddle.sqrt((centred * centred).mean(0) + 1e-8).mean([1, 2, 3])       # [N / group]
    plane = deviation.reshape([1, -1, 1, 1, 1]).expand([group, batch // group, 1, height, width])
    return paddle.concat([x, plane.reshape([batch, 1, height, width])], 1)


class StyleGAN2Discriminator(nn.Layer):
    """Images [N, 3, size, size] in [-1, 1] to logits [N, 1]; twice differentiable, as the R1 penalty needs.

    Arguments and errors as `StyleGAN2Generator`.
    """

    def __init__(self, size: int, channel_multiplier: int = 2, channel_max: int = 512):
        super().__init__()
        self.arguments = {"size": size, "channel_multiplier": channel_multiplier, "channel_max": channel_max}
        log2_size = _log2_of_size(size)
        widths = [channels_at(2 ** exponent, channel_multiplier, channel_max) for exponent in range(log2_size, 1, -1)]
        sizes = [2 ** exponent for exponent in range(log2_size, 2, -1)]
        blocks = [ResBlock(*shape) for shape in zip(widths[:-1], widths[1:], sizes, strict=True)]
        self.convs = nn.Sequential(ConvLayer(3, widths[0], 1), *blocks)
        self.final_conv = ConvLayer(widths[-1] + 1, widths[-1], 3)
        self.final_linear = nn.Sequential(EqualLinear(widths[-1] * 16, widths[-1], activate=True),
                                          EqualLinear(widths[-1], 1))

    def forward(self, images):
        x = self.convs(images)                                       # [N, 512, 4, 4]
        x = self.final_conv(minibatch_stddev(x))
        return self.final_linear(x.reshape([x.shape[0], -1]))        # [N, 1]

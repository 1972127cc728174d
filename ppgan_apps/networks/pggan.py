"""Progressive GAN: two networks that grow (Karras et al. 2018, arXiv 1710.10196, table 2).

Both hold the layers of every resolution from the start; `grow_to` says up to which one they are used, and how much its
layers count. The layers above get no gradient, so an optimizer leaves them as they are.
"""
from __future__ import annotations

import math

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from .equalised import GAIN, EqualConv2D, EqualLinear, LeakyBias
from .layers import add_bias
from .stylegan2 import channels_at, minibatch_stddev


def halve(images):
    """The mean of each 2x2 square: [N, C, 2H, 2W] to [N, C, H, W]."""
    return F.avg_pool2d(images, 2)


def double(images):
    """Every value as a 2x2 square (nearest neighbour): [N, C, H, W] to [N, C, 2H, 2W]."""
    batch, channels, height, width = images.shape
    squares = images.reshape([batch, channels, height, 1, width, 1]).expand([batch, channels, height, 2, width, 2])
    return squares.reshape([batch, channels, 2 * height, 2 * width])


def blend(old, new, alpha: float):
    """(1 - alpha) * old + alpha * new."""
    return old + (new - old) * alpha


def resize_real(images, resolution: int, alpha: float = 1.0):
    """Real pictures [N, C, size, size] as they are shown at a stage, [N, C, resolution, resolution].

    While a resolution is faded in they are mixed with their copies of half that resolution, as G's pictures are.
    """
    while images.shape[-1] > resolution:
        images = halve(images)
    return images if alpha == 1 else blend(double(halve(images)), images, alpha)


class PixelNorm(nn.Layer):
    """Scales the vector of each pixel, or of each sample, to unit mean square (section 4.2); [N, C, ...]."""

    def forward(self, x):
        scale = paddle.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)
        return x * scale.expand_as(x)                                # multiplying without `expand` is slower


class LeakyLinear(EqualLinear):
    """Equalised linear layer and leaky ReLU; He's constant stands at the weight alone, as in section 4.1."""

    def __init__(self, inputs: int, outputs: int, lr_multiplier: float = 1.0):
        super().__init__(inputs, outputs, lr_multiplier=lr_multiplier, activate=True)
        self.bias_scale = lr_multiplier


class Convolution(EqualConv2D):
    """Equalised convolution that keeps the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, gain: float = GAIN):
        super().__init__(inputs, outputs, kernel_size, padding=kernel_size // 2, gain=gain)


def doubling_matrix() -> np.ndarray:
    """float32 [9, 16]: from a 3x3 kernel to the 4x4 one whose transposed convolution of stride 2 and padding 1 is
    "double by nearest neighbour, then convolve"; its reverse makes "convolve, then halve by the mean"."""
    axis = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0]], np.float32)
    return np.kron(axis, axis)


class DoublingConvolution(Convolution):
    """`double`, then the convolution: in one step, less than half the work."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("matrix", paddle.to_tensor(doubling_matrix()), persistable=False)

    def forward(self, x):
        outputs, inputs = self.weight.shape[:2]
        kernel = paddle.matmul(self.weight.reshape([outputs * inputs, 9]) * self.scale, self.matrix)
        kernel = kernel.reshape([outputs, inputs, 4, 4]).transpose([1, 0, 2, 3])
        return F.conv2d_transpose(x, kernel, stride=2, padding=1)


class HalvingConvolution(Convolution):
    """The convolution, then `halve`: in one step, less than half the work; twice differentiable."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("matrix", paddle.to_tensor(doubling_matrix()[:, ::-1] / 4), persistable=False)

    def forward(self, x):
        outputs, inputs = self.weight.shape[:2]
        kernel = paddle.matmul(self.weight.reshape([outputs * inputs, 9]) * self.scale, self.matrix)
        return F.conv2d(x, kernel.reshape([outputs, inputs, 4, 4]), stride=2, padding=1)


class FromLatent(nn.Layer):
    """The 4x4 convolution of a latent that is seen as one pixel, as one matrix product: [N, in] to [N, out, 4, 4]."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = self.create_parameter([inputs, outputs * 16],
                                            default_initializer=nn.initializer.Normal(0.0, 1.0))
        self.scale = GAIN / math.sqrt(inputs * 16)

    def forward(self, z):
        return paddle.matmul(z, self.weight * self.scale).reshape([z.shape[0], -1, 4, 4])


class ToRGB(nn.Layer):
    """The picture of one resolution: a linear 1x1 convolution; [N, C, H, W] to [N, 3, H, W]."""

    def __init__(self, inputs: int):
        super().__init__()
        self.conv = Convolution(inputs, 3, 1, gain=1.0)
        self.bias = self.create_parameter([3], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x):
        return add_bias(self.conv(x), self.bias)


class Growing(nn.Layer):
    """A network with layers for 4, 8 ... `size` pixels, of which those up to `resolution` are used.

    `alpha` is the share of the newest layers; below 1 those one resolution lower make up the rest (figure 2).
    `arguments` holds both, so that a network built from a stored file's arguments works at the stage it was trained to.
    Raises ValueError for a `size` that is no power of two from 8 to 1024, and for a stage that does not fit.
    """

    def __init__(self, size: int, arguments: dict, resolution: int | None, alpha: float):
        super().__init__()
        if size & (size - 1) or not 8 <= size <= 1024:
            raise ValueError(f"The size is {size}, should be a power of two from 8 to 1024 pixels.")
        self.size, self.arguments = size, {"size": size, **arguments}
        self.grow_to(resolution or size, alpha)

    def grow_to(self, resolution: int, alpha: float = 1.0) -> None:
        """From here on uses the layers up to `resolution` (4, 8 ... `size`), the last ones with the share `alpha`."""
        if resolution not in resolutions(self.size) or not 0 <= alpha <= 1 or (resolution == 4 and alpha < 1):
            raise ValueError(f"The stage of {resolution} pixels with a share of {alpha} does not fit a network of "
                             f"{self.size} pixels.")
        self.resolution, self.alpha = resolution, alpha
        self.arguments.update(resolution=resolution, alpha=alpha)

    @property
    def newest(self) -> int:
        """The number of the newest resolution in use: 0 for 4 pixels, 1 for 8 ..."""
        return resolutions(self.size).index(self.resolution)


def resolutions(size: int) -> list[int]:
    """4, 8 ... `size`."""
    return [2 ** exponent for exponent in range(2, size.bit_length())]


class PGGANGenerator(Growing):
    """z [N, latent_dim], of any length each, to pictures [N, 3, resolution, resolution].

    Args:
        size: of the largest pictures, a power of two from 8 to 1024 pixels.
        latent_dim: numbers in z; its direction alone counts.
        channel_multiplier: width at 64 px and above; 1 is the paper's, 256 maps at 64 px.
        channel_max: no layer is wider; the paper's 512.
        resolution, alpha: the stage, see `Growing`; None: the largest.
    """

    def __init__(self, size: int, latent_dim: int = 512, channel_multiplier: float = 1, channel_max: int = 512,
                 resolution: int | None = None, alpha: float = 1.0):
        super().__init__(size, {"latent_dim": latent_dim, "channel_multiplier": channel_multiplier,
                                "channel_max": channel_max}, resolution, alpha)
        self.latent_dim = latent_dim
        widths = [channels_at(side, channel_multiplier, channel_max) for side in resolutions(size)]
        first = [PixelNorm(), FromLatent(latent_dim, widths[0]), *_after(widths[0]),
                 Convolution(widths[0], widths[0]), *_after(widths[0])]
        self.blocks = nn.LayerList([nn.Sequential(*first)])
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            self.blocks.append(nn.Sequential(DoublingConvolution(inputs, outputs), *_after(outputs),
                                             Convolution(outputs, outputs), *_after(outputs)))
        self.to_rgb = nn.LayerList([ToRGB(width) for width in widths])

    def forward(self, z):
        x = z
        for block in self.blocks[:self.newest]:
            x = block(x)
        new = self.to_rgb[self.newest](self.blocks[self.newest](x))
        return new if self.alpha == 1 else blend(double(self.to_rgb[self.newest - 1](x)), new, self.alpha)


def _after(channels: int) -> list[nn.Layer]:
    """What follows each convolution of G."""
    return [LeakyBias(channels, gain=1.0), PixelNorm()]


class PGGANDiscriminator(Growing):
    """Pictures [N, 3, resolution, resolution] in [-1, 1] to logits [N, 1]; twice differentiable, as penalties need.

    The deviation within the batch is seen before the last convolution (section 3), in groups of four as in the
    authors' code. Arguments and errors as `PGGANGenerator`.
    """

    def __init__(self, size: int, channel_multiplier: float = 1, channel_max: int = 512, resolution: int | None = None,
                 alpha: float = 1.0):
        super().__init__(size, {"channel_multiplier": channel_multiplier, "channel_max": channel_max}, resolution,
                         alpha)
        widths = [channels_at(side, channel_multiplier, channel_max) for side in resolutions(size)]
        self.from_rgb = nn.LayerList([nn.Sequential(Convolution(3, width, 1), LeakyBias(width, gain=1.0))
                                      for width in widths])
        width = widths[0]
        self.last_conv = nn.Sequential(Convolution(width + 1, width), LeakyBias(width, gain=1.0))
        self.last_linear = nn.Sequential(LeakyLinear(width * 16, width), EqualLinear(width, 1))
        self.blocks = nn.LayerList()                                 # of 8, 16 ... pixels
        for outputs, inputs, side in zip(widths[:-1], widths[1:], resolutions(size)[1:], strict=True):
            self.blocks.append(nn.Sequential(Convolution(inputs, inputs), LeakyBias(inputs, gain=1.0),
                                             *self.halving(inputs, outputs, side), LeakyBias(outputs, gain=1.0)))

    def halving(self, inputs: int, outputs: int, side: int) -> list[nn.Layer]:
        """The layers that convolve maps of `side` pixels and halve them."""
        return [HalvingConvolution(inputs, outputs)]

    def forward(self, images):
        newest = self.newest
        x = self.from_rgb[newest](images)
        for number in range(newest, 0, -1):
            x = self.blocks[number - 1](x)
            if number == newest and self.alpha < 1:
                x = blend(self.from_rgb[newest - 1](halve(images)), x, self.alpha)
        x = self.last_conv(minibatch_stddev(x))                      # [N, C, 4, 4]
        return self.last_linear(x.reshape([x.shape[0], -1]))         # [N, 1]

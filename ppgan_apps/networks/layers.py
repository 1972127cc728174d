"""Layers that several of the networks share: norms, spectral normalisation, residual block, class activation map."""
from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..sharing import Dropout
from .gradients import mirror, moments, sum_shifted

EPSILON = 1e-5                               # of every norm here


class BatchStatisticsNorm(nn.BatchNorm2D):
    """Batch normalisation that uses the statistics of the batch at hand when evaluating too, as pix2pix does.

    The running `_mean` and `_variance` are kept, because weight files carry them, and move in training only. Since the
    result depends on the whole batch, images must be translated one at a time. Scale starts as N(1, 0.02).
    """

    def __init__(self, channels: int):
        super().__init__(channels, weight_attr=paddle.ParamAttr(initializer=nn.initializer.Normal(1.0, 0.02)))

    def forward(self, x):
        mean, variance = self._mean, self._variance
        if not self.training:                                        # the operator writes to what it is given
            mean, variance = mean.clone(), variance.clone()
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=True,
                            momentum=self._momentum, epsilon=self._epsilon)


def fixed_instance_norm(channels: int) -> nn.InstanceNorm2D:
    """Instance normalisation whose `scale` and `bias` are stored but not trained: 1 and 0 unless loaded otherwise."""
    fixed = {name: paddle.ParamAttr(initializer=nn.initializer.Constant(value), learning_rate=0.0, trainable=False)
             for name, value in (("weight_attr", 1.0), ("bias_attr", 0.0))}
    return nn.InstanceNorm2D(channels, **fixed)


def plain_instance_norm(channels: int) -> nn.InstanceNorm2D:
    """Instance normalisation without scale and bias."""
    return nn.InstanceNorm2D(channels, weight_attr=False, bias_attr=False)


def norm_layer(norm_type: str, channels: int) -> nn.Layer:
    """The layer that `norm_type` "batch", "instance" or "none" names. Raises ValueError for another name."""
    if norm_type == "batch":
        return BatchStatisticsNorm(channels)
    if norm_type == "instance":
        return fixed_instance_norm(channels)
    if norm_type == "none":
        return nn.Identity()
    raise ValueError(f'norm_type is "batch", "instance" or "none", not "{norm_type}".')


def add_bias(x, bias):
    """x [N, C, H, W] plus one number per channel, bias [C].

    The shape [C, 1, 1] makes Paddle take its fast path; [1, C, 1, 1], which its own convolution adds, takes a general
    one that is 19 times slower on a CPU.
    """
    return x + bias.reshape([-1, 1, 1])


class BiasedConv2D(nn.Conv2D):
    """Paddle's convolution, with the bias added on the fast path."""

    def forward(self, x):
        convolved = F.conv2d(x, self.weight, stride=self._stride, padding=self._padding, dilation=self._dilation,
                             groups=self._groups)
        return add_bias(convolved, self.bias)


class BiasedConv2DTranspose(nn.Conv2DTranspose):
    """Paddle's transposed convolution, with the bias added on the fast path."""

    def forward(self, x):
        convolved = F.conv2d_transpose(x, self.weight, stride=self._stride, padding=self._padding,
                                       output_padding=self.output_padding)
        return add_bias(convolved, self.bias)


class OneMapConv2D(nn.Conv2D):
    """Paddle's convolution of stride 1 from many maps to one, as the last layer of a discriminator of patches."""

    def forward(self, x):
        convolved = convolve_to_one_map(x, self.weight, self._padding)
        return convolved if self.bias is None else add_bias(convolved, self.bias)


class RowsConv2D(nn.Conv2D):
    """Paddle's convolution of stride 1 and odd kernel, on a CPU one row of the kernel at a time.

    Paddle copies each pixel's whole neighbourhood and multiplies by it, which for few outputs costs mostly the copy.
    The kernel's rows side by side as outputs of one convolution along rows copy a row's neighbourhood only, and make
    the matrix product a square one; what belongs together is then added. 7x7 from 64 to 32 maps: 2.6 times faster.
    """

    def forward(self, x):
        if paddle.in_dynamic_mode() and x.place.is_cpu_place():
            convolved = convolve_by_rows(x, self.weight, self._padding)
            return convolved if self.bias is None else add_bias(convolved, self.bias)
        return super().forward(x)


def convolve_by_rows(x, weight, padding: int):
    """x [N, C, H, W] and weight [K, C, k, k] to [N, K, H + 2 * padding + 1 - k, W + 2 * padding + 1 - k]."""
    outputs, inputs, rows, columns = weight.shape
    as_outputs = weight.transpose([2, 0, 1, 3]).reshape([rows * outputs, inputs, 1, columns])
    by_row = F.conv2d(F.pad(x, [0, 0, padding, padding]), as_outputs, padding=[0, padding])   # [N, k * K, H', W]
    return sum_shifted(by_row, rows)


def convolve_to_one_map(x, weight, padding: int):
    """x [N, C, H, W] and weight [1, C, k, k] to [N, 1, H + 2 * padding + 1 - k, W + 2 * padding + 1 - k].

    Every tap of the kernel gives one number for each pixel, which is one matrix product; a convolution with a fixed
    kernel then adds those that belong together. Paddle's own copies each pixel's neighbourhood, k * k * C numbers, for
    a single result: PatchGAN's last layer took as long as the one before, which has 512 outputs.
    """
    inputs, size = weight.shape[1], weight.shape[2]
    batch, _, height, width = x.shape
    taps = size * size
    # Expanded, because the second derivative of a product that repeats one matrix for a batch ends the process.
    weights = weight.reshape([1, inputs, taps]).expand([batch, inputs, taps])
    each = paddle.matmul(weights, x.reshape([batch, inputs, height * width]), transpose_x=True)
    together = paddle.eye(taps, dtype=x.dtype).reshape([1, taps, size, size])
    return F.conv2d(each.reshape([batch, taps, height, width]), together, padding=padding)


def convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0, groups: int = 1,
                weight_attr=None, biased: bool = True) -> nn.Conv2D:
    """A convolution with zero-padding; `biased` starts from zero biases."""
    kind = BiasedConv2D if biased else nn.Conv2D
    if outputs == stride == groups == 1 and kernel_size > 1:
        kind = OneMapConv2D
    elif kernel_size > 3 and outputs <= 3 and stride == groups == 1:
        kind = RowsConv2D
    return kind(inputs, outputs, kernel_size, stride, padding, groups=groups, weight_attr=weight_attr,
                bias_attr=bias_attr(biased))


def transposed_convolution(inputs: int, outputs: int, kernel_size: int, stride: int, padding: int,
                           output_padding: int = 0, weight_attr=None, biased: bool = True) -> nn.Conv2DTranspose:
    """A transposed convolution; `biased` starts from zero biases."""
    kind = BiasedConv2DTranspose if biased else nn.Conv2DTranspose
    return kind(inputs, outputs, kernel_size, stride, padding, output_padding=output_padding, weight_attr=weight_attr,
                bias_attr=bias_attr(biased))


class ReflectionPad(nn.Layer):
    """Mirrors `width` pixels beyond each border, by concatenation: on a CPU ten times faster than Paddle's padding."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x):
        return mirror(x, self.width)


def normal_attr(deviation: float = 0.02) -> paddle.ParamAttr:
    """Weights drawn from N(0, deviation): what DCGAN, pix2pix, CycleGAN and AnimeGAN start from."""
    return paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, deviation))


def start_normal(network: nn.Layer, deviation: float = 0.02) -> None:
    """Draws the weights of every convolution and Linear of `network` anew from N(0, deviation)."""
    for layer in network.sublayers():
        if isinstance(layer, (nn.Conv2D, nn.Linear)):
            layer.weight.set_value(paddle.randn(layer.weight.shape) * deviation)


def bias_attr(used: bool = True):
    """Zero biases, or none."""
    return paddle.ParamAttr(initializer=nn.initializer.Constant(0.0)) if used else False


class ResidualBlock(nn.Layer):
    """x + norm(conv(relu(norm(conv(x))))) with padded 3x3 convolutions; published attribute name: `conv_block`.

    Args:
        norm: makes a norm layer from a number of channels.
        weight_attr: start of the convolutions, Paddle's own (He normal) when None.
        padding_type: "reflect", "replicate" or "zero"; only the first two take a slot in `conv_block`.
    """

    def __init__(self, channels: int, norm: Callable[[int], nn.Layer], biased: bool = False, weight_attr=None,
                 dropout: bool = False, padding_type: str = "reflect"):
        super().__init__()
        if padding_type not in ("reflect", "replicate", "zero"):
            raise ValueError(f'padding_type is "reflect", "replicate" or "zero", not "{padding_type}".')
        zero = padding_type == "zero"

        def normed() -> list[nn.Layer]:
            padding = ReflectionPad(1) if padding_type == "reflect" else nn.Pad2D(1, mode="replicate")
            layers = [convolution(channels, channels, 3, padding=int(zero), weight_attr=weight_attr, biased=biased),
                      norm(channels)]
            return layers if zero else [padding, *layers]

        between = [nn.ReLU(), Dropout(0.5)] if dropout else [nn.ReLU()]
        self.conv_block = nn.Sequential(*normed(), *between, *normed())

    def forward(self, x):
        return x + self.conv_block(x)


def layer_instance_norm(x, rho, gamma, beta):
    """gamma * (rho * instance_norm(x) + (1 - rho) * layer_norm(x)) + beta (U-GAT-IT, equation 1).

    x [N, C, H, W]; rho, gamma, beta broadcast to [N, C, 1, 1]. Variances are unbiased, as published. Both norms are
    affine in x, so they are applied together. The layer's moments are summed over all values at once, although they
    follow from the channels': such sums in float32 are off by up to 0.1 % on a CPU, the reference makes them too, and
    exact moments change its picture by more than 1e-4.
    """
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    mean, variance, layer_mean, layer_variance = moments(x)
    values = channels * pixels
    instance = rho * paddle.rsqrt(variance * (pixels / (pixels - 1)) + EPSILON)
    layer = (1 - rho) * paddle.rsqrt(layer_variance * (values / (values - 1)) + EPSILON)
    return (x - mean) * (gamma * (instance + layer)) + (beta + gamma * layer * (mean - layer_mean))


class AdaLIN(nn.Layer):
    """Adaptive layer-instance normalisation: scale and shift are given; the mixing ratio `rho` is learned from 0.9."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = self.create_parameter([1, channels, 1, 1], default_initializer=nn.initializer.Constant(0.9))

    def forward(self, x, gamma, beta):
        return layer_instance_norm(x, self.rho, gamma.unsqueeze([2, 3]), beta.unsqueeze([2, 3]))


class LIN(nn.Layer):
    """Layer-instance normalisation with learned scale and shift; `rho` starts at 0, which is layer normalisation."""

    def __init__(self, channels: int):
        super().__init__()
        start = {"rho": 0.0, "gamma": 1.0, "beta": 0.0}
        for name, value in start.items():
            setattr(self, name, self.create_parameter([1, channels, 1, 1],
                                                      default_initializer=nn.initializer.Constant(value)))

    def forward(self, x):
        return layer_instance_norm(x, self.rho, self.gamma, self.beta)


class _Spectral(nn.Layer):
    """Weights divided by their largest singular value (Miyato et al. 2018, algorithm 1).

    Published names: `weight_orig`, `bias`, and the vectors `weight_u`, `weight_v`, which each forward pass in training
    improves by one power iteration; evaluation uses them as stored.
    """

    def __init__(self, shape: list[int], outputs: int, biased: bool, initializer):
        super().__init__()
        self.bias = self.create_parameter([outputs], is_bias=True) if biased else None
        self.weight_orig = self.create_parameter(shape, default_initializer=initializer)
        for name, width in (("weight_u", outputs), ("weight_v", self.weight_orig.size // outputs)):
            self.register_buffer(name, F.normalize(paddle.randn([width]), axis=0, epsilon=1e-12))

    def matrix(self):
        """The weight as [outputs, all the rest]."""
        return self.weight_orig.reshape([self.weight_orig.shape[0], -1])

    def spectral_norm(self):
        """The weight's largest singular value, a scalar that is differentiable with u and v held fixed."""
        matrix = self.matrix()
        if self.training:
            self._power_iteration(matrix.detach())
        left, right = self.weight_u.clone(), self.weight_v.clone()   # later iterations must not change this graph's
        return (left * paddle.mv(matrix, right)).sum()

    def weight(self):
        """The weight divided by its spectral norm."""
        return self.weight_orig / self.spectral_norm()

    def _power_iteration(self, matrix):
        with paddle.no_grad():
            # A product from the left: `matrix.t()` would copy it.
            right = F.normalize(paddle.matmul(self.weight_u.unsqueeze(0), matrix)[0], axis=0, epsilon=1e-12)
            self.weight_v.set_value(right)
            self.weight_u.set_value(F.normalize(paddle.mv(matrix, right), axis=0, epsilon=1e-12))


class SpectralConv2D(_Spectral):
    """Spectrally normalised convolution. `initializer` None is He normal, Paddle's own."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0,
                 biased: bool = True, initializer=None):
        if initializer is None:
            initializer = nn.initializer.KaimingNormal(fan_in=inputs * kernel_size ** 2)
        super().__init__([outputs, inputs, kernel_size, kernel_size], outputs, biased, initializer)
        self.stride, self.padding = stride, padding

    def forward(self, x):
        weight, norm = self.weight_orig, self.spectral_norm()
        small = weight.size < x.size
        if small:                                              # what is linear may be divided before or after
            weight = weight / norm
        convolved = (convolve_to_one_map(x, weight, self.padding) if weight.shape[0] == self.stride == 1 else
                     F.conv2d(x, weight, stride=self.stride, padding=self.padding))
        if not small:
            convolved = convolved / norm
        return convolved if self.bias is None else add_bias(convolved, self.bias)


class SpectralLinear(_Spectral):
    """Spectrally normalised Linear, weight [in, out]."""

    def __init__(self, inputs: int, outputs: int, biased: bool = True):
        super().__init__([inputs, outputs], outputs, biased, nn.initializer.XavierUniform())

    def matrix(self):
        return self.weight_orig.t()

    def forward(self, x):
        return F.linear(x, self.weight(), self.bias)


def class_activation_map(x, gap_fc, gmp_fc, conv1x1):
    """U-GAT-IT's attention (section 2.1.1): features weighted by what an auxiliary classifier finds important.

    x [N, C, H, W]; the classifiers take the mean and the maximum of each channel; their weights [C, 1] (the raw ones of
    a spectrally normalised classifier, as published) scale the channels; `conv1x1` [C, 2C, 1, 1] mixes both.
    Returns (mixed [N, C, H, W], logits [N, 2]).
    """
    batch, channels = x.shape[:2]
    mean = F.adaptive_avg_pool2d(x, 1).reshape([batch, channels])
    largest = F.adaptive_max_pool2d(x, 1).reshape([batch, channels])
    logits = paddle.concat([gap_fc(mean), gmp_fc(largest)], 1)       # [N, 2]
    # Scaling the channels and mixing them is one convolution, whose weight is small.
    gap_weight, gmp_weight = (linear.weight_orig if isinstance(linear, SpectralLinear) else linear.weight
                              for linear in (gap_fc, gmp_fc))
    by_mean, by_largest = conv1x1.weight.split(2, 1)                 # [C, C, 1, 1] each
    weight = by_mean * gap_weight.reshape([1, -1, 1, 1]) + by_largest * gmp_weight.reshape([1, -1, 1, 1])
    return add_bias(F.conv2d(x, weight), conv1x1.bias), logits

"""Every generator as an ONNX graph: one function per kind of Layer, which says in ONNX's operators what its `forward`
says in Paddle's.

Written out rather than recorded from a run: sizes stay free, a norm, a mirrored border or a doubling is the one
operator that runtimes are fast at, and factors of weights are multiplied in beforehand. `export.py` compares results.
"""
from __future__ import annotations

import functools
import itertools

import numpy as np
import paddle.nn as nn

from .errors import ExportError
from .export_forms import FromLatents, GivenNorms, MeasuredNorms
from .networks import (
    animegan,
    animeganv2,
    cartoongan,
    dcgan,
    landmarks,
    mlp,
    photo2cartoon,
    resnet,
    segmentation,
    stylegan2,
    ugatit,
    unet,
)
from .networks.equalised import GAIN, SLOPE, EqualLinear
from .networks.layers import EPSILON, LIN, AdaLIN, BatchStatisticsNorm, ReflectionPad, ResidualBlock
from .networks.resampling import BINOMIAL
from .onnx_graphs import Graph


@functools.singledispatch
def express(layer, graph: Graph, *values: str):
    """Adds `layer` to `graph` and returns the name of its result, or a tuple of names.

    Raises ExportError for a kind of Layer that has no function here.
    """
    raise ExportError(f"{type(layer).__name__} has no ONNX form: use a generator of the suite, or add one to "
                      "onnx_networks.py.")


def _array(parameter) -> np.ndarray:
    return parameter.astype("float32").numpy()


def _per_channel(parameter) -> np.ndarray:
    return _array(parameter).reshape(-1, 1, 1)


# ---- Paddle's own

@express.register(nn.Sequential)
def _sequential(layer, graph, x):
    for part in layer:
        x = express(part, graph, x)
    return x


@express.register(nn.Identity)
@express.register(nn.Dropout)
def _nothing(layer, graph, x):
    return x


@express.register(nn.ReLU)
def _relu(layer, graph, x):
    return graph.add("Relu", x)


@express.register(nn.LeakyReLU)
def _leaky_relu(layer, graph, x):
    return graph.add("LeakyRelu", x, alpha=layer._negative_slope)


@express.register(nn.Tanh)
def _tanh(layer, graph, x):
    return graph.add("Tanh", x)


@express.register(nn.Sigmoid)
def _sigmoid(layer, graph, x):
    return graph.add("Sigmoid", x)


@express.register(nn.Linear)
def _linear(layer, graph, x):
    return graph.add("Gemm", x, _array(layer.weight), *_bias(layer))


@express.register(nn.Conv2D)
def _convolution(layer, graph, x):
    return graph.add("Conv", x, _array(layer.weight), *_bias(layer), **_windows(layer))


@express.register(nn.Conv2DTranspose)
def _transposed_convolution(layer, graph, x):
    return graph.add("ConvTranspose", x, _array(layer.weight), *_bias(layer), **_windows(layer),
                     output_padding=_pair(layer.output_padding))


def _bias(layer) -> list[np.ndarray]:
    return [] if layer.bias is None else [_array(layer.bias)]


def _windows(layer) -> dict:
    return {"strides": _pair(layer._stride), "pads": 2 * _pair(layer._padding), "dilations": _pair(layer._dilation),
            "group": layer._groups}


def _pair(size) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


@express.register(nn.InstanceNorm2D)
def _instance_norm(layer, graph, x):
    return _instance_normalised(graph, x, layer.scale, layer.bias, layer._num_features, layer._epsilon)


@express.register(BatchStatisticsNorm)
def _batch_statistics_norm(layer, graph, x):
    """Each image by its own statistics: what the layer does with one image at a time, as it is to be used."""
    return _instance_normalised(graph, x, layer.weight, layer.bias, layer._num_features, layer._epsilon)


def _instance_normalised(graph, x, scale, shift, channels: int, epsilon: float):
    scale = np.ones(channels) if scale is None else _array(scale)
    shift = np.zeros(channels) if shift is None else _array(shift)
    return graph.add("InstanceNormalization", x, scale, shift, epsilon=epsilon)


@express.register(nn.GroupNorm)
def _group_norm(layer, graph, x):
    groups = layer._num_groups
    if groups == 1 and graph.measured_moments is not None:
        return _measured_layer_norm(layer, graph, x)
    if groups == 1 and graph.given_moments is not None:
        return _given_layer_norm(layer, graph, x)
    if groups == 1:
        return _layer_norm(layer, graph, x)
    grouped = graph.add("Reshape", x, [0, groups, -1])
    normalised = graph.add("InstanceNormalization", grouped, np.ones(groups), np.zeros(groups), epsilon=layer._epsilon)
    restored = graph.add("Reshape", normalised, graph.add("Shape", x))
    return graph.add("Add", graph.add("Mul", restored, _per_channel(layer.weight)), _per_channel(layer.bias))


def _layer_norm(layer, graph, x):
    """Moments from the channels' sums, then one factor and one summand a channel: as an instance norm of the reshaped
    picture a single thread would work on it, and OpenVINO would turn it into another order of memory and back."""
    count = np.float32(layer._num_channels)
    pixels = graph.add("Cast", graph.add("ReduceProd", graph.add("Shape", x, start=2, end=4), keepdims=0), to=1)
    mean = graph.add("ReduceMean", graph.add("ReduceMean", x, axes=[2, 3]), axes=[1])            # [N, 1, 1, 1]
    lengths = graph.add("ReduceL2", x, axes=[2, 3])                                              # [N, C, 1, 1]
    squares = graph.add("ReduceSumSquare", lengths, axes=[1])                                    # [N, 1, 1, 1]
    mean_square = graph.add("Div", squares, graph.add("Mul", pixels, count))
    variance = graph.add("Sub", mean_square, graph.add("Mul", mean, mean))
    inverse = graph.add("Reciprocal", graph.add("Sqrt", graph.add("Add", variance, np.float32(layer._epsilon))))
    scale = graph.add("Mul", inverse, _per_channel(layer.weight))                                # [N, C, 1, 1]
    shift = graph.add("Sub", _per_channel(layer.bias), graph.add("Mul", mean, scale))
    return graph.add("Add", graph.add("Mul", x, scale), shift)


def _measured_layer_norm(layer, graph, x):
    mean = graph.add("ReduceMean", x, axes=[1, 2, 3])                            # [1, 1, 1, 1]
    centred = graph.add("Sub", x, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1, 2, 3])
    deviation = graph.add("Sqrt", graph.add("Add", variance, np.float32(layer._epsilon)))
    inverse = graph.add("Reciprocal", deviation)
    graph.measured_moments.append(graph.add("Reshape", graph.add("Concat", mean, inverse, axis=3), [1, 2]))
    scale = graph.add("Mul", inverse, _per_channel(layer.weight))
    return graph.add("Add", graph.add("Mul", centred, scale), _per_channel(layer.bias))


def _given_layer_norm(layer, graph, x):
    moments = next(graph.given_moments)                                          # [2]
    mean, inverse = (graph.add("Gather", moments, index, axis=0) for index in range(2))
    scale = graph.add("Mul", inverse, _per_channel(layer.weight))                # [C, 1, 1]
    shift = graph.add("Sub", _per_channel(layer.bias), graph.add("Mul", mean, scale))
    return graph.add("Add", graph.add("Mul", x, scale), shift)


@express.register(MeasuredNorms)
def _measured_norms(layer, graph, x):
    graph.measured_moments = []
    picture = express(layer.network, graph, x)
    return picture, graph.add("Concat", *graph.measured_moments, axis=0)


@express.register(GivenNorms)
def _given_norms(layer, graph, x, moments):
    graph.given_moments = (graph.add("Gather", moments, index, axis=0) for index in itertools.count())
    return express(layer.network, graph, x)


@express.register(nn.BatchNorm2D)
def _batch_norm(layer, graph, x):
    moments = [_array(given) for given in (layer.weight, layer.bias, layer._mean, layer._variance)]
    return graph.add("BatchNormalization", x, *moments, epsilon=layer._epsilon)


@express.register(nn.Upsample)
def _upsample(layer, graph, x):
    asymmetric = layer.mode == "nearest" or layer.align_mode == 1
    coordinates = "align_corners" if layer.align_corners else "asymmetric" if asymmetric else "half_pixel"
    return _resized(graph, x, float(layer.scale_factor), layer.mode, coordinates)


def _resized(graph, x, factor: float, mode: str, coordinates: str):
    scales = np.array([1, 1, factor, factor], np.float32)
    return graph.add("Resize", x, None, scales, mode="nearest" if mode == "nearest" else "linear",
                     coordinate_transformation_mode=coordinates, nearest_mode="floor")


@express.register(nn.Pad2D)
def _pad(layer, graph, x):
    left, right, top, bottom = layer._pad
    modes = {"replicate": "edge", "reflect": "reflect", "constant": "constant"}
    return graph.add("Pad", x, [0, 0, top, left, 0, 0, bottom, right], mode=modes[layer._mode])


# ---- layers.py

@express.register(ReflectionPad)
def _reflection_pad(layer, graph, x):
    width = layer.width
    return graph.add("Pad", x, [0, 0, width, width, 0, 0, width, width], mode="reflect")


@express.register(ResidualBlock)
def _residual_block(layer, graph, x):
    return graph.add("Add", x, express(layer.conv_block, graph, x))


def _layer_instance_norm(graph, x, rho: np.ndarray, gamma, beta):
    """`layers.layer_instance_norm`: rho is [1, C, 1, 1], gamma and beta are constants or values of such shapes. The
    layer's moments are made from the channels', so the pixels are read three times and not five."""
    def one_over_deviation(squares, count):
        variance = graph.add("Div", squares, graph.add("Sub", count, np.float32(1)))
        return graph.add("Reciprocal", graph.add("Sqrt", graph.add("Add", variance, np.float32(EPSILON))))

    size = graph.add("Shape", x, start=2, end=4)
    pixels = graph.add("Cast", graph.add("ReduceProd", size, keepdims=0), to=1)
    values = graph.add("Mul", pixels, np.float32(rho.size))
    mean = graph.add("ReduceMean", x, axes=[2, 3])                               # [N, C, 1, 1]
    centred = graph.add("Sub", x, mean)
    squares = graph.add("ReduceSumSquare", centred, axes=[2, 3])                 # [N, C, 1, 1]
    from_layer = graph.add("Sub", mean, graph.add("ReduceMean", mean, axes=[1]))
    between = graph.add("Mul", pixels, graph.add("ReduceSumSquare", from_layer, axes=[1]))
    layer_squares = graph.add("Add", graph.add("ReduceSum", squares, [1]), between)   # [N, 1, 1, 1]
    instance = graph.add("Mul", one_over_deviation(squares, pixels), rho)
    layer = graph.add("Mul", one_over_deviation(layer_squares, values), 1 - rho)
    scale = graph.add("Mul", graph.add("Add", instance, layer), gamma)
    shift = graph.add("Add", graph.add("Mul", graph.add("Mul", layer, from_layer), gamma), beta)
    return graph.add("Add", graph.add("Mul", centred, scale), shift)


@express.register(LIN)
def _lin(layer, graph, x):
    return _layer_instance_norm(graph, x, _array(layer.rho), _array(layer.gamma), _array(layer.beta))


@express.register(AdaLIN)
def _adalin(layer, graph, x, gamma, beta):
    return _layer_instance_norm(graph, x, _array(layer.rho), _as_maps(graph, gamma), _as_maps(graph, beta))


def _as_maps(graph, vectors):
    """[N, C] to [N, C, 1, 1]."""
    return graph.add("Unsqueeze", vectors, [2, 3])


def _class_activation_map(graph, x, network):
    """`layers.class_activation_map`, whose two steps are one convolution known beforehand."""
    mean = graph.add("Flatten", graph.add("GlobalAveragePool", x))               # [N, C]
    largest = graph.add("Flatten", graph.add("GlobalMaxPool", x))
    logits = graph.add("Concat", express(network.gap_fc, graph, mean), express(network.gmp_fc, graph, largest), axis=1)
    by_mean, by_largest = np.split(_array(network.conv1x1.weight), 2, axis=1)    # [C, C, 1, 1] each
    gap, gmp = (_array(linear.weight).reshape(1, -1, 1, 1) for linear in (network.gap_fc, network.gmp_fc))
    mixed = graph.add("Conv", x, by_mean * gap + by_largest * gmp, _array(network.conv1x1.bias))
    return mixed, logits


# ---- U-GAT-IT and Photo2Cartoon

def _heatmap(graph, x):
    return graph.add("ReduceSum", x, [1])                                        # [N, 1, H, W]


def _style(graph, network, x):
    pooled = graph.add("GlobalAveragePool", x) if network.light else x
    return express(network.FC, graph, graph.add("Flatten", pooled))              # [N, C]


@express.register(ugatit.AdaLINBlock)
@express.register(photo2cartoon.SoftAdaLINBlock)
def _adaptive_block(layer, graph, x, *styles):
    """`styles` is what the block's norms are told: gamma and beta, or content and style."""
    out = express(layer.conv1, graph, express(layer.pad1, graph, x))
    out = graph.add("Relu", express(layer.norm1, graph, out, *styles))
    out = express(layer.conv2, graph, express(layer.pad2, graph, out))
    return graph.add("Add", x, express(layer.norm2, graph, out, *styles))


@express.register(ugatit.UGATITGenerator)
def _ugatit(network, graph, x):
    x, logits = _class_activation_map(graph, express(network.DownBlock, graph, x), network)
    x = graph.add("Relu", x)
    heatmap = _heatmap(graph, x)
    style = _style(graph, network, x)
    gamma, beta = express(network.gamma, graph, style), express(network.beta, graph, style)
    for block in range(1, network.n_blocks + 1):
        x = express(getattr(network, f"UpBlock1_{block}"), graph, x, gamma, beta)
    return express(network.UpBlock2, graph, x), logits, heatmap


@express.register(photo2cartoon.PyramidBlock)
def _pyramid_block(layer, graph, x):
    half = express(layer.conv_block1, graph, x)
    quarter = express(layer.conv_block2, graph, half)
    joined = graph.add("Concat", half, quarter, express(layer.conv_block3, graph, quarter), axis=1)
    return graph.add("Add", x, joined)


@express.register(photo2cartoon.HourglassBody)
def _hourglass_body(layer, graph, x):
    depth, skips = photo2cartoon.HOURGLASS_DEPTH, []
    for index in range(1, depth + 1):
        skips.append(express(getattr(layer, f"ConvBlockskip{index}"), graph, x))
        x = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = express(getattr(layer, f"ConvBlock{index}"), graph, x)
    x = express(getattr(layer, f"ConvBlock{depth + 1}"), graph, x)
    for index in range(depth + 2, 2 * depth + 2):
        x = _resized(graph, express(getattr(layer, f"ConvBlock{index}"), graph, x), 2.0, "nearest", "asymmetric")
        x = graph.add("Add", skips.pop(), x)
    return x


@express.register(photo2cartoon.Hourglass)
def _hourglass(layer, graph, x):
    features = express(layer.HG, graph, x)
    picture = express(layer.Conv1, graph, features)
    if layer.returns_picture:
        return picture
    x = graph.add("Add", x, express(layer.Conv2, graph, features))
    return graph.add("Add", x, express(layer.Conv3, graph, picture))


@express.register(photo2cartoon.SoftAdaLIN)
def _soft_adalin(layer, graph, x, content, style):
    def mixed(of_style, of_content, share: np.ndarray):
        return graph.add("Add", graph.add("Mul", express(of_style, graph, style), 1 - share),
                         graph.add("Mul", express(of_content, graph, content), share))
    gamma = mixed(layer.s_gamma, layer.c_gamma, _array(layer.w_gamma))
    beta = mixed(layer.s_beta, layer.c_beta, _array(layer.w_beta))
    return express(layer.norm, graph, x, gamma, beta)


@express.register(photo2cartoon.Photo2CartoonGenerator)
def _photo2cartoon(network, graph, x):
    x = express(network.DownBlock, graph, x)
    contents = []
    for block in range(1, network.n_blocks + 1):
        x = express(getattr(network, f"EncodeBlock{block}"), graph, x)
        contents.append(graph.add("Flatten", graph.add("GlobalAveragePool", x)))
    x, logits = _class_activation_map(graph, x, network)
    x = graph.add("Relu", x)
    heatmap = _heatmap(graph, x)
    style = _style(graph, network, x)
    last = min(network.n_blocks, 4) - 1
    for block in range(network.n_blocks):
        x = express(getattr(network, f"DecodeBlock{block + 1}"), graph, x, contents[last - block], style)
    return express(network.UpBlock, graph, x), logits, heatmap


# ---- AnimeGAN, AnimeGANv2, CartoonGAN, CycleGAN, pix2pix

@express.register(animegan.DownConv)
def _down_conv(layer, graph, x):
    resized = express(layer.resized, graph, _resized(graph, x, 0.5, "bilinear", "half_pixel"))
    return graph.add("Add", express(layer.strided, graph, x), resized)


@express.register(animegan.InvertedResidual)
@express.register(animeganv2.LiteBlock)
def _residual_body(layer, graph, x):
    return graph.add("Add", x, express(layer.body, graph, x))


@express.register(animegan.AnimeGANGenerator)
def _animegan(network, graph, x):
    return graph.add("Tanh", _chain(graph, x, network.encoder, network.middle, network.decoder, network.out))


def _chain(graph, x, *layers):
    for layer in layers:
        x = express(layer, graph, x)
    return x


@express.register(animeganv2.ConvNormLReLU)
def _conv_norm_lrelu(layer, graph, x):
    return _chain(graph, x, *([] if layer.pad is None else [layer.pad]), layer.conv, layer.norm, layer.lrelu)


@express.register(animeganv2.ReflectBelowRight)
def _reflect_below_right(layer, graph, x):
    return graph.add("Pad", x, [0, 0, 0, 0, 0, 0, 1, 1], mode="reflect")


@express.register(animeganv2.InvertedBlock)
def _inverted_block(layer, graph, x):
    widen, *rest = layer.body
    narrow = _chain(graph, x, widen, layer.pad, *rest)
    return graph.add("Add", x, narrow) if layer.skip else narrow


@express.register(animeganv2.AnimeGANv2Generator)
def _animeganv2(network, graph, x):
    return _chain(graph, x, network.A, network.B, network.C, network.D, network.E, network.out)


@express.register(cartoongan.CartoonGANGenerator)
def _cartoongan(network, graph, x):
    return _chain(graph, x, network.down, network.blocks, network.up)


@express.register(resnet.ResnetGenerator)
@express.register(unet.UnetGenerator)
@express.register(unet._Outermost)
def _model(layer, graph, x):
    return express(layer.model, graph, x)


@express.register(unet._Level)
def _unet_level(layer, graph, x):
    return graph.add("Concat", x, express(layer.model, graph, x), axis=1)


# ---- Faces: LandmarkNet and PortraitSegmenter

@express.register(landmarks.Bottleneck)
def _bottleneck(layer, graph, x):
    return graph.add("Relu", graph.add("Add", x, express(layer.body, graph, x)))


@express.register(landmarks.LandmarkNet)
def _landmark_net(network, graph, patch):
    x = graph.add("Sub", patch, graph.add("ReduceMean", patch, axes=[1, 2, 3]))
    contrast = graph.add("Sqrt", graph.add("Add", graph.add("ReduceMean", graph.add("Mul", x, x), axes=[1, 2, 3]),
                                           np.float32(1e-3)))
    x = graph.add("Div", graph.add("Mul", x, np.float32(0.5)), contrast)
    # Of a single channel the blocks' pixels come in the order of pixel_unshuffle.
    quarter = express(network.quarter, graph, graph.add("SpaceToDepth", x, blocksize=landmarks.BLOCK))
    eighth = express(network.eighth, graph, quarter)
    sixteenth = express(network.sixteenth, graph, eighth)
    hidden = express(network.hidden, graph, graph.add("Flatten", express(network.last, graph, sixteenth)))
    hidden = graph.add("HardSwish", hidden)
    shape = graph.add("Reshape", express(network.shape, graph, hidden), [-1, network.points, 2])
    wide = _resized(graph, express(network.coarse, graph, sixteenth), 2.0, "bilinear", "half_pixel")
    wide = graph.add("Add", wide, _as_maps(graph, express(network.context, graph, hidden)))
    fused = express(network.fused, graph, graph.add("Relu", graph.add("Add", eighth, wide)))
    heat = graph.add("Reshape", express(network.heat, graph, fused), [0, 0, -1])                 # [N, points, cells]
    return shape, graph.add("MatMul", graph.add("Softmax", heat, axis=-1), _array(network.places))


@express.register(segmentation.InvertedResidual)
def _inverted_residual(layer, graph, x):
    y = _chain(graph, x, layer.expand, layer.depthwise, layer.project)
    return graph.add("Add", x, y) if layer.residual else y


@express.register(segmentation.Fuse)
def _fuse(layer, graph, coarse, fine):
    enlarged = _resized(graph, express(layer.coarse, graph, coarse), 2.0, "bilinear", "half_pixel")
    return _chain(graph, graph.add("Relu", graph.add("Add", enlarged, fine)), layer.depthwise, layer.pointwise)


@express.register(segmentation.PortraitSegmenter)
def _portrait_segmenter(network, graph, x):
    half = express(network.stem, graph, x)
    quarter = express(network.quarter, graph, half)
    eighth = express(network.eighth, graph, quarter)
    sixteenth = express(network.sixteenth, graph, eighth)
    context = express(network.context, graph, graph.add("GlobalAveragePool", sixteenth))
    fused = graph.add("Relu", graph.add("Add", sixteenth, context))
    for fuse, finer in ((network.fuse_eighth, eighth), (network.fuse_quarter, quarter), (network.fuse_half, half)):
        fused = express(fuse, graph, fused, finer)
    return _resized(graph, express(network.head, graph, fused), 2.0, "bilinear", "half_pixel")


# ---- Generators of latents

@express.register(mlp.MLPGenerator)
def _mlp(network, graph, z):
    pictures = graph.add("Reshape", express(network.layers, graph, z), [-1, *network.shape])
    return graph.add("Sub", graph.add("Mul", pictures, np.float32(2)), np.float32(1))


@express.register(dcgan.DCGANGenerator)
def _dcgan(network, graph, z, labels=None):
    if labels is not None:
        z = graph.add("Concat", z, graph.add("Gather", _array(network.embedding.weight), labels), axis=1)
    return express(network.layers, graph, _as_maps(graph, z))


@express.register(dcgan.AvatarGenerator)
def _avatar(network, graph, z):
    return express(network.layers, graph, graph.add("Reshape", z, [0, -1, 3, 3]))


@express.register(dcgan.BasicBlock)
def _basic_block(layer, graph, x):
    return graph.add("Relu", graph.add("Add", express(layer.shortcut, graph, x), express(layer.body, graph, x)))


@express.register(stylegan2.PixelNorm)
def _pixel_norm(layer, graph, x):
    power = graph.add("ReduceMean", graph.add("Mul", x, x), axes=[1])
    return graph.add("Div", x, graph.add("Sqrt", graph.add("Add", power, np.float32(1e-8))))


@express.register(EqualLinear)
def _equal_linear(layer, graph, x):
    x = graph.add("Gemm", x, _array(layer.weight) * layer.weight_scale, _array(layer.bias) * layer.bias_scale)
    return graph.add("LeakyRelu", x, alpha=SLOPE) if layer.activate else x


@express.register(stylegan2.ModulatedConv2D)
def _modulated_convolution(layer, graph, x, w, gain: float = 1.0):
    style = express(layer.modulation, graph, w)                                  # [N, in]
    weight = _array(layer.weight)[0] * layer.scale                               # [out, in, k, k]
    x = graph.add("Mul", x, _as_maps(graph, style))
    if not layer.demodulate:
        return graph.add("Conv", x, weight)
    squares = graph.add("Gemm", graph.add("Mul", style, style), (weight ** 2).sum((2, 3)), transB=1)   # [N, out]
    deviation = graph.add("Sqrt", graph.add("Add", squares, np.float32(1e-8)))
    if layer.input_size:
        x = graph.add("ConvTranspose", x, weight.transpose(1, 0, 2, 3), strides=[2, 2])
        x = _blurred(graph, x, len(weight))
    else:
        x = graph.add("Conv", x, weight, pads=[layer.padding] * 4)
    return graph.add("Mul", x, _as_maps(graph, graph.add("Div", np.float32(gain), deviation)))


def _blurred(graph, x, channels: int):
    """The binomial filter, of gain 2 along each axis, over maps padded by one pixel."""
    taps = BINOMIAL * 2 / BINOMIAL.sum()
    kernel = np.broadcast_to(np.outer(taps, taps), (channels, 1, 4, 4))
    return graph.add("Conv", x, kernel, pads=[1, 1, 1, 1], group=channels)


@express.register(stylegan2.StyledConv)
def _styled_convolution(layer, graph, x, w, noise: np.ndarray):
    x = express(layer.conv, graph, x, w, GAIN)
    x = graph.add("Add", x, noise * _array(layer.noise.weight) * GAIN)
    x = graph.add("Add", x, _per_channel(layer.activate.bias) * np.float32(layer.activate.gain))
    return graph.add("LeakyRelu", x, alpha=SLOPE)


@express.register(stylegan2.DoubleRGB)
def _double_rgb(layer, graph, picture):
    kernel = np.broadcast_to(_array(layer.kernel), (3, 1, 4, 4))
    return graph.add("ConvTranspose", picture, kernel, strides=[2, 2], pads=[1, 1, 1, 1], group=3)


@express.register(stylegan2.ToRGB)
def _to_rgb(layer, graph, x, w, picture=None):
    rgb = graph.add("Add", express(layer.conv, graph, x, w), _per_channel(layer.bias))
    return rgb if picture is None else graph.add("Add", rgb, express(layer.upsample, graph, picture))


@express.register(FromLatents)
def _from_latents(layer, graph, latents, truncation=None):
    network, width = layer.network, layer.network.style_dim
    w = latents                                                                  # [N, 1 or n_latent, style_dim]
    if layer.latent == "z":
        flat = express(network.style, graph, graph.add("Reshape", latents, [-1, width]))
        w = graph.add("Reshape", flat, graph.add("Shape", latents))
    if truncation is None and layer.truncation < 1:
        truncation = graph.constant(np.float32(layer.truncation))
    if truncation is not None:
        mean = graph.constant(_array(layer.mean_w))                              # [1, style_dim]
        w = graph.add("Add", graph.add("Mul", graph.add("Sub", w, mean), truncation), mean)
    w = graph.add("Expand", w, [1, network.n_latent, 1])
    styles = [graph.add("Gather", w, index, axis=1) for index in range(network.n_latent)]
    noise = [_array(each) for each in network.stored_noise()]
    batch = graph.add("Shape", latents, start=0, end=1)
    start = graph.add("Expand", _array(network.input.input), graph.add("Concat", batch, [1, 1, 1], axis=0))
    x = express(network.conv1, graph, start, styles[0], noise[0])
    picture = express(network.to_rgb1, graph, x, styles[1])
    for index, to_rgb in enumerate(network.to_rgbs):
        first, second = 2 * index, 2 * index + 1
        x = express(network.convs[first], graph, x, styles[first + 1], noise[first + 1])
        x = express(network.convs[second], graph, x, styles[second + 1], noise[second + 1])
        picture = express(to_rgb, graph, x, styles[second + 2], picture)
    return picture

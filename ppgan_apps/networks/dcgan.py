"""Two pairs of DCGAN networks (Radford 2016, arXiv 1511.06434): the paper's for 8, 12, 16, 24 ... px; one for 96 px."""
from __future__ import annotations

import paddle
import paddle.nn as nn

from ..sharing import Dropout
from .layers import convolution, normal_attr, transposed_convolution

LABEL_DIM = 50                               # numbers that a label becomes before it joins z or the features


class DCGANGenerator(nn.Layer):
    """Latents [N, latent_dim], and labels [N] when there are classes, to pictures [N, channels, size, size] in [-1, 1].

    A transposed convolution to 4x4 (6x6), then one for each doubling: four in all at 32 (48) px, with 4, 2, 1 x `width`
    maps.

    Args:
        size: a power of two from 8 on, or three times one from 12 on, which begins at 6x6 instead of the paper's 4x4.
        momentum: share of the running statistics that batch normalisation keeps at each step.
        classes: 0, or the number of labels; a label's embedding is put beside z (Mirza 2014, section 3.2).
    Convolutions start as N(0, 0.02). Raises ValueError for another size.
    """

    def __init__(self, size: int = 32, latent_dim: int = 100, width: int = 64, channels: int = 3,
                 momentum: float = 0.9, classes: int = 0):
        super().__init__()
        self.arguments = {"size": size, "latent_dim": latent_dim, "width": width, "channels": channels,
                          "momentum": momentum, "classes": classes}
        start, doublings = _start_and_doublings(size)
        widest = width * 2 ** (doublings - 1)
        if classes:
            self.embedding = _embedding(classes)
        inputs = latent_dim + (LABEL_DIM if classes else 0)
        layers = [transposed_convolution(inputs, widest, start, 1, 0, weight_attr=normal_attr(), biased=False),
                  _batch_norm(widest, momentum), nn.ReLU()]
        while widest > width:
            layers += [*_doubling(widest, widest // 2, momentum)]
            widest //= 2
        self.layers = nn.Sequential(*layers, *_picture(width, channels))

    def forward(self, z, labels=None):
        if labels is not None:
            z = paddle.concat([z, self.embedding(labels)], 1)
        return self.layers(z.unsqueeze([2, 3]))


class DCGANDiscriminator(nn.Layer):
    """Pictures [N, channels, size, size], and labels [N] when there are classes, to logits [N, 1].

    Args:
        norm: whether batch normalisation follows the convolutions between the first and the last. A critic whose
            gradient is penalised sample by sample has none (Gulrajani 2017, section 4).
        dropout: share of the values dropped after each activation in training.
        classes: 0, or the number of labels; a label's embedding is put beside the features at 4x4, and one more layer
            sees both (Mirza 2014, section 3.2).
    Convolutions start as N(0, 0.02). Raises ValueError for a size that the generator does not have.
    """

    def __init__(self, size: int = 32, width: int = 64, channels: int = 3, norm: bool = True, momentum: float = 0.9,
                 dropout: float = 0.0, classes: int = 0):
        super().__init__()
        self.arguments = {"size": size, "width": width, "channels": channels, "norm": norm, "momentum": momentum,
                          "dropout": dropout, "classes": classes}
        layers = _halving(channels, width, None, dropout)
        start, doublings = _start_and_doublings(size)
        for _ in range(doublings - 1):
            layers += _halving(width, 2 * width, momentum if norm else None, dropout)
            width *= 2
        self.features = nn.Sequential(*layers)
        if classes:
            self.embedding = _embedding(classes)
            self.joint = nn.Sequential(convolution(width + LABEL_DIM, width, 3, 1, 1, weight_attr=normal_attr()),
                                       nn.LeakyReLU(0.2))
        self.head = convolution(width, 1, start, weight_attr=normal_attr())

    def forward(self, x, labels=None):
        x = self.features(x)                                   # [N, 4 * width, 4, 4] at 32 px
        if labels is not None:
            label = self.embedding(labels).unsqueeze([2, 3]).expand([len(x), LABEL_DIM, *x.shape[2:]])
            x = self.joint(paddle.concat([x, label], 1))
        return self.head(x).reshape([len(x), 1])


class AvatarGenerator(nn.Layer):
    """Latents [N, 72] to pictures [N, channels, 96, 96] in [-1, 1].

    The latents are seen as 8 maps of 3x3; a residual block widens them, then five transposed convolutions double them.
    `momentum` is the share of the running statistics that batch normalisation keeps at each step.
    """

    def __init__(self, latent_dim: int = 72, width: int = 64, channels: int = 3, momentum: float = 0.5):
        super().__init__()
        if latent_dim % 9:
            raise ValueError(f"latent_dim is {latent_dim}, should be a multiple of 9: the latents are maps of 3x3.")
        self.arguments = {"latent_dim": latent_dim, "width": width, "channels": channels, "momentum": momentum}
        self.layers = nn.Sequential(
            BasicBlock(latent_dim // 9, 8 * width, momentum),  # [N, 8 * width, 3, 3]
            *_doubling(8 * width, 8 * width, momentum), *_doubling(8 * width, 4 * width, momentum),
            *_doubling(4 * width, 2 * width, momentum), *_doubling(2 * width, width, momentum),
            *_picture(width, channels))

    def forward(self, z):
        return self.layers(z.reshape([len(z), -1, 3, 3]))


class AvatarDiscriminator(nn.Layer):
    """Pictures [N, channels, 96, 96] to logits [N, outputs]; two outputs are (generated, real) for a softmax.

    Args: as of DCGANDiscriminator.
    """

    def __init__(self, width: int = 64, channels: int = 3, outputs: int = 2, norm: bool = True, momentum: float = 0.5,
                 dropout: float = 0.4):
        super().__init__()
        self.arguments = {"width": width, "channels": channels, "outputs": outputs, "norm": norm,
                          "momentum": momentum, "dropout": dropout}
        layers = _halving(channels, width, None, dropout)
        for narrow, wide in ((1, 2), (2, 4), (4, 8), (8, 8)):
            layers += _halving(narrow * width, wide * width, momentum if norm else None, dropout)
        self.features = nn.Sequential(*layers)                 # [N, 8 * width, 3, 3]
        self.head = convolution(8 * width, outputs, 3, weight_attr=normal_attr())

    def forward(self, x):
        return self.head(self.features(x)).reshape([len(x), -1])


class BasicBlock(nn.Layer):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x)))))), the basic residual block (He 2016, section 4.1).

    The shortcut is a normalised 1x1 convolution, since the block also changes the number of maps.
    """

    def __init__(self, inputs: int, outputs: int, momentum: float = 0.9):
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, 1, 1, weight_attr=normal_attr(), biased=False),
            _batch_norm(outputs, momentum), nn.ReLU(),
            convolution(outputs, outputs, 3, 1, 1, weight_attr=normal_attr(), biased=False),
            _batch_norm(outputs, momentum))
        self.shortcut = nn.Sequential(convolution(inputs, outputs, 1, weight_attr=normal_attr(), biased=False),
                                      _batch_norm(outputs, momentum))

    def forward(self, x):
        return nn.functional.relu(self.shortcut(x) + self.body(x))


def _start_and_doublings(size: int) -> tuple[int, int]:
    """The side that the maps begin with, 4 or 6, and how often it is doubled to give `size`."""
    start = 6 if size % 3 == 0 else 4
    doublings = (size // start).bit_length() - 1
    if doublings < 1 or start << doublings != size:
        raise ValueError(f"size is {size}, should be a power of two from 8 on, or three times one from 12 on.")
    return start, doublings


def _doubling(inputs: int, outputs: int, momentum: float) -> list[nn.Layer]:
    return [transposed_convolution(inputs, outputs, 4, 2, 1, weight_attr=normal_attr(), biased=False),
            _batch_norm(outputs, momentum), nn.ReLU()]


def _picture(inputs: int, channels: int) -> list[nn.Layer]:
    return [transposed_convolution(inputs, channels, 4, 2, 1, weight_attr=normal_attr()), nn.Tanh()]


def _halving(inputs: int, outputs: int, momentum: float | None, dropout: float) -> list[nn.Layer]:
    """A strided convolution; batch normalisation unless `momentum` is None, which gives it a bias instead."""
    layers = [convolution(inputs, outputs, 4, 2, 1, weight_attr=normal_attr(), biased=momentum is None)]
    if momentum is not None:
        layers.append(_batch_norm(outputs, momentum))
    return [*layers, nn.LeakyReLU(0.2), *([Dropout(dropout)] if dropout else [])]


def _batch_norm(channels: int, momentum: float) -> nn.BatchNorm2D:
    return nn.BatchNorm2D(channels, momentum,
                          weight_attr=paddle.ParamAttr(initializer=nn.initializer.Normal(1.0, 0.02)))


def _embedding(classes: int) -> nn.Embedding:
    """A label's numbers, of the same spread as z."""
    return nn.Embedding(classes, LABEL_DIM, weight_attr=normal_attr(1.0))

"""Losses between pictures: content, style, colour and smoothness (Gatys 2016, Johnson 2016, Chen 2020 AnimeGAN)."""
from __future__ import annotations

import paddle
import paddle.nn.functional as F

# Rec. 601 luma and analogue chroma, rows R, G, B and columns Y, U, V.
_RGB_TO_YUV = ((0.299, -0.14714119, 0.61497538), (0.587, -0.28886916, -0.51496512), (0.114, 0.43601035, -0.10001026))


def content(features_a, features_b):
    """Mean absolute difference of two feature maps [N, C, H, W]: AnimeGAN, eq. 3."""
    return F.l1_loss(features_a, features_b)


def gram(features):
    """Correlations of the channels, [N, C, C], divided by C H W: Gatys 2016, eq. 3."""
    batch, channels, height, width = features.shape
    flat = features.reshape([batch, channels, height * width])
    return paddle.matmul(flat, flat, transpose_y=True) / (channels * height * width)


def style(features_a, features_b):
    """Mean absolute difference of two Gram matrices: AnimeGAN, eq. 4."""
    return F.l1_loss(gram(features_a), gram(features_b))


def to_yuv(images):
    """RGB [N, 3, H, W] in [-1, 1] -> YUV [N, 3, H, W]; Y in [0, 1], U and V around 0."""
    matrix = paddle.to_tensor(_RGB_TO_YUV, dtype=images.dtype)
    unit = (images + 1) / 2
    return paddle.matmul(unit.transpose([0, 2, 3, 1]), matrix).transpose([0, 3, 1, 2])


def colour(images_a, images_b):
    """L1 of Y and Huber (delta 1) of U and V: AnimeGAN, eq. 5."""
    a, b = to_yuv(images_a), to_yuv(images_b)
    return (F.l1_loss(a[:, 0], b[:, 0]) + F.smooth_l1_loss(a[:, 1], b[:, 1]) + F.smooth_l1_loss(a[:, 2], b[:, 2]))


def gradient_difference(images_a, images_b):
    """Mean absolute difference of the pictures' slopes, down plus across: Mathieu 2016 (arXiv 1511.05440), eq. 6 with
    alpha = 1 and signed slopes. It keeps lines that L1 alone blurs."""
    return total_variation(images_a - images_b)


def total_variation(images):
    """Mean absolute difference of neighbours, down plus across: AnimeGANv2's smoothness term."""
    down = images[:, :, 1:] - images[:, :, :-1]
    across = images[:, :, :, 1:] - images[:, :, :, :-1]
    return down.abs().mean() + across.abs().mean()

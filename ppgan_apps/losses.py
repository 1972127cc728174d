"""Adversarial losses and penalties as pure functions, each with its paper and equation.

Logits are a discriminator's outputs before any sigmoid, of any shape; every loss is a scalar, the mean over them.
"""
from __future__ import annotations

import paddle
import paddle.nn.functional as F


def logistic_discriminator(real_logits, fake_logits):
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))): Goodfellow 2014, eq. 1, as a minimisation."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def logistic_generator(fake_logits):
    """-log sigmoid(D(G(z))), the non-saturating form: Goodfellow 2014, section 3."""
    return F.softplus(-fake_logits).mean()


def least_squares(logits, target: float):
    """E[(D(x) - target)^2]: one term of LSGAN (Mao 2017, eq. 9 with a = 0, b = c = 1, without the half)."""
    return ((logits - target) ** 2).mean()


def least_squares_discriminator(real_logits, fake_logits):
    """E[(D(x) - 1)^2] + E[D(G(z))^2]: Mao 2017, eq. 9, without the half."""
    return least_squares(real_logits, 1.0) + least_squares(fake_logits, 0.0)


def least_squares_generator(fake_logits):
    """E[(D(G(z)) - 1)^2]: Mao 2017, eq. 9, without the half."""
    return least_squares(fake_logits, 1.0)


def binary_cross_entropy(logits, target: float):
    """Cross-entropy of sigmoid(logits) against a constant target of 0 or 1."""
    return F.softplus(-logits if target else logits).mean()


def r1_penalty(images, logits):
    """E[|grad_x D(x)|^2] over real pictures: Mescheder 2018, eq. 9, without the factor gamma / 2.

    `images` [N, C, H, W] must have been fed to the discriminator with stop_gradient False; `logits` [N, 1]. The
    result can be differentiated again.
    """
    gradient = paddle.grad(logits.sum(), images, create_graph=True)[0]          # [N, C, H, W]
    return (gradient ** 2).sum([1, 2, 3]).mean()


def path_lengths(images, latents, noise):
    """|J_w^T y| of each sample: Karras 2020 (StyleGAN2), eq. 4, the norm inside the expectation.

    `images` [N, C, H, W] made from `latents` [N, n_latent, D]; `noise` is y [N, C, H, W], standard normal, which is
    divided by sqrt(H W) here so that the length does not depend on the picture's size. The square is summed over D
    and averaged over the layers. Returns [N], differentiable again.
    """
    scale = (images.shape[2] * images.shape[3]) ** -0.5
    gradient = paddle.grad((images * noise * scale).sum(), latents, create_graph=True)[0]   # [N, n_latent, D]
    return (gradient ** 2).sum(2).mean(1).sqrt()


def softmax_discriminator(real_logits, fake_logits):
    """Cross-entropy of softmax over two logits (generated, real) of each picture, [N, 2].

    It equals `logistic_discriminator` of their difference: a softmax over two is a sigmoid of one.
    """
    return _two_way(real_logits, 1) + _two_way(fake_logits, 0)


def softmax_generator(fake_logits):
    """-log softmax(D(G(z)))[real] over two logits (generated, real), [N, 2]."""
    return _two_way(fake_logits, 1)


def _two_way(logits, label: int):
    return F.cross_entropy(logits, paddle.full([len(logits), 1], label, dtype="int64"))


def wasserstein_discriminator(real_logits, fake_logits):
    """E[f(G(z))] - E[f(x)], minus the critic's estimate of the distance: Arjovsky 2017, eq. 3, as a minimisation."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator(fake_logits):
    """-E[f(G(z))]: Arjovsky 2017, algorithm 1, line 10."""
    return -fake_logits.mean()


def gradient_penalty(points, logits):
    """(|grad_x f(x)| - 1)^2 of each point, from both sides: Gulrajani 2017, eq. 3, without the factor lambda.

    `points` [N, C, H, W], between real and generated pictures, must have been fed to the critic with stop_gradient
    False; `logits` [N, 1]. The norm of a sample is over all of C, H and W. The result can be differentiated again.
    """
    gradient = paddle.grad(logits.sum(), points, create_graph=True)[0]          # [N, C, H, W]
    squared = (gradient ** 2).sum([1, 2, 3])
    return (((squared + 1e-12).sqrt() - 1) ** 2).mean()        # a critic without slope must not give a root of zero

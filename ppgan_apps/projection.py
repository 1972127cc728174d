"""Projection: the w whose picture is closest to a given one, found by gradient descent (Karras 2020, appendix D)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F

from .steps import frozen

SMALLEST_LEVEL = 4                                             # the pyramid's last level has this many pixels or more
# Shares of the steps in which the rate rises, and in which it falls again along a cosine (Karras 2020, appendix D).
RISING, FALLING = 0.05, 0.25
NOISE_WEIGHT = 1e5                                             # of the term that keeps optimised noise noise
VGG_TAPS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4")
LARGEST_FEATURE_SIZE = 256                                     # larger pictures are averaged down before VGG


@dataclass(frozen=True)
class Projection:
    """What was found: w float32 [1, n_latent, D], its distance, the start's, the distance at each step, the noise."""

    w: np.ndarray
    distance: float
    start_distance: float
    history: tuple[float, ...]
    noise: tuple[np.ndarray, ...] | None = None


def laplacian_distance(images, target):
    """Sum over the levels of a Laplacian pyramid of the mean absolute difference, [N], of pictures [N, 3, H, W].

    It sees colours, shapes and edges at every scale and needs no trained network (Lap1 of Ling and Okada 2006, as
    Bojanowski et al. 2018, arXiv 1707.05776, fit generators with it).
    """
    rest, distance = images - target, 0.0                      # the pyramid is linear: that of the difference will do
    while rest.shape[-1] >= 2 * SMALLEST_LEVEL:
        smaller = F.avg_pool2d(rest, 2)
        level = rest - F.interpolate(smaller, scale_factor=2, mode="bilinear")
        distance, rest = distance + level.abs().mean([1, 2, 3]), smaller
    return distance + rest.abs().mean([1, 2, 3])


class FeatureDistance:
    """`laplacian_distance` plus the distance of VGG-19's features, scaled to unit length at each place: [N].

    As LPIPS (Zhang 2018, eq. 1) without its learned weights. `vgg` is a networks.vgg.VGG19 with taps.
    """

    def __init__(self, vgg, weight: float = 1.0):
        self.vgg, self.weight = vgg, weight

    def __call__(self, images, target):
        distance = laplacian_distance(images, target)
        found, wanted = self._features(images), self._features(target)
        for name in found:
            distance = distance + self.weight * ((found[name] - wanted[name]) ** 2).sum(1).mean([1, 2])
        return distance

    def _features(self, images):
        while images.shape[-1] > LARGEST_FEATURE_SIZE:
            images = F.avg_pool2d(images, 2)
        return {name: maps * paddle.rsqrt((maps * maps).sum(1, keepdim=True) + 1e-8)
                for name, maps in self.vgg(images).items()}


def nearest(generator, target, count: int = 1000, seed: int = 0, distance=laplacian_distance, batch: int = 1,
            on_batch: Callable[[int], None] | None = None) -> tuple[np.ndarray, float]:
    """Of `count` pictures drawn from `seed`, the w [1, D] of the one closest to `target` [1, 3, H, W], and how far it
    is. `on_batch` is told how many pictures each batch had."""
    z = np.random.RandomState(seed).randn(count, generator.style_dim).astype(np.float32)
    closest, least = None, np.inf
    with paddle.no_grad():
        for start in range(0, count, batch):
            w = generator.mapping(paddle.to_tensor(z[start:start + batch]))
            distances = distance(generator.synthesis(w, noise="stored"), target).numpy()
            best = int(distances.argmin())
            if distances[best] < least:
                closest, least = w[best:best + 1].numpy(), float(distances[best])
            if on_batch:
                on_batch(len(distances))
    return closest, least


def project(generator, target, start: np.ndarray, layerwise: bool = True, steps: int = 500, rate: float = 0.05,
            distance=laplacian_distance, noise_weight: float | None = None,
            on_step: Callable[[int, float, object], None] | None = None) -> Projection:
    """Adam from `start` [1, D] or [1, n_latent, D] towards the w whose picture is closest to `target` [1, 3, H, W].

    Args:
        layerwise: every layer has its own w (w+: closer), or all share one (w: easier to edit).
        distance: of pictures [N, 3, H, W] from `target`; [N].
        noise_weight: None holds the stored noise still; a number lets the noise maps be found too, and is the weight of
            the term that keeps them noise (`NOISE_WEIGHT` in appendix D).
        on_step: told the number of the step, its distance and its picture [1, 3, H, W].
    Of all steps the closest is returned. The same arguments give the same numbers on one machine.
    """
    w = _parameter(_start(generator, start, layerwise))
    maps = [_parameter(noise.numpy()) for noise in generator.stored_noise()] if noise_weight is not None else []
    optimizer = paddle.optimizer.Adam(rate, parameters=[w, *maps])
    history, best = [], None
    with frozen(generator):
        for step in range(steps + 1):                          # the last one only looks
            picture = generator.synthesis(w, noise=maps or "stored", twice_differentiable=False)
            found = distance(picture, target).sum()
            history.append(float(found))
            if best is None or history[-1] < best[0]:
                best = history[-1], w.numpy().copy(), [noise.numpy().copy() for noise in maps]
            if on_step:
                on_step(step, history[-1], picture.detach())
            if step == steps:
                break
            optimizer.set_lr(rate * _schedule((step + 0.5) / steps))
            optimizer.clear_grad()
            (found + (noise_weight or 0.0) * sum(autocorrelation(noise) for noise in maps)).backward()
            optimizer.step()
            _normalise(maps)
    found_w = best[1] if layerwise else np.repeat(best[1][:, None], generator.n_latent, axis=1)
    return Projection(found_w, best[0], history[0], tuple(history), tuple(best[2]) if maps else None)


def _start(generator, start: np.ndarray, layerwise: bool) -> np.ndarray:
    if layerwise:
        return start if start.ndim == 3 else np.repeat(start[:, None], generator.n_latent, axis=1)
    return start if start.ndim == 2 else start.mean(1)


def _parameter(values: np.ndarray):
    values = np.asarray(values, np.float32)
    return paddle.create_parameter(values.shape, "float32", default_initializer=paddle.nn.initializer.Assign(values))


def _schedule(share: float) -> float:
    """The factor of the learning rate when `share` of the steps is done."""
    falling = min(1.0, (1.0 - share) / FALLING)
    return (0.5 - 0.5 * np.cos(np.pi * falling)) * min(1.0, share / RISING)


def autocorrelation(noise):
    """Sum over the scales of `noise` [1, 1, H, H], 8 px and more, of its squared correlation with itself one pixel
    further, across and down: 0 for white noise (Karras 2020, appendix D)."""
    total = 0.0
    while True:
        for axis in (2, 3):
            total = total + (noise * paddle.roll(noise, 1, axis)).mean() ** 2
        if noise.shape[-1] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2) * 2                     # of white noise, white noise of the same spread


@paddle.no_grad()
def _normalise(maps) -> None:
    """Back to mean 0 and deviation 1, which the term above leaves free."""
    for noise in maps:
        centred = noise - noise.mean()
        noise.set_value(centred * paddle.rsqrt((centred * centred).mean() + 1e-8))

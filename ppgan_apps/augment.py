"""Augmentations of what a discriminator sees, differentiable twice: DiffAugment (Zhao 2020) and ADA (Karras 2020).

Pictures are tensors [N, 3, size, size] in [-1, 1]; what happens to each is decided by a numpy generator. A picture that
nothing happens to comes out with the same bits.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle.autograd import PyLayer

from .sharing import current

# The low-pass filter of the wavelet sym6 (Daubechies 1992, "least asymmetric" with six vanishing moments), whose
# shifts by two are orthonormal: doubling a signal with it and halving the result gives the signal back.
SYM6 = np.array([0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
                 0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
                 -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148])
_CENTRE = float(np.arange(len(SYM6)) @ SYM6 / SYM6.sum())      # in samples of the fine grid: the filter's delay
_GREY = np.full((3, 3), 1 / 3)                                 # projects a colour onto its grey


def share_random() -> np.random.Generator:
    """What decides the augmentation of this process's share of a batch; follows from Paddle's random state."""
    # The seed is everybody's; the share's number keeps two shares from being changed alike.
    return np.random.default_rng([int(paddle.randint(0, 2**31 - 1, [1]).item()), current().number])


# ---------------------------------------------------------------------------------------------------------------------
# DiffAugment (arXiv 2006.10738, section 4 and appendix): every picture, with random strengths
# ---------------------------------------------------------------------------------------------------------------------
def diffaugment(images, kinds: Sequence[str], random: np.random.Generator):
    """`images` after the policies `kinds`, some of "colour", "translation" and "cutout", in that order."""
    count, size = images.shape[0], images.shape[2]
    if "colour" in kinds:
        images = adjust_colour(images, random.uniform(-0.5, 0.5, count), random.uniform(0, 2, count),
                               random.uniform(0.5, 1.5, count))
    if "translation" in kinds:
        farthest = int(size * 0.125 + 0.5)
        images = translate(images, random.integers(-farthest, farthest + 1, (count, 2)))
    if "cutout" in kinds:
        side = int(size * 0.5 + 0.5)
        centres = random.integers(0, size + 1 - side % 2, (count, 2))
        images = cut_out(images, centres - side // 2, side)
    return images


def adjust_colour(images, brightness, saturation, contrast):
    """Adds `brightness`, scales each pixel's distance from its grey and each picture's from its mean; arrays [N]."""
    brightness, saturation, contrast = (_like(images, array).reshape([-1, 1, 1, 1])
                                        for array in (brightness, saturation, contrast))
    images = images + brightness
    grey = images.mean(1, keepdim=True).expand(images.shape)
    images = (images - grey) * saturation + grey
    mean = images.mean([1, 2, 3], keepdim=True)
    return (images - mean) * contrast + mean


def translate(images, shifts: np.ndarray):
    """Moves each picture by whole pixels, `shifts` [N, 2] (down, right), with zeros coming in.

    As products with matrices of zeros and ones, which give the same bits as slices would: the gradient of each
    picture's slice is a whole batch of zeros with that slice in it.
    """
    places = np.arange(images.shape[2])
    down, right = (_like(images, places[:, None] - places == shifts[:, axis, None, None]).unsqueeze(1)
                   for axis in range(2))                       # [N, 1, size, size] each
    return paddle.matmul(paddle.matmul(down.expand([-1, images.shape[1], -1, -1]), images),
                         right.expand([-1, images.shape[1], -1, -1]), transpose_y=True)


def cut_out(images, corners: np.ndarray, side: int):
    """Zeroes a square of `side` pixels with its first corner at `corners` [N, 2] (row, column), also partly outside."""
    places = np.arange(images.shape[2])
    inside = (places >= corners[:, :, None]) & (places < corners[:, :, None] + side)         # [N, 2, size]
    kept = ~(inside[:, 0, :, None] & inside[:, 1, None, :])                                  # [N, size, size]
    return images * _like(images, kept).unsqueeze(1).expand(images.shape)


# ---------------------------------------------------------------------------------------------------------------------
# ADA (arXiv 2006.06676): each transformation with probability p (appendix B)
# ---------------------------------------------------------------------------------------------------------------------
def ada(images, p: float, random: np.random.Generator):
    """`images` after pixel blitting, general geometry and colour, each step of them with probability `p` per picture.

    With p below 1 the generator cannot hide behind the augmentations: they do not leak (section 2.2).
    """
    count, size = images.shape[0], images.shape[2]
    images = warp(images, geometry(count, size, p, random))
    return transform_colours(images, colours(count, p, random))


def geometry(count: int, size: int, p: float, random: np.random.Generator) -> np.ndarray:
    """Where the pixels go, as `warp` takes it: homogeneous matrices [count, 3, 3], drawn as appendix B says.

    Coordinates are (right, down) in pixels from the picture's centre.
    """
    def sometimes(strengths, nothing: float, chance: float = p):
        return np.where(random.random(count) < chance, strengths, nothing)

    def both(strengths):                                       # one decision for the two numbers of a picture
        return np.where(random.random(count) < p, strengths, 0.0)

    # Two rotations, of which one happens with probability p: 1 - p = (1 - chance)^2.
    turning = 1 - np.sqrt(1 - p)
    mirrored = 1 - 2 * sometimes(random.integers(0, 2, count), 0)
    quarters = sometimes(random.integers(0, 4, count), 0)
    whole = np.round(both(random.uniform(-0.125, 0.125, (2, count))) * size)
    isotropic = sometimes(np.exp2(random.normal(0, 0.2, count)), 1)
    before = sometimes(random.uniform(-np.pi, np.pi, count), 0, turning)
    stretched = sometimes(np.exp2(random.normal(0, 0.2, count)), 1)
    after = sometimes(random.uniform(-np.pi, np.pi, count), 0, turning)
    fraction = both(random.normal(0, 0.125, (2, count))) * size
    steps = [scaling(mirrored, np.ones(count)), rotation(quarters * (np.pi / 2)), translation(*whole),
             scaling(isotropic, isotropic), rotation(before), scaling(stretched, 1 / stretched), rotation(after),
             translation(*fraction)]
    matrices = np.eye(3)
    for step in steps:
        matrices = step @ matrices
    return matrices


def scaling(right, down) -> np.ndarray:
    """[N, 3, 3] that scale by `right` and `down`, arrays [N]."""
    return _matrices(3, {(0, 0): right, (1, 1): down})


def rotation(angles) -> np.ndarray:
    """[N, 3, 3] that turn by `angles` [N] in radians, counterclockwise as one sees the picture."""
    return _matrices(3, {(0, 0): np.cos(angles), (0, 1): np.sin(angles),
                         (1, 0): -np.sin(angles), (1, 1): np.cos(angles)})


def translation(right, down) -> np.ndarray:
    """[N, 3, 3] that move by `right` and `down` pixels, arrays [N]."""
    return _matrices(3, {(0, 2): right, (1, 2): down})


def _matrices(size: int, entries: dict) -> np.ndarray:
    """Unit matrices [N, size, size] but for `entries`, arrays [N] by their place."""
    count = len(next(iter(entries.values())))
    matrices = np.tile(np.eye(size), (count, 1, 1))
    for (row, column), values in entries.items():
        matrices[:, row, column] = values
    return matrices


def colours(count: int, p: float, random: np.random.Generator) -> np.ndarray:
    """What happens to (red, green, blue, 1), for `transform_colours`: [count, 4, 4], drawn as appendix B says."""
    def sometimes(strengths, nothing: float):
        return np.where(random.random(count) < p, strengths, nothing)

    brightness = sometimes(random.normal(0, 0.2, count), 0)
    contrast = sometimes(np.exp2(random.normal(0, 0.5, count)), 1)
    flipped = sometimes(random.integers(0, 2, count), 0)
    hue = sometimes(random.uniform(-np.pi, np.pi, count), 0)
    saturation = sometimes(np.exp2(random.normal(0, 1, count)), 1)
    matrices = np.eye(4)
    for step in (brightening(brightness), contrasting(contrast), luma_flip(flipped), hue_rotation(hue),
                 saturating(saturation)):
        matrices = step @ matrices
    return matrices


def brightening(amounts) -> np.ndarray:
    """[N, 4, 4] that add `amounts` [N] to each channel."""
    return _matrices(4, {(channel, 3): amounts for channel in range(3)})


def contrasting(factors) -> np.ndarray:
    """[N, 4, 4] that scale each channel by `factors` [N]; 0 in [-1, 1] is the middle grey and stays."""
    return _matrices(4, {(channel, channel): factors for channel in range(3)})


def luma_flip(flipped) -> np.ndarray:
    """[N, 4, 4] that mirror the grey axis where `flipped` [N] is 1 and keep hue and saturation: I - 2 v v^T."""
    return _colour_matrices(np.eye(3) - 2 * _GREY * np.asarray(flipped)[:, None, None])


def hue_rotation(angles) -> np.ndarray:
    """[N, 4, 4] that turn colours about the grey axis by `angles` [N] in radians (Rodrigues' formula)."""
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return _colour_matrices(_GREY + (np.eye(3) - _GREY) * cosine + cross * sine)


def saturating(factors) -> np.ndarray:
    """[N, 4, 4] that scale the distance from the grey axis by `factors` [N]."""
    return _colour_matrices(_GREY + (np.eye(3) - _GREY) * np.asarray(factors)[:, None, None])


def _colour_matrices(linear: np.ndarray) -> np.ndarray:
    matrices = np.tile(np.eye(4), (len(linear), 1, 1))
    matrices[:, :3, :3] = linear
    return matrices


def transform_colours(images, matrices: np.ndarray):
    """Applies affine maps of (red, green, blue), `matrices` [N, 4, 4], to every pixel of its picture."""
    def transformed(pictures, chosen):
        count, channels, height, width = pictures.shape
        pixels = paddle.matmul(_like(pictures, chosen[:, :3, :3]), pictures.reshape([count, channels, -1]))
        offsets = _like(pictures, chosen[:, :3, 3:]).expand([count, channels, height * width])
        return (pixels + offsets).reshape([count, channels, height, width])
    return _where(_differs(matrices, np.eye(4)), transformed, images, matrices)


def warp(images, matrices: np.ndarray):
    """Moves the pixels of each picture by its homogeneous matrix (see `geometry`), mirrored beyond the borders.

    Where every pixel lands on a pixel (flips, quarter turns, whole pixels) they are copied. Elsewhere the picture is
    doubled by SYM6, sampled bilinearly on as fine a grid and halved by the same filter, which keeps it sharp.
    """
    middle = np.array([(images.shape[2] - 1) / 2])
    to_centre = translation(-middle, -middle)
    sources = np.linalg.inv(to_centre) @ np.linalg.inv(matrices) @ to_centre      # result's pixel to picture's pixel
    rounded = np.round(sources)
    blitted = ~_differs(sources, rounded)
    images = _where(blitted & _differs(rounded, np.eye(3)), _blit, images, rounded)
    return _where(~blitted, _resample, images, sources)


def _differs(matrices: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(matrices - other).max((1, 2)) > 1e-9         # cos(pi / 2) is 6e-17 and not 0


def _where(chosen: np.ndarray, function: Callable, images, matrices: np.ndarray):
    """The pictures, the `chosen` ones [N] replaced by function(pictures, matrices); the others keep their bits."""
    if not chosen.any():
        return images
    if chosen.all():
        return function(images, matrices)
    changed, kept = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    parts = [function(_take(images, changed), matrices[changed]), _take(images, kept)]
    return _take(paddle.concat(parts), np.argsort(np.concatenate([changed, kept])))


def _take(images, indices: np.ndarray):
    return _Pick.apply(images, paddle.to_tensor(indices))


class _Pick(PyLayer):
    """Entries of the first axis at `indices`. Its derivative is `_Put`, whose derivative it is in turn.

    R1 differentiates twice, which Paddle's grid_sample cannot, nor gather before Paddle 3.
    """

    @staticmethod
    def forward(ctx, entries, indices):
        """entries [M, ...] and indices [K] to [K, ...]."""
        ctx.save_for_backward(indices)
        ctx.count = entries.shape[0]
        return paddle.gather(entries, indices)

    @staticmethod
    def backward(ctx, gradient):
        """The gradient with respect to the entries."""
        indices, = ctx.saved_tensor()
        return _Put.apply(gradient, indices, ctx.count)


class _Put(PyLayer):
    """Adds entries up at `indices` of `count` zeros: the transpose of `_Pick`."""

    @staticmethod
    def forward(ctx, entries, indices, count: int):
        """entries [K, ...] and indices [K] to [count, ...]."""
        ctx.save_for_backward(indices)
        return paddle.scatter_nd(indices.unsqueeze(1), entries, [count, *entries.shape[1:]])

    @staticmethod
    def backward(ctx, gradient):
        """The gradient with respect to the entries."""
        indices, = ctx.saved_tensor()
        return _Pick.apply(gradient, indices)


def _like(images, array: np.ndarray):
    return paddle.to_tensor(np.asarray(array)).astype(images.dtype)


def _mirrored(indices: np.ndarray, size: int) -> np.ndarray:
    """Indices beyond a line of `size` pixels reflected at its outermost pixels, as often as needed."""
    indices = indices % (2 * size - 2)
    return np.minimum(indices, 2 * size - 2 - indices)


def _blit(images, sources: np.ndarray):
    """Copies pixels from where `sources` [N, 3, 3], which map pixel to pixel, say."""
    count, channels, size, _ = images.shape
    places = np.arange(size)
    column, row = (_mirrored((line[:, 0, None, None] * places + line[:, 1, None, None] * places[:, None]
                              + line[:, 2, None, None]).astype(np.int64), size)
                   for line in (sources[:, 0], sources[:, 1]))                    # [N, size, size] each
    indices = (np.arange(count)[:, None, None] * size + row) * size + column
    return _from_pixels(_take(_to_pixels(images), indices.ravel()), count, size)


def _to_pixels(images):
    """[N, C, H, W] to [N H W, C]."""
    return images.transpose([0, 2, 3, 1]).reshape([-1, images.shape[1]])


def _from_pixels(pixels, count: int, size: int):
    """[N size size, C] to [N, C, size, size]."""
    return pixels.reshape([count, size, size, -1]).transpose([0, 3, 1, 2])


def _resample(images, sources: np.ndarray):
    """Pictures whose pixel (x, y) is what `sources` [N, 3, 3] @ (x, y, 1) points at, by way of a grid twice as fine.

    Number n of the fine grid's lines lies at (n - _CENTRE) / 2 in pixels.
    """
    size = images.shape[2]
    lines = 2 * size + len(SYM6) - 2                           # of the fine grid that the result is filtered from
    first, last = _seen_lines(sources, size, lines)
    doubling = _like(images, _doubling(size, first, last))     # [last - first + 1, size]
    fine = paddle.matmul(paddle.matmul(doubling, images), doubling, transpose_y=True)
    halving = _like(images, _halving(size))                    # [size, lines]
    warped = _bilinear(fine, *_fine_coordinates(sources, size, lines, first, images.dtype))
    return paddle.matmul(paddle.matmul(halving, warped), halving, transpose_y=True)


def _seen_lines(sources: np.ndarray, size: int, lines: int) -> tuple[int, int]:
    """The first and last line of the fine grid that are looked at: an affine map's extremes are at the corners."""
    ends = (np.array([0, lines - 1]) - _CENTRE) / 2
    corners = np.array([(x, y, 1) for x in ends for y in ends]).T
    seen = sources[:, :2] @ corners
    start, period = _period(size)
    lowest, highest = max(seen.min(), start), min(seen.max(), start + period)
    if seen.min() < start or seen.max() > start + period:      # what lies beyond is looked up within one period
        lowest, highest = start, start + period
    # One line to the right for the interpolation, one on each side for what rounding does to a coordinate.
    return int(np.floor(2 * lowest + _CENTRE)) - 1, int(np.floor(2 * highest + _CENTRE)) + 2


def _period(size: int) -> tuple[float, int]:
    """A mirrored line repeats itself: where the stretch that is used begins and how long it is, in pixels."""
    return -(size - 1) / 2, 2 * (size - 1)


def _fine_coordinates(sources: np.ndarray, size: int, lines: int, first: int, dtype):
    """Columns and rows [N, lines, lines] on the fine grid, counted from its line `first`."""
    places = (np.arange(lines) - _CENTRE) / 2
    start, period = _period(size)
    shape = [len(sources), lines, lines]
    for line in (sources[:, 0], sources[:, 1]):
        across = paddle.to_tensor(line[:, 0, None] * places + line[:, 2, None]).astype(dtype)     # [N, lines]
        down = paddle.to_tensor(line[:, 1, None] * places).astype(dtype)
        seen = across.unsqueeze(1).expand(shape) + down.unsqueeze(2).expand(shape)
        wrapped = paddle.remainder(seen - start, paddle.full([1], period, dtype)) + start
        yield 2 * wrapped + (_CENTRE - first)


def _doubling(size: int, first: int, last: int) -> np.ndarray:
    """[last - first + 1, size]: from a line, mirrored beyond its ends, to those `first` to `last` of the fine grid."""
    lines = np.arange(first, last + 1)
    matrix = np.zeros((len(lines), size))
    for tap, value in enumerate(SYM6):
        rows = np.flatnonzero((lines - tap) % 2 == 0)
        np.add.at(matrix, (rows, _mirrored((lines[rows] - tap) // 2, size)), value * np.sqrt(2))
    return matrix


def _halving(size: int) -> np.ndarray:
    """[size, 2 size + 10]: from the fine grid to pixels; undoes `_doubling`, since SYM6 is orthonormal."""
    matrix = np.zeros((size, 2 * size + len(SYM6) - 2))
    for tap, value in enumerate(SYM6):
        matrix[np.arange(size), 2 * np.arange(size) + tap] = value / np.sqrt(2)
    return matrix


def _bilinear(images, columns, rows):
    """`images` [N, C, H, H] at `columns` and `rows` [N, lines, lines], all inside; [N, C, lines, lines]."""
    count, channels, height, _ = images.shape
    lines = columns.shape[1]
    left, top = paddle.floor(columns), paddle.floor(rows)
    right_share, lower_share = columns - left, rows - top
    corner = top.astype("int64") * height + left.astype("int64")
    corner = corner + (paddle.arange(count) * height**2).reshape([-1, 1, 1]).expand(corner.shape)
    pixels, total = _to_pixels(images), 0.0
    for down, vertical in enumerate((1 - lower_share, lower_share)):
        for across, horizontal in enumerate((1 - right_share, right_share)):
            share = (vertical * horizontal).reshape([-1, 1]).expand([-1, channels])
            total = total + _Pick.apply(pixels, (corner + (down * height + across)).reshape([-1])) * share
    return _from_pixels(total, count, lines)


def adapt(p: float, signs: float, target: float, images: int, ramp_images: float) -> float:
    """The probability p after `images` more pictures: up when D overfits, down otherwise, at most 1 and at least 0.

    `signs` is r_t = E[sign(D(x))] over training pictures, eq. 1: 0 without overfitting, 1 when D knows them all. At
    the fastest p goes from 0 to 1 in `ramp_images` pictures (section 3).
    """
    return min(1.0, max(0.0, p + float(np.sign(signs - target)) * images / ramp_images))

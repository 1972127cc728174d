"""Augmentations against numpy and closed forms, their derivatives against finite differences, their statistics."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import augment, losses
from ppgan_apps.networks.stylegan2 import StyleGAN2Discriminator
from tests.networks.test_derivatives import assert_gradient_matches

SIZE = 16
POLICIES = ("colour", "translation", "cutout")


def pictures(count=4, size=SIZE, dtype="float64"):
    return np.random.default_rng(0).uniform(-1, 1, (count, 3, size, size)).astype(dtype)


def warped(images, *matrices):
    return augment.warp(paddle.to_tensor(images), np.concatenate(matrices)).numpy()


def recoloured(images, *matrices):
    return augment.transform_colours(paddle.to_tensor(images), np.concatenate(matrices)).numpy()


# ---- ADA: where pixels go
def test_the_filters_shifts_by_two_are_orthonormal():
    for shift in range(6):
        product = (augment.SYM6[2 * shift:] * augment.SYM6[:12 - 2 * shift]).sum()
        assert product == pytest.approx(float(shift == 0), abs=1e-11)


def test_turns_flips_and_whole_pixels_copy_pixels():
    images = pictures(7, dtype="float32")
    turns = augment.rotation(np.arange(4) * np.pi / 2)
    flips = augment.scaling(np.array([-1.0, 1.0]), np.array([1.0, -1.0]))
    result = warped(images, turns, flips, augment.translation(np.array([3.0]), np.array([-2.0])))
    for quarters in range(4):
        np.testing.assert_array_equal(result[quarters], np.rot90(images[quarters], quarters, (1, 2)))
    np.testing.assert_array_equal(result[4], images[4][:, :, ::-1])
    np.testing.assert_array_equal(result[5], images[5][:, ::-1])
    mirrored = np.pad(images[6], ((0, 0), (0, 2), (3, 0)), mode="reflect")
    np.testing.assert_array_equal(result[6], mirrored[:, 2:, :SIZE])


def test_a_move_of_almost_nothing_is_almost_nothing():
    """The doubled and halved picture is the picture: the way by the fine grid does not blur."""
    images = pictures()
    nearly = augment.translation(np.full(4, 1e-7), np.full(4, -1e-7))
    result = warped(images, nearly)
    assert 0 < np.abs(result - images).max() < 1e-5


# A wave with whole half-periods is its own mirror image beyond the borders, so its value is known everywhere.
@pytest.mark.parametrize("matrix", [
    augment.rotation(np.array([0.6])), augment.scaling(np.array([1.4]), np.array([0.8])),
    augment.translation(np.array([2.3]), np.array([-5.6])), augment.translation(np.array([150.4]), np.array([-77.3])),
    augment.translation(np.array([3.5]), np.array([1.0])) @ augment.rotation(np.array([-2.0]))
    @ augment.scaling(np.array([0.3]), np.array([-0.4]))])
def test_a_wave_is_found_where_the_matrix_puts_it(matrix):
    size = 32

    def wave(right, down):                                     # in pixels from the picture's centre
        column, row = (right + (size - 1) / 2) * np.pi / (size - 1), (down + (size - 1) / 2) * np.pi / (size - 1)
        return np.stack([np.cos(2 * column), np.cos(row), np.cos(2 * row) * np.cos(column)])

    down, right = np.mgrid[:size, :size] - (size - 1) / 2
    source = np.linalg.inv(matrix[0]) @ np.stack([right, down, np.ones_like(down)]).reshape(3, -1)
    expected = wave(source[0], source[1]).reshape(3, size, size)
    for chosen in (matrix, np.concatenate([matrix, np.eye(3)[None]])):            # alone, and beside an untouched one
        result = warped(np.tile(wave(right, down), (len(chosen), 1, 1, 1)), chosen)
        assert np.abs(result[0] - expected).max() < 0.05
        np.testing.assert_array_equal(result[1:], wave(right, down)[None][:len(chosen) - 1])


# ---- ADA: colours
def test_colour_matrices_do_what_they_are_called():
    images = pictures(1)
    grey = images.mean(1, keepdims=True)
    third = np.array([2 * np.pi / 3])
    np.testing.assert_allclose(recoloured(images, augment.brightening(np.array([0.3]))), images + 0.3)
    np.testing.assert_allclose(recoloured(images, augment.contrasting(np.array([1.7]))), images * 1.7)
    np.testing.assert_allclose(recoloured(images, augment.luma_flip(np.array([1]))), images - 2 * grey, atol=1e-12)
    np.testing.assert_allclose(recoloured(images, augment.hue_rotation(third)), np.roll(images, 1, 1), atol=1e-12)
    np.testing.assert_allclose(recoloured(images, augment.saturating(np.array([2.5]))), grey + 2.5 * (images - grey),
                               atol=1e-12)


def test_hue_rotation_keeps_luma_and_saturation():
    images = pictures(3)
    result = recoloured(images, augment.hue_rotation(np.array([0.4, -1.9, 3.0])))
    np.testing.assert_allclose(result.mean(1), images.mean(1), atol=1e-12)
    np.testing.assert_allclose(result.std(1), images.std(1), atol=1e-12)
    assert np.abs(result - images).max() > 0.1


# ---- ADA: how often and how much
def test_with_probability_zero_every_bit_stays():
    images = paddle.to_tensor(pictures(dtype="float32"))
    for seed in range(5):
        result = augment.ada(images, 0.0, np.random.default_rng(seed))
        np.testing.assert_array_equal(result.numpy(), images.numpy())


def test_pictures_that_nothing_happens_to_keep_their_bits_among_others():
    images, random = pictures(64, dtype="float32"), np.random.default_rng
    same = (augment.geometry(64, SIZE, 0.15, random(3)) == np.eye(3)).all((1, 2))
    both = random(3)
    augment.geometry(64, SIZE, 0.15, both)
    same &= (augment.colours(64, 0.15, both) == np.eye(4)).all((1, 2))
    result = augment.ada(paddle.to_tensor(images), 0.15, random(3)).numpy()
    assert 3 < same.sum() < 60
    np.testing.assert_array_equal(result[same], images[same])
    assert (np.abs(result[~same] - images[~same]).max((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_geometry_follows_the_papers_distributions(p):
    count = 20_000
    matrices = augment.geometry(count, 1000, p, np.random.default_rng(0))
    linear = matrices[:, :2, :2]
    determinants = np.linalg.det(linear)
    assert (determinants < 0).mean() == pytest.approx(p / 2, abs=0.015)           # half of the mirrorings do nothing
    scales = np.log2(np.abs(determinants)) / 2
    assert (np.abs(scales) > 1e-9).mean() == pytest.approx(p, abs=0.015)          # only isotropic scaling
    assert scales[np.abs(scales) > 1e-9].std() == pytest.approx(0.2, abs=0.01)
    singular = np.linalg.svd(linear, compute_uv=False)
    stretches = np.log2(singular[:, 0] / singular[:, 1]) / 2                      # |N(0, 0.2)|
    stretched = stretches > 1e-7
    assert stretched.mean() == pytest.approx(p, abs=0.015)
    assert stretches[stretched].mean() == pytest.approx(0.2 * np.sqrt(2 / np.pi), abs=0.01)
    # Neither mirrored, stretched nor turned by any angle: no rotation, or (quarter turns) a quarter of p.
    straight = (np.abs(linear).min((1, 2)) < 1e-9) & (determinants > 0) & ~stretched
    assert straight.mean() == pytest.approx((1 - p / 2) * (1 - p) * (1 - p), abs=0.015)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_translations_and_colours_follow_the_papers_distributions(p):
    count, size = 20_000, 1000
    moves = augment.geometry(count, size, p, np.random.default_rng(1))
    # |translation|^2 adds up: whole pixels are uniform, scaled by 2^N(0, 0.2) twice over; fractions are normal.
    scaled = (1 - p) + p * np.exp(2 * (0.2 * np.log(2)) ** 2)
    whole = p * 2 * 0.125**2 / 3 * scaled * scaled
    expected = whole + p * 2 * 0.125**2
    assert ((moves[:, :2, 2] / size) ** 2).sum(1).mean() == pytest.approx(expected, rel=0.05)
    colours = augment.colours(count, p, np.random.default_rng(2))
    identity = (colours == np.eye(4)).all((1, 2)).mean()
    assert identity == pytest.approx((1 - p) ** 4 * (1 - p / 2), abs=0.015)
    luma = colours[:, :3, :3].sum((1, 2)) / 3                  # of grey: contrast, and the luma flip's sign
    assert (luma < 0).mean() == pytest.approx(p / 2, abs=0.015)
    assert np.log2(np.abs(luma)).std() == pytest.approx(0.5 * np.sqrt(p), abs=0.015)
    offsets = colours[:, :3, 3].mean(1)                        # brightness times contrast
    assert (offsets**2).mean() == pytest.approx(p * 0.04 * ((1 - p) + p * np.exp(2 * (0.5 * np.log(2)) ** 2)), rel=0.05)


@pytest.mark.parametrize("signs, target, p, expected", [
    (0.9, 0.6, 0.10, 0.11), (0.5, 0.6, 0.10, 0.09), (0.6, 0.6, 0.10, 0.10), (-1.0, 0.6, 0.005, 0.0),
    (1.0, 0.6, 0.995, 1.0)])
def test_p_goes_up_when_the_discriminator_overfits_and_down_otherwise(signs, target, p, expected):
    assert augment.adapt(p, signs, target, images=32, ramp_images=3200) == pytest.approx(expected, abs=1e-12)


# ---- DiffAugment
def test_colours_of_diffaugment():
    images = pictures(2)
    brightness, saturation, contrast = np.array([0.3, -0.2]), np.array([0.0, 1.6]), np.array([1.5, 0.7])
    result = augment.adjust_colour(paddle.to_tensor(images), brightness, saturation, contrast).numpy()
    for index, image in enumerate(images):
        image = image + brightness[index]
        image = image.mean(0) + (image - image.mean(0)) * saturation[index]
        image = image.mean() + (image - image.mean()) * contrast[index]
        np.testing.assert_allclose(result[index], image, atol=1e-12)


def test_translation_of_diffaugment_lets_zeros_in():
    images, shifts = pictures(4), np.array([[2, -1], [0, 0], [-2, 2], [1, 0]])
    result = augment.translate(paddle.to_tensor(images), shifts).numpy()
    for index, (down, right) in enumerate(shifts):
        rolled = np.roll(images[index], (down, right), (1, 2))
        rows, columns = np.arange(SIZE)[:, None] - down, np.arange(SIZE) - right
        rolled *= (rows >= 0) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)
        np.testing.assert_array_equal(result[index], rolled)


def test_cutout_of_diffaugment_zeroes_a_square():
    images, corners = pictures(3), np.array([[3, 5], [-4, 10], [8, -8]])
    result = augment.cut_out(paddle.to_tensor(images), corners, 8).numpy()
    images[0, :, 3:11, 5:13] = 0
    images[1, :, :4, 10:] = 0
    images[2, :, 8:, :0] = 0
    np.testing.assert_array_equal(result, images)


def test_diffaugment_stays_within_the_papers_limits():
    ones = paddle.ones([256, 3, SIZE, SIZE])
    moved = augment.diffaugment(ones, ["translation"], np.random.default_rng(0)).numpy()[:, 0]
    shifts = SIZE - moved.max(2).sum(1)                        # rows that went out
    assert set(shifts.astype(int)) == {0, 1, 2}                # an eighth of 16
    cut = 1 - augment.diffaugment(ones, ["cutout"], np.random.default_rng(0)).numpy()[:, 0]
    assert cut.sum((1, 2)).max() == (SIZE // 2) ** 2 and cut.sum((1, 2)).min() >= (SIZE // 4) ** 2
    assert (cut.mean(0) > 0).all()                             # also at the corners
    brighter = augment.diffaugment(ones, ["colour"], np.random.default_rng(0)).numpy()[:, 0, 0, 0] - 1
    assert -0.5 <= brighter.min() < -0.45 and 0.45 < brighter.max() <= 0.5


# ---- derivatives
def augmented(kind, images, seed=5):
    random = np.random.default_rng(seed)
    return augment.ada(images, 0.8, random) if kind == "ada" else augment.diffaugment(images, POLICIES, random)


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_the_gradient_with_respect_to_the_picture(kind):
    start, direction = pictures(6), np.random.default_rng(1).standard_normal((6, 3, SIZE, SIZE))
    images = paddle.to_tensor(start, stop_gradient=False)
    weights = paddle.to_tensor(np.random.default_rng(2).standard_normal(direction.shape))
    (augmented(kind, images) ** 2 * weights).sum().backward()
    values = [float((augmented(kind, paddle.to_tensor(start + sign * 1e-6 * direction)) ** 2 * weights).sum())
              for sign in (1, -1)]
    assert (images.grad.numpy() * direction).sum() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_r1_through_the_augmentation_and_the_discriminator(kind):
    paddle.seed(1)
    discriminator = StyleGAN2Discriminator(8, channel_max=4)
    discriminator.to(dtype="float64")
    for name, parameter in discriminator.named_parameters():   # zeros of a cutout must not meet the kink of leaky ReLU
        if name.endswith("bias"):
            parameter.set_value(paddle.uniform(parameter.shape, "float64", 0.1, 0.3))
    start = pictures(4, size=8)

    def penalty(create_graph):
        images = paddle.to_tensor(start, stop_gradient=False)
        return losses.r1_penalty(images, discriminator(augmented(kind, images)))
    assert float(penalty(True)) > 1e-6
    assert_gradient_matches(discriminator, penalty)

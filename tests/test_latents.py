"""Latents, directions, projection, clips and sheets: closed forms, golden values, files that are read back."""
import sys

import numpy as np
import pytest
import tiny_weights

from ppgan_apps import StyleGAN2Predictor, clips, latents, sheets
from ppgan_apps.errors import ConfigError, MissingExtra, OutputError, WeightsError
from ppgan_apps.images import read_image, write_image
from ppgan_apps.predictors.stylegan2 import Code
from tests.networks import test_golden as golden

# isort: split
import paddle

from ppgan_apps import projection
from ppgan_apps.networks.stylegan2 import StyleGAN2Generator

D, LAYERS = 16, 6                                              # of the tiny generator


@pytest.fixture(scope="module")
def generator():
    paddle.seed(0)
    network = StyleGAN2Generator(16, style_dim=D, n_mlp=2, channel_max=16)
    for to_rgb in (network.to_rgb1, *network.to_rgbs):         # pictures within [-1, 1], so that a file can hold them
        to_rgb.conv.weight.set_value(to_rgb.conv.weight * 0.1)
    network.eval()
    return network


@pytest.fixture(scope="module")
def predictor(generator, tmp_path_factory):
    path = tiny_weights.write(tmp_path_factory.mktemp("weights") / "tiny.safetensors", generator, family="stylegan2")
    return StyleGAN2Predictor(weight_path=path)


# Seeds and layers

def test_seeds_are_numbers_and_ranges_in_the_order_given():
    assert latents.seeds("1,5,20-23") == [1, 5, 20, 21, 22, 23]
    assert latents.seeds("7, 3 - 4 ,3") == [7, 3, 4, 3]
    assert latents.seeds(str(2**32 - 1)) == [2**32 - 1]


@pytest.mark.parametrize("text", ["", "1,", "-3", "5-2", "a", "1.5", "4294967296", "0-4294967295", "1--2", "²"])
def test_other_seeds_are_refused_in_one_sentence(text):
    with pytest.raises(ConfigError, match="list of seeds"):
        latents.seeds(text)


def test_a_seed_gives_the_z_of_nvlabs_generators_whatever_stands_beside_it():
    z = latents.latents_of_seeds([5, 85, 5], 512)
    assert z.dtype == np.float32 and np.array_equal(z[0], z[2])
    assert np.array_equal(z[1:2], np.random.RandomState(85).randn(1, 512).astype(np.float32))
    with pytest.raises(ConfigError, match="seed"):
        latents.latents_of_seeds([-1], 4)


def test_ranges_of_layers_are_named_by_resolution():
    assert latents.resolutions(10) == [4, 8, 8, 16, 16, 32, 32, 64, 64, 64]
    assert latents.resolutions(18)[-3:] == [1024] * 3
    assert [latents.layers(name, 18) for name in ("coarse", "middle")] == [[0, 1, 2], [3, 4, 5, 6]]
    assert latents.layers("fine", 18) == list(range(7, 18)) and latents.layers("all", 10) == list(range(10))
    assert latents.layers("coarse,9,5-6", 10) == [0, 1, 2, 5, 6, 9]
    for wrong in ("fine", "6", "rough", ""):
        with pytest.raises(ConfigError, match="ayers"):
            latents.layers(wrong, LAYERS)


def test_the_resolution_of_a_layer_is_that_of_the_picture_it_changes(generator):
    w = np.zeros((1, LAYERS, D), np.float32)
    sizes = []
    for conv in [generator.conv1, *generator.convs]:
        conv.register_forward_post_hook(lambda layer, inputs, output: sizes.append(output.shape[-1]))
    with paddle.no_grad():
        generator.synthesis(paddle.to_tensor(w), "stored")
    assert sizes == latents.resolutions(LAYERS)[:-1]


# Truncation, mixing, ways

@pytest.fixture(scope="module")
def golden_generator():
    case = golden.CASES["stylegan2_generator_64"]
    network = golden.build(case)
    golden.load_strict(network, golden.filled_state(case, network))
    return network, case["seed"], np.load(golden.GOLDEN / "stylegan2_generator_64.npz")


def test_truncation_and_mixing_equal_the_reference_implementation(golden_generator):
    network, seed, recorded = golden_generator
    z = np.random.RandomState(seed + 7).standard_normal((2, 512)).astype(np.float32)
    centre = 0.1 * np.random.RandomState(seed + 9).standard_normal((1, 512)).astype(np.float32)
    with paddle.no_grad():
        w = network.mapping(paddle.to_tensor(z)).numpy()
        layered = latents.per_layer(w, network.n_latent)
        cases = [latents.truncate(layered[:1], centre, 0.7), latents.mix(layered[:1], layered[1:], range(4, 10))]
        for expected, ours in zip(recorded.files[1:], cases, strict=True):
            picture = network.synthesis(paddle.to_tensor(ours), "stored").numpy()
            assert np.abs(picture - recorded[expected]).max() <= 1e-4 * np.abs(recorded[expected]).max()


def test_a_cutoff_leaves_the_layers_from_it_on():
    w, mean = np.random.RandomState(0).randn(3, LAYERS, D), np.random.RandomState(1).randn(1, D)
    pulled = latents.truncate(w, mean, 0.25, cutoff=2)
    assert np.allclose(pulled[:, :2], mean + 0.25 * (w[:, :2] - mean)) and np.array_equal(pulled[:, 2:], w[:, 2:])
    assert np.allclose(latents.truncate(w, mean, 0.0), mean) and np.allclose(latents.truncate(w, mean, 1.0), w)


def test_a_straight_way_meets_its_points_and_a_loop_closes():
    points = np.float32([[0, 0], [4, 0], [4, 4]])
    assert latents.interpolate(points, 5, loop=False).tolist() == [[0, 0], [2, 0], [4, 0], [4, 2], [4, 4]]
    loop = latents.interpolate(points, 12)
    assert np.array_equal(loop[[0, 4, 8]], points)
    steps = np.linalg.norm(np.diff(np.concatenate([loop, loop[:1]]), axis=0), axis=1)
    assert np.allclose(steps, [1] * 8 + [2**0.5] * 4)           # from the last frame to the first too
    for wrong, frames in ((points[:1], 5), (points, 0)):
        with pytest.raises(ValueError, match="two points"):
            latents.interpolate(wrong, frames)


def test_a_spherical_way_keeps_the_length_and_turns_evenly():
    points = np.random.RandomState(0).randn(2, 64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    way = latents.interpolate(points, 9, loop=False, spherical=True)
    assert np.allclose(np.linalg.norm(way, axis=1), 1, atol=1e-6) and np.allclose(way[[0, -1]], points, atol=1e-6)
    turns = np.arccos((way[1:] * way[:-1]).sum(1))
    assert np.allclose(turns, turns[0], atol=1e-3)
    same = latents.interpolate(np.stack([points[0], points[0]]), 3, spherical=True)
    assert np.allclose(same, points[0])                        # no arc between equal points


def test_a_sweep_changes_one_number():
    z = np.random.RandomState(0).randn(1, 5)
    swept = latents.sweep(z, 3, [-1, 0, 1])
    assert swept[:, 3].tolist() == [-1, 0, 1] and np.array_equal(np.delete(swept, 3, 1), np.delete(z[[0] * 3], 3, 1))


# Directions

def test_style_weights_are_what_turns_w_into_styles(generator):
    w = np.random.RandomState(0).randn(2, D).astype(np.float32)
    matrix = latents.style_weights(generator, [0, 2, LAYERS - 1])
    parts = [generator.conv1.conv, generator.convs[1].conv, generator.to_rgbs[-1].conv]
    styles = np.concatenate([part.modulation(paddle.to_tensor(w)).numpy() - 1 for part in parts], 1)   # the bias is 1
    assert np.allclose(w @ matrix.T, styles, atol=1e-5)


def test_directions_are_the_eigenvectors_of_the_weights(generator):
    matrix = latents.style_weights(generator, range(LAYERS))
    rows, values = latents.sefa(matrix)
    assert np.allclose(rows @ rows.T, np.eye(D), atol=1e-10)
    own_values, own = np.linalg.eigh(np.float64(matrix).T @ np.float64(matrix))
    assert np.allclose(values, own_values[::-1])
    assert np.allclose(np.abs((rows * own.T[::-1]).sum(1)), 1)
    assert np.linalg.norm(matrix @ rows[0]) == pytest.approx(np.linalg.norm(matrix, 2))   # none moves the styles more
    assert all(row[np.abs(row).argmax()] > 0 for row in rows)


def test_an_edit_moves_the_chosen_layers_only(predictor):
    direction = predictor.directions("0-1")[0]
    w = predictor.w_of_seeds([3])
    moved = latents.move(w, direction, [-2, 0, 2], [0, 1])
    assert np.allclose(moved[1], w[0]) and np.array_equal(moved[:, 2:], w[[0] * 3, 2:])
    assert np.allclose(moved[2] - moved[0], np.where(np.arange(LAYERS)[:, None] < 2, 4 * direction, 0), atol=1e-5)
    strip, = predictor.edit(3, [0], [-2, 0, 2], "0-1")
    assert np.array_equal(strip[1], predictor.draw_seeds([3])[0]) and not np.array_equal(strip[0], strip[2])


# Pictures of seeds

def test_a_seeds_picture_is_the_same_alone_and_among_five(predictor, generator):
    five = predictor.draw_seeds([11, 12, 13, 14, 15])
    assert np.array_equal(predictor.draw_seeds([14])[0], five[3])
    with paddle.no_grad():
        w = paddle.to_tensor(predictor.w_of_seeds([11, 12, 13, 14, 15]))
        together, alone = generator.synthesis(w, "stored"), generator.synthesis(w[3:4], "stored")
    assert np.abs(together[3:4].numpy() - alone.numpy()).max() <= 1e-5 * np.abs(alone.numpy()).max()


def test_mixing_all_layers_gives_the_columns_and_a_sweep_passes_its_seed(predictor):
    matrix = predictor.mix([1], [2, 3], "all")
    assert matrix[0][0] is None and np.array_equal(matrix[1][0], predictor.draw_seeds([1])[0])
    assert all(np.array_equal(mixed, column) for mixed, column in zip(matrix[1][1:], matrix[0][1:], strict=True))
    own = latents.latents_of_seeds([4], D)[0, 2]
    strip = predictor.sweep(4, 2, [own, own + 5])
    assert np.array_equal(strip[0], predictor.draw_seeds([4])[0]) and not np.array_equal(strip[0], strip[1])
    for space in "zw":
        with pytest.raises(ConfigError, match="coordinate 16"):
            predictor.sweep(4, 16, [0], space)


# Projection

def test_the_laplacian_distance_of_known_pictures():
    black = paddle.zeros([1, 3, 16, 16])
    assert projection.laplacian_distance(black + 0.5, black).numpy() == pytest.approx([0.5])
    board = paddle.to_tensor(np.indices((16, 16)).sum(0) % 2 * 2.0 - 1).astype("float32").expand([2, 3, 16, 16])
    assert projection.laplacian_distance(board * 0.3, board * 0).numpy() == pytest.approx([0.3, 0.3], abs=1e-5)


def test_white_noise_does_not_correlate_and_smooth_noise_does():
    white = np.random.RandomState(0).randn(1, 1, 64, 64).astype(np.float32)
    smooth = (white + np.roll(white, 1, 3)) / np.sqrt(2)
    assert float(projection.autocorrelation(paddle.to_tensor(white))) < 0.05
    assert float(projection.autocorrelation(paddle.to_tensor(smooth))) > 0.2   # 0.5 squared, at the first scale alone


@pytest.mark.parametrize("space", ["w", "w+"])
def test_projection_finds_a_known_picture_again(predictor, space):
    target = predictor.draw_seeds([77], truncation=1)[0]
    seen = []
    found = predictor.project(target, space, steps=80, samples=20, on_step=lambda *step: seen.append(step))
    assert found.w.shape == (1, LAYERS, D) and (space == "w+") == (np.ptp(found.w, axis=1).max() > 0)
    assert found.distance < 0.2 * found.start_distance
    assert len(found.history) == len(seen) == 81 and min(found.history) == found.distance
    again = predictor.project(target, space, steps=80, samples=20)
    assert np.array_equal(again.w, found.w) and again.distance == found.distance


def test_the_start_is_the_nearest_sample(generator):
    z = np.random.RandomState(5).randn(12, D).astype(np.float32)
    with paddle.no_grad():
        w = generator.mapping(paddle.to_tensor(z[8:9]))
        target = generator.synthesis(w, "stored")
    found, distance = projection.nearest(generator, target, 12, seed=5, batch=5)
    assert np.allclose(found, w.numpy(), atol=1e-5) and distance < 1e-4


def test_noise_maps_are_found_too_and_stay_normal(tmp_path):
    paddle.seed(1)
    network = StyleGAN2Generator(8, style_dim=D, n_mlp=1, channel_max=8)
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            parameter.set_value(np.float32([1.0]))
    noisy = StyleGAN2Predictor(weight_path=tiny_weights.write(tmp_path / "noisy.safetensors", network))
    with paddle.no_grad():
        w = paddle.to_tensor(noisy.w_of_seeds([3]))
        target = network.synthesis(w, network.make_noise())
    found = projection.project(network, target, w.numpy(), steps=40, noise_weight=1.0)
    held = projection.project(network, target, w.numpy(), steps=40)
    assert held.noise is None and found.distance < held.distance
    assert all(abs(float(noise.mean())) < 1e-5 and noise.std() == pytest.approx(1, abs=1e-3) for noise in found.noise)
    code = noisy.load_code(noisy.save_code(tmp_path / "code.safetensors", Code(found.w, found.noise)))
    drawn = network.synthesis(paddle.to_tensor(found.w), [paddle.to_tensor(noise) for noise in found.noise])
    assert projection.laplacian_distance(drawn, target).item() == pytest.approx(found.distance, abs=1e-4)
    assert np.array_equal(noisy.draw_code(code), noisy.draw_code(Code(found.w, found.noise)))


def test_the_features_of_vgg_join_the_distance(predictor, tmp_path):
    from ppgan_apps.networks.vgg import VGG19
    vgg = VGG19(("conv1_2", "conv2_2"), before_activation=False, width=4)
    a, b = (paddle.to_tensor(np.random.RandomState(seed).rand(1, 3, 16, 16).astype(np.float32)) for seed in (0, 1))
    plain, joined = projection.laplacian_distance(a, b), projection.FeatureDistance(vgg)(a, b)
    parts = [vgg(picture) for picture in (a, b)]
    expected = plain.item()
    for tap in parts[0]:
        one, other = (part[tap].numpy() / np.linalg.norm(part[tap].numpy(), axis=1, keepdims=True) for part in parts)
        expected += ((one - other) ** 2).sum(1).mean()
    assert joined.item() == pytest.approx(expected, rel=1e-3)


def test_a_code_of_another_generator_is_refused(predictor, tmp_path):
    path = predictor.save_code(tmp_path / "code.safetensors", Code(np.zeros((1, 10, D), np.float32)))
    with pytest.raises(WeightsError, match="code.safetensors holds w"):
        predictor.load_code(path)
    with pytest.raises(WeightsError, match="holds no code"):
        predictor.load_code(predictor.weights.path)


# Clips and sheets

def ramp(count=12, height=32, width=48):
    return [np.full((height, width, 3), 20 * number, np.uint8) for number in range(count)]


def test_a_gif_holds_its_frames_and_repeats(tmp_path):
    from PIL import Image
    path = clips.write_clip(tmp_path / "a.gif", iter(ramp()), fps=10)
    with Image.open(path) as clip:
        assert clip.n_frames == 12 and clip.info["duration"] == 100 and clip.info["loop"] == 0
        clip.seek(5)
        assert clip.convert("RGB").getpixel((0, 0)) == (100, 100, 100)
    assert clips.write_clip(tmp_path / "b.gif", ramp(), fps=10).read_bytes() == path.read_bytes()


def test_an_mp4_holds_its_frames_and_is_the_same_each_time(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra `video`")
    path = clips.write_clip(tmp_path / "a.mp4", ramp(height=33), fps=24)
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert clip.streams.video[0].average_rate == 24
    assert len(frames) == 12 and frames[0].shape == (34, 48, 3)
    assert [int(frame.mean().round()) for frame in frames] == pytest.approx([20 * n for n in range(12)], abs=4)
    assert clips.write_clip(tmp_path / "b.mp4", ramp(height=33), fps=24).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_error_among_the_frames_leaves_no_file(suffix, tmp_path):
    if suffix == ".mp4":
        pytest.importorskip("av", reason="needs the extra `video`")

    def failing():
        yield from ramp(3)
        raise OutputError("no more")
    with pytest.raises(OutputError, match="no more"):
        clips.write_clip(tmp_path / f"a{suffix}", failing())
    with pytest.raises(OutputError, match="no frame"):
        clips.write_clip(tmp_path / f"a{suffix}", [])
    assert not list(tmp_path.iterdir())


def test_without_the_extra_one_sentence_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)               # what `import av` meets where it is not installed
    with pytest.raises(MissingExtra, match=r"a video needs the package 'av'.*\[video\]"):
        clips.write_clip(tmp_path / "a.mp4", ramp())
    assert clips.write_clip(tmp_path / "a.gif", ramp()).is_file()
    with pytest.raises(OutputError, match="suffix"):
        clips.write_clip(tmp_path / "a.avi", ramp())


def test_a_sheet_puts_pictures_in_rows_and_names_beside_them(tmp_path):
    red, blue = (np.full((64, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = sheets.labelled([[None, red], [blue, red]], ["", "seed 1"], ["fine", "seed 2"])
    plain = sheets.labelled([[None, red], [blue, red]])
    side, gap = sheets.SMALLEST_CELL, sheets.PADDING
    assert plain.shape == (2 * side + 3 * gap,) * 2 + (3,)
    top, left = sheet.shape[0] - plain.shape[0], sheet.shape[1] - plain.shape[1]
    assert np.array_equal(sheet[top:, left:], plain) and (plain[gap:gap + side, gap:gap + side] == 255).all()
    assert (plain[-gap - 9, gap + 9] == [0, 0, 255]).all() and (plain[gap + 9, -gap - 9] == [255, 0, 0]).all()
    names = sheet[:, :left].min(2) < 128
    assert names[top + side:].any() and not names[:top + side].any()           # the first row has no name
    assert (sheet[:top].min(2) < 128).any()
    assert np.array_equal(read_image(write_image(tmp_path / "sheet.png", sheet)), sheet)

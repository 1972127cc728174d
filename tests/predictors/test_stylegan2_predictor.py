"""StyleGAN2: seeds, truncation, sheets as PaddleGAN lays them out."""
import numpy as np
import pytest

from ppgan_apps import StyleGAN2Predictor
from ppgan_apps.errors import ConfigError
from ppgan_apps.images import read_image
from ppgan_apps.weights import read_metadata, read_weights, save_weights


@pytest.fixture
def predictor(tiny, tmp_path):
    return StyleGAN2Predictor(tmp_path / "out", tiny["styleganv2"], seed=233)


def test_the_same_seed_gives_the_same_sheets_and_another_others(predictor, tiny, tmp_path):
    first = predictor.run(2, 3)
    again = StyleGAN2Predictor(tmp_path / "again", tiny["styleganv2"], seed=233).run(2, 3)
    other = StyleGAN2Predictor(tmp_path / "other", tiny["styleganv2"], seed=234).run(2, 3)
    assert np.array_equal(np.concatenate(again[1:]), np.concatenate(first[1:])) and np.array_equal(again[0], first[0])
    assert np.array_equal(predictor.run(2, 3)[2], first[2])
    assert not np.array_equal(first[0], other[0])


def test_sheets_are_written_and_laid_out(predictor):
    sample, *mixings = predictor.run(n_row=2, n_col=3)
    names = ["sample.png", "sample_mixing_0.png", "sample_mixing_1.png"]
    assert sorted(path.name for path in predictor.output_path.iterdir()) == names
    for name, sheet in zip(names, (sample, *mixings), strict=True):
        assert np.array_equal(read_image(predictor.output_path / name), sheet)
    assert sample.shape == (2 * 16, 3 * 16, 3)
    assert all(sheet.shape == (3 * 16, 4 * 16, 3) for sheet in mixings)
    assert not mixings[0][:16, :16].any()                      # the corner is black
    assert not np.array_equal(*mixings)


def test_a_picture_depends_on_its_number_and_not_on_how_many_are_drawn(predictor):
    five = predictor.sample(5)
    assert np.array_equal(predictor.sample(2)[1], five[1])
    assert np.array_equal(predictor.sample(1, first=4)[0], five[4])
    assert np.array_equal(predictor.run(1, 5)[0][:, 16:32], five[1])


def test_truncation_zero_is_the_mean_picture_whatever_the_seed(predictor):
    a, b = predictor.sample(1, seed=1, truncation=0)[0], predictor.sample(1, seed=2, truncation=0)[0]
    assert np.array_equal(a, b) and not np.array_equal(predictor.sample(1, seed=1)[0], predictor.sample(1, seed=2)[0])


def test_the_mean_latent_in_the_file_is_used(tiny, tmp_path):
    metadata = read_metadata(tiny["styleganv2"])
    path = tmp_path / "with_mean.safetensors"
    save_weights(path, read_weights(tiny["styleganv2"]), {**metadata, "w_mean": [0.5] * 16})
    assert np.array_equal(StyleGAN2Predictor(weight_path=path).mean_w, np.full((1, 16), 0.5, np.float32))


def test_a_file_that_states_its_network_wins_over_the_arguments(tiny):
    assert StyleGAN2Predictor(weight_path=tiny["styleganv2"], size=1024).sample()[0].shape == (16, 16, 3)


def test_arguments_count_for_a_file_that_states_nothing(tiny, tmp_path):
    from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
    network = StyleGAN2Generator(size=8, style_dim=8, n_mlp=1, channel_multiplier=1)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    path = tmp_path / "bare.safetensors"
    save_weights(path, state, {})
    predictor = StyleGAN2Predictor(weight_path=path, size=8, style_dim=8, n_mlp=1, channel_multiplier=1)
    assert predictor.sample()[0].shape == (8, 8, 3)


@pytest.mark.parametrize("wrong", [{"model_type": "cats"}, {"seed": -1}, {"size": 100}])
def test_wrong_arguments_are_one_sentence(wrong):
    with pytest.raises(ConfigError):
        StyleGAN2Predictor(**wrong)


def test_a_sheet_without_a_picture_is_refused(predictor):
    with pytest.raises(ConfigError):
        predictor.run(0, 5)

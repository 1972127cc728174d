"""Weights chosen and loaded, pictures checked."""
import numpy as np
import pytest

from ppgan_apps import Anime2RealPredictor, AnimeGANv2Predictor, StyleGAN2Predictor
from ppgan_apps.errors import ImageError, SuiteError, WeightsError
from ppgan_apps.predictors.base import checked, read
from ppgan_apps.weights import save_weights


def test_the_line_on_stderr_says_which_weights_and_which_licence(tiny, capsys):
    AnimeGANv2Predictor(weight_path=tiny["animeganv2"])
    line = capsys.readouterr().err
    assert str(tiny["animeganv2"]) in line and "CC0-1.0" in line and line.count("\n") == 1


def test_a_file_without_a_licence_is_said_to_state_none(tiny, tmp_path, capsys):
    from ppgan_apps.weights import read_metadata, read_weights
    metadata = read_metadata(tiny["animeganv2"])
    del metadata["licence"]
    path = save_weights(tmp_path / "own.safetensors", read_weights(tiny["animeganv2"]), metadata)
    AnimeGANv2Predictor(weight_path=path or tmp_path / "own.safetensors")
    assert "not stated" in capsys.readouterr().err


def test_constructing_writes_nothing(tiny, tmp_path):
    AnimeGANv2Predictor(tmp_path / "out", tiny["animeganv2"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("predictor", [Anime2RealPredictor, AnimeGANv2Predictor, StyleGAN2Predictor])
def test_weights_of_another_network_are_refused_by_name(tiny, predictor):
    wrong = tiny["styleganv2" if predictor is not StyleGAN2Predictor else "animeganv2"]
    with pytest.raises(WeightsError) as caught:
        predictor(weight_path=wrong)
    assert wrong.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_whose_entries_do_not_fit_its_own_arguments_is_refused(tiny, tmp_path):
    path = tmp_path / "cut.safetensors"
    save_weights(path, {"nothing": np.zeros(1, np.float32)}, {"network": {"lite": True}, "family": "animeganv2"})
    with pytest.raises(WeightsError, match="nothing"):
        AnimeGANv2Predictor(weight_path=path)


def test_a_generator_of_another_architecture_is_found_from_its_arguments(tmp_path):
    import tiny_weights

    from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
    path = tmp_path / "distilled.safetensors"
    tiny_weights.write(path, AnimeGANv2Generator(lite=True), family="pix2pix")
    predictor = Anime2RealPredictor(weight_path=path)
    assert type(predictor.network) is AnimeGANv2Generator
    assert predictor.predict(np.zeros((64, 64, 3), np.uint8)).shape == (256, 256, 3)


def test_missing_weights_and_an_unknown_style_are_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no.file"):
        AnimeGANv2Predictor(weight_path=tmp_path / "no.file")
    with pytest.raises(SuiteError, match="animeganv2/nowhere"):
        AnimeGANv2Predictor(style="nowhere")


def test_an_unknown_device_is_one_sentence(tiny):
    with pytest.raises(SuiteError, match="tpu"):
        AnimeGANv2Predictor(weight_path=tiny["animeganv2"], device="tpu")


@pytest.mark.parametrize("image", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8),
                                   np.zeros((32, 32, 3), np.float32), np.zeros((1, 1, 3), np.uint8), [1, 2]])
def test_an_array_that_is_no_picture_is_refused(image):
    with pytest.raises(ImageError):
        checked(image)


def test_a_refused_file_is_named(tmp_path):
    from ppgan_apps.images import write_image
    write_image(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ImageError, match="dot.png has 1x1 pixels"):
        read(tmp_path / "dot.png")

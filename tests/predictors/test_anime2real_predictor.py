"""Anime2Real: shape kept, white around what is not square."""
import numpy as np
import pytest

from ppgan_apps import Anime2RealPredictor
from ppgan_apps.images import read_image, resize
from ppgan_apps.predictors.anime2real import _on_square


@pytest.fixture(scope="module")
def predictor(tiny, tmp_path_factory):
    return Anime2RealPredictor(tmp_path_factory.mktemp("out"), tiny["anime2real"])


@pytest.mark.parametrize("given, result", [((32, 32), (32, 32)), ((512, 512), (32, 32)), ((64, 32), (32, 16)),
                                           ((30, 60), (16, 32)), ((16, 4000), (1, 32))])
def test_the_long_side_is_the_networks_and_the_shape_the_pictures(predictor, given, result):
    picture = np.full((given[1], given[0], 3), 120, np.uint8)
    assert predictor.predict(picture).shape == (result[1], result[0], 3)


def test_white_fills_the_square_evenly():
    square, (left, top, right, bottom) = _on_square(np.zeros((20, 10, 3), np.uint8), 40)
    assert (left, top, right, bottom) == (10, 0, 30, 40)
    assert (square[:, left:right] == 0).all() and (square[:, :left] == 255).all() and (square[:, right:] == 255).all()


def test_run_writes_both_and_returns_the_second(predictor, portrait):
    real = predictor.run(resize(portrait, (100, 60)))
    assert np.array_equal(read_image(predictor.output_path / "a2r_real.png"), real)
    assert read_image(predictor.output_path / "a2r_anime.png").shape == real.shape

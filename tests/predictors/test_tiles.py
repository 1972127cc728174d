"""Large pictures in tiles: the picture drawn at once, when both have the same moments; cut anywhere, the same."""
import numpy as np
import pytest
import tiny_weights

from ppgan_apps import AnimeGANv2Predictor, engines
from ppgan_apps.images import resize
from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
from ppgan_apps.predictors import tiles

ENGINES = [name for name in engines.PACKAGES if engines.installed(name)]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path_factory.getbasetemp() / "tiles"))


@pytest.fixture
def photo(portrait):
    return resize(portrait, (330, 262))                        # multiples of nothing


def in_tiles(predictor, photo, monkeypatch, side, measured):
    with monkeypatch.context() as small:
        small.setattr(tiles, "LARGEST_WHOLE", 1)
        small.setattr(tiles, "SIDE", side)
        small.setattr(tiles, "MEASURED", measured)
        return predictor.predict(photo).astype(int)


@pytest.mark.parametrize("engine", [*ENGINES, "paddle"])
def test_tiles_are_the_picture_drawn_at_once(engine, tiny, photo, monkeypatch):
    predictor = AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine=engine, use_adjust_brightness=False)
    whole = predictor.predict(photo)
    same_moments = in_tiles(predictor, photo, monkeypatch, 160, photo.size)
    assert np.abs(same_moments - whole).max() <= 1 and whole.std() > 1


def test_tiles_are_the_same_however_the_picture_is_cut(tiny, photo, monkeypatch):
    predictor = AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine=ENGINES[-1], use_adjust_brightness=False)
    one, other = (in_tiles(predictor, photo, monkeypatch, side, 150 * 150) for side in (128, 192))
    assert np.abs(one - other).max() <= 1
    assert np.abs(one - predictor.predict(photo)).mean() < 4   # what the smaller copy's moments change


def test_what_tiles_would_change_is_drawn_at_once(photo, tmp_path, monkeypatch):
    """With corners aligned, where a pixel is enlarged to depends on the size of the picture."""
    network = AnimeGANv2Generator(lite=True, upsample_align="align_corners")
    path = tiny_weights.write(tmp_path / "aligned.safetensors", network)
    predictor = AnimeGANv2Predictor(weight_path=path, engine=ENGINES[-1], use_adjust_brightness=False)
    assert np.array_equal(in_tiles(predictor, photo, monkeypatch, 128, 1000), predictor.predict(photo))


def test_paddles_tiles_are_those_of_the_other_engines(tiny, photo, monkeypatch):
    own, other = (in_tiles(AnimeGANv2Predictor(weight_path=tiny["animeganv2"], engine=name), photo, monkeypatch, 128,
                           150 * 150) for name in ("paddle", ENGINES[-1]))
    assert np.abs(own - other).max() <= 1


@pytest.mark.parametrize("length", [1, 31, 32, 500, 768, 769, 3000])
def test_spans_cover_a_side_once(length):
    parts = list(tiles.spans(length, 768, 32))
    assert parts[0][0] == 0 and parts[-1][1] == length
    assert all(end == start for (_, end), (start, _) in zip(parts, parts[1:]))
    assert all(start % 32 == 0 and 0 < end - start <= 768 for start, end in parts)

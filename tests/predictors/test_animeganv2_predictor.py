"""AnimeGANv2: sizes, brightness, memory bound, what run leaves."""
import numpy as np
import pytest

from ppgan_apps import AnimeGANv2Predictor
from ppgan_apps.errors import ConfigError, ImageError
from ppgan_apps.images import read_image, resize, to_array, to_images
from ppgan_apps.predictors.animeganv2 import LUMA, adjust_brightness


@pytest.fixture(scope="module")
def predictor(tiny):
    return AnimeGANv2Predictor(weight_path=tiny["animeganv2"], max_size=320)


@pytest.mark.parametrize("size", [(256, 256), (257, 300), (320, 256), (17, 40), (16, 320)])
def test_the_anime_has_the_size_of_the_photo(predictor, portrait, size):
    photo = resize(portrait, size)
    assert predictor.predict(photo).shape == photo.shape


def test_a_picture_that_needs_no_fitting_goes_through_the_network_as_it_is(tiny, portrait):
    import paddle
    predictor = AnimeGANv2Predictor(weight_path=tiny["animeganv2"], use_adjust_brightness=False)
    photo = resize(portrait, (256, 256))
    with paddle.no_grad():
        wanted = to_images(predictor.network(paddle.to_tensor(to_array(photo))))[0]
    assert np.array_equal(predictor.predict(photo), wanted)


def test_a_style_may_be_drawn_by_a_unet_and_keeps_the_size_too(portrait, tmp_path):
    from ppgan_apps.networks.unet import UnetGenerator
    from tests import tiny_weights
    path = tiny_weights.write(tmp_path / "unet.safetensors", UnetGenerator(num_downs=6, ngf=4, norm_type="instance"))
    predictor = AnimeGANv2Predictor(weight_path=path)
    assert predictor.multiple_of == 64 and predictor.predict(resize(portrait, (270, 300))).shape == (300, 270, 3)


def test_a_large_photo_is_made_smaller_with_a_notice(predictor, capsys):
    anime = predictor.predict(np.full((400, 800, 3), 90, np.uint8))
    assert anime.shape == (160, 320, 3)
    assert "800x400" in capsys.readouterr().err


def test_brightness_is_scaled_to_the_photos():
    generator = np.random.RandomState(0)
    anime, photo = generator.randint(0, 90, (8, 8, 3), np.uint8), generator.randint(60, 160, (9, 7, 3), np.uint8)
    result = adjust_brightness(anime, photo)
    means = [picture.reshape(-1, 3).mean(0) @ LUMA for picture in (result, photo)]
    assert abs(means[0] - means[1]) < 1                        # whole numbers are cut off, as published
    black = np.zeros_like(anime)
    assert np.array_equal(adjust_brightness(black, photo), black)


def test_run_writes_and_returns_the_anime(tiny, portrait, tmp_path):
    predictor = AnimeGANv2Predictor(tmp_path / "out", tiny["animeganv2"])
    small = resize(portrait, (256, 256))
    anime = predictor.run(small)
    assert np.array_equal(read_image(tmp_path / "out" / "anime.png"), anime)
    assert not np.array_equal(anime, small)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["anime.png"]


def test_a_batch_is_its_pictures_one_by_one(predictor, portrait):
    batch = [resize(portrait, (256, 256)), resize(portrait, (280, 256))]
    together = predictor.predict_batch(batch)
    assert all(np.array_equal(predictor.predict(one), other) for one, other in zip(batch, together, strict=True))
    with pytest.raises(ImageError, match="Picture 1 of the batch"):
        predictor.predict_batch([batch[0], np.zeros((1, 1, 3), np.uint8)])


def test_a_max_size_below_the_networks_own_is_refused(tiny):
    with pytest.raises(ConfigError):
        AnimeGANv2Predictor(weight_path=tiny["animeganv2"], max_size=100)


def test_a_style_with_a_brightness_of_its_own_keeps_it():
    photo = np.full((64, 64, 3), 60, np.uint8)
    photo[16:48, 16:48] = (90, 60, 50)
    given, own = (AnimeGANv2Predictor(style=style, engine="paddle") for style in ("pastel", "watercolour"))
    assert given.use_adjust_brightness and not own.use_adjust_brightness
    mean = photo.astype(float) @ LUMA
    assert abs((given.predict(photo).astype(float) @ LUMA).mean() - mean.mean()) < 4
    assert (own.predict(photo).astype(float) @ LUMA).mean() > mean.mean() + 20, "white paper"

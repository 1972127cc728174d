"""Photo2Cartoon: from photo to cartoon on a real face, with small random weights."""
import numpy as np
import pytest

from ppgan_apps import Photo2CartoonPredictor
from ppgan_apps.errors import ConfigError, NoFaceError
from ppgan_apps.images import read_image, write_image


@pytest.fixture(scope="module")
def predictor(tiny, tmp_path_factory):
    return Photo2CartoonPredictor(tmp_path_factory.mktemp("out"), tiny["photo2cartoon"])


@pytest.fixture(scope="module")
def two(portrait):
    small = portrait[::2, ::2]
    return np.ascontiguousarray(np.concatenate([small, small[:, ::-1]], axis=1))


def test_run_writes_the_crop_and_the_cartoon_and_returns_the_cartoon(predictor, portrait, tmp_path):
    write_image(tmp_path / "photo.png", portrait)
    cartoon = predictor.run(tmp_path / "photo.png")
    assert cartoon.shape == (256, 256, 3) and cartoon.dtype == np.uint8
    assert np.array_equal(read_image(predictor.output_path / "p2c_cartoon.png"), cartoon)
    assert read_image(predictor.output_path / "p2c_photo.png").shape == (256, 256, 3)
    assert np.array_equal(cartoon, predictor.predict(portrait))


def test_the_cartoon_is_white_where_the_mask_is_empty(predictor, portrait):
    [cartoon] = predictor.draw(portrait)
    outside = cartoon.crop.mask < 0.01
    assert outside.mean() > 0.1
    assert cartoon.picture[outside].min() >= 252 and cartoon.picture[~outside].min() < 200


def test_a_picture_without_a_face_is_said_to_have_none(predictor, tmp_path):
    blank = np.full((200, 300, 3), 200, np.uint8)
    with pytest.raises(NoFaceError, match="No face was found"):
        predictor.predict(blank)
    write_image(tmp_path / "blank.png", blank)
    with pytest.raises(NoFaceError, match="blank.png"):
        predictor.run(tmp_path / "blank.png")
    with pytest.raises(NoFaceError, match="Picture 0"):
        predictor.predict_batch([blank])


def test_one_face_by_default_and_every_face_when_asked(predictor, tiny, two, tmp_path):
    assert len(predictor.predict_all(two)) == 1
    everyone = Photo2CartoonPredictor(tmp_path, tiny["photo2cartoon"], faces="all")
    assert len(everyone.predict_all(two)) == 2
    everyone.run(two)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "p2c_cartoon.png", "p2c_cartoon_2.png", "p2c_photo.png", "p2c_photo_2.png"]


def test_a_batch_is_its_pictures_one_by_one(predictor, portrait, two):
    batch = [portrait, two]
    together = predictor.predict_batch(batch)
    assert all(np.array_equal(predictor.predict(one), other) for one, other in zip(batch, together, strict=True))


def test_paste_back_changes_the_faces_and_nothing_far_from_them(tiny, two, tmp_path):
    pasting = Photo2CartoonPredictor(tmp_path, tiny["photo2cartoon"], faces="all", paste_back=True)
    result = pasting.run(two)
    changed = np.abs(result.astype(int) - two).max(axis=2) > 8
    middle = two.shape[1] // 2
    assert result.shape == two.shape and changed[:, :middle].any() and changed[:, middle:].any()
    assert not changed[-4:, :4].any()
    assert np.array_equal(read_image(tmp_path / "p2c_pasted.png"), result)


def test_a_face_at_the_border_has_white_beyond_it(predictor, portrait):
    [cartoon] = predictor.draw(np.ascontiguousarray(portrait[40:, :290]))
    assert (cartoon.photo[0] == 255).all() or (cartoon.photo[:, -1] == 255).all()


def test_an_unknown_choice_of_faces_is_refused(tiny):
    with pytest.raises(ConfigError):
        Photo2CartoonPredictor(weight_path=tiny["photo2cartoon"], faces="some")

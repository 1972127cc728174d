"""Folders as samples: order, augmentation, bad files, shares of several processes."""
import numpy as np
import pytest

from ppgan_apps import data, images
from ppgan_apps.errors import DataError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    for index in range(6):
        images.write_image(tmp_path / f"{index}.png", np.full((20, 30, 3), index * 10, np.uint8))
    return tmp_path


def values(batch, key="real"):
    return [int(round((float(sample.mean()) + 1) * 12.75)) for sample in batch[key]]


def test_an_epoch_takes_every_picture_once_and_the_next_another_order(folder):
    dataset = data.Images(str(folder), size=8).open()
    drawn = [value for batch in data.batches(dataset, 1, 0, 6, 2) for value in values(batch)]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6)) and drawn[:6] != drawn[6:]


def test_a_step_has_the_same_batch_wherever_the_run_starts_and_however_many_threads_read(folder):
    dataset = data.Images(str(folder), size=8).open()
    whole = list(data.batches(dataset, 3, 0, 8, 2, workers=0))
    for start, workers in ((5, 0), (0, 3)):
        for expected, batch in zip(whole[start:], data.batches(dataset, 3, start, 8, 2, workers=workers)):
            np.testing.assert_array_equal(expected["real"], batch["real"])


def test_processes_share_the_batch_of_one(folder):
    dataset = data.Images(str(folder), size=8).open()
    whole = data.make_batch(dataset, 0, 3, 4)["real"]
    shares = [data.make_batch(dataset, 0, 3, 4, rank, 2)["real"] for rank in (0, 1)]
    np.testing.assert_array_equal(whole, np.concatenate(shares))


def test_a_bad_file_is_replaced_by_its_neighbour_and_named(folder, caplog):
    (folder / "2.png").write_text("no picture")
    dataset = data.Images(str(folder), size=8).open()
    sample = dataset.sample(2, np.random.default_rng(0))
    assert values({"real": sample["real"][None]}) == [3]
    assert "2.png" in caplog.text


def test_folders_without_pictures_say_so(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        data.Images(str(tmp_path / "none")).open()
    with pytest.raises(DataError, match="holds no picture"):
        data.Images(str(tmp_path)).open()
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(DataError, match="cannot be read"):
        data.Images(str(tmp_path)).open().sample(0, np.random.default_rng(0))


def test_both_halves_of_a_pair_get_the_same_crop_and_direction_swaps_them(tmp_path):
    left = RANDOM.integers(0, 256, (32, 32, 3), np.uint8)
    images.write_image(tmp_path / "p.png", np.hstack([left, 255 - left]))
    for direction in ("AtoB", "BtoA"):
        dataset = data.PairedImages(str(tmp_path), size=24, load_size=32, direction=direction).open()
        sample = dataset.sample(0, np.random.default_rng(4))
        np.testing.assert_allclose(sample["real_a"], -sample["real_b"], atol=1e-6)
    dataset = data.PairedImages(str(tmp_path), size=32, load_size=32, flip=False).open()
    first = dataset.sample(0, np.random.default_rng(0))
    np.testing.assert_array_equal(images.to_images(first["real_a"][None])[0], left)


def test_unpaired_samples_come_from_their_own_folders(tmp_path):
    for name, value in (("a", 0), ("b", 255)):
        for index in range(3):
            images.write_image(tmp_path / name / f"{index}.png", np.full((9, 9, 3), value, np.uint8))
    dataset = data.UnpairedImages(str(tmp_path / "a"), str(tmp_path / "b"), size=8, load_size=9).open()
    sample = dataset.sample(1, np.random.default_rng(0))
    assert sample["real_a"].max() == -1 and sample["real_b"].min() == 1


def test_the_colour_cast_of_a_style_is_measured_and_taken_off(tmp_path):
    for name in ("photo", "style", "smooth"):
        images.write_image(tmp_path / name / "1.png", np.full((16, 16, 3), (150, 120, 90), np.uint8))
    paths = [str(tmp_path / name) for name in ("photo", "style", "smooth")]
    sample = data.StyleImages(*paths, size=16).open().sample(0, np.random.default_rng(0))
    np.testing.assert_allclose((sample["anime"].mean((1, 2)) + 1) * 127.5, [120] * 3, atol=0.6)
    np.testing.assert_allclose((sample["photo"].mean((1, 2)) + 1) * 127.5, [150, 120, 90], atol=0.6)
    assert np.ptp(sample["anime_grey"].mean((1, 2))) == 0


def test_pictures_of_any_shape_become_squares():
    for height, width in ((5, 40), (40, 5), (16, 16)):
        assert data.square(np.zeros((height, width, 3), np.uint8), 16).shape == (16, 16, 3)

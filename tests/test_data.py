"""Folders as samples: order, augmentation, bad files, shares of several processes."""
import gzip
import json
import zipfile

import numpy as np
import pytest

from ppgan_apps import archives, data, images
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
    np.testing.assert_array_equal(whole[0::2], shares[0])
    np.testing.assert_array_equal(whole[1::2], shares[1])


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


def idx(values):
    values = np.asarray(values, np.uint8)
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress)])
def test_mnist_files_are_read_packed_or_not(tmp_path, suffix, pack):
    digits = RANDOM.integers(0, 256, (5, 28, 28), np.uint8)
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(digits)))
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").write_bytes(pack(idx([7, 2, 1, 0, 2])))
    dataset = data.LabelledImages(str(tmp_path), size=28, channels=1).open()
    assert len(dataset) == 5 and dataset.classes == ("0", "1", "2", "7")
    sample = dataset.sample(1, np.random.default_rng(0))
    assert sample["real"].shape == (1, 28, 28) and sample["label"] == 2
    np.testing.assert_array_equal(np.rint((sample["real"][0] + 1) * 127.5), digits[1])
    batch = data.make_batch(data.LabelledImages(str(tmp_path), size=32, channels=3).open(), 0, 0, 4)
    assert batch["real"].shape == (4, 3, 32, 32) and batch["label"].shape == (4,) and batch["label"].dtype == np.int64


def test_damaged_mnist_files_are_named(tmp_path):
    pictures, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    whole = idx(np.zeros((3, 28, 28)))
    labels.write_bytes(idx([1, 2, 3]))
    for content in (whole[:-1], b"", b"\x1f\x8bno", b"\x00\x00\x0d\x03" + whole[4:]):
        pictures.write_bytes(content)
        with pytest.raises(DataError, match="train-images-idx3-ubyte is not a whole IDX file"):
            data.LabelledImages(str(tmp_path)).open()
    pictures.write_bytes(idx(np.zeros((2, 28, 28))))
    with pytest.raises(DataError, match="do not belong together"):
        data.LabelledImages(str(tmp_path)).open()


def test_paddles_copy_of_mnist_is_used_when_it_is_there_and_never_fetched_in_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match="PPGAN_APPS_OFFLINE forbids"):
        data.LabelledImages("paddle").open()
    folder = tmp_path / ".cache" / "paddle" / "dataset" / "mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros((2, 28, 28)))))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([4, 9])))
    assert data.LabelledImages("paddle").open().classes == ("4", "9")


def test_labels_are_a_column_of_the_attributes(folder):
    rows = [f'{{"file": "{index}.png", "hair": "{"ab"[index % 2]}"}}\n' for index in range(6)]
    (folder / "attributes.jsonl").write_text("".join(rows))
    dataset = data.LabelledImages(str(folder), size=8, label="hair").open()
    assert dataset.classes == ("a", "b") and dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]
    (folder / "attributes.jsonl").unlink()
    (folder / "attributes.csv").write_text("file,age\n" + "".join(f"{index}.png,{30 + index}\n" for index in range(6)))
    assert data.LabelledImages(str(folder), label="age").open().classes == ("30", "31", "32", "33", "34", "35")
    with pytest.raises(DataError, match=r"attributes.csv has no 'hair' for 0.png \(its columns: age\)"):
        data.LabelledImages(str(folder), label="hair").open()
    (folder / "attributes.csv").write_text("file,age\n0.png,3\n")
    with pytest.raises(DataError, match="no row for 1.png"):
        data.LabelledImages(str(folder), label="age").open()
    (folder / "attributes.csv").write_text("name,age\n0.png,3\n")
    with pytest.raises(DataError, match="not a table with a column 'file'"):
        data.LabelledImages(str(folder), label="age").open()
    (folder / "attributes.csv").unlink()
    with pytest.raises(DataError, match="no attributes.jsonl or attributes.csv"):
        data.LabelledImages(str(folder), label="age").open()


def test_attributes_are_the_columns_of_the_table_side_by_side(folder):
    rows = [{"file": f"{index}.png", "hair": "ab"[index % 2], "age": 30 + index // 2, "kind": "person"}
            for index in range(6)]
    rows[5]["hat"] = "bowler"
    (folder / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = data.AttributedImages(str(folder), size=8).open()
    assert dataset.values == {"hair": ("a", "b"), "age": ("30", "31", "32"), "hat": ("", "bowler")}
    assert dataset.one_hot.tolist()[3:] == [[0, 1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0, 1]]
    sample = dataset.sample(4, np.random.default_rng(0))
    assert sample["attributes"].tolist() == dataset.one_hot[4].tolist() and sample["real"].shape == (3, 8, 8)
    dataset = data.AttributedImages(str(folder), size=8, columns=("age",)).open()
    assert dataset.one_hot.shape == (6, 3) and dataset.values == {"age": ("30", "31", "32")}
    for column in ("kind", "face"):
        with pytest.raises(DataError, match=f"no two values of '{column}' .its columns: age, hair, hat, kind"):
            data.AttributedImages(str(folder), columns=(column,)).open()
    (folder / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    with pytest.raises(DataError, match="no row for 4.png"):
        data.AttributedImages(str(folder)).open()
    same = [{"file": f"{index}.png", "kind": "person"} for index in range(6)]
    (folder / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in same))
    with pytest.raises(DataError, match="no column of 2 to 64 values"):
        data.AttributedImages(str(folder)).open()
    (folder / "attributes.jsonl").unlink()
    with pytest.raises(DataError, match="no attributes.jsonl or attributes.csv"):
        data.AttributedImages(str(folder)).open()


def test_sub_folders_are_labels_and_a_bad_picture_is_replaced_by_one_of_its_own(tmp_path):
    for name, value in (("cat", 0), ("dog", 255)):
        for index in range(3):
            images.write_image(tmp_path / name / f"{index}.png", np.full((9, 9, 3), value, np.uint8))
    dataset = data.LabelledImages(str(tmp_path), size=8).open()
    assert dataset.classes == ("cat", "dog")
    (tmp_path / "cat" / "2.png").write_text("no picture")
    sample = dataset.sample(2, np.random.default_rng(0))       # the next file is a dog
    assert sample["label"] == 0 and sample["real"].max() == -1
    assert data.LabelledImages(str(tmp_path / "dog"), size=8).open().classes == ("",)


def packed(folder, path, top=""):
    """A .zip of all other files below `folder`, with `top` before every name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(set(folder.rglob("*")) - {path}, reverse=True):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return str(path)


@pytest.mark.parametrize("top", ["", "pictures/"])
def test_a_zip_gives_the_samples_of_its_folder(tmp_path, top):
    for index in range(6):
        picture = RANDOM.integers(0, 256, (12, 10, 3), np.uint8)
        images.write_image(tmp_path / "in" / "ab"[index % 2] / f"{index}.png", picture)
    (tmp_path / "in" / "attributes.csv").write_text(
        "file,hair\n" + "".join(f"{'ab'[index % 2]}/{index}.png,{'xyz'[index % 3]}\n" for index in range(6)))
    path = packed(tmp_path / "in", tmp_path / "in.zip", top)
    for kind, options in ((data.Images, {}), (data.AttributedImages, {}), (data.LabelledImages, {}),
                          (data.LabelledImages, {"label": "hair"})):
        folder, archive = (kind(where, size=8, **options).open() for where in (str(tmp_path / "in"), path))
        for expected, batch in zip(*(data.batches(dataset, 0, 0, 6, 2, workers=3) for dataset in (folder, archive))):
            assert expected.keys() == batch.keys()
            for key in expected:
                np.testing.assert_array_equal(expected[key], batch[key])
    assert archive.classes == ("x", "y", "z")
    both = data.UnpairedImages(path, str(tmp_path / "in"), size=8, load_size=8).open()
    assert [file.name for file in both.files_a] == [file.name for file in both.files_b] and len(both) == 6


def test_a_bad_file_of_a_zip_is_named_and_a_neighbour_is_taken(folder, tmp_path, caplog, monkeypatch):
    (folder / "2.png").write_text("no picture")
    path = packed(folder, tmp_path / "in.zip")
    dataset = data.Images(path, size=8).open()
    assert values({"real": dataset.sample(2, np.random.default_rng(0))["real"][None]}) == [3]
    assert "in.zip/2.png" in caplog.text
    content = bytearray((tmp_path / "in.zip").read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("4.png").header_offset + 30 + len("4.png")
    content[start + 20:start + 30] = bytes(10)
    (tmp_path / "in.zip").write_bytes(content)
    assert values({"real": data.Images(path, size=8).open().sample(4, np.random.default_rng(0))["real"][None]}) == [5]
    assert "in.zip/4.png cannot be unpacked" in caplog.text
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 3)
    with pytest.raises(DataError, match="in a row"):
        data.Images(path, size=8).open().sample(0, np.random.default_rng(0))
    assert "more than the 0 allowed" in caplog.text


def test_a_damaged_or_empty_zip_says_so(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="bad.zip is not a whole .zip"):
        data.Images(str(tmp_path / "bad.zip")).open()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing to see")
    with pytest.raises(DataError, match="empty.zip holds no picture"):
        data.Images(str(tmp_path / "empty.zip")).open()
    with pytest.raises(DataError, match="no attributes.jsonl or attributes.csv"):
        images.write_image(tmp_path / "one" / "1.png", np.zeros((9, 9, 3), np.uint8))
        data.LabelledImages(packed(tmp_path / "one", tmp_path / "one.zip"), label="hair").open()


def test_mnist_files_may_be_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "mnist.zip", "w") as archive:
        archive.writestr("MNIST/train-images-idx3-ubyte.gz", gzip.compress(idx(np.zeros((3, 28, 28)))))
        archive.writestr("MNIST/train-labels-idx1-ubyte", idx([1, 5, 5]))
    dataset = data.LabelledImages(str(tmp_path / "mnist.zip"), size=28, channels=1).open()
    assert dataset.classes == ("1", "5") and len(dataset) == 3

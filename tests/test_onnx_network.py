"""Networks in ONNX files as weights: layouts, sizes, and what is said of files that cannot be used."""
import numpy as np
import onnx_files
import pytest

from ppgan_apps import AnimeGANv2Predictor, Photo2CartoonPredictor
from ppgan_apps.errors import WeightsError

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (275, 301, 3), dtype=np.uint8)


def predictor(path, **options):
    return AnimeGANv2Predictor(weight_path=path, use_adjust_brightness=False, **options)


def difference(one, other):
    return np.abs(one.astype(int) - other).max()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", [None, 1])
def test_free_sizes_in_both_layouts(layout, batch, photo, tmp_path):
    made = predictor(onnx_files.write(tmp_path / "n.onnx", layout, batch=batch))
    assert made.multiple_of == 8                               # the least that is fed
    drawn = made.predict(photo)
    assert drawn.shape == photo.shape and difference(drawn, onnx_files.expected(photo)) <= 1
    again = made.predict_batch([photo, photo[::-1].copy()])
    assert np.array_equal(again[0], drawn) and np.array_equal(again[1], made.predict(photo[::-1].copy()))


@pytest.mark.parametrize("halvings, multiple", [(2, 8), (4, 16), (5, 32)])
def test_the_multiple_is_found_by_trying(halvings, multiple, photo, tmp_path):
    made = predictor(onnx_files.write(tmp_path / "n.onnx", "NHWC", halvings=halvings))
    assert made.multiple_of == multiple
    assert made.predict(photo).shape == photo.shape


def test_the_metadata_states_multiple_and_licence(tmp_path, capsys):
    path = onnx_files.write(tmp_path / "n.onnx", metadata={"multiple_of": 64, "licence": "CC0-1.0"})
    assert predictor(path).multiple_of == 64
    assert "CC0-1.0" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_a_fixed_size_draws_the_whole_photo_smaller(layout, size, tmp_path):
    rows, columns = np.mgrid[:150, :400]
    photo = np.stack([columns * 255 // 400, rows * 255 // 150, columns * 0 + 40], axis=2).astype(np.uint8)
    drawn = predictor(onnx_files.write(tmp_path / "n.onnx", layout, size)).predict(photo)
    assert drawn.shape == photo.shape and difference(drawn, onnx_files.expected(photo)) < 12  # a coarse slope


def test_half_precision(photo, tmp_path):
    drawn = predictor(onnx_files.write(tmp_path / "n.onnx", dtype=np.float16)).predict(photo)
    assert difference(drawn, onnx_files.expected(photo)) <= 1


def test_photo2cartoon_draws_a_face_with_an_onnx_file(tmp_path):
    import skimage.data
    portrait = skimage.data.astronaut()[:256, 100:356].copy()
    made = Photo2CartoonPredictor(weight_path=onnx_files.write(tmp_path / "n.onnx", size=(256, 256)))
    cartoon = made.draw(portrait)[0]
    assert difference(cartoon.drawn, onnx_files.expected(cartoon.crop.image)) <= 1


@pytest.mark.parametrize("options, words", [
    ({"inputs": 2}, "takes 2 inputs (photo, more1)"),
    ({"channels": 1}, "3 channels"),
    ({"channels": 4, "layout": "NHWC"}, "3 channels"),
    ({"batch": 4}, "takes 4 pictures at a time"),
    ({"dtype": np.uint8}, "takes tensor(uint8)"),
    ({"size": (64, None)}, "one side fixed"),
    ({"grows": True}, "the size of its input"),
])
def test_networks_that_are_none_from_picture_to_picture(options, words, tmp_path):
    path = onnx_files.write(tmp_path / "n.onnx", **options)
    with pytest.raises(WeightsError) as caught:
        predictor(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no network", b"<html><body>404</body></html>"])
def test_files_that_are_no_onnx(content, tmp_path):
    (tmp_path / "n.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="is no ONNX file"):
        predictor(tmp_path / "n.onnx")


def test_external_data(photo, tmp_path):
    path = onnx_files.write(tmp_path / "n.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert difference(predictor(path).predict(photo), onnx_files.expected(photo)) <= 1
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(WeightsError, match="a file beside it, which is missing"):
        predictor(path)

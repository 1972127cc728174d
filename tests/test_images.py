"""Pictures of every kind in, whole pictures out."""
import numpy as np
import pytest
from PIL import Image

from ppgan_apps import images
from ppgan_apps.errors import ImageError, OutputError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_a_png_with_a_name_in_any_script_comes_back_as_it_was(tmp_path):
    path = images.write_image(tmp_path / "新しい" / "照片 é.png", RGB)
    np.testing.assert_array_equal(images.read_image(path), RGB)


def test_transparency_is_laid_over_the_background(tmp_path):
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    rgba[0, 0, 3] = 255
    read = images.read_image(save(tmp_path / "a.png", rgba), background=(10, 20, 30))
    assert tuple(read[0, 0]) == tuple(RGB[0, 0]) and tuple(read[1, 1]) == (10, 20, 30)


def test_grey_palette_cmyk_and_sixteen_bits_become_rgb(tmp_path):
    grey = RGB[..., 0]
    np.testing.assert_array_equal(images.read_image(save(tmp_path / "g.png", grey))[..., 2], grey)
    deep = save(tmp_path / "d.png", (grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(images.read_image(deep)[..., 1], grey)
    Image.fromarray(RGB).convert("P").save(tmp_path / "p.png")
    assert images.read_image(tmp_path / "p.png").shape == RGB.shape
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "c.tif")
    assert np.abs(images.read_image(tmp_path / "c.tif").astype(int) - RGB).max() <= 2


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6                                           # the camera was turned a quarter
    path = save(tmp_path / "e.png", RGB, exif=exif)
    np.testing.assert_array_equal(images.read_image(path), np.rot90(RGB, -1))


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert images.read_image(tmp_path / "a.gif").max() == 0


def test_what_is_no_picture_is_named(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    whole = save(tmp_path / "whole.jpg", np.tile(RGB, (20, 20, 1)))
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:1500])
    for name, part in [("none.png", "does not exist"), ("text.png", "not a picture"), ("empty.jpg", "not a picture"),
                       ("cut.jpg", "damaged"), ("", "is a folder")]:
        with pytest.raises(ImageError, match=part):
            images.read_image(tmp_path / name)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="140x100 pixels, more than the 0.0001 million"):
        images.read_image(whole)


def test_writing_keeps_what_is_there_and_leaves_nothing_half_written(tmp_path):
    path = images.write_image(tmp_path / "a.png", RGB)
    with pytest.raises(OutputError, match="exists"):
        images.write_image(path, RGB, overwrite=False)
    with pytest.raises(OutputError, match="no suffix"):
        images.write_image(tmp_path / "a.xyz", RGB)
    with pytest.raises(ValueError):
        with images.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError
    np.testing.assert_array_equal(images.read_image(path), RGB)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        images.write_image(tmp_path / "file" / "a.png", RGB)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "file"]


def test_arrays_and_pictures_are_inverse_and_span_minus_one_to_one():
    array = images.to_array([RGB, RGB])
    assert array.shape == (2, 3, 5, 7) and array.dtype == np.float32
    np.testing.assert_array_equal(images.to_images(array)[1], RGB)
    assert images.to_array(np.array([[[0, 255, 51]]], np.uint8)).ravel() == pytest.approx([-1, 1, -0.6])
    assert images.to_images(np.array([-3.0, 3.0], np.float32).reshape(2, 1, 1, 1))[1].tolist() == [[[255] * 3]]


def test_inputs_are_found_once_and_in_order(tmp_path):
    for name in ("b.png", "sub/a.JPG", "note.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = images.find_images([tmp_path / "b.png", tmp_path, str(tmp_path / "*.txt")])
    assert [path.name for path in found] == ["b.png", "a.JPG", "note.txt"]
    with pytest.raises(ImageError, match="matches no file"):
        images.find_images(str(tmp_path / "*.bmp"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no picture"):
        images.find_images(tmp_path / "empty")


def test_grid_places_pictures_row_by_row():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = images.grid(tiles, columns=2, padding=1, background=0)
    assert sheet.shape == (7, 9, 3)
    assert (sheet[1, 1, 0], sheet[1, 5, 0], sheet[4, 1, 0], sheet[4, 5, 0]) == (10, 20, 30, 0)

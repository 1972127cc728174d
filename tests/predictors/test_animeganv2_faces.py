"""AnimeGANv2 on faces: the crop, what comes out, pasting back, side by side, and styles of another project."""
import pickle

import numpy as np
import pytest

from ppgan_apps import AnimeGANv2Predictor, cli
from ppgan_apps.errors import ConfigError, NoFaceError, WeightsError
from ppgan_apps.faces.align import (
    crop_portrait,
    eye_line_angle,
    inverse,
    portrait_matrix,
    rotation,
    transform,
    warp,
)
from ppgan_apps.images import read_image, resize, write_image
from tests import tiny_weights
from tests.foreign import shapes


@pytest.fixture(scope="module")
def landmarks(portrait):
    from ppgan_apps import faces
    return faces.detect(portrait)[0].landmarks


@pytest.fixture(scope="module")
def face_weights(tmp_path_factory):
    """A tiny network whose file says that it was trained on faces of 64 pixels."""
    from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
    path = tmp_path_factory.mktemp("faces") / "face.safetensors"
    return tiny_weights.write(path, AnimeGANv2Generator(lite=True), input={"size": 64, "crop": "face"})


@pytest.fixture(scope="module")
def predictor(face_weights):
    return AnimeGANv2Predictor(weight_path=face_weights)


def face_at(eyes: float, mouth: float) -> np.ndarray:
    """Landmarks of a level face around (100, 80): eyes `eyes` pixels apart, the mouth `mouth` below them."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (100 - eyes / 2, 80), (100 + eyes / 2, 80)
    points[48], points[54] = (90, 80 + mouth), (110, 80 + mouth)
    return points


@pytest.mark.parametrize("eyes, mouth, half", [(40, 30, 80), (20, 50, 90)])
def test_the_crop_is_ffhqs(eyes, mouth, half):
    """Half its side is the larger of 2 eye distances and 1.8 times the way to the mouth."""
    matrix = portrait_matrix(face_at(eyes, mouth), size=256)
    assert np.allclose(transform((100, 80 + 0.1 * mouth), matrix), 127.5)
    assert np.allclose(transform([(100 - half, 80), (100 + half, 80)], matrix)[:, 0], [-0.5, 255.5])
    wider = portrait_matrix(face_at(eyes, mouth), size=256, expand=1.3)
    assert np.allclose(matrix[:, :2] / wider[:, :2].diagonal()[:, None], np.eye(2) * 1.3)


@pytest.mark.parametrize("angle", [-120.0, -20.0, 35.0, 180.0])
def test_a_turned_face_gives_the_same_crop(landmarks, angle):
    turn = rotation(angle)
    straight, turned = portrait_matrix(landmarks), portrait_matrix(landmarks @ turn.T)
    assert np.allclose(turned[:, :2] @ turn, straight[:, :2]) and np.allclose(turned[:, 2], straight[:, 2])
    assert abs(eye_line_angle(transform(landmarks @ turn.T, turned))) < 6


def test_beyond_its_border_the_picture_is_mirrored():
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None] * 2, 100, axis=0).repeat(3, axis=2)
    face = face_at(60, 40)                                     # its crop is wider than the picture
    crop = crop_portrait(ramp, face, size=128, expand=1.3)
    corner = transform((0, 64), inverse(crop.to_crop))
    assert corner[0] < -50
    mirrored = -corner[0] - 1                                  # pixel -1 is pixel 0 again
    assert abs(float(crop.image[64, 0, 0]) - 2 * mirrored) < 4
    inside = warp(ramp, crop.to_crop, 128)
    middle = slice(60, 68)
    assert np.abs(crop.image[middle, middle].astype(int) - inside[middle, middle]).max() <= 1


def test_weights_for_faces_draw_faces(predictor, portrait, landmarks):
    assert predictor.faces == "largest" and predictor.face_size == 64
    anime = predictor.predict(portrait)
    assert anime.shape == (64, 64, 3)
    crop = crop_portrait(portrait, landmarks, 64)
    assert np.array_equal(anime, predictor._draw([crop.image])[0])  # no brightness, no size of the photo's


def test_other_weights_draw_faces_when_asked(tiny, portrait):
    predictor = AnimeGANv2Predictor(weight_path=tiny["animeganv2"], faces="largest")
    assert predictor.predict(resize(portrait, (256, 256))).shape == (512, 512, 3)


def test_a_pasted_face_changes_only_its_square(face_weights, portrait, landmarks):
    predictor = AnimeGANv2Predictor(weight_path=face_weights, paste_back=True)
    pasted = predictor.predict(portrait)
    assert pasted.shape == portrait.shape
    rows, columns = np.indices(portrait.shape[:2])
    where = transform(np.stack([columns, rows], -1), portrait_matrix(landmarks, 64, 1.3))
    outside = ((where < -2) | (where > 66)).any(-1)
    centre = (np.abs(where - 31.5) < 16).all(-1)
    assert outside.any() and np.array_equal(pasted[outside], portrait[outside])
    assert np.abs(pasted[centre].astype(int) - portrait[centre]).mean() > 10


def test_side_by_side(face_weights, tiny, portrait, landmarks):
    both = AnimeGANv2Predictor(weight_path=face_weights, side_by_side=True).predict(portrait)
    assert np.array_equal(both[:, :64], crop_portrait(portrait, landmarks, 64).image)
    assert np.array_equal(both[:, 64:], AnimeGANv2Predictor(weight_path=face_weights).predict(portrait))
    pasted = AnimeGANv2Predictor(weight_path=face_weights, side_by_side=True, paste_back=True).predict(portrait)
    assert np.array_equal(pasted[:, :512], portrait) and pasted.shape == (512, 1024, 3)
    photo = resize(portrait, (256, 256))
    beside = AnimeGANv2Predictor(weight_path=tiny["animeganv2"], side_by_side=True).predict(photo)
    alone = AnimeGANv2Predictor(weight_path=tiny["animeganv2"]).predict(photo)
    assert np.array_equal(beside[:, :256], photo) and np.array_equal(beside[:, 256:], alone)


def test_all_faces_of_a_photo(face_weights, portrait):
    two = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    predictor = AnimeGANv2Predictor(weight_path=face_weights, faces="all")
    assert [anime.shape for anime in predictor.predict_all(two)] == [(64, 64, 3)] * 2
    predictor.paste_back = True
    pasted, = predictor.predict_all(two)
    changed = (pasted != two).any(-1)
    assert changed[:, :512].any() and changed[:, 512:].any()


def test_what_cannot_be_asked_for(tiny, predictor):
    with pytest.raises(ConfigError, match="none, largest, all"):
        AnimeGANv2Predictor(weight_path=tiny["animeganv2"], faces="both")
    with pytest.raises(ConfigError, match="set faces to largest or all"):
        AnimeGANv2Predictor(weight_path=tiny["animeganv2"], paste_back=True)
    with pytest.raises(NoFaceError):
        predictor.predict(np.full((64, 64, 3), 128, np.uint8))


def test_the_command(face_weights, portrait, tmp_path):
    write_image(tmp_path / "me.png", portrait)
    write_image(tmp_path / "grey.png", np.full((64, 64, 3), 128, np.uint8))
    options = ["-o", str(tmp_path / "out"), "--weight-path", str(face_weights)]
    assert cli.main(["animeganv2", str(tmp_path / "me.png"), *options, "--paste-back", "--side-by-side"]) == 0
    assert read_image(tmp_path / "out" / "me_anime.png").shape == (512, 1024, 3)
    assert cli.main(["animeganv2", str(tmp_path / "me.png"), str(tmp_path / "grey.png"), *options,
                     "--overwrite"]) == 1
    assert read_image(tmp_path / "out" / "me_anime.png").shape == (64, 64, 3)


# ---------------------------------------------------------------------------------------------------------------------
# Styles of another project
# ---------------------------------------------------------------------------------------------------------------------
def test_a_published_face_style_is_read_in_its_own_layout(tmp_path, monkeypatch, portrait, capsys):
    """With the file in the cache (here with random numbers) the style crops, draws at 512 and says what it is."""
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path))
    state = shapes.random_state(shapes.animegan2_pytorch())
    (tmp_path / "celeba_distill.pt").write_bytes(pickle.dumps(state, 4))
    predictor = AnimeGANv2Predictor(style="celeba_distill")
    assert predictor.faces == "largest" and predictor.face_size == 256
    network = predictor.network.arguments
    assert network["skip"] and network["upsample_align"] == "align_corners" and network["padding_type"] == "reflect"
    assert predictor.predict(portrait).shape == (256, 256, 3)
    assert "bryandlee/animegan2-pytorch" in capsys.readouterr().err
    (tmp_path / "paprika.pt").write_bytes(pickle.dumps(state, 4))
    assert AnimeGANv2Predictor(style="paprika").faces == "none"


def test_a_style_of_another_layout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path))
    (tmp_path / "face_paint_512_v2.pt").write_bytes(pickle.dumps({"weight": np.zeros(3, np.float32)}, 4))
    with pytest.raises(WeightsError, match="holds no network of bryandlee/animegan2-pytorch"):
        AnimeGANv2Predictor(style="face_paint_512_v2")
    with pytest.raises(WeightsError, match="face_paint_512_v1 are not here and PPGAN_APPS_OFFLINE"):
        AnimeGANv2Predictor(style="face_paint_512_v1")

"""Feature spaces: identity, resizing, and that what is worse for the eye is further away."""
import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported
from ppgan_apps.errors import ConfigError, DataError, WeightsError
from ppgan_apps.images import find_images, read_image, resize
from ppgan_apps.metrics.features import DEFAULT, SPACES, open_space, quarter_means
from ppgan_apps.metrics.fid import fid
from ppgan_apps.metrics.resizing import resize_like_tensorflow


@pytest.fixture(scope="module")
def space():
    return open_space()


@pytest.fixture(scope="module")
def halves(space, faces):
    """The features of one half of the faces, and the distance from it to the other half."""
    first = space.extract(faces[:40])
    return first, fid(first, space.extract(faces[40:])).values["value"]


def test_the_default_space_is_the_same_on_every_machine(space):
    assert space.identity() == {
        "features": "random-vgg-64", "resizer": "averaged when shrinking, bicubic when growing (OpenCV)",
        "sha256": "5fc7010cc9e16fc315c524960289f98d6b893a0364f9d2fa29458640d0dcc312", "input_size": 64}
    assert not space.is_inception and space.name == DEFAULT and DEFAULT in SPACES


def test_features_do_not_depend_on_the_batch(space, faces):
    together = space.extract(faces[:35]).values
    assert together.shape == (35, 960)
    np.testing.assert_allclose(together[33:34], space.of(faces[33:34]), rtol=1e-4, atol=1e-5)


def test_the_more_a_picture_is_spoiled_the_further_it_is(space, faces, halves, spoiled):
    first, unspoiled = halves
    distances = [fid(first, space.extract([spoil(face) for face in faces[40:]])).values["value"] for spoil in spoiled]
    assert 0 < unspoiled < distances[0] < distances[1] < distances[2]


@pytest.fixture(scope="module")
def avatars(space, shared):
    """(the features of 60 avatars, 60 other avatars)."""
    pictures = [resize(read_image(file), (64, 64)) for file in find_images([shared / "data" / "avatars"])[:120]]
    return space.extract(pictures[::2]), pictures[1::2]


def test_the_same_holds_for_avatars(space, avatars, spoiled):
    first, others = avatars
    distances = [fid(first, space.extract([spoil(avatar) for avatar in others])).values["value"]
                 for spoil in (lambda avatar: avatar, *spoiled)]
    assert distances == sorted(distances) and distances[-1] > 1.5 * distances[0]


def test_pictures_repeated_are_far_from_varied_ones(space, faces, halves):
    first, varied = halves
    distances = [fid(first, space.extract((faces[40:] * 40)[:count] * (40 // count))).values["value"]
                 for count in (20, 4, 1)]
    assert varied < distances[0] < distances[1] < distances[2]


def test_quarters_are_averaged_by_themselves():
    import paddle
    maps = paddle.to_tensor(np.kron(np.array([[1, 2], [3, 4]], "float32"), np.ones((3, 2), "float32"))[None, None])
    assert quarter_means(maps).numpy().tolist() == [[1, 2, 3, 4]]


def test_tensorflow_resizing_in_closed_form():
    ramp = np.repeat(np.arange(4, dtype=np.float32)[None, :, None], 2, axis=0)           # [2, 4, 1]: 0 1 2 3
    expected = np.minimum(np.arange(8) / 2, 3)                                           # i * 4 / 8, held at the end
    resized = resize_like_tensorflow(ramp, 8)
    assert resized.shape == (8, 8, 1)
    np.testing.assert_allclose(resized[..., 0], np.tile(expected, (8, 1)), atol=1e-6)
    down = resize_like_tensorflow(np.arange(12, dtype=np.uint8).reshape(1, 12, 1), 3)    # every fourth, not averaged
    np.testing.assert_allclose(down[0, :, 0], [0, 4, 8])
    same = np.random.RandomState(0).randint(0, 256, (5, 5, 3))
    np.testing.assert_array_equal(resize_like_tensorflow(same, 5), same)
    assert resize_like_tensorflow(np.zeros((10, 20, 3), np.uint8), 7).shape == (7, 7, 3)


def test_tensorflow_resizing_of_both_axes():
    """Against the formula written out pixel by pixel."""
    picture = np.random.RandomState(1).rand(6, 9, 2).astype(np.float32)
    resized = resize_like_tensorflow(picture, 4)
    for row in range(4):
        for column in range(4):
            y, x = row * 6 / 4, column * 9 / 4
            top, left = int(y), int(x)
            bottom, right = min(top + 1, 5), min(left + 1, 8)
            upper = picture[top, left] * (1 - (x - left)) + picture[top, right] * (x - left)
            lower = picture[bottom, left] * (1 - (x - left)) + picture[bottom, right] * (x - left)
            np.testing.assert_allclose(resized[row, column], upper * (1 - (y - top)) + lower * (y - top), rtol=1e-5)


def test_what_cannot_be_used_is_said(space, faces, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no features 'resnet': use inception"):
        open_space("resnet")
    with pytest.raises(DataError, match="needs two pictures"):
        space.extract(faces[:1])
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        open_space(str(tmp_path / "weights.pth"))
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="inception"):
        open_space("inception")
    with pytest.raises(DataError, match="cannot be compared"):
        fid(space.extract(faces[:2]), open_space("random-vgg-128").extract(faces[:2]))

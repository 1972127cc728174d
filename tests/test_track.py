"""Faces followed through frames: one number each, landmarks that rest, cuts, and Photo2Cartoon pasted into a clip."""
import clips
import numpy as np
import onnx_files
import pytest

from ppgan_apps import cli
from ppgan_apps.faces.detect import detect
from ppgan_apps.faces.track import FaceTracker, smoothed


@pytest.fixture(scope="module")
def portrait():
    import skimage.data
    return skimage.data.astronaut()[:256, 100:356].copy()


def moved(portrait, x, y, seed=None):
    """The portrait at (x, y) on grey, 320 x 256, with a camera's noise where a seed is given."""
    picture = np.full((256, 320, 3), 120.0)
    part = portrait[:256 - y, :320 - x]
    picture[y:y + part.shape[0], x:x + part.shape[1]] = part
    if seed is not None:
        picture += np.random.default_rng(seed).normal(0, 6, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_a_face_keeps_its_number_and_is_followed(portrait):
    tracker = FaceTracker()
    for number in range(8):
        tracks = tracker.follow(moved(portrait, 8 * number, 0))
        assert [track.number for track in tracks] == [0]
    now = detect(moved(portrait, 56, 0))[0].landmarks
    width = now[:, 0].max() - now[:, 0].min()
    assert np.linalg.norm(tracks[0].landmarks - now, axis=1).mean() < 0.1 * width


def test_landmarks_tremble_less_at_rest(portrait):
    tracker, plain, followed = FaceTracker(), [], []
    for seed in range(20):
        frame = moved(portrait, 20, 0, seed)
        plain.append(detect(frame)[0].landmarks)
        followed.append(tracker.follow(frame)[0].landmarks)
    # From the tenth frame on: a track begins where the detector's box says, and settles where its own points say. The
    # detector's box stays the same from there, so that single frames hardly tremble either: by a twentieth of a pixel.
    tremble = [np.abs(np.diff(points[9:], axis=0)).mean() for points in (plain, followed)]
    assert tremble[1] < 0.8 * tremble[0]


def test_in_motion_landmarks_do_not_lag():
    resting = np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32) * 30
    assert np.array_equal(smoothed(resting, resting + 50), (resting + 50).astype(np.float32))
    assert np.allclose(smoothed(resting, resting), resting)


def test_a_face_that_leaves_is_dropped_and_a_cut_begins_anew(portrait):
    tracker, empty = FaceTracker(), np.full((256, 320, 3), 120, np.uint8)
    assert [track.number for track in tracker.follow(moved(portrait, 20, 0))] == [0]
    found = [len(tracker.follow(empty)) for _ in range(7)]
    assert found[-1] == 0
    assert [track.number for track in FaceTracker().follow(empty)] == []
    tracker, first = FaceTracker(), moved(portrait, 64, 0)
    second = np.zeros_like(first)                              # another scene, its face in nearly the same place
    second[:, 48:304] = portrait // 3
    assert [track.number for track in tracker.follow(first)] == [0]
    tracker.follow(first)
    assert [track.number for track in tracker.follow(second)] == [1]


def test_the_state_goes_on_in_another_tracker(portrait):
    frames = [moved(portrait, 4 * number, 0, number) for number in range(9)]
    one, other = FaceTracker(), FaceTracker()
    for frame in frames[:4]:
        one.follow(frame)
    other.restore(one.state())
    for frame in frames[4:]:
        for mine, theirs in zip(one.follow(frame), other.follow(frame), strict=True):
            assert mine.number == theirs.number and np.array_equal(mine.landmarks, theirs.landmarks)


def test_photo2cartoon_pastes_the_face_into_every_frame(portrait, tmp_path, capsys):
    pytest.importorskip("av", minversion="15.0")
    pytest.importorskip("onnxruntime")
    weights = onnx_files.write(tmp_path / "n.onnx", size=(256, 256))
    clip = clips.write(tmp_path / "clip.mp4", frames=4, size=(320, 256),
                       picture=lambda number, size: moved(portrait, 4 * number, 0))
    run = ["photo2cartoon", str(clip), "-o", str(tmp_path / "out.mp4"), "--weight-path", str(weights)]
    assert cli.main(run) == 0
    before, after = clips.frames(clip), clips.frames(tmp_path / "out.mp4")
    assert [moment for moment, _ in before] == [moment for moment, _ in after]
    assert clips.sound(clip) == clips.sound(tmp_path / "out.mp4")
    for (_, photo), (_, drawn) in zip(before, after, strict=True):
        x, y = detect(photo)[0].landmarks[30].astype(int)      # the tip of the nose
        nose = np.s_[y - 4:y + 4, x - 4:x + 4]
        assert np.abs(drawn[nose].astype(int) - onnx_files.expected(photo)[nose]).mean() < 12
        assert np.abs(drawn[:, -8:].astype(int) - photo[:, -8:]).mean() < 4        # far from the face
    empty = clips.write(tmp_path / "empty.mp4", frames=1, size=(160, 96))
    capsys.readouterr()
    assert cli.main(["photo2cartoon", str(empty), "-o", str(tmp_path / "none.mp4"), *run[-2:]]) == 2
    assert "No face was found in" in capsys.readouterr().err
    assert not (tmp_path / "none.mp4").exists() and not (tmp_path / ".none.mp4.parts").exists()

"""tools/prepare.py run as a user runs it, on pictures made here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps.images import read_image, resize, write_image

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare.py"


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def face_points(size: int) -> np.ndarray:
    points = np.random.default_rng(3).uniform(0.35, 0.65, (68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.2 * np.cos(angle), 0.5 + 0.25 * np.sin(angle)], axis=1)
    points[36:42, 0] = np.linspace(0.36, 0.44, 6)
    points[42:48, 0] = np.linspace(0.56, 0.64, 6)
    points[36:48, 1] = 0.45
    return (points * size).astype(np.float32)


@pytest.fixture
def portraits(tmp_path) -> tuple[Path, Path]:
    """Four portraits in two folders, and their label files."""
    size = 160
    pictures, labels = tmp_path / "portraits", tmp_path / "labels"
    labels.mkdir()
    rows, columns = np.indices((size, size)) / size
    mask = (np.hypot((columns - 0.5) / 0.32, (rows - 0.5) / 0.42) < 1).astype(np.float16)
    for index, name in enumerate(("female/00", "female/01", "male/00", "male/01")):
        image = np.random.default_rng(index).integers(90, 110, (size, size, 3)).astype(np.uint8)
        image[mask > 0] = (200 - 20 * index, 150, 120)
        write_image(pictures / f"{name}.png", image)
        np.savez(labels / f"{name.replace('/', '_')}.npz", landmarks=face_points(size), mask=mask, found=True)
    return pictures, labels


def test_faces_then_pairs_then_refusal(portraits, tmp_path):
    pictures, labels = portraits
    crops, pairs = tmp_path / "crops", tmp_path / "pairs"
    done = run("faces", pictures, "-o", crops, "--labels", labels, "--size", 128, "--jitter", 1, "--hold-out", 4)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (crops / "train").glob("*.png")) == [
        "female_00.png", "female_00_1.png", "female_01.png", "female_01_1.png", "male_00.png", "male_00_1.png"]
    assert [p.name for p in (crops / "val").glob("*.png")] == ["male_01.png"], "what is held out is not jittered"
    straight, jittered = (read_image(crops / "train" / f"female_00{end}.png") for end in ("", "_1"))
    assert straight.shape == (128, 128, 3) and (straight[0, 0] == 255).all(), "crops lie on white"
    assert not np.array_equal(straight, jittered)

    done = run("pairs", crops / "train", "-o", pairs)
    assert done.returncode == 0, done.stderr
    files = sorted(pairs.glob("*.png"))
    assert len(files) == 6
    pair = read_image(files[0])
    assert pair.shape == (128, 256, 3)
    assert np.array_equal(pair[:, :128], straight), "the photo is the left half, unchanged"
    assert not np.array_equal(pair[:, 128:], straight) and (pair[0, 128] == 255).all()

    before = files[0].read_bytes()
    files[1].unlink()
    again = run("pairs", crops / "train", "-o", pairs)
    assert again.returncode == 2 and "--overwrite" in again.stderr and again.stderr.count("\n") == 1
    assert files[0].read_bytes() == before and not files[1].exists(), "nothing is written when one file is in the way"
    assert run("pairs", crops / "train", "-o", pairs, "--overwrite").returncode == 0
    assert files[1].exists()
    assert not list(tmp_path.rglob("*.part"))


def test_faces_are_the_same_for_the_same_seed(portraits, tmp_path):
    pictures, labels = portraits
    first, second, third = (tmp_path / name for name in "abc")
    for folder, seed in ((first, 5), (second, 5), (third, 6)):
        options = ("--labels", labels, "--size", 64, "--jitter", 1, "--seed", seed)
        assert run("faces", pictures / "male", "-o", folder, *options).returncode == 0
    assert (first / "00_1.png").read_bytes() == (second / "00_1.png").read_bytes()
    assert (first / "00_1.png").read_bytes() != (third / "00_1.png").read_bytes()


def test_a_portrait_without_a_face_or_label_is_named_and_left_out(portraits, tmp_path):
    pictures, labels = portraits
    (labels / "male_00.npz").unlink()
    (labels / "female_01.npz").write_bytes(b"PK\x03\x04 damaged")
    np.savez(labels / "male_01.npz", landmarks=np.zeros((68, 2)), mask=np.zeros((160, 160)), found=False)
    done = run("faces", pictures, "-o", tmp_path / "crops", "--labels", labels, "--size", 64)
    assert done.returncode == 1
    for reason in ("no label file", "no face", "not a label file"):
        assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in (tmp_path / "crops").glob("*.png")) == ["female_00.png"]


def test_the_attributes_of_portraits_follow_their_crops(portraits, tmp_path):
    pictures, labels = portraits
    (labels / "male_00.npz").unlink()                          # left out, and so is its row
    (pictures / "attributes.csv").write_text(
        "file,sex,age\nfemale/00.png,female,22\nfemale/01.png,,40\nmale/00.png,male,30\nmale/01.png,male,61\n")
    crops, options = tmp_path / "crops", ["--labels", labels, "--size", 32]
    assert run("faces", pictures, "-o", crops, *options, "--jitter", 1, "--hold-out", 4).returncode == 1
    assert (crops / "train" / "attributes.csv").read_text() == (
        "file,sex,age\nfemale_00.png,female,22\nfemale_00_1.png,female,22\nfemale_01.png,,40\nfemale_01_1.png,,40\n")
    assert (crops / "val" / "attributes.csv").read_text() == "file,sex,age\nmale_01.png,male,61\n"
    (pictures / "female" / "attributes.csv").write_text("file,age,country\n00.png,23,Fiji\n")
    assert run("faces", pictures / "female", "-o", crops / "val", *options).returncode == 0
    assert (crops / "val" / "attributes.csv").read_text() == (
        "file,sex,age,country\n00.png,,23,Fiji\nmale_01.png,male,61,\n"), "rows of a second batch join the first's"


def test_style_writes_photo_style_and_smooth_under_one_name(portraits, tmp_path):
    pictures, _ = portraits
    out = tmp_path / "anime"
    done = run("style", pictures, "-o", out, "--size", 96, "--smooth", "--pairs", "--crops", 1, "--hold-out", 4)
    assert done.returncode == 0, done.stderr
    names = [sorted(p.name for p in (out / kind).glob("*.png")) for kind in ("photo", "style", "smooth")]
    assert names[0] == names[1] == names[2] and len(names[0]) == 6
    assert [p.name for p in (out / "val" / "style").glob("*.png")] == ["male_01.png"]
    style, smooth = (read_image(out / kind / names[0][0]) for kind in ("style", "smooth"))
    assert style.shape == smooth.shape == (96, 96, 3) and not np.array_equal(style, smooth)
    np.testing.assert_array_equal(read_image(out / "pairs" / names[0][0])[:, 96:], style)
    assert run("style", pictures, "-o", out, "--size", 96).returncode == 2


def test_check_lists_bad_files(portraits, tmp_path):
    pictures, _ = portraits
    good = run("check", pictures)
    assert good.returncode == 0 and good.stdout == ""
    (pictures / "broken.jpg").write_bytes(b"not a picture")
    whole = (pictures / "female" / "00.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    write_image(pictures / "tiny.png", np.zeros((4, 4, 3), np.uint8))
    bad = run("check", pictures)
    assert bad.returncode == 1
    assert [Path(line.split()[0]).name for line in bad.stdout.splitlines()] == ["broken.jpg", "cut.png", "tiny.png"]


def test_pairs_refuses_what_is_not_square(tmp_path):
    write_image(tmp_path / "in" / "wide.png", np.zeros((40, 80, 3), np.uint8))
    done = run("pairs", tmp_path / "in", "-o", tmp_path / "out")
    assert done.returncode == 2 and "not square" in done.stderr and "Traceback" not in done.stderr


def film(path, frames=12, rate=6, rotation=0):
    """A video of 48 x 32: frame i has the brightness 20 i and a red corner at its top left."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 48, 32, "yuv420p", 10**7
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            picture = np.full((32, 48, 3), 20 * index, np.uint8)
            picture[:16, :16] = (255, 0, 0)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        video.mux(stream.encode())
    return path


@pytest.mark.parametrize("options, kept", [([], range(12)), (["--every", 5], [0, 5, 10]),
                                           (["--per-second", 2], [0, 3, 6, 9]), (["--per-second", 0.5], [0]),
                                           (["--per-second", 60], range(12))])
def test_frames_of_a_video(tmp_path, options, kept):
    done = run("frames", film(tmp_path / "clip.mp4"), "-o", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("*.png"))
    assert [path.name for path in files] == [f"clip_{number:06d}.png" for number in range(1, len(kept) + 1)]
    shown = [read_image(path)[24:, 24:].mean() for path in files]
    np.testing.assert_allclose(shown, [20 * index for index in kept], atol=6)


def test_a_video_that_is_stored_turned_is_written_upright(tmp_path):
    av = pytest.importorskip("av")
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a turned video")
    for rotation, corner in ((90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))):
        out = tmp_path / str(rotation)
        assert run("frames", film(tmp_path / "clip.mp4", 1, rotation=rotation), "-o", out).returncode == 0
        picture = read_image(out / "clip_000001.png")
        assert picture.shape[:2] == ((48, 32) if rotation % 180 else (32, 48))
        reds = {place: int(picture[place][0]) for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
        assert max(reds, key=reds.get) == corner and reds[corner] > 200


def test_frames_overwrites_nothing_and_refuses_what_is_no_video(tmp_path):
    clip = film(tmp_path / "clip.mp4", 2)
    assert run("frames", clip, "-o", tmp_path / "out").returncode == 0
    again = run("frames", clip, "-o", tmp_path / "out")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    assert run("frames", clip, "-o", tmp_path / "out", "--overwrite").returncode == 0
    (tmp_path / "text.mp4").write_text("not a video")
    for path, reason in ((tmp_path / "text.mp4", "is no video that can be read"), (tmp_path / "none.mp4", "none.mp4")):
        done = run("frames", path, "-o", tmp_path / "other")
        assert done.returncode == 2 and reason in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "other").exists()


def test_pairs_by_a_predictor(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    write_image(tmp_path / "in" / "a.png", picture)
    done = run("pairs", tmp_path / "in", "-o", tmp_path / "out", "--predictor", "animeganv2", "--style", "embedded",
               "--size", 64)
    assert done.returncode == 0, done.stderr
    pair = read_image(tmp_path / "out" / "a.png")
    assert pair.shape == (64, 128, 3)
    np.testing.assert_array_equal(pair[:, :64], resize(picture[:, 10:50], (64, 64)))
    assert np.abs(pair[:, 64:].astype(int) - pair[:, :64]).mean() > 5
    refused = run("pairs", tmp_path / "in", "-o", tmp_path / "b", "--style", "embedded")
    assert refused.returncode == 2 and "--predictor" in refused.stderr


def test_usage_errors_are_one_sentence(tmp_path):
    missing = run("pairs", tmp_path / "nothing", "-o", tmp_path / "out")
    assert missing.returncode == 2 and missing.stderr.startswith("prepare.py: ") and missing.stderr.count("\n") == 1
    assert run("faces", tmp_path, "-o", tmp_path, "--size", 3).returncode == 2
    assert not (tmp_path / "out").exists()


def test_help_shows_examples():
    text = run("--help").stdout
    assert "examples:" in text and "pairs data/faces/train" in text
    for command in ("faces", "pairs", "frames", "style", "check"):
        assert run(command, "--help").returncode == 0


@pytest.mark.parametrize("index", [3, 100])
def test_real_portrait_with_embedded_models(shared, tmp_path, index):
    """The chain that a user has: no label files, the embedded face models."""
    pytest.importorskip("dlib")
    pretrained = TOOL.parent.parent / "ppgan_apps" / "pretrained"
    if not any(pretrained.glob("*segment*")):
        pytest.skip("the embedded face models are not here")
    path = sorted((shared / "data" / "portraits").glob("*/*.jpg"))[index]
    assert run("faces", path, "-o", tmp_path / "crops").returncode == 0
    assert run("pairs", tmp_path / "crops", "-o", tmp_path / "pairs").returncode == 0
    pair = read_image(next((tmp_path / "pairs").glob("*.png")))
    assert pair.shape == (256, 512, 3)
    assert (pair[:4, 256:260] == 255).all() and pair[:, 256:].std() > 20

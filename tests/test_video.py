"""Videos through the real command: frames, times, sound and rotation of what comes out; interruption; flicker."""
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import onnx_files
import pytest
from PIL import Image

from ppgan_apps import cli
from ppgan_apps.codec import open_clip
from ppgan_apps.images import read_image

av = pytest.importorskip("av", minversion="15.0")
pytest.importorskip("onnxruntime")
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network whose picture is known exactly, see onnx_files.expected."""
    pytest.importorskip("onnx")
    return onnx_files.write(tmp_path_factory.mktemp("weights") / "mixing.onnx", "NHWC")


@pytest.fixture
def command(weights):
    """Runs `ppgan-apps animeganv2` with the known network; returns the exit code."""
    def run(*arguments):
        return cli.main(["animeganv2", *map(str, arguments), "--weight-path", str(weights), "--no-adjust-brightness"])
    return run


def check_pictures(drawn, shown, most=6.0):
    """Each frame of `drawn` is what the network makes of that of `shown`, but for what two encoders change."""
    assert len(drawn) == len(shown)
    for (_, picture), (_, photo) in zip(drawn, shown, strict=True):
        assert np.abs(picture.astype(float) - onnx_files.expected(photo)).mean() < most


def times(found):
    return [moment for moment, _ in found]


def one_error(capsys):
    """What stderr says, but for the line about weights: one sentence."""
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("weights:")]
    assert len(lines) == 1 and "Traceback" not in lines[0], lines
    return lines[0]


# What comes out

@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_clip_keeps_times_sound_and_length(suffix, command, tmp_path, capsys):
    clip = clips.write(tmp_path / f"clip{suffix}")
    assert command(clip, "-o", tmp_path / f"out{suffix}") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / f"out{suffix}")
    before, after = clips.frames(clip), clips.frames(tmp_path / f"out{suffix}")
    assert times(after) == times(before) and len(after) == 36
    check_pictures(after, before)
    assert clips.sound(tmp_path / f"out{suffix}") == clips.sound(clip)
    assert clips.length(tmp_path / f"out{suffix}") == pytest.approx(clips.length(clip), abs=0.002)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"clip{suffix}", f"out{suffix}"]


def test_a_480p_clip_of_three_seconds(command, tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", frames=72, size=(854, 480))
    assert command(clip, "-o", tmp_path / "out.mp4", "--max-size", "320") == 0
    before, after = clips.frames(clip), clips.frames(tmp_path / "out.mp4")
    assert times(after) == times(before) and len(after) == 72
    assert after[0][1].shape == (178, 320, 3)
    assert clips.sound(tmp_path / "out.mp4") == clips.sound(clip)
    assert clips.length(tmp_path / "out.mp4") == clips.length(clip)


@pytest.mark.slow
def test_a_480p_clip_of_ten_seconds(command, tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", frames=240, size=(854, 480))
    assert command(clip, "-o", tmp_path / "out.mp4") == 0
    before, after = clips.frames(clip), clips.frames(tmp_path / "out.mp4")
    assert times(after) == times(before) and len(after) == 240
    check_pictures(after, before)
    assert clips.sound(tmp_path / "out.mp4") == clips.sound(clip)
    assert clips.length(tmp_path / "out.mp4") == clips.length(clip)


def test_variable_frame_rate(command, tmp_path):
    steps = np.random.default_rng(3).choice([20, 25, 90, 301], 59)
    moments = [0, *np.cumsum(steps).tolist()]
    clip = clips.write(tmp_path / "clip.mp4", frames=60, times=moments)
    assert command(clip, "-o", tmp_path / "out.mp4") == 0
    before, after = clips.frames(clip), clips.frames(tmp_path / "out.mp4")
    assert times(after) == times(before) == [Fraction(moment, 600) for moment in moments]
    check_pictures(after, before)
    assert clips.sound(tmp_path / "out.mp4") == clips.sound(clip)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_is_shown_as_before(degrees, command, tmp_path):
    clip = clips.turn(clips.write(tmp_path / "clip.mp4", frames=4), degrees)
    shown = [(moment, np.rot90(picture, -degrees // 90)) for moment, picture in clips.frames(clip)]
    with av.open(str(clip)) as container:
        assert next(container.decode(video=0)).rotation % 360 == -degrees % 360  # FFmpeg counts the other way round
    assert command(clip, "-o", tmp_path / "out.mp4") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
    check_pictures(clips.frames(tmp_path / "out.mp4"), shown)


def test_pixels_that_are_not_square_stay_so(command, tmp_path):
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clips.scene(0, (160, 96)), format="rgb24")))
        container.mux(stream.encode())
    for name, turned, aspect in (("a", False, Fraction(4, 3)), ("b", True, Fraction(3, 4))):
        if turned:
            clips.turn(clip, 90)
        assert command(clip, "-o", tmp_path / f"{name}.mp4") == 0
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            assert container.streams.video[0].sample_aspect_ratio == aspect


def test_without_sound_into_a_folder(command, tmp_path):
    clip = clips.write(tmp_path / "clip.avi", frames=5, sound=False, codec="mpeg4")
    assert command(clip, "-o", tmp_path / "out") == 0
    assert clips.sound(tmp_path / "out" / "clip_anime.mp4") is None
    assert len(clips.frames(tmp_path / "out" / "clip_anime.mp4")) == 5


def test_start_and_end(command, tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", frames=72)
    assert command(clip, "-o", tmp_path / "out.mp4", "--start", "0:01", "--end", "2.5") == 0
    before, after = clips.frames(clip)[24:60], clips.frames(tmp_path / "out.mp4")
    assert times(after) == [moment - 1 for moment in times(before)]
    check_pictures(after, before)
    packets, base, *_ = clips.sound(clip)
    kept = [data for pts, _, _, data in packets if 1 <= pts * base < Fraction(5, 2)]
    copied = clips.sound(tmp_path / "out.mp4")[0]
    assert [data for *_, data in copied] == kept
    first = min(pts for pts, *_ in packets if pts * base >= 1) * base - 1
    # Still beside the same frame: an MP4 file states when a stream begins to the millisecond.
    assert abs(copied[0][0] * base - first) <= Fraction(1, 1000)


def test_quality(command, tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", frames=12, sound=False)
    for crf in (10, 40):
        assert command(clip, "-o", tmp_path / f"{crf}.mp4", "--crf", crf) == 0
    assert (tmp_path / "10.mp4").stat().st_size > 1.5 * (tmp_path / "40.mp4").stat().st_size


def test_folders_of_frames_in_and_out(command, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(50):
        Image.fromarray(clips.scene(number, (96, 64))).save(tmp_path / "in" / f"{number:03}.png")
    assert command(tmp_path / "in", "-o", tmp_path / "out.mp4", "--fps", "12.5") == 0
    found = clips.frames(tmp_path / "out.mp4")
    assert times(found) == [Fraction(number * 2, 25) for number in range(50)]
    assert command(tmp_path / "in", "-o", tmp_path / "frames", "--frames") == 0
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"{n:06}.png" for n in range(1, 51)]
    drawn, photo = read_image(tmp_path / "frames" / "000050.png"), clips.scene(49, (96, 64))
    assert np.abs(drawn.astype(int) - onnx_files.expected(photo)).mean() < 4       # drawn larger and brought back
    check_pictures(found, [(0, clips.scene(number, (96, 64))) for number in range(50)])


def test_odd_sides(command, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(clips.scene(0, (97, 65))).save(tmp_path / "in" / "a.png")
    assert command(tmp_path / "in", "-o", tmp_path / "out.mp4") == 0
    assert clips.frames(tmp_path / "out.mp4")[0][1].shape == (66, 98, 3)


# Interruption

def start(weights, clip, output, *options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PPGAN_APPS_OFFLINE": "1"}
    return subprocess.Popen([sys.executable, "-m", "ppgan_apps", "animeganv2", str(clip), "-o", str(output),
                             "--weight-path", str(weights), *options], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)


def heed_interrupts():
    """A shell starts what runs in its background deaf to SIGINT, and processes pass that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def kill_after_first_part(process, output, ending, number=signal.SIGKILL):
    """Sends `number` once a part is there. Returns stderr."""
    folder = output.with_name(f".{output.name}.parts")
    deadline = time.monotonic() + 120
    while not list(folder.glob(f"[0-9]*{ending}")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate()[1]


def test_a_killed_run_goes_on_to_the_same_file(weights, command, tmp_path, capsys):
    clip = clips.write(tmp_path / "clip.mp4", frames=130, size=(64, 64))
    options = ("--smooth", "0.5", "--no-adjust-brightness")
    kill_after_first_part(start(weights, clip, tmp_path / "out.mp4", *options), tmp_path / "out.mp4", ".nut")
    assert not (tmp_path / "out.mp4").exists() and (tmp_path / ".out.mp4.parts").is_dir()
    assert command(clip, "-o", tmp_path / "out.mp4", "--smooth", "0.5") == 0
    assert "frames are there already" in capsys.readouterr().err
    assert command(clip, "-o", tmp_path / "unbroken.mp4", "--smooth", "0.5") == 0
    assert "there already" not in capsys.readouterr().err
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "unbroken.mp4").read_bytes()
    assert times(clips.frames(tmp_path / "out.mp4")) == times(clips.frames(clip))
    assert not (tmp_path / ".out.mp4.parts").exists()


def test_an_interrupted_run_says_what_it_keeps_and_other_options_start_anew(weights, command, tmp_path, capsys):
    clip = clips.write(tmp_path / "clip.mp4", frames=600, size=(192, 192))
    error = kill_after_first_part(start(weights, clip, tmp_path / "out.mp4"), tmp_path / "out.mp4", ".nut",
                                  signal.SIGINT)
    assert "the same command goes on after them" in error and "Traceback" not in error
    assert command(clip, "-o", tmp_path / "out.mp4", "--crf", "30", "--end", "1") == 0
    assert "there already" not in capsys.readouterr().err
    assert len(clips.frames(tmp_path / "out.mp4")) == 24


class Stopped(Exception):
    """What ends a run in the middle."""


@pytest.mark.parametrize("pictures, output", [(False, "out.mkv"), (True, "out")])
def test_a_run_that_an_error_ends_goes_on(pictures, output, weights, tmp_path, capsys):
    from ppgan_apps import AnimeGANv2Predictor, video
    clip = open_clip(clips.write(tmp_path / "clip.mp4", frames=110, size=(48, 48)))
    predictor = AnimeGANv2Predictor(weight_path=weights, use_adjust_brightness=False)
    draw, drawn = predictor.predict_batch, []

    def predict_until_70(batch):
        drawn.extend(batch)
        if len(drawn) == 70:
            raise Stopped
        return draw(batch)
    predictor.predict_batch = predict_until_70
    wishes = video.Wishes(smooth=0.6, pictures=pictures)
    with pytest.raises(Stopped):
        video.stylise(clip, tmp_path / output, predictor, wishes)
    assert not (tmp_path / output).exists()
    video.stylise(clip, tmp_path / output, predictor, wishes)
    assert len(drawn) == 70 + 110 - 48                         # one part of 48 was whole
    video.stylise(clip, tmp_path / f"whole_{output}", predictor, wishes)
    if pictures:
        read = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
                for name in (output, f"whole_{output}")]
        assert read[0] == read[1] and len(read[0]) == 110
    else:
        # Packet by packet first, so that a difference says where it lies.
        assert clips.packets(tmp_path / output) == clips.packets(tmp_path / f"whole_{output}")
        assert (tmp_path / output).read_bytes() == (tmp_path / f"whole_{output}").read_bytes()


def test_frames_are_decoded_and_encoded_beside_the_drawing_and_not_far_from_it():
    from ppgan_apps import video
    made, taken, threads = [], [], set()

    def frames():
        for number in range(40):
            made.append(number)
            threads.add(threading.current_thread().name)
            yield number

    class Slow:
        def __call__(self, item):
            threads.add(threading.current_thread().name)
            time.sleep(0.002)
            taken.append(item)

        def abandon(self):
            taken.append("abandoned")
    ahead = 0
    with video._Behind(Slow(), depth=3) as put:
        for number in video._ahead(frames(), depth=3):
            time.sleep(0.001)
            ahead = max(ahead, len(made) - number)
            put(number)
    assert taken == list(range(40)) and threads == {"decoder", "encoder"}
    assert 2 <= ahead <= 6                                     # three wait, one is offered, one is being drawn
    with pytest.raises(Stopped), video._Behind(Slow(), depth=3) as put:
        put(1)
        raise Stopped
    assert taken[-1] == "abandoned"
    broken = (1 // (3 - number) for number in range(9))
    with pytest.raises(ZeroDivisionError):
        list(video._ahead(broken, depth=2))


# Flicker

def test_smoothing_steadies_a_still_clip_and_leaves_a_cut_sharp(command, tmp_path, capsys):
    """The flicker of a still scene with a camera's noise, measured apart from the command: the mean difference of one
    frame and the next."""
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(24):
        still = clips.scene(20, (160, 96)) if number < 12 else clips.scene(0, (160, 96))[::-1, ::-1] // 2
        noisy = np.clip(still + random.normal(0, 8, still.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / "in" / f"{number:02}.png")
    pictures = {}
    for share in ("0", "0.7"):
        assert command(tmp_path / "in", "-o", tmp_path / share, "--frames", "--smooth", share) == 0
        pictures[share] = np.stack([read_image(path) for path in sorted((tmp_path / share).iterdir())]).astype(float)
    before, after = (np.abs(np.diff(pictures[share][:12], axis=0)).mean() for share in ("0", "0.7"))
    assert after < 0.5 * before
    told = capsys.readouterr().err.split("flicker, in levels of 255: ")[1].split()
    assert float(told[0]) > 2 * float(told[3])                 # "9.00 without smoothing, 3.00 with it"
    assert np.array_equal(pictures["0.7"][12], pictures["0"][12])


def test_smoothing_follows_what_moves(command, tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", frames=12)
    assert command(clip, "-o", tmp_path / "out", "--frames", "--smooth", "0.7") == 0
    drawn = read_image(tmp_path / "out" / "000012.png").astype(int)
    wanted = onnx_files.expected(clips.frames(clip)[11][1]).astype(int)
    square = np.s_[30:42, 39:51]                               # well within the white square as it is now
    assert np.abs(drawn[square] - wanted[square]).max() < 12
    left_behind = np.s_[30:42, 0:21]                           # where it was
    assert np.abs(drawn[left_behind] - wanted[left_behind]).mean() < 6


# What goes wrong

def test_wrong_inputs_are_told_in_a_sentence(command, tmp_path, capsys):
    (tmp_path / "notes.mp4").write_text("no video")
    clip = clips.write(tmp_path / "clip.mp4", frames=3)
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(b"mine")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        clips._write_tone(av, container, container.add_stream("aac", rate=44100, layout="stereo"), 0.2)
    cases = [
        ((tmp_path / "none.mp4", "-o", tmp_path / "o.mp4"), "does not exist"),
        ((tmp_path / "notes.mp4", "-o", tmp_path / "o.mp4"), "is no video that can be read"),
        ((tmp_path / "sound.m4a", "-o", tmp_path / "o.mp4"), "holds no video, only sound"),
        ((clip, "-o", kept), "exists: use --overwrite"),
        ((clip, "-o", tmp_path / "o.mp4", "--start", "5"), "has no frame from 5 s"),
        ((clip, "-o", tmp_path / "o.mp4", "--start", "0.1", "--end", "0.05"), "--end is not after --start"),
        ((clip, "-o", tmp_path / "o.mp4", "--crf", "99"), "use 0 (lossless) to 51"),
        ((clip, "-o", tmp_path / "o.mp4", "--smooth", "1"), "use 0 (none) to 0.9"),
        ((clip, "-o", tmp_path / "o.mp4", "--fps", "12"), "is no folder"),
        ((clip, clip, "-o", tmp_path / "o.mp4"), "cannot all become"),
        ((clip, "-o", "/proc/none/o.mp4"), "cannot be made"),
        ((clip, "-o", "/proc/o.mp4"), "/proc"),
    ]
    for arguments, words in cases:
        assert command(*arguments) == 2
        assert words in one_error(capsys)
    assert kept.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "kept.mp4", "notes.mp4", "sound.m4a"]
    assert command(clip, "-o", kept, "--overwrite") == 0 and len(clips.frames(kept)) == 3


def test_of_several_videos_one_that_fails_costs_no_other(command, tmp_path, capsys):
    (tmp_path / "notes.mp4").write_text("no video")
    clip = clips.write(tmp_path / "clip.mp4", frames=3)
    assert command(tmp_path / "notes.mp4", clip, "-o", tmp_path / "out") == 1
    assert "failed: " in one_error(capsys) and (tmp_path / "out" / "clip_anime.mp4").is_file()


def test_sound_that_the_container_cannot_hold(command, tmp_path, capsys):
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        tone = container.add_stream("wavpack", rate=44100, layout="stereo")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clips.scene(0, (96, 64)), format="rgb24")))
        container.mux(stream.encode())
        clips._write_tone(av, container, tone, 0.3)
    assert command(clip, "-o", tmp_path / "out.mp4") == 2
    assert "use a name that ends in .mkv" in one_error(capsys)
    assert command(clip, "-o", tmp_path / "out.mkv") == 0
    assert clips.sound(tmp_path / "out.mkv")[0] == clips.sound(clip)[0]


def test_a_clip_cut_short_is_drawn_as_far_as_it_goes(command, tmp_path):
    whole = clips.write(tmp_path / "whole.mkv", frames=120, sound=False).read_bytes()
    clip = tmp_path / "clip.mkv"
    clip.write_bytes(whole[:len(whole) * 2 // 3])
    assert command(clip, "-o", tmp_path / "out.mkv") == 0
    assert 24 < len(clips.frames(tmp_path / "out.mkv")) < 120


def test_damaged_frames_are_left_out_and_the_others_keep_their_times(command, tmp_path, capsys):
    clip = clips.write(tmp_path / "clip.mp4", frames=60, sound=False)
    moments = times(clips.frames(clip))
    data = bytearray(clip.read_bytes())
    begin = data.find(b"mdat") + 4
    with av.open(str(clip)) as container:
        hit = [packet for packet in container.demux(video=0) if packet.size][20:24]
        places = [(packet.pos, packet.size) for packet in hit]
    for place, size in places:
        assert place >= begin
        data[place:place + size] = b"\xff" * size
    clip.write_bytes(data)
    assert command(clip, "-o", tmp_path / "out.mp4") == 0
    kept = times(clips.frames(tmp_path / "out.mp4"))
    assert set(kept) < set(moments) and {moments[0], moments[-1]} <= set(kept)
    assert "is damaged" in one_error(capsys)


def test_without_pyav(weights, tmp_path):
    blocked = tmp_path / "blocked" / "av"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('no av')")
    clip = clips.write(tmp_path / "clip.mp4", frames=2)
    environment = {**os.environ, "PYTHONPATH": f"{blocked.parent}{os.pathsep}{REPOSITORY}"}
    result = subprocess.run([sys.executable, "-m", "ppgan_apps", "animeganv2", str(clip), "-o",
                             str(tmp_path / "o.mp4"), "--weight-path", str(weights)], env=environment,
                            capture_output=True, text=True)
    assert result.returncode == 2 and "[video]" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("size, matrix, stated", [((64, 64), "itu601", None), ((960, 720), "itu709", None),
                                                  ((64, 64), "itu709", 1), ((960, 720), "itu601", 6)])
def test_colours_are_read_by_the_matrix_that_they_were_written_with(size, matrix, stated, tmp_path):
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[:, :size[0] // 2, 0] = picture[:, size[0] // 2:, 1] = 255
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if stated:
            stream.codec_context.colorspace = stated
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    read = next(open_clip(tmp_path / "clip.mp4").read(0)).picture
    difference = np.abs(read.astype(int) - picture)
    assert np.delete(difference, np.s_[size[0] // 2 - 4:size[0] // 2 + 4], axis=1).max() <= 6


def test_the_facts_of_a_clip(tmp_path):
    clip = open_clip(clips.turn(clips.write(tmp_path / "clip.mp4", frames=24), 90), start=Fraction(1, 2))
    assert clip.size == (96, 160) and clip.rate == 24 and clip.count == 12 and clip.origin == Fraction(1, 2)
    assert [frame.pts * clip.time_base for frame in clip.read(10)] == [Fraction(10, 24), Fraction(11, 24)]

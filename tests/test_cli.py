"""The command `ppgan-apps`, as a user types it: results, names, exit codes, one sentence for bad input."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_weights
from PIL import Image

from ppgan_apps import cli
from ppgan_apps.images import read_image

COMMAND = [sys.executable, "-m", "ppgan_apps"]
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def portrait():
    import skimage.data
    return Image.fromarray(skimage.data.astronaut()[::2, ::2].copy())   # 256 x 256, one face


@pytest.fixture
def anime(tiny, tmp_path):
    """Runs `ppgan-apps animeganv2` into tmp_path/out; returns the exit code."""
    def run(*inputs, output=tmp_path / "out", options=()):
        return cli.main(["animeganv2", *map(str, inputs), "-o", str(output), "--weight-path",
                         str(tiny["animeganv2"]), *options])
    return run


@pytest.fixture
def cartoon(tiny, tmp_path):
    def run(*inputs, output=tmp_path / "out", options=()):
        return cli.main(["photo2cartoon", *map(str, inputs), "-o", str(output), "--weight-path",
                         str(tiny["photo2cartoon"]), *options])
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def one_line(text):
    lines = [line for line in text.splitlines() if not line.startswith("weights:")]
    assert "Traceback" not in text and len(lines) == 1, text
    return lines[0]


def shell(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PPGAN_APPS_OFFLINE": "1"}
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, **options)


# What works

@pytest.mark.parametrize("command, kind", [("photo2cartoon", "cartoon"), ("anime2real", "real"),
                                           ("animeganv2", "anime")])
def test_each_picture_command_writes_a_result_named_after_its_input(command, kind, tiny, portrait, tmp_path, capsys):
    portrait.save(tmp_path / "me.jpg")
    code = cli.main([command, str(tmp_path / "me.jpg"), "-o", str(tmp_path / "out"),
                     "--weight-path", str(tiny[command])])
    assert code == 0 and names(tmp_path / "out") == [f"me_{kind}.png"]
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "out" / f"me_{kind}.png")
    assert "CC0-1.0" in captured.err and captured.err.count("\n") == 1


def test_files_folders_and_patterns_each_once(anime, portrait, tmp_path):
    for name in ("a.png", "deep/b.jpg", "deep/deeper/c.webp", "other/d.png", "other/e.png", "other/notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no picture") if path.suffix == ".txt" else portrait.save(path)
    first = tmp_path / "in" / "a.png"
    again = Path(os.path.relpath(first))
    code = anime(first, tmp_path / "in" / "deep", f"{tmp_path}/in/other/*.png", again)
    assert code == 0
    assert names(tmp_path / "out") == [f"{stem}_anime.png" for stem in "abcde"]


def test_equal_stems_get_numbers_that_meet_no_other_stem(tmp_path):
    sources = [tmp_path / name for name in ("a/x.jpg", "b/X.png", "c/x-2.png", "d/x.png")]
    targets = [target.name for _, target in cli._jobs(sources, tmp_path, "anime")]
    assert targets == ["x_anime.png", "X-3_anime.png", "x-2_anime.png", "x-4_anime.png"]


def test_nothing_is_overwritten_unless_asked(anime, portrait, tmp_path, capsys):
    portrait.save(tmp_path / "a.png")
    portrait.save(tmp_path / "b.png")
    (tmp_path / "out").mkdir()
    kept = tmp_path / "out" / "a_anime.png"
    kept.write_bytes(b"mine")
    assert anime(tmp_path / "a.png", tmp_path / "b.png") == 1
    error = capsys.readouterr().err
    assert "a.png" in error and "exists; use --overwrite" in error and "1 of 2 failed" in error
    assert kept.read_bytes() == b"mine" and names(tmp_path / "out") == ["a_anime.png", "b_anime.png"]
    assert anime(tmp_path / "a.png", options=["--overwrite"]) == 0
    assert read_image(kept).shape == (256, 256, 3)


def test_results_within_the_input_folder_are_not_taken_for_inputs(anime, portrait, tmp_path):
    portrait.save(tmp_path / "a.png")
    for _ in range(2):
        assert anime(tmp_path, output=tmp_path / "results", options=["--overwrite"]) == 0
    assert names(tmp_path / "results") == ["a_anime.png"]


def test_a_folder_may_be_its_own_output(anime, portrait, tmp_path):
    portrait.save(tmp_path / "a.png")
    for _ in range(2):
        assert anime(tmp_path, output=tmp_path, options=["--overwrite"]) == 0
    assert names(tmp_path) == ["a.png", "a_anime.png"]


def test_a_folder_within_the_output_is_read(anime, portrait, tmp_path):
    (tmp_path / "in").mkdir()
    portrait.save(tmp_path / "in" / "a.png")
    assert anime(tmp_path / "in", output=tmp_path) == 0
    assert names(tmp_path) == ["a_anime.png", "in"]


def test_several_faces(cartoon, portrait, tmp_path):
    group = Image.new("RGB", (512, 256))
    group.paste(portrait, (0, 0))
    group.paste(portrait, (256, 0))
    group.save(tmp_path / "group.png")
    assert cartoon(tmp_path / "group.png", output=tmp_path / "one") == 0
    assert names(tmp_path / "one") == ["group_cartoon.png"]
    assert cartoon(tmp_path / "group.png", output=tmp_path / "all", options=["--faces", "all"]) == 0
    assert names(tmp_path / "all") == ["group_cartoon.png", "group_cartoon_2.png"]
    assert cartoon(tmp_path / "group.png", output=tmp_path / "back", options=["--faces", "all", "--paste-back"]) == 0
    assert read_image(tmp_path / "back" / "group_cartoon.png").shape == (256, 512, 3)


def test_stylegan2_sheets_and_single_pictures(tiny, tmp_path, capsys):
    options = ["styleganv2", "--seed", "233", "-o", str(tmp_path), "--weight-path", str(tiny["styleganv2"])]
    assert cli.main(options) == 0
    assert names(tmp_path) == ["sample.png", "sample_mixing_0.png", "sample_mixing_1.png"]
    assert cli.main(options) == 1 and "exists; use --overwrite" in capsys.readouterr().err
    assert cli.main([*options, "--overwrite"]) == 0
    assert cli.main([*options, "--count", "10"]) == 0
    assert names(tmp_path)[3] == "seed233_01.png" and len(names(tmp_path)) == 13
    assert np.array_equal(read_image(tmp_path / "seed233_07.png"), read_image(tmp_path / "sample.png")[16:32, 16:32])


# Kinds of pictures

def save_cmyk(portrait, path):
    portrait.convert("CMYK").save(path.with_suffix(".jpg"))
    return path.with_suffix(".jpg")


def save_deep(portrait, path):
    Image.fromarray(np.asarray(portrait.convert("L")).astype(np.uint16) * 257).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def save_alpha(portrait, path):
    portrait.putalpha(Image.linear_gradient("L").point(lambda value: 255 if value > 5 else 0))
    portrait.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def save_grey(portrait, path):
    portrait.convert("L").save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def save_turned(portrait, path):
    exif = Image.Exif()
    exif[0x0112] = 6                                           # the camera was held upright: turn right to see it
    portrait.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif, quality=95)
    return path.with_suffix(".jpg")


def save_animated(portrait, path):
    blank = Image.new("RGB", portrait.size)
    portrait.save(path.with_suffix(".gif"), save_all=True, append_images=[blank, blank])
    return path.with_suffix(".gif")


@pytest.mark.parametrize("save", [save_grey, save_alpha, save_cmyk, save_deep, save_turned, save_animated])
def test_every_kind_of_picture_gives_an_upright_face(save, cartoon, portrait, tmp_path):
    path = save(portrait.copy(), tmp_path / "photo")
    assert cartoon(path) == 0
    assert read_image(tmp_path / "out" / "photo_cartoon.png").shape == (256, 256, 3)


def test_names_in_any_script_and_with_spaces(anime, portrait, tmp_path):
    portrait.save(tmp_path / "照片 é.png")
    assert anime(tmp_path / "照片 é.png") == 0
    assert names(tmp_path / "out") == ["照片 é_anime.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is made of characters")
def test_a_name_that_is_no_text(tiny, portrait, tmp_path):
    name = os.fsdecode(b"\xff\xfe.png")
    portrait.resize((32, 32)).save(tmp_path / name)
    result = shell("anime2real", tmp_path / name, "-o", tmp_path / "out", "--weight-path", tiny["anime2real"])
    assert result.returncode == 0 and names(tmp_path / "out") == [os.fsdecode(b"\xff\xfe_real.png")], result.stderr


def test_a_photo_of_108_million_pixels(anime, cartoon, tmp_path, capsys):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (12000, 9000), (90, 120, 150)).save(path)
    assert anime(path, options=["--max-size", "256"]) == 0
    assert read_image(tmp_path / "out" / "large_anime.png").shape == (192, 256, 3)
    assert cartoon(path) == 1
    assert "No face" in capsys.readouterr().err


# Bad input: each is named on stderr, exit 1, and leaves nothing

def truncated(portrait, folder):
    portrait.save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:4000])
    return folder / "cut.jpg"


def text(portrait, folder):
    (folder / "words.jpg").write_text("these are words")
    return folder / "words.jpg"


def empty(portrait, folder):
    (folder / "empty.png").touch()
    return folder / "empty.png"


def dot(portrait, folder):
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    return folder / "dot.png"


def no_such_file(portrait, folder):
    return folder / "nowhere.jpg"


def no_match(portrait, folder):
    return folder / "*.tiff"


def empty_folder(portrait, folder):
    (folder / "bare").mkdir()
    return folder / "bare"


def bomb(portrait, folder):
    Image.new("1", (20000, 20000)).save(folder / "bomb.png")
    return folder / "bomb.png"


@pytest.mark.parametrize("make", [truncated, text, empty, dot, no_such_file, no_match, empty_folder, bomb])
@pytest.mark.parametrize("command", ["anime", "cartoon"])
def test_bad_input_is_named_and_costs_the_others_nothing(make, command, request, portrait, tmp_path, capsys):
    bad = make(portrait, tmp_path)
    run = request.getfixturevalue(command)
    assert run(bad) == 1
    assert bad.name in one_line(capsys.readouterr().err)
    assert names(tmp_path / "out") == []
    portrait.save(tmp_path / "good.jpg")
    assert run(bad, tmp_path / "good.jpg") == 1
    captured = capsys.readouterr()
    assert bad.name in captured.err and "1 of 2 failed" in captured.err and "Traceback" not in captured.err
    assert [name.split("_")[0] for name in names(tmp_path / "out")] == ["good"]


def test_no_face_is_named(cartoon, tmp_path, capsys):
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "wall.png")
    assert cartoon(tmp_path / "wall.png") == 1
    line = one_line(capsys.readouterr().err)
    assert "wall.png" in line and "No face" in line


def test_a_face_at_the_border_is_drawn_or_said_to_be_none(cartoon, portrait, tmp_path, capsys):
    for number, box in enumerate([(85, 0, 256, 256), (0, 30, 256, 256), (0, 0, 130, 150)]):
        portrait.crop(box).save(tmp_path / f"cut{number}.png")
    code = cartoon(tmp_path)
    error = capsys.readouterr().err
    assert code == (1 if "No face" in error else 0) and "Traceback" not in error
    assert len(names(tmp_path / "out")) == 3 - error.count("No face")


def test_wrong_weights_are_one_line_and_exit_2(tiny, portrait, tmp_path, capsys):
    portrait.save(tmp_path / "a.png")
    for weights in (tiny["styleganv2"], tmp_path / "a.png", tmp_path / "nowhere.pdparams", tmp_path):
        code = cli.main(["animeganv2", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"),
                         "--weight-path", str(weights)])
        assert code == 2
        assert weights.name in one_line(capsys.readouterr().err)
    assert names(tmp_path / "out") == []


def test_a_folder_that_cannot_be_written_is_told_before_any_work(anime, portrait, tmp_path, capsys):
    portrait.save(tmp_path / "a.png")
    (tmp_path / "file").write_text("in the way")
    for output in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/ppgan")):
        assert anime(tmp_path / "a.png", output=output) in (1, 2)
        assert "Traceback" not in (error := capsys.readouterr().err) and str(output) in error


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder(anime, portrait, tmp_path, capsys):
    portrait.save(tmp_path / "a.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert anime(tmp_path / "a.png", output=tmp_path / "locked") == 2
    assert "locked" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["animeganv2"], ["animeganv2", "a.png", "--max-size", "0"],
                                  ["photo2cartoon", "a.png", "--faces", "some"], ["styleganv2", "--seed", "x"],
                                  ["animeganv2", "a.png", "--max-size", "100"], ["styleganv2", "--model-type", "cats"],
                                  ["styleganv2", "--count", "3"], ["animeganv2", "a.png", "--device", "tpu"]])
def test_a_wrong_command_line_exits_2(argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.png")
    try:
        code = cli.main(argv)
    except SystemExit as left:
        code = left.code
    assert code == 2 and "Traceback" not in capsys.readouterr().err
    assert names(tmp_path) == ["a.png"]


# The command as a process

def test_help_is_quick_and_shows_examples():
    quickest = 10.0
    for _ in range(3):                                         # the machine may be busy
        start = time.perf_counter()
        result = shell("--help")
        quickest = min(quickest, time.perf_counter() - start)
    assert result.returncode == 0 and "examples:" in result.stdout and quickest < 0.5
    for command in ("photo2cartoon", "anime2real", "animeganv2", "styleganv2", "zoo"):
        assert "example" in shell(command, "--help").stdout


def test_help_imports_nothing_heavy():
    code = "import sys; from ppgan_apps import cli; cli._parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY).stdout.split()
    assert not {"paddle", "cv2", "dlib", "numpy", "PIL", "skimage"} & set(loaded)


def test_version():
    import ppgan_apps
    assert ppgan_apps.__version__ in shell("--version").stdout


def test_zoo_lists_every_record():
    from ppgan_apps import zoo
    result = shell("zoo")
    assert result.returncode == 0 and not result.stderr
    rows = [row.split()[0] for row in result.stdout.splitlines() if not row.startswith(" ")]
    assert rows == [record.name for record in zoo.records()]
    assert result.stdout.count("    licence: ") == len(rows)


def test_a_reader_that_leaves_early_sees_no_trace():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, "zoo"], env=environment, **pipes) as process:
        process.stdout.close()
        error = process.stderr.read()
        code = process.wait(timeout=60)
    assert code == cli.CLOSED_PIPE and error == b""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_is_one_line_and_130(tiny, portrait, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(200):
        portrait.save(tmp_path / "in" / f"{number:03d}.png")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [*COMMAND, "animeganv2", tmp_path / "in", "-o", tmp_path / "out", "--weight-path", tiny["animeganv2"]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def heed_interrupts():                                     # a shell's background job would ignore them
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, preexec_fn=heed_interrupts, **pipes) as process:
        process.stdout.readline()                              # the first picture is written
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED and one_line(error) == "interrupted"
    assert 0 < len(names(tmp_path / "out")) < 200
    assert all(name.endswith("_anime.png") for name in names(tmp_path / "out"))


def test_training_is_the_trainers_command():
    result = shell("train", "--help")
    assert result.returncode == 0 and "--config-file" in result.stdout


def draw_photos(photos, cartoon, tmp_path, capsys):
    code = cartoon(*photos)
    error = capsys.readouterr().err
    without = [photo.stem for photo in photos if f"{photo}: No face" in error]
    assert "Traceback" not in error and code == (1 if without else 0)
    drawn = [photo.stem for photo in photos if photo.stem not in without]
    assert names(tmp_path / "out") == [f"{stem}_cartoon.png" for stem in drawn]


def test_each_of_some_photos_is_drawn_or_has_no_face(shared, cartoon, tmp_path, capsys):
    draw_photos(sorted((shared / "data" / "photos").glob("*.jpg"))[::10], cartoon, tmp_path, capsys)


@pytest.mark.slow
def test_every_photo_is_drawn_or_has_no_face(shared, cartoon, tmp_path, capsys):
    draw_photos(sorted((shared / "data" / "photos").glob("*.jpg")), cartoon, tmp_path, capsys)

"""`ppgan-apps styleganv2 sample|mix|walk|sweep|project|edit` as a user types it, with small random generators."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_weights

from ppgan_apps import cli, downloads, images
from ppgan_apps.images import read_image
from ppgan_apps.weights import read_metadata

REPOSITORY = Path(__file__).resolve().parent.parent
SIDE = 16
COMMANDS = ("sample", "mix", "walk", "sweep", "project", "edit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """stylegan2.safetensors, a DCGAN's run, and picture.png."""
    import paddle

    from ppgan_apps.networks.dcgan import DCGANGenerator
    from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
    paddle.seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    network = StyleGAN2Generator(SIDE, style_dim=8, n_mlp=2, channel_max=8)
    tiny_weights.write(folder / "stylegan2.safetensors", network, family="stylegan2")
    checkpoint = folder / "run" / "checkpoints" / "step_00000001"
    tiny_weights.write(checkpoint / "G.safetensors", DCGANGenerator(8, latent_dim=5, width=4), family="dcgan")
    (checkpoint / "meta.json").write_text(json.dumps({"family": "dcgan", "step": 1, "deliver": "G"}))
    (checkpoint / "config.yaml").write_text("recipe:\n  latent: uniform\n")
    images.write_image(folder / "picture.png", np.random.RandomState(0).randint(0, 256, (40, 60, 3), np.uint8))
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)

    def command(*arguments, output=tmp_path / "out", weights="stylegan2.safetensors"):
        try:
            return cli.main(["styleganv2", *map(str, arguments), "-o", str(output), "--weight-path", weights])
        except SystemExit as left:
            return left.code
    return command


def contents(folder):
    """The sum of each file by its name."""
    return {path.name: downloads.sha256_of(path) for path in folder.iterdir()} if folder.exists() else {}


QUICK = {
    "sample": (["--seeds", "1,5,8-9"], ["grid.png", "seed1.png", "seed5.png", "seed8.png", "seed9.png"]),
    "mix": (["--rows", "1-2", "--columns", "3,4,5", "--layers", "coarse,3"], ["mix_coarse_3.png"]),
    "walk": (["--seeds", "1,2", "--frames", 4, "--format", "gif"], ["walk.gif"]),
    "sweep": (["--seed", 2, "--coordinates", "0-1", "--space", "w", "--range", "-2..2"], ["sweep.png"]),
    "project": (["picture.png", "--steps", 5, "--samples", 3, "--video", "gif"],
                ["picture_code.safetensors", "picture_comparison.png", "picture_projected.png", "picture_search.gif"]),
    "edit": (["--seed", 2, "--direction", "0,2", "--strength", "-2..2", "--count", 3], ["edit.png"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_two_runs_give_identical_files_and_the_second_overwrites_only_when_asked(name, run, tmp_path, capsys):
    options, names = QUICK[name]
    assert run(name, *options) == 0
    written = contents(tmp_path / "out")
    assert sorted(written) == names
    told = capsys.readouterr()
    assert sorted(Path(line).name for line in told.out.split()) == names and "Traceback" not in told.err
    assert run(name, *options) == 2 and "exists: use --overwrite" in capsys.readouterr().err
    assert run(name, *options, "--overwrite") == 0
    assert contents(tmp_path / "out") == written


def test_a_seeds_file_does_not_depend_on_the_other_seeds(run, tmp_path):
    assert run("sample", "--seeds", "1-5", output=tmp_path / "a") == 0
    assert run("sample", "--seeds", "4", "--truncation", "0.7", output=tmp_path / "b") == 0
    assert contents(tmp_path / "a")["seed4.png"] == contents(tmp_path / "b")["seed4.png"]
    assert run("sample", "--seeds", "4-5", "--truncation", "0", output=tmp_path / "c") == 0
    assert run("sample", "--seeds", "4", "--truncation", "0", "--cutoff", "2", output=tmp_path / "d") == 0
    mean = contents(tmp_path / "c")
    assert mean["seed4.png"] == mean["seed5.png"] != contents(tmp_path / "d")["seed4.png"]


def test_paddlegans_order_is_that_of_the_plain_command(run, tmp_path):
    assert run("sample", "--seeds", "233", "--paddlegan-order", "--count", 6, output=tmp_path / "a") == 0
    assert run("--seed", "233", "--n-row", 2, "--n-col", 3, output=tmp_path / "b") == 0
    sheet = read_image(tmp_path / "b" / "sample.png")
    assert np.array_equal(read_image(tmp_path / "a" / "seed233_5.png"), sheet[SIDE:, SIDE:2 * SIDE])


def test_a_walk_of_60_frames_plays_and_loops(run, tmp_path):
    av = pytest.importorskip("av", reason="needs the extra `video`")
    for output in (tmp_path / "a", tmp_path / "b"):
        assert run("walk", "--seeds", "1,2,3", "--frames", 60, "--fps", 20, output=output) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with av.open(str(tmp_path / "a" / "walk.mp4")) as clip:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]).astype(float)
        assert float(clip.duration / av.time_base) == pytest.approx(3, abs=0.01)
    assert frames.shape == (60, 256, 256, 3)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert 0 < np.abs(frames[0] - frames[-1]).mean() <= 1.5 * steps.max()      # the jump back is a step like the others
    assert np.abs(frames[0] - frames[20]).mean() > 3 * steps.mean()


@pytest.mark.parametrize("interpolation", ["linear", "spherical"])
def test_a_walk_that_does_not_loop_ends_at_its_last_seed(interpolation, run, tmp_path):
    from PIL import Image, ImageSequence
    assert run("walk", "--seeds", "1,2", "--frames", 5, "--no-loop", "--format", "gif", "--scale", 1,
               "--interpolation", interpolation) == 0
    assert run("sample", "--seeds", "1,2") == 0
    with Image.open(tmp_path / "out" / "walk.gif") as clip:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(clip)]
    assert len(frames) == 5
    for frame, name in ((frames[0], "seed1"), (frames[-1], "seed2")):
        assert np.abs(frame - read_image(tmp_path / "out" / f"{name}.png")).mean() < 4     # a GIF has 256 colours


def test_a_sweep_of_stylegan2_and_of_dcgan_has_twenty_pictures(run, tmp_path, capsys):
    assert run("sweep", "--coordinates", "0,3", "--cell", 32) == 0
    assert run("sweep", "--coordinates", "0,3", "--cell", 32, output=tmp_path / "dcgan", weights="run") == 0
    for sheet in (read_image(tmp_path / name / "sweep.png") for name in ("out", "dcgan")):
        assert sheet.shape[0] > 2 * 32 and 20 * 36 < sheet.shape[1] < 20 * 36 + 80
        strip = sheet[-36:, -20 * 36:]
        assert not np.array_equal(strip[:, :32], strip[:, -36:-4])             # its ends differ
    capsys.readouterr()
    assert run("sweep", "--coordinates", "5", output=tmp_path / "no", weights="run") == 2
    assert "no coordinate 5" in capsys.readouterr().err
    assert run("sweep", "--space", "w", output=tmp_path / "no", weights="run") == 2
    assert "has no w" in capsys.readouterr().err


def test_dcgans_z_is_distributed_as_in_its_run(folder):
    from ppgan_apps.predictors.dcgan import DCGANPredictor
    predictor = DCGANPredictor(folder / "run")
    expected = np.random.RandomState(3).uniform(size=(1, 5)).astype(np.float32)
    assert predictor.latent == "uniform" and np.array_equal(predictor.z_of_seed(3), expected)
    strip = predictor.sweep(3, 1, [expected[0, 1], 0.0])
    assert np.array_equal(strip[0], predictor.draw(expected)[0]) and strip[0].shape == (8, 8, 3)
    assert DCGANPredictor(folder / "run", latent="normal").z_of_seed(3).min() < 0


def test_a_projections_code_is_what_edit_starts_from(run, folder, tmp_path):
    assert run("project", "picture.png", "--steps", 20, "--samples", 5, "--space", "w") == 0
    out = tmp_path / "out"
    about = read_metadata(out / "picture_code.safetensors")["stylegan2-code"]
    assert about["distance"] < about["start_distance"] and about["space"] == "w" and about["picture"] == "picture.png"
    assert run("edit", "--code", out / "picture_code.safetensors", "--direction", 1, "--strength", 0, "--count", 1,
               "--cell", SIDE) == 0
    edited = read_image(out / "edit.png")[-SIDE - 4:-4, -SIDE - 4:-4]
    assert np.array_equal(edited, read_image(out / "picture_projected.png"))


@pytest.mark.parametrize("arguments, words", [
    (["sample", "--seeds", "1-"], "1-"), (["sample", "--seeds", "x"], "numbers and ranges"),
    (["sample"], "--seeds"), (["nonsense"], "nonsense"),
    (["sample", "--seeds", "1,2", "--paddlegan-order"], "one seed"),
    (["sample", "--seeds", "1", "--truncation", "7"], "truncation"), (["sample", "--seeds", "1", "--cutoff", "9"], "6"),
    (["mix", "--rows", "1", "--columns", "2", "--layers", "fine"], "no layers of 64"),
    (["mix", "--rows", "1", "--columns", "2", "--layers", "0-9"], "0 to 5"), (["walk", "--seeds", "1"], "two seeds"),
    (["sweep", "--range", "a..b"], "no range"), (["sweep", "--coordinates", "8"], "0 to 7"),
    (["project", "nowhere.png"], "nowhere.png"), (["project", "stylegan2.safetensors"], "not a picture"),
    (["project", "picture.png", "--vgg", "picture.png"], "picture.png"), (["edit", "--direction", "8"], "0 to 7"),
    (["edit", "--code", "stylegan2.safetensors"], "no code"), (["edit", "--strength", "much"], "no range"),
    (["sweep", "--range", "0..inf"], "no range"), (["project", "picture.png", "--learning-rate", "0"], "learning rate"),
    (["edit", "--seed", str(2**32)], "seed")])
def test_a_wrong_command_is_one_sentence_exit_2_and_no_file(arguments, words, run, tmp_path, capsys):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert contents(tmp_path / "out") == {}


def test_an_mp4_without_the_extra_is_refused_before_any_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert run("walk", "--seeds", "1,2") == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_every_command_shows_examples(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as left:
            cli.main(["styleganv2", name, "--help"])
        shown = capsys.readouterr().out
        assert left.value.code == 0 and f"ppgan-apps styleganv2 {name}" in shown and "examples:" in shown


def test_the_script_of_the_tutorial_has_the_commands_too(folder, tmp_path):
    script = REPOSITORY / "applications" / "styleganv2.py"
    environment = {**os.environ, "PPGAN_APPS_OFFLINE": "1"}
    result = subprocess.run([sys.executable, script, "sample", "--seeds", "1-2", "--weight_path",
                             folder / "stylegan2.safetensors", "--output_path", "out"],
                            cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert sorted(contents(tmp_path / "out")) == ["grid.png", "seed1.png", "seed2.png"]


@pytest.mark.slow
def test_projection_of_an_avatar_not_trained_on_is_far_closer_than_the_nearest_of_1000(tmp_path):
    avatar = REPOSITORY / "docs" / "images" / "avatar.png"
    assert cli.main(["styleganv2", "project", str(avatar), "--model-type", "avatars", "--steps", "200", "-o",
                     str(tmp_path)]) == 0
    about = read_metadata(tmp_path / "avatar_code.safetensors")["stylegan2-code"]
    assert about["samples"] == 1000 and about["distance"] < 0.5 * about["start_distance"]

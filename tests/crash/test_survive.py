"""What is left after a kill, on a full disk, in a folder that cannot be written, of a damaged checkpoint."""
from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import checkpoints, downloads, images, trainer
from ppgan_apps.errors import OutputError, SuiteError, WeightsError
from ppgan_apps.weights import read_weights, save_weights
from tests.crash import survive

ROOT = Path(__file__).resolve().parents[2]
BIG = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)     # 3 MB, however it is packed


# Kills: hundreds by `python tests/crash/survive.py`, a few here

def test_a_download_killed_again_and_again(tmp_path, monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_OFFLINE", raising=False)
    counts = survive.survive(survive.make("downloading", tmp_path), 2, random.Random(1))
    assert counts["kills"] >= 2 and counts["finished"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", survive.KINDS)
def test_each_kind_of_work_killed_again_and_again(kind, tmp_path, monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_OFFLINE", raising=False)
    if kind in ("exporting", "video", "pictures"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    if kind == "video":
        pytest.importorskip("av", minversion="15.0")
    assert survive.survive(survive.make(kind, tmp_path), 5, random.Random(2))["kills"] >= 5


# Checkpoints

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the run's settings, its folder after four steps) of the smallest GAN."""
    from test_training import run_of, write_mnist
    root = tmp_path_factory.mktemp("crash")
    write_mnist(root / "mnist", np.random.default_rng(1).integers(0, 256, (6, 28, 28)), [0, 1, 2, 0, 1, 2])
    trainer.train(run_of("gan_mnist", root, root / "run", 4))
    return root, root / "run"


def settings(trained, output, steps=4):
    from test_training import run_of
    return run_of("gan_mnist", trained[0], output, steps)


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "a flipped bit":
        data[-5] ^= 4
    path.write_bytes(data if how == "a flipped bit" else data[:len(data) // 2] if how == "cut" else b"")


@pytest.mark.parametrize("file", ["G.safetensors", "opt_G.optimizer.safetensors", "meta.json", "config.yaml"])
@pytest.mark.parametrize("how", ["a flipped bit", "cut", "empty"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_said_so(file, how, trained, tmp_path, caplog):
    if (file, how) == ("meta.json", "a flipped bit"):
        pytest.skip("its own sum stands nowhere; what it says is checked when it is read")
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    newest, before = (checkpoints.checkpoint_folder(run, step) for step in (4, 3))
    spoil(newest / file, how)
    if file == "meta.json":
        assert "damaged" in checkpoints.damage(newest)
    else:
        assert file in checkpoints.damage(newest)
    assert checkpoints.to_resume(settings(trained, run), "auto") == before
    assert "Passed over" in caplog.text and newest.name in caplog.text and before.name in caplog.text


def test_a_run_that_fell_back_ends_as_the_unbroken_one(trained, tmp_path, caplog):
    from test_training import assert_equal_checkpoints, log_of
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    newest = checkpoints.checkpoint_folder(run, 4)
    spoil(newest / "G.safetensors", "cut")
    trainer.train(settings(trained, run), "auto")
    assert checkpoints.damage(newest) == ""
    assert_equal_checkpoints(newest, checkpoints.checkpoint_folder(trained[1], 4))
    assert log_of(run) == log_of(trained[1])


def test_when_every_checkpoint_is_damaged_all_are_named(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    for folder in checkpoints.checkpoints(run):
        spoil(folder / "D.safetensors", "cut")
    with pytest.raises(WeightsError, match="step_00000004 is .*step_00000001 is .*use another one"):
        checkpoints.to_resume(settings(trained, run), "auto")
    with pytest.raises(WeightsError, match="step_00000002 is damaged"):
        checkpoints.to_resume(settings(trained, run), str(checkpoints.checkpoint_folder(run, 2)))


def test_checkpoints_of_older_versions_have_no_sums_and_are_read_instead(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    newest = checkpoints.checkpoint_folder(run, 4)
    meta = json.loads((newest / "meta.json").read_text())
    del meta["sha256"]
    (newest / "meta.json").write_text(json.dumps(meta))
    assert checkpoints.damage(newest) == ""
    spoil(newest / "D.safetensors", "cut")
    assert "D.safetensors" in checkpoints.damage(newest)


def test_a_folder_is_replaced_without_half_of_one_standing_there(tmp_path, monkeypatch):
    """At each step of the exchange the name holds the whole old folder, the whole new one or nothing."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / str(number)).write_text(name)
    seen, replace, remove = [], os.replace, shutil.rmtree

    def look(function):
        def looking(*arguments, **options):
            function(*arguments, **options)
            found = tmp_path / "old"
            seen.append(sorted(path.read_text() for path in found.iterdir()) if found.exists() else None)
        return looking
    monkeypatch.setattr(os, "replace", look(replace))
    monkeypatch.setattr(shutil, "rmtree", look(remove))
    images.replace_folder(tmp_path / "new", tmp_path / "old")
    assert seen == [None, ["new"] * 3, ["new"] * 3]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


# Disks

@pytest.fixture
def disk(tmp_path):
    """A file system of its own of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True,
                             check=False) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def writes(disk: Path, trained) -> dict[str, tuple]:
    """(what writes more than a disk of one megabyte holds, the final name) by kind."""
    state = {"w": np.zeros(1 << 20, "f4")}
    from test_training import run_of
    wide = run_of("gan_mnist", trained[0], disk / "run", 1, "recipe.g_width=600")
    return {"a picture": (lambda: images.write_image(disk / "a.png", BIG), disk / "a.png"),
            "weights": (lambda: save_weights(disk / "a.safetensors", state), disk / "a.safetensors"),
            "training": (lambda: trainer.train(wide), disk / "run" / "checkpoints" / "step_00000001")}


@pytest.mark.parametrize("kind", ["a picture", "weights", "training"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_under_the_final_name(kind, disk, trained):
    write, final = writes(disk, trained)[kind]
    with pytest.raises(OutputError) as caught:
        write()
    assert "cannot be written" in str(caught.value) and "\n" not in str(caught.value)
    assert not final.exists()
    (disk / "still").write_bytes(bytes(500_000))               # the room is given back


@pytest.mark.parametrize("kind", ["a picture", "weights", "training"])
def test_a_disk_that_cannot_be_written_is_one_sentence(kind, disk, trained):
    write, final = writes(disk, trained)[kind]
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(SuiteError) as caught:
        write()
    assert "\n" not in str(caught.value) and not final.exists()


@pytest.fixture
def file_limit():
    """No file of this process can grow beyond 100 KB: what a full disk or a quota is, where nothing may be mounted."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["a picture", "weights", "training"])
def test_a_file_that_may_not_grow_is_one_sentence_and_leaves_nothing(kind, file_limit, tmp_path, trained):
    write, final = writes(tmp_path, trained)[kind]
    with pytest.raises(OutputError) as caught:
        write()
    assert "cannot be written" in str(caught.value) and "\n" not in str(caught.value)
    assert not final.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 90_000]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")   # the encoder's thread tells nobody
def test_a_clip_that_may_not_grow_is_one_sentence_and_goes_on_later(file_limit, tmp_path):
    av = pytest.importorskip("av", minversion="15.0")
    import resource

    from ppgan_apps import codec, video
    from tests import clips
    clip = clips.write(tmp_path / "clip.mp4", frames=8, size=(64, 48))

    class Noise:
        """Draws what cannot be packed."""
        device = "cpu"

        class weights:
            path = clip

        def predict_batch(self, photos):
            return [np.random.default_rng(photo).integers(0, 256, photo.shape, np.uint8) for photo in photos]
    wishes, target = video.Wishes(crf=0), tmp_path / "out.mp4"
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(OutputError, match="cannot be written"):
        video.stylise(codec.open_clip(clip), target, Noise(), wishes)
    assert not target.exists()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    video.stylise(codec.open_clip(clip), target, Noise(), wishes)
    with av.open(str(target)) as made:
        assert sum(1 for _ in made.decode(video=0)) == 8


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("PPGAN_APPS_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = survive._Server(("127.0.0.1", 0), survive._Slow)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def test_a_download_to_a_full_disk_goes_on_where_there_is_room(disk, server, tmp_path):
    with pytest.raises(WeightsError, match="PPGAN_APPS_HOME") as caught:
        downloads.fetch(f"{server}/net.bin", disk / "net.bin")
    assert "\n" not in str(caught.value) and not (disk / "net.bin").exists()
    target = downloads.fetch(f"{server}/net.bin", tmp_path / "net.bin")
    assert target.read_bytes() == survive.CONTENT


# Two at once

@pytest.mark.slow
def test_two_processes_that_export_to_one_name_leave_a_whole_file(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    work = survive.make("exporting", tmp_path)
    work.begin()
    both = [subprocess.Popen(work.command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    errors = [process.communicate(timeout=240)[1] for process in both]
    work.check()
    assert (work.folder / "a.onnx").exists() and (work.folder / "program").exists()
    for process, text in zip(both, errors, strict=True):       # one may be told that the other was faster
        assert process.returncode == 0 or "cannot be written" in text, text
    left = {path.name for path in work.folder.iterdir()}
    assert left == {"a.onnx", "program"}


def test_threads_that_save_to_one_name_leave_a_whole_file(tmp_path):
    path, states = tmp_path / "net.safetensors", [{"w": np.full(200_000, value % 8, "f4")} for value in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda state: save_weights(path, state), states)) == {path}
    assert len(set(read_weights(path)["w"].tolist())) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_script_counts_and_tells(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "crash" / "survive.py"), "nothing"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "kinds are training" in done.stderr

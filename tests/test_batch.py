"""`ppgan-apps batch` on a Ray cluster of two nodes on this machine: results, what is skipped, what fails."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_weights
from PIL import Image

from ppgan_apps import batch, cli
from ppgan_apps.errors import ImageError, MissingExtra, OutputError

REPOSITORY = Path(__file__).resolve().parent.parent


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.RandomState(seed).randint(0, 255, (20, 24, 3), np.uint8)).resize((96, 64)).save(path)


@pytest.fixture
def photos(tmp_path):
    for seed, name in enumerate(("a.png", "b.jpg", "more/c.png", "more/a.png", "twin.png", "twin.jpg")):
        picture(tmp_path / "photos" / name, seed)
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_text("no picture either")
    return tmp_path / "photos"


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


RESULTS = ["a_anime.png", "b_anime.png", "more/a_anime.png", "more/c_anime.png", "twin_jpg_anime.png",
           "twin_png_anime.png"]


@pytest.mark.slow
def test_two_nodes_draw_every_picture_once_and_a_second_run_only_what_is_missing(photos, tmp_path):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster
    weights = tiny_weights.write_all(tmp_path)["anime2real"]
    os.environ["PYTHONPATH"] = str(REPOSITORY)                 # as installing the package on every machine would
    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        out = tmp_path / "out"

        def run():
            done = subprocess.run(
                [sys.executable, "-m", "ppgan_apps", "batch", "anime2real", str(photos), "-o", str(out),
                 "--workers", "2", "--weight-path", str(weights), "--address", cluster.address],
                capture_output=True, text=True, timeout=400, cwd=tmp_path)
            return done.returncode, done.stdout, done.stderr
        code, told, errors = run()
        expected = [name.replace("anime", "real") for name in RESULTS]
        assert (code, files(out)) == (1, expected), errors
        assert "6 drawn" in told and "damaged.png: it is not a picture" in errors and "Traceback" not in errors
        wanted = tmp_path / "alone"
        assert cli.main(["anime2real", str(photos / "b.jpg"), "-o", str(wanted), "--weight-path", str(weights)]) == 0
        assert (out / "b_real.png").read_bytes() == (wanted / "b_real.png").read_bytes()
        (out / "more" / "c_real.png").unlink()
        untouched = (out / "a_real.png").stat().st_mtime_ns
        (photos / "damaged.png").unlink()
        code, told, errors = run()
        assert (code, files(out)) == (0, expected) and "1 drawn" in told, errors
        assert (out / "a_real.png").stat().st_mtime_ns == untouched
        code, told, errors = run()
        assert code == 0 and "0 drawn" in told, errors
    finally:
        cluster.shutdown()


def test_which_picture_becomes_which_result(photos, tmp_path):
    pytest.importorskip("pyarrow")
    (photos / "damaged.png").unlink()
    pending = dict(batch._pending([str(photos)], str(tmp_path / "out"), "anime"))
    assert sorted(pending.values()) == RESULTS
    assert pending[f"{photos}/twin.jpg"] == "twin_jpg_anime.png"
    batch.put(b"result", str(tmp_path / "out"), "more/c_anime.png")
    assert files(tmp_path / "out") == ["more/c_anime.png"]
    assert len(dict(batch._pending([str(photos)], str(tmp_path / "out"), "anime"))) == 5


def test_results_within_the_folder_are_no_input(photos):
    pytest.importorskip("pyarrow")
    before = dict(batch._pending([str(photos)], str(photos / "out"), "anime"))
    picture(photos / "out" / "strange.png", 9)
    assert dict(batch._pending([str(photos)], str(photos / "out"), "anime")) == before


def test_a_uri_keeps_its_scheme(photos, tmp_path):
    pytest.importorskip("pyarrow")
    pending = dict(batch._pending([f"file://{photos}"], f"file://{tmp_path}/out", "anime"))
    assert all(path.startswith(f"file://{photos}/") for path in pending) and "a_anime.png" in pending.values()


def test_what_is_not_there_is_one_sentence(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(ImageError, match="There is no"):
        list(batch._pending([str(tmp_path / "none")], str(tmp_path / "out"), "anime"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no picture"):
        list(batch._pending([str(tmp_path / "empty")], str(tmp_path / "out"), "anime"))
    with pytest.raises(OutputError, match="cannot be reached"):
        list(batch._pending([str(tmp_path)], "nowhere://x/y", "anime"))


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"\[ray\]"):
        list(batch.stylise("AnimeGANv2Predictor", [str(tmp_path)], str(tmp_path / "out")))

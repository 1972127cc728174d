"""The record of a run: measured, drawn and written from its checkpoints."""
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import config, evaluation, images, trainer

ROOT = Path(__file__).parents[2]
_specification = importlib.util.spec_from_file_location("record_run", ROOT / "tools" / "record_run.py")
record_run = sys.modules["record_run"] = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(record_run)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of 12 small pictures, and of 6 pairs of them."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.RandomState(0)
    drawn = [images.resize(random.randint(0, 256, (4, 4, 3)).astype(np.uint8), (32, 32)) for _ in range(12)]
    for index, picture in enumerate(drawn):
        images.write_image(root / "single" / f"{index}.png", picture)
    for index in range(6):
        images.write_image(root / "pairs" / f"{index}.png", np.hstack(drawn[2 * index:2 * index + 2]))
    return root


def trained(name, folder, output, *numbers):
    run = config.load_run(ROOT / "configs" / f"{name}.yaml", [
        f"data.path={folder}", f"output={output}", "steps=3", "batch_size=2", "checkpoint_every=1", "log_every=1",
        "keep_checkpoints=9", "preview_every=0", *numbers])
    trainer.train(run)


@pytest.fixture(scope="module")
def dcgan(pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "dcgan_mnist"
    trained("dcgan_mnist", pictures / "single", output, "data.size=16", "data.channels=3", "recipe.width=4",
            "recipe.latent_dim=8")
    return output


def test_a_page_with_table_curve_and_sheets(dcgan, pictures, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert record_run.main([str(dcgan), "-o", str(tmp_path), "--count", "6"]) == 0
    page = tmp_path / "dcgan_mnist.md"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text()
    assert ("python tools/main.py --config-file configs/dcgan_mnist.yaml -o steps=3 batch_size=2 data.size=16 "
            "data.channels=3 recipe.latent_dim=8 recipe.width=4\n") in text
    rows = re.findall(r"^\| (\d) \| .* \| ([\d.e+]+) \| [\d.]{5} \| [\d.]{5} \|$", text, re.MULTILINE)
    assert [int(step) for step, _ in rows] == [0, 1, 2, 3]
    assert str(tmp_path) not in text and str(pictures) not in text
    assert evaluation.main(["--checkpoint", str(dcgan), "--count", "6", "--metrics", "fid"]) == 0
    measured = re.match(r"Frechet distance: ([\d.e+]+) ", capsys.readouterr().out)[1]
    assert float(rows[-1][1]) == pytest.approx(float(measured), rel=1e-3)
    for file in re.findall(r"\((dcgan_mnist_\w+\.png)\)", text):
        assert (tmp_path / file).stat().st_size <= record_run.LIMIT
        assert images.read_image(tmp_path / file).shape[1] > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dcgan_mnist.md"] + [
        f"dcgan_mnist_{kind}.png" for kind in ("distance", "early", "last", "middle")]


def test_translated_pictures_are_shown_beside_what_they_were(pictures, tmp_path):
    pytest.importorskip("matplotlib")
    trained("pix2pix_anime2real", pictures / "pairs", tmp_path / "run", "data.size=32", "data.load_size=34",
            "recipe.ngf=4", "recipe.ndf=4", "recipe.num_downs=5", "recipe.n_layers=2")
    arguments = [str(tmp_path / "run"), "-o", str(tmp_path / "docs"), "--name", "pairs", "--config",
                 "pix2pix_anime2real", "--held-out", "six pairs", "--override", f"data.path={pictures / 'pairs'}"]
    assert record_run.main(arguments) == 0
    text = (tmp_path / "docs" / "pairs.md").read_text()
    assert "Measured on six pairs." in text and "Between two sets" not in text
    shown = images.read_image(tmp_path / "docs" / "pairs_last.png")
    assert shown.shape == (4 * 34 + 2, 3 * 34 + 2, 3)              # four rows: input, result, truth


def test_the_distance_between_real_pictures_is_that_of_two_sets_without_a_picture_in_common(pictures, monkeypatch):
    monkeypatch.setattr(record_run, "FEWEST", 2)
    run = config.load_run(ROOT / "configs" / "stylegan2_avatars.yaml", [f"data.path={pictures / 'single'}"])
    space = evaluation.spaces.open_space()
    real, floor = record_run.real_features(run, space, 5)
    assert (len(real), floor.protocol["real"], floor.protocol["generated"]) == (5, 5, 5) and floor.values["value"] > 1
    real, floor = record_run.real_features(run, space, 100)
    assert (len(real), floor.protocol["real"]) == (12, 6)


def test_seconds_go_on_after_a_resume(tmp_path):
    lines = [(1, 5), (2, 10), (3, 2), (4, 7), (5, 1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"step": step, "seconds": seconds}) + "\n"
                                                for step, seconds in lines))
    assert record_run.seconds_of(tmp_path) == {1: 5, 2: 10, 3: 12, 4: 17, 5: 18}
    assert record_run.seconds_of(tmp_path / "none") == {}


def test_a_large_sheet_is_made_smaller(tmp_path):
    noise = np.random.RandomState(0).randint(0, 256, (500, 400, 3)).astype(np.uint8)
    path = record_run.write_small(tmp_path / "noise.png", noise)
    height, width = images.read_image(path).shape[:2]
    assert path.stat().st_size <= record_run.LIMIT and 200 < width < 400 and height / width == pytest.approx(1.25, 0.02)


def test_what_does_not_fit_is_one_line(dcgan, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "dcgan_mnist.md").write_text("mine")
    for arguments, part in [([str(dcgan), "-o", str(tmp_path)], "exists: use --overwrite"),
                            ([str(tmp_path)], "has 0 checkpoints"),
                            ([str(dcgan), "-o", str(tmp_path / "new"), "--config", "none"], "no configs/none.yaml")]:
        assert record_run.main(arguments) == 2
        errors = capsys.readouterr().err.strip()
        assert errors.startswith("error: ") and part in errors
    assert (tmp_path / "dcgan_mnist.md").read_text() == "mine" and not (tmp_path / "new").exists()

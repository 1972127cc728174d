"""tools/eval.py through its command, on checkpoints that were trained a step or two, and distances during training."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import config, data, evaluation, images, trainer
from ppgan_apps.checkpoints import checkpoint_folder
from ppgan_apps.errors import WeightsError

ROOT = Path(__file__).parents[2]
DCGAN = {"width": 4, "latent_dim": 8}
FAMILIES = {
    "dcgan": ({"path": "faces", "size": 16}, DCGAN),
    "cgan": ({"path": "faces", "size": 16}, DCGAN),
    "stylegan2": ({"path": "faces", "size": 16}, {"style_dim": 8, "channel_max": 8, "n_mlp": 2, "path_weight": 0}),
    "pix2pix": ({"path": "pairs", "size": 32, "load_size": 34},
                {"ngf": 4, "ndf": 4, "num_downs": 5, "n_layers": 2}),
    "cyclegan": ({"path_a": "faces", "path_b": "grey", "size": 32, "load_size": 34},
                 {"ngf": 4, "n_blocks": 1, "ndf": 4, "n_layers": 2, "pool_size": 2}),
    "cartoongan": ({"photo": "faces", "style": "grey", "smooth": "grey", "size": 32},
                   {"ngf": 4, "ndf": 4, "n_blocks": 1, "vgg_weights": "random", "features": "conv2_2"}),
}


@pytest.fixture(scope="module")
def folders(faces, tmp_path_factory):
    """Folders of 12 faces in two sub-folders, 10 grey ones, and 12 pairs of a face and the same in grey."""
    root = tmp_path_factory.mktemp("pictures")
    for index, face in enumerate(faces[:12]):
        grey = data.grey(face)
        images.write_image(root / "faces" / "ab"[index % 2] / f"{index:02}.png", face)
        images.write_image(root / "pairs" / f"{index:02}.png", np.hstack([face, grey]))
        if index < 10:
            images.write_image(root / "grey" / f"{index:02}.png", grey)
    return root


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """trained(family): the folder of a run of one step."""
    done = {}

    def run(family, **more):
        if family not in done:
            section, numbers = FAMILIES[family]
            section = {key: str(folders / value) if isinstance(value, str) else value
                       for key, value in section.items()}
            done[family] = tmp_path_factory.mktemp(family) / "run"
            trainer.train(config.parse_run({"family": family, "steps": 1, "batch_size": 2, "data": section,
                                            "recipe": numbers, "output": str(done[family]), **more}))
        return done[family]
    return run


def results_of(path):
    contents = json.loads(Path(path).read_text())
    return contents, {result["metric"]: result for result in contents["results"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_family_is_measured(family, trained, tmp_path):
    metrics = "fid,kid,pr" + (",ppl" if family in ("dcgan", "cgan", "stylegan2") else "")
    output = tmp_path / "result.json"
    assert evaluation.main(["--checkpoint", str(trained(family)), "--count", "20", "--metrics", metrics,
                            "-o", str(output)]) == 0
    contents, results = results_of(output)
    assert contents["family"] == family and contents["step"] == 1
    protocol = results["Frechet distance"]["protocol"]
    assert results["Frechet distance"]["value"] > 0 and protocol["features"] == "random-vgg-64"
    translates = family in ("pix2pix", "cyclegan", "cartoongan")
    real = 10 if family in ("cyclegan", "cartoongan") else 12
    assert (protocol["real"], protocol["generated"]) == (real, 12 if translates else 20)
    if not translates:
        assert results["path length"]["mean"] > 0
        assert results["path length"]["protocol"]["latents"] == ("w" if family == "stylegan2" else "z")


def test_the_command_gives_the_same_file_twice_and_keeps_the_real_features(trained, tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "eval.py"), "--checkpoint", str(trained("dcgan")), "--count", "20",
               "-o", "result.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Frechet distance: " in done.stdout and "precision " in done.stdout and "random-vgg-64" in done.stdout
    first = (tmp_path / "result.json").read_bytes()
    kept = list((tmp_path / "features").iterdir())
    assert len(kept) == 1 and np.load(kept[0]).shape == (12, 960)
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr.strip() == \
        "error: result.json exists: use --overwrite, or another output."
    assert evaluation.main([*command[2:-1], str(tmp_path / "result.json"), "--overwrite"]) == 0
    assert (tmp_path / "result.json").read_bytes() == first and list((tmp_path / "features").iterdir()) == kept


def test_damaged_features_are_computed_anew(folders, tmp_path):
    space = evaluation.spaces.open_space()
    pictures = evaluation.FolderPictures(folders / "grey")
    first = evaluation.cached_features(space, pictures, "grey", tmp_path).values
    kept, = tmp_path.iterdir()
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(evaluation.cached_features(space, pictures, "grey", tmp_path).values, first)
    np.testing.assert_array_equal(np.load(kept), first)


def test_two_folders(folders, tmp_path, capsys):
    output = tmp_path / "result.json"
    assert evaluation.main(["folders", str(folders / "faces"), str(folders / "grey"), "--metrics", "fid,swd",
                            "-o", str(output)]) == 0
    _, results = results_of(output)
    assert results["Frechet distance"]["protocol"]["real"] == 12 and results["Frechet distance"]["value"] > 1
    assert set(results["sliced Wasserstein distance x1000"]) >= {"64", "32", "16", "mean"}
    assert evaluation.main(["folders", str(folders / "grey"), str(folders / "grey"), "--metrics", "fid,pr"]) == 0
    assert "precision 1, recall 1" in capsys.readouterr().out


def test_another_folder_of_real_pictures(trained, folders, capsys):
    base = ["--checkpoint", str(trained("dcgan")), "--count", "8", "--metrics", "fid"]
    values = []
    for more in ([], ["--real", str(folders / "grey")], ["--real", str(folders / "faces")]):
        assert evaluation.main([*base, *more]) == 0
        values.append(capsys.readouterr().out)
    assert values[0] != values[1] and values[0] == values[2]


def test_real_pictures_are_those_that_results_should_look_like(folders):
    paired = data.PairedImages(str(folders / "pairs"), size=64, load_size=70, direction="AtoB")
    greys = [images.read_image(file) for file in images.find_images([folders / "grey"])]
    real = list(evaluation.RealPictures(paired, 100, seed=0))
    assert len(real) == 12 and all(any(np.array_equal(grey, picture) for picture in real) for grey in greys)
    unpaired = data.UnpairedImages(str(folders / "faces"), str(folders / "grey"), size=64, load_size=70)
    real = list(evaluation.RealPictures(unpaired, 100, seed=0))
    assert len(real) == 10 and all(any(np.array_equal(grey, picture) for picture in real) for grey in greys)


def test_generated_pictures_repeat_and_do_not_depend_on_their_number(trained):
    folder = checkpoint_folder(trained("dcgan"), 1)
    recipe = evaluation.load_recipe(config.load_run(folder / "config.yaml"), folder)
    recipe.G.train()
    few, many = (list(evaluation.generated_pictures(recipe, count, 3)) for count in (5, 40))
    assert len(many) == 40 and recipe.G.training
    for one, other in zip(few, many):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(few[0], next(iter(evaluation.generated_pictures(recipe, 5, 4))))


def test_a_run_logs_its_distance_and_trains_as_without(folders, tmp_path):
    section, numbers = FAMILIES["dcgan"]
    values = {"family": "dcgan", "steps": 3, "batch_size": 2, "recipe": numbers, "log_every": 1, "preview_every": 0,
              "data": {**section, "path": str(folders / "faces")}, "evaluate_count": 10}
    lines = {}
    for every in (0, 2):
        output = tmp_path / str(every)
        trainer.train(config.parse_run({**values, "evaluate_every": every, "output": str(output)}))
        lines[every] = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    distances = [line for line in lines[2] if "distance" in line]
    assert [line["step"] for line in distances] == [2, 3] and all(line["distance"] > 0 for line in distances)
    losses = [[(line["step"], line["G"], line["D"]) for line in lines[every] if "G" in line] for every in (0, 2)]
    assert losses[0] == losses[1] and len(losses[0]) == 3
    assert len(list((tmp_path / "2" / "evaluation").iterdir())) == 1 and not (tmp_path / "0" / "evaluation").exists()


@pytest.mark.parametrize("arguments, part", [
    (["--checkpoint", "{run}", "--metrics", "fid,is"], "no metric 'is': use fid, kid, pr, ppl, swd"),
    (["--checkpoint", "{run}", "--metrics", ","], "no metric ''"),
    (["--checkpoint", "nowhere"], "nowhere is no checkpoint and no run's folder"),
    (["--checkpoint", "{run}", "--features", "vgg"], "no features 'vgg': use inception, random-vgg-64"),
    (["--checkpoint", "{run}", "--count", "1"], "--count is 1"),
    (["--checkpoint", "{run}", "--config-file", "{root}/configs/pix2pix_anime2real.yaml"], "not of 'pix2pix'"),
    (["--checkpoint", "{run}", "--override", "data.path=none"], "none"),
    (["--checkpoint", "{run}", "--real", "none"], "none"),
    (["--checkpoint", "{run}", "--features", "inception"], "inception"),
    (["folders", "none", "none"], "none does not exist"),
    (["folders", "{faces}", "{faces}", "--metrics", "ppl"], "ppl needs a generator"),
])
def test_what_the_user_got_wrong_is_one_line_and_status_two(arguments, part, trained, folders, capsys, tmp_path,
                                                            monkeypatch):
    monkeypatch.setenv("PPGAN_APPS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    places = {"run": trained("dcgan"), "root": ROOT, "faces": folders / "faces"}
    assert evaluation.main([argument.format(**places) for argument in arguments]) == 2
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("error: ") and part in errors and "\n" not in errors


def test_ppl_of_a_family_without_latents_is_refused(trained, capsys):
    assert evaluation.main(["--checkpoint", str(trained("pix2pix")), "--metrics", "ppl"]) == 2
    assert "does not draw from latents: leave the metric ppl out" in capsys.readouterr().err
    with pytest.raises(WeightsError):
        evaluation.find_checkpoint(trained("pix2pix") / "previews")

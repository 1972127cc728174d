"""docs/adding_a_family.md: its files, taken from the page, train, resume and show pictures through the real command."""
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps import config, images
from ppgan_apps.errors import ConfigError
from ppgan_apps.weights import read_metadata, read_weights

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adding_a_family.md"
SMALL = "recipe.width=4 data.size=16 batch_size=4"


def files_of_the_page():
    """{name: text} of the files that the page shows, each a block after its name."""
    return dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))


def commands_of_the_page():
    """The lines of the page's shell block, in words."""
    block, = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with the page's files and six pictures."""
    folder = tmp_path_factory.mktemp("user")
    for name, text in files_of_the_page().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    random = np.random.default_rng(0)
    for index in range(6):
        flat = np.full((24, 20, 3), random.integers(0, 256, 3), np.uint8)
        images.write_image(folder / "pictures" / f"{index}.png", flat)
    return folder


def ppgan_apps_command(folder, words, *overrides, **environment):
    """`ppgan-apps` with these words, of this tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PPGAN_APPS_RECIPES": "", **environment}
    more = ["-o", *overrides] if overrides else []
    return subprocess.run([sys.executable, "-m", "ppgan_apps", *words, *more], cwd=folder, env=environment,
                          capture_output=True, text=True)


def test_the_page_trains_resumes_and_shows_pictures(folder):
    environment, outputs = {}, []
    for program, *words in commands_of_the_page():
        if program == "export":
            environment.update(word.split("=") for word in words)
            continue
        assert program == "ppgan-apps"
        done = ppgan_apps_command(folder, words, *SMALL.split(), **environment)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert "# D: " in outputs[0] and "latent_dim: 100" in outputs[0]
    run = folder / "output" / "ragan"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6] and all({"D", "G"} <= set(line) for line in log)
    for step in (3, 6):
        preview = images.read_image(run / "previews" / f"step_{step:08d}.png")
        assert preview.shape[2] == 3 and min(preview.shape[:2]) >= 4 * 16 and preview.std() > 1
    words = ["train", "--config-file", "ragan.yaml"]
    done = ppgan_apps_command(folder, words, *SMALL.split(), "steps=6", "output=unbroken", **environment)
    assert done.returncode == 0, done.stderr
    whole, resumed = (base / "checkpoints" / "step_00000006" for base in (folder / "unbroken", run))
    names = sorted(path.name for path in whole.glob("*.safetensors"))
    assert {"G.safetensors", "D.safetensors"} <= set(names) and len(names) >= 4    # and the optimizers
    for name in names:
        one, other = read_weights(whole / name), read_weights(resumed / name)
        assert one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
    metadata = read_metadata(whole / "G.safetensors")
    assert metadata["family"] == "ragan" and metadata["network"]["size"] == 16


def test_a_family_elsewhere_is_found_only_when_its_folder_is_named(folder):
    words = ["train", "--config-file", "ragan.yaml", "--dry-run"]
    for recipes, part in (("", "There is no family 'ragan'"), ("nowhere", "names nowhere, which is no folder")):
        done = ppgan_apps_command(folder, words, PPGAN_APPS_RECIPES=recipes)
        assert done.returncode == 2 and part in done.stderr and "PPGAN_APPS_RECIPES" in done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.strip().count("\n") == 0


def test_the_suites_own_family_wins_over_a_file_of_its_name(tmp_path, monkeypatch):
    for name in ("dcgan", "mine"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError\n")
    monkeypatch.setenv("PPGAN_APPS_RECIPES", os.pathsep.join([str(tmp_path), ""]))
    assert config.recipe_folders() == [str(ROOT / "ppgan_apps" / "recipes"), str(tmp_path.resolve())]
    assert {"mine", "dcgan", "stylegan2"} <= set(config.families())
    assert config.recipe_class("dcgan").__name__ == "DCGAN"
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        config.recipe_class("mines")


def test_the_pages_loss_is_the_papers(folder, monkeypatch):
    """RaSGAN's with sigmoid and logarithm written out."""
    specification = importlib.util.spec_from_file_location("ragan", folder / "my_recipes" / "ragan.py")
    ragan = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "ragan", ragan)           # where its dataclass looks its types up
    specification.loader.exec_module(ragan)
    real, fake = np.random.default_rng(0).standard_normal((2, 5, 1)).astype("float32") * 2

    def probability(logits, others):
        return 1 / (1 + np.exp(-(logits - others.mean())))
    expected_d = -np.log(probability(real, fake)).mean() - np.log(1 - probability(fake, real)).mean()
    expected_g = -np.log(probability(fake, real)).mean() - np.log(1 - probability(real, fake)).mean()
    real, fake = paddle.to_tensor(real), paddle.to_tensor(fake)
    assert float(ragan.relativistic(real, fake)) == pytest.approx(expected_d, rel=1e-5)
    assert float(ragan.relativistic(fake, real)) == pytest.approx(expected_g, rel=1e-5)

"""`tools/embed.py` halves a run's weights, blends two runs and refuses what does not fit."""
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps.weights import read_metadata, read_weights, save_weights

PATH = Path(__file__).resolve().parents[2] / "tools" / "embed.py"
WORDS = ["--licence", "CC0-1.0", "--data", "nothing"]


@pytest.fixture
def embed(tmp_path, monkeypatch):
    specification = importlib.util.spec_from_file_location("embed", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "PRETRAINED", tmp_path)
    return module


@pytest.fixture
def runs(tmp_path):
    random = np.random.default_rng(0)
    arrays = [{"a": random.normal(size=(3, 2)).astype(np.float32), "b": np.float32([index, 4])} for index in range(2)]
    return [str(save_weights(tmp_path / f"run_{index}.safetensors", state, {"family": "pix2pix", "step": index}))
            for index, state in enumerate(arrays)]


def test_a_run_is_halved_and_says_its_licence(embed, runs, tmp_path, capsys):
    assert embed.main([runs[1], "model", *WORDS]) == 0
    stored, given = read_weights(tmp_path / "model.safetensors"), read_weights(runs[1])
    assert stored["a"].dtype == np.float16
    np.testing.assert_allclose(stored["a"], given["a"], rtol=1e-3)
    about = read_metadata(tmp_path / "model.safetensors")
    assert (about["licence"], about["data"], about["step"]) == ("CC0-1.0", "nothing", 1)
    assert "MiB" in capsys.readouterr().out


def test_a_blend_lies_between_two_runs(embed, runs, tmp_path):
    assert embed.main([runs[1], "model", *WORDS, "--blend", runs[0], "0.25"]) == 0
    first, second = map(read_weights, runs)
    stored = read_weights(tmp_path / "model.safetensors")
    np.testing.assert_allclose(stored["a"], 0.25 * first["a"] + 0.75 * second["a"], atol=2e-3)
    np.testing.assert_array_equal(stored["b"], np.float16([0.75, 4]))


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half", "nan"])
def test_a_share_that_is_none_is_refused(embed, runs, tmp_path, share, capsys):
    assert embed.main([runs[1], "model", *WORDS, "--blend", runs[0], share]) == 2
    assert f"The share is {share}" in capsys.readouterr().err and not (tmp_path / "model.safetensors").exists()


def test_other_networks_are_not_blended(embed, runs, tmp_path, capsys):
    other = str(save_weights(tmp_path / "other.safetensors", {"a": np.zeros((2, 2), np.float32)}))
    assert embed.main([runs[1], "model", *WORDS, "--blend", other, "0.5"]) == 2
    assert "blend runs of one network" in capsys.readouterr().err

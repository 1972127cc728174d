"""Checkpoints that TensorFlow itself wrote: every value arrives, and the imported AnimeGANv2 computes what it does.

These run where TensorFlow is installed; test_fixtures.py checks small checkpoints and results without it.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import ppgan_apps  # noqa: F401 - settles Paddle's flags before it is imported

# isort: split
import paddle

from ppgan_apps.errors import WeightsError
from ppgan_apps.foreign import import_file
from ppgan_apps.foreign.tensorbundle import checkpoint_prefix, read_checkpoint
from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
from ppgan_apps.weights import load_strict, read_metadata, read_weights
from tests.foreign import shapes

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
references = pytest.importorskip("tests.foreign.tensorflow_references")


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64",
                                  "uint8", "uint16", "bool"])
def test_tensors_of_every_kind_come_out_equal(tmp_path, kind):
    numbers = np.arange(24).reshape(2, 3, 4) % 7
    prefix = references.save(tmp_path / "x.ckpt", {"whole": numbers, "number": numbers[0, 0, 1], "none": numbers[:0]},
                             kind)
    read = read_checkpoint(prefix)
    assert set(read) == {"whole", "number", "none"}
    for name, array in (("whole", numbers), ("number", numbers[0, 0, 1]), ("none", numbers[:0])):
        expected = array.astype("float32" if kind == "bfloat16" else kind)
        np.testing.assert_array_equal(read[name], expected)
        assert read[name].dtype == expected.dtype and read[name].shape == expected.shape


def test_a_checkpoint_of_many_blocks(tmp_path):
    """An index of more than one block (TensorFlow's are of 256 KiB): names that differ early and are long."""
    state = {f"scope_{number % 7}/layer_{number}/{'a' * 1200}": np.float32([number, -number]) for number in range(300)}
    read = read_checkpoint(references.save(tmp_path / "x.ckpt", state))
    assert set(read) == set(state)
    assert all(np.array_equal(read[name], array) for name, array in state.items())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """AnimeGANv2's generator as a training leaves it, and its picture of some noise."""
    folder = tmp_path_factory.mktemp("checkpoint")
    state = shapes.random_state(shapes.animeganv2_tensorflow())
    others = {f"{name}/Adam": array[:1] for name, array in list(state.items())[:2]}
    others |= {"beta1_power": np.float32(0.5), "beta2_power_1": np.float32(0.9), "global_step": np.int64(7),
               "discriminator/conv_0/kernel": np.ones((3, 3, 3, 4), np.float32)}
    picture = np.random.default_rng(5).uniform(-1, 1, (1, 64, 96, 3)).astype(np.float32)
    references.save(folder / "AnimeGANv2.model-100", {**state, **others})
    return folder, picture, references.animeganv2(state, picture)


@pytest.mark.parametrize("how", ["folder", "prefix", "index", "data"])
def test_animeganv2_is_that_of_tensorflow(tmp_path, trained, how):
    folder, picture, expected = trained
    prefix = folder / "AnimeGANv2.model-100"
    source = {"folder": folder, "prefix": prefix, "index": prefix.with_name(f"{prefix.name}.index"),
              "data": prefix.with_name(f"{prefix.name}.data-00000-of-00001")}[how]
    assert checkpoint_prefix(source) == prefix
    path, notices = import_file(source, tmp_path / "out.safetensors", "animeganv2")
    assert any(line.startswith("6 entries are left out by rule") for line in notices)
    if how == "folder":
        network = AnimeGANv2Generator(**read_metadata(path)["network"])
        load_strict(network, read_weights(path))
        network.eval()
        with paddle.no_grad():
            ours = network(paddle.to_tensor(picture.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_a_checkpoint_with_entries_too_many_or_too_few_is_refused(tmp_path):
    state = shapes.random_state(shapes.animeganv2_tensorflow())
    del state["generator/G_MODEL/C/r2/2/beta"]
    state["generator/G_MODEL/C/r5/2/beta"] = np.zeros(256, np.float32)
    prefix = references.save(tmp_path / "x.ckpt", state)
    with pytest.raises(WeightsError, match=r"1 missing \(generator/G_MODEL/C/r2/2/beta\); 1 "
                                           r"unexpected \(generator/G_MODEL/C/r5/2/beta\)"):
        import_file(prefix, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()

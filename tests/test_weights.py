"""Weight files: written and read again, loaded strictly, and found in what a training run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps import weights
from ppgan_apps.errors import OutputError, WeightsError
from ppgan_apps.weights import Pretrained, load_strict, read_metadata, read_weights, resolve, save_weights

STATE = {
    "conv.weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2),
    "conv.bias": np.float32([0.5, -1]),
    "steps": np.array(7, dtype="i8"),
    "turned": np.arange(6, dtype="f8").reshape(2, 3).T,
}
METADATA = {"family": "pix2pix", "network": {"ngf": 32, "light": True}, "step": 100, "licence": "CC0 »ß«", "fid": None}


def net():
    paddle = pytest.importorskip("paddle")
    paddle.seed(1)
    return paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.Linear(4, 2))


def arrays(layer) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in layer.state_dict().items()}


def message_of(call, *arguments, error=WeightsError, **options) -> str:
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------
def test_what_is_saved_is_read_again(tmp_path):
    file = save_weights(tmp_path / "new" / "net.safetensors", STATE, METADATA)
    loaded = read_weights(file)
    assert set(loaded) == set(STATE)
    for name, expected in STATE.items():
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].dtype == expected.dtype and loaded[name].shape == expected.shape
    assert read_metadata(file) == METADATA
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_half_stores_floats_in_two_bytes_and_refuses_what_does_not_fit(tmp_path):
    file = save_weights(tmp_path / "net.safetensors", STATE, half=True)
    loaded = read_weights(file)
    assert loaded["conv.weight"].dtype == np.float16 and loaded["steps"].dtype == np.int64
    np.testing.assert_array_equal(loaded["conv.weight"], STATE["conv.weight"])
    large = {"big": np.float32([1, 70_000])}
    assert "big holds the number 70000" in message_of(save_weights, file, large, half=True)
    np.testing.assert_array_equal(read_weights(file)["conv.bias"], STATE["conv.bias"])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("")
    message = message_of(save_weights, tmp_path / "file" / "net.safetensors", STATE, error=OutputError)
    assert "cannot be written" in message
    (tmp_path / "folder.safetensors").mkdir()
    message_of(save_weights, tmp_path / "folder.safetensors", STATE, error=OutputError)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.safetensors"]


def test_the_contents_decide_and_not_the_suffix(tmp_path):
    file = save_weights(tmp_path / "net.safetensors", STATE, METADATA)
    renamed = file.rename(tmp_path / "net.pdparams")
    assert set(read_weights(renamed)) == set(STATE) and read_metadata(renamed) == METADATA


def test_a_part_of_a_safetensors_file_is_a_prefix(tmp_path):
    file = save_weights(tmp_path / "net.safetensors", {"netG.w": np.ones(2, "f4"), "netD.w": np.zeros(2, "f4")})
    assert read_weights(file, "netG")["w"].tolist() == [1, 1] and set(read_weights(file, "netG")) == {"w"}
    assert set(read_weights(file, "other")) == {"netG.w", "netD.w"}


def test_files_that_are_none(tmp_path):
    assert "cannot be read" in message_of(read_weights, tmp_path / "none.safetensors")
    assert "cannot be read" in message_of(read_metadata, tmp_path / "none.safetensors")
    assert "cannot be read" in message_of(read_weights, tmp_path)
    good = save_weights(tmp_path / "net.safetensors", STATE, METADATA).read_bytes()
    for length in (0, 4, 20, len(good) // 2, len(good) - 1):
        (tmp_path / "cut.safetensors").write_bytes(good[:length])
        message_of(read_weights, tmp_path / "cut.safetensors")
        message_of(read_metadata, tmp_path / "cut.safetensors")
    (tmp_path / "huge.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + b'{"w":1}')
    message_of(read_weights, tmp_path / "huge.safetensors")


def test_several_networks_in_a_file_are_listed(tmp_path):
    paddle = pytest.importorskip("paddle")
    one = {"w": paddle.ones([2]), "b": paddle.zeros([2])}
    paddle.save({"netG": one, "netD": one, "epoch": 3}, str(tmp_path / "both.pdparams"))
    assert read_weights(tmp_path / "both.pdparams", "netD")["w"].tolist() == [1, 1]
    assert "its parts are netD, netG" in message_of(read_weights, tmp_path / "both.pdparams")
    message = message_of(read_weights, tmp_path / "both.pdparams", part="genA2B")
    assert "'genA2B'" in message and "netD, netG" in message


def test_importing_is_light():
    code = "import sys, ppgan_apps.weights, ppgan_apps.zoo; print([m for m in ('paddle', 'requests', 'torch', 'tqdm', "
    code += "'safetensors', 'filelock', 'cv2') if m in sys.modules])"
    root = Path(weights.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------------------------
# Strict loading
# ---------------------------------------------------------------------------------------------------------------------
def test_a_net_takes_every_parameter_and_buffer(tmp_path):
    layer, generator = net(), np.random.default_rng(3)
    wanted = {name: generator.normal(size=array.shape).astype("f4") for name, array in arrays(layer).items()}
    file = save_weights(tmp_path / "net.safetensors", wanted, half=True)
    assert load_strict(layer, read_weights(file), str(file)) is layer
    for name, array in arrays(layer).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted[name].astype("f2").astype("f4"))
    tensors = net().state_dict()
    load_strict(layer, tensors)
    np.testing.assert_array_equal(arrays(layer)["0.weight"], tensors["0.weight"].numpy())


def test_the_load_survives_the_arrays(tmp_path):
    """The net owns its numbers: the caller may go on writing into the arrays."""
    layer, state = net(), arrays(net())
    load_strict(layer, state)
    before = arrays(layer)
    for array in state.values():
        array[...] = -5
    assert all(np.array_equal(array, before[name]) for name, array in arrays(layer).items())


def test_all_faults_stand_in_one_message_and_nothing_is_changed():
    layer, state = net(), arrays(net())
    before = arrays(layer)
    state = {name: array + 1 for name, array in state.items()}
    del state["0.bias"]
    state["1.weight"] = state["1.weight"][:2]
    state["2.bias"] = state["2.bias"].astype("i4")
    state |= {f"extra.{n}": np.zeros(1, "f4") for n in range(20)}
    message = message_of(load_strict, layer, state, "face.safetensors")
    assert message.startswith("face.safetensors does not fit Sequential with its 8 entries")
    for part in ("1 missing (0.bias)", "20 unexpected (extra.0, ", "extra.7, ...)", "2 of another shape or type"):
        assert part in message
    assert "1.weight: [2] instead of [4]" in message and "2.bias: int32 instead of float32" in message
    assert "extra.8" not in message
    assert all(np.array_equal(array, before[name]) for name, array in arrays(layer).items())


def test_weights_of_another_network_are_said_to_be():
    message = message_of(load_strict, net(), {"encoder.conv.weight": np.zeros(3, "f4")}, "wrong.pdparams")
    assert "wrong.pdparams holds another network" in message and "encoder.conv.weight" in message
    assert "8 missing" in message_of(load_strict, net(), {}, "empty.safetensors")


def test_a_network_that_ends_early_takes_the_whole_ones_weights():
    layer, state = net(), arrays(net())
    state |= {"3.weight": np.zeros(3, "f4"), "4.weight": np.zeros(3, "f4")}
    load_strict(layer, state, optional=("3.", "4."))
    assert "1 unexpected (4.weight)" in message_of(load_strict, layer, state, optional=("3.",))
    del state["0.weight"]
    assert "1 missing (0.weight)" in message_of(load_strict, layer, state, optional=("0.", "3.", "4."))


def test_numbers_saved_as_arrays_of_one_element_fit():
    paddle = pytest.importorskip("paddle")
    layer = paddle.nn.Layer()
    layer.rho = layer.create_parameter([1])
    load_strict(layer, {"rho": np.array(0.25, "f8")})
    assert layer.rho.numpy().tolist() == [0.25]


def test_a_record_loads_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "PRETRAINED_FOLDER", tmp_path)
    layer, state = net(), arrays(net())
    save_weights(tmp_path / "net.safetensors", state | {"classifier.weight": np.zeros(3, "f4")})
    record = Pretrained("family/embedded", "embedded:net.safetensors")
    assert record.available() and record.path() == tmp_path / "net.safetensors"
    message = message_of(record.load, layer)
    assert "family/embedded (net.safetensors)" in message and "classifier.weight" in message
    Pretrained("family/embedded", "embedded:net.safetensors", optional=("classifier.",)).load(layer)
    np.testing.assert_array_equal(arrays(layer)["0.weight"], state["0.weight"])
    changed = Pretrained("family/embedded", "embedded:net.safetensors", sha256="0" * 64)
    assert "differs" in message_of(changed.path)
    missing = Pretrained("family/embedded", "embedded:none.safetensors")
    assert not missing.available() and "install the suite again" in message_of(missing.path)


# ---------------------------------------------------------------------------------------------------------------------
# What a training run leaves
# ---------------------------------------------------------------------------------------------------------------------
def checkpoint(folder: Path, deliver: str = "G_ema", **meta) -> Path:
    for name in ("G", "G_ema", "D"):
        save_weights(folder / f"{name}.safetensors", {"name": np.frombuffer(name.encode(), "u1")})
    (folder / "meta.json").write_text(json.dumps({"deliver": deliver, **meta}))
    return folder


def test_files_checkpoints_and_runs_resolve_to_the_network_to_deliver(tmp_path, monkeypatch):
    run = tmp_path / "run"
    first = checkpoint(run / "checkpoints" / "step_00000900", step=900)
    last = checkpoint(run / "checkpoints" / "step_00001000", step=1000)
    (run / "checkpoints" / "step_00002000").mkdir()  # not whole: no meta.json
    checkpoint(run / "checkpoints" / ".step_00003000.part", step=3000)  # still being written
    assert resolve(first) == first / "G_ema.safetensors"
    assert resolve(run) == resolve(run / "checkpoints") == last / "G_ema.safetensors"
    assert resolve(str(last / "D.safetensors")) == last / "D.safetensors"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/run") == last / "G_ema.safetensors"


def test_what_does_not_resolve_says_why(tmp_path):
    assert "no weight file or folder" in message_of(resolve, tmp_path / "none")
    assert "holds no checkpoint" in message_of(resolve, tmp_path)
    folder = checkpoint(tmp_path / "step_00000001", deliver="other")
    assert "lacks other.safetensors" in message_of(resolve, folder)
    for text in ("{}", "[]", "{", ""):
        (folder / "meta.json").write_text(text)
        assert "meta.json" in message_of(resolve, folder)
    assert os.listdir(tmp_path) == ["step_00000001"]

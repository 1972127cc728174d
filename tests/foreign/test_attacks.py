"""Pickles in the shape of NVlabs's that want to run code: refused by name, or read without their code."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from ppgan_apps.errors import WeightsError
from ppgan_apps.foreign import import_file
from ppgan_apps.unpickling import read_old_torch, read_persistent_pickle
from tests.foreign import persistence

MAGIC = 0x1950A86A20F9469CFC6C


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def module(**state) -> dict:
    return {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict(), **state}


def named(name: str, *arguments: bytes) -> bytes:
    """A program that calls a global by its full name with values that other programs leave."""
    space, _, last = name.rpartition(".")
    return b"\x80\x03c" + space.encode() + b"\n" + last.encode() + b"\n(" + b"".join(arguments) + b"tR."


def value(thing) -> bytes:
    """The program that leaves a plain value, without its beginning and end."""
    return pickle.dumps(thing, 3)[2:-1]


def read(tmp_path, program: bytes):
    file = tmp_path / "network.pkl"
    file.write_bytes(program)
    return read_persistent_pickle(file)


def old_torch(program: bytes) -> bytes:
    """A PyTorch file of the old format whose object is left by `program`."""
    return b"".join([*(pickle.dumps(thing, 2) for thing in (MAGIC, 1001, {})), program, pickle.dumps([], 2)])


def test_the_source_code_in_a_module_is_never_run(tmp_path):
    sentinel = tmp_path / "ran"
    source = persistence.SOURCE.format(sentinel=sentinel)
    contents = {"G_ema": persistence.Persistent("Generator", module(c_dim=0, scale=np.float64(0.5)), source)}
    for protocol in (2, 3, 4, 5):
        read_module = read(tmp_path, persistence.dumps(contents, protocol))["G_ema"]
        assert read_module["class_name"] == "Generator" and read_module["scale"] == 0.5
        assert "module_src" not in str(read_module)
    assert not sentinel.exists()
    exec(source, {})  # the source does what it says: an absent file proves something
    assert sentinel.exists()


def attacks(sentinel) -> dict[str, tuple[bytes, str]]:
    """Programs that would create `sentinel`, and what the refusal must name."""
    command = f"touch {sentinel}"
    call, run = Call(os.system, command), persistence.SOURCE.format(sentinel=sentinel)
    evil = pickle.dumps(call, 2)

    def persistent(**meta):
        whole = {"type": "class", "version": 6, "module_src": run, "class_name": "G", "state": module(), **meta}
        thing = persistence.Persistent("G", {})
        thing.meta = whole
        return persistence.dumps({"G_ema": thing}, 4)

    deep = persistence.Persistent("Inner", module(call=call))
    return {
        "a call among the attributes": (persistent(state=module(weight=call)), "system"),
        "a call instead of the attributes": (persistent(state=call), "system"),
        "a call as the source": (persistent(module_src=call), "system"),
        "a call in an inner module": (persistent(state=module(_modules=OrderedDict(inner=deep))), "system"),
        "its own way from source to module": (
            named("torch_utils.persistence._src_to_module", value(run)), "torch_utils.persistence._src_to_module"),
        "its import hooks": (named("torch_utils.persistence.import_hook", value("x")), "import_hook"),
        "its downloads": (named("dnnlib.util.open_url", value("http://localhost/x")), "dnnlib.util.open_url"),
        "its way to construct by name": (
            named("dnnlib.util.call_func_by_name", value("os.system"), value(command)), "call_func_by_name"),
        "a dotted name within an allowed module": (
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text for text in (
                b"dnnlib.util", b"EasyDict.__init__.__globals__")) + b"\x93.", "EasyDict.__init__"),
        "a persistent id": (b"\x80\x02X\x03\x00\x00\x00abcQ.", "persistent id"),
        "a persistent id like torch's": (b"\x80\x02" + value(("storage", "posix.system", "0", "cpu", 1)) + b"Q.",
                                         "persistent id"),
        "a persistent id in text": (b"Pposix.system\n.", "persistent id"),
        "a call inside a storage": (
            named("torch.storage._load_from_bytes", value(old_torch(evil))), "system"),
        "a call before a storage": (named("torch.storage._load_from_bytes", value(evil)), "system"),
        "a storage inside a storage": (
            named("torch.storage._load_from_bytes", value(old_torch(
                named("torch.storage._load_from_bytes", value(evil))))), "_load_from_bytes"),
        "a storage that is something else": (
            named("torch.storage._load_from_bytes", value(old_torch(pickle.dumps({"a": 1}, 2)))), "_load_from_bytes"),
        "a storage that is a call": (named("torch.storage._load_from_bytes", value("x")), "a storage made of a str"),
        "a module inside a storage": (
            named("torch.storage._load_from_bytes", value(old_torch(
                named("torch_utils.persistence._reconstruct_persistent_obj", value({}))))), "_reconstruct_persistent"),
        "a set of a call": (b"\x80\x04\x8f(" + pickle.dumps(call, 4)[11:-1] + b"\x90.", "system"),
        "a TensorFlow network": (named("dnnlib.tflib.network.Network"), "dnnlib.tflib.network.Network"),
    }


@pytest.mark.parametrize("case", attacks("x"))
def test_an_attack_is_refused_by_name_and_runs_nothing(tmp_path, case):
    sentinel = tmp_path / "ran"
    program, name = attacks(sentinel)[case]
    with pytest.raises(WeightsError, match="refused, nothing was executed") as caught:
        read(tmp_path, program)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(WeightsError):
        import_file(tmp_path / "network.pkl", tmp_path / "out.safetensors")
    assert not sentinel.exists() and not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("meta", [None, [], {}, {"class_name": "G"}, {"class_name": "G", "state": []},
                                  {"class_name": 1, "state": {}}])
def test_a_persistent_object_that_makes_no_sense(tmp_path, meta):
    program = named("torch_utils.persistence._reconstruct_persistent_obj", value(meta))
    with pytest.raises(WeightsError, match="without its attributes"):
        read(tmp_path, program)


def test_only_pickles_of_that_project_may_name_its_functions(tmp_path):
    """The names that its files need are no names for a PyTorch file."""
    file = tmp_path / "network.pt"
    for name in ("torch_utils.persistence._reconstruct_persistent_obj", "dnnlib.util.EasyDict",
                 "torch.storage._load_from_bytes", "builtins.set"):
        file.write_bytes(old_torch(named(name, value({}))))
        with pytest.raises(WeightsError, match="refused, nothing was executed"):
            read_old_torch(file)


def test_sets_and_storages_asked_for_again_and_again_are_stopped(tmp_path):
    text = b"\x80\x04]\x94(" + b"K\x01" * 3000 + b"e"
    program = text + b"cbuiltins\nset\n\x94" + b"h\x01h\x00\x85R" * 3000 + b"."
    with pytest.raises(WeightsError, match="grow"):
        read(tmp_path, program)


def test_every_cut_of_a_file_is_one_clear_error(tmp_path):
    contents = {"G_ema": persistence.Persistent("Generator", module(scale=np.float64(0.5)))}
    program = persistence.dumps(contents, 4)
    for length in range(1, len(program)):
        with pytest.raises(WeightsError) as caught:
            read(tmp_path, program[:length])
        assert "\n" not in str(caught.value)

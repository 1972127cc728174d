"""Files from strangers: what a small one could ask for is bounded, nothing is run, no other file is opened."""
from __future__ import annotations

import json
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_unpickling import refused, torch_file, torch_pickle

from ppgan_apps import config, weights
from ppgan_apps.archives import zip_root
from ppgan_apps.errors import ConfigError, DataError, ImageError, WeightsError
from ppgan_apps.foreign import sstable, tensorbundle
from ppgan_apps.groups import Index
from ppgan_apps.weights import read_metadata, read_weights, save_weights

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def bounded_memory():
    """No test here may take more than 1.5 GB beyond what the process has: a bomb ends in MemoryError, which is no
    SuiteError."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1500 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def program(*pieces: bytes) -> bytes:
    return b"\x80\x04" + b"".join(pieces) + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


# Pickles

def test_empty_containers_asked_for_again_and_again_are_stopped(tmp_path):
    """Ten thousand lists of a thousand empty dicts: 20 KB that would be 700 MB."""
    thousand = b"]\x94(" + b"}" + b"\x94" + b"h\x01" * 999 + b"e"
    assert "grow" in refused(tmp_path, program(text("w"), b"0", b"](", thousand, b"h\x00" * 10_000, b"e"))


def test_bytes_shown_again_and_again_are_stopped(tmp_path):
    raw = b"B" + struct.pack("<I", 100_000) + bytes(100_000)
    assert "grow" in refused(tmp_path, program(b"](", raw, b"\x94", b"h\x00" * 20_000, b"e"))


def test_arrays_shown_again_and_again_are_stopped(tmp_path):
    array = pickle.dumps(np.zeros(0, "f4"), 4)[2:-1]
    array = array[9:] if array[:1] == b"\x95" else array                       # without its frame
    assert "grow" in refused(tmp_path, program(b"](", array, b"q\xff", b"h\xff" * 100_000, b"e"))


def test_the_number_of_instructions_is_bounded(tmp_path):
    assert "instructions" in refused(tmp_path, program(b"]0" * 2_100_000, b"N"))


def test_states_of_modules_copied_again_and_again_are_stopped(tmp_path):
    from ppgan_apps.unpickling import read_persistent_pickle
    state = b"}(" + b"".join(text(f"{n}") + b"N" for n in range(2000)) + b"u"
    meta = b"}(" + text("state") + state + text("class_name") + text("G") + b"u\x94"
    call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n\x94"
    (tmp_path / "net.pkl").write_bytes(program(meta, b"0", call, b"0](", b"h\x01h\x00\x85R" * 20_000, b"e"))
    with pytest.raises(WeightsError, match="grow"):
        read_persistent_pickle(tmp_path / "net.pkl")


def test_storages_unpacked_again_and_again_are_stopped(tmp_path):
    from ppgan_apps.unpickling import TORCH_MAGIC, read_persistent_pickle
    storage = b"\x80\x02((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuM\x10\x27Nt0(U\x07storage" \
              b"ctorch\nFloatStorage\nU\x010U\x03cpuM\x10\x27NtQ."
    pickles = [*(pickle.dumps(value, 2) for value in (TORCH_MAGIC, 1001, {})), storage, pickle.dumps(["0"], 2)]
    raw = b"".join(pickles) + struct.pack("<q", 10_000) + bytes(40_000)
    call = b"ctorch.storage\n_load_from_bytes\n\x94"
    (tmp_path / "net.pkl").write_bytes(program(b"B", struct.pack("<I", len(raw)), raw, b"\x940", call, b"0](",
                                               b"h\x01h\x00\x85R" * 50_000, b"e"))
    with pytest.raises(WeightsError):
        read_persistent_pickle(tmp_path / "net.pkl")


# Archives

def broken_deflate() -> bytes:
    data = bytearray(torch_file({"data.pkl": torch_pickle(12, 0, (12,), (1,)), "data/0": bytes(48)},
                                zipfile.ZIP_DEFLATED))
    at = data.find(b"archive/data.pkl") + len("archive/data.pkl")
    data[at:at + 8] = b"\xff" * 8
    return bytes(data)


def test_a_damaged_deflate_stream_is_one_sentence(tmp_path):
    assert "damaged" in refused(tmp_path, broken_deflate(), "net.pt")
    (tmp_path / "set.zip").write_bytes(broken_deflate())
    with pytest.raises(ImageError, match="cannot be unpacked"):
        (zip_root(tmp_path / "set.zip") / "data.pkl").read_bytes()


def test_archives_packed_by_lzma_are_refused(tmp_path):
    """Its header may ask for a dictionary of 4 GB."""
    entries = {"data.pkl": torch_pickle(12, 0, (12,), (1,)), "data/0": bytes(48)}
    assert "packed in a way" in refused(tmp_path, torch_file(entries, zipfile.ZIP_LZMA), "net.pt")
    (tmp_path / "set.zip").write_bytes(torch_file(entries, zipfile.ZIP_LZMA))
    with pytest.raises(ImageError, match="packed by method 14"):
        (zip_root(tmp_path / "set.zip") / "data.pkl").read_bytes()


def test_archives_whose_directory_makes_no_sense(tmp_path):
    data = bytearray(torch_file({"a.png": bytes(9), "b.png": bytes(9)}))
    at = data.find(b"PK\x01\x02")
    longer = bytearray(data)
    longer[at + 20:at + 24] = struct.pack("<I", 0xFFFFFFF0)                    # of the packed bytes
    (tmp_path / "long.zip").write_bytes(longer)
    with pytest.raises(ImageError, match="longer than the archive"):
        (zip_root(tmp_path / "long.zip") / "a.png").read_bytes()
    nameless = data.replace(b"archive/a.png", b"\0archive/a.pn")               # zipfile cuts names at a zero byte
    (tmp_path / "nameless.zip").write_bytes(nameless)
    try:
        assert "" not in {file.inside for file in zip_root(tmp_path / "nameless.zip").files()}
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["../evil.png", "../../../../tmp/evil.png", "/etc/evil.png", "a/../../evil.png",
                                  "..\\evil.png", "C:\\evil.png", "a\0/evil.png"])
def test_names_that_lead_out_of_an_archive_lead_nowhere(tmp_path, name, monkeypatch):
    """What is in a .zip is read where it is: nothing is unpacked onto the disk, whatever its name."""
    inner = tmp_path / "inner"
    inner.mkdir()
    with zipfile.ZipFile(inner / "set.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("good/a.png"), b"good")
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    (tmp_path / "evil.png").write_bytes(b"another's")
    opened = []

    def watch(event: str, arguments: tuple) -> None:
        if event == "open" and monkeypatch is not None:
            opened.append(str(arguments[0]))
    sys.addaudithook(watch)
    contents = {str(file): file.read_bytes() for file in zip_root(inner / "set.zip").files()}
    monkeypatch = None                                         # a hook cannot be taken away again
    assert set(contents.values()) <= {b"good", b"evil"} and b"good" in contents.values()
    assert {path for path in opened if path.startswith(str(tmp_path)) or "evil" in path} <= {str(inner / "set.zip")}
    assert (tmp_path / "evil.png").read_bytes() == b"another's" and not Path("/etc/evil.png").exists()


# .safetensors

def safetensors(header: dict | bytes, data: bytes = bytes(64)) -> bytes:
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + data


def entry(begin: int, end: int, shape=(8,), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize("data", [
    safetensors({"a": entry(0, 32), "b": entry(16, 48)}, bytes(48)),           # over each other
    safetensors({"a": entry(0, 32), "b": entry(0, 32)}, bytes(32)),
    safetensors({"a": entry(-32, 0)}),
    safetensors({"a": entry(0, 1 << 60, [1 << 58])}),
    safetensors({"a": entry(32, 0)}),
    safetensors({"a": entry(0, 32, [1 << 40, 1 << 40])}),
    safetensors({"a": entry(0, 32, [-8])}),
    safetensors({"a": entry(0, 32)}, bytes(31)),                               # beyond the end
    safetensors({"a": entry(0, 32)}, bytes(999)),                              # bytes that belong to nobody
    safetensors({"a": entry(0, 32, dtype="O")}),
    safetensors({"a": entry(0, 5, [1], "F32")}, bytes(5)),
    safetensors(b'{"a":' * 100_000),
    safetensors(b"[" * 100_000),
    struct.pack("<Q", (1 << 63) - 1) + b"{}",
    struct.pack("<Q", 100 << 20) + b"{",
])
def test_safetensors_that_make_no_sense(tmp_path, data):
    (tmp_path / "net.safetensors").write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "net.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("about, part", [
    ({"network": ["ngf"]}, "describes its network by a list"), ({"input": "256"}, "describes its input by a str"),
    ({"network": {"img_size": "big"}}, "pictures of big pixels"), ({"input": {"size": 1e99}}, "pixels"),
    ({"input": {"size": -4}}, "-4 pixels"), ({"licence": {"a": 1}}, "states a dict as its licence"),
])
def test_metadata_of_another_kind_is_one_sentence(tmp_path, about, part):
    path = save_weights(tmp_path / "net.safetensors", {"w": np.zeros(1, "f4")}, about)
    with pytest.raises(WeightsError, match=part):
        read_metadata(path)


def test_metadata_nested_deeper_than_python_reads_is_taken_as_text(tmp_path):
    deep = "[" * 100_000
    (tmp_path / "net.safetensors").write_bytes(safetensors({"__metadata__": {"note": deep}, "a": entry(0, 32)},
                                                           bytes(32)))
    assert read_metadata(tmp_path / "net.safetensors") == {"note": deep}


@pytest.mark.parametrize("arguments", [{"ngf": 100_000}, {"num_downs": 10_000_000}, {"ngf": 0, "num_downs": 10**9},
                                       {"ngf": -4}, {"output_nc": 1 << 62}])
def test_a_file_cannot_ask_for_a_network_larger_than_itself(tmp_path, arguments):
    from ppgan_apps import Anime2RealPredictor
    path = save_weights(tmp_path / "net.safetensors", {"w": np.zeros(4, "f4")},
                        {"family": "pix2pix", "network": arguments})
    with pytest.raises(WeightsError) as caught:
        Anime2RealPredictor(tmp_path, weight_path=path)
    assert "\n" not in str(caught.value)


def test_building_within_bounds_leaves_paddle_as_it_was():
    import ppgan_apps.runtime
    nn = ppgan_apps.runtime.import_paddle().nn
    create = nn.Layer.create_parameter
    with pytest.raises(WeightsError, match="more numbers than its file"):
        weights.build(nn.Linear, {"in_features": 10_000, "out_features": 1000}, {"w": np.zeros(9)})
    assert weights.build(nn.Linear, {"in_features": 3, "out_features": 2}, {"w": np.zeros(8)}).weight.shape == [3, 2]
    assert nn.Layer.create_parameter is create


# TensorFlow's checkpoints

def number(value: int) -> bytes:
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])


def block(entries: list[tuple[int, bytes, bytes]], packing: int = 0, packed: bytes = b"") -> bytes:
    """(bytes shared with the key before, the key's own, value) of each entry, with checksum."""
    content = packed or b"".join(number(shared) + number(len(own)) + number(len(value)) + own + value
                                 for shared, own, value in entries) + struct.pack("<II", 0, 1)
    whole = content + bytes([packing])
    return whole + sstable.masked_crc32c(whole).to_bytes(4, "little")


def table(data: bytes, handles: list[tuple[int, int]]) -> bytes:
    index = block([(0, f"{n:09d}".encode(), number(at) + number(size)) for n, (at, size) in enumerate(handles)])
    footer = (b"\0\0" + number(len(data)) + number(len(index) - 5)).ljust(40, b"\0")
    return data + index + footer + sstable.MAGIC.to_bytes(8, "little")


def test_a_table_that_shares_long_keys_is_stopped():
    """A key of 60,000 bytes shared by 60,000 entries of three bytes: 240 KB that would be 3.6 GB."""
    whole = block([(0, b"k" * 60_000, b""), *[(60_000, b"", b"")] * 60_000])
    with pytest.raises(ValueError, match="more than 64 MiB"):
        sstable.read_table(table(whole, [(0, len(whole) - 5)]))


def test_a_table_that_names_a_block_again_and_again_is_stopped():
    whole = block([(0, b"key", b"value")])
    handle = (0, len(whole) - 5)
    assert sstable.read_table(table(whole, [handle])) == {b"key": b"value"}
    with pytest.raises(ValueError, match="overlap"):
        sstable.read_table(table(whole, [handle] * 1000))


def test_a_snappy_bomb_is_stopped():
    bomb = number(1 << 30) + b"\x00a" + b"\xfe\x01\x00" * 100_000
    whole = block([], sstable.SNAPPY, bomb)
    with pytest.raises(ValueError, match="would unpack to 1073741824 bytes"):
        sstable.read_table(table(whole, [(0, len(bomb))]))


def checkpoint(folder: Path, tensors: list[tuple[str, tuple[int, ...], int, int]], data: bytes, crc: int) -> Path:
    """An index of float32 tensors (name, shape, offset, bytes) over one data file."""
    def message(shape, offset, size):
        sides = b"".join(b"\x12" + number(len(side)) + side for side in (b"\x08" + number(extent) for extent in shape))
        return (b"\x08\x01\x12" + number(len(sides)) + sides + b"\x20" + number(offset) + b"\x28" + number(size) +
                b"\x35" + struct.pack("<I", crc))
    entries = [(0, b"", b"\x08\x01"), *((0, name.encode(), message(*rest)) for name, *rest in tensors)]
    whole = block(entries)
    (folder / "net.ckpt.index").write_bytes(table(whole, [(0, len(whole) - 5)]))
    (folder / "net.ckpt.data-00000-of-00001").write_bytes(data)
    return folder / "net.ckpt"


def test_tensors_that_lie_over_each_other_are_refused(tmp_path):
    """A hundred thousand names for the same megabyte would be 100 GB."""
    data = bytes(1 << 20)
    crc = sstable.masked_crc32c(data)
    one = checkpoint(tmp_path, [("a", (512, 512), 0, 1 << 20)], data, crc)
    assert tensorbundle.read_checkpoint(one)["a"].shape == (512, 512)
    many = checkpoint(tmp_path, [(f"{n:06d}", (512, 512), 0, 1 << 20) for n in range(5000)], data, crc)
    with pytest.raises(WeightsError, match="over each other"):
        tensorbundle.read_checkpoint(many)


@pytest.mark.parametrize("shape, size", [((1 << 39, 1 << 39), 4), ((1 << 20,), 4 << 20), ((0, 1 << 39), 0)])
def test_tensors_of_huge_shapes(tmp_path, shape, size):
    path = checkpoint(tmp_path, [("a", shape, 0, size)], bytes(64), 0)
    try:
        arrays = tensorbundle.read_checkpoint(path)
    except WeightsError as error:
        assert "\n" not in str(error)
    else:
        assert arrays["a"].size == 0


# ONNX

def external(tmp_path: Path, location: str) -> Path:
    onnx = pytest.importorskip("onnx")
    import onnx_files
    path = onnx_files.write(tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for fact in tensor.external_data:
            fact.value = location if fact.key == "location" else fact.value
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "sub/w.bin", "..", "", "a\\..\\b"])
def test_an_onnx_file_reads_no_other_files_than_those_beside_it(tmp_path, location):
    pytest.importorskip("onnxruntime")
    from ppgan_apps.engines import OnnxNetwork
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(200))
    with pytest.raises(WeightsError, match="is no file beside it: refused"):
        OnnxNetwork(external(folder, location))


def test_an_onnx_file_whose_weights_are_a_link_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    from ppgan_apps.engines import OnnxNetwork
    path = external(tmp_path, "link.bin")
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    with pytest.raises(WeightsError, match="refused"):
        OnnxNetwork(path)


def test_an_external_tensor_inside_a_graph_of_an_attribute_is_seen(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from ppgan_apps.engines import check_external_data
    tensor = onnx.TensorProto(name="w", dims=[4], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    fact = tensor.external_data.add()
    fact.key, fact.value = "location", "../secret"
    inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    constant = onnx.helper.make_node("Constant", [], ["z"], value=tensor)
    for nodes in ([node], [constant]):
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "outer", [], []))
        (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(WeightsError, match="'../secret'"):
            check_external_data(tmp_path / "n.onnx")


def test_an_onnx_file_of_graphs_in_graphs_in_graphs(tmp_path):
    from ppgan_apps.engines import check_external_data
    data = b""
    for _ in range(3000):
        for tag in (b"\x32", b"\x2a", b"\x0a"):                                # attribute.g, node.attribute, graph.node
            data = tag + number(len(data)) + data
    (tmp_path / "n.onnx").write_bytes(b"\x3a" + number(len(data)) + data)
    with pytest.raises(WeightsError, match="nested too deeply"):
        check_external_data(tmp_path / "n.onnx")


def test_metadata_of_an_onnx_file_is_checked_too(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    import onnx_files

    from ppgan_apps.engines import OnnxNetwork
    onnx_files.write(tmp_path / "a.onnx", metadata={"note": "[" * 100_000})
    assert OnnxNetwork(tmp_path / "a.onnx").about["note"] == "[" * 100_000
    onnx_files.write(tmp_path / "b.onnx", metadata={"network": "[1]"})
    with pytest.raises(WeightsError, match="describes its network by a list"):
        OnnxNetwork(tmp_path / "b.onnx")


# YAML

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "m0: &m0 {k: v}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize("text, part", [
    (BOMB + "family: gan\nsteps: *a9\n", "repeats itself by"),
    (BOMB + "family: *a9\n", "repeats itself by"),
    (MERGES, "repeats itself by"),
    ("a: " + "[" * 20_000, "not valid YAML"),
    ("a: " + "{a: " * 20_000, "not valid YAML"),
    ("family: gan\nsteps: 2001-99-99\n", "not valid YAML"),
    ("family: gan\nsteps: .inf\n", "should be a whole number"),
    ("family: gan\nsteps: 1e999\n", "should be a whole number"),
    (f"family: gan\nsteps: [{'x, ' * 5000}]\n", "should be a whole number"),
    ("family: [gan]\n", "There is no family"),
    ("x" * 1_100_000, "longer than"),
    ("!!python/object/apply:os.system ['touch ran']\n", "not valid YAML"),
    ("family: !!python/name:os.system\n", "not valid YAML"),
    ("a: *none\n", "not valid YAML"),
])
def test_hostile_yaml_is_one_short_sentence(tmp_path, monkeypatch, text, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=part) as caught:
        config.load_run(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 3000
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_an_override_is_read_as_carefully():
    with pytest.raises(ConfigError, match="not valid YAML"):
        config.load_run(ROOT / "configs" / "gan_mnist.yaml", ["steps=" + "[" * 20_000])


def test_a_few_aliases_still_work(tmp_path):
    text = (ROOT / "configs" / "gan_mnist.yaml").read_text().replace("log_every: 100", "log_every: &n 100")
    (tmp_path / "run.yaml").write_text(text.replace("checkpoint_every: 5000", "checkpoint_every: *n"))
    assert config.load_run(tmp_path / "run.yaml").checkpoint_every == 100


# An index of models

@pytest.mark.parametrize("name", ["../other/net.safetensors", "/etc/hostname"])
def test_an_index_names_no_weights_outside_its_folder(tmp_path, name):
    values = {"columns": {}, "bands": {}, "models": [{"group": {}, "weights": name}]}
    (tmp_path / "groups.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match="outside its folder"):
        Index.read(tmp_path)


# Files of other projects: found by the fuzzer

def plain_pickle(value) -> bytes:
    return pickle.dumps(value, 4)


@pytest.mark.parametrize("contents", [
    {"G_ema": {"_parameters": {}, "_buffers": {}, "_modules": None}},
    {"G_ema": {"_parameters": 1, "_buffers": {}, "_modules": {}}},
    {"G_ema": {"_parameters": {"synthesis.b4.const": np.zeros(3, "f4")}, "_buffers": {}, "_modules": {},
               "conv_clamp": 1.0, "c_dim": np.zeros(2)}},
    {"g_ema": {"input.input": np.zeros((), "f4"), "style.1.weight": np.zeros(1, "f4")}},
    {"HourGlass1.Conv1.weight": np.zeros(0, "f4")},
    {"block_a.0.1.weight": np.zeros(2, "f4"), "out_layer.0.weight": np.zeros((), "f4")},
    {"convs.0.0.weight": np.zeros((1, 1)), "final_linear.1.weight": np.zeros(1, "f4")},
    {"generator/G_MODEL/x": np.zeros(1, "f4")},
    {"model.0.weight": np.zeros((), "f4"), "model.1.weight": np.zeros((0, 0, 0, 0), "f4")},
    {"synthesis.b4.const": np.zeros((1, 1), "f4"), "synthesis.b" + "9" * 400 + ".x": np.zeros(1, "f4")},
])
def test_files_that_only_name_their_entries_as_a_project_does(tmp_path, contents):
    from ppgan_apps.foreign.importing import import_file
    (tmp_path / "net.pkl").write_bytes(plain_pickle(contents))
    with pytest.raises(WeightsError) as caught:
        import_file(tmp_path / "net.pkl", tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value) and not (tmp_path / "out.safetensors").exists()


# The fuzzer itself

FAST = ("pdparams", "pkl", "pt", "safetensors", "onnx", "tensorflow", "zip", "picture", "pickle", "protobuf", "block",
        "snappy")


@pytest.mark.parametrize("reader", FAST)
def test_two_hundred_random_changes_of_each_good_file(reader, tmp_path):
    """The same command finds nothing in millions: docs/reliability.md has the counts."""
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "fuzz.py"), reader, "--runs", "200", "--findings",
                           str(tmp_path / "findings")], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{reader}: 200 inputs" in done.stdout and "0 findings" in done.stdout


def test_the_shares_of_the_readers_are_a_whole():
    from tools.fuzz_readers import READERS
    assert sum(reader.share for reader in READERS.values()) == 1000
    assert all(len(reader.inputs()) >= 2 for name, reader in READERS.items() if name != "zip")


def test_the_fuzzer_notices_what_breaks_a_rule(tmp_path):
    """A reader that opens another file, starts a process, takes long, or raises what is no SuiteError."""
    code = """
import dataclasses, sys, time
sys.path.insert(0, sys.argv[1])
from tools import fuzz
kinds = {b"open": lambda: open("/etc/hostname"), b"run": lambda: __import__("os").system("true"),
         b"slow": lambda: time.sleep(9), b"error": lambda: 1 / 0, b"memory": lambda: bytearray(1 << 32),
         b"eval": lambda: eval("1 + 1")}
fuzz.READERS["picture"] = dataclasses.replace(
    fuzz.READERS["picture"], work=lambda path: kinds.get(path.read_bytes(), lambda: None)())
watch = fuzz.Watch("picture", seconds=0.3)
for kind in (*kinds, b"fine"):
    try:
        watch(kind)
        print(kind.decode(), "passed")
    except Exception as error:
        print(kind.decode(), type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:-1] == ["open Violation", "run Violation", "slow Violation",
                                            "error ZeroDivisionError", "memory MemoryError", "eval Violation",
                                            "fine passed"], done.stderr

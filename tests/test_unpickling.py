"""The reader of .pdparams and .pt: real files come out right, hostile ones are refused by name and run nothing."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ppgan_apps.errors import WeightsError
from ppgan_apps.weights import read_weights

DATA = Path(__file__).parent / "data" / "weights"
DTYPES = ["?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<f2", "<f4", "<f8", ">f4", ">i8"]


def read(tmp_path: Path, program: bytes, name: str = "net.pdparams", part: str = "") -> dict:
    file = tmp_path / name
    file.write_bytes(program)
    return read_weights(file, part)


def refused(tmp_path: Path, program: bytes, name: str = "net.pdparams") -> str:
    with pytest.raises(WeightsError) as caught:
        read(tmp_path, program, name)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


# ---------------------------------------------------------------------------------------------------------------------
# Real pickles
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_kind_come_out_equal(tmp_path, protocol, dtype):
    array = (np.arange(24) % 5).reshape(2, 3, 4).astype(dtype)
    state = {
        "plain": array,
        "fortran": np.asfortranarray(array),
        "slice": array[:, ::2],
        "number": array[0, 0, 1].reshape(()),
        "empty": array[:0],
    }
    loaded = read(tmp_path, pickle.dumps(state, protocol))
    assert set(loaded) == set(state)
    for name, expected in state.items():
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].shape == expected.shape and loaded[name].dtype == expected.dtype.newbyteorder("=")
        assert loaded[name].flags.c_contiguous and loaded[name].flags.aligned and loaded[name].flags.writeable


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_forms_that_paddle_gives_a_state(tmp_path, protocol):
    weight, table = np.arange(6, dtype="f4").reshape(2, 3), {"weight": "conv2d_0.w_0"}
    flat = OrderedDict(weight=weight, scale=np.float32(2))
    flat["StructuredToParameterName@@"] = table
    loaded = read(tmp_path, pickle.dumps(flat, protocol))
    assert list(loaded) == ["weight", "scale"] and loaded["scale"] == 2
    nested = {"netG": {"weight": ("conv2d_0.w_0", weight)}, "epoch": 3, "optimG": {"LR_Scheduler": {"last_lr": 1e-4}}}
    np.testing.assert_array_equal(read(tmp_path, pickle.dumps(nested, protocol), part="netG")["weight"], weight)
    sliced = {
        "weight@@.0": weight.ravel()[:4],
        "weight@@.1": weight.ravel()[4:],
        "UnpackBigParamInfor@@": {"weight": {"OriginShape": (2, 3), "slices": ["weight@@.0", "weight@@.1"]}},
    }
    np.testing.assert_array_equal(read(tmp_path, pickle.dumps(sliced, protocol))["weight"], weight)
    del sliced["weight@@.1"]
    assert "lacks slices of its array weight" in refused(tmp_path, pickle.dumps(sliced, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_paddle_itself_saved(tmp_path, protocol):
    paddle = pytest.importorskip("paddle")
    net = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    expected = {name: value.numpy() for name, value in net.state_dict().items()}
    paddle.save(net.state_dict(), str(tmp_path / "flat.pdparams"), protocol=protocol)
    paddle.save({"netG": net.state_dict(), "epoch": 1}, str(tmp_path / "nested.pdparams"), protocol=protocol)
    for file in ("flat.pdparams", "nested.pdparams"):
        loaded = read_weights(tmp_path / file, part="netG")
        assert set(loaded) == set(expected)
        assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize("file", ["torch_zip.pt", "torch_1.5.pt"])
def test_what_pytorch_itself_saved(file):
    """Written by PyTorch 2.13 in both of its formats; every tensor counts 0, 1/8, 2/8 ... unless said otherwise."""
    net = read_weights(DATA / file, part="netG")
    shapes = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "1._mean": (4,)}
    shapes |= {"1._variance": (4,), "2.bias": (2,)}
    for name, shape in shapes.items():
        np.testing.assert_array_equal(net.pop(name), np.arange(np.prod(shape), dtype="f4").reshape(shape) / 8)
    # Paddle's Linear holds [in, out] where PyTorch's holds [out, in].
    np.testing.assert_array_equal(net.pop("2.weight"), np.arange(8, dtype="f4").reshape(2, 4).T / 8)
    assert not net
    odd, grid = read_weights(DATA / file, part="odd"), np.arange(20, dtype="f4").reshape(4, 5)
    assert odd["half"].dtype == np.float16 and odd["bfloat"].dtype == np.float32
    np.testing.assert_array_equal(odd["half"], np.arange(6))
    np.testing.assert_array_equal(odd["bfloat"], np.arange(6))
    np.testing.assert_array_equal(odd["turned"], grid.T)
    np.testing.assert_array_equal(odd["slice"], grid[1:3, ::2])
    np.testing.assert_array_equal(odd["tied"], odd["tied_again"])
    assert odd["number"] == 2.5 and odd["number"].shape == () and odd["empty"].shape == (0, 3)
    assert odd["long"].dtype == np.int64 and list(odd["flags"]) == [True, False]


# ---------------------------------------------------------------------------------------------------------------------
# Pickles that want to run code
# ---------------------------------------------------------------------------------------------------------------------
class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


def stack_global(module: str, name: str) -> bytes:
    return short(module) + short(name) + b"\x93"


def hostile(sentinel: Path) -> dict[str, tuple[bytes, str]]:
    """Programs that would create `sentinel`, and the name that the refusal must tell."""
    command = f"touch {sentinel}"
    run = f"import os; os.system({command!r})"
    quoted = command.encode()
    cases = {
        f"os.system, protocol {protocol}": (pickle.dumps({"w": Calls(os.system, command)}, protocol), "system")
        for protocol in range(6)
    }
    cases |= {
        "eval": (pickle.dumps({"w": Calls(eval, f"__import__('os').system({command!r})")}, 4), "builtins.eval"),
        "exec": (pickle.dumps(Calls(exec, run), 2), "__builtin__.exec"),
        "deep inside": (pickle.dumps({"a": [({"b": (Calls(os.system, command),)},)]}, 4), "posix.system"),
        "getattr chain": (
            pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system"), 4),
            "builtins.getattr",
        ),
        "text protocol": (b"cposix\nsystem\n(S'" + quoted + b"'\ntR.", "posix.system"),
        "INST": (b"(S'" + quoted + b"'\niposix\nsystem\n.", "posix.system"),
        "OBJ": (b"(cposix\nsystem\nS'" + quoted + b"'\no.", "posix.system"),
        "NEWOBJ": (b"\x80\x02csubprocess\nPopen\n(S'" + quoted + b"'\nt\x81.", "subprocess.Popen"),
        "NEWOBJ_EX": (b"\x80\x04" + stack_global("subprocess", "Popen") + b")}\x92.", "subprocess.Popen"),
        "STACK_GLOBAL": (b"\x80\x04" + stack_global("os", "system") + short(command) + b"\x85R.", "os.system"),
        "dotted name": (
            b"\x80\x04" + stack_global("collections", "OrderedDict.fromkeys") + b")R.",
            "collections.OrderedDict.fromkeys",
        ),
        "dotted through numpy": (
            b"\x80\x04" + stack_global("numpy", "core.multiarray.os.system") + short(command) + b"\x85R.",
            "numpy.core.multiarray.os.system",
        ),
        "a global that is no text": (b"\x80\x04K\x01K\x02\x93.", "1.2"),
        "EXT1": (b"\x80\x02\x82\x01.", "extension"),
        "EXT2": (b"\x80\x02\x83\x01\x00.", "extension"),
        "EXT4": (b"\x80\x02\x84\x01\x00\x00\x00.", "extension"),
        "persistent id": (b"\x80\x02" + b"X" + struct.pack("<I", 3) + b"abcQ.", "persistent id"),
        "persistent id in text": (b"Pabc\n.", "persistent id"),
        "out-of-band buffer": (b"\x80\x05\x97.", "buffer"),
        "BUILD on a function": (b"\x80\x02cnumpy\nndarray\n}(U\x01aK\x01ub.", "numpy.ndarray"),
        "call of a type": (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "numpy.ndarray"),
        "call of what was built": (b"\x80\x02ccollections\nOrderedDict\n)R)R.", "dict"),
        "another kind of array": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
            "numpy.dtype",
        ),
        "_codecs with another codec": (b"\x80\x02c_codecs\nencode\nU\x03abcU\x03hex\x86R.", "_codecs"),
        "reducer with state": (pickle.dumps(Calls(Calls, state={"x": 1}), 4), "Calls"),
        "copyreg": (b"\x80\x02ccopy_reg\n_reconstructor\n)R.", "copy_reg._reconstructor"),
        "torch.load": (b"\x80\x02ctorch\nload\nU\x01x\x85R.", "torch.load"),
        "paddle DenseTensor's eval": (
            pickle.dumps({"w": Calls(eval, "data", {"data": np.zeros(3)})}, 4),
            "builtins.eval",
        ),
    }
    return cases


CASES = sorted(hostile(Path("x")))


@pytest.mark.parametrize("case", CASES)
def test_hostile_pickles_are_refused_by_name_and_run_nothing(tmp_path, case):
    sentinel = tmp_path / "ran"
    program, name = hostile(sentinel)[case]
    message = refused(tmp_path, program)
    assert "refused" in message and "nothing was executed" in message
    assert name.split(".")[-1] in message
    assert not sentinel.exists()


def test_the_sentinel_works(tmp_path):
    """The same program does run in Python's own unpickler: so an absent file proves something."""
    sentinel = tmp_path / "ran"
    program, _ = hostile(sentinel)["os.system, protocol 4"]
    pickle.loads(program)
    assert sentinel.exists()


def test_hostile_pickles_in_a_pytorch_file_are_refused(tmp_path):
    sentinel = tmp_path / "ran"
    for case, (program, name) in hostile(sentinel).items():
        if "persistent id" == case:
            continue  # here it is a storage: see below
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", program)
        message = refused(tmp_path, buffer.getvalue(), "net.pt")
        assert "refused" in message and name.split(".")[-1] in message, case
    assert not sentinel.exists()


@pytest.mark.parametrize("part", range(5))
def test_hostile_pickles_in_an_old_pytorch_file_are_refused(tmp_path, part):
    """The old format is five pickles in a row; each is read by the same machine."""
    sentinel = tmp_path / "ran"
    magic = 0x1950A86A20F9469CFC6C
    pickles = [pickle.dumps(value, 2) for value in (magic, 1001, {}, {}, [])]
    program = pickle.dumps(Calls(os.system, f"touch {sentinel}"), 2)
    pickles[part] = pickles[part][:-1] + b"0" + program[2:] if part == 0 else program
    message = refused(tmp_path, b"".join(pickles), "net.pt")
    assert "system" in message and not sentinel.exists()


def test_arrays_of_objects_are_refused(tmp_path):
    sentinel = tmp_path / "ran"
    array = np.array([Calls(os.system, f"touch {sentinel}"), 1], dtype=object)
    for protocol in (2, 4, 5):
        assert "refused" in refused(tmp_path, pickle.dumps({"w": array}, protocol))
    harmless = np.array([[1, 2], None], dtype=object)
    assert "numpy.dtype('O8')" in refused(tmp_path, pickle.dumps({"w": harmless}, 4))
    records = np.zeros(2, dtype=[("a", "f4"), ("b", "O")])
    assert "numpy.dtype('V12')" in refused(tmp_path, pickle.dumps({"w": records}, 4))
    dates = np.zeros(2, dtype="M8[s]")
    assert "numpy.dtype('M8')" in refused(tmp_path, pickle.dumps({"w": dates}, 4))
    assert not sentinel.exists()


# ---------------------------------------------------------------------------------------------------------------------
# Broken files and bombs
# ---------------------------------------------------------------------------------------------------------------------
def test_every_cut_of_a_file_is_one_clear_error(tmp_path):
    program = pickle.dumps({"weight": np.arange(4, dtype="f4"), "bias": np.arange(2, dtype="f8")}, 4)
    for length in range(1, len(program)):
        refused(tmp_path, program[:length])
    for file in ("torch_zip.pt", "torch_1.5.pt"):
        data = (DATA / file).read_bytes()
        for length in range(1, len(data), 97):
            refused(tmp_path, data[:length], "net.pt")


def test_noise_is_one_clear_error_or_plain_arrays(tmp_path):
    generator = np.random.default_rng(0)
    good = pickle.dumps({"weight": np.arange(8, dtype="f4")}, 4)
    for _ in range(300):
        noisy = bytearray(good)
        for at in generator.integers(0, len(noisy), 3):
            noisy[at] = generator.integers(0, 256)
        try:
            state = read(tmp_path, bytes(noisy))
        except WeightsError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(value, np.ndarray) for value in state.values())


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04r\xff\xff\xff\xffN.",  # a memo slot far away: Python's own machine takes 64 GiB for it
        b"\x80\x02N" + b"r\xff\xff\xff\xff" + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
        b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b"abc.",
        b"\x80\x02" + b"\x85" * 50 + b".",
        b"\x80\x02)" + b"\x85" * 200_000 + b".",  # a tuple in a tuple in a tuple ...
        b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",  # ... as a key
        b"\x80\x04]" + b"\x94" + b"h\x00a" * 3 + b".",  # a list that holds itself
        b"\x80\x02((((.",
        b"\x80\x09N.",
        b"\x80\x02N",
        b"\x80\x02.",
        b"\xff\xfe\xfd",
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_bombs_and_nonsense_are_refused_soon(tmp_path, program):
    refused(tmp_path, program)


def test_doubling_structures_are_stopped(tmp_path):
    """Thirty lists, each holding the one before twice, would be 2^30 values."""
    for times, deep, reason in ((2, 30, "deep"), (100, 10, "grow")):
        lists = [b"0](" + (b"h" + bytes([n])) * times + b"eq" + bytes([n + 1]) for n in range(deep)]
        assert reason in refused(tmp_path, b"\x80\x02]q\x00" + b"".join(lists) + b".")


def test_bytes_asked_for_again_and_again_are_stopped(tmp_path):
    text = "a" * 100_000
    again = b"c_codecs\nencode\nq\x01h\x00U\x06latin1\x86R" + b"h\x01h\x00U\x06latin1\x86R" * 200
    program = b"\x80\x02(X" + struct.pack("<I", len(text)) + text.encode() + b"q\x00" + again + b"t."
    assert "grow" in refused(tmp_path, program)


def test_shapes_that_do_not_fit_their_numbers(tmp_path):
    good = pickle.dumps({"w": np.arange(6, dtype="f4").reshape(2, 3)}, 2)
    assert good.count(b"K\x02K\x03\x86") == 1
    huge, negative = b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff"
    for shape in (b"K\x02K\x04\x86", b"K\x00K\x03\x86", negative + b"K\x03\x86", huge + huge + b"\x86"):
        refused(tmp_path, good.replace(b"K\x02K\x03\x86", shape))


def torch_file(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def torch_pickle(count: int, offset: int, size: tuple, stride: tuple, key="0", kind="FloatStorage") -> bytes:
    """data.pkl of {"w": a tensor}, written by hand."""

    def ints(values: tuple) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    storage = b"(" + b"U\x07storage" + f"ctorch\n{kind}\n".encode() + b"U" + bytes([len(key)]) + key.encode()
    storage += b"U\x03cpuJ" + struct.pack("<i", count) + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    tensor += ints(size) + ints(stride)
    return b"\x80\x02}U\x01w" + tensor + b"\x89ccollections\nOrderedDict\n)RtRs."


def test_a_pytorch_file_made_by_hand(tmp_path):
    numbers = np.arange(12, dtype="<f4").tobytes()
    good = torch_file({"data.pkl": torch_pickle(12, 2, (2, 3), (5, 1)), "data/0": numbers})
    np.testing.assert_array_equal(read(tmp_path, good, "net.pt")["w"], [[2, 3, 4], [7, 8, 9]])
    big = np.arange(12, dtype=">f4").tobytes()
    entries = {"data.pkl": torch_pickle(12, 0, (12,), (1,)), "data/0": big, "byteorder": b"big"}
    np.testing.assert_array_equal(read(tmp_path, torch_file(entries), "net.pt")["w"], np.arange(12))


@pytest.mark.parametrize(
    "program",
    [
        torch_pickle(12, 2, (2, 3), (50, 1)),  # beyond the storage
        torch_pickle(12, 7, (2, 3), (3, 1)),
        torch_pickle(12, -1, (2, 3), (3, 1)),
        torch_pickle(12, 0, (-2, 3), (3, 1)),
        torch_pickle(12, 0, (2, 3), (-3, 1)),
        torch_pickle(12, 0, (2_000_000_000,), (0,)),  # one number shown two thousand million times
        torch_pickle(12, 0, (2, 3), (3,)),
        torch_pickle(13, 0, (2, 3), (3, 1)),  # a longer storage than the entry holds
        torch_pickle(-1, 0, (2, 3), (3, 1)),
        torch_pickle(12, 0, (2, 3), (3, 1), key="1"),  # no such entry
        torch_pickle(12, 0, (2, 3), (3, 1), key="../0"),
        torch_pickle(12, 0, (2, 3), (3, 1), kind="ComplexDoubleStorage"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(tmp_path, program):
    numbers = np.arange(12, dtype="<f4").tobytes()
    refused(tmp_path, torch_file({"data.pkl": program, "data/0": numbers}), "net.pt")


def test_zip_bombs_are_refused(tmp_path):
    count = 16 << 20
    program = torch_pickle(count, 0, (count,), (1,))
    bomb = torch_file({"data.pkl": program, "data/0": bytes(4 * count)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert "would unpack to 67108864 bytes" in refused(tmp_path, bomb, "net.pt")


def test_other_archives_are_refused_with_what_to_do(tmp_path):
    assert "data.pkl" in refused(tmp_path, torch_file({"model.pdparams": b"x"}), "net.pt")
    message = refused(tmp_path, b"\0" * 257 + b"ustar" + b"\0" * 300, "net.pth")
    assert "tar archive" in message
    assert "web page" in refused(tmp_path, b"<!DOCTYPE html><html>404</html>")
    assert "unpack" in refused(tmp_path, b"BZh91AY", "net.dat.bz2")
    assert "empty" in refused(tmp_path, b"")
    assert "no weight file" in refused(tmp_path, pickle.dumps([1, 2], 4))
    assert "no arrays" in refused(tmp_path, pickle.dumps({"epoch": 1}, 4))

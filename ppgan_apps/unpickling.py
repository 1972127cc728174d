"""Reads the pickles that hold network weights (.pdparams, .pt) without being able to run anything that they name.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program asks for. The
machine below is our own: it knows the instructions that Paddle, PyTorch and NumPy write, and a global name is not
looked up in any module but in ``_MAKERS``, a table of functions of this file. A name that is not in the table ends in
a `WeightsError` that tells the name. The `pickle` module is never called.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import WeightsError

MAX_FILE_BYTES = 4 << 30
MAX_DATA_PKL_BYTES = 64 << 20  # the structure of a .pt file; its numbers lie in entries of their own
MAX_GROWTH = 8  # everything unpacked against the file's size: tied weights are stored once and handed out twice
# An instruction of one byte can make a dict of 64: their number is what bounds the memory that a program takes. A
# StyleGAN2 with its optimizers takes some ten thousand.
MAX_INSTRUCTIONS = 4_000_000
ENTRY_BYTES: dict[type, int] = {list: 8, tuple: 8, dict: 40}  # about what an entry takes, and an empty one
EMPTY_BYTES = 64
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # PyTorch stores; LZMA may ask for gigabytes of dictionary
PLAIN_DTYPES = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())
# What zipfile raises for damaged archives, apart from OSError: its decoders have errors of their own.
ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
)
TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first number of the format that PyTorch wrote before 1.6


def read_paddle_pickle(path: Path) -> Any:
    """What `paddle.save` put into `path`, as dicts, lists, numbers, strings and arrays.

    Args:
        path: a .pdparams file, pickle protocol 2 to 5.
    Raises:
        WeightsError: the file is no such pickle, is cut off, or names something else than arrays.
    """
    data = _read_bounded(path)
    machine = _Machine(data, str(path), len(data))
    return machine.run(lambda: machine.plain(machine.execute()))


def read_torch_zip(path: Path) -> Any:
    """What `torch.save` (PyTorch 1.6 or newer) put into `path`, as dicts, lists, numbers, strings and arrays.

    PyTorch is not needed: data.pkl says how tensors lie in the storages data/0, data/1, ...

    Raises:
        WeightsError: the archive is no such file, is damaged, would unpack to much more than it is, or names something
            else than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_torch_archive(archive, path)
    except ZIP_FAULTS as error:
        raise WeightsError(f"{path} is a damaged PyTorch file ({error}); download or save it again.") from error


def read_old_torch(path: Path) -> Any:
    """What `torch.save` of PyTorch 0.4 to 1.5 put into `path`: five pickles in a row, then the storages' numbers.

    Raises:
        WeightsError: as `read_torch_zip`.
    """
    data = _read_bounded(path)
    value, machine = _execute_old_torch(data, str(path))
    return machine.run(lambda: machine.plain(value))


def read_persistent_pickle(path: Path) -> Any:
    """What NVlabs's StyleGAN2-ADA for PyTorch pickled into `path`: each module as the dict of its attributes.

    Such a file carries the source code of its classes and wants it to be run. Here the code is skipped unread and only
    the attributes are kept: "_parameters", "_buffers" and "_modules" as PyTorch names them, and "class_name".

    Raises:
        WeightsError: as `read_paddle_pickle`.
    """
    data = _read_bounded(path)
    makers = {**_MAKERS, **_PERSISTENT_MAKERS}
    makers["torch.storage._load_from_bytes"] = lambda raw: _storage_from_bytes(raw, str(path))
    machine = _Machine(data, str(path), len(data), makers=makers)
    return machine.run(lambda: machine.plain(machine.execute()))


def _execute_old_torch(data: bytes, source: str) -> tuple[Any, _Machine]:
    """The object in a file of the old format, and a machine to copy it with."""
    storages = _LateStorages(len(data))
    at, values = 0, []
    for opener in (None, None, None, storages.open, None):  # magic, version, system, the object, the storages' names
        machine = _Machine(data, source, len(data), opener, at)
        values.append(machine.run(machine.execute))
        at = machine.at
    machine.run(lambda: storages.fill(values[4], data, at))
    return values[3], machine


def _read_bounded(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise WeightsError(f"{path} is larger than {MAX_FILE_BYTES >> 30} GiB, which no network of this suite needs.")
    return path.read_bytes()


def _read_torch_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(f"{path} is a zip archive without a PyTorch data.pkl; give a file written by torch.save.")
    prefix = pickles[0][: -len("data.pkl")]
    file_bytes = path.stat().st_size
    left = MAX_GROWTH * file_bytes + (1 << 20)  # PyTorch stores its entries uncompressed; this stops a zip bomb

    def read(name: str, limit: int) -> bytes:
        nonlocal left
        entry = entries.get(prefix + name)
        if entry is None:
            raise WeightsError(f"{path} lacks its entry {name!r}: the file is damaged, download or save it again.")
        left -= entry.file_size
        if entry.file_size > limit or left < 0:
            raise WeightsError(f"{path}: its entry {name!r} would unpack to {entry.file_size} bytes; refused.")
        if entry.compress_type not in ZIP_METHODS:
            raise WeightsError(f"{path}: its entry {name!r} is packed in a way that PyTorch does not use; refused.")
        with archive.open(entry) as stream:
            return stream.read(entry.file_size)

    order = read("byteorder", 16) if prefix + "byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise WeightsError(f"{path} has the unknown byte order {order!r}; save it again with torch.save.")
    storages = _Storages(lambda key: read(f"data/{key}", MAX_FILE_BYTES), "<" if order == b"little" else ">")
    machine = _Machine(read("data.pkl", MAX_DATA_PKL_BYTES), str(path), file_bytes, storages.open)
    return machine.run(lambda: machine.plain(machine.execute()))


# ---------------------------------------------------------------------------------------------------------------------
# What the program may build: plain values, and these
# ---------------------------------------------------------------------------------------------------------------------
class _Mark:
    """Marks on the stack where a tuple, list or dict begins."""


class _Global:
    """A name that the table knows; it stands for one of our own functions, never for the real object."""

    def __init__(self, name: str, make: Callable[..., Any] | None):
        self.name, self.make = name, make


@dataclass
class _Dtype:
    """An array's element type while it is read: BUILD tells the byte order after REDUCE told the code."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


@dataclass
class _PendingArray:
    """What numpy's _reconstruct leaves: BUILD replaces it by the array."""

    array: np.ndarray | None = None


@dataclass(frozen=True)
class _Storage:
    """The flat numbers that one or several tensors of a .pt file look at."""

    numbers: np.ndarray  # [numel]


class _Storages:
    """Opens a .pt archive's storages by the tuple that stands in data.pkl, each once."""

    def __init__(self, read: Callable[[str], bytes], order: str):
        self._read, self._order = read, order
        self._known: dict[str, tuple[str, _Storage]] = {}

    def open(self, identity: Any) -> _Storage:
        code, key, count = _storage_identity(identity)
        if key not in self._known:
            raw, width = self._read(key), _width(code)
            if len(raw) < count * width:
                raise _Broken(f"storage {key} holds {len(raw)} bytes where {count * width} are announced")
            self._known[key] = (code, _Storage(_numbers(raw[: len(raw) // width * width], code, self._order)))
        known_code, storage = self._known[key]
        if known_code != code:
            raise _Broken(f"storage {key} is read as {known_code} and as {code}")
        return storage


class _LateStorages:
    """The storages of the old format, whose numbers follow after the tensors that look at them."""

    def __init__(self, file_bytes: int):
        self._left = file_bytes
        self._known: dict[str, tuple[str, _Storage]] = {}

    def open(self, identity: Any) -> _Storage:
        code, key, count = _storage_identity(identity)
        if len(identity) > 5 and identity[5] is not None:
            raise _Broken("a storage that is a view of another one")
        if key not in self._known:
            self._left -= count * _width(code)
            if self._left < 0:
                raise _Broken(f"storage {key} is announced with more numbers than the file has")
            self._known[key] = (code, _Storage(np.zeros(count, "f4" if code == "bf16" else code)))
        return self._known[key][1]

    def fill(self, keys: Any, data: bytes, at: int) -> None:
        """Reads every storage: how many numbers as int64, then the numbers; they begin at byte `at`."""
        if not isinstance(keys, list) or set(keys) != set(self._known):
            raise _Broken("the list of storages is not that of the tensors")
        for key in keys:
            code, storage = self._known[key]
            count, width = int.from_bytes(data[at : at + 8], "little"), _width(code)
            at += 8
            if count != storage.numbers.size or at + count * width > len(data):
                raise _Broken(f"storage {key} does not hold the numbers that are announced")
            storage.numbers[:] = _numbers(data[at : at + count * width], code, "<")
            at += count * width


def _storage_identity(identity: Any) -> tuple[str, str, int]:
    """Type code, name and length of the storage that a persistent id speaks of."""
    if not (isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"):
        raise _Refused("a persistent id that is no tensor storage")
    kind, key, count = identity[1], identity[2], identity[4]
    if not (isinstance(kind, _Global) and kind.name in _STORAGE_CODES):
        raise _Refused("a storage of unknown kind")
    if not (isinstance(key, str) and key.isascii() and key.isdigit()):
        raise _Refused(f"the storage name {str(key)[:40]!r}")
    if type(count) is not int or count < 0:
        raise _Broken("a storage without a length")
    return _STORAGE_CODES[kind.name], key, count


def _width(code: str) -> int:
    return 2 if code == "bf16" else np.dtype(code).itemsize


def _numbers(raw: bytes, code: str, order: str) -> np.ndarray:
    """A storage's bytes as numbers; bfloat16 becomes float32, whose upper half it is."""
    if code != "bf16":
        return np.frombuffer(raw, np.dtype(order + code))
    halves = np.frombuffer(raw, np.dtype(f"{order}u2")).astype(np.uint32)
    return (halves << 16).view(np.float32)


class _Refused(Exception):
    """The program names or asks for something outside the table."""


class _Broken(Exception):
    """The program makes no sense: cut off, or no pickle at all."""


_NONSENSE = (_Broken, struct.error, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


# ---------------------------------------------------------------------------------------------------------------------
# The table of names
# ---------------------------------------------------------------------------------------------------------------------
def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}


def _key(key: Any) -> Any:
    # Hashing a tuple goes as deep as the tuple: only keys that are plain.
    if not isinstance(key, (str, int, float, type(None))):
        raise _Broken(f"a {type(key).__name__} as key")
    return key


def _tuple(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, (tuple, list)):
        raise _Refused("builtins.tuple of something else than a tuple")
    return tuple(items)


def _latin1_bytes(text: Any, encoding: Any = None) -> bytes:
    # Protocol 2 has no bytes: Python writes them as text whose characters are the bytes.
    if not (isinstance(text, str) and encoding == "latin1"):
        raise _Refused("_codecs.encode of something else than latin1 text")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _dtype(code: Any, align: Any = False, copy: Any = True) -> _Dtype:
    code = code.decode("ascii", "replace") if isinstance(code, bytes) else code
    order = code[0] if isinstance(code, str) and code[:1] in tuple("<>=|") and code[:1] else ""
    plain = code[len(order) :] if isinstance(code, str) else code
    if plain not in PLAIN_DTYPES:
        raise _Refused(f"numpy.dtype({str(code)[:40]!r})")
    return _Dtype(plain, order if order in ("<", ">") else "=")


def _pending_array(kind: Any, shape: Any = (0,), code: Any = b"b") -> _PendingArray:
    if not (isinstance(kind, _Global) and kind.name == "numpy.ndarray"):
        raise _Refused(f"an array of kind {getattr(kind, 'name', type(kind).__name__)}")
    return _PendingArray()


def _scalar(dtype: Any, raw: Any) -> np.ndarray:
    return _array(raw, dtype, (), "C")


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise _Refused(f"an array with elements of {type(dtype).__name__.strip('_')}")
    if not isinstance(raw, (bytes, memoryview)):
        raise _Refused(f"an array whose numbers are a {type(raw).__name__}")  # a list of objects, for instance
    shape = _shape(shape)
    numbers = np.frombuffer(raw, dtype.numpy()) if len(raw) else np.empty(0, dtype.numpy())
    if numbers.size != math.prod(shape):
        raise _Broken(f"an array of shape {shape} has {numbers.size} numbers")
    return numbers.reshape(shape, order="F" if order == "F" else "C")


def _shape(shape: Any) -> tuple[int, ...]:
    whole = isinstance(shape, tuple) and len(shape) <= 8
    if not whole or not all(type(extent) is int and 0 <= extent < 1 << 40 for extent in shape):
        raise _Broken(f"an array has the shape {str(shape)[:60]}")
    return tuple(shape)


def _torch_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, extra: Any = None
) -> np.ndarray:
    """The part of a storage that a tensor shows; `offset` and `stride` count elements."""
    if not isinstance(storage, _Storage):
        raise _Refused("a tensor without a storage")
    size, stride = _shape(size), _shape(stride)
    if len(size) != len(stride) or type(offset) is not int or offset < 0:
        raise _Broken(f"a tensor of size {size} has the stride {stride}")
    numbers = storage.numbers
    if math.prod(size) == 0:
        return np.empty(size, numbers.dtype)
    last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
    if last >= numbers.size or math.prod(size) > numbers.size:
        raise _Broken(f"a tensor of size {size} reaches beyond its storage of {numbers.size} numbers")
    width = numbers.dtype.itemsize
    return np.lib.stride_tricks.as_strided(numbers[offset:], size, [step * width for step in stride], writeable=False)


def _storage_from_bytes(raw: Any, source: str) -> _Storage:
    """A storage that was pickled outside torch.save: as the bytes of a file of the old format that holds it alone."""
    if not isinstance(raw, (bytes, memoryview)):
        raise _Refused(f"a storage made of a {type(raw).__name__}")
    value, _ = _execute_old_torch(bytes(raw), source)
    if not isinstance(value, _Storage):
        raise _Refused("torch.storage._load_from_bytes of something else than a storage")
    return value


def _persistent_object(meta: Any) -> dict[str, Any]:
    """The attributes of a module that was pickled together with its source code, without the code."""
    if not (isinstance(meta, dict) and isinstance(meta.get("state"), dict) and isinstance(meta.get("class_name"), str)):
        raise _Broken("a persistent object without its attributes")
    return {**meta["state"], "class_name": meta["class_name"]}


def _empty_dict() -> dict[Any, Any]:
    return {}  # SETITEMS fills it; attributes, which BUILD would set, are of no use to us


def _list(items: Any = ()) -> list[Any]:
    if not isinstance(items, (tuple, list)):
        raise _Refused("a set of something else than a list")
    return list(items)


def _torch_parameter(data: Any, requires_grad: Any = True, hooks: Any = None) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise _Refused("a parameter without a tensor")
    return data


_STORAGE_CODES = {
    "torch.FloatStorage": "f4",
    "torch.DoubleStorage": "f8",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bf16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
}
_MAKERS: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.tuple": _tuple,
    "__builtin__.tuple": _tuple,
    "builtins.bytes": _empty_bytes,
    "__builtin__.bytes": _empty_bytes,
    "_codecs.encode": _latin1_bytes,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _pending_array,
    "numpy._core.multiarray._reconstruct": _pending_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
    "numpy._core.numeric._frombuffer": _array,
    "torch._utils._rebuild_tensor_v2": _torch_tensor,
    "torch._utils._rebuild_parameter": _torch_parameter,
    "torch.Size": _tuple,
    "argparse.Namespace": _empty_dict,  # the options of a training, beside its networks
    **dict.fromkeys(_STORAGE_CODES),
}
# What only NVlabs's pickles of whole modules name.
_PERSISTENT_MAKERS: dict[str, Callable[..., Any] | None] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "dnnlib.util.EasyDict": _empty_dict,
    "builtins.set": _list,
    "__builtin__.set": _list,
}


# ---------------------------------------------------------------------------------------------------------------------
# The machine
# ---------------------------------------------------------------------------------------------------------------------
class _Machine:
    """Runs one pickle program. Opcode letters and operands: the standard library's pickletools."""

    def __init__(
        self,
        program: bytes,
        source: str,
        file_bytes: int,
        storage: Callable[[Any], Any] | None = None,
        at: int = 0,
        makers: dict[str, Callable[..., Any] | None] = _MAKERS,
    ):
        self.program, self.view, self.at = program, memoryview(program), at
        self.source, self.open_storage, self.makers = source, storage, makers
        self.budget = MAX_GROWTH * file_bytes + (1 << 20)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; all that can be wrong with the program becomes a WeightsError."""
        try:
            return work()
        except _Refused as refused:
            raise WeightsError(
                f"{self.source} asks for {refused}, which no weight file needs and which could run code: refused, "
                "nothing was executed; use another source, or convert the file to .safetensors where you trust it."
            ) from None
        except _NONSENSE as error:
            raise WeightsError(
                f"{self.source} is not a readable weight file ({str(error)[:160] or type(error).__name__}, near byte "
                f"{self.at}): it is cut off, damaged or of another format; download or save it again."
            ) from error

    def execute(self) -> Any:
        """The value that the program leaves on the stack."""
        for _ in range(MAX_INSTRUCTIONS):
            opcode = self._take(1)[0]
            if opcode == 0x2E:  # STOP
                if len(self.stack) != 1:
                    raise _Broken(f"{len(self.stack)} values are left at the end")
                return self.stack[0]
            handler = _OPCODES.get(opcode)
            if handler is None:
                raise _Broken(f"unknown instruction 0x{opcode:02x}")
            handler(self)
        raise _Broken(f"it has more than {MAX_INSTRUCTIONS} instructions")

    # -- operands
    def _take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.program):
            raise _Broken("the file ends too early")
        self.at += count
        return self.view[self.at - count : self.at]

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _line(self) -> str:
        end = self.program.find(b"\n", self.at, self.at + 4096)
        if end < 0:
            raise _Broken("a line does not end")
        line = str(self._take(end - self.at), "utf-8", "replace")
        self.at += 1
        return line

    def _spend(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise _Broken(f"it would grow to more than {MAX_GROWTH} times its size")

    # -- stack
    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _Mark:
            raise _Broken("a value is missing")
        return value

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _Mark:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise _Broken("a mark is missing")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise _Broken(f"a {kind.__name__} is missing")
        return self.stack[-1]

    # -- instructions with a meaning of their own
    def _global(self, module: Any, name: Any) -> None:
        full = f"{module}.{name}"
        if not (isinstance(module, str) and isinstance(name, str)) or full not in self.makers:
            raise _Refused(f"the global {full[:120]!r}")
        self.stack.append(_Global(full, self.makers[full]))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Global) or function.make is None:
            raise _Refused(f"a call of {getattr(function, 'name', type(function).__name__)}")
        if not isinstance(arguments, tuple):
            raise _Broken("a call without its arguments")
        # A short program could ask again and again for what makes copies; it is made to pay before each.
        self._spend(sum(map(_copied_bytes, arguments)))
        value = function.make(*arguments)
        self.stack.append(value)

    def _build(self) -> None:
        state, target = self._pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
            order = order.decode("ascii", "replace") if isinstance(order, bytes) else order
            if order not in ("<", ">", "=", "|"):
                raise _Broken(f"unknown byte order {str(order)[:20]!r}")
            target.order = "=" if order == "|" else order
        elif isinstance(target, _PendingArray):
            if not (isinstance(state, tuple) and len(state) == 5):
                raise _Broken("an array without its shape")
            _, shape, dtype, fortran, raw = state
            target.array = _array(raw, dtype, shape, "F" if fortran else "C")
        elif not isinstance(target, dict):  # a state dict's _metadata attribute is of no use to us
            raise _Refused(f"attributes for a {getattr(target, 'name', type(target).__name__)}")

    def _persistent(self, identity: Any) -> None:
        if self.open_storage is None:
            raise _Refused("a persistent id")
        self.stack.append(self.open_storage(identity))

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise _Broken("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    # -- result
    def plain(self, value: Any, depth: int = 0) -> Any:
        """Copies the result without what only the machine knows; the copy is what bounds time and memory."""
        self._spend(1)
        if depth > 16:
            raise _Broken("its contents are nested too deeply")
        if type(value) in ENTRY_BYTES:
            self._spend(EMPTY_BYTES + ENTRY_BYTES[type(value)] * len(value))
        if isinstance(value, _PendingArray):
            value = value.array
        if isinstance(value, np.ndarray):
            self._spend(2 * EMPTY_BYTES + value.nbytes)
            # In C order, aligned, in the machine's byte order, and apart from the file's bytes.
            return np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        if isinstance(value, dict):
            return {key: self.plain(entry, depth + 1) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.plain(entry, depth + 1) for entry in value)
        if isinstance(value, _Storage):
            return self.plain(value.numbers, depth)
        if isinstance(value, memoryview):
            self._spend(EMPTY_BYTES + len(value))
            return bytes(value)
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        raise _Broken(f"it holds a bare {getattr(value, 'name', type(value).__name__.strip('_'))}")


def _copied_bytes(argument: Any) -> int:
    """About how many bytes a function of the table takes that copies its argument."""
    if isinstance(argument, dict):  # of a module, whose attributes lie one dict deeper
        return sum(EMPTY_BYTES + len(value) * EMPTY_BYTES for value in (argument, *argument.values())
                   if isinstance(value, dict))
    if isinstance(argument, (list, tuple)):
        return EMPTY_BYTES + len(argument) * EMPTY_BYTES
    return len(argument) if isinstance(argument, (str, bytes, memoryview)) else 0


def _skip_frame(machine: _Machine) -> None:
    machine._take(8)  # only a hint for readers of streams


def _drop(machine: _Machine) -> None:
    machine.stack.pop()


def _drop_to_mark(machine: _Machine) -> None:
    machine._pop_to_mark()


def _duplicate(machine: _Machine) -> None:
    value = machine._pop()
    machine.stack += [value, value]


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    """An instruction that only puts a value on the stack."""
    return lambda machine: machine.stack.append(value(machine))


def _text(width: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: str(machine._take(machine._unsigned(width)), "utf-8", "surrogatepass"))


def _raw(width: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine._take(machine._unsigned(width)))


def _old_string(width: int) -> Callable[[_Machine], None]:
    # Python 2's str: text when it is ASCII (a key), bytes otherwise (an array's numbers).
    def value(machine: _Machine) -> Any:
        data = machine._take(machine._unsigned(width))
        return str(data, "ascii") if len(data) < 4096 and bytes(data).isascii() else data

    return _push(value)


def _last(count: int) -> Callable[[_Machine], None]:
    def pack(machine: _Machine) -> None:
        items = [machine._pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return pack


def _get(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.memo[key(machine)])


def _put(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def put(machine: _Machine) -> None:
        if machine.stack[-1] is _Mark:
            raise _Broken("a mark is remembered")
        machine.memo[key(machine)] = machine.stack[-1]

    return put


def _refuse(what: str) -> Callable[[_Machine], None]:
    def refuse(machine: _Machine) -> None:
        raise _Refused(what)

    return refuse


def _protocol(machine: _Machine) -> None:
    version = machine._unsigned(1)
    if version > 5:
        raise _Broken(f"pickle protocol {version} is unknown")


def _instance(machine: _Machine) -> None:
    module, name = machine._line(), machine._line()
    raise _Refused(f"an instance of {f'{module}.{name}'[:120]!r}")


def _stack_global(machine: _Machine) -> None:
    name, module = machine._pop(), machine._pop()
    machine._global(module, name)


def _append(machine: _Machine) -> None:
    item = machine._pop()
    machine._top(list).append(item)


def _appends(machine: _Machine) -> None:
    items = machine._pop_to_mark()
    machine._top(list).extend(items)


def _set_item(machine: _Machine) -> None:
    value, key = machine._pop(), machine._pop()
    machine._set_items([key, value])


def _set_items(machine: _Machine) -> None:
    machine._set_items(machine._pop_to_mark())


def _dict_from_mark(machine: _Machine) -> None:
    items = machine._pop_to_mark()
    machine.stack.append({})
    machine._set_items(items)


def _decimal(machine: _Machine) -> Any:
    line = machine._line()
    return {"00": False, "01": True}.get(line, int(line[:20]))


def _quoted(machine: _Machine) -> str:
    line = machine._line()
    if len(line) < 2 or line[0] not in "'\"" or line[-1] != line[0] or "\\" in line:
        raise _Broken("a string is not quoted plainly")
    return line[1:-1]


_OPCODES: dict[int, Callable[[_Machine], None]] = {
    0x80: _protocol,  # PROTO
    0x95: _skip_frame,
    ord("("): _push(lambda machine: _Mark),
    ord("0"): _drop,
    ord("1"): _drop_to_mark,
    ord("2"): _duplicate,
    ord("N"): _push(lambda machine: None),
    0x88: _push(lambda machine: True),
    0x89: _push(lambda machine: False),
    ord("I"): _push(_decimal),
    ord("L"): _push(lambda machine: int(machine._line().rstrip("L")[:20])),
    ord("F"): _push(lambda machine: float(machine._line())),
    ord("S"): _push(_quoted),
    ord("V"): _push(lambda machine: machine._line()),
    ord("J"): _push(lambda machine: int.from_bytes(machine._take(4), "little", signed=True)),
    ord("K"): _push(lambda machine: machine._unsigned(1)),
    ord("M"): _push(lambda machine: machine._unsigned(2)),
    0x8A: _push(lambda machine: int.from_bytes(machine._take(machine._unsigned(1)), "little", signed=True)),  # LONG1
    ord("G"): _push(lambda machine: struct.unpack(">d", machine._take(8))[0]),
    ord("X"): _text(4),
    0x8C: _text(1),
    0x8D: _text(8),
    ord("B"): _raw(4),
    ord("C"): _raw(1),
    0x8E: _raw(8),
    0x96: _raw(8),  # BYTEARRAY8
    ord("T"): _old_string(4),
    ord("U"): _old_string(1),
    ord("]"): _push(lambda machine: []),
    0x8F: _push(lambda machine: []),  # EMPTY_SET: a set's order and uniqueness are of no use to us
    0x90: _appends,  # ADDITEMS, to a set
    ord("}"): _push(lambda machine: {}),
    ord(")"): _push(lambda machine: ()),
    ord("t"): _push(lambda machine: tuple(machine._pop_to_mark())),
    ord("l"): _push(lambda machine: machine._pop_to_mark()),
    ord("d"): _dict_from_mark,
    0x85: _last(1),
    0x86: _last(2),
    0x87: _last(3),
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("q"): _put(lambda machine: machine._unsigned(1)),
    ord("r"): _put(lambda machine: machine._unsigned(4)),
    ord("p"): _put(lambda machine: int(machine._line()[:20])),
    0x94: _put(lambda machine: len(machine.memo)),  # MEMOIZE
    ord("h"): _get(lambda machine: machine._unsigned(1)),
    ord("j"): _get(lambda machine: machine._unsigned(4)),
    ord("g"): _get(lambda machine: int(machine._line()[:20])),
    ord("c"): lambda machine: machine._global(machine._line(), machine._line()),
    0x93: _stack_global,
    ord("R"): lambda machine: machine._reduce(),
    0x81: lambda machine: machine._reduce(),  # NEWOBJ: cls.__new__(cls, *args) of a class in the table
    ord("b"): lambda machine: machine._build(),
    ord("Q"): lambda machine: machine._persistent(machine._pop()),
    ord("P"): _refuse("a persistent id in text form"),
    ord("i"): _instance,
    ord("o"): _refuse("an instance built by the OBJ instruction"),
    0x92: _refuse("an instance built by the NEWOBJ_EX instruction"),
    0x82: _refuse("an extension code (EXT1)"),
    0x83: _refuse("an extension code (EXT2)"),
    0x84: _refuse("an extension code (EXT4)"),
    0x97: _refuse("a buffer outside the file (NEXT_BUFFER)"),
}


def looks_like_old_torch(head: bytes) -> bool:
    """Whether a file that begins with `head` is of the format that PyTorch wrote before 1.6."""
    return TORCH_MAGIC.to_bytes(10, "little") in head[:32]

"""Reads TensorFlow's checkpoints (x.ckpt.index with x.ckpt.data-00000-of-00001) without TensorFlow.

The index is a LevelDB table: under the empty key a BundleHeaderProto, under each tensor's name a BundleEntryProto that
tells its kind, its shape and where in which data file its numbers lie. Format: TensorFlow's tensor_bundle.proto,
tensor_shape.proto and types.proto.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import WeightsError
from ..protobuf import Message, fields
from .sstable import masked_crc32c, read_table

MAX_INDEX_BYTES = 16 << 20  # a network of a thousand tensors has one of 50 KB
MAX_SHARDS = 1000
STRING = 7  # DataType of text, such as TensorFlow 2's description of its objects: no weights
BFLOAT16 = 14
DTYPES = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "b1", 17: "u2", 19: "f2", 22: "u4",
          23: "u8", BFLOAT16: "u2"}
SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def checkpoint_prefix(path: Path) -> Path | None:
    """What the names of a checkpoint's files begin with, for any of them, their common beginning or their folder.

    In a folder it is the checkpoint that TensorFlow's own file `checkpoint` names, else the only one. None: `path` is
    no checkpoint.
    """
    if path.is_dir():
        return _in_folder(path)
    prefix = path.with_name(SUFFIX.sub("", path.name))
    return prefix if _index(prefix).is_file() and (prefix != path or not path.is_file()) else None


def _in_folder(folder: Path) -> Path | None:
    names = folder / "checkpoint"
    if names.is_file():
        named = re.search(r'^model_checkpoint_path: "([^"\n]+)"', names.read_text("utf-8", "replace"), re.MULTILINE)
        # The path is often that of the author's machine.
        if named and _index(folder / Path(named[1]).name).is_file():
            return folder / Path(named[1]).name
    found = sorted(folder.glob("*.index"))
    return found[0].with_suffix("") if len(found) == 1 else None


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """Every tensor of numbers by name, its numbers checked against their checksums.

    Args:
        prefix: as `checkpoint_prefix` gives it.
    Raises:
        WeightsError: a file is missing, damaged, or of a kind that TensorFlow does not write for networks.
    """
    index = _index(prefix)
    try:
        if index.stat().st_size > MAX_INDEX_BYTES:
            raise ValueError(f"it is larger than {MAX_INDEX_BYTES >> 20} MiB")
        table = read_table(index.read_bytes())
        header = _Header.parse(table.pop(b""))
        entries = {str(name, "utf-8"): _Entry.parse(value) for name, value in table.items()}
        entries = {name: entry for name, entry in entries.items() if entry.dtype != STRING}
    except OSError as error:
        raise WeightsError(f"{index} cannot be read ({error.strerror or error}): check the path.") from error
    except (ValueError, KeyError) as error:  # UnicodeDecodeError of a name too
        reason = "it has no header" if isinstance(error, KeyError) else error
        raise WeightsError(f"{index} is no readable TensorFlow checkpoint ({reason}): download it again.") from error
    return _Shards(prefix, header).read(entries)


@dataclass(frozen=True)
class _Header:
    shards: int
    order: str  # "<" or ">"

    @classmethod
    def parse(cls, message: bytes) -> _Header:
        found = dict(fields(message))
        shards, big = found.get(1, 0), found.get(2, 0)
        if not isinstance(shards, int) or not 0 < shards <= MAX_SHARDS:
            raise ValueError(f"it speaks of {str(shards)[:20]} data files")
        return cls(shards, ">" if big else "<")


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int  # bytes
    crc: int  # masked CRC-32C of the bytes
    sliced: bool  # cut into pieces that have entries of their own

    @classmethod
    def parse(cls, message: bytes) -> _Entry:
        found: dict[int, int | Message] = {1: 0, 2: b"", 3: 0, 4: 0, 5: 0, 6: 0}
        found.update(fields(message))
        dtype, shard, offset, size, crc = _numbers([found[number] for number in (1, 3, 4, 5, 6)], 1 << 62)
        return cls(dtype, _shape(found[2]), shard, offset, size, crc, sliced=7 in found)


def _numbers(values: list[int | Message], limit: int) -> list[int]:
    """`values` when they are numbers below `limit`, else ValueError."""
    numbers = [value for value in values if isinstance(value, int) and 0 <= value < limit]
    if len(numbers) != len(values):
        raise ValueError("an entry makes no sense")
    return numbers


def _shape(message: int | Message) -> tuple[int, ...]:
    """A TensorShapeProto: field 2, again and again, is a dimension whose field 1 is its size."""
    if isinstance(message, int):
        raise ValueError("a shape makes no sense")
    sizes = [dict(fields(value)).get(1, 0) for number, value in fields(message) if number == 2]
    if len(sizes) > 8:
        raise ValueError("a shape makes no sense")
    return tuple(_numbers(sizes, 1 << 40))


class _Shards:
    """The data files of a checkpoint."""

    def __init__(self, prefix: Path, header: _Header):
        self._prefix, self._header = prefix, header

    def read(self, entries: dict[str, _Entry]) -> dict[str, np.ndarray]:
        """Each tensor by name."""
        arrays = {}
        for shard in sorted({entry.shard for entry in entries.values()}):
            path = self._path(shard)
            inside = {name: entry for name, entry in entries.items() if entry.shard == shard}
            try:
                if sum(entry.size for entry in inside.values()) > path.stat().st_size:
                    raise WeightsError(f"{path} is shorter than its tensors together, or they lie over each other: the "
                                       "checkpoint is damaged, download it again.")
                with path.open("rb") as file:
                    arrays.update({name: self._tensor(name, entry, file) for name, entry in inside.items()})
            except OSError as error:
                raise WeightsError(f"{path} cannot be read ({error.strerror or error}): a checkpoint needs all its "
                                   "files side by side.") from error
        return {name: arrays[name] for name in entries}

    def _path(self, shard: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.data-{shard:05d}-of-{self._header.shards:05d}")

    def _tensor(self, name: str, entry: _Entry, file: BinaryIO) -> np.ndarray:
        if entry.sliced or entry.dtype not in DTYPES:
            what = "is cut into slices" if entry.sliced else f"is of TensorFlow's kind {entry.dtype}"
            raise WeightsError(f"{self._prefix}: its tensor {name[:80]} {what}, which no network of this suite needs.")
        dtype = np.dtype(self._header.order + DTYPES[entry.dtype])
        if entry.size != math.prod(entry.shape) * dtype.itemsize:
            raise WeightsError(f"{self._prefix}: its tensor {name[:80]} of shape {list(entry.shape)} has {entry.size} "
                               "bytes: the checkpoint is damaged, download it again.")
        whole = file.seek(0, os.SEEK_END)
        file.seek(entry.offset)
        raw = file.read(entry.size) if entry.offset + entry.size <= whole else b""
        if len(raw) != entry.size or masked_crc32c(raw) != entry.crc:
            raise WeightsError(f"{self._path(entry.shard)}: the numbers of {name[:80]} are not those that were saved "
                               "(another length or checksum): the checkpoint is damaged, download it again.")
        array = np.frombuffer(raw, dtype).reshape(entry.shape)
        if entry.dtype == BFLOAT16:  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(dtype.newbyteorder("="))

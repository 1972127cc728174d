"""What tools/fuzz.py feeds: the readers of files from strangers, each with the inputs that it begins with.

A reader takes the path of a file with the input, and does what the suite does with such a file. The inner ones, which
are given their bytes, are the parts where the suite itself takes a format apart; no file stands between them and their
input, so that they can be tried many times more often.
"""
from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ppgan_apps.errors import SuiteError, WeightsError

CORPUS = Path(__file__).resolve().parents[1] / "tests" / "data" / "fuzz"


@dataclass(frozen=True)
class Reader:
    """`work` takes a Path, or bytes where `inner`. `seeds`: folders of the corpus; `share`: its part of 1000 inputs,
    the more the faster it is."""
    work: Callable
    what: str
    share: int
    seeds: tuple[str, ...]
    inner: bool = False

    def inputs(self) -> list[bytes]:
        """The small files that changes begin with."""
        return [path.read_bytes() for folder in self.seeds for path in sorted((CORPUS / folder).iterdir())]


# ---------------------------------------------------------------------------------------------------------------------
# Whole files
# ---------------------------------------------------------------------------------------------------------------------
def read_pdparams(path: Path) -> None:
    from ppgan_apps.weights import read_weights
    read_weights(path, "netG")


def read_pt(path: Path) -> None:
    """The input is data.pkl of an otherwise good .pt, or the whole zip where it begins as one."""
    from ppgan_apps.foreign import importing
    data = path.read_bytes()
    if data[:2] != b"PK":
        path.write_bytes(packed({"archive/data.pkl": data, "archive/data/0": bytes(range(256)) * 2, "archive/data/1":
                                 bytes(64), "archive/version": b"3\n"}))
    importing.read_network(path)


def read_pkl(path: Path) -> None:
    from ppgan_apps.foreign import importing
    importing.read_network(path)


def read_safetensors(path: Path) -> None:
    """The input is the header of an otherwise good file, or the whole file where it begins as one."""
    from ppgan_apps.weights import read_metadata, read_weights
    data = path.read_bytes()
    if data[:1] == b"{":
        path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(256))
    metadata_faults = []
    for read in (read_metadata, read_weights):
        try:
            read(path)
        except SuiteError as error:
            metadata_faults.append(error)
    if metadata_faults:
        raise metadata_faults[0]


def read_onnx(path: Path) -> None:
    """What is read of an ONNX file before, and after, ONNX Runtime reads it; the first line of the input is metadata.
    """
    from ppgan_apps import engines
    data = path.read_bytes()
    text, _, model = data.partition(b"\n")
    path.write_bytes(model)
    try:
        engines.check_external_data(path)
    finally:
        engines.parsed({name: str(text, "utf-8", "replace") for name in ("network", "input", "note")}, path)


def run_onnx(path: Path) -> None:
    """The whole file by ONNX Runtime."""
    from ppgan_apps.predictors.onnx_network import PictureNetwork
    PictureNetwork(path)


def read_tensorflow(path: Path) -> None:
    """The input is an index and a data file; what begins with a zero byte is first made a table with right checksums,
    which random changes never find."""
    from ppgan_apps.foreign import tensorbundle
    data = path.read_bytes()
    index, numbers = _split(data)
    if data[:1] == b"\0":
        index = _table(index)
    prefix = path.with_name("x.ckpt")
    path.with_name("x.ckpt.index").write_bytes(index)
    path.with_name("x.ckpt.data-00000-of-00001").write_bytes(numbers)
    tensorbundle.read_checkpoint(prefix)


def read_yaml(path: Path) -> None:
    from ppgan_apps import config
    config.load_run(path)


def read_picture(path: Path) -> None:
    from ppgan_apps import images
    images.read_image(path)


def read_clip(path: Path) -> None:
    from ppgan_apps import codec
    clip = codec.open_clip(path)
    for number, _ in enumerate(clip.read(0)):
        if number == 20:
            break


def read_zip(path: Path) -> None:
    """A data set in a .zip: every file in it."""
    from ppgan_apps import archives
    path = path.rename(path.with_suffix(".zip"))
    try:
        for entry in archives.zip_root(path).files():
            try:
                entry.read_bytes()
            except SuiteError:
                continue
    finally:
        path.rename(path.with_suffix(""))


# ---------------------------------------------------------------------------------------------------------------------
# Inner ones
# ---------------------------------------------------------------------------------------------------------------------
def run_pickle(data: bytes) -> None:
    """The machine for pickles with every name and storage that any of the formats may use."""
    from ppgan_apps import unpickling
    makers = {**unpickling._MAKERS, **unpickling._PERSISTENT_MAKERS,
              "torch.storage._load_from_bytes": lambda raw: unpickling._storage_from_bytes(raw, "the input")}
    storages = unpickling._Storages(lambda key: bytes(64), "<")
    machine = unpickling._Machine(data, "the input", len(data), storages.open, makers=makers)
    machine.run(lambda: machine.plain(machine.execute()))


def walk_protobuf(data: bytes) -> None:
    """The messages of an ONNX file, as they are walked in search of weights that lie elsewhere."""
    from ppgan_apps import engines
    try:
        for _ in engines._external_files(memoryview(data)):
            pass
    except ValueError as error:                                # what its caller expects, as of the two below
        raise WeightsError(str(error)) from error


def read_block(data: bytes) -> None:
    """A block of a TensorFlow checkpoint's index, and the messages in it."""
    from ppgan_apps.foreign import sstable, tensorbundle
    try:
        for key, value in sstable._entries(data, sstable.MAX_TABLE_BYTES):
            (tensorbundle._Entry if key else tensorbundle._Header).parse(value)
    except ValueError as error:
        raise WeightsError(str(error)) from error


def read_snappy(data: bytes) -> None:
    from ppgan_apps.foreign import sstable
    try:
        sstable.unpack_snappy(data)
    except ValueError as error:
        raise WeightsError(str(error)) from error


READERS: dict[str, Reader] = {
    "pdparams": Reader(read_pdparams, "`.pdparams`", 25, ("pdparams",)),
    "pt": Reader(read_pt, "`.pt`", 10, ("pt",)),
    "pkl": Reader(read_pkl, "`.pkl` of NVlabs and PyTorch", 25, ("pkl",)),
    "safetensors": Reader(read_safetensors, "`.safetensors`", 30, ("safetensors",)),
    "onnx": Reader(read_onnx, "`.onnx`, before it is run", 20, ("onnx",)),
    "onnxruntime": Reader(run_onnx, "`.onnx`, run by ONNX Runtime", 6, ("onnxruntime",)),
    "tensorflow": Reader(read_tensorflow, "TensorFlow checkpoint", 8, ("tensorflow",)),
    "yaml": Reader(read_yaml, "YAML", 6, ("yaml",)),
    "picture": Reader(read_picture, "pictures", 12, ("picture",)),
    "clip": Reader(read_clip, "clips", 6, ("clip",)),
    "zip": Reader(read_zip, "`.zip` data sets", 12, ("zip",)),
    "pickle": Reader(run_pickle, "inner: the machine for pickles", 140, ("pdparams", "pkl", "pt"), inner=True),
    "protobuf": Reader(walk_protobuf, "inner: messages of an ONNX file", 150, ("onnxruntime",), inner=True),
    "block": Reader(read_block, "inner: blocks of a checkpoint's index", 230, ("block",), inner=True),
    "snappy": Reader(read_snappy, "inner: Snappy blocks", 320, ("snappy",), inner=True),
}


# ---------------------------------------------------------------------------------------------------------------------
# What inputs are made of
# ---------------------------------------------------------------------------------------------------------------------
def packed(entries: dict[str, bytes]) -> bytes:
    """A .zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Index and data: the two bytes after the first tell where the first ends."""
    at = 3 + int.from_bytes(data[1:3], "little")
    return data[3:at], data[at:]


def _table(block: bytes) -> bytes:
    """A LevelDB table of one block, of which the last byte tells how it is packed."""
    from ppgan_apps.foreign.sstable import MAGIC, masked_crc32c

    def finished(content: bytes, packing: int) -> bytes:
        whole = content + bytes([packing])
        return whole + masked_crc32c(whole).to_bytes(4, "little")

    def number(value: int) -> bytes:
        head = b""
        while value > 127:
            head, value = head + bytes([value & 127 | 128]), value >> 7
        return head + bytes([value])
    content, packing = block[:-1], block[-1] & 1 if block else 0
    data = finished(content, packing)
    handle = number(0) + number(len(content))
    inside = number(0) + number(1) + number(len(handle)) + b"z" + handle
    index = inside + struct.pack("<II", 0, 1)
    footer = (b"\0\0" + number(len(data)) + number(len(index))).ljust(40, b"\0") + MAGIC.to_bytes(8, "little")
    return data + finished(index, 0) + footer

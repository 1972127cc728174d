"""Writes tests/data/fuzz, what tools/fuzz.py begins with: PYTHONPATH=.:tests python -m tests.tools.make_fuzz_corpus"""
from __future__ import annotations

import argparse
import io
import json
import pickle
import struct
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

from tests import clips, onnx_files
from tests.foreign import persistence
from tests.test_unpickling import torch_pickle
from tools.fuzz_readers import CORPUS, packed

DATA = Path(__file__).parents[1] / "data"
ARRAYS = {"conv.weight": np.arange(6, dtype="f4").reshape(2, 3), "bn._mean": np.float64(2), "steps": np.arange(2)}


def pdparams() -> dict[str, bytes]:
    nested = {"netG": {"w": ("conv2d_0.w_0", ARRAYS["conv.weight"])}, "epoch": 3, "sliced": {
        "a@@.0": np.arange(4.0), "UnpackBigParamInfor@@": {"a": {"OriginShape": (2, 2), "slices": ["a@@.0"]}}}}
    states = {"flat": OrderedDict(ARRAYS), "nested": nested, "plain": {"a": [1, 2.5, None, True, (b"x", "y")]}}
    return {f"{name}_{protocol}": pickle.dumps(state, protocol) for name, state in states.items()
            for protocol in (0, 2, 4, 5)}


def pt() -> dict[str, bytes]:
    cases = {"contiguous": torch_pickle(12, 0, (3, 4), (4, 1)), "turned": torch_pickle(12, 2, (2, 3), (1, 2))}
    return {**cases, "whole.pt": packed({"archive/data.pkl": cases["contiguous"], "archive/data/0": bytes(48)})}


def pkl() -> dict[str, bytes]:
    empty = {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict()}
    module = persistence.Persistent("Generator", {**empty, "c_dim": 0, "names": {"a"}}, "source = 1")
    return {**{f"module_{protocol}": persistence.dumps({"G_ema": module}, protocol) for protocol in (2, 4)},
            "old_torch": b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}, {"a": 1}, []))}


def safetensors() -> dict[str, bytes]:
    from safetensors.numpy import save
    about = {"network": json.dumps({"ngf": 4}), "input": json.dumps({"size": 32}), "licence": '"MIT"'}
    whole = save({name: np.asarray(array) for name, array in ARRAYS.items()}, about)
    length, = struct.unpack("<Q", whole[:8])
    return {"whole": whole, "header": whole[8:8 + length]}


def onnx() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        inside = onnx_files.write(Path(folder) / "a.onnx").read_bytes()
        outside = onnx_files.write(Path(folder) / "b.onnx", save_as_external_data=True, location="w.bin",
                                   size_threshold=0).read_bytes()
    return {"inside": b'{"size": 32}\n' + inside, "outside": b"[[[]]]\n" + outside}


def tensorflow() -> dict[str, bytes]:
    cases = {}
    for name in ("plain", "snappy"):
        index, data = ((DATA / "foreign" / f"{name}.ckpt.{ending}").read_bytes()
                       for ending in ("index", "data-00000-of-00001"))
        cases[name] = b"\x01" + struct.pack("<H", len(index)) + index + data
    header, entry = b"\x08\x01\x1a\x02\x08\x01", b"\x08\x01\x12\x04\x12\x02\x08\x02\x28\x08\x35\0\0\0\0"
    block = b"".join(struct.pack("BBB", 0, len(key), len(value)) + key + value
                     for key, value in ((b"", header), (b"a/w", entry))) + struct.pack("<II", 0, 1) + b"\0"
    cases["one_block"] = b"\0" + struct.pack("<H", len(block)) + block + bytes(8)
    return cases


def block() -> dict[str, bytes]:
    """Of an index: keys and values, then where keys are written in full."""
    from ppgan_apps.foreign import sstable
    index = (DATA / "foreign" / "plain.ckpt.index").read_bytes()
    footer = index[-sstable.FOOTER_BYTES:]
    _, at = sstable._handle(footer, 0)
    (offset, size), _ = sstable._handle(footer, at)
    handle, _ = sstable._handle(sstable._entries(index[offset:offset + size], 1 << 20)[0][1], 0)
    shared = bytes([0, 3, 2]) + b"a/w" + b"\x08\x01" + bytes([2, 1, 0]) + b"b" + struct.pack("<II", 0, 1)
    return {"whole": sstable._block(index, handle), "shared": shared}


def snappy() -> dict[str, bytes]:
    return {"runs": bytes([128]) + b"\xf0\x63" + bytes(range(100)) + b"\x11\x64" + b"\x4e\x01\0",
            "far": b"\x0a\x00a\x22\x01\0" + b"\x03\x01\0\0\0"}


def yaml() -> dict[str, bytes]:
    configs = Path(__file__).parents[2] / "configs"
    texts = {name: (configs / f"{name}.yaml").read_bytes() for name in ("gan_mnist", "pix2pix_anime2real")}
    return {**texts, "aliases": b"family: gan\nsteps: &a 3\nbatch_size: *a\ndata: &d {path: x}\nrecipe:\n  <<: *d\n",
            "odd": b"%YAML 1.1\n---\n? [a]\n: !!float 1e3\nfamily: 2001-01-01\nsteps: 0x1F\nname: |\n  text\n"}


def picture() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, (72, 1)
    kinds = {"png": dict(exif=exif), "jpg": dict(exif=exif, quality=60), "webp": dict(exif=exif), "bmp": {},
             "tif": dict(compression="tiff_lzw"), "gif": {}}
    formats = {"jpg": "JPEG", "tif": "TIFF"}
    cases = {}
    for suffix, options in kinds.items():
        buffer = io.BytesIO()
        rgb.save(buffer, formats.get(suffix, suffix.upper()), **options)
        cases[f"rgb.{suffix}"] = buffer.getvalue()
    for name, mode in (("alpha", "RGBA"), ("palette", "P"), ("deep", "I;16")):
        picture = Image.fromarray(rng.integers(0, 65536, (5, 5), np.uint16)) if mode == "I;16" else rgb.convert(mode)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        cases[f"{name}.png"] = buffer.getvalue()
    return cases


def clip() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {name: clips.write(Path(folder) / name, frames=3, size=(32, 32), sound=False, codec=codec).read_bytes()
                for name, codec in (("a.mp4", "libx264"), ("b.avi", "mpeg4"), ("c.mkv", "mpeg4"))}


def zip_() -> dict[str, bytes]:
    return {"folder.zip": packed({"data/a.png": b"picture", "data/b/c.txt": b"text" * 9})}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for make in (pdparams, pt, pkl, safetensors, onnx, tensorflow, block, snappy, yaml, picture, clip, zip_):
        for name, data in make().items():
            folder = CORPUS / make.__name__.rstrip("_")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    (CORPUS / "onnxruntime").mkdir(exist_ok=True)
    for path in (CORPUS / "onnx").iterdir():
        (CORPUS / "onnxruntime" / path.name).write_bytes(path.read_bytes().partition(b"\n")[2])


if __name__ == "__main__":
    main()

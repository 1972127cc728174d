"""Writes tests/data/foreign: small files by PyTorch, TensorFlow and Snappy themselves, and what their networks compute.

    python -m tests.foreign.make_fixtures          needs torch, tensorflow and cramjam (for Snappy)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from ppgan_apps.foreign import sstable
from tests.foreign import persistence, shapes, tensorflow_references, torch_references

FOLDER = Path(__file__).parents[1] / "data" / "foreign"
WIDTHS = {4: 4, 8: 4}
STRIDE = 5  # of the stored pictures, which keeps the file small


def tensors(state: dict) -> dict:
    return {name: torch.from_numpy(np.array(array)) for name, array in state.items()}


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)


def latents() -> np.ndarray:
    return np.random.default_rng(6).standard_normal((2, 6)).astype(np.float32)


def animegan2() -> dict:
    """The large states are not stored: shapes.random_state makes them anew."""
    state = tensors(shapes.random_state(shapes.animegan2_pytorch()))
    x = torch.from_numpy(noise(64))
    result = {"animegan2 aligned": torch_references.animegan2(state, x).numpy(),
              "animegan2 half_pixel": torch_references.animegan2(state, x, aligned=False).numpy()}
    anime = tensorflow_references.animeganv2(shapes.random_state(shapes.animeganv2_tensorflow()),
                                             noise(64).transpose(0, 2, 3, 1))
    result["animeganv2 tensorflow"] = anime.transpose(0, 3, 1, 2)
    return {name: picture[:, :, ::STRIDE, ::STRIDE] for name, picture in result.items()}


def rosinality() -> dict:
    generator = tensors(shapes.stylegan2_state(shapes.rosinality_generator(WIDTHS, 6, 2), 1))
    critic = tensors(shapes.stylegan2_state(shapes.rosinality_discriminator(WIDTHS), 2))
    contents = {"g_ema": generator, "d": critic, "latent_avg": torch.arange(6.0),
                "args": argparse.Namespace(size=8, path="data")}
    for name, zipped in (("rosinality_zip.pt", True), ("rosinality_legacy.pt", False)):
        torch.save(contents, FOLDER / name, _use_new_zipfile_serialization=zipped)
    z, x = torch.from_numpy(latents()), torch.from_numpy(noise(8))
    names = torch_references.rosinality_names(8)
    return {"rosinality": torch_references.rosinality_generator(generator, z).numpy(),
            "rosinality d": torch_references.discriminator(critic, x, names).numpy()}


def nvlabs() -> dict:
    generator = tensors(shapes.nvlabs_state(shapes.nvlabs_generator(WIDTHS, 6, 2), 3))
    critic = tensors(shapes.nvlabs_state(shapes.nvlabs_discriminator(WIDTHS), 4))
    (FOLDER / "nvlabs.pkl").write_bytes(persistence.snapshot(generator, critic, 3, 0.01))
    z, x = torch.from_numpy(latents()), torch.from_numpy(noise(8))
    return {"nvlabs": torch_references.nvlabs_generator(generator, z).numpy(),
            "nvlabs d": torch_references.discriminator(critic, x, torch_references.nvlabs_names(8)).numpy()}


def cyclegan() -> dict:
    torch.manual_seed(3)
    networks = {"resnet": torch_references.cyclegan_resnet(2, 1), "unet": torch_references.pix2pix_unet(1, 5),
                "patchgan": torch_references.patchgan(3, 2, 2, "batch")}
    results = {}
    for name, network in networks.items():
        torch.save(network.state_dict(), FOLDER / f"cyclegan_{name}.pth")
        results[f"cyclegan {name}"] = network.train()(torch.from_numpy(noise(32))).detach().numpy()
    return results


def checkpoints() -> None:
    """Two tensors by TensorFlow, and the same with an index that Snappy has packed, as older versions wrote it."""
    state = {"generator/a": np.arange(12, dtype=np.float32).reshape(3, 4) / 8, "generator/b": np.arange(5)}
    state |= {f"generator/layer_{number}/weights": np.float32([number]) for number in range(8)}
    prefix = tensorflow_references.save(FOLDER / "plain.ckpt", state)
    (FOLDER / "checkpoint").unlink(missing_ok=True)
    index = prefix.with_name("plain.ckpt.index").read_bytes()
    (FOLDER / "snappy.ckpt.index").write_bytes(packed(index))
    data = "data-00000-of-00001"
    (FOLDER / f"snappy.ckpt.{data}").write_bytes(prefix.with_name(f"plain.ckpt.{data}").read_bytes())


def packed(table: bytes) -> bytes:
    """A table of one data block, with that block packed and the index block adapted."""
    import cramjam

    def varint(number: int) -> bytes:
        return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])

    def written(block: bytes, kind: int) -> bytes:
        return block + bytes([kind]) + sstable.masked_crc32c(block + bytes([kind])).to_bytes(4, "little")

    entries = b"".join(_entry(key, value) for key, value in sstable.read_table(table).items())
    block = bytes(cramjam.snappy.compress_raw(entries + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")))
    out = written(block, sstable.SNAPPY)
    meta, empty = len(out), (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    out += written(empty, sstable.PLAIN)
    index = _entry(b"\xff", varint(0) + varint(len(block))) + empty
    at = len(out)
    out += written(index, sstable.PLAIN)
    footer = varint(meta) + varint(len(empty)) + varint(at) + varint(len(index))
    return out + footer.ljust(sstable.FOOTER_BYTES - 8, b"\0") + sstable.MAGIC.to_bytes(8, "little")


def _entry(key: bytes, value: bytes) -> bytes:
    return bytes([0, len(key), len(value)]) + key + value


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    checkpoints()
    results = {**animegan2(), **rosinality(), **nvlabs(), **cyclegan()}
    np.savez_compressed(FOLDER / "outputs.npz", **{name: np.float32(array) for name, array in results.items()})


if __name__ == "__main__":
    main()

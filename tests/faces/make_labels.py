"""Writes labels.npz, mediapipe's answers that the face tests compare with, from the folders tools/label_faces.py wrote.

python tests/faces/make_labels.py labels
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tools")]

from train_faces import is_held_out  # noqa: E402

from ppgan_apps.faces.align import crop_matrix, warp  # noqa: E402


def main(labels: Path, output: Path) -> None:
    """labels.npz: photo_<stem> landmarks [68, 2]; portrait_<name> landmarks; mask_<name> packed bits of the 256 px
    crop's mask.
    """
    arrays = {}
    for file in sorted((labels / "photos").glob("*.npz")):
        label = np.load(file)
        if label["found"]:
            arrays[f"photo_{file.stem}"] = label["landmarks"].astype(np.float32)
    for file in sorted((labels / "portraits").glob("*.npz")):
        if is_held_out(file.stem):
            label = np.load(file)
            mask = warp(label["mask"].astype(np.float32), crop_matrix(label["landmarks"], 256), 256, border=0)
            arrays[f"portrait_{file.stem}"] = label["landmarks"].astype(np.float32)
            arrays[f"mask_{file.stem}"] = np.packbits(mask > 0.5)
    np.savez_compressed(output, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "labels.npz")

"""Writes labels.npz, mediapipe's answers that the face tests compare with, from the folders tools/label_faces.py wrote.

python tools/label_faces.py data/portraits -o labels/portraits
python tools/label_faces.py data/photos -o labels/photos --views
python tests/faces/make_labels.py labels
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tools")]

from train_faces import is_held_out  # noqa: E402

from ppgan_apps.faces.align import crop_matrix, eye_line_angle, warp  # noqa: E402


def main(labels: Path, output: Path) -> None:
    """labels.npz: photo_<stem> and portrait_<name> landmarks [68, 2]; photomask_<stem> and mask_<name> packed bits of
    the 256 px crop's mask; views_<stem> by how many degrees the eye line of mediapipe's other views differs [views].
    """
    arrays = {}
    for file in sorted((labels / "photos").glob("*.npz")):
        label = np.load(file)
        if label["found"]:
            arrays[f"photo_{file.stem}"] = label["landmarks"].astype(np.float32)
            arrays[f"photomask_{file.stem}"] = packed_mask(label)
            lines = [eye_line_angle(points) - eye_line_angle(label["landmarks"]) for points in label["views"]]
            arrays[f"views_{file.stem}"] = (np.array(lines, np.float32) + 180) % 360 - 180
    for file in sorted((labels / "portraits").glob("*.npz")):
        if is_held_out(file.stem):
            label = np.load(file)
            arrays[f"portrait_{file.stem}"] = label["landmarks"].astype(np.float32)
            arrays[f"mask_{file.stem}"] = packed_mask(label)
    np.savez_compressed(output, **arrays)


def packed_mask(label) -> np.ndarray:
    """The bits of the mask in Photo2Cartoon's 256 px crop."""
    mask = warp(label["mask"].astype(np.float32), crop_matrix(label["landmarks"], 256), 256, border=0)
    return np.packbits(mask > 0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "labels.npz")

"""Makes the guide's pictures of the embedded avatars, StyleGAN2 and DCGAN: python tools/stylegan2_pictures.py

Each is what a command of the toolbox writes, as the guide shows it. Nothing is chosen by its result but the numbers of
DCGAN's z: those that change one picture most.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                    # runs from a clone without being installed

from ppgan_apps import cli  # noqa: E402

IMAGES = ROOT / "docs" / "images"
# The name of the picture, the file that the command writes, and the command.
PICTURES = (
    ("stylegan2_mix", "mix_fine.png",
     "mix --model-type avatars --rows 1-3 --columns 10-14 --layers fine --cell 96"),
    ("stylegan2_sweep", "sweep.png", "sweep --model-type avatars --seed 233 --coordinates 0-2 --cell 64"),
    ("stylegan2_edit", "edit.png", "edit --model-type avatars --seed 233 --direction 0-3 --cell 96"),
    ("stylegan2_project", "avatar_comparison.png",
     f"project {IMAGES / 'avatar.png'} --model-type avatars --cell 192"),
    ("dcgan_sweep", "sweep.png",
     "sweep --model-type dcgan-avatars --seed 6 --coordinates 68,0,7,54,39,29 --cell 64"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=IMAGES)
    parser.add_argument("--only", nargs="+", choices=[name for name, _, _ in PICTURES])
    arguments = parser.parse_args()
    for name, file, command in PICTURES:
        if arguments.only and name not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            code = cli.main(["styleganv2", *command.split(), "-o", folder])
            if code:
                return code
            arguments.output.mkdir(parents=True, exist_ok=True)
            print(shutil.copy(Path(folder) / file, arguments.output / f"{name}.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

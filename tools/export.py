"""Exports a network to an ONNX file or a Paddle program: python tools/export.py animeganv2/pastel -o pastel.onnx"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))   # runs from a clone without being installed

from ppgan_apps.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))

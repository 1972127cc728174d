"""Trains a GAN family from a YAML file: python tools/main.py --config-file configs/ugatit_photo2cartoon.yaml"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))   # runs from a clone without being installed

from ppgan_apps.trainer import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

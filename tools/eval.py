"""Measures a checkpoint, or two folders of pictures: python tools/eval.py --checkpoint output/my_run"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))   # runs from a clone without being installed

from ppgan_apps.evaluation import main

if __name__ == "__main__":
    sys.exit(main(prog="python tools/eval.py"))

"""A drawn face to a photo-like picture: python applications/anime2real.py --input_image face.png"""
import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ppgan_apps") is None:             # not installed: run from the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps.cli import guarded  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_image", "--image", required=True, help="path of the drawing")
    parser.add_argument("--output_path", default="output", help="folder for a2r_anime.png and a2r_real.png")
    parser.add_argument("--weight_path", help="a weight file, a checkpoint or a run folder")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even where there is a GPU")
    arguments = parser.parse_args()
    from ppgan_apps import Anime2RealPredictor
    Anime2RealPredictor(arguments.output_path, arguments.weight_path,
                        device="cpu" if arguments.cpu else "auto").run(arguments.input_image)


if __name__ == "__main__":
    sys.exit(guarded(main))

"""A photo to an anime of the same size: python applications/animeganv2.py --input_image photo.jpg"""
import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ppgan_apps") is None:             # not installed: run from the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps.cli import guarded  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_image", "--image", required=True, help="path of the photo")
    parser.add_argument("--output_path", default="output_dir", help="folder for anime.png")
    parser.add_argument("--weight_path", help="a weight file, a checkpoint or a run folder")
    # PaddleGAN's flag switches the adjustment off, whatever its name says.
    parser.add_argument("--use_adjust_brightness", action="store_false", help="leave the brightness as it comes out")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even where there is a GPU")
    arguments = parser.parse_args()
    from ppgan_apps import AnimeGANv2Predictor
    AnimeGANv2Predictor(arguments.output_path, arguments.weight_path, arguments.use_adjust_brightness,
                        device="cpu" if arguments.cpu else "auto").run(arguments.input_image)


if __name__ == "__main__":
    sys.exit(guarded(main))

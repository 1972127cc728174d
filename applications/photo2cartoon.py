"""A portrait photo to a cartoon: python applications/photo2cartoon.py --input_image photo.jpg"""
import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ppgan_apps") is None:             # not installed: run from the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps.cli import add_person_options, guarded  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_image", "--image", required=True, help="path of the photo")
    parser.add_argument("--output_path", default="output", help="folder for p2c_photo.png and p2c_cartoon.png")
    parser.add_argument("--weight_path", help="a weight file, a checkpoint or a run folder")
    parser.add_argument("--faces", choices=("largest", "all"), default="largest", help="which faces to draw")
    parser.add_argument("--paste_back", action="store_true", help="also write the photo with the cartoon in it")
    add_person_options(parser)
    parser.add_argument("--cpu", action="store_true", help="use the CPU even where there is a GPU")
    arguments = parser.parse_args()
    from ppgan_apps import Photo2CartoonPredictor
    Photo2CartoonPredictor(arguments.output_path, arguments.weight_path, faces=arguments.faces,
                           paste_back=arguments.paste_back, age=arguments.age, sex=arguments.sex,
                           device="cpu" if arguments.cpu else "auto").run(arguments.input_image)


if __name__ == "__main__":
    sys.exit(guarded(main))

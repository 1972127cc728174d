"""Pictures from a seed, and mixtures of their styles: python applications/styleganv2.py --seed 233"""
import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ppgan_apps") is None:             # not installed: run from the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps.cli import add_stylegan2_network_options, guarded, positive, stylegan2_predictor  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output_path", dest="output", default="output_dir", help="folder for the three sheets")
    parser.add_argument("--weight_path", help="a weight file, a checkpoint or a run folder")
    add_stylegan2_network_options(parser)
    parser.add_argument("--n_row", type=positive, default=3, help="rows of a sheet")
    parser.add_argument("--n_col", type=positive, default=5, help="columns of a sheet")
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu", default="auto",
                        help="use the CPU even where there is a GPU")
    arguments = parser.parse_args()
    stylegan2_predictor(arguments).run(arguments.n_row, arguments.n_col)


if __name__ == "__main__":
    sys.exit(guarded(main))

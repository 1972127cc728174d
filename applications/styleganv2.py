"""Pictures from a seed, and mixtures of their styles: python applications/styleganv2.py --seed 233

The commands sample, mix, walk, sweep, project and edit are those of `ppgan-apps styleganv2`, with its options:
python applications/styleganv2.py sample --help
"""
import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ppgan_apps") is None:             # not installed: run from the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps import cli_stylegan2  # noqa: E402
from ppgan_apps.cli import (  # noqa: E402
    add_stylegan2_network_options,
    guarded,
    natural,
    positive,
    stylegan2_predictor,
)


def main() -> int:
    if sys.argv[1:] and sys.argv[1] in cli_stylegan2.COMMANDS:
        return cli_stylegan2.main(sys.argv[1:], prog="styleganv2.py")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", dest="output", default="output_dir", help="folder for the three sheets")
    parser.add_argument("--weight_path", help="a weight file, a checkpoint or a run folder")
    add_stylegan2_network_options(parser)
    parser.add_argument("--seed", type=natural, help="the same seed gives the same pictures")
    parser.add_argument("--n_row", type=positive, default=3, help="rows of a sheet")
    parser.add_argument("--n_col", type=positive, default=5, help="columns of a sheet")
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu", default="auto",
                        help="use the CPU even where there is a GPU")
    arguments = parser.parse_args()
    stylegan2_predictor(arguments).run(arguments.n_row, arguments.n_col)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))

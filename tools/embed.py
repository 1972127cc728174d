"""Puts a trained network into the package: half precision, its licence and origin stated in the file.

python tools/embed.py output/embedded_photo2cartoon photo2cartoon-embedded --licence Apache-2.0 --data "CC0 portraits"
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))   # runs from a clone without being installed

from ppgan_apps.errors import SuiteError
from ppgan_apps.weights import read_metadata, read_weights, resolve, save_weights

PRETRAINED = Path(__file__).resolve().parent.parent / "ppgan_apps" / "pretrained"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder, a checkpoint folder or a weight file")
    parser.add_argument("name", help="of the file in ppgan_apps/pretrained, without suffix")
    parser.add_argument("--licence", required=True, help="of the weights")
    parser.add_argument("--data", required=True, help="what they were trained on, with its licence and credit")
    arguments = parser.parse_args(argv)
    try:
        source = resolve(arguments.run)
        metadata = {**read_metadata(source), "licence": arguments.licence, "data": arguments.data}
        target = PRETRAINED / f"{arguments.name}.safetensors"
        save_weights(target, read_weights(source), metadata, half=True)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB; now paste the sums of: python -m ppgan_apps.zoo")
    return 0


if __name__ == "__main__":
    sys.exit(main())

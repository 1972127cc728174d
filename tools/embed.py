"""Puts a trained network into the package: half precision, its licence and origin stated in the file.

python tools/embed.py output/embedded_photo2cartoon photo2cartoon-embedded --licence Apache-2.0 --data "CC0 portraits"
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))   # runs from a clone without being installed

import numpy as np

from ppgan_apps.errors import ConfigError, SuiteError
from ppgan_apps.weights import read_metadata, read_weights, resolve, save_weights

PRETRAINED = Path(__file__).resolve().parent.parent / "ppgan_apps" / "pretrained"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder, a checkpoint folder or a weight file")
    parser.add_argument("name", help="of the file in ppgan_apps/pretrained, without suffix")
    parser.add_argument("--licence", required=True, help="of the weights")
    parser.add_argument("--data", required=True, help="what they were trained on, with its licence and credit")
    parser.add_argument("--blend", nargs=2, metavar=("RUN", "SHARE"), help="another run that this one was started from "
                        "or the like, and how much of its weights, 0 to 1: a share of a run without a discriminator "
                        "takes the grain out of one with it (ESRGAN, arXiv 1809.00219, section 3.4)")
    arguments = parser.parse_args(argv)
    try:
        source = resolve(arguments.run)
        state = read_weights(source)
        if arguments.blend:
            state = blended(state, read_weights(resolve(arguments.blend[0])), share_of(arguments.blend[1]))
        metadata = {**read_metadata(source), "licence": arguments.licence, "data": arguments.data}
        target = PRETRAINED / f"{arguments.name}.safetensors"
        save_weights(target, state, metadata, half=True)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB; now paste the sums of: python -m ppgan_apps.zoo")
    return 0


def share_of(text: str) -> float:
    """A number from 0 to 1. Raises ConfigError."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"The share is {text}: use a number from 0 to 1.")
    return share


def blended(state: dict[str, np.ndarray], other: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """`share` of `other` and the rest of `state`, weight by weight. Raises ConfigError for another network's."""
    if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in other.items()}:
        raise ConfigError("The two runs have other weights or shapes: blend runs of one network.")
    return {name: ((1 - share) * value.astype(np.float32) + share * other[name].astype(np.float32)).astype(np.float32)
            for name, value in state.items()}


if __name__ == "__main__":
    sys.exit(main())

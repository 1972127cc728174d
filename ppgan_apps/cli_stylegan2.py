"""The StyleGAN2 toolbox as a command: `ppgan-apps styleganv2 sample|mix|walk|sweep|project|edit`."""
from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cli
from .errors import ConfigError, OutputError

if TYPE_CHECKING:                                              # --help should not wait for numpy
    import numpy as np

LAYERS = "coarse (4-8 px), middle (16-32), fine (64 and more), all, layer numbers such as 0-3,7, or several of these"
SMALLEST_FRAME = 256                                           # smaller ones are enlarged, so that players show them
CLIP_PICTURES = 150                                            # of a projection's search, at most
LARGEST_CLIP_CELL = 512
CLIP_FPS = 30
LAYERS_IN_NAMES = str.maketrans(", ", "__")

COMMANDS = {
    "sample": ("a picture for each seed, and a grid of them", """\
examples:
  ppgan-apps styleganv2 sample --seeds 1,5,20-39         writes seed1.png, seed5.png ... and grid.png
  ppgan-apps styleganv2 sample --seeds 0-15 --truncation 0.5 --cutoff 4
                                                         only layers 0 to 3 are pulled to the mean
  ppgan-apps styleganv2 sample --seeds 233 --paddlegan-order --count 15
                                                         the first 15 pictures of one seed, in PaddleGAN's order"""),
    "mix": ("the styles of some seeds on the pictures of others", """\
examples:
  ppgan-apps styleganv2 mix --rows 1-4 --columns 10-14   writes mix_coarse.png
  ppgan-apps styleganv2 mix --rows 1-4 --columns 10-14 --layers middle,fine
  ppgan-apps styleganv2 mix --rows 1 --columns 2-9 --layers 0-3,7"""),
    "walk": ("a clip that goes from seed to seed", """\
examples:
  ppgan-apps styleganv2 walk --seeds 3,8,12              writes walk.mp4, which repeats without a jump
  ppgan-apps styleganv2 walk --seeds 3,8,12 --format gif --frames 60 --fps 15
  ppgan-apps styleganv2 walk --seeds 0-9 --frames 600 --interpolation spherical --no-loop"""),
    "sweep": ("one number of a latent through its range, of StyleGAN2 or DCGAN", """\
examples:
  ppgan-apps styleganv2 sweep --seed 7 --coordinates 0-4 a strip of 20 for each of five numbers of z: sweep.png
  ppgan-apps styleganv2 sweep --seed 7 --coordinates 12 --space w --range -4..4
  ppgan-apps styleganv2 sweep --model-type dcgan-avatars --coordinates 0-9       the DCGAN in the package
  ppgan-apps styleganv2 sweep --weight-path output/dcgan_avatars --coordinates 0-9"""),
    "project": ("the latent whose picture is closest to a given one", """\
examples:
  ppgan-apps styleganv2 project photo.jpg                writes photo_projected.png, photo_comparison.png and
                                                         photo_code.safetensors, which `edit --code` takes
  ppgan-apps styleganv2 project photo.jpg --space w --steps 1000 --video
  ppgan-apps styleganv2 project photo.jpg --vgg vgg19.pdparams"""),
    "edit": ("pictures moved along directions that the weights themselves name (SeFa)", """\
examples:
  ppgan-apps styleganv2 edit --seed 7 --direction 0-4    a strip for each direction: edit.png
  ppgan-apps styleganv2 edit --seed 7 --direction 0 --strength -5..5 --count 11 --layers coarse
  ppgan-apps styleganv2 edit --code output/photo_code.safetensors --direction 0-3"""),
}


def main(argv: Sequence[str], prog: str = "ppgan-apps styleganv2") -> int:
    """Runs one command of the toolbox. Raises SuiteError; argparse itself leaves with 2 on a wrong command line."""
    arguments = _parser(prog).parse_args(_joined(argv))
    cli.check_folder(Path(arguments.output))
    arguments.command(arguments)
    return 0


def _joined(argv: Sequence[str]) -> list[str]:
    """--strength -3..3 as --strength=-3..3: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] in ("--strength", "--range"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="The StyleGAN2 toolbox: COMMAND --help shows examples.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    parts = {"sample": (_sample_options, _sample), "mix": (_mix_options, _mix), "walk": (_walk_options, _walk),
             "sweep": (_sweep_options, _sweep), "project": (_project_options, _project), "edit": (_edit_options, _edit)}
    for name, (add_options, command) in parts.items():
        sub = cli.subparser(commands, name, *COMMANDS[name], command)
        add_options(sub)
        cli.add_common_options(sub)
        cli.add_stylegan2_network_options(sub)
    return parser


def _truncation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--truncation", type=float, default=0.7,
                        help="1 leaves the variety, 0 gives the mean picture (default: 0.7)")
    parser.add_argument("--cutoff", type=cli.positive, metavar="LAYER",
                        help="truncate only the layers below this number (default: all)")


def _cell_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cell", type=cli.positive, metavar="PIXELS",
                        help="side of a picture in the sheet (default: its own within 128 to 256)")


# ---- sample

def _sample_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", required=True, help="numbers and ranges: 1,5,20-39")
    parser.add_argument("--columns", type=cli.positive, default=8, help="pictures in a row of the grid (default: 8)")
    parser.add_argument("--paddlegan-order", action="store_true",
                        help="pictures number 1 to --count of one seed, in PaddleGAN's order")
    parser.add_argument("--count", type=cli.positive, default=15, help="with --paddlegan-order (default: 15)")
    _truncation_options(parser)
    _cell_option(parser)


def _sample(arguments: argparse.Namespace) -> None:
    from . import images, latents, sheets
    seeds = list(dict.fromkeys(latents.seeds(arguments.seeds)))
    if arguments.paddlegan_order and (len(seeds) != 1 or arguments.cutoff):
        raise ConfigError("--paddlegan-order draws the pictures of one seed and truncates all layers: give one number "
                          "with --seeds, and no --cutoff.")
    names = [f"seed{seed}" for seed in seeds]
    if arguments.paddlegan_order:
        digits = len(str(arguments.count))
        names = [f"seed{seeds[0]}_{number:0{digits}d}" for number in range(1, arguments.count + 1)]
    paths = _free(arguments, *(f"{name}.png" for name in names), "grid.png")
    predictor, pictures = _predictor(arguments), []
    for number, path in enumerate(_bar(paths[:-1], "picture")):
        pictures += (predictor.sample(1, seeds[0], arguments.truncation, first=number) if arguments.paddlegan_order
                     else predictor.draw_seeds([seeds[number]], arguments.truncation, arguments.cutoff))
        images.write_image(path, pictures[-1])
    side = sheets.cell_size(pictures[0], arguments.cell)
    small = [images.resize(picture, (side, side)) for picture in pictures]
    images.write_image(paths[-1], images.grid(small, arguments.columns, sheets.PADDING))
    _tell(paths)


# ---- mix

def _mix_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", required=True, metavar="SEEDS", help="seeds whose pictures are changed: 1-4")
    parser.add_argument("--columns", required=True, metavar="SEEDS", help="seeds whose styles they take: 10-14")
    parser.add_argument("--layers", default="coarse", help=f"where: {LAYERS} (default: coarse)")
    _truncation_options(parser)
    _cell_option(parser)


def _mix(arguments: argparse.Namespace) -> None:
    from . import images, latents, sheets
    rows, columns = latents.seeds(arguments.rows), latents.seeds(arguments.columns)
    path, = _free(arguments, f"mix_{arguments.layers.translate(LAYERS_IN_NAMES)}.png")
    matrix = _predictor(arguments).mix(rows, columns, arguments.layers, arguments.truncation, arguments.cutoff)
    names = ["", *(f"seed {seed}" for seed in rows)], [arguments.layers, *(f"seed {seed}" for seed in columns)]
    images.write_image(path, sheets.labelled(matrix, *names, arguments.cell))
    _tell([path])


# ---- walk

def _walk_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", required=True, help="the pictures on the way, two or more: 3,8,12")
    parser.add_argument("--frames", type=cli.positive, default=120, help="in the whole clip (default: 120)")
    parser.add_argument("--fps", type=cli.positive, default=CLIP_FPS, help=f"frames a second (default: {CLIP_FPS})")
    parser.add_argument("--interpolation", choices=("linear", "spherical"), default="linear",
                        help="straight in w, or along arcs in z (default: linear)")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="end at the last seed, not at the first")
    parser.add_argument("--format", choices=("mp4", "gif"), default="mp4", help="default: mp4 (the extra `video`)")
    parser.add_argument("--scale", type=cli.positive, metavar="TIMES",
                        help=f"enlarge frames (default: until they have {SMALLEST_FRAME} pixels)")
    _truncation_options(parser)


def _walk(arguments: argparse.Namespace) -> None:
    from . import clips, latents
    seeds = latents.seeds(arguments.seeds)
    path, = _free(arguments, f"walk.{arguments.format}")
    clips.check_clip(path)
    predictor = _predictor(arguments)
    frames = predictor.walk(seeds, arguments.frames, arguments.interpolation == "spherical", arguments.loop,
                            arguments.truncation, arguments.cutoff)
    scale = arguments.scale or max(1, -(-SMALLEST_FRAME // predictor.size))
    enlarged = (_enlarged(frame, scale) for frame in _bar(frames, "frame", arguments.frames))
    _tell([clips.write_clip(path, enlarged, arguments.fps)])


def _enlarged(frame: np.ndarray, scale: int) -> np.ndarray:
    from . import images
    return images.resize(frame, (frame.shape[1] * scale, frame.shape[0] * scale))


# ---- sweep

def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=cli.natural, default=0, help="the picture that is changed (default: 0)")
    parser.add_argument("--coordinates", default="0", metavar="NUMBERS",
                        help="which numbers of the latent, each a strip: 0-4 (default: 0)")
    parser.add_argument("--range", metavar="LOW..HIGH",
                        help="from where to where (default: -3..3, or 0..1 for a DCGAN whose z is uniform)")
    parser.add_argument("--count", type=cli.positive, default=20, help="pictures in a strip (default: 20)")
    parser.add_argument("--space", choices=("z", "w"), default="z",
                        help="for StyleGAN2: of z, or of w in deviations from its mean (default: z)")
    parser.add_argument("--latent", choices=("normal", "uniform"),
                        help="for DCGAN: the distribution of z (default: as the run's config.yaml says, else normal)")
    _truncation_options(parser)
    _cell_option(parser)


def _sweep(arguments: argparse.Namespace) -> None:
    from . import images, latents, sheets
    from .predictors import dcgan, stylegan2
    coordinates = latents.numbers(arguments.coordinates, latents.SEEDS, "The list of coordinates")
    path, = _free(arguments, "sweep.png")
    span = _span("--range", arguments.range) if arguments.range else None
    embedded = arguments.model_type == dcgan.EMBEDDED and not arguments.weight_path
    if embedded or _family(arguments.weight_path) in dcgan.FAMILIES:
        if arguments.space != "z":
            raise ConfigError(f"{arguments.weight_path or dcgan.EMBEDDED} has no w: sweep its z.")
        predictor: Any = dcgan.DCGANPredictor(arguments.weight_path, arguments.output, arguments.latent,
                                              arguments.device, arguments.engine)
        values = _evenly(span or dcgan.RANGES[predictor.latent], arguments.count)
        options: tuple[Any, ...] = ()
    else:
        predictor = _predictor(arguments)
        values = _evenly(span or stylegan2.SWEPT, arguments.count)
        options = (arguments.space, arguments.truncation, arguments.cutoff)
    strips = [predictor.sweep(arguments.seed, number, values, *options) for number in _bar(coordinates, "strip")]
    names = [f"{arguments.space}{number}" for number in coordinates], [f"{value:.3g}" for value in values]
    images.write_image(path, sheets.labelled(strips, *names, arguments.cell))
    _tell([path])


def _family(weight_path: str | None) -> str:
    from . import weights
    return str(weights.read_metadata(weights.resolve(weight_path)).get("family", "")) if weight_path else ""


# ---- project

def _project_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="PICTURE", help="its middle square is projected")
    parser.add_argument("--space", choices=("w", "w+"), default="w+",
                        help="one latent for all layers, easier to edit, or one for each, closer (default: w+)")
    parser.add_argument("--steps", type=cli.positive, default=500, help="of gradient descent (default: 500)")
    parser.add_argument("--samples", type=cli.positive, default=1000,
                        help="pictures of which the nearest is the start (default: 1000)")
    parser.add_argument("--seed", type=cli.natural, default=0, help="of the samples (default: 0)")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="Adam's, at its highest (default: 0.1)")
    parser.add_argument("--vgg", metavar="PATH", help="weights of VGG-19, whose features then join the distance")
    parser.add_argument("--optimise-noise", action="store_true", help="find the noise maps too")
    parser.add_argument("--video", nargs="?", choices=("mp4", "gif"), const="mp4", help="also a clip of the search")
    _cell_option(parser)


def _project(arguments: argparse.Namespace) -> None:
    from . import clips, images, sheets
    from .predictors.stylegan2 import Code
    stem = Path(arguments.input).stem
    names = [f"{stem}_projected.png", f"{stem}_comparison.png", f"{stem}_code.safetensors"]
    paths = _free(arguments, *names, *([f"{stem}_search.{arguments.video}"] if arguments.video else []))
    if arguments.video:
        clips.check_clip(paths[3])
    if not 0 < arguments.learning_rate < 10:
        raise ConfigError(f"The learning rate is {arguments.learning_rate}: use a number such as 0.1.")
    picture = images.read_image(arguments.input)
    predictor = _predictor(arguments)
    target, every = predictor.target(picture), max(1, arguments.steps // CLIP_PICTURES)
    first, views = [], []                                      # the start at its own size, and the clip's pictures
    side = min(sheets.cell_size(target, arguments.cell or SMALLEST_FRAME), LARGEST_CLIP_CELL)
    with _counting(arguments.samples, "sample") as samples, _counting(arguments.steps + 1, "step") as bar:
        def on_step(step: int, distance: float, drawn: np.ndarray) -> None:
            bar.set_postfix_str(f"distance {distance:.4f}", refresh=False)
            bar.update()
            if step == 0:
                first.append(drawn)
            if arguments.video and step % every == 0:
                views.append(images.resize(drawn, (side, side)))
        found = predictor.project(picture, arguments.space, arguments.steps, arguments.samples, arguments.seed,
                                  arguments.learning_rate, arguments.vgg, arguments.optimise_noise, samples.update,
                                  on_step)
    code = Code(found.w, found.noise)
    drawn = predictor.draw_code(code)
    about = {"weights": predictor.weights.name, "picture": Path(arguments.input).name, "space": arguments.space,
             "distance": found.distance, "start_distance": found.start_distance, "steps": arguments.steps,
             "samples": arguments.samples, "seed": arguments.seed, "learning_rate": arguments.learning_rate,
             "measure": "Laplacian pyramid" + (" and VGG-19" if arguments.vgg else "")}
    compared = sheets.labelled([[target, *first, drawn]], columns=["picture", "nearest", "projected"],
                               cell=arguments.cell)
    images.write_image(paths[0], drawn)
    images.write_image(paths[1], compared)
    predictor.save_code(paths[2], code, **about)
    if arguments.video:
        beside, last = (images.resize(view, (side, side)) for view in (target, drawn))
        frames = (images.grid([beside, view], 2, padding=0) for view in [*views, *[last] * CLIP_FPS])
        clips.write_clip(paths[3], frames, CLIP_FPS)
    _tell(paths)
    print(f"distance ({about['measure']}): {found.start_distance:.4f} of the nearest of {arguments.samples} samples, "
          f"{found.distance:.4f} projected", file=sys.stderr)


# ---- edit

def _edit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=cli.natural, default=0, help="the picture that is changed (default: 0)")
    parser.add_argument("--code", metavar="FILE", help="or a code that `project` wrote, with its own weights")
    parser.add_argument("--direction", default="0-4", metavar="NUMBERS",
                        help="each a strip; 0 changes most (default: 0-4)")
    parser.add_argument("--strength", default="-3..3", metavar="LOW..HIGH",
                        help="in deviations of w along the direction (default: -3..3)")
    parser.add_argument("--count", type=cli.positive, default=7, help="pictures in a strip (default: 7)")
    parser.add_argument("--layers", default="all", help=f"which are asked and moved: {LAYERS} (default: all)")
    _truncation_options(parser)
    _cell_option(parser)


def _edit(arguments: argparse.Namespace) -> None:
    from . import images, latents, sheets
    directions = latents.numbers(arguments.direction, latents.SEEDS, "The list of directions")
    strengths = _evenly(_span("--strength", arguments.strength), arguments.count)
    path, = _free(arguments, "edit.png")
    predictor = _predictor(arguments)
    start = predictor.load_code(arguments.code) if arguments.code else arguments.seed
    strips = [predictor.edit(start, [number], strengths, arguments.layers, arguments.truncation, arguments.cutoff)[0]
              for number in _bar(directions, "strip")]
    names = [f"direction {number}" for number in directions], [f"{strength:+.3g}" for strength in strengths]
    images.write_image(path, sheets.labelled(strips, *names, arguments.cell))
    _tell([path])


# ---- what they share

def _predictor(arguments: argparse.Namespace) -> Any:
    if not 0 <= getattr(arguments, "truncation", 1.0) <= 2:
        raise ConfigError(f"The truncation is {arguments.truncation}: use a number from 0 to 2.")
    predictor = cli.stylegan2_predictor(arguments)
    layers, cutoff = predictor.n_latent, getattr(arguments, "cutoff", None)
    if cutoff and cutoff > layers:
        raise ConfigError(f"The cutoff is {cutoff}: these weights have {layers} layers.")
    return predictor


def _free(arguments: argparse.Namespace, *names: str) -> list[Path]:
    """The results' paths. Raises OutputError before any work when one exists and may not be replaced."""
    paths = [Path(arguments.output) / name for name in names]
    existing = [path for path in paths if path.exists()]
    if existing and not arguments.overwrite:
        more = f" (and {len(existing) - 1} more of the results)" if len(existing) > 1 else ""
        raise OutputError(f"{existing[0]}{more} exists: use --overwrite, or another -o DIR.")
    return paths


def _span(option: str, text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        span = float(low), float(high if dots else low)
    except ValueError:
        span = math.nan, math.nan
    if not all(map(math.isfinite, span)):
        raise ConfigError(f"{option} {text!r} is no range: write two numbers such as -3..3.")
    return span


def _evenly(span: tuple[float, float], count: int) -> list[float]:
    import numpy as np
    return [float(value) for value in np.linspace(*span, count)]


def _bar(items: Any, unit: str, total: int | None = None) -> Any:
    from tqdm import tqdm
    return tqdm(items, unit=unit, total=total, disable=None, file=sys.stderr)   # None: no bar without a terminal


def _counting(total: int, unit: str) -> Any:
    return _bar(None, unit, total)


def _tell(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path)

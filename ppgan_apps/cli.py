"""The command `ppgan-apps`: pictures from files, folders and globs, pictures from a seed, training, weights."""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from . import __version__
from .errors import ConfigError, ImageError, OutputError, SuiteError

INTERRUPTED, CLOSED_PIPE = 130, 141                            # 128 + the number of the signal, as shells have it

ABOUT = """\
Portrait and anime GANs: a photo to a cartoon or an anime, a drawing to a photo, pictures from a seed."""
EXAMPLES = """\
examples:
  ppgan-apps photo2cartoon photo.jpg -o output
  ppgan-apps animeganv2 holiday/ "more/*.jpg" -o output --overwrite
  ppgan-apps styleganv2 --seed 233 -o output
  ppgan-apps train --config-file configs/ugatit_photo2cartoon.yaml
  ppgan-apps export animeganv2/pastel -o pastel.onnx
  ppgan-apps batch animeganv2 photos/ -o anime --workers 4
  ppgan-apps zoo

exit codes: 0 all worked, 1 some pictures failed (each is named), 2 a wrong command line, weights or folder"""
PICTURE_COMMANDS = {
    "photo2cartoon": ("Photo2CartoonPredictor", "a portrait photo to a cartoon on white", """\
examples:
  ppgan-apps photo2cartoon photo.jpg -o output           writes output/photo_cartoon.png
  ppgan-apps photo2cartoon photos/ -o output             every picture below photos/
  ppgan-apps photo2cartoon group.jpg -o output --faces all --paste-back
                                                         the photo with each face drawn
  ppgan-apps photo2cartoon photo.jpg --weight-path runs/photo2cartoon"""),
    "anime2real": ("Anime2RealPredictor", "a drawn face to a photo-like picture", """\
examples:
  ppgan-apps anime2real face.png -o output               writes output/face_real.png
  ppgan-apps anime2real "drawings/*.png" -o output --overwrite"""),
    "animeganv2": ("AnimeGANv2Predictor", "any photo to an anime of the same size", """\
examples:
  ppgan-apps animeganv2 photo.jpg -o output              writes output/photo_anime.png
  ppgan-apps animeganv2 photos/ -o output --style hayao  the published Hayao weights
  ppgan-apps animeganv2 large.jpg --max-size 3000        draw more of a large photo, with more memory"""),
}
STYLEGAN2_EXAMPLES = """\
examples:
  ppgan-apps styleganv2 --seed 233 -o output             writes sample.png, sample_mixing_0.png, sample_mixing_1.png
  ppgan-apps styleganv2 --seed 233 --count 20 -o output  twenty pictures, seed233_01.png and so on
  ppgan-apps styleganv2 --model-type animeface-512 --seed 7"""

BATCH_EXAMPLES = """\
examples:
  ppgan-apps batch animeganv2 photos/ -o anime --workers 4          four models on this machine
  ppgan-apps batch animeganv2 s3://bucket/photos -o s3://bucket/anime --address auto --workers 64
  run again, it draws only what has no result yet; the suite is installed on every machine"""
EXPORT_EXAMPLES = """\
examples:
  ppgan-apps export animeganv2/pastel -o pastel.onnx           a record of `ppgan-apps zoo`
  ppgan-apps export runs/photo2cartoon -o cartoon.onnx --fp16  a training run; half the size
  ppgan-apps export animeganv2/pastel -o pastel_program        a Paddle program: any name but .onnx, a folder
  ppgan-apps export stylegan2/avatars -o avatars.onnx --latent w --truncation 0.7
  ppgan-apps animeganv2 photo.jpg --weight-path pastel.onnx    draws with the file"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit code; argparse itself leaves with 2 on a wrong command line."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: _dispatch(argv))


def guarded(command) -> int:
    """`command()`, with what a user can cause turned into one line on stderr and an exit code."""
    if hasattr(sys.stdout, "reconfigure"):                     # a file's name may hold bytes that are no characters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command()
        sys.stdout.flush()
        return code or 0
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What reads our output has gone; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["train"]:                                  # its options are the trainer's own
        from .trainer import main as train
        return train(argv[1:], prog="ppgan-apps train")
    arguments = _parser().parse_args(argv)
    return arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ppgan-apps", description=ABOUT, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"ppgan_apps {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (predictor, about, examples) in PICTURE_COMMANDS.items():
        _add_picture_options(_subparser(commands, name, about, examples, _pictures), name, predictor)
    _add_stylegan2_options(_subparser(commands, "styleganv2", "pictures from a seed", STYLEGAN2_EXAMPLES, _stylegan2))
    commands.add_parser("train", help="train a family from its YAML (the options of tools/main.py)", add_help=False)
    _add_batch_options(_subparser(commands, "batch", "many pictures on many machines, through Ray", BATCH_EXAMPLES,
                                  _batch))
    export = _subparser(commands, "export", "a network to an ONNX file or a Paddle program", EXPORT_EXAMPLES, _export)
    add_export_options(export)
    _subparser(commands, "zoo", "list every weight file: size, licence, source, whether it is here",
               "example:\n  ppgan-apps zoo", _zoo)
    return parser


def _subparser(commands, name: str, about: str, examples: str, command) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=examples,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=command)
    return parser


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", "--output_path", dest="output", default="output", metavar="DIR",
                        help="folder for the results, made when missing (default: output)")
    parser.add_argument("--weight-path", "--weight_path", dest="weight_path", metavar="PATH",
                        help="a weight file, a checkpoint or a run folder, instead of the suite's own weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N (default: auto)")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")


def _add_picture_options(parser: argparse.ArgumentParser, name: str, predictor: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, folders or quoted patterns")
    _add_common_options(parser)
    parser.add_argument("--style", help="a weight record of `ppgan-apps zoo`, for example 'embedded'")
    if name == "photo2cartoon":
        parser.add_argument("--faces", choices=("largest", "all"), default="largest",
                            help="which faces of a photo to draw (default: largest)")
        parser.add_argument("--paste-back", action="store_true", help="write the whole photo with the cartoon in it")
        parser.add_argument("--landmarks", default="embedded", help="landmark backend (default: embedded)")
        parser.add_argument("--segmenter", default="embedded",
                            help="embedded, grabcut, pp_humanseg or fcn_hrnet_w18 (default: embedded)")
    if name == "animeganv2":
        parser.add_argument("--max-size", type=positive, default=1536, metavar="PIXELS",
                            help="longest side that is drawn; a larger photo is made smaller (default: 1536)")
        parser.add_argument("--no-adjust-brightness", dest="use_adjust_brightness", action="store_false",
                            help="leave the anime's brightness as the network gives it")
    parser.set_defaults(name=name, predictor=predictor)


def _add_stylegan2_options(parser: argparse.ArgumentParser) -> None:
    _add_common_options(parser)
    add_stylegan2_network_options(parser)
    parser.add_argument("--n-row", "--n_row", dest="n_row", type=positive, default=3, help="rows (default: 3)")
    parser.add_argument("--n-col", "--n_col", dest="n_col", type=positive, default=5, help="columns (default: 5)")
    parser.add_argument("--count", type=positive, help="write this many single pictures instead of the sheets")


def add_stylegan2_network_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which StyleGAN2 draws, in PaddleGAN's spelling and in ours."""
    parser.add_argument("--model-type", "--model_type", dest="model_type",
                        help="ffhq-config-f, animeface-512 or avatars (default: the first where it can be had within a "
                             "few seconds, else the last, which is in the package)")
    parser.add_argument("--seed", type=natural, help="the same seed gives the same pictures")
    # For weight files that do not state their network.
    parser.add_argument("--size", type=positive, default=1024, help="side of a picture (default: 1024)")
    parser.add_argument("--style-dim", "--style_dim", dest="style_dim", type=positive, default=512,
                        help="length of a latent (default: 512)")
    parser.add_argument("--n-mlp", "--n_mlp", dest="n_mlp", type=positive, default=8,
                        help="layers of the mapping network (default: 8)")
    parser.add_argument("--channel-multiplier", "--channel_multiplier", dest="channel_multiplier", type=positive,
                        default=2, help="width of the large layers (default: 2)")


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=PICTURE_COMMANDS, metavar="COMMAND", help=", ".join(PICTURE_COMMANDS))
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="folders or pictures, local or of a store")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results, or of a store")
    parser.add_argument("--workers", type=positive, default=1, help="processes with a model each (default: 1)")
    parser.add_argument("--cpus", type=positive, default=1, help="cores of each worker (default: 1)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each worker, also a share (default: 0)")
    parser.add_argument("--address", help="of a Ray cluster, or auto; without it Ray is started on this machine")
    parser.add_argument("--weight-path", "--weight_path", dest="weight_path", metavar="PATH",
                        help="weights, readable on every machine, instead of the suite's own")
    parser.add_argument("--style", help="a weight record of `ppgan-apps zoo`, for example 'embedded'")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu (default: auto)")


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """The options of `ppgan-apps export` and tools/export.py."""
    parser.add_argument("weights", help="a record of `ppgan-apps zoo`, a weight file, a checkpoint or a run folder")
    parser.add_argument("-o", "--output", required=True, metavar="PATH",
                        help="NAME.onnx, or a folder's name for a Paddle inference program")
    parser.add_argument("--fp16", action="store_true", help="store the weights of an ONNX file as float16: half the "
                        "size, the same float32 arithmetic; may differ by 2 %% of the largest value")
    parser.add_argument("--arguments", type=json_object, default={}, metavar="JSON",
                        help="""how the network is built, where the file does not say: '{"ngf": 64, "n_blocks": 9}'""")
    parser.add_argument("--latent", choices=("z", "w"), default="z", help="what a StyleGAN2 file takes (default: z)")
    parser.add_argument("--truncation", type=float, help="fix a StyleGAN2's truncation; without it, it is an input")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")


def json_object(text: str) -> dict:
    """A JSON object, for argparse."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is not a number from 1")
    return value


def natural(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0")
    return int(text)


def _pictures(arguments: argparse.Namespace) -> int:
    """Every input through one predictor; a picture that fails is named and costs none of the others."""
    output = Path(arguments.output)
    check_folder(output)
    kind = _kind(arguments)
    sources, failures = _sources(arguments.inputs, output, kind)
    total = len(sources) + len(failures)
    jobs = _jobs(sources, output, kind)
    if not arguments.overwrite:                                # told before any work is done
        failures += [(source, _exists(target)) for source, target in jobs if target.exists()]
        jobs = [(source, target) for source, target in jobs if not target.exists()]
    if jobs:
        failures += _run_jobs(_predictor(arguments), jobs, arguments.overwrite)
    for source, reason in failures:
        print(f"failed: {source}: {reason}", file=sys.stderr)
    if failures and total > 1:
        print(f"{len(failures)} of {total} failed.", file=sys.stderr)
    return 1 if failures else 0


def _exists(path: Path) -> str:
    return f"{path} exists; use --overwrite."


def _kind(arguments: argparse.Namespace) -> str:
    import ppgan_apps
    return getattr(ppgan_apps, arguments.predictor).kind


def _predictor(arguments: argparse.Namespace):
    import ppgan_apps
    own = {"photo2cartoon": ("faces", "paste_back", "landmarks", "segmenter"), "anime2real": (),
           "animeganv2": ("max_size", "use_adjust_brightness")}[arguments.name]
    options = {name: getattr(arguments, name) for name in own}
    return getattr(ppgan_apps, arguments.predictor)(output_path=arguments.output, weight_path=arguments.weight_path,
                                                    style=arguments.style, device=arguments.device, **options)


def _run_jobs(predictor, jobs: list[tuple[Path, Path]], overwrite: bool) -> list[tuple[Path, str]]:
    """Predicts and writes each (picture, result) pair; returns the pictures that failed with the reason."""
    from tqdm import tqdm

    from .predictors.base import read
    failures = []
    with tqdm(jobs, unit="picture", disable=None, file=sys.stderr) as bar:  # None: no bar where stderr is no terminal
        for source, target in bar:
            try:
                pictures = predictor.predict_all(read(source))
                for path in _write_all(pictures, target, overwrite):
                    bar.write(str(path), file=sys.stdout)
            except (ImageError, OutputError) as error:
                failures.append((source, _without_path(str(error), source)))
            except (SuiteError, BrokenPipeError):              # would befall every picture alike
                raise
            # One picture must not cost the others, whatever Paddle, OpenCV or the system makes of it.
            except Exception as error:
                failures.append((source, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"))
    return failures


def _without_path(message: str, source: Path) -> str:
    """The message without the path that it opens with, since the line that shows it opens with the path too."""
    return message.removeprefix(f"{source} ")


def _write_all(pictures: list, target: Path, overwrite: bool) -> list[Path]:
    """Writes x_cartoon.png, x_cartoon_2.png and so on; all of them or, where one exists already, none."""
    from .images import write_image
    paths = [target, *(target.with_stem(f"{target.stem}_{number}") for number in range(2, len(pictures) + 1))]
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(_exists(path))
    return [write_image(path, picture) for path, picture in zip(paths, pictures, strict=True)]


def _sources(inputs: list[str], output: Path, kind: str) -> tuple[list[Path], list[tuple[str, str]]]:
    """The pictures that the inputs name, each once, and the inputs that name none with the reason."""
    from .images import find_images
    found: dict[str, Path] = {}
    failures = []
    for entry in inputs:
        try:
            pictures = find_images([entry])
        except ImageError as error:
            failures.append((entry, str(error)))
            continue
        for path in _without_results(pictures, Path(entry), output, kind):
            found.setdefault(os.path.abspath(path), path)
    return list(found.values()), failures


def _without_results(pictures: list[Path], entry: Path, output: Path, kind: str) -> list[Path]:
    """The pictures of a folder without what an earlier run wrote there: all of an output folder within it, or, where
    the folder is its own output, x_cartoon.png, x-2_cartoon.png and x_cartoon_2.png beside a picture x."""
    if not entry.is_dir():                                     # named outright
        return pictures
    folder, results = entry.resolve(), output.resolve()
    if results != folder:
        inside = results.is_relative_to(folder)
        return [path for path in pictures if not (inside and path.resolve().is_relative_to(results))]
    stems = {path.stem for path in pictures}
    pattern = re.compile(rf"(.+?)(-\d+)?_{kind}(_\d+)?")

    def is_result(path: Path) -> bool:
        match = pattern.fullmatch(path.stem)
        return match is not None and path.suffix == ".png" and path.parent.resolve() == results and match[1] in stems
    return [path for path in pictures if not is_result(path)]


def _jobs(sources: list[Path], output: Path, kind: str) -> list[tuple[Path, Path]]:
    """(picture, result) pairs. Of several pictures with one stem the first keeps it, the others are numbered."""
    counts: dict[str, int] = {}
    taken = {source.stem.casefold() for source in sources}     # some file systems do not tell a from A
    pairs = []
    for source in sources:
        stem = source.stem
        number = counts[stem.casefold()] = counts.get(stem.casefold(), 0) + 1
        while number > 1 and f"{stem}-{number}".casefold() in taken:
            number = counts[stem.casefold()] = number + 1
        name = stem if number == 1 else f"{stem}-{number}"
        pairs.append((source, output / f"{name}_{kind}.png"))
    return pairs


def check_folder(folder: Path) -> None:
    """Raises OutputError when `folder` is no folder, or cannot be made or written; makes nothing itself."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise OutputError(f"Nothing can be written in {folder}, since {existing} is no folder: use another -o DIR.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {existing} cannot be written: use another -o DIR.")


def _stylegan2(arguments: argparse.Namespace) -> int:
    from .images import write_image
    output, seed, count = Path(arguments.output), arguments.seed, arguments.count
    check_folder(output)
    if count and seed is None:
        raise ConfigError("--count names its pictures by the seed: give one with --seed.")
    names = ([f"seed{seed}_{number:0{len(str(count))}d}" for number in range(1, count + 1)] if count
             else ["sample", "sample_mixing_0", "sample_mixing_1"])
    existing = [] if arguments.overwrite else [name for name in names if (output / f"{name}.png").exists()]
    for name in existing:
        print(f"failed: {_exists(output / f'{name}.png')}", file=sys.stderr)
    if existing and not count:                                 # the sheets belong together
        return 1
    wanted = [(number, name) for number, name in enumerate(names) if name not in existing]
    if wanted:
        predictor = stylegan2_predictor(arguments)
        if not count:
            predictor.run(arguments.n_row, arguments.n_col)
        for number, name in wanted if count else ():
            picture = predictor.sample(1, first=number)[0]
            print(write_image(output / f"{name}.png", picture))
    return 1 if existing else 0


def stylegan2_predictor(arguments: argparse.Namespace):
    """The predictor that parsed StyleGAN2 options describe."""
    from . import StyleGAN2Predictor
    return StyleGAN2Predictor(arguments.output, arguments.weight_path, arguments.model_type, arguments.seed,
                              arguments.size, arguments.style_dim, arguments.n_mlp, arguments.channel_multiplier,
                              device=arguments.device)


def _batch(arguments: argparse.Namespace) -> int:
    from .batch import run
    return run(arguments, PICTURE_COMMANDS[arguments.name][0])


def _export(arguments: argparse.Namespace) -> int:
    from .export import run
    return run(arguments)


def _zoo(arguments: argparse.Namespace) -> int:
    """What is known of every weight record: name, size, where it is; below it licence and source."""
    from . import zoo
    records = zoo.records()
    width = max(len(record.name) for record in records)
    for record in records:
        here = record.available()
        place = ("embedded" if here else "missing") if record.embedded else ("cached" if here else "to download")
        size = record.file().stat().st_size if here else record.size
        print(f"{record.name:{width}}  {f'{size / 1e6:.1f} MB' if size else 'size unknown':>12}  {place}")
        print(f"    licence: {record.licence}\n    source: {record.source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command `ppgan-apps`: pictures from files, folders and globs, pictures from a seed, training, weights."""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ConfigError, ImageError, OutputError, SuiteError, VideoError

if TYPE_CHECKING:                                              # --help should not wait for numpy
    import numpy as np

    from .codec import Clip

INTERRUPTED, CLOSED_PIPE = 130, 141                            # 128 + the number of the signal, as shells have it
ENGINES = ("auto", "paddle", "onnx", "openvino")               # engines.ENGINES, which --help should not wait for

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
  ppgan-apps serve
  ppgan-apps zoo
  ppgan-apps doctor

exit codes: 0 all worked, 1 some pictures failed (each is named), 2 a wrong command line, weights or folder"""
PICTURE_COMMANDS = {
    "photo2cartoon": ("Photo2CartoonPredictor", "a portrait photo to a cartoon on white", """\
examples:
  ppgan-apps photo2cartoon photo.jpg -o output           writes output/photo_cartoon.png
  ppgan-apps photo2cartoon photos/ -o output             every picture below photos/
  ppgan-apps photo2cartoon group.jpg -o output --faces all --paste-back
                                                         the photo with each face drawn
  ppgan-apps photo2cartoon clip.mp4 -o drawn.mp4         a video with its main face drawn, its sound kept
  ppgan-apps photo2cartoon photo.jpg --weight-path runs/photo2cartoon
  ppgan-apps photo2cartoon photo.jpg --weight-path output/photo2cartoon_groups --age 34 --sex female
                                                         the model of this group of people"""),
    "anime2real": ("Anime2RealPredictor", "a drawn face to a photo-like picture", """\
examples:
  ppgan-apps anime2real face.png -o output               writes output/face_real.png
  ppgan-apps anime2real "drawings/*.png" -o output --overwrite"""),
    "animeganv2": ("AnimeGANv2Predictor", "any photo to an anime of the same size", """\
examples:
  ppgan-apps animeganv2 photo.jpg -o output              writes output/photo_anime.png
  ppgan-apps animeganv2 photos/ -o output --style hayao  the published Hayao weights
  ppgan-apps animeganv2 portrait.jpg --style face_paint_512_v2 --paste-back --side-by-side
                                                         the face, drawn by weights made for faces, in its photo
  ppgan-apps animeganv2 large.jpg --max-size 3000        draw more of a large photo, with more memory
  ppgan-apps animeganv2 clip.mp4 -o anime.mp4            a video, its sound kept; the same command again goes on
                                                         after an interruption
  ppgan-apps animeganv2 clip.mp4 -o anime.mp4 --start 1:05 --end 1:15.5 --max-size 640 --smooth 0.6
  ppgan-apps animeganv2 frames/ -o anime.mp4 --fps 24    a folder of frames as a video
  ppgan-apps animeganv2 clip.mp4 -o frames --frames      a video as a folder of frames"""),
}
CLIP_COMMANDS = ("animeganv2", "photo2cartoon")                # those that also draw videos
DEFAULT_RATE = Fraction(25)                                    # frames a second of a folder of frames
STYLEGAN2_EXAMPLES = """\
examples:
  ppgan-apps styleganv2 --seed 233 -o output             writes sample.png, sample_mixing_0.png, sample_mixing_1.png
  ppgan-apps styleganv2 --seed 233 --count 20 -o output  twenty pictures, seed233_01.png and so on
  ppgan-apps styleganv2 --model-type animeface-512 --seed 7

more commands, each with examples of its own (ppgan-apps styleganv2 COMMAND --help):
  sample    a picture for each of some seeds, and a grid of them
  mix       the styles of some seeds on the pictures of others
  walk      a clip that goes from seed to seed
  sweep     one number of a latent through its range, of StyleGAN2 or DCGAN
  project   the latent whose picture is closest to a given one
  edit      pictures moved along directions that the weights themselves name"""
IMPORT_ABOUT = "bring another project's weights into a .safetensors file that the predictors load"
IMPORT_EXAMPLES = """\
examples:
  ppgan-apps zoo import face_paint_512_v2.pt -o face.safetensors
                                                         then: ppgan-apps animeganv2 --weight-path face.safetensors
  ppgan-apps zoo import checkpoint/generator_Hayao_weight -o hayao.safetensors
  ppgan-apps zoo import network-snapshot-025000.pkl --as stylegan2 -o avatars.safetensors
  ppgan-apps zoo import photo2cartoon_weights.pt --part genB2A -o back.safetensors

known: AnimeGANv2 (TensorFlow, and bryandlee's PyTorch), StyleGAN2 (rosinality's .pt, NVlabs's .pkl from
stylegan2-ada-pytorch), photo2cartoon, and pytorch-CycleGAN-and-pix2pix; neither PyTorch nor TensorFlow is needed, and
nothing in the file is executed"""

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


def guarded(command: Callable[[], int]) -> int:
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
    if argv[:1] == ["eval"]:
        from .evaluation import main as evaluate
        return evaluate(argv[1:], prog="ppgan-apps eval")
    if argv[:1] == ["serve"]:
        from .web.server import main as serve
        return serve(argv[1:], prog="ppgan-apps serve")
    if argv[:1] == ["styleganv2"] and argv[1:] and not argv[1].startswith("-"):
        from .cli_stylegan2 import main as toolbox
        return toolbox(argv[1:])
    arguments = _parser().parse_args(argv)
    status: int = arguments.command(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ppgan-apps", description=ABOUT, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"ppgan_apps {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (predictor, about, examples) in PICTURE_COMMANDS.items():
        _add_picture_options(subparser(commands, name, about, examples, _pictures), name, predictor)
    _add_stylegan2_options(subparser(commands, "styleganv2", "pictures from a seed", STYLEGAN2_EXAMPLES, _stylegan2))
    commands.add_parser("train", help="train a family from its YAML (the options of tools/main.py)", add_help=False)
    commands.add_parser("eval", help="measure a checkpoint or a folder (the options of tools/eval.py)", add_help=False)
    commands.add_parser("serve", help="pages in a browser and an HTTP API (ppgan-apps serve --help)", add_help=False)
    _add_batch_options(subparser(commands, "batch", "many pictures on many machines, through Ray", BATCH_EXAMPLES,
                                 _batch))
    add_export_options(subparser(commands, "export", "a network to an ONNX file or a Paddle program", EXPORT_EXAMPLES,
                                 _export))
    doctor = subparser(commands, "doctor", "what the suite runs on here: versions, device, engines, settings, weights",
                       "examples:\n  ppgan-apps doctor\n  ppgan-apps doctor --json", _doctor)
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    zoo = subparser(commands, "zoo", "list every weight file: size, licence, source, whether it is here",
                     "examples:\n  ppgan-apps zoo\n  ppgan-apps zoo import --help", _zoo)
    actions = zoo.add_subparsers(metavar="ACTION")
    _add_import_options(subparser(actions, "import", IMPORT_ABOUT, IMPORT_EXAMPLES, _zoo_import))
    return parser


def subparser(commands: Any, name: str, about: str, examples: str, command: Callable[[argparse.Namespace], int | None]
              ) -> argparse.ArgumentParser:
    """A command with its own --help, which ends with `examples`; `command` takes the parsed arguments."""
    described = {"help": about, "description": f"{about[0].upper()}{about[1:]}.", "epilog": examples}
    parser: argparse.ArgumentParser = commands.add_parser(
        name, **described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=command)
    return parser


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command has which draws."""
    parser.add_argument("-o", "--output", "--output_path", dest="output", default="output", metavar="DIR",
                        help="folder for the results, made when missing (default: output)")
    parser.add_argument("--weight-path", "--weight_path", dest="weight_path", metavar="PATH",
                        help="a weight file, a checkpoint or a run folder, instead of the suite's own weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N (default: auto)")
    _add_engine_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")


def _add_engine_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=ENGINES, default="auto",
                        help="what runs the network (default: auto: Paddle on a GPU, the fastest one installed on a "
                             "processor; see `ppgan-apps doctor`)")


def _add_picture_options(parser: argparse.ArgumentParser, name: str, predictor: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, folders or quoted patterns")
    add_common_options(parser)
    parser.add_argument("--style", help="a weight record of `ppgan-apps zoo`, for example 'embedded'")
    if name == "photo2cartoon":
        parser.add_argument("--faces", choices=("largest", "all"), default="largest",
                            help="which faces of a photo to draw (default: largest)")
        parser.add_argument("--paste-back", action="store_true", help="write the whole photo with the cartoon in it")
        parser.add_argument("--landmarks", default="embedded", help="landmark backend (default: embedded)")
        parser.add_argument("--segmenter", default="embedded",
                            help="embedded, grabcut, pp_humanseg or fcn_hrnet_w18 (default: embedded)")
        parser.add_argument("--max-size", type=positive, metavar="PIXELS",
                            help="longest side of a video; a larger one is made smaller (default: the video's own)")
        add_person_options(parser)
    if name == "animeganv2":
        parser.add_argument("--faces", choices=("none", "largest", "all"),
                            help="draw these faces, cut out upright, instead of the photo (default: as the weights "
                                 "are made for)")
        parser.add_argument("--paste-back", action="store_true", help="write the whole photo with the faces drawn")
        parser.add_argument("--side-by-side", action="store_true", help="put each result beside what it was drawn from")
        parser.add_argument("--max-size", type=positive, default=1536, metavar="PIXELS",
                            help="longest side that is drawn; a larger photo is made smaller (default: 1536)")
        parser.add_argument("--no-adjust-brightness", dest="use_adjust_brightness", action="store_false",
                            help="leave the anime's brightness as the network gives it")
    if name in CLIP_COMMANDS:
        _add_clip_options(parser)
    parser.set_defaults(name=name, predictor=predictor)


def add_person_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose among models trained by group."""
    parser.add_argument("--age", type=natural, metavar="YEARS",
                        help="draw with the model for this age; needs the folder of a run by groups as weight path")
    parser.add_argument("--sex", help="draw with the model for this sex, as the run's attributes.csv calls it")


def _add_clip_options(parser: argparse.ArgumentParser) -> None:
    clips = parser.add_argument_group("videos", "Name the result with -o NAME.mp4 (.mov, .mkv), or a folder for it.")
    clips.add_argument("--start", type=moment, metavar="TIME", help="where to begin, in seconds or as 1:02:03.5")
    clips.add_argument("--end", type=moment, metavar="TIME", help="where to end")
    clips.add_argument("--crf", type=natural, metavar="NUMBER",
                       help="from 0 (lossless) to 51 (smallest file) (default: one at which hardly anything is lost)")
    clips.add_argument("--smooth", type=float, default=0.0, metavar="SHARE",
                       help="share of the frame before in each, from 0 to 0.9, against flicker (default: 0)")
    clips.add_argument("--fps", type=frame_rate, metavar="RATE", help="read each folder as a video of this rate")
    clips.add_argument("--frames", action="store_true", help="write a folder of PNG files, DIR itself, not a video")


def _add_stylegan2_options(parser: argparse.ArgumentParser) -> None:
    add_common_options(parser)
    add_stylegan2_network_options(parser)
    parser.add_argument("--seed", type=natural, help="the same seed gives the same pictures")
    parser.add_argument("--n-row", "--n_row", dest="n_row", type=positive, default=3, help="rows (default: 3)")
    parser.add_argument("--n-col", "--n_col", dest="n_col", type=positive, default=5, help="columns (default: 5)")
    parser.add_argument("--count", type=positive, help="write this many single pictures instead of the sheets")


def add_stylegan2_network_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which StyleGAN2 draws, in PaddleGAN's spelling and in ours."""
    parser.add_argument("--model-type", "--model_type", dest="model_type",
                        help="ffhq-config-f, animeface-512 or avatars (default: the first where it can be had within a "
                             "few seconds, else the last, which is in the package)")
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
    _add_engine_option(parser)


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


def json_object(text: str) -> dict[str, Any]:
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


def moment(text: str) -> Fraction:
    """A time in seconds, for argparse: "83.5", "1:23.5" or "0:01:23.5"."""
    try:
        fields = [Fraction(field) for field in text.split(":")]
    except (ValueError, ZeroDivisionError):
        fields = []
    if not 1 <= len(fields) <= 3 or min(fields) < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no time: write seconds or 1:02:03.5")
    return sum((field * 60 ** place for place, field in enumerate(reversed(fields))), Fraction(0))


def frame_rate(text: str) -> Fraction:
    """Frames a second, for argparse: "24", "29.97" or "30000/1001"."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of frames a second")
    return rate.limit_denominator(1001)


def natural(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0")
    return int(text)


def _pictures(arguments: argparse.Namespace) -> int:
    """Every input through one predictor; a picture that fails is named and costs none of the others."""
    output = Path(arguments.output)
    if _is_clips(arguments):
        return _clips(arguments)
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


def _is_clips(arguments: argparse.Namespace) -> bool:
    """Whether videos are meant: by an input's suffix, the output's, or an option for videos."""
    from .codec import CONTAINERS
    from .video import SUFFIXES
    asked = (any(Path(entry).suffix.lower() in SUFFIXES for entry in arguments.inputs)
             or Path(arguments.output).suffix.lower() in CONTAINERS)
    if arguments.name not in CLIP_COMMANDS:
        if asked:
            raise ConfigError(f"{arguments.name} draws no videos: use {' or '.join(CLIP_COMMANDS)}, or give pictures.")
        return False
    return bool(asked or arguments.frames or arguments.fps)


def _clips(arguments: argparse.Namespace) -> int:
    """Every video through one predictor; of several, one that fails is named and costs none of the others."""
    from . import video
    from .codec import CONTAINERS, CRF
    inputs, output = [Path(entry) for entry in arguments.inputs], Path(arguments.output)
    named = output.suffix.lower() in CONTAINERS or arguments.frames
    if named and len(inputs) > 1:
        raise ConfigError(f"{len(inputs)} videos cannot all become {output}: give a folder with -o DIR.")
    if arguments.end is not None and arguments.end <= (arguments.start or 0):
        raise ConfigError("--end is not after --start: give a later one.")
    check_folder(output.parent if named else output)
    crf = CRF if arguments.crf is None else arguments.crf
    wishes = video.Wishes(arguments.max_size, crf, arguments.smooth, arguments.frames, arguments.overwrite)
    targets = [output] if named else [output / f"{path.stem}_{_kind(arguments)}.mp4" for path in inputs]
    predictor, failures = None, []
    for source, target in zip(inputs, targets, strict=True):
        try:
            video.check_target(target, wishes)                 # told before any work is done
            clip = _clip(source, arguments)
            predictor = predictor or _predictor(arguments)
            print(video.stylise(clip, target, predictor, wishes))
        except (VideoError, ImageError, OutputError) as error:
            if len(inputs) == 1:
                raise
            failures.append(f"failed: {source}: {_without_path(str(error), source)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _clip(source: Path, arguments: argparse.Namespace) -> Clip:
    from .codec import open_clip, open_folder
    from .predictors.base import say
    if not source.is_dir():
        if arguments.fps:
            raise ConfigError(f"{source} is no folder: --fps is for folders of frames, a video keeps its own rate.")
        return open_clip(source, arguments.start, arguments.end, tell=say)
    if arguments.start or arguments.end:
        raise ConfigError(f"{source} is a folder of frames, which has no times: leave out --start and --end.")
    return open_folder(source, arguments.fps or DEFAULT_RATE)


def _exists(path: Path) -> str:
    return f"{path} exists; use --overwrite."


def _kind(arguments: argparse.Namespace) -> str:
    import ppgan_apps
    return str(getattr(ppgan_apps, arguments.predictor).kind)


def _predictor(arguments: argparse.Namespace) -> Any:
    import ppgan_apps
    own = {"photo2cartoon": ("faces", "paste_back", "landmarks", "segmenter", "age", "sex"), "anime2real": (),
           "animeganv2": ("max_size", "use_adjust_brightness", "faces", "paste_back", "side_by_side")}[arguments.name]
    options = {name: getattr(arguments, name) for name in own}
    return getattr(ppgan_apps, arguments.predictor)(output_path=arguments.output, weight_path=arguments.weight_path,
                                                    style=arguments.style, device=arguments.device,
                                                    engine=arguments.engine, **options)


def _run_jobs(predictor: Any, jobs: list[tuple[Path, Path]], overwrite: bool) -> list[tuple[Path, str]]:
    """Predicts and writes each (picture, result) pair; returns the pictures that failed with the reason."""
    from tqdm import tqdm

    from .overlap import overlapped
    failures = []
    done = overlapped(jobs, lambda job: predictor.opened(job[0]), predictor.predict_all,
                      lambda job, pictures: _write_all(pictures, job[1], overwrite))
    # None: no bar where stderr is no terminal.
    with tqdm(done, total=len(jobs), unit="picture", disable=None, file=sys.stderr) as bar:
        for (source, _), written in bar:
            try:
                for path in written.result():
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


def _write_all(pictures: list[np.ndarray], target: Path, overwrite: bool) -> list[Path]:
    """Writes x_cartoon.png, x_cartoon_2.png and so on; all of them or, where one exists already, none."""
    from .images import write_image
    paths = [target, *(target.with_stem(f"{target.stem}_{number}") for number in range(2, len(pictures) + 1))]
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(_exists(path))
    return [write_image(path, picture) for path, picture in zip(paths, pictures, strict=True)]


def _sources(inputs: list[str], output: Path, kind: str) -> tuple[list[Path], list[tuple[str | Path, str]]]:
    """The pictures that the inputs name, each once, and the inputs that name none with the reason."""
    from .images import find_images
    found: dict[str, Path] = {}
    failures: list[tuple[str | Path, str]] = []
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


def stylegan2_predictor(arguments: argparse.Namespace) -> Any:
    """The predictor that parsed StyleGAN2 options describe."""
    from . import StyleGAN2Predictor
    seed = getattr(arguments, "seed", None)                    # some commands of the toolbox name theirs otherwise
    return StyleGAN2Predictor(arguments.output, arguments.weight_path, arguments.model_type, seed, arguments.size,
                              arguments.style_dim, arguments.n_mlp, arguments.channel_multiplier,
                              device=arguments.device, engine=getattr(arguments, "engine", "auto"))


def _batch(arguments: argparse.Namespace) -> int:
    from .batch import run
    return run(arguments, PICTURE_COMMANDS[arguments.name][0])


def _export(arguments: argparse.Namespace) -> int:
    from .export import run
    return run(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import run
    return run(arguments.json)


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


def _add_import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=".pt, .pth or .pkl, or a TensorFlow checkpoint's index or folder")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.safetensors", help="the file to write")
    parser.add_argument("--as", dest="family", choices=("animeganv2", "stylegan2", "photo2cartoon", "cyclegan",
                                                        "pix2pix"),
                        help="what it is (default: what the names of its entries say)")
    parser.add_argument("--part", default="", metavar="NAME",
                        help="which of several networks, for example g_ema, D or genB2A (default: the one that makes "
                             "the pictures)")
    parser.add_argument("--upsample-align", choices=("half_pixel", "align_corners", "asymmetric"),
                        help="how AnimeGANv2 doubles (default: align_corners for PyTorch's, asymmetric for "
                             "TensorFlow's)")
    parser.add_argument("--face-size", type=positive, metavar="PIXELS",
                        help="AnimeGANv2 was trained on upright faces of this size (known for the published names)")
    parser.add_argument("--licence", default="", metavar="TEXT",
                        help="what the new file says (default: what the project's owners state)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def _zoo_import(arguments: argparse.Namespace) -> int:
    """Writes the imported file and names it on stdout; on stderr, what became of the entries."""
    from .foreign import import_file
    changes = {}
    if arguments.upsample_align:
        changes["upsample_align"] = arguments.upsample_align
    if arguments.face_size:
        changes["input"] = {"size": arguments.face_size, "crop": "face"}
    path, notices = import_file(Path(arguments.file).expanduser(), Path(arguments.output).expanduser(),
                                arguments.family, arguments.part, arguments.licence, changes, arguments.overwrite)
    for notice in notices:
        print(notice, file=sys.stderr)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

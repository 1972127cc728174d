"""Times training steps of this suite's recipes beside PaddleGAN's own, in one interleaved run: a table.

    python benchmarks/compare_training.py --paddlegan-python /path/to/venv/bin/python
    python benchmarks/compare_training.py --cases pix2pix --rounds 5

One process per case and contender stays open, and they take turns, one step at a time, so that whatever else the
machine does falls on all alike. A step is what a batch costs once it is in memory: networks, losses and updates.
Random pictures, random weights: time does not depend on them. Timed are the steps without StyleGAN2's penalties.

- paddlegan: PaddleGAN's model class (ppgan 2.1.0) with the numbers of its YAML, `train_iter`, Paddle as installed
- paddlegan-settled: the same under this suite's settings of threads, MKL, oneDNN and allocator (ppgan_apps/runtime.py)
- ours: the recipe's `train_step` as the trainer calls it, with the defaults of its Config

What both are given alike: the batch, which for AnimeGANv2 and StyleGAN2 is smaller than in PaddleGAN's YAML (4 and 3),
and for AnimeGANv2 a VGG19 with random filters, since the published one needs the network. PaddleGAN computes every
fourth step of StyleGAN2 the path length penalty, which Paddle 3 cannot differentiate through its transposed convolution
(the second derivative of conv2d_transpose is missing): its training stops there. So the steps without a penalty are
compared, and ours is also given with both penalties, spread over the steps as they are in a run.
"""
from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                  # runs from a clone without being installed

from benchmarks.compare_engines import ask, last_line, peak_megabytes  # noqa: E402
from benchmarks.compare_paddlegan import (  # noqa: E402
    environment,
    load_runtime,
    paddlegan_environment,
    skip_package_imports,
)
from benchmarks.report import processor, replace_section  # noqa: E402

HEADING = "## Training"
SIZE = 256


@dataclass(frozen=True)
class Case:
    """A family with the batch that both train on."""
    label: str
    batch_size: int


CASES = {
    "pix2pix": Case("pix2pix, batch 1", 1),
    "animeganv2": Case("AnimeGANv2, batch 1", 1),
    "stylegan2": Case("StyleGAN2, batch 2", 2),
}
CONTENDERS = {"paddlegan": "PaddleGAN", "paddlegan-settled": "PaddleGAN, our settings", "ours": "ppgan_apps"}
BASELINE, SETTLED, OURS = CONTENDERS
# A step of each kind by its number, counted from 0: without a penalty, with R1 and the path length, with the latter.
PLAIN, BOTH, PATH = 1, 0, 4
PENALTIES = {"stylegan2": (16, 4)}                             # steps from one R1 to the next, and one path length


@dataclass
class Measured:
    """What one contender took for one case."""
    seconds: list[float]
    megabytes: float                                           # its largest resident set
    with_penalties: float | None = None                        # a step's mean over a run with lazy penalties


def main() -> int:
    arguments = parser().parse_args()
    if arguments.worker:
        serve(arguments.worker, arguments.cases[0])
        return 0
    pythons = {name: Path(sys.executable) for name in arguments.contenders}
    theirs = [name for name in pythons if name != OURS]
    if theirs:
        pythons |= dict.fromkeys(theirs, arguments.paddlegan_python or paddlegan_environment())
    measured = {}
    for name in arguments.cases:
        measured[name] = measure(name, pythons, arguments.rounds, arguments.patience)
        print("\n".join(table({name: measured[name]}, list(pythons))), file=sys.stderr)
    section = markdown(measured, list(pythons), arguments.rounds)
    print(section)
    if not arguments.dry_run:
        replace_section(arguments.output, section)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=3, help="timed steps of each contender (default 3)")
    made.add_argument("--patience", type=float, default=15.0, metavar="SECONDS", help="a contender whose step takes "
                      "longer is measured by it alone, without warming up (default 15)")
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which (default all)")
    made.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    made.add_argument("--paddlegan-python", type=Path, help="a Python that has paddle and ppgan")
    made.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    made.add_argument("--dry-run", action="store_true", help="print the table and write nothing")
    made.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    return made


# ---- Measuring

def measure(case: str, pythons: dict[str, Path], rounds: int, patience: float) -> dict[str, Measured]:
    """Every contender's steps of one case, in turns, after one that warms up unless it took longer than `patience`
    seconds. One that does not start is left out with a notice."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(subprocess.Popen(
            command(python, name, case), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment())) for name, python in pythons.items()}
        measured = {name: Measured([], 0.0) for name in processes}
        finished = set()
        for turn in range(rounds + 1):
            for name in [name for name in measured if name not in finished]:
                answer = ask(processes[name], str(PLAIN))
                if answer is None:
                    print(f"{name} is left out: {last_line(processes[name])}", file=sys.stderr)
                    del measured[name]
                    continue
                slow = answer["seconds"] > patience
                if slow:
                    finished.add(name)
                if turn or slow:
                    measured[name].seconds.append(answer["seconds"])
                    measured[name].megabytes = answer["megabytes"]
        if case in PENALTIES and OURS in measured:
            _add_penalties(measured[OURS], processes[OURS], *PENALTIES[case])
        for process in processes.values():
            process.kill()
    return measured


def _add_penalties(measured: Measured, process: subprocess.Popen, r1_every: int, path_every: int) -> None:
    """The mean step of `r1_every` in a row, from one step of each kind."""
    plain = statistics.median(measured.seconds)
    both, path = (ask(process, str(step)) for step in (BOTH, PATH))
    if both and path:
        others = r1_every - r1_every // path_every
        total = both["seconds"] + (r1_every // path_every - 1) * path["seconds"] + others * plain
        measured.with_penalties, measured.megabytes = total / r1_every, path["megabytes"]


def command(python: Path | str, worker: str, case: str) -> list[str]:
    return [str(python), str(Path(__file__).resolve()), "--worker", worker, "--cases", case]


# ---- Workers

def serve(contender: str, case: str) -> None:
    """A worker: for each line of stdin, which says what number it is to have, one training step, and a line
    {"seconds": ..., "megabytes": ...}."""
    one_step = our_step(case) if contender == OURS else their_step(case, contender == SETTLED)
    for line in sys.stdin:
        start = time.perf_counter()
        one_step(int(line))
        print(json.dumps({"seconds": time.perf_counter() - start, "megabytes": peak_megabytes()}), flush=True)


def pictures(case: str, names: tuple[str, ...]) -> dict:
    """A batch of random pictures, float32 [N, 3, 256, 256] in [-1, 1] each."""
    import numpy as np
    random = np.random.RandomState(0)
    shape = (CASES[case].batch_size, 3, SIZE, SIZE)
    return {name: random.uniform(-1, 1, shape).astype(np.float32) for name in names}


def our_step(case: str):
    """The recipe's step, as the trainer makes it, as a function of its number."""
    import ppgan_apps  # noqa: F401 - importing it settles Paddle's settings

    # isort: split
    import paddle

    from ppgan_apps import config, trainer
    names = {"pix2pix": ("real_a", "real_b"), "animeganv2": ("photo", "anime", "anime_grey", "smooth_grey"),
             "stylegan2": ("real",)}[case]
    recipe_numbers = {"animeganv2": {"warmup_steps": 0, "vgg_weights": "random"}}.get(case, {})
    run = config.parse_run({"family": case, "steps": 100_000, "batch_size": CASES[case].batch_size, "device": "cpu",
                            "data": {"size": SIZE, **_folders(case)}, "recipe": recipe_numbers})
    paddle.seed(0)
    recipe, batch = config.recipe_class(case)(run), pictures(case, names)
    return lambda step: {name: float(value) for name, value in trainer._one_step(run, recipe, batch, step).items()}


def _folders(case: str) -> dict[str, str]:
    """What a data section must name; nothing is read from there."""
    return {"photo": "none", "style": "none", "smooth": "none"} if case == "animeganv2" else {"path": "none"}


def their_step(case: str, settled: bool):
    """PaddleGAN's step, as a function of its number."""
    if settled:
        load_runtime().settle()
    skip_package_imports()
    import paddle
    paddle.seed(0)
    model, optimizers = {"pix2pix": their_pix2pix, "animeganv2": their_animeganv2,
                         "stylegan2": their_stylegan2}[case]()
    model.optimizers = optimizers
    names = {"pix2pix": ("A", "B"), "animeganv2": ("real", "anime", "anime_gray", "smooth_gray"),
             "stylegan2": ("A",)}[case]
    batch = {**pictures(case, names), "A_path": "", "B_path": ""}

    def one_step(step: int):
        model.current_iter = step                              # of StyleGAN2: which penalties are due
        model.setup_input(batch)
        model.train_iter(optimizers)
        return {name: float(value) for name, value in model.losses.items()}
    return one_step


def their(module: str):
    """A module below ppgan.models."""
    return importlib.import_module(f"ppgan.models.{module}")


def adam(network, rate: float, beta1: float, beta2: float = 0.999):
    import paddle
    return paddle.optimizer.Adam(rate, beta1=beta1, beta2=beta2, parameters=network.parameters())


def their_pix2pix():
    """configs/pix2pix_facades.yaml."""
    for module in ("generators.unet", "discriminators.nlayers"):     # they enter themselves into PaddleGAN's lists
        their(module)
    model = their("pix2pix_model").Pix2PixModel(
        {"name": "UnetGenerator", "norm_type": "batch", "input_nc": 3, "output_nc": 3, "num_downs": 8, "ngf": 64,
         "use_dropout": False},
        {"name": "NLayerDiscriminator", "ndf": 64, "n_layers": 3, "input_nc": 6, "norm_type": "batch"},
        {"name": "L1Loss", "loss_weight": 100}, {"name": "GANLoss", "gan_mode": "vanilla"})
    return model, {f"optim{part}": adam(model.nets[f"net{part}"], 2e-4, 0.5) for part in "GD"}


def their_animeganv2():
    """configs/animeganv2.yaml, with a VGG19 of random filters in the form of the file that it would download."""
    import numpy as np
    from ppgan.modules import caffevgg
    for module in ("generators.generater_animegan", "discriminators.discriminator_animegan"):
        their(module)
    model_module = their("animeganv2_model")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vgg19.npy"
        np.save(file, random_vgg19(caffevgg.CaffeVGG19.cfg))
        caffevgg.get_path_from_url = lambda *address: str(file)
        model = model_module.AnimeGANV2Model({"name": "AnimeGenerator"}, {"name": "AnimeDiscriminator"},
                                             {"name": "GANLoss", "gan_mode": "lsgan"})
    return model, {f"optimizer_{part}": adam(model.nets[f"net{part}"], 2e-4, 0.5) for part in "GD"}


def random_vgg19(widths: list) -> dict:
    """{"conv1_1": (filters [3, 3, in, out], biases [out]), ...}."""
    import numpy as np
    random, filters, inputs, block, number = np.random.RandomState(0), {}, 3, 1, 1
    for width in widths:
        if width == "M":
            block, number = block + 1, 1
            continue
        spread = (2 / (9 * inputs)) ** 0.5
        filters[f"conv{block}_{number}"] = (random.normal(0, spread, (3, 3, inputs, width)).astype(np.float32),
                                            np.zeros(width, np.float32))
        inputs, number = width, number + 1
    return filters


def their_stylegan2():
    """configs/stylegan_v2_256_ffhq.yaml."""
    for module in ("generators.generator_styleganv2", "discriminators.discriminator_styleganv2"):
        their(module)
    model = their("styleganv2_model").StyleGAN2Model(
        {"name": "StyleGANv2Generator", "size": SIZE, "style_dim": 512, "n_mlp": 8},
        {"name": "StyleGANv2Discriminator", "size": SIZE},
        {"name": "GANLoss", "gan_mode": "logistic", "loss_weight": 1.0},
        r1_reg_weight=10.0, path_batch_shrink=2.0, path_reg_weight=2.0, params={"gen_iters": 4, "disc_iters": 16})
    return model, {"optimG": adam(model.nets["gen"], 0.002 * 4 / 5, 0.0, 0.792),
                   "optimD": adam(model.nets["disc"], 0.002 * 16 / 17, 0.0, 0.9317647058823529)}


# ---- Report

def table(measured: dict[str, dict[str, Measured]], contenders: list[str]) -> list[str]:
    """Markdown: a line per family; median (fastest - slowest) in seconds; and how ours compares."""
    lines = [f"| Family | {' | '.join(CONTENDERS[name] for name in contenders)} | PaddleGAN / ppgan_apps | of that, "
             "networks and step | ppgan_apps, with penalties | MB, in the same order |",
             "|---|" + "---|" * (len(contenders) + 4)]
    for case, of_contender in measured.items():
        medians = {name: statistics.median(got.seconds) for name, got in of_contender.items()}
        cells = [seconds(of_contender[name].seconds) if name in of_contender else "-" for name in contenders]
        ratios = [f"{medians[name] / medians[OURS]:.1f}x" if name in medians and OURS in medians else "-"
                  for name in (BASELINE, SETTLED)]
        mean = of_contender[OURS].with_penalties if OURS in of_contender else None
        sizes = " / ".join(f"{of_contender[name].megabytes:.0f}" if name in of_contender else "-"
                           for name in contenders)
        last = [f"{mean:.2f}" if mean else "-", sizes]
        lines.append(f"| {' | '.join([CASES[case].label, *cells, *ratios, *last])} |")
    return lines


def seconds(times: list[float]) -> str:
    if len(times) == 1:
        return f"{times[0]:.2f}"
    return f"{statistics.median(times):.2f} ({min(times):.2f} - {max(times):.2f})"


def markdown(measured: dict[str, dict[str, Measured]], contenders: list[str], rounds: int) -> str:
    """The report's section."""
    return "\n".join([
        HEADING, "",
        "Written by `python benchmarks/compare_training.py`, whose `--help` says what a step is; do not edit.",
        f"Pictures of {SIZE} px; seconds a step: median (fastest - slowest) of {rounds} steps, or the only one where",
        "it took long. The processes took turns: compare along a line, not with another machine.", "",
        f"{date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}, "
        f"Python {platform.python_version()}, paddlepaddle {version('paddlepaddle')}, ppgan 2.1.0.", "",
        *table(measured, contenders), "",
        "PaddleGAN's steps are its own model classes', fed as its trainer does. Its StyleGAN2 cannot be trained with",
        "Paddle 3: the path length penalty of every fourth step raises, as the second derivative of the transposed",
        "convolution is missing. Compared are the steps between; the last columns give ours with the path length every",
        "4 and R1 every 16 steps, spread over the steps, and the largest resident set of each process.", ""])


if __name__ == "__main__":
    sys.exit(main())

"""The one training loop: batches, steps, log, previews, clean stop on a signal; and the command that starts it."""
from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from . import config, data, evaluation, groups, images, processes, runtime, stages
from .checkpoints import (
    Parts,
    checkpoint_folder,
    load_checkpoint,
    load_start,
    save_checkpoint,
    step_name,
    to_resume,
)
from .config import RunConfig
from .errors import Diverged, SuiteError

log = logging.getLogger("ppgan_apps")
_PREVIEWS = 4                                                  # samples in a preview picture


def train(run: RunConfig, resume: str | None = None) -> Path:
    """Trains `run` to its last step and returns what a predictor takes as weights: the folder of the last checkpoint,
    or of a run by groups the run's folder.

    `resume`: None starts anew (the output folder must hold no checkpoint), "auto" goes on from the newest whole
    checkpoint of the output folder or starts anew, a path goes on from that checkpoint folder. Raises ConfigError,
    DataError, OutputError, WeightsError, and Diverged when a loss is no longer finite.
    """
    with _StopSignal() as stop:                                # one for all stages: it must not be lost between two
        return stages.train(run, resume, _train, stop) if run.groups else _train(run, resume, stop)


def _train(run: RunConfig, resume: str | None, stop: _StopSignal) -> Path:
    if runtime.device(run.device) == "cpu" and run.amp != "off":
        log.warning("Mixed precision needs a GPU: training in float32.")
        run = dataclasses.replace(run, amp="off")
    rank, world = processes.join(run)
    checkpoint = to_resume(run, resume)
    dataset = groups.restrict(run.data.open(), run)
    import paddle
    with paddle.utils.unique_name.guard():                     # optimizer state is keyed by name counters
        paddle.seed(run.seed)                                  # every process starts from the same weights
        recipe = config.recipe_class(run.family)(run)
        if run.amp == "fp16":
            _scale_losses(recipe)
        first_step = load_checkpoint(recipe, checkpoint) if checkpoint else 0
        if not checkpoint:
            load_start(recipe, run)
        processes.check_agreement(first_step, world)
        from .sharing import Sharing, shared
        with shared(Sharing(rank, world, run.accumulate, tuple(Parts.of(recipe).networks.values()))):
            return _loop(run, recipe, dataset, first_step, checkpoint, rank, world, stop)


def _scale_losses(recipe) -> None:
    """Gives each optimizer the loss scale that float16 needs; it is saved with the optimizer."""
    from .steps import LossScale
    for optimizer in Parts.of(recipe).optimizers.values():
        optimizer.loss_scale = LossScale()


def _loop(run: RunConfig, recipe, dataset, first_step: int, resumed: Path | None, rank: int, world: int,
          stop: _StopSignal) -> Path:
    images.make_folder(run.output)
    record = (_Record if rank == 0 else _NoRecord)(run, recipe, dataset, first_step, resumed)
    step, launcher = first_step, processes.Launcher(world)
    stream = data.batches(dataset, run.seed, first_step, run.steps, run.batch_size, rank, world, run.workers)
    with record:
        for batch in stream:
            losses = _one_step(run, recipe, batch, step)
            step += 1
            stopped = processes.any_of(stop.requested or launcher.is_gone(), world)   # all end at the same step
            record.after_step(step, losses, last=step == run.steps or stopped)
            if stopped:
                break
        stream.close()
        processes.wait_for_all(world)                          # until the first has written its last checkpoint
    if step < run.steps and rank == 0:
        log.warning("Stopped at step %d of %d; go on with --resume auto.", step, run.steps)
    return checkpoint_folder(run.output, step) if step > first_step else resumed


class _NoRecord(nullcontext):
    """What processes other than the first do after a step: they give their losses for the mean, and check it too."""

    def __init__(self, run: RunConfig, recipe, dataset, first_step: int, resumed: Path | None):
        super().__init__()
        self.run, self.last_good = run, resumed

    def after_step(self, step: int, losses: dict, last: bool) -> None:
        """Takes part in what all processes do after `step` updates."""
        if _is_due(self.run, step, last):
            _check_finite(_values(losses), step, self.last_good)
            if _is_saved(self.run, step, last):
                self.last_good = checkpoint_folder(self.run.output, step)


class _Record:
    """What a run leaves behind: log lines, previews, checkpoints and the progress line."""

    def __init__(self, run: RunConfig, recipe, dataset, first_step: int, resumed: Path | None):
        self.run, self.recipe = run, recipe
        self.logbook = Logbook(Path(run.output), first_step)
        self.preview_batch = data.make_batch(dataset, run.seed, 0, min(_PREVIEWS, len(dataset)))
        self.bar = _progress_bar(run, first_step)
        self.last_good = resumed
        self.distance = evaluation.TrainingDistance(run) if run.evaluate_every else None
        log.info("%s: %d steps on %d pictures, into %s", run.family, run.steps, len(dataset), run.output)

    def __enter__(self) -> _Record:
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def after_step(self, step: int, losses: dict, last: bool) -> None:
        """Logs, shows and saves what is due after `step` updates; at the last step everything is."""
        run = self.run
        if _is_due(run, step, last):
            values = _values(losses)
            _check_finite(values, step, self.last_good)
            self.bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in values.items()), refresh=False)
            if step % run.log_every == 0 or last:
                self.logbook.write(step, values)
        if run.preview_every and (step % run.preview_every == 0 or last):
            save_preview(self.recipe, self.preview_batch, Path(run.output) / "previews" / f"{step_name(step)}.png")
        if run.evaluate_every and (step % run.evaluate_every == 0 or last):
            self.logbook.write(step, {"distance": self.distance(self.recipe)})
        if _is_saved(run, step, last):
            self.last_good = save_checkpoint(self.recipe, run, step)
        self.bar.update(1)


def _is_saved(run: RunConfig, step: int, last: bool) -> bool:
    return step % run.checkpoint_every == 0 or last


def _is_due(run: RunConfig, step: int, last: bool) -> bool:
    """Whether the losses of `step` are read, which waits for the device."""
    return step % run.log_every == 0 or _is_saved(run, step, last)


def _values(losses: dict) -> dict[str, float]:
    """The losses as numbers, averaged over the processes."""
    import paddle

    from .sharing import mean_over_processes
    values = [(value if paddle.is_tensor(value) else paddle.to_tensor(value)).astype("float32").reshape([])
              for value in losses.values()]
    means = mean_over_processes(paddle.stack(values))
    return dict(zip(losses, means.tolist()))


def _check_finite(values: dict[str, float], step: int, last_good: Path | None) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            where = f"the last good checkpoint is {last_good}" if last_good else "none is saved yet"
            raise Diverged(f"The loss {name} is {value} at step {step}; {where}; lower the learning rate.")


def _one_step(run: RunConfig, recipe, batch: dict[str, np.ndarray], step: int) -> dict:
    """One training step whose random numbers follow from (seed, step) alone, the same in every process."""
    import paddle

    from .sharing import current, mean_over_processes, running_statistics
    paddle.seed(int(np.random.SeedSequence([run.seed, 2, step]).generate_state(1)[0] & 0x7FFFFFFF))
    tensors = {name: paddle.to_tensor(array) for name, array in batch.items()}
    with paddle.amp.auto_cast(enable=run.amp != "off", dtype="float16" if run.amp == "fp16" else "bfloat16"):
        losses = recipe.train_step(tensors, step)
    for statistic in running_statistics(current().networks) if current().world > 1 else ():
        mean_over_processes(statistic)
    return losses


class Logbook:
    """The run's log as JSON lines (`log.jsonl`) and, when VisualDL is installed, its scalars.

    On resume the lines after the checkpoint are removed, so the log reads like that of an unbroken run.
    """

    def __init__(self, folder: Path, first_step: int):
        self.path = Path(folder) / "log.jsonl"
        kept = [line for line in self._lines() if line["step"] <= first_step]
        with images.replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._started, self._first_step = time.monotonic(), first_step
        self._board = _visualdl(folder)

    def _lines(self) -> list[dict]:
        if not self.path.is_file():
            return []
        lines = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:                                 # the last line of a run that was killed
                continue
        return lines

    def write(self, step: int, values: dict[str, float]) -> None:
        """Adds one line: the step, the losses and the seconds since this start."""
        line = {"step": step, **values, "seconds": round(time.monotonic() - self._started, 3)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)


def _visualdl(folder: Path):
    try:
        from visualdl import LogWriter
    except ImportError:
        return None
    return LogWriter(str(Path(folder) / "visualdl"))


def save_preview(recipe, batch: dict[str, np.ndarray], path: Path) -> Path:
    """Writes the recipe's preview: one row a sample, its pictures side by side."""
    import paddle
    with paddle.no_grad(), evaluation.evaluating(recipe):
        paddle.seed(recipe.run.seed)
        shown = recipe.preview({name: paddle.to_tensor(array) for name, array in batch.items()})
    columns = [images.to_images(tensor) for tensor in shown.values()]
    if len(columns) == 1:
        return images.write_image(path, images.grid(columns[0], max(1, math.isqrt(len(columns[0])))))
    rows = [picture for sample in zip(*columns) for picture in sample]
    return images.write_image(path, images.grid(rows, len(columns)))


def _progress_bar(run: RunConfig, first_step: int):
    from tqdm import tqdm
    return tqdm(total=run.steps, initial=first_step, desc=run.family, unit="step", file=sys.stderr,
                unit_scale=False, dynamic_ncols=True, mininterval=1.0, bar_format=_bar_format(run.batch_size))


def _bar_format(batch_size: int) -> str:
    shown = "{desc} {n_fmt}/{total_fmt} {percentage:3.0f}% [{elapsed}<{remaining}, {rate_fmt} x"
    return f"{shown}{batch_size}]{{postfix}}"


class _StopSignal:
    """Context in which Ctrl-C and SIGTERM ask the loop to save and stop; a second Ctrl-C stops at once.

    A second SIGTERM does not: Paddle's launcher sends three in a row.
    """

    def __init__(self):
        self.requested = False
        self._before = {}

    def __enter__(self) -> _StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:                                 # not the main thread: the caller handles signals
                break
        return self

    def _handle(self, number, frame):
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)


_EXAMPLES = """examples:
  python tools/main.py --config-file configs/pix2pix_anime2real.yaml
  python tools/main.py --config-file configs/stylegan2_avatars.yaml -o data.path=my_faces steps=20000
  python tools/main.py --config-file configs/animeganv2.yaml --resume auto
  python tools/main.py --config-file configs/ugatit_photo2cartoon.yaml --dry-run
"""


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Trains one GAN family from one YAML file.",
                                     epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--config-file", required=True, metavar="YAML", help="what to train, see configs/")
    parser.add_argument("-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="change a value of the YAML; dots reach into sections: data.size=64")
    parser.add_argument("--resume", metavar="auto|DIR",
                        help="go on from the newest checkpoint of the output folder, or from DIR")
    parser.add_argument("--seed", type=int, help="another seed than the YAML's")
    parser.add_argument("--device", help="auto, cpu, gpu or gpu:N")
    parser.add_argument("--amp", nargs="?", const="bf16", choices=("off", "bf16", "fp16"),
                        help="mixed precision on a GPU: bf16 (--amp alone) or fp16 (GPUs older than Ampere)")
    parser.add_argument("--dry-run", action="store_true",
                        help="check YAML, data and networks, print the settings, do not train")
    return parser


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """The command `tools/main.py` and `ppgan-apps train`. Returns the exit status: 0, or 2 after one line of error."""
    arguments = _parser(prog).parse_args(argv)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    try:
        run = config.load_run(arguments.config_file, arguments.override)
        run.seed = run.seed if arguments.seed is None else arguments.seed
        run.device = arguments.device or run.device
        run.amp = arguments.amp or run.amp
        if arguments.dry_run:
            print(dry_run(run))
        else:
            print(train(run, arguments.resume))
        return 0
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def dry_run(run: RunConfig) -> str:
    """Opens the data, builds the networks and returns what would be trained, as text."""
    import yaml
    runtime.device(run.device)
    dataset = groups.restrict(run.data.open(), run)
    data.make_batch(dataset, run.seed, 0, 1)
    import paddle
    with paddle.utils.unique_name.guard():
        recipe = config.recipe_class(run.family)(run)
        load_start(recipe, run)
        networks = Parts.of(recipe).networks
    sizes = [f"# {name}: {sum(int(np.prod(entry.shape)) for entry in network.parameters()):,} parameters"
             for name, network in networks.items()]
    return "\n".join([yaml.safe_dump(run.to_dict(), sort_keys=False).rstrip(), f"# {len(dataset)} samples", *sizes,
                      *(stages.describe(run) if run.groups else ())])

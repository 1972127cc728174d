"""Progressive training by group: one model for everybody, from it one for each group, from those one for each subgroup.

`groups: [age, sex]` makes of one run a tree of stages: the base, one stage for each age band that begins with the
base's weights, one for each band and sex that begins with the band's. A stage is an ordinary run, with a folder of its
own inside the base's; so each is logged, saved and resumed like any other, and its folder serves as weights by itself.
"""
from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import groups
from .checkpoints import checkpoints, read_meta, to_resume
from .config import RunConfig
from .errors import ConfigError, OutputError
from .weights import resolve

log = logging.getLogger("ppgan_apps")


@dataclass(frozen=True)
class Stage:
    """One model of the plan."""

    name: str                                                  # "base", "age_18-39", "age_18-39_sex_female"
    run: RunConfig                                             # its own run; `run.only` is the group
    parent: Stage | None                                       # the stage whose weights it begins with
    pictures: dict[str, int]                                   # data field -> how many pictures it trains on

    def steps_done(self) -> int:
        """The step of its newest checkpoint, 0 where there is none."""
        saved = checkpoints(self.run.output)
        return int(read_meta(saved[-1])["step"]) if saved else 0

    def finished(self) -> bool:
        """Whether it needs no more training."""
        return self.steps_done() >= self.run.steps


@dataclass(frozen=True)
class Plan:
    """Every stage of a run, parents before children, and the groups that are too small for a model of their own."""

    stages: list[Stage]
    skipped: list[Stage]
    columns: dict[str, list[str]]                              # column -> the labels that pictures have


def plan(run: RunConfig) -> Plan:
    """The stages that `run.groups` asks for. Raises ConfigError and DataError as `groups.labels_of_files` does."""
    if len(set(run.groups)) != len(run.groups):
        raise ConfigError(f"groups is {list(run.groups)}: name each column once.")
    if len(run.grouping.steps) > len(run.groups):
        raise ConfigError(f"grouping.steps has {len(run.grouping.steps)} numbers for {len(run.groups)} level(s) of "
                          f"groups: give one for each column of 'groups'.")
    dataset = run.data.open()
    labels = groups.labels_of_files(dataset, run.grouping, run.groups)
    whole = {name: len(getattr(dataset, attribute)) for name, attribute in dataset.file_lists.items()}
    first = next(iter(labels.values()))
    columns = {column: _labels_in_use(column, first, run) for column in run.groups}

    level = [Stage("base", dataclasses.replace(run, groups=()), None, whole)]
    stages, skipped = list(level), []
    for depth, (column, names) in enumerate(columns.items()):
        children = [_child(run, parent, column, label, depth, labels) for parent in level for label in names]
        level = [stage for stage in children if min(stage.pictures[name] for name in labels) >= run.grouping.least]
        stages += level
        skipped += [stage for stage in children if stage not in level]
    return Plan(stages, skipped, columns)


def _labels_in_use(column: str, labels: list[dict[str, str]], run: RunConfig) -> list[str]:
    """The labels of a column in order: every band, whether it has pictures or not; every word that occurs."""
    limits = run.grouping.bands.get(column)
    if limits is not None:
        return groups.band_labels(limits)
    return sorted({own[column] for own in labels} - {""})


def _child(run: RunConfig, parent: Stage, column: str, label: str, depth: int,
           labels: dict[str, list[dict[str, str]]]) -> Stage:
    group = {**parent.run.only, column: label}
    pictures = {**parent.pictures, **{name: sum(groups.fits(own, group) for own in entries)
                                      for name, entries in labels.items()}}
    name = _folder_name(group)
    steps = run.grouping.steps[min(depth, len(run.grouping.steps) - 1)] if run.grouping.steps else run.steps
    own = dataclasses.replace(run, groups=(), only=group, steps=steps, output=str(Path(run.output) / name))
    return Stage(name, own, parent, pictures)


def _parent_of(stage: Stage) -> str:
    """The name of the stage whose weights one begins with; of the first, which begins with none, its own."""
    return (stage.parent or stage).name


def _folder_name(group: dict[str, str]) -> str:
    """{"age": "18-39", "sex": "female"} -> age_18-39_sex_female; a character that might not do is written as %2f."""
    words = [word for entry in group.items() for word in entry]
    return "_".join(re.sub(r"[^\w+-]", lambda match: f"%{ord(match[0]):02x}", word) for word in words)


def train(run: RunConfig, resume: str | None, train_one: Callable[..., Any], stop: Any) -> Path:
    """Trains every stage of `run` in order with `train_one(run, resume, stop)` and returns the run's folder.

    `resume`: None starts anew (no stage may have a checkpoint), "auto" leaves finished stages alone and goes on with
    the first that is not. After each stage groups.json names the models that are ready. Ends early once
    `stop.requested`. Raises ConfigError, DataError, OutputError, WeightsError and Diverged.
    """
    if resume not in (None, "auto"):
        raise ConfigError(f"A run by groups goes on with --resume auto, not from {resume}: it finds the stage itself.")
    whole = plan(run)
    for stage in whole.stages:
        if resume is None:
            to_resume(stage.run, None)                         # raises where there is a run
        _check_parent(stage)
    for stage in whole.skipped:
        log.info("%s gets no model of its own: %s, fewer than %d; the model of %s is used.",
                 stage.name, _counts(stage), run.grouping.least, _parent_of(stage))
    _write_index(run, whole)
    for number, stage in enumerate(whole.stages, 1):
        if stage.finished():
            log.info("Stage %d of %d, %s: finished.", number, len(whole.stages), stage.name)
            continue
        log.info("Stage %d of %d, %s: %s%s.", number, len(whole.stages), stage.name, _counts(stage),
                 f", from the weights of {stage.parent.name}" if stage.parent else "")
        train_one(_with_start(stage), "auto", stop)
        _wait_for_all()
        _write_index(run, whole)
        if stop.requested:
            log.warning("Stopped in stage %d of %d; go on with --resume auto.", number, len(whole.stages))
            break
    return Path(run.output)


def _with_start(stage: Stage) -> RunConfig:
    """The stage's run, beginning with its parent's last checkpoint."""
    if stage.parent is None:
        return stage.run
    return dataclasses.replace(stage.run, start=str(checkpoints(stage.parent.run.output)[-1]))


def _check_parent(stage: Stage) -> None:
    """Raises OutputError when a stage began with other weights than its parent now has, as after a change of steps."""
    saved = checkpoints(stage.run.output)
    if stage.parent is None or not saved:
        return
    began = Path(yaml.safe_load((saved[-1] / "config.yaml").read_text(encoding="utf-8")).get("start") or "nothing").name
    parent = checkpoints(stage.parent.run.output)
    if not stage.parent.finished() or parent[-1].name != began:
        now = parent[-1].name if parent else "no checkpoint"
        raise OutputError(f"{stage.run.output} was trained from {began} of {stage.parent.name}, which now has {now} "
                          f"and {stage.parent.run.steps} steps to reach: move that folder away to train it anew, or "
                          f"set the steps back.")


def _write_index(run: RunConfig, whole: Plan) -> None:
    """groups.json with every finished stage; none while there is none."""
    if int(os.environ.get("PADDLE_TRAINER_ID", "0")):          # one of several processes, not the first
        return
    folder = Path(run.output)
    ready = [stage for stage in whole.stages if stage.finished()]
    if not ready:
        (folder / groups.INDEX).unlink(missing_ok=True)
        return
    models = [{"group": stage.run.only, "weights": resolve(stage.run.output).relative_to(folder).as_posix(),
               "steps": stage.steps_done(), "pictures": stage.pictures} for stage in ready]
    bands = {column: list(limits) for column, limits in run.grouping.bands.items() if column in run.groups}
    groups.Index(whole.columns, bands, models, folder).write(run.family)


def _wait_for_all() -> None:
    """Where several processes train: until the first has written the checkpoint that all begin the next stage with."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        import paddle
        paddle.distributed.barrier()


def _counts(stage: Stage) -> str:
    return " and ".join(f"{count} pictures of {name}" for name, count in stage.pictures.items())


def describe(run: RunConfig) -> list[str]:
    """The plan as lines for a dry run: each stage with its pictures, steps, parent and how far it is."""
    whole = plan(run)
    width = max(len(stage.name) for stage in whole.stages + whole.skipped)
    lines = [f"# {len(whole.stages)} stages:"]
    for stage in whole.stages:
        done = stage.steps_done()
        state = "finished" if stage.finished() else f"{done} done" if done else "to train"
        origin = f"from {stage.parent.name}" if stage.parent else "the beginning"
        lines.append(f"#   {stage.name:{width}}  {_counts(stage)}, {stage.run.steps} steps, {origin}, {state}")
    for stage in whole.skipped:
        lines.append(f"#   {stage.name:{width}}  {_counts(stage)}: fewer than {run.grouping.least}, no model; "
                     f"{_parent_of(stage)} is used")
    return lines

"""Checkpoints: one folder a step with every network, optimizer and tensor; whole or not there; resumed strictly."""
from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import downloads, images
from .config import RunConfig
from .errors import ConfigError, OutputError, WeightsError
from .weights import load_strict, read_weights, save_weights

log = logging.getLogger("ppgan_apps")
_LOSS_SCALE = ".loss_scale"                                    # of an optimizer in float16, among the tensors


def step_name(step: int) -> str:
    """The name of a step's files: step_00000100."""
    return f"step_{step:08d}"


def checkpoint_folder(output: str | Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return Path(output) / "checkpoints" / step_name(step)


def checkpoints(output: str | Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first. A folder gets its name only once everything in it is written."""
    return sorted(path.parent for path in (Path(output) / "checkpoints").glob("step_*/meta.json"))


@dataclass
class Parts:
    """What a recipe keeps across a restart."""

    networks: dict[str, Any]
    optimizers: dict[str, Any]
    tensors: dict[str, Any]

    @classmethod
    def of(cls, recipe: Any) -> Parts:
        import paddle
        public = {name: value for name, value in vars(recipe).items() if not name.startswith("_")}

        def pick(kind: Any) -> dict[str, Any]:
            return {name: value for name, value in public.items() if isinstance(value, kind)}
        optimizers = pick(paddle.optimizer.Optimizer)
        scales = {f"{name}{_LOSS_SCALE}": optimizer.loss_scale.state for name, optimizer in optimizers.items()
                  if hasattr(optimizer, "loss_scale")}
        return cls(pick(paddle.nn.Layer), optimizers, {**pick(paddle.Tensor), **scales})


def _arrays(state: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value.numpy()) for name, value in state.items() if hasattr(value, "numpy")}


def _parameter_names(parts: Parts) -> dict[str, str]:
    """From Paddle's name of a parameter, a counter of the process, to its place: conv2d_3.w_0 -> G.model.0.weight."""
    return {parameter.name: f"{network_name}.{name}" for network_name, network in parts.networks.items()
            for name, parameter in network.named_parameters()}


def _by_structure(state: dict[str, np.ndarray], parts: Parts) -> dict[str, np.ndarray]:
    """Optimizer entries under their parameter's place: conv2d_3.w_0_moment1_0 -> G.model.0.weight/moment1_0."""
    places = _parameter_names(parts)
    renamed = {}
    for key, value in state.items():
        words = key.split("_")
        prefixes = ("_".join(words[:count]) for count in range(len(words) - 1, 0, -1))
        owner = next(name for name in prefixes if name in places)
        renamed[f"{places[owner]}/{key[len(owner) + 1:]}"] = value
    return renamed


def _load_optimizer(optimizer: Any, state: dict[str, np.ndarray], parts: Parts, source: str) -> None:
    """Restores an optimizer from entries named by `_by_structure`. Raises WeightsError for entries that do not fit."""
    import paddle
    names = {place: name for name, place in _parameter_names(parts).items()}
    unknown = [key for key in state if key.rpartition("/")[0] not in names]
    if unknown:
        raise WeightsError(f"{source} has entries of other networks ({', '.join(unknown[:3])}): "
                           f"resume with the code and YAML that wrote it.")
    values = {}
    for key, value in state.items():
        place, _, kind = key.rpartition("/")
        values[f"{names[place]}_{kind}"] = value
    entries = _make_entries(optimizer, {names[key.rpartition("/")[0]] for key in state})
    odd = entries.keys() ^ values.keys()
    odd |= {name for name in entries.keys() & values.keys() if list(entries[name].shape) != list(values[name].shape)}
    if odd:
        raise WeightsError(f"{source} does not fit the optimizer ({len(odd)} entries are missing, unknown or of "
                           f"another shape): resume with the code and YAML that wrote it.")
    for name, entry in entries.items():
        entry.set_value(paddle.to_tensor(values[name]))


def _make_entries(optimizer: Any, owners: set[str]) -> dict[str, Any]:
    """The optimizer's entries, by Paddle's name, once the parameters called `owners` have theirs.

    Paddle makes a parameter's entries at its first update, so a part of a network that is not trained yet has none;
    and what `set_state_dict` is given for a part that is trained no longer would be lost. A step of rate 0 makes them.
    """
    rate = optimizer.get_lr()
    optimizer.set_lr(0.0)
    optimizer.clear_grad(set_to_zero=False)
    for parameter in optimizer._parameter_list:
        if parameter.name in owners and not parameter.stop_gradient:
            (parameter * 0).sum().backward()
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
    optimizer.set_lr(rate)
    return {name: entry for name, entry in optimizer.state_dict().items() if hasattr(entry, "set_value")}


def save_checkpoint(recipe: Any, run: RunConfig, step: int) -> Path:
    """Writes every network, optimizer and tensor of `recipe`, the resolved YAML and meta.json as one folder.

    The folder is written under a temporary name, brought to the disk and renamed, so a folder named step_* is always
    whole. meta.json holds the SHA-256 of every file, by which a later damage is noticed.
    """
    import yaml
    final = checkpoint_folder(run.output, step)
    images.make_folder(final.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".writing_", dir=final.parent))
    except OSError as error:
        raise OutputError(f"{final.parent} cannot be written ({error.strerror}): choose another output.") from error
    parts = Parts.of(recipe)
    about = {"family": run.family, "step": step}
    try:
        for name, network in parts.networks.items():
            metadata = {**about, "network": getattr(network, "arguments", {})}
            if name == recipe.deliver:
                metadata.update(recipe.metadata())
            save_weights(temporary / f"{name}.safetensors", _arrays(network.state_dict()), metadata)
        for name, optimizer in parts.optimizers.items():
            state = _by_structure(_arrays(optimizer.state_dict()), parts)
            save_weights(temporary / f"{name}.optimizer.safetensors", state, about)
        if parts.tensors:
            save_weights(temporary / "state.safetensors", _arrays(parts.tensors), about)
        (temporary / "config.yaml").write_text(yaml.safe_dump(run.to_dict(), sort_keys=False), encoding="utf-8")
        meta = {**about, "deliver": recipe.deliver, "networks": sorted(parts.networks), "seed": run.seed,
                "sha256": {path.name: downloads.sha256_of(path) for path in sorted(temporary.iterdir())}}
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        _to_disk(temporary)
        images.replace_folder(temporary, final)
        _to_disk(final.parent)
    except OSError as error:
        raise OutputError(f"{final} cannot be written ({error}): free some space or choose another output.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_old(run, final)
    return final


def _to_disk(folder: Path) -> None:
    """Waits until the folder and the files in it are on the disk: a power cut could otherwise leave empty files under
    the final name."""
    for path in (*(path for path in folder.iterdir() if path.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_old(run: RunConfig, newest: Path) -> None:
    older = [folder for folder in checkpoints(run.output) if folder < newest]
    for folder in older[:max(0, len(older) + 1 - run.keep_checkpoints)]:
        (folder / "meta.json").unlink(missing_ok=True)         # from here on it counts as no checkpoint
        shutil.rmtree(folder, ignore_errors=True)
    for leftover in newest.parent.glob(".writing_*"):          # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)


def load_checkpoint(recipe: Any, folder: Path) -> int:
    """Restores `recipe` from a checkpoint folder and returns the step it was written at.

    Raises WeightsError when an entry is missing, damaged or of another shape.
    """
    meta = read_meta(folder)
    parts = Parts.of(recipe)
    _load_networks(parts, folder)
    for name, optimizer in parts.optimizers.items():
        _load_optimizer(optimizer, read_weights(folder / f"{name}.optimizer.safetensors"), parts,
                        str(folder / f"{name}.optimizer.safetensors"))
    _load_tensors(parts.tensors, folder / "state.safetensors")
    step = int(meta["step"])
    recipe.at_step(step)
    return step


def load_start(recipe: Any, run: RunConfig) -> None:
    """Fills the networks of a new run, and their tensors, from the checkpoint or run folder `run.start`, if any.

    Its optimizers start afresh, and so does an averaged network that the other run did not have. Raises WeightsError
    when an entry is missing, damaged or of another shape, ConfigError when the family differs.
    """
    if run.start:
        folder = _newest(Path(run.start), run.family)
        _load_networks(Parts.of(recipe), folder, begins_average=True)
        _load_tensors(Parts.of(recipe).tensors, folder / "state.safetensors")


def _load_networks(parts: Parts, folder: Path, begins_average: bool = False) -> None:
    """`begins_average`: an average, <name>_ema, that is not there begins as what it averages."""
    for name, network in parts.networks.items():
        path = folder / f"{name}.safetensors"
        if begins_average and not path.exists():
            path = folder / f"{name.removesuffix('_ema')}.safetensors"
        load_strict(network, read_weights(path), str(path))


def _load_tensors(tensors: dict[str, Any], path: Path) -> None:
    """Restores a recipe's tensors. A loss scale that is not there starts anew: the run began in another precision."""
    import paddle
    needed = [name for name in tensors if not name.endswith(_LOSS_SCALE)]
    state = read_weights(path) if needed or path.is_file() else {}
    for name in [*needed, *(name for name in tensors if name in state and name not in needed)]:
        if name not in state or list(state[name].shape) != list(tensors[name].shape):
            raise WeightsError(f"{path} has no '{name}' of shape {list(tensors[name].shape)}: "
                               f"resume with the code and YAML that wrote it.")
        tensors[name].set_value(paddle.to_tensor(state[name]))


def read_meta(folder: Path) -> dict[str, Any]:
    """meta.json of a checkpoint folder. Raises WeightsError when there is none or it is damaged."""
    path = Path(folder) / "meta.json"
    try:
        meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        int(meta["step"])
        return meta
    except FileNotFoundError:
        raise WeightsError(f"{folder} is no checkpoint (it has no meta.json): give a folder named step_*.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}): resume from another checkpoint.") from error


def damage(folder: Path) -> str:
    """What is wrong with the files of a checkpoint, by their sums or, where an older version wrote none, by reading
    them; empty when nothing is."""
    try:
        sums = read_meta(folder).get("sha256")
        if not isinstance(sums, dict):
            for path in sorted(folder.glob("*.safetensors")):
                read_weights(path)
            return ""
        return next((f"{name} is not the file that was written" for name, known in sums.items()
                     if not (folder / name).is_file() or downloads.sha256_of(folder / name) != known), "")
    except (OSError, WeightsError) as error:
        return str(error).rstrip(".")


def to_resume(run: RunConfig, resume: str | None) -> Path | None:
    """The checkpoint folder that `resume` means (see `trainer.train`), None for a new run.

    A run's newest checkpoint that is damaged is passed over for the one before it, and a warning says so. Raises
    OutputError when a new run would mix with one already there, ConfigError when the family differs, WeightsError when
    every checkpoint is damaged, or the one that is asked for.
    """
    existing = checkpoints(run.output)
    if resume is None and existing:
        raise OutputError(f"{run.output} already holds a run (step {read_meta(existing[-1])['step']}): "
                          f"go on with --resume auto, or choose another folder with -o output=FOLDER.")
    if resume is None or (resume == "auto" and not existing):
        return None
    return _newest(Path(run.output) if resume == "auto" else Path(resume), run.family)


def _newest(folder: Path, family: str) -> Path:
    """`folder` itself when it is a checkpoint, else the newest whole one of this run folder. Raises as `to_resume`
    does."""
    of_run = [] if (folder / "meta.json").is_file() else checkpoints(folder)[::-1]
    faults = []
    for candidate in of_run or [folder]:
        wrong = damage(candidate) if (candidate / "meta.json").is_file() else ""
        if not wrong:
            break
        faults.append(f"the checkpoint {candidate} is damaged ({wrong})")
    else:
        raise WeightsError(f"{'; '.join(faults)}: use another one.")
    found = read_meta(candidate).get("family")
    if found != family:
        raise ConfigError(f"{candidate} is a checkpoint of '{found}', not of '{family}': choose another folder.")
    for fault in faults:
        log.warning("Passed over: %s; going on from %s.", fault, candidate)
    return candidate

"""From a file of another project to one of ours: what is in it, which network that is, and the .safetensors of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import unpickling
from ..errors import OutputError, WeightsError
from ..weights import build, load_strict, read_weights, save_weights
from . import (
    animegan2_pytorch,
    animeganv2_tensorflow,
    cyclegan_pix2pix,
    photo2cartoon,
    stylegan2_nvlabs,
    stylegan2_rosinality,
    tensorbundle,
)
from .layout import Imported, some

# Each module has PROJECT, FAMILY, LICENCE, PARTS (the generators' names in a file of several networks, best first),
# `recognises` and `convert`.
PROJECTS: tuple[ModuleType, ...] = (
    animegan2_pytorch,
    animeganv2_tensorflow,
    stylegan2_rosinality,
    stylegan2_nvlabs,
    photo2cartoon,
    cyclegan_pix2pix,
)
FAMILIES = ("animeganv2", "stylegan2", "photo2cartoon", "cyclegan", "pix2pix")
SAME_NETWORKS = {"pix2pix": "cyclegan"}  # families that one project writes alike
NONSENSE = (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError, ZeroDivisionError)
PARALLEL = "module."  # what PyTorch's DataParallel puts before each name


@dataclass(frozen=True)
class Found:
    """A network in a file: its part ("" where the file is the network), its entries, and whose layout they have."""

    part: str
    state: dict[str, np.ndarray]
    project: ModuleType
    contents: Any  # what the part lies in; for NVlabs its module

    @property
    def rank(self) -> int:
        """Smaller for what makes the pictures that the project is known for."""
        parts = self.project.PARTS
        return parts.index(self.part) if self.part in parts else len(parts)


def import_file(source: Path, target: Path, family: str | None = None, part: str = "", licence: str = "",
                changes: Mapping[str, Any] | None = None, overwrite: bool = False) -> tuple[Path, list[str]]:
    """Writes one network of a foreign file as .safetensors; its constructor arguments stand in the metadata.

    Args:
        source: .pt, .pth, .pkl, a TensorFlow checkpoint (any of its files, their common beginning or the folder).
        family: one of FAMILIES; None: whatever the entries' names say.
        part: which of several networks; "": the one that makes the pictures.
        licence: what the new file states; "": what the project's owners state.
        changes: constructor arguments ("upsample_align") or "input" that are to be other than the project's.
        overwrite: replace `target` where it exists.
    Returns:
        `target`, and what the user should know: lines of text.
    Raises:
        WeightsError: no readable file, no known layout, entries missing or unexpected.
        OutputError: `target` exists, or cannot be written.
    """
    if target.suffix != ".safetensors":
        raise OutputError(f"{target} would be written as .safetensors: give it that ending.")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; use --overwrite.")
    found, others = _choose(source, family, part)
    imported = _changed(_convert(found, source), changes or {})
    network = _build(imported, f"{source}")
    kind = type(network).__name__
    metadata = {"network": network.arguments, "family": _family(found.project, imported),
                "licence": licence or found.project.LICENCE or "not stated in the file",
                "source": f"{found.project.PROJECT}, imported from {source.name}", **imported.metadata}
    path = save_weights(target, imported.state, metadata)
    notices = [f"{len(found.state)} entries of {found.project.PROJECT}{f' ({found.part})' if found.part else ''} are "
               f"the {len(imported.state)} of {kind}.", *(f"Notice: {notice}." for notice in imported.notices)]
    if imported.dropped:
        notices.append(f"{len(imported.dropped)} entries are left out by rule ({some(imported.dropped)}).")
    if others:
        notices.append(f"Also in the file, for --part: {', '.join(others)}.")
    return path, notices


def read_network(source: Path, family: str | None = None, part: str = "") -> Imported:
    """One network of a foreign file in our terms, as `import_file` would write it. Raises WeightsError."""
    found, _ = _choose(source, family, part)
    return _convert(found, source)


def read_layout(source: Path, layout: str) -> dict[str, np.ndarray]:
    """The entries, by our names, of a file of which a zoo record says that it has the layout of the module `layout`.

    Raises WeightsError.
    """
    project = import_module(f".{layout}", __package__)
    for found in _networks(_contents(source), (project,)):
        return dict(_convert(found, source).state)
    raise WeightsError(f"{source} holds no network of {project.PROJECT}: download it again.")


# ---------------------------------------------------------------------------------------------------------------------
# What is in a file
# ---------------------------------------------------------------------------------------------------------------------
def _choose(source: Path, family: str | None, part: str) -> tuple[Found, list[str]]:
    """The wanted network, and the names of the file's other ones."""
    contents = _contents(source)
    everything = _networks(contents, PROJECTS)
    family = SAME_NETWORKS.get(family or "", family)
    networks = [found for found in everything if family in (None, found.project.FAMILY)]
    if not networks and everything:
        families = ", ".join(sorted({found.project.FAMILY for found in everything}))
        raise WeightsError(f"{source} holds no network of {family} but of {families}: leave --as out.")
    if not networks:
        raise WeightsError(f"{source} holds no network of a project that is known here "
                           f"({', '.join(project.PROJECT for project in PROJECTS)}){_glimpse(contents)}.")
    names = sorted({found.part for found in networks})
    wanted = [found for found in networks if found.part == part] if part else networks
    if not wanted:
        raise WeightsError(f"{source} has no part '{part}': use --part {' or '.join(filter(None, names)) or 'not'}.")
    best = min(wanted, key=lambda found: found.rank)
    return best, [name for name in names if name != best.part]


def _glimpse(contents: Any) -> str:
    """A few of the names in a file, for a message."""
    names = [str(name)[:60] for name in contents] if isinstance(contents, dict) else []
    return f"; its entries are {some(names)}" if names else ""


def _contents(source: Path) -> Any:
    """What a file holds, as dicts and arrays in the foreign project's own names and orders."""
    try:
        prefix = tensorbundle.checkpoint_prefix(source)
        if prefix is not None:
            return tensorbundle.read_checkpoint(prefix)
        if source.is_dir():
            raise WeightsError(f"{source} is a folder without a TensorFlow checkpoint: give the weight file.")
        with source.open("rb") as file:
            head = file.read(64 << 10)
        if head[:4] == b"PK\x03\x04":
            return unpickling.read_torch_zip(source)
        if unpickling.looks_like_old_torch(head):
            return unpickling.read_old_torch(source)
        if b"dnnlib.tflib.network" in head:
            raise WeightsError(f"{source} is a TensorFlow StyleGAN2: first make a PyTorch one of it with legacy.py of "
                               "NVlabs/stylegan2-ada-pytorch.")
        # Every pickle since protocol 2 begins so; read_weights has a message for whatever else a file may be.
        return unpickling.read_persistent_pickle(source) if head[:1] == b"\x80" else read_weights(source)
    except OSError as error:
        raise WeightsError(f"The file {source} cannot be read ({error.strerror or error}): check the path.") from error


def _networks(contents: Any, projects: tuple[ModuleType, ...]) -> list[Found]:
    """Every network in a file that has the layout of one of the projects."""
    if not isinstance(contents, dict):
        return []
    return [Found(part, state, project, within) for part, state, within in _states(contents) for project in projects
            if project.recognises(state)]


def _states(contents: dict[Any, Any]) -> list[tuple[str, dict[str, np.ndarray], Any]]:
    """(part, entries, what they lie in) of all that may be a network: the file itself, or a dict or module in it."""
    if stylegan2_nvlabs.is_module(contents):
        return [("", stylegan2_nvlabs.flatten(contents), contents)]
    states = [("", _arrays(contents), contents)]
    for name, value in contents.items():
        if stylegan2_nvlabs.is_module(value):
            states.append((str(name), stylegan2_nvlabs.flatten(value), value))
        elif isinstance(value, dict):
            states.append((str(name), _arrays(value), contents))
    return [state for state in states if state[1]]


def _arrays(entries: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {str(name).removeprefix(PARALLEL): value for name, value in entries.items() if isinstance(value, np.ndarray)}


# ---------------------------------------------------------------------------------------------------------------------
# Into our terms
# ---------------------------------------------------------------------------------------------------------------------
def _convert(found: Found, source: Path) -> Imported:
    try:
        imported: Imported = found.project.convert(found.state, source.stem, found.contents)
        return imported
    except WeightsError as error:
        raise WeightsError(f"{source}{f' ({found.part})' if found.part else ''}: {error}") from error
    except NONSENSE as error:                                  # sizes and attributes that no project writes
        raise WeightsError(f"{source} names its entries as {found.project.PROJECT} does, but what they hold makes no "
                           f"sense ({' '.join(str(error).split())[:160] or type(error).__name__}): download it again."
                           ) from error


def _changed(imported: Imported, changes: Mapping[str, Any]) -> Imported:
    """With the constructor arguments and metadata that a user wants to be different."""
    arguments = {name: value for name, value in changes.items() if name != "input"}
    metadata = {name: value for name, value in changes.items() if name == "input"}
    return replace(imported, arguments={**imported.arguments, **arguments},
                   metadata={**imported.metadata, **metadata})


def _build(imported: Imported, source: str) -> Any:
    """Our network, filled: what is written is what a predictor can load."""
    module, _, kind = imported.network.partition(":")
    make = getattr(import_module(f"...networks.{module}", __name__), kind)
    try:
        network = build(make, imported.arguments, imported.state)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source} holds a {kind} that the suite cannot build: {error}") from error
    return load_strict(network, imported.state, source)


def _family(project: ModuleType, imported: Imported) -> str:
    return "pix2pix" if imported.network.startswith("unet:") else project.FAMILY

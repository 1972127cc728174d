"""From YAML to a typed run: every fault of the file is found at once and reported in one ConfigError."""
from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigError
from .groups import Grouping

RECIPES_VARIABLE = "PPGAN_APPS_RECIPES"      # folders with family files beside the suite's own
MAX_YAML_CHARACTERS = 1_000_000
MAX_YAML_DEPTH = 100
MAX_YAML_ALIASES = 10                        # ten that repeat each other make some hundred values of one


@dataclass
class RunConfig:
    """One training run: what every family shares, and two sections of its own, `data` and `recipe`."""

    family: str                         # the recipe file in ppgan_apps/recipes, or in PPGAN_APPS_RECIPES
    steps: int                          # generator updates in all
    batch_size: int                     # pictures per step, over all processes
    data: Any                           # the family's data section (ppgan_apps/data.py)
    recipe: Any                         # the family's numbers (its Config class)
    output: str = ""                    # run folder; empty: output/<name of the YAML>
    seed: int = 0                       # order, noise and augmentation follow from it
    device: str = "auto"                # auto, cpu, gpu, gpu:N
    accumulate: int = 1                 # parts that a process computes its samples in, one after another, for memory
    amp: Literal["off", "bf16", "fp16"] = "off"     # mixed precision on a GPU; true: bf16; penalties stay in float32
    workers: int = 1                    # threads that read pictures ahead
    log_every: int = 10                 # steps between lines of the log
    preview_every: int = 500            # steps between preview pictures; 0: none
    checkpoint_every: int = 500         # steps between checkpoints
    keep_checkpoints: int = 2           # older ones are removed
    evaluate_every: int = 0             # steps between distances to real pictures in the log; 0: none
    evaluate_count: int = 1000          # pictures of each side that such a distance is measured with
    start: str = ""                     # checkpoint or run folder whose networks a new run begins with; empty: none
    groups: tuple[str, ...] = ()        # attributes: one model for all, then one for each value of the first, ...
    grouping: Grouping = field(default_factory=Grouping)   # how the groups are formed and trained (groups.py)
    only: dict[str, str] = field(default_factory=dict)     # train on the pictures of this group: {age: 18-39}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML; reading them back gives an equal run."""
        return dict(_plain(dataclasses.asdict(self)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


@dataclass
class _Faults:
    """Collects what is wrong, so that the user sees all of it at once."""

    found: list[str] = field(default_factory=list)

    def add(self, key: str, text: str) -> None:
        self.found.append(f"{key}: {text}")

    def raise_if_any(self, source: str) -> None:
        if self.found:
            raise ConfigError(f"{source} has {len(self.found)} fault(s): " + "; ".join(self.found) + ".")


def recipe_folders() -> list[str]:
    """Where family files are looked for: ppgan_apps/recipes, then the folders in the environment variable
    PPGAN_APPS_RECIPES. A YAML names no folder, so that it never decides whose Python file is run.

    Raises ConfigError for a folder that does not exist.
    """
    own = [folder for folder in os.environ.get(RECIPES_VARIABLE, "").split(os.pathsep) if folder]
    for folder in own:
        if not Path(folder).is_dir():
            raise ConfigError(f"{RECIPES_VARIABLE} names {folder}, which is no folder: set it to the folder that holds "
                              f"your family files.")
    return [str(Path(__file__).parent / "recipes"), *(str(Path(folder).resolve()) for folder in own)]


def families() -> list[str]:
    """The families that can be trained: the files of the recipe folders."""
    names = {path.stem for folder in recipe_folders() for path in Path(folder).glob("*.py")}
    return sorted(names - {"__init__", "base"})


def recipe_class(family: str) -> Any:
    """The Recipe of a family: the only Recipe that the file <family>.py of a recipe folder defines itself.

    Raises ConfigError when there is no such file.
    """
    if not isinstance(family, str) or family not in families() or find_spec(f"ppgan_apps.recipes.{family}") is None:
        raise ConfigError(f"There is no family '{str(family)[:100]}'{_did_you_mean(str(family)[:100], families())}: "
                          f"use one of {', '.join(families())}; for a file of your own set {RECIPES_VARIABLE} to its "
                          f"folder.")
    module = import_module(f"ppgan_apps.recipes.{family}")
    from .recipes.base import Recipe
    own = [value for value in vars(module).values()
           if isinstance(value, type) and issubclass(value, Recipe) and value.__module__ == module.__name__]
    if len(own) != 1:
        raise ConfigError(f"{module.__file__} defines {len(own)} recipes: a family file defines exactly one.")
    return own[0]


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a YAML file and `key=value` overrides (dots reach into sections) into a RunConfig.

    Raises ConfigError that lists every unknown key, missing value and wrong type.
    """
    import yaml
    path = Path(path)
    try:
        values = _read_yaml(_bounded_text(path))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: give the path of a YAML file, such as those in configs/.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}).") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:   # ValueError: a date that is none
        raise ConfigError(f"{path} is not valid YAML ({' '.join(str(error).split())[:300]}).") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings: it should be a list of 'key: value' lines.")
    for override in overrides:
        _apply_override(values, override)
    run = parse_run(values, str(path))
    if not run.output:
        run.output = str(Path("output") / path.stem)
    return run


def _bounded_text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(MAX_YAML_CHARACTERS + 1)
    if len(text) > MAX_YAML_CHARACTERS:
        raise ConfigError(f"{path} is longer than {MAX_YAML_CHARACTERS} characters: settings are not.")
    return text


def _read_yaml(text: str) -> Any:
    """Plain values of YAML, without what makes a small text large: aliases that repeat what repeats others."""
    import yaml
    aliases = depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        aliases += isinstance(token, yaml.AliasToken)
        depth += isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken))
        depth -= isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken))
        if depth > MAX_YAML_DEPTH:                             # the time to read grows with the square of it
            raise yaml.YAMLError(f"more than {MAX_YAML_DEPTH} brackets in brackets")
    if aliases > MAX_YAML_ALIASES:
        raise ConfigError(f"The YAML repeats itself by {aliases} aliases (*name), more than {MAX_YAML_ALIASES}: write "
                          f"the values out.")
    return yaml.safe_load(text)


def _apply_override(values: dict[str, Any], override: str) -> None:
    """`data.size=64` sets values["data"]["size"]; the value is read as YAML."""
    import yaml
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"The override '{override}' should read key=value, for example data.size=64.")
    try:
        value = _read_yaml(text) if text.strip() else ""
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"The override '{override}' has a value that is not valid YAML.") from error
    *sections, leaf = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"The override '{override}' goes into '{section}', which is not a section.")
    values[leaf] = value


def parse_run(values: Mapping[str, Any], source: str = "The configuration") -> RunConfig:
    """A RunConfig of nested plain values. Raises ConfigError that lists every fault."""
    if "family" not in values:
        raise ConfigError(f"{source} has no 'family': name one of {', '.join(families())}.")
    recipe = recipe_class(values["family"])
    faults = _Faults()
    common = {key: value for key, value in values.items() if key not in ("data", "recipe")}
    common.pop("grouping", None)
    if common.get("amp") is True:
        common["amp"] = "bf16"
    parsed = _parse_fields(RunConfig, common, "", faults, skip=("data", "recipe", "grouping"))
    parsed["grouping"] = _parse_section(Grouping, values.get("grouping"), "grouping", faults)
    parsed["data"] = _parse_section(recipe.Data, values.get("data"), "data", faults)
    parsed["recipe"] = _parse_section(recipe.Config, values.get("recipe"), "recipe", faults)
    for key in ("steps", "batch_size", "accumulate", "log_every", "checkpoint_every", "keep_checkpoints"):
        if isinstance(parsed.get(key), int) and parsed[key] < 1:
            faults.add(key, f"is {parsed[key]}, should be 1 or more")
    if parsed.get("groups") and parsed.get("only"):
        faults.add("only", "is one group, and 'groups' asks for several: give one of them")
    faults.raise_if_any(source)
    return RunConfig(**parsed)


def _parse_section(schema: type, values: Any, name: str, faults: _Faults) -> Any:
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        faults.add(name, "should be a section of 'key: value' lines")
        return None
    before = len(faults.found)
    parsed = _parse_fields(schema, values, name + ".", faults)
    if len(faults.found) > before:
        return None
    try:
        return schema(**parsed)
    except ConfigError as error:                               # a section's own checks (__post_init__)
        faults.add(name, str(error).rstrip("."))
        return None


def _parse_fields(schema: type, values: Mapping[str, Any], prefix: str, faults: _Faults,
                  skip: Sequence[str] = ()) -> dict[str, Any]:
    hints = typing.get_type_hints(schema)
    fields = {entry.name: entry for entry in dataclasses.fields(schema) if entry.init and entry.name not in skip}
    for key in values:
        if key not in fields:
            faults.add(f"{prefix}{str(key)[:100]}", f"is not a known key{_did_you_mean(str(key)[:100], fields)}")
    parsed = {}
    for name, entry in fields.items():
        if name in values:
            try:
                parsed[name] = _convert(values[name], hints[name])
            except (TypeError, ValueError, OverflowError):     # OverflowError: an infinite whole number
                faults.add(f"{prefix}{name}", f"is {_shown(values[name])}, should be {_describe(hints[name])}")
        elif entry.default is MISSING and entry.default_factory is MISSING:
            faults.add(f"{prefix}{name}", f"is missing, should be {_describe(hints[name])}")
    return parsed


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _convert(value: Any, hint: Any) -> Any:
    """`value` as the type `hint`. Raises TypeError or ValueError when it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Literal:
        if value in arguments:
            return value
        if isinstance(value, bool) and ("on" if value else "off") in arguments:   # YAML 1.1 reads off as false
            return "on" if value else "off"
        raise ValueError
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(entry for entry in arguments if entry is not type(None)))
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise TypeError
        if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
            return origin(_convert(entry, arguments[0]) for entry in value)
        if len(value) != len(arguments):
            raise ValueError
        return tuple(_convert(entry, kind) for entry, kind in zip(value, arguments))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise TypeError
        return {_convert(key, arguments[0]): _convert(entry, arguments[1]) for key, entry in value.items()}
    if hint is float:
        if isinstance(value, bool):
            raise TypeError
        return float(value)                                    # PyYAML reads 1e-4 as a string
    if hint is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise TypeError
        return int(float(value)) if isinstance(value, str) and "e" in value.lower() else int(value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)                                      # a folder may be called 2024
    if not isinstance(value, hint):
        raise TypeError
    return value


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nothing" if entry is type(None) else _describe(entry) for entry in arguments)
    if origin in (tuple, list):
        return "a list of " + " and ".join(sorted({_describe(entry) for entry in arguments if entry is not Ellipsis}))
    if origin is dict:
        return f"a section of 'key: value' lines, each value {_describe(arguments[1])}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))

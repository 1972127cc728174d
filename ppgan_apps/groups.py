"""Groups of pictures by a table of attributes, and the index that names the model trained for each group.

A group is a dict from a column of the table to a label: {"age": "18-39", "sex": "female"}. The label of a number is its
band, that of a word the word itself, in small letters. Nothing here knows a family or what a column means.
"""
from __future__ import annotations

import copy
import json
import math
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import images
from .archives import ZipPath
from .data import Dataset, attributes_file, data_root, read_attributes
from .errors import ConfigError, DataError, WeightsError
from .weights import resolve

INDEX = "groups.json"                                          # in the folder of a run by groups


@dataclass
class Grouping:
    """The `grouping` section: how pictures are divided into groups, and how long a model of each is trained."""

    # Columns of numbers, and the lowest number of each of their bands; every other column is one of words.
    bands: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"age": (0, 18, 40, 60)})
    steps: tuple[int, ...] = ()         # steps of a model at each level below the base; empty: as many as the base
    least: int = 20                     # a group of fewer pictures gets no model of its own: its parent's is used
    # data field -> table with a column 'file' relative to the table; empty: attributes.csv or .jsonl in the data folder
    tables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column, limits in self.bands.items():
            if not limits or limits[0] < 0 or any(low >= high for low, high in zip(limits, limits[1:])):
                raise ConfigError(f"bands of {column} are {list(limits)}, should be whole numbers from 0 that grow.")
        if self.least < 1 or any(steps < 1 for steps in self.steps):
            raise ConfigError("least and steps should be 1 or more.")


def band_labels(limits: Sequence[int]) -> list[str]:
    """The names of the bands that begin at `limits`: [0, 18, 60] -> 00-17, 18-59, 60+."""
    width = len(str(limits[-1]))
    closed = [f"{low:0{width}d}-{high - 1:0{width}d}" for low, high in zip(limits, limits[1:])]
    return [*closed, f"{limits[-1]:0{width}d}+"]


def label_of(value: Any, limits: Sequence[int] | None = None) -> str:
    """The label of one attribute: with `limits` the band of a number ("" below the first), else the word.

    "" where nothing is known (None or an empty text). Raises ValueError for what should be a number and is none.
    """
    if value is None or not str(value).strip():
        return ""
    if limits is None:
        return str(value).strip().lower()
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(value)
    place = bisect_right(limits, number)
    return band_labels(limits)[place - 1] if place else ""


def fits(labels: Mapping[str, str], group: Mapping[str, str]) -> bool:
    """Whether something with these labels belongs to the group; a column without a label at all does not matter."""
    return all(labels.get(column, label) == label for column, label in group.items())


# Pictures
def labels_of_files(dataset: Dataset, grouping: Grouping, columns: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """By data field, for each file of an open data set its label in each column ("" where it is not known).

    The first folder needs a table with every column. Another one may lack a table, and is then left out here, or a
    column, by which it is then not divided. Raises DataError for a missing table, column or file, or a value that is no
    number where one is needed; ConfigError for data that cannot be divided.
    """
    if not dataset.file_lists:
        raise ConfigError(f"Data of the kind {type(dataset).__name__} cannot be divided: leave out groups and only.")
    unknown = [name for name in grouping.tables if name not in dataset.file_lists]
    if unknown:
        raise ConfigError(f"grouping.tables names {', '.join(unknown)}: use {' or '.join(dataset.file_lists)}.")
    found: dict[str, Any] = {}
    for name, attribute in dataset.file_lists.items():
        folder, files = data_root(getattr(dataset, name)), getattr(dataset, attribute)
        table = Path(grouping.tables[name]) if grouping.tables.get(name) else attributes_file(folder)
        if table is not None:
            found[name] = _labels(table, files, grouping, columns, needed=not found)
        elif not found:
            raise DataError(f"{folder} has no attributes.csv or attributes.jsonl to take groups from: write one with "
                            f"the columns file, {', '.join(columns)}, or name it in grouping.tables.{name}.")
    return found


def _labels(table: Path | ZipPath, files: list[Any], grouping: Grouping, columns: Sequence[str],
            needed: bool) -> list[dict[str, Any]]:
    rows = read_attributes(table)
    known = dict.fromkeys(column for row in rows.values() for column in row if column is not None)
    missing = [column for column in columns if column not in known]
    if missing and needed:
        raise DataError(f"{table} has no column {' or '.join(map(repr, missing))} (it has: "
                        f"{', '.join(map(str, known))}): add it, or change 'groups'.")
    labels = {}
    for name, row in rows.items():
        labels[_place(table.parent / name)] = {
            column: _label_in(table, name, column, row.get(column), grouping) for column in columns if column in known}
    places = [_place(file) for file in files]
    here = set(places)
    _check_listed(table, [name for name in rows if _place(table.parent / name) not in here])
    nothing = {column: "" for column in columns if column in known}
    return [labels.get(place, nothing) for place in places]


def _label_in(table: Path | ZipPath, name: str, column: str, value: Any, grouping: Grouping) -> str:
    try:
        return label_of(value, grouping.bands.get(column))
    except (ValueError, TypeError):
        raise DataError(f"{table} gives {name} the {column} '{value}', which is no number: correct it, or leave it "
                        f"empty.") from None


def _check_listed(table: Path | ZipPath, others: list[str]) -> None:
    """A table may list pictures of other folders too, but none that do not exist: that is a slip of its writer."""
    gone = sorted(name for name in others if not (table.parent / name).is_file())
    if gone:
        raise DataError(f"{table} lists {len(gone)} file(s) that do not exist ({', '.join(gone[:3])}"
                        f"{', ...' if len(gone) > 3 else ''}): correct the names, which are relative to the table.")


def _place(file: Path | ZipPath) -> str:
    """One name for a file however its folder is reached."""
    if isinstance(file, ZipPath):
        return str(file)
    return os.path.join(_real_folder(os.path.dirname(file)), os.path.basename(file))


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def restrict(dataset: Dataset, run: Any) -> Dataset:
    """An open data set with the pictures of the group `run.only` alone. Raises DataError when none is left, and as
    `labels_of_files` does."""
    if not run.only:
        return dataset
    dataset = copy.copy(dataset)
    for name, labels in labels_of_files(dataset, run.grouping, list(run.only)).items():
        attribute = dataset.file_lists[name]
        kept = [file for file, own in zip(getattr(dataset, attribute), labels) if fits(own, run.only)]
        if not kept:
            raise DataError(f"{getattr(dataset, name)} has no picture of the group {describe(run.only)}.")
        setattr(dataset, attribute, kept)
    return dataset


def describe(group: Mapping[str, str]) -> str:
    """A group in words: "age 18-39, sex female"."""
    return ", ".join(f"{column} {label}" for column, label in group.items()) or "everybody"


# Models
@dataclass(frozen=True)
class Index:
    """Which weights were trained for which group: the file groups.json of a run by groups."""

    columns: dict[str, list[Any]]       # column -> the labels it has
    bands: dict[str, list[int]]         # column of numbers -> the lowest number of each band
    models: list[dict[str, Any]]        # each with "group", "weights" (relative to the folder), "steps", "pictures"
    folder: Path = Path()

    @classmethod
    def read(cls, folder: str | Path) -> Index | None:
        """The index of a run's folder, None where it has none. Raises WeightsError when it is damaged."""
        path = Path(folder).expanduser() / INDEX
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            index = cls(dict(values["columns"]), dict(values["bands"]), list(values["models"]), path.parent)
            if any(not isinstance(model["group"], dict) or not model["weights"] for model in index.models):
                raise ValueError("its models are not all named")
            inside = path.parent.resolve()
            if not all((inside / model["weights"]).resolve().is_relative_to(inside) for model in index.models):
                raise ValueError("it names weights outside its folder")
            return index
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise WeightsError(f"{path} is damaged ({error}): let the run that wrote it go on with --resume auto, or "
                               f"name the folder of one group.") from error

    def write(self, family: str) -> Path:
        """Writes groups.json into the folder, whole or not at all. Raises OutputError."""
        values = {"family": family, "columns": self.columns, "bands": self.bands, "models": self.models}
        images.make_folder(self.folder)
        with images.replacing(self.folder / INDEX) as temporary:
            temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return self.folder / INDEX

    def choose(self, **known: Any) -> Path:
        """The weights of the most specific model that fits what is known; of everybody's when nothing is.

        None stands for what is not known. Raises ConfigError for a column that these models are not grouped by, a
        number that is none, or a word that no picture had; WeightsError when the file is gone.
        """
        labels = {column: self._label(column, value) for column, value in known.items() if value is not None}
        fitting = [model for model in self.models
                   if all(labels.get(column) == label for column, label in model["group"].items())]
        if not fitting:
            raise WeightsError(f"{self.folder / INDEX} has no model for {describe(labels)}: go on with --resume auto.")
        return resolve(self.folder / max(fitting, key=lambda model: len(model["group"]))["weights"])

    def _label(self, column: str, value: Any) -> str:
        if column not in self.columns:
            raise ConfigError(f"The models of {self.folder} are grouped by {' and '.join(self.columns)}, not by "
                              f"{column}: leave {column} out.")
        try:
            label = label_of(value, self.bands.get(column))
        except (ValueError, TypeError):
            raise ConfigError(f"{column} is '{value}', should be a number.") from None
        if column not in self.bands and label not in self.columns[column]:
            raise ConfigError(f"{column} is '{value}': the models of {self.folder} know "
                              f"{', '.join(self.columns[column])}.")
        return label

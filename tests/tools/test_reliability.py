"""The counts in the guide to reliability come from a file that the tools add to."""
from __future__ import annotations

import json
import re

import pytest

from ppgan_apps.errors import DataError
from tools import reliability
from tools.fuzz_readers import READERS


def test_the_guide_says_what_was_counted():
    counts = json.loads(reliability.COUNTS.read_text("utf-8"))
    guide = reliability.GUIDE.read_text("utf-8")
    assert reliability.rendered(guide, counts) == guide, "run python tools/reliability.py render"
    total = sum(line["inputs"] for line in counts if line["what"] == "fuzzing")
    assert f"**{total:,}**" in guide
    assert {line["reader"] for line in counts if line["what"] == "fuzzing"} <= set(READERS)


def test_counts_of_a_day_are_summed_and_others_stay_apart(tmp_path):
    line = {"what": "fuzzing", "date": "2026-11-21", "reader": "pkl", "by": "atheris", "inputs": 5, "findings": 1}
    kill = {"what": "kills", "date": "2026-11-21", "kind": "video", "kills": 3, "finished": 2, "seconds of writing": 1}
    (tmp_path / "a.json").write_text(json.dumps(line) + "\n" + json.dumps(kill) + "\n")
    (tmp_path / "b.json").write_text(json.dumps({**line, "date": "2026-11-22", "inputs": 70}) + "\n")
    found = reliability.lines([tmp_path])
    counts = reliability.added(reliability.added([], found), found)
    assert [entry.get("inputs", entry.get("kills")) for entry in counts] == [10, 140, 6]
    table = reliability.fuzzing(counts)
    assert re.search(r"NVlabs and PyTorch \| 150 \| 150 \|", table) and "**150**" in table
    assert "| video | 6 | 4 |" in reliability.kills(counts)


@pytest.mark.parametrize("text", ["3", '{"what": "nothing"}', "x"])
def test_what_is_no_count_is_told(text, tmp_path):
    (tmp_path / "a.json").write_text(text + "\n")
    with pytest.raises(DataError, match="no count"):
        reliability.lines([tmp_path])


def test_a_guide_without_its_places_is_told():
    with pytest.raises(DataError, match="no place for the table 'fuzzing'"):
        reliability.rendered("# Reliability\n", [])

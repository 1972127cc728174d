"""What a release says of its packages is whole: each is pinned with hashes, has a licence, and stands in the bill."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.test_packaging import base_requirements, extras, requirement_names

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = (ROOT / "requirements" / "constraints.txt").read_text("utf-8")


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


PINS = {plain(name): version
        for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\;]+)", CONSTRAINTS, re.MULTILINE)}


def test_every_package_that_is_asked_for_is_pinned():
    declared = requirement_names(base_requirements()) | requirement_names(sum(extras().values(), []))
    assert set(map(plain, declared)) - set(PINS) == set(), "run python tools/supply_chain.py"


def test_every_pin_has_hashes_and_no_address():
    pieces = re.split(r"^(?=[A-Za-z0-9_.-]+==)", CONSTRAINTS, flags=re.MULTILINE)[1:]
    assert len(pieces) == len(PINS) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", piece) for piece in pieces)
    assert not re.search(r"https?://|file:", CONSTRAINTS.split("\n", 4)[4])


@pytest.mark.parametrize("kind", ["licences", "bill"])
def test_licences_and_bill_name_the_same_packages(kind):
    if kind == "bill":
        found = {entry["name"]: entry["version"] for entry in
                 json.loads((ROOT / "requirements" / "sbom.json").read_text("utf-8"))["components"]}
    else:
        text = (ROOT / "requirements" / "licences.md").read_text("utf-8")
        assert "Not installed" not in text
        rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+?) \| .* \|$", text, re.MULTILINE)
        found = {name: version for name, version, licence in rows if version != "Version"}
        assert all(licence.strip() and "UNKNOWN" not in licence for _, _, licence in rows)
    assert {plain(name): version for name, version in found.items()} == PINS

"""Writes what a release says of the packages it stands on: versions with hashes, licences, and a bill of materials.

Into the folder given: constraints.txt (every package that `pip install ".[all]"` brings, with the hashes of its files,
for `pip install --require-hashes`), licences.md, and sbom.json (CycloneDX). Made by uv, pip-licenses and cyclonedx-py,
which are looked for beside this Python: pip install uv pip-licenses cyclonedx-bom. Run it where all extras are
installed: a licence is read from the installed package.
"""
from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ppgan_apps import __version__  # noqa: E402
from ppgan_apps.errors import MissingExtra, OutputError, SuiteError  # noqa: E402
from ppgan_apps.images import make_folder, replacing  # noqa: E402

EXTRAS = ("all",)                                              # which is the union of them
CHOICES = ("all", "video", "web", "browser", "train", "paddleseg", "onnx", "openvino", "ray", "bench", "docs", "test")
HEADER = """# What release {version} stands on, for Python {python}, by tools/supply_chain.py: with hashes, so that a
# package that was exchanged on its way is not installed.
#   pip install --require-hashes -r constraints.txt && pip install --no-deps .
"""


def tool(name: str) -> str:
    """The path of a command that belongs to this Python. Raises MissingExtra."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise MissingExtra(name, "test", "The list of dependencies")
    return str(path)


def run(*command: str) -> str:
    """What a command prints. Raises OutputError with the end of its errors."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(f"{Path(command[0]).name} failed: {' '.join(done.stderr.split())[-300:]}.")
    return done.stdout


def constraints(extras: list[str], python: str) -> str:
    """Every package with its version and hashes, for a Python on Linux; no address of an index stands in it."""
    options = [option for extra in extras for option in ("--extra", extra)]
    text = run(tool("uv"), "pip", "compile", "setup.py", *options, "--generate-hashes", "--no-header", "--no-annotate",
               "--no-emit-index-url", "--python-version", python, "--python-platform", "x86_64-manylinux_2_28",
               "--quiet")
    if re.search(r"https?://|file:", text):
        raise OutputError("The constraints would name an address: build them against an index by name.")
    return HEADER.format(version=__version__, python=python) + text


def names(text: str) -> list[str]:
    """The packages of a constraints file."""
    return re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)


def licences(packages: list[str]) -> str:
    """A table of the installed ones among `packages`: name, version, licence, home page."""
    rows = json.loads(run(tool("pip-licenses"), "--python", sys.executable, "--format", "json", "--with-urls",
                          "--with-system", "--from", "mixed", "--packages", *packages))
    lines = [f"| {row['Name']} | {row['Version']} | {_short(row['License'])} | {row['URL']} |" for row in rows]
    missing = sorted(set(packages) - {row["Name"].lower().replace("_", "-") for row in rows})
    note = f"\nNot installed where this was written: {', '.join(missing)}.\n" if missing else ""
    return "\n".join([f"# Licences of what ppgan_apps {__version__} stands on", "",
                      "Written by `tools/supply_chain.py`. None of it is part of the package: pip brings it.", "",
                      "| Package | Version | Licence | Home |", "|---|---|---|---|", *lines]) + "\n" + note


def _short(licence: str) -> str:
    """Some packages put the whole text of their licence where its name belongs."""
    first = next((line.strip() for line in licence.splitlines() if line.strip()), "not stated")
    return first if len(first) <= 80 else f"{first[:77]}..."


def bill_of_materials(text: str) -> str:
    """The packages of a constraints file as CycloneDX; their hashes stand in that file."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "constraints.txt"
        listed.write_text(text, encoding="utf-8")
        printed = run(tool("cyclonedx-py"), "requirements", str(listed), "--output-reproducible", "--of", "JSON")
    made = json.loads(printed)
    for component in made["components"]:
        for wordy in ("description", "externalReferences"):    # the same hashes again, a page for each package
            component.pop(wordy, None)
    made["metadata"] = {**made.get("metadata", {}), "component": {
        "type": "library", "bom-ref": "ppgan_apps", "name": "ppgan_apps", "version": __version__,
        "licenses": [{"license": {"id": "Apache-2.0"}}]}}
    return json.dumps(made, indent=1) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "requirements", help="where the files go")
    parser.add_argument("--extra", nargs="*", default=list(EXTRAS), choices=CHOICES,
                        help="the extras whose packages count too")
    parser.add_argument("--python", default="3.11", help="the version of Python that the constraints are for")
    options = parser.parse_args(argv)
    try:
        text = constraints(options.extra, options.python)
        made = {"constraints.txt": text, "licences.md": licences(names(text)), "sbom.json": bill_of_materials(text)}
        make_folder(options.folder)
        for name, contents in made.items():
            with replacing(options.folder / name) as temporary:
                temporary.write_text(contents, encoding="utf-8")
            print(f"{options.folder / name} is written.")
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


EXAMPLES = """examples:
  python tools/supply_chain.py                             # into requirements/
  python tools/supply_chain.py /tmp/release --extra onnx --python 3.12
"""

if __name__ == "__main__":
    sys.exit(main())

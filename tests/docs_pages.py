"""The READMEs and the guide as their readers take them: pages, their blocks and commands, and how those are run."""
from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ENGLISH = [ROOT / "README.md", *(path for path in sorted(DOCS.rglob("*.md"))
                                 if not {"cn", "_build"} & set(path.relative_to(DOCS).parts))]
CHINESE = [path for path in sorted((DOCS / "cn").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str                                # bash, python, yaml
    text: str

    def commands(self) -> list[list[str]]:
        """The commands of a bash block, in words: a line each, comments and line breaks taken out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
        return [words for words in found if words]


def blocks(page: Path) -> list[Block]:
    """Fenced blocks in the order of the page; those inside a list are indented."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(bash|sh|console|python|yaml)\n(.*?)^ *```$", text, re.M | re.S)
    return [Block("bash" if kind in ("sh", "console") else kind, re.sub(rf"^{indent}", "", body, flags=re.M))
            for indent, kind, body in found]


def is_ours(words: list[str]) -> bool:
    """Whether the suite's own code reads this command line."""
    return script_of(words) is not None or Path(words[0]).name == "ppgan-apps"


def script_of(words: list[str]) -> int | None:
    """Where in the words a script of this repository stands."""
    return next((place for place, word in enumerate(words)
                 if re.fullmatch(r"(applications|tools|benchmarks)/\w+\.py", word)), None)


def run(words: list[str]) -> int:
    """Runs a command of ours in this process, as its entry point does; returns the exit code."""
    place = script_of(words)
    before = sys.argv, list(sys.path)
    try:
        if place is None:
            from ppgan_apps.cli import main
            return main(words[1:])
        sys.argv = words[place:]
        runpy.run_path(str(ROOT / words[place]), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.path[:] = before
    return 0


class Parsed(BaseException):
    """The command line was accepted. No Exception, since commands report those in their own way."""


def parse(words: list[str], monkeypatch) -> argparse.Namespace:
    """What the command's own parser makes of the words; SystemExit where it refuses them. Nothing else is done."""
    whole = argparse.ArgumentParser.parse_args

    def parse_args(parser, *given, **named):
        raise Parsed(whole(parser, *given, **named))
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        try:
            code = run(words)
        except Parsed as parsed:
            return parsed.args[0]
    raise SystemExit(f"{shlex.join(words)} was not parsed (exit code {code})")

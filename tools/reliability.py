"""Adds up what tools/fuzz.py, tests/crash/survive.py and tools/load_web.py counted, and writes it into the guide.

`add` takes their lines of JSON into docs/reliability.json; `render` writes the tables of docs/reliability.md from
there, so that no figure of them is written by hand.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ppgan_apps.errors import DataError, SuiteError  # noqa: E402
from ppgan_apps.images import replacing  # noqa: E402
from tools.fuzz_readers import READERS  # noqa: E402

COUNTS, GUIDE = ROOT / "docs" / "reliability.json", ROOT / "docs" / "reliability.md"
KINDS = {"training": "training, checkpointing", "downloading": "downloading", "exporting": "exporting",
         "video": "video", "pictures": "pictures of a folder"}
# Counts of the same day and kind are one line of the file; what tells lines apart, and what is summed.
KEYS = {"fuzzing": ("what", "date", "reader", "by"), "kills": ("what", "date", "kind"),
        "load": ("what", "date", "minutes")}
SUMMED = {"fuzzing": ("inputs", "accepted", "findings", "cpu_seconds"), "kills": ("kills", "finished"), "load": ()}


def lines(paths: Iterable[Path]) -> list[dict]:
    """The counts in files of JSON lines, and of those in folders. Raises DataError."""
    found = []
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            for text in file.read_text("utf-8").splitlines():
                line = json.loads(text) if text.startswith("{") else None
                if not isinstance(line, dict) or line.get("what") not in KEYS:
                    raise DataError(f"{file} holds {text[:60]!r}, which is no count: give what the tools wrote.")
                found.append(line)
    return found


def added(counts: list[dict], more: list[dict]) -> list[dict]:
    """Both, with what belongs together summed, in order."""
    together: dict[tuple, dict] = {}
    for line in [*counts, *more]:
        what = line["what"]
        key = tuple(str(line[name]) for name in KEYS[what])
        known = together.setdefault(key, {name: line[name] for name in KEYS[what]} | {
            name: value for name, value in line.items() if what == "load"})
        for name in SUMMED[what]:
            known[name] = round(known.get(name, 0) + line.get(name, 0), 1)
    return [together[key] for key in sorted(together)]


def total(counts: list[dict], name: str, **wanted: str) -> int:
    """The sum of a number over the lines that have the wanted values."""
    return round(sum(line.get(name, 0) for line in counts if all(line.get(key) == value for key, value in
                                                                 wanted.items())))


def fuzzing(counts: list[dict]) -> str:
    """The table of inputs by reader."""
    rows = ["| Reader | Inputs | of them by atheris |", "|---|---|---|"]
    for name, reader in READERS.items():
        rows.append(f"| {reader.what} | {total(counts, 'inputs', reader=name):,} | "
                    f"{total(counts, 'inputs', reader=name, by='atheris'):,} |")
    rows.append(f"| **all** | **{total(counts, 'inputs', what='fuzzing'):,}** | "
                f"**{total(counts, 'inputs', what='fuzzing', by='atheris'):,}** |")
    return "\n".join(rows)


def kills(counts: list[dict]) -> str:
    """The table of kills by kind of work."""
    rows = ["| Work | Kills survived | Whole runs that followed |", "|---|---|---|"]
    rows += [f"| {words} | {total(counts, 'kills', kind=kind):,} | {total(counts, 'finished', kind=kind):,} |"
             for kind, words in KINDS.items()]
    rows.append(f"| **all** | **{total(counts, 'kills', what='kills'):,}** | "
                f"**{total(counts, 'finished', what='kills'):,}** |")
    return "\n".join(rows)


def load(counts: list[dict]) -> str:
    """The table of the longest run of tools/load_web.py."""
    runs = [line for line in counts if line["what"] == "load"]
    if not runs:
        return "(not run yet)"
    run = max(runs, key=lambda line: line["minutes"])
    rows = [("Requests answered as they must be", f"{sum(run['requests'].values()):,}"),
            ("of them refused for what they sent", f"{_requests(run, *REFUSED):,}"),
            ("clients that went away, or said nothing", f"{_requests(run, *GONE):,}"),
            ("uploads that trickled for half a minute", f"{_requests(run, 'trickle'):,}"),
            ("jobs cancelled", f"{_requests(run, 'cancel'):,}"),
            ("addresses of files outside, all refused", f"{run['files_asked_for']:,}"),
            ("Told to come back later (the queue was full)", f"{run['busy']:,}"),
            ("Wrong answers, requests stuck", f"{run['wrong']}, {run['stuck']}"),
            ("Longest request, seconds", f"{run['longest_seconds']:g}"),
            ("Memory (RSS) in MB: at its most, at the end", f"{run['rss_most_mb']:,}, {run['rss_last_mb']:,}"),
            (f"Slope of memory over the last {run['slope_minutes']:.0f} minutes, MB an hour",
             f"{run['slope_mb_per_hour']:+g}"),
            ("Open files, files on the disk, at their most", f"{run['open_files_most']}, {run['files_on_disk_most']}"),
            ("Share of a processor core", f"{run['cpu_share']:.0%}"),
            ("End by SIGTERM", run["ending"])]
    head = f"| {run['minutes']:.0f} minutes, {run['users']} users at a time, {run['date']} | |"
    return "\n".join([head, "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


REFUSED = ("no_face", "too_many_pixels", "too_many_bytes", "no_picture", "no_such_thing")
GONE = ("vanish_while_sending", "vanish_before_the_answer", "vanish_in_the_answer", "say_nothing")


def _requests(run: dict, *kinds: str) -> int:
    return sum(run["requests"].get(kind, 0) for kind in kinds)


TABLES = {"fuzzing": fuzzing, "kills": kills, "load": load}


def rendered(guide: str, counts: list[dict]) -> str:
    """The guide with its tables as the counts have them; each stands between two comments that name it. Raises
    DataError."""
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        found = place.search(guide)
        if not found:
            raise DataError(f"{GUIDE} has no place for the table {name!r}: put its two comments back.")
        guide = f"{guide[:found.end(1)]}{table(counts)}\n{guide[found.start(2):]}"
    return guide


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("add", "render"))
    parser.add_argument("files", type=Path, nargs="*", help="of `add`: what the tools wrote, or folders of it; a file "
                        "that is added again counts twice")
    options = parser.parse_args(argv)
    try:
        counts = json.loads(COUNTS.read_text("utf-8")) if COUNTS.exists() else []
        if options.command == "add":
            counts = added(counts, lines(options.files))
            with replacing(COUNTS) as temporary:
                temporary.write_text("[\n" + ",\n".join(map(json.dumps, counts)) + "\n]\n", "utf-8")
        guide = rendered(GUIDE.read_text("utf-8"), counts)
        with replacing(GUIDE) as temporary:
            temporary.write_text(guide, "utf-8")
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


EXAMPLES = """examples:
  python tools/reliability.py add fuzz-findings/counts kills.json load.json
  python tools/reliability.py render                       # after a change of the words
"""

if __name__ == "__main__":
    sys.exit(main())

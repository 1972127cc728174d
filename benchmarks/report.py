"""What the benchmarks share: the machine's name, and one section each of docs/benchmarks.md."""
from __future__ import annotations

import platform
import re
from pathlib import Path


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def replace_section(path: Path, section: str) -> None:
    """Puts `section`, Markdown that starts with a heading of level 1 or 2, in the place of the one so headed in the
    file at `path`, or at the file's end. A section ends where the next heading of level 1 or 2 starts."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    kept = [part.strip() for part in re.split(r"(?m)^(?=##? )", text) if part.strip()]
    headings = [part.partition("\n")[0] for part in kept]
    heading = section.partition("\n")[0]
    if heading in headings:
        kept[headings.index(heading)] = section.strip()
    else:
        kept.append(section.strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(kept) + "\n", encoding="utf-8")

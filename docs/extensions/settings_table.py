"""The directive `settings`: a table of a dataclass's fields, their defaults and the comments that explain them."""
import ast
import inspect
import re
from importlib import import_module

from docutils import nodes
from docutils.parsers.rst import Directive


class Settings(Directive):
    """`{settings} module.Class`: name, default, meaning; inherited fields first, as the YAML takes them."""

    required_arguments = 1

    def run(self):
        module, _, name = self.arguments[0].rpartition(".")
        fields = {}
        for base in reversed(getattr(import_module(module), name).__mro__[:-1]):
            fields |= settings_of(base)
        return [_table([(key, default, about) for key, (default, about) in fields.items()])]


def settings_of(cls) -> dict[str, tuple[str, str]]:
    """{field: (default as written, its comment)} of the fields that a dataclass itself defines."""
    lines = inspect.getsource(cls).splitlines()
    found = {}
    body = ast.parse("\n".join(lines)).body[0].body
    for node in body:
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            default = ast.unparse(node.value) if node.value else "needed"
            found[node.target.id] = (_plain(default), _comment(lines, node))
    return found


def _plain(default: str) -> str:
    """`field(default_factory=lambda: X)` as X."""
    return re.sub(r"^field\(default_factory=(?:lambda: )?(.*)\)$", r"\1", default)


def _comment(lines: list[str], node) -> str:
    """The comment at the end of a field's line, with the lines that go on below; else the one above it."""
    trailing = re.search(r"\s#\s(.*)$", lines[node.end_lineno - 1])
    if not trailing:
        above = re.match(r"\s*#\s(.*)$", lines[node.lineno - 2])
        return above[1] if above else ""
    words = [trailing[1]]
    for line in lines[node.end_lineno:]:
        more = re.match(r"\s{20,}#\s(.*)$", line)
        if not more:
            break
        words.append(more[1])
    return " ".join(words)


def _table(rows) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (20, 20, 60)), cols=3)
    group += nodes.thead("", _row("setting", "default", "meaning", literal=False))
    group += nodes.tbody("", *(_row(*row) for row in rows))
    return nodes.table("", group)


def _row(name: str, default: str, about: str, literal: bool = True) -> nodes.row:
    kind = (lambda text: nodes.literal("", text)) if literal else (lambda text: nodes.Text(text))
    cells = [nodes.paragraph("", "", kind(name)), nodes.paragraph("", "", kind(default)), nodes.paragraph("", about)]
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def setup(app):
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}

"""How the guide is built: sphinx-build -W docs docs/_build. Needs the extra `docs`, and no network."""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]        # this tree's package, our two extensions

from bs4 import BeautifulSoup  # noqa: E402 - furo needs it too

import ppgan_apps  # noqa: E402

project, author, copyright = "ppgan_apps", "the ppgan_apps authors", "the ppgan_apps authors, Apache-2.0"
version = release = ppgan_apps.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "settings_table"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"                          # its fonts and scripts are its own: a built page asks nobody for anything
html_math_renderer = "mathml"
html_title = "ppgan_apps"
html_show_sphinx = False

default_role = "code"                        # docstrings put names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}


def plain_text(app, what, name, obj, options, lines):
    """Docstrings are plain text with backticks: what reStructuredText would read into the rest is escaped."""
    for number, line in enumerate(lines):
        pieces = re.split(r"(`[^`]*`)", line)
        pieces[::2] = [re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\g<0>", piece) for piece in pieces[::2]]
        lines[number] = "".join(pieces)


def language_of_page(app, page, template, context, doctree):
    """The Chinese half says so in its <html lang>, for screen readers, fonts and translators."""
    if page.startswith("cn/"):
        context["language"] = "zh-CN"


def pages_of_the_language(app, page, template, context, doctree):
    """The tree at the side shows the pages of one language: those below cn/ stand there as one entry with children."""
    tree = BeautifulSoup(context.get("furo_navigation_tree") or "", "html.parser")
    chinese = next((entry for entry in tree.select("li.toctree-l1") if entry.a and "指南" in entry.a.text), None)
    if chinese is None or chinese.ul is None:
        return
    if page.startswith("cn/"):
        pages = chinese.ul.extract()
        for entry in pages.select("li.toctree-l2"):
            entry["class"] = ["toctree-l1", *entry["class"][1:]]
        english = f'<p class="caption"><a href="{context["pathto"]("index")}">English</a></p>'
        context["furo_navigation_tree"] = f"{english}{pages}"
    else:
        for part in (chinese.ul, *chinese.select("input, label")):
            part.decompose()
        context["furo_navigation_tree"] = str(tree)


def links_to_cards(app, page, source):
    """The model cards stand beside the weights, outside of this folder; the built guide has them on one page."""
    source[0] = re.sub(r"\]\((?:\.\./)+ppgan_apps/pretrained/([\w-]+)\.md\)", r"](#card-\1)", source[0])


def setup(app):
    app.connect("source-read", links_to_cards)
    app.connect("autodoc-process-docstring", plain_text, priority=400)     # before napoleon adds markup of its own
    app.connect("html-page-context", language_of_page)
    app.connect("html-page-context", pages_of_the_language, priority=900)  # after furo, which makes the tree

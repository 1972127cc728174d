"""Equations as MathML, which browsers draw themselves: no script, no font and no network."""
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

log = logging.getLogger(__name__)
STYLE = "margin: 0.7rem 0; overflow-x: auto; overflow-y: hidden"       # a wide equation scrolls on a narrow screen


def inline(translator, node):
    translator.body.append(_converted(node, as_block=False))
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(f'<div class="math" style="{STYLE}">{_converted(node, as_block=True)}</div>')
    raise nodes.SkipNode


def _converted(node, as_block: bool) -> str:
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        log.warning("equation cannot be drawn: %s in %s", error, node.astext(), location=node)
        return f"<code>{node.astext()}</code>"


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}

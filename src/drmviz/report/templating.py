"""Templates of pages, in which every text is escaped and every name from outside is cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from drmviz.report import wording
from drmviz.report.wording import count, percent

if TYPE_CHECKING:
    from jinja2 import Template

_NAME_WIDTH = 300
_BETWEEN, _NEXT_CELL = "\x1f", '</td><td class="n">'
SIGNS = {
    "passed": "✓",
    "failed": "✕",
    "error": "!",
    "crashed": "✖",
    "skipped": "–",
    "xfailed": "✓",
    "xpassed": "✕",
}


@cache
def template(name: str) -> Template:
    """Return a template of this room; a name that it is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drmviz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        seconds=wording.seconds,
        percent=percent,
        size=wording.size,
        whole=wording.clean,
        name=lambda text: wording.cut(text, _NAME_WIDTH),
        sign=lambda outcome: SIGNS.get(outcome, "·"),
        iso=wording.iso,
        cells=_cells,
        offset=wording.offset,
        origins_said=wording.origins_said,
        nonce=nonce_attribute,
    )
    environment.globals.update(count=count)
    return environment.get_template(name)


def nonce_attribute(nonce: str | None) -> Markup:
    """Return what lets a script or a style of a served page pass its policy; nothing in a file."""
    return Markup(' nonce="{}"').format(nonce) if nonce else Markup("")


def _cells(texts: Sequence[str]) -> Markup:
    """Return the cells of a row of numbers: escaped in one go, since a page has thousands of them."""
    together = str(escape(_BETWEEN.join(text.replace(_BETWEEN, "") for text in texts)))
    return Markup(f'<td class="n">{together.replace(_BETWEEN, _NEXT_CELL)}</td>')

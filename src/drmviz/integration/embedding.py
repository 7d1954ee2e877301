"""HTML that shows written figures: one in a frame, all of them in tabs."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from drmviz.errors import InvalidValueError
from drmviz.figures.names import drawn
from drmviz.figures.theme import SANS, THEMES

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH_CHOICES = {0: "Off", 30: "30 s", 60: "1 min", 300: "5 min"}
"""How often a page of tabs can load itself again, in seconds."""
SANDBOX = "allow-scripts allow-downloads"
"""A figure draws itself and may be saved as a picture; it reaches nothing of the page around it."""
_LENGTH = re.compile(r"(?:\d{1,5}(?:\.\d{1,3})?|\.\d{1,3})(?:px|%|em|rem|vw|vh|dvh|svh|lvh|ch|pt|cm|mm|in)|0", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One figure of a page of tabs."""

    type: str
    title: str
    description: str
    path: str | None
    """Relative to the page; None is not there."""
    updated_at_s: float | None = None
    problem: str = ""
    """Why it is not there, or not newer."""

    @property
    def url(self) -> str | None:
        return None if self.path is None else quote(self.path, errors="surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a page of tabs that a server hands out knows beside the one in the folder."""

    nonce: str
    has_controls: bool
    live_port: int | None
    """Where the live server listens; None while there is none."""


def frame(content: str, title: str, *, width: str | int, height: str | int) -> str:
    """Return an `iframe` that carries a whole page in itself.

    Raises:
        InvalidValueError: width or height is no length of CSS.
    """
    return _framed(f'srcdoc="{_attribute(content)}"', title, width=width, height=height)


def linked(url: str, title: str, *, width: str | int, height: str | int) -> str:
    """Return an `iframe` that loads a page from somewhere.

    Raises:
        InvalidValueError: width or height is no length of CSS.
    """
    return _framed(f'src="{_attribute(url)}" referrerpolicy="no-referrer"', title, width=width, height=height)


def _framed(content: str, title: str, *, width: str | int, height: str | int) -> str:
    sizes = f"width:{length('width', width)};height:{length('height', height)}"
    return (
        f'<iframe title="{_attribute(drawn(title, limit=200))}" sandbox="{SANDBOX}" loading="lazy"'
        f' style="{sizes};border:0" {content}></iframe>'
    )


def message(title: str, text: str) -> str:
    """Return a page that says something in the place of a figure."""
    colours = THEMES["light"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(drawn(title, limit=200))}'
        f"</title><style>body{{margin:0;padding:24px;background:{colours.surface};color:{colours.ink_soft};"
        f"font:14px/1.5 {SANS}}}b{{color:{colours.ink}}}</style></head><body><p><b>"
        f"{html.escape(drawn(title, limit=200))}</b></p><p>{html.escape(drawn(text, limit=1000))}</p></body></html>"
    )


def tabs_page(tabs: Sequence[Tab], *, refresh_s: int, problems: Sequence[str], served: Served | None = None) -> str:
    """Return a page that shows figures lying beside it, one at a time; where it is served, below it.

    `refresh_s` is the choice of who has made none; the choice and the tab stand in the address, so a reload keeps them.
    """
    return _template().render(
        tabs=tabs,
        choices=REFRESH_CHOICES,
        refresh_s=refresh_s,
        problems=[drawn(problem, limit=500) for problem in problems],
        colours=THEMES["light"],
        sans=SANS,
        sandbox=SANDBOX,
        served=served,
        updated_at_s=max((tab.updated_at_s for tab in tabs if tab.updated_at_s is not None), default=None),
    )


def length(name: str, given: object) -> str:
    """Return a length of CSS; a whole number is pixels.

    Raises:
        InvalidValueError: it is none.
    """
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= 99_999:
        return f"{given}px"
    if not isinstance(given, str) or not _LENGTH.fullmatch(given):
        raise InvalidValueError(name, given, 'must be pixels, or a length such as "600px", "100%" or "40em"')
    return given


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drmviz.integration", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        iso=lambda at_s: datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds"),
        clock=lambda at_s: f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC",
        drawn=lambda text: drawn(text, limit=500),
    )
    return environment.get_template("tabs.html.j2")


def _attribute(text: str) -> str:
    """Return the text as the value of an attribute in double quotes: only these two end or change it there."""
    return text.replace("&", "&amp;").replace('"', "&quot;")

"""Names from outside, made fit to be drawn: short, without what steers a terminal or a line of text."""

from __future__ import annotations

import re
import unicodedata

LONGEST_DRAWN = 64
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def drawn(name: str, *, limit: int = LONGEST_DRAWN) -> str:
    """Return the name as a picture shows it: control and direction marks as a middle dot, cut in the middle."""
    if len(name) > limit * 4:  # no need to look at all of a very long name
        name = f"{name[: limit * 2]}{name[-limit * 2 :]}"
    shown = _CONTROLS.sub("·", name)
    if len(shown) <= limit:
        return shown
    head = (limit - 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - (limit - 1 - head) :]}"


def escaped(text: str) -> str:
    """Return the text so that Plotly, which reads some HTML, TeX and templates in texts, shows it as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")
    return text.replace("%{", "%&#123;")


def columns(text: str) -> int:
    """Return how many columns of a fixed-width font the text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def count(number: int, noun: str, *, plural: str | None = None) -> str:
    """Return "1 test", "2 tests"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

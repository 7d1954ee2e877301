"""How numbers and hostile names are written for people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drmviz.model.run import Origin, TierReach

NOT_MEASURED = "not measured"
_LONGEST = 4000
"""Of a name, more is never looked at: nobody reads it, and cutting it must stay cheap."""


def clean(text: str) -> str:
    r"""Return the text with whatever steers a terminal or reorders a line written as an escape, such as `\x1b`."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + "…" + text[-_LONGEST // 2 :]
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal the cleaned text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """Return the text cleaned and, where it is wider, cut in the middle: a node id says most at its two ends."""
    text = clean(text)
    if columns_of(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    ahead = (width - 1) // 3
    return _upto(text, ahead) + "…" + _upto(text[::-1], width - 1 - ahead)[::-1]


def _upto(text: str, width: int) -> str:
    used = 0
    for i, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:i]
    return text


def percent(ratio: float | None) -> str:
    if ratio is None:
        return NOT_MEASURED
    return f"{ratio * 100:.1f} %" if 0 < ratio < 0.00995 else f"{ratio * 100:.0f} %"


def seconds(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    if value < 120:
        return f"{value:.3f} s" if 0 < value < 0.0995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    for unit, worth in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= worth:
            return f"{value / worth:.1f} {unit}" if value < 100 * worth else f"{value / worth:.0f} {unit}"
    return f"{value:.0f} B"


def offset(value: float) -> str:
    """Return what was added to every time: "none", "-3600 s", "+0.25 s"."""
    return f"{value:+.6f}".rstrip("0").rstrip(".") + " s" if value else "none"


def origins_said(origins: Sequence[Origin]) -> str:
    """Return how many recordings were read as one, and by which clock: recorded wall time, or with how many offsets."""
    moved = sum(bool(origin.offset_s) for origin in origins)
    clock = f"{count(moved, 'offset')} given" if moved else "recorded wall time"
    return f"{count(len(origins), 'recording')} read as one, {clock}" if len(origins) > 1 else clock


def kept_said(tiers: Sequence[TierReach]) -> str:
    """Return from when on each tier is kept that reaches further back than the finer ones."""
    said: list[str] = []
    reached_s = float("inf")
    for reach in tiers:
        if reach.first_s < reached_s - reach.bucket_s:
            what = "every tick" if not reach.bucket_s else f"every {reach.tier}"
            said.append(f"{what} from {(iso(reach.first_s) or '?')[:16].replace('T', ' ')} UTC")
            reached_s = reach.first_s
    return ", ".join(said) or "nothing"


def cores(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def elapsed(value: float) -> str:
    """Return 00:41, or 1:00:41 from an hour on."""
    minutes, rest = divmod(max(0, int(value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


_FIRST_S, _LAST_S = -62_135_596_800.0, 253_402_300_799.0
"""The years 1 and 9999."""


def iso(at_s: float | None) -> str | None:
    """Return ISO 8601 in UTC; None where a moment is not known or has no date."""
    if at_s is None or not _FIRST_S <= at_s <= _LAST_S:
        return None
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_MARKDOWN = re.compile(r'[&<>|`\\*\[\]#@$~!{}"\']|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.')


def markdown(text: str) -> str:
    """Return the text so that GitHub shows it letter by letter: no markup, no link, no mention, no new cell."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", clean(text))

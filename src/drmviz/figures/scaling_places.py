"""Where the parts of a scaling history lie, in pixels, and which of their labels have room."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from drmviz.figures.names import columns, drawn
from drmviz.figures.scaling import Fact, Item, Kind, Mark, ScalingHistory

SPLIT_FROM_PX = 760
"""From that width on the list of decisions has two columns."""
TOP_PX, BARE_TOP_PX, HEADING_PX, BOTTOM_PX = 64, 12, 36, 16
ROW_PX, COUNT_PX, AXIS_PX, LIST_PX = 17, 56, 26, 42
BADGE_PX, LINE_PX = 46, 16
LETTERS, NARROW_LETTERS = 47, 42
"""So many fit beside a badge in a column of the list, and on a phone."""
MOST_LEADERS = 24
"""Lines from decisions down to the number of workers; more would be a fence."""
BELOW_LABEL_PX = 24
"""Where the line from a mark with its label below begins."""
_USE_PX, _LEAST_USE_PX = 230, 60
_COUNT_HEADING_PX, _ITEM_GAP_PX, _REMARK_PX = 26, 14, 20
_ITEM_LINES = 2
_NUMBERS_PX = 300
"""How wide the plot is at least, on a phone, where numbers beside facts must fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things lie, in pixels below the heading of the figure."""

    top_px: int
    use_px: int
    rows_px: int
    items: tuple[Item, ...]
    letters: int
    """How many fit beside a badge."""
    has_remark: bool

    @property
    def rows_at_px(self) -> int:
        return HEADING_PX + self.use_px + 10

    @property
    def count_at_px(self) -> int:
        return self.rows_at_px + self.rows_px + _COUNT_HEADING_PX

    @property
    def list_at_px(self) -> int:
        return self.count_at_px + COUNT_PX + AXIS_PX

    def items_at_px(self, *, split: bool) -> list[tuple[int, int]]:
        """Return for each item its column, 0 or 1, and how far down it begins."""
        heights_px = [self._height_px(item) for item in self.items]
        begins_px = [sum(heights_px[:place]) for place in range(len(heights_px) + 1)]
        second = len(heights_px)
        if split:
            second = min(range(len(begins_px)), key=lambda k: max(begins_px[k], begins_px[-1] - begins_px[k]))
        top_px = self.list_at_px + LIST_PX
        return [
            (int(place >= second), top_px + begins_px[place] - (begins_px[second] if place >= second else 0))
            for place in range(len(heights_px))
        ]

    def plot_px(self, *, split: bool) -> int:
        """Return how high all of it is, without the heading and what is below."""
        ends = [
            at + self._height_px(item) for (_, at), item in zip(self.items_at_px(split=split), self.items, strict=True)
        ]
        return max(ends, default=self.list_at_px + LIST_PX + (_REMARK_PX if self.has_remark else 0))

    def reason(self, item: Item) -> tuple[str, ...]:
        """Return the lines of a reason."""
        return wrapped(item.reason, letters=self.letters, lines=_ITEM_LINES)

    def after(self, item: Item) -> tuple[str, ...]:
        """Return the lines about what then happened: one if it fits."""
        whole = f"→ {' · '.join(item.after)}"
        if not item.after or len(whole) <= self.letters:
            return (whole,) if item.after else ()
        return (f"→ {item.after[0]}", *item.after[1:])

    def _height_px(self, item: Item) -> int:
        return LINE_PX * (1 + len(self.reason(item)) + len(self.after(item))) + _ITEM_GAP_PX


def places(history: ScalingHistory, *, height: int | None, letters: int, split: bool = True) -> Places:
    """Lay the figure out; where a height is given the list gives way to it first, then the lines.

    Args:
        history: the numbers.
        height: what the user asked for.
        letters: how many fit beside a badge.
        split: whether the list has two columns.
    """
    laid = Places(
        top_px=TOP_PX if history.title else BARE_TOP_PX,
        use_px=_USE_PX,
        rows_px=ROW_PX * len(history.rows),
        items=history.items,
        letters=letters,
        has_remark=bool(history.remark),
    )
    if height is None:
        return laid
    for shown in range(len(history.items), -1, -1):
        bare = replace(laid, use_px=0, items=history.items[:shown])
        left_px = height - bare.top_px - BOTTOM_PX - bare.plot_px(split=split)
        if left_px >= min(_USE_PX, 120 + 12 * shown):
            break
    return replace(bare, use_px=max(_LEAST_USE_PX, left_px))


def wrapped(text: str, *, letters: int, lines: int) -> tuple[str, ...]:
    """Return a text from outside in at most so many lines of about so many letters."""
    shown = drawn(text, limit=letters * lines * 2)
    if max(map(len, shown.split()), default=0) > letters:  # such a word has hardly any narrow letters
        letters = letters * 5 // 6
    letters = letters * len(shown) // max(1, columns(shown))
    return tuple(textwrap.wrap(shown, max(8, letters), max_lines=lines, placeholder=" …"))


def labelled(marks: Iterable[Mark], span_s: float, *, width_px: float) -> list[bool]:
    """Tell which marks have room for their label in a picture of that width."""
    free_from: dict[Kind, float] = {}
    shown = []
    for mark in marks:
        half_s = span_s * (4 + 3.6 * len(mark.label)) / width_px
        fits = bool(mark.label) and mark.at_s - half_s >= free_from.get(mark.kind, float("-inf"))
        if fits:
            free_from[mark.kind] = mark.at_s + half_s
        shown.append(fits)
    return shown


def side_of(mark: Mark, history: ScalingHistory) -> Literal["left", "center", "right"]:
    """Return which side of its label stands at a mark, so that none leaves the plot."""
    across = (mark.at_s - history.start_s) / (history.end_s - history.start_s)
    if mark.level is None:
        return "right" if across > 0.87 else "left"
    return "left" if across < 0.07 else "right" if across > 0.93 else "center"


def spread(ends: list[float], *, apart: float, most: float) -> list[float]:
    """Return the ends of lines moved up or down until labels fit beside each other, all within 0 and `most`."""
    order = sorted(range(len(ends)), key=lambda place: ends[place])
    moved = list(ends)
    lowest = 0.0
    for place in order:
        moved[place] = lowest = max(moved[place], lowest)
        lowest += apart
    highest = most
    for place in reversed(order):
        moved[place] = highest = min(moved[place], highest)
        highest -= apart
    return moved


def fact_numbers(history: ScalingHistory) -> list[str]:
    """Return how many workers each fact is about, where that is more than one and the next one is not too near."""
    span_s = history.end_s - history.start_s
    following: dict[str, Fact] = {}
    texts = []
    for fact in reversed(history.facts):
        after, text = following.get(fact.fate), f"{fact.number:,}"
        fits = after is None or after.at_s - fact.at_s >= span_s * (8 + 6 * len(text)) / _NUMBERS_PX
        texts.append(text if fact.number > 1 and fits else "")
        following[fact.fate] = fact
    return texts[::-1]


def level_ticks(history: ScalingHistory) -> list[float]:
    """Return the levels that are written beside the axis of the lines."""
    if not history.unit:
        return [0.0, float(int(history.highest)) or history.highest]
    stated = [threshold.percent for threshold in history.thresholds if threshold.name != "target"]
    ends = [0.0, 100.0] if stated else [0.0, 25.0, 50.0, 75.0, 100.0]
    beyond = [level for level in (150.0, 200.0, 300.0, 400.0) if level <= history.highest][-1:]
    return sorted([*beyond, *stated, *(end for end in ends if all(abs(end - level) >= 7 for level in stated))])


def list_heading(history: ScalingHistory, laid: Places) -> tuple[str, str]:
    """Return what stands beside the heading of the list: on a page, and on a phone."""
    if history.remark:
        return "", ""
    shown = sum(item.decisions for item in laid.items)
    if not shown:
        return (f"{history.decisions:,} in all: drmviz decisions",) * 2
    if shown == history.decisions:
        return "newest first", "newest first"
    return (
        f"newest first, showing {shown:,} of {history.decisions:,}; all: drmviz decisions",
        f"{shown:,} of {history.decisions:,}; all: drmviz decisions",
    )

"""Tests as bars and rankings, as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass

from drmviz.figures.crowd import Crowd
from drmviz.figures.theme import Theme
from drmviz.model.metrics import FloatArray, IntArray

LOOKS = ("passed", "other", "failed", "error", "crashed")
"""How bars look; `other` is skipped, xfailed, xpassed, and what is not known."""
BAD_LOOKS = LOOKS[2:]
_SIGNS = {"passed": "■", "other": "■", "failed": "✕", "error": "◆", "crashed": "★"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Each bar is one test, or neighbours on one worker that are each too short to be seen; arrays of shape (bars,)."""

    row: IntArray
    look: IntArray
    """Index into `LOOKS`."""
    start_s: FloatArray
    end_s: FloatArray
    count: IntArray
    texts: tuple[str, ...]
    """What a bar stands for, cut to what is drawn and not escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The tests that used most of something, most first."""

    title: str
    explained: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    written: tuple[str, ...]
    """The values as people read them."""
    bad: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When each test ran where, and which were the slowest and hungriest."""

    title: str
    subtitle: str
    workers: tuple[str, ...]
    start_s: float
    end_s: float
    bars: Bars
    crowd: Crowd | None
    """Instead of bars, where there are too many workers for them."""
    counts: tuple[int, ...]
    """How many tests have each look, in the order of `LOOKS`."""
    rankings: tuple[Ranking, ...]
    notice: str | None = None
    """Why there is nothing to see; None where there is."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside the rows."""
        return self.workers if self.crowd is None else self.crowd.labels

    @property
    def pixel_s(self) -> float:
        """About how much time a pixel shows."""
        return (self.end_s - self.start_s) / 1200


def look_colour(look: str, theme: Theme) -> str:
    return {"passed": theme.accent, "other": theme.neutral}.get(look, theme.bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One look that occurs: its sign, how often, and its name in words."""

    look: str
    sign: str
    number: int
    name: str


def legend(timeline: Timeline) -> list[LegendEntry]:
    """Return the looks that occur, in their order."""
    return [
        LegendEntry(look=look, sign=_SIGNS[look], number=number, name=_look_name(look, number))
        for look, number in zip(LOOKS, timeline.counts, strict=True)
        if number
    ]


def _look_name(look: str, number: int) -> str:
    if look == "error":
        return "error" if number == 1 else "errors"
    return "skipped or expected" if look == "other" else look

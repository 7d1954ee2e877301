"""What was decided about a fleet, what became of it and how busy it was as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drmviz.analysis.scaling import FleetSize
from drmviz.figures.theme import Theme, hexadecimal, rgb_of
from drmviz.model.decisions import Action, ScalingDecision
from drmviz.model.metrics import BoolArray, FloatArray, Metric

Kind = Literal["up", "down", "hold"]
KINDS: dict[Action, Kind] = {"scale_up": "up", "scale_down": "down", "maintain": "hold"}
KIND_NAMES: dict[Kind, str] = {"up": "scale up", "down": "scale down", "hold": "hold"}
SIGNS: dict[Kind, str] = {"up": "▲", "down": "▼", "hold": "❘"}
Fate = Literal["joined", "left", "lost"]
FATES: tuple[Fate, ...] = ("joined", "left", "lost")
DECIDED = "decided"
"""The row for decisions of which no share of the fleet is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One metric of the whole fleet."""

    metric: Metric
    name: str
    label: str
    """What stands at its end."""
    values: FloatArray
    """float64, shape (columns,), in percent or a number of tasks; NaN where not measured."""

    @property
    def end(self) -> float:
        """Return the last known value; zero where there is none."""
        known = self.values[np.isfinite(self.values)]
        return float(known[-1]) if known.size else 0.0

    @property
    def single(self) -> BoolArray:
        """Return the columns between two that are not known: no line leads to them."""
        known = np.isfinite(np.concatenate([[np.nan], self.values, [np.nan]]))
        single: BoolArray = known[1:-1] & ~known[:-2] & ~known[2:]
        return single


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A level that decisions go by."""

    name: Literal["up", "down", "target"]
    percent: float
    text: str
    is_text_above: bool
    text_at: float
    """Where across the plot it is written, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Between the thresholds, or above the upper one."""

    name: Literal["between", "above"]
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One decision, or a run of equal ones to hold where there are very many."""

    decision: ScalingDecision
    times: int
    at_s: float
    """Where it is drawn: at the edge of the window if it was taken outside."""
    level: float | None
    """What it was based on, else where the line was; None where neither is known."""
    label: str
    hover: tuple[str, ...]
    mark: int
    """Which mark stands for it."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.decision.action]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One decision, or several of a kind so close together that their marks would collide."""

    kind: Kind
    number: int
    at_s: float
    level: float | None
    label: str
    hover: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Workers joined, left or were lost, in one narrow stretch of time."""

    fate: Fate
    at_s: float
    number: int
    hover: tuple[str, ...]
    workers: tuple[str, ...]
    """The first of them."""
    whys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry of the list: a decision or a run of them to hold, in words."""

    kind: Kind
    badge: str
    heading: str
    when: str
    reason: str
    """As it was stated."""
    after: tuple[str, ...]
    """What then happened; empty where that is not known or nothing was to happen."""
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingHistory:
    """Lines of use against thresholds, decisions on them, facts below, then how many workers there were."""

    title: str
    subtitle: str
    heading: str
    explained: str
    unit: str
    """`%`, or empty for a number of tasks."""
    starts_at_s: FloatArray
    width_s: float
    lines: tuple[Line, ...]
    """The one that decisions name first."""
    unmeasured: BoolArray
    """bool, shape (columns,): workers lived and the first line is not known."""
    thresholds: tuple[Threshold, ...]
    highest: float
    """Where the axis of the lines ends."""
    told: tuple[Told, ...]
    marks: tuple[Mark, ...]
    facts: tuple[Fact, ...]
    size: FleetSize
    counted: str
    """What is counted, and how many are allowed."""
    items: tuple[Item, ...]
    """Newest first, at most as many as are ever shown."""
    decisions: int
    """How many there are in all."""
    remark: str
    """What to say where there is none."""
    notice: str | None = None
    """Why there is nothing to see; None where there is."""

    @property
    def start_s(self) -> float:
        return float(self.starts_at_s[0])

    @property
    def end_s(self) -> float:
        return float(self.starts_at_s[-1]) + self.width_s

    @property
    def zones(self) -> tuple[Zone, ...]:
        level = {threshold.name: threshold.percent for threshold in self.thresholds}
        zones = []
        if "up" in level:
            zones.append(Zone(name="above", low=level["up"], high=max(level["up"], self.highest)))
            if "down" in level:
                zones.append(Zone(name="between", low=level["down"], high=level["up"]))
        return tuple(zones)

    @property
    def rows(self) -> tuple[str, ...]:
        """What stands between the lines and the number of workers, from above."""
        found = {fact.fate for fact in self.facts}
        unplaced = (DECIDED,) if any(mark.level is None for mark in self.marks) else ()
        return (*unplaced, *(fate for fate in FATES if fate in found))

    @property
    def is_unknown(self) -> bool:
        """Whether no line has a single number."""
        return not any(np.isfinite(line.values).any() for line in self.lines)

    @property
    def is_crowded(self) -> bool:
        """Whether a mark stands for several decisions."""
        return len(self.marks) < len(self.told)

    @property
    def most_workers(self) -> float:
        known = self.size.workers[self.size.workers == self.size.workers]
        return max(1.0, float(known.max(initial=0.0)))


def line_colour(number: int, theme: Theme) -> str:
    """Return the colour of a line; the first one is the strongest."""
    return (theme.accent, theme.ink_soft, theme.ink_faint)[min(number, 2)]


def kind_colour(kind: Kind, theme: Theme) -> str:
    return {"up": theme.up, "down": theme.down, "hold": theme.ink_faint}[kind]


def fate_colour(fate: str, theme: Theme) -> str:
    return {"joined": theme.up, "left": theme.down, "lost": theme.bad}[fate]


def tinted(colour: str, share: float, theme: Theme) -> str:
    """Return so much of a colour on the surface."""
    ground = rgb_of(theme.surface)
    return hexadecimal(
        [round(below + (above - below) * share) for above, below in zip(rgb_of(colour), ground, strict=True)]
    )

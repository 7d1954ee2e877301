"""Used against reserved as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drmviz.figures.providers import Look, look_of
from drmviz.figures.theme import Theme
from drmviz.model.metrics import BoolArray, FloatArray, IntArray

Side = Literal["right", "left", "above", "below"]
Corner = Literal["right", "left"]
"""Where in the wedge its explanation stands: at its right end, or from `LEFT_AT` of the axis on."""
LEFT_AT = 0.3

WASTE_FROM = 10.0
"""Percent: a smaller reservation is no waste worth naming, so the wedge begins there."""
WEDGE_TEXT = "Less than half of", "the reservation used"
DIAGONAL_TEXT = "everything reserved is used"
AXIS_TEXT = "used, % of capacity"
SIZES_PX = ((7.0, 9.5, 12.5), (5.0, 6.5, 8.5))
"""Marks by steps of capacity, where there are few of them and where there are many."""
_FEW = 300
MOST_WORST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """One worker that used less than half of its reservation."""

    id: str
    idle: str
    """How much of it was idle."""
    shares: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name beside a mark, where it covers no other name and few marks."""

    mark: int
    text: str
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One resource; arrays have the shape (marks,), in the order of the run."""

    name: str
    heading: tuple[str, str]
    """How much of what the fleet reserves it uses, and how much lies idle."""
    notes: tuple[str, ...]
    """Which workers have no mark or no efficiency, and why."""
    reserved: FloatArray
    """Percent of the capacity."""
    used: FloatArray
    workers: tuple[str, ...]
    hovers: tuple[tuple[str, ...], ...]
    """What is known of each mark, line by line, cut to what is drawn and not escaped."""
    provider: IntArray
    """Index into the providers of the figure, -1 where not known."""
    step: IntArray
    """Of capacity, 0..2."""
    gone: BoolArray
    ends: tuple[float, float]
    """Where the axes end: 100, or beyond what was reserved or used above the capacity."""
    waste: str
    """How many workers used less than half of their reservation."""
    worst: tuple[Worst, ...]
    labels: tuple[Label, ...]
    corner: Corner

    @property
    def wedge(self) -> list[tuple[float, float]]:
        """Return the corners of where less than half of a reservation is used."""
        end, top = self.ends
        corner = [(end, end / 2)] if end / 2 <= top else [(2 * top, top), (end, top)]
        return [(WASTE_FROM, 0.0), (WASTE_FROM, WASTE_FROM / 2), *corner, (end, 0.0)]

    @property
    def sizes_px(self) -> tuple[float, float, float]:
        return SIZES_PX[len(self.workers) > _FEW]


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Marks of workers, one panel for each resource."""

    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    providers: tuple[str, ...]
    """All of the run's, which decides how each looks; empty where at most one is known."""
    asked: str | None = None
    """The one resource that was asked for."""
    notice: str | None = None
    """Why there is nothing to see; None where there is."""


def looks(efficiency: Efficiency, theme: Theme) -> list[Look]:
    """Return how each provider looks; the last is the look of a worker without a provider."""
    alone = Look(colour=theme.accent, symbol="circle", marker="o", sign="●")
    if not efficiency.providers:
        return [alone]
    return [look_of(name, efficiency.providers, theme.name) for name in (*efficiency.providers, None)]


def legend(efficiency: Efficiency, theme: Theme) -> list[tuple[str, str, str]]:
    """Return a sign, its colour and its words for all that needs them."""
    every, panels = looks(efficiency, theme), efficiency.panels
    occurring = {place for panel in panels for place in panel.provider.tolist()}
    named = [*enumerate(efficiency.providers), *([(-1, "provider not known")] if efficiency.providers else [])]
    entries = [(every[place].sign, every[place].colour, name) for place, name in named if place in occurring]
    if any(panel.gone.any() for panel in panels):
        entries.append(("○", theme.ink_soft, "left before the end"))
    if any(len(set(panel.step.tolist())) > 1 for panel in panels):
        entries.append(("•●", theme.ink_faint, "larger: more capacity"))
    return entries

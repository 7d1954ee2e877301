"""What workers have, reserve and use, as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drmviz.figures.amounts import amount
from drmviz.figures.names import drawn
from drmviz.figures.theme import Theme, mixed
from drmviz.model.metrics import BoolArray, FloatArray, IntArray

Segment = Literal["used", "reserved, idle", "use not measured", "no reservation known", "free"]
ALWAYS: tuple[Segment, ...] = ("used", "reserved, idle", "free")
"""What every panel has; the others only where they occur."""
EXCEEDED = "reservation or capacity exceeded"

DIMMED = 0.4
"""How opaque the bars of those are who left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One resource; arrays have the shape (rows,), in the unit of the panel, NaN where not known."""

    name: str
    unit: str
    heading: str
    """Its sums over the fleet."""
    notes: str
    """What the sums leave out; empty where nothing."""
    against: Literal["reserved", "capacity"]
    """What stands beside used at the right of each row."""
    labels: tuple[str, ...]
    """One for each row: the whole worker id, or "first–last (n)" where rows were merged."""
    counts: IntArray
    """How many workers a row stands for; its numbers are their means."""
    capacity: FloatArray
    reserved: FloatArray
    used: FloatArray
    gone: BoolArray
    segments: dict[Segment, FloatArray]
    """What a bar is put together from, from zero on."""
    unsized: dict[int, str]
    """Rows without a known capacity, which have no bar, and what is known of them."""

    @property
    def over_reservation(self) -> FloatArray:
        """Return the reservation where more was used, else NaN."""
        return np.where(self.used > self.reserved + self._tiny, self.reserved, np.nan)

    @property
    def over_capacity(self) -> FloatArray:
        """Return the capacity where more was used or reserved, else NaN."""
        return np.where(np.fmax(self.used, self.reserved) > self.capacity + self._tiny, self.capacity, np.nan)

    @property
    def highest(self) -> float:
        """Where the axis has to reach."""
        amounts = np.concatenate([self.capacity, self.used, self.reserved])
        highest = float(np.nanmax(amounts, initial=0.0))
        return highest if highest > 0 else 1.0

    @property
    def right_heading(self) -> str:
        return f"used / {self.against}"

    def at_right(self, row: int) -> str:
        """Return "7 / 45"."""
        if row in self.unsized:
            return ""
        other = self.reserved if self.against == "reserved" else self.capacity
        return f"{amount(self.used[row])} / {amount(other[row])}"

    def hover(self, row: int) -> tuple[str, ...]:
        """Return all that is known of a row, line by line."""
        used, reserved, capacity = (amount(part[row]) for part in (self.used, self.reserved, self.capacity))
        unit = self.unit.removesuffix("s") if capacity == "1" else self.unit
        many = "" if self.counts[row] == 1 else f"mean of {self.counts[row]} workers"
        if row in self.unsized:
            return drawn(self.labels[row]), many, self.unsized[row]
        idle, free = (amount(self.segments[part][row]) for part in ("reserved, idle", "free"))
        return (
            drawn(self.labels[row]),
            many,
            "left before the end" if self.gone[row] else "",
            f"used {used}, reserved {reserved} of {capacity} {unit}".replace("–", "not known"),
            f"reserved and idle {idle}, free {free}".replace("–", "not known"),
        )

    @property
    def _tiny(self) -> FloatArray:
        """What a rounding error may come to."""
        return 1e-6 * np.nan_to_num(self.capacity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Bars of workers, one panel for each resource."""

    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    rows_named: bool
    """Whether the user named the workers."""
    notice: str | None = None
    """Why there is nothing to see; None where there is."""


def found(allocation: Allocation) -> list[Segment]:
    """Return the kinds of segments that occur, as a legend lists them."""
    occurring = {name for panel in allocation.panels for name in panel.segments}
    return [*ALWAYS, *sorted(occurring - set(ALWAYS), reverse=True)]


def is_exceeded(allocation: Allocation) -> bool:
    """Tell whether a reservation or a capacity was exceeded anywhere."""
    parts = (part for panel in allocation.panels for part in (panel.over_reservation, panel.over_capacity))
    return any(bool(np.isfinite(part).any()) for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How a segment looks: apart by lightness, outline and pattern, so that colour alone tells nothing."""

    sign: str
    """About how it looks, as a letter."""

    ground: str
    outline: str | None = None
    pattern: Literal["", "/", "."] = ""
    ink: str = ""
    """What the pattern is drawn in."""


def fills(theme: Theme) -> dict[Segment, Fill]:
    return {
        "used": Fill(sign="■", ground=theme.accent),
        "reserved, idle": Fill(sign="▣", ground=mixed(theme.accent, theme.track, 0.3), outline=theme.accent),
        "use not measured": Fill(sign="▨", ground=theme.track, pattern="/", ink=theme.ink_faint),
        "no reservation known": Fill(
            sign="▒", ground=theme.surface, outline=theme.line_strong, pattern=".", ink=theme.ink_faint
        ),
        "free": Fill(sign="■", ground=theme.track),
    }

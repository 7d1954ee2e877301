"""What is said of a resource and its workers beside their marks."""

from __future__ import annotations

import numpy as np

from drmviz.analysis.efficiency import Allotment, total, why_unknown
from drmviz.figures.amounts import NAMES, UNITS, amount, counted
from drmviz.figures.efficiency import Worst
from drmviz.figures.names import count, drawn
from drmviz.figures.units import percent


class Words:
    """Writes about one resource; sums and ratios are taken once."""

    def __init__(self, of: Allotment) -> None:
        self._of = of
        self._unit = UNITS[of.resource]
        self._idle = of.idle / self._unit.size
        self._efficiency = of.efficiency_ratio
        self._wasteful = of.wasteful

    def heading(self) -> tuple[str, str]:
        """Return how much of what is reserved is used, and how much of it lies idle."""
        sums = total(self._of)
        used = f"{percent(sums.efficiency_ratio * 100)} of" if sums.efficiency_ratio is not None else "None of"
        on = ", each at its highest" if self._of.statistic == "max" else ", on average" if sums.averaged else ""
        if sums.compared is None or sums.idle is None:
            return f"{used} what is reserved is used", f"capacity not known{on}"
        if sums.compared == 0:
            return f"{counted((sums.used or 0.0) / self._unit.size, self._unit)} used, none reserved", f"0 idle{on}"
        number, _, name = counted(sums.compared / self._unit.size, self._unit).partition(" ")
        return f"{used} {number} reserved {name} used", f"{amount(sums.idle / self._unit.size)} idle{on}"

    def waste(self) -> str:
        """Return how many workers used less than half of their reservation."""
        known = int(np.isfinite(self._efficiency).sum())
        return f"{int(self._wasteful.sum()):,} of {known:,} used less than half"

    def notes(self) -> tuple[str, ...]:
        """Return who has no efficiency, and why."""
        parts = [f"{count(many, 'worker')}: {why}" for why, many in why_unknown(self._of).items()]
        without = f"{count(self._of.without, 'worker')} without {NAMES[self._of.resource]}"
        return (*parts, *([without] if self._of.without else []))

    def worst_rows(self) -> list[int]:
        """Return who is wasteful: who is still there first, then by what lies idle."""
        rows = np.flatnonzero(self._wasteful)
        idle_ratio = (self._of.reserved_ratio - self._of.used_ratio)[rows]
        order = np.lexsort((-idle_ratio, -np.nan_to_num(self._idle[rows]), self._of.gone[rows]))
        ordered: list[int] = rows[order].tolist()
        return ordered

    def worst(self, row: int) -> Worst:
        """Return what a list says of one of them."""
        left = ", left" if self._of.gone[row] else ""
        return Worst(id=self._of.workers[row].id, idle=self._idle_of(row), shares=self._shares(row) + left)

    def hover(self, row: int, provider: str | None, *, many: int) -> tuple[str, ...]:
        """Return all that is known of a mark, line by line, and for how many workers it stands."""
        efficiency, capacity = self._efficiency[row], self._of.capacity[row] / self._unit.size
        parts = (
            f"efficiency {percent(efficiency * 100)}" if np.isfinite(efficiency) else "efficiency not known",
            self._idle_of(row),
            f"of {counted(capacity, self._unit)}" if np.isfinite(capacity) else "capacity not known",
        )
        return (
            drawn(self._of.workers[row].id),
            f"{self._shares(row)}, of its capacity",
            ", ".join(part for part in parts if part),
            drawn(provider) if provider else "",
            "left before the end" if self._of.gone[row] else "",
            f"and {count(many - 1, 'worker')} about here" if many > 1 else "",
        )

    def _shares(self, row: int) -> str:
        used, reserved = (percent(ratio[row] * 100) for ratio in (self._of.used_ratio, self._of.reserved_ratio))
        return f"used {used} of {reserved} reserved"

    def _idle_of(self, row: int) -> str:
        """Return "9.2 cores idle"; a share where no capacity is known, nothing where nothing lies idle."""
        if np.isfinite(self._idle[row]):
            return f"{counted(self._idle[row], self._unit)} idle"
        idle_ratio = self._of.reserved_ratio[row] - self._of.used_ratio[row]
        return f"{percent(idle_ratio * 100)} of capacity idle" if idle_ratio > 0 else ""


def why_not(found: list[Allotment]) -> str:
    """Return why no worker has an efficiency, where something of the resources is known."""
    if not any(np.isfinite(of.used_ratio).any() for of in found):
        return "Use was not measured: this manager states reservations only, and efficiency is used over reserved."
    if not any(of.is_reserved for of in found):
        return "Nothing was reserved, as far as is known, and efficiency is used over reserved."
    reasons: dict[str, int] = {}
    for of in found:
        reasons |= {why: max(many, reasons.get(why, 0)) for why, many in why_unknown(of).items()}
    return "No worker's efficiency is known: " + ", ".join(f"{why} ({many:,})" for why, many in reasons.items()) + "."

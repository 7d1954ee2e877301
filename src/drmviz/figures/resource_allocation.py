"""What workers have of each resource, what of it is reserved and what is used: most idle reservation first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drmviz.analysis.efficiency import Allotment, Total, total
from drmviz.figures import allocation_plotly
from drmviz.figures.allocation import Allocation, Panel, Segment
from drmviz.figures.allocation_room import LEAST_ROW_PX, MERGED_ROW_PX, rows_px
from drmviz.figures.amounts import NAMES, NO_RESOURCE, UNITS, Unit, allotments, amount, counted, needed
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.emptiness import why_nobody
from drmviz.figures.names import count, drawn
from drmviz.figures.theme import THEMES
from drmviz.figures.units import date_and_clock, duration, percent
from drmviz.model.metrics import FloatArray, IntArray, Metric
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHOLE, _NO_USE, _NO_RESERVATION, _NEITHER, _NO_CAPACITY = range(5)
_SHARE = Unit(one="% of capacity", many="% of capacity", size=0.01)
"""What a resource is counted in where nobody's capacity is known."""


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: use and reservation of each resource, where their highest values are asked for."""
    return needed(options) if options.statistic == "max" else ()


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: the same ones, where means are asked for."""
    return needed(options) if options.statistic == "mean" else ()


def arrange(run: Run, options: FigureOptions) -> Allocation:
    """Lay each resource out as one bar for each worker, in the order of what is reserved and idle.

    Where rows would be too thin the first ones stay as they are and neighbours among the others are merged, unless the
    workers were named.
    """
    found = [] if run.is_empty else [of for of in allotments(run, options) if of.is_known]
    panels = tuple(_panel(of, options, panels=len(found)) for of in found)
    return Allocation(
        title="Resource allocation" if options.title is None else options.title,
        subtitle=_subtitle(run, options, panels),
        panels=panels,
        rows_named=options.workers_named,
        notice=None if panels else _notice(run, options),
    )


def draw_plotly(numbers: Allocation, options: FigureOptions) -> PlotlySpec:
    """Return stacked bars, in each panel a trace for what is used, reserved and idle, and free."""
    return allocation_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: Allocation, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import allocation_matplotlib  # Matplotlib is loaded by those who draw with it

    return allocation_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: Allocation) -> str:
    """Say in one sentence what the picture shows."""
    if not numbers.panels:
        return f"Allocation without numbers: {(numbers.notice or '').rstrip('.')}."
    of = "; ".join(f"{panel.name}: {panel.heading}" for panel in numbers.panels)
    return f"Bars of what workers have, reserve and use of {of}; {numbers.subtitle}."


def _panel(of: Allotment, options: FigureOptions, *, panels: int) -> Panel:
    unit = UNITS[of.resource] if np.isfinite(of.capacity).any() else _SHARE
    scale = (of.capacity if unit is not _SHARE else np.ones(len(of.workers))) / unit.size
    capacity, reserved, used = scale, of.reserved_ratio * scale, of.used_ratio * scale
    kind = _kinds(capacity, of)
    idle = np.maximum(reserved - used, 0.0)
    free = np.maximum(capacity - np.fmax(reserved, used), 0.0)
    groups = _groups(of, kind, order := _order(of, kind, idle, free), options, panels=panels)
    firsts = np.flatnonzero(np.diff(groups, prepend=-1))
    counts = np.diff(np.append(firsts, len(order)))

    def merged(amounts: FloatArray) -> FloatArray:
        means: FloatArray = np.add.reduceat(amounts[order], firsts) / counts
        return means

    rows_kind = kind[order][firsts]
    sums = total(of)
    return Panel(
        name=NAMES[of.resource],
        unit=unit.many,
        heading=_heading(of, sums, unit),
        notes=_notes(of, sums),
        against="reserved" if of.is_reserved else "capacity",
        labels=_labels(of, order, firsts, counts),
        counts=counts,
        capacity=merged(capacity),
        reserved=merged(reserved),
        used=merged(used),
        gone=of.gone[order][firsts],
        segments=_segments(
            rows_kind, *map(merged, (capacity, reserved, used, idle, free)), anybody_reserves=of.is_reserved
        ),
        unsized=_unsized(of, order, firsts, counts, rows_kind == _NO_CAPACITY),
    )


def _kinds(capacity: FloatArray, of: Allotment) -> IntArray:
    """Return for each worker what of it is known."""
    no_use, no_reservation = np.isnan(of.used_ratio), np.isnan(of.reserved_ratio)
    kind = no_use * _NO_USE + no_reservation * _NO_RESERVATION
    return np.where(np.isnan(capacity), _NO_CAPACITY, kind)


def _order(of: Allotment, kind: IntArray, idle: FloatArray, free: FloatArray) -> IntArray:
    """Sort: who left last, who is known in full first, then by what is idle, what may be, and what is free."""
    may_be_idle = np.where(kind == _NO_USE, of.reserved_ratio * of.capacity, idle)
    order: IntArray = np.lexsort((-free, -np.nan_to_num(may_be_idle), kind, of.gone))
    return order


def _groups(of: Allotment, kind: IntArray, order: IntArray, options: FigureOptions, *, panels: int) -> IntArray:
    """Return the number of the row of each worker in its order; no row mixes what is known with what is not."""
    everybody = np.arange(len(order))
    around_px = 110 + 66 * panels
    height_px = rows_px(len(order), options.height, panels, around_px=around_px, named=options.workers_named)
    if options.workers_named or len(order) * LEAST_ROW_PX <= height_px:
        return everybody
    alike = (kind + 10 * of.gone)[order]
    changes = np.diff(alike, prepend=-1) != 0
    rows = max(2, height_px // MERGED_ROW_PX)
    alone = rows * 2 // 3
    per_row = -(-(len(order) - alone) // max(1, rows - alone - int(changes[alone:].sum())))
    begins = np.flatnonzero(changes | (everybody == alone))
    place = everybody - np.repeat(begins, np.diff(np.append(begins, len(order))))
    groups: IntArray = np.cumsum((everybody < alone) | (place % per_row == 0)) - 1
    return groups


def _labels(of: Allotment, order: IntArray, firsts: IntArray, counts: IntArray) -> tuple[str, ...]:
    labels: dict[str, None] = {}
    for first, many in zip(firsts.tolist(), counts.tolist(), strict=True):
        ids = [of.workers[order[place]].id for place in (first, first + many - 1)]
        label = ids[0] if many == 1 else f"{drawn(ids[0])}–{drawn(ids[1])} ({many})"
        while label in labels:  # names that look the same once they are cut
            label += " "
        labels[label] = None
    return tuple(labels)


def _segments(
    kind: IntArray, capacity: FloatArray, reserved: FloatArray, used: FloatArray, idle: FloatArray, free: FloatArray,
    *, anybody_reserves: bool,
) -> dict[Segment, FloatArray]:  # fmt: skip
    unreserved = kind == _NO_RESERVATION
    is_free = (kind < _NO_RESERVATION) | (unreserved & (not anybody_reserves))
    segments: dict[Segment, FloatArray] = {
        "used": np.where(kind != _NO_CAPACITY, used, np.nan),
        "reserved, idle": np.where(kind == _WHOLE, idle, np.nan),
        "use not measured": np.select([kind == _NO_USE, kind == _NEITHER], [reserved, capacity], np.nan),
        "no reservation known": np.where(unreserved & anybody_reserves, free, np.nan),
        "free": np.where(is_free, free, np.nan),
    }
    for part in ("use not measured", "no reservation known"):
        if not np.isfinite(segments[part]).any():
            del segments[part]
    return segments


def _unsized(
    of: Allotment, order: IntArray, firsts: IntArray, counts: IntArray, which: np.ndarray
) -> dict[int, str]:  # fmt: skip
    texts = {}
    for row in np.flatnonzero(which).tolist():
        part = order[firsts[row] : firsts[row] + counts[row]]
        used, reserved = _mean(of.used_ratio[part]), _mean(of.reserved_ratio[part])
        known = [
            f"{name} {percent(ratio * 100)}"
            for name, ratio in (("used", used), ("reserved", reserved))
            if not np.isnan(ratio)
        ]
        unknown = [
            f", {name} not known" for name, ratio in (("use", used), ("reservation", reserved)) if np.isnan(ratio)
        ]
        of_it = f" · {', '.join(known)} of it" if known else ""
        texts[row] = f"capacity not known{of_it}{''.join(unknown)}"
    return texts


def _mean(ratios: FloatArray) -> float:
    known = ratios[np.isfinite(ratios)]
    return float(known.mean()) if known.size else float("nan")


def _heading(of: Allotment, sums: Total, unit: Unit) -> str:
    if unit is _SHARE:
        return "nobody's capacity is known, so bars are shares of it"

    def of_all(value: float | None) -> float | None:
        return None if value is None else value / unit.size

    capacity = counted(of_all(sums.capacity) or 0.0, unit)
    used = f"{amount(of_all(sums.used))} used" if sums.used is not None else "use not measured"
    on = "each at its highest: " if of.statistic == "max" else "on average " if sums.averaged else ""
    if not of.is_reserved and sums.used is None:
        return f"use is known only where no capacity is, of {capacity}; nothing is known to reserve it"
    if of.is_reserved and sums.reserved is None:
        some = (
            f"{amount(of_all(sums.used))} of {capacity} used"
            if sums.used is not None
            else f"use of {capacity} not measured"
        )
        return f"{on}{some}, reservations are known only where no capacity is"
    if not of.is_reserved:
        return f"{on}{amount(of_all(sums.used))} of {capacity} used, nothing is known to reserve it"
    idle = ""
    if sums.idle is not None and sums.capacity:
        idle = f", {amount(of_all(sums.idle))} reserved and idle ({percent(sums.idle / sums.capacity * 100)} of all)"
    return f"{on}reserved {amount(of_all(sums.reserved))} of {capacity}, {used}{idle}"


def _notes(of: Allotment, sums: Total) -> str:
    missing = (
        ("use of {} not measured", sums.used_unknown),
        ("reservation of {} not known", sums.reserved_unknown),
        ("capacity of {} not known", sums.capacity_unknown),
    )
    parts = [text.format(count(many, "worker")) for text, many in missing if 0 < many < sums.workers]
    if of.without:
        parts.append(f"{count(of.without, 'worker')} without {NAMES[of.resource]}")
    return ", ".join(parts)


def _subtitle(run: Run, options: FigureOptions, panels: tuple[Panel, ...]) -> str:
    parts = [drawn(run.header.title), count(len(run.workers), "worker")]
    if run.columns:
        statistic = "mean" if options.statistic == "mean" else "highest values"
        parts.append(f"{statistic} of {duration(run.end_s - run.start_s)}")
    most = max((int(panel.counts.max(initial=1)) for panel in panels), default=1)
    gone = any(panel.gone.any() for panel in panels)
    if panels:
        parts.append("most idle reservation first" + (", who left last and dimmed" if gone else ""))
    if most > 1:
        parts.append(f"merged rows are means of up to {most}")
    if run.columns:
        parts.append(date_and_clock(float(run.starts_at_s[0])))
    return " · ".join(part for part in parts if part)


def _notice(run: Run, options: FigureOptions) -> str:
    if run.is_empty:
        return " ".join((why_nobody(run), *run.notes))
    found = allotments(run, options)
    if options.metric is None:
        return " ".join(("Neither use nor reservations of CPU, memory or GPU were recorded.", *run.notes))
    if not found:
        return NO_RESOURCE
    name = NAMES[found[0].resource]
    if not found[0].workers:
        return f"No worker here has a {name}."
    return f"Neither use nor reservations of {name} were recorded in this window."

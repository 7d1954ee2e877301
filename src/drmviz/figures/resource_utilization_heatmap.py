"""Who was how busy when: one row for each worker, one cell for each stretch of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drmviz.analysis.scaling import LOST
from drmviz.figures import heatmap_plotly
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.emptiness import why_nobody
from drmviz.figures.heatmap import METRIC_NAMES, MOST_ROWS, Event, Group, Heatmap, Panel, Rows
from drmviz.figures.names import count, drawn
from drmviz.figures.occupancy import tests_by_cell
from drmviz.figures.providers import providers_of
from drmviz.figures.rows import panel_height_px
from drmviz.figures.theme import THEMES
from drmviz.figures.units import date_and_clock, duration, percent
from drmviz.model.decisions import FleetChange
from drmviz.model.metrics import BoolArray, FloatArray, IntArray, Metric, Statistic
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESERVED: dict[Metric, Metric] = {
    "cpu_ratio": "cpu_reserved_ratio",
    "memory_ratio": "memory_reserved_ratio",
    "gpu_ratio": "gpu_reserved_ratio",
}
"""What is shown, under its own name, where use itself was nowhere measured."""
USUAL: tuple[Metric, ...] = tuple(RESERVED)
_OF_GPUS: frozenset[Metric] = frozenset({"gpu_ratio", "gpu_memory_ratio", "gpu_reserved_ratio"})
_NOUNS = {"worker": ("worker", "workers"), "process": ("process", "processes"), "host": ("host", "hosts")}
_MOST_EVENTS = 60
_MOST_NAMED = 6


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: the one asked for, or the usual three."""
    return USUAL if options.metric is None else (options.metric,)


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: none."""
    return ()


def arrange(run: Run, options: FigureOptions) -> Heatmap:
    """Lay each metric out as workers x columns, in the order of the run, those of one provider together.

    Rows are merged where there are more of them than pixels, unless the workers were named. Where use was not measured
    and reservations are known, these are shown and called by their name.
    """
    run = _by_provider(run, options)
    metrics = _shown(run, options)
    notice = _notice(run, options, metrics)
    per_row = _per_row(len(run.workers), options, panels=len(metrics))
    return Heatmap(
        title="Resource utilization" if options.title is None else options.title,
        subtitle=_subtitle(run, options.statistic, per_row),
        starts_at_s=run.starts_at_s,
        width_s=run.width_s,
        panels=() if run.is_empty else _panels(run, metrics, options, notice or ""),
        statistic=options.statistic,
        events=fleet_events(run),
        providers=providers_of(run),
        notice=notice,
    )


def draw_plotly(numbers: Heatmap, options: FigureOptions) -> PlotlySpec:
    """Return one heatmap trace for each panel; all else is layout."""
    return heatmap_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: Heatmap, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import heatmap_matplotlib  # Matplotlib is loaded by those who draw with it

    return heatmap_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: Heatmap) -> str:
    """Say in one sentence what the picture shows."""
    if not any(np.isfinite(panel.values).any() for panel in numbers.panels):
        return f"Heatmap without numbers: {numbers.notice}"
    of = " and ".join(f"{panel.name} (mean {_written_mean(panel)})" for panel in numbers.panels)
    return f"Heatmap of {of} of {numbers.subtitle}."


def _by_provider(run: Run, options: FigureOptions) -> Run:
    """Return the run with the workers of one provider together; as it is where the user named its rows."""
    homes = [home or "" for home in run.labelled("provider")]
    if options.workers_named or len(set(homes)) < 2:
        return run
    order = np.array(sorted(range(len(homes)), key=lambda row: (not homes[row], homes[row].casefold(), homes[row])))
    if (np.diff(order) == 1).all():
        return run
    return replace(
        run,
        workers=tuple(run.workers[row] for row in order.tolist()),
        grids={key: grid[order] for key, grid in run.grids.items() if key[1] == options.statistic},
        means={metric: means[order] for metric, means in run.means.items()},
        alive=run.alive[order],
    )


def _groups(run: Run, per_row: int) -> tuple[Group, ...]:
    """Return the stretches of rows that run at one place, if there is more than one place."""
    homes = run.labelled("provider")[::per_row]
    if len(set(homes)) < 2:
        return ()
    starts = [row for row in range(len(homes)) if row == 0 or homes[row] != homes[row - 1]]
    return tuple(
        Group(provider=homes[first] or "not known", first=first, end=end)
        for first, end in pairwise([*starts, len(homes)])
    )


def _shown(run: Run, options: FigureOptions) -> list[Metric]:
    """Return the metrics that get a panel: those measured, or the reservations where no use was."""
    asked = [options.metric] if options.metric else list(USUAL)
    measured = [metric for metric in asked if run.is_measured(metric, options.statistic)]
    instead = [RESERVED[m] for m in asked if m in RESERVED and run.is_measured(RESERVED[m], options.statistic)]
    return measured or instead or ([options.metric] if options.metric else [])


def _written_mean(panel: Panel) -> str:
    known = panel.values[np.isfinite(panel.values)]
    if not known.size:
        return "unknown"
    mean = float(known.mean(dtype=np.float64))
    return percent(mean) if panel.unit else f"{mean:.1f}"


def _per_row(workers: int, options: FigureOptions, *, panels: int) -> int:
    """Return how many workers share a row: more than one where there are more of them than pixels."""
    if options.workers_named:
        return 1
    most = min(MOST_ROWS, max(1, panel_height_px(workers, height=options.height, panels=panels, around_px=110)))
    return max(1, -(-workers // most))


def _panels(run: Run, metrics: Sequence[Metric], options: FigureOptions, note: str) -> tuple[Panel, ...]:
    """Lay out each metric; where some workers have no GPU, those that have one are the rows of what GPUs do."""
    everybody = np.arange(len(run.workers))
    equipped = np.flatnonzero(run.capacities("gpu_count") != 0)
    panels: list[Panel] = []
    known: dict[int, Rows] = {}
    for metric in metrics:
        members = equipped if metric in _OF_GPUS and len(equipped) and not options.workers_named else everybody
        per_row = _per_row(len(members), options, panels=len(metrics))
        if len(members) not in known:  # panels of the same rows share them, and so their texts
            known[len(members)] = _rows(run if len(members) == len(everybody) else _of(run, members), per_row)
        few = f"{len(members):,} of {count(len(everybody), 'worker')} have one" if len(members) < len(everybody) else ""
        said = " · ".join(part for part in (few, "" if panels else note) if part)
        values = run.values(metric, options.statistic)[members]
        panels.append(_panel(metric, known[len(members)], values, run.alive[members], options.statistic, per_row, said))
    return tuple(panels)


def _of(run: Run, members: IntArray) -> Run:
    """Return the run as if there were only these workers, without their numbers."""
    workers = tuple(run.workers[row] for row in members.tolist())
    return replace(run, workers=workers, alive=run.alive[members], grids={}, means={})


def _rows(run: Run, per_row: int) -> Rows:
    rows = range(0, len(run.workers), per_row)
    return Rows(
        workers=tuple(_label(run, first, per_row) for first in rows),
        alive=_lived(run.alive, per_row),
        groups=_groups(run, per_row),
        tests=tests_by_cell(run, per_row=per_row, rows=len(rows)),
    )


def _panel(
    metric: Metric, rows: Rows, ratios: FloatArray, alive: BoolArray, statistic: Statistic, per_row: int, note: str
) -> Panel:
    counted = metric == "tasks_running"
    values = ratios * np.float32(1 if counted else 100)
    values[~alive] = np.nan
    if per_row > 1:
        values = _merged(values, per_row, statistic)
    highest = max(1.0, float(np.nanmax(values, initial=0.0))) if counted else 100.0
    return Panel(
        metric=metric,
        name=METRIC_NAMES[metric],
        unit="" if counted else "%",
        rows=rows,
        values=values,
        highest=highest,
        note=note,
    )


def _lived(alive: BoolArray, per_row: int) -> BoolArray:
    """Return where any worker of a row lived."""
    lived: BoolArray = np.logical_or.reduceat(alive, np.arange(0, len(alive), per_row)) if per_row > 1 else alive
    return lived


def _merged(values: FloatArray, per_row: int, statistic: Statistic) -> FloatArray:
    """Return the mean or the highest of what was measured in each group of rows; NaN where nothing was."""
    groups = -(-len(values) // per_row)
    sums = np.zeros((groups, values.shape[1]), dtype=np.float32)
    counts = np.zeros_like(sums)
    highest = np.full_like(sums, np.nan)
    for place in range(per_row):  # the first of each group, the second of each group, ...
        part = values[place::per_row]
        if statistic == "max":
            highest[: len(part)] = np.fmax(highest[: len(part)], part)
        else:
            known = np.isfinite(part)
            counts[: len(part)] += known
            np.add(sums[: len(part)], part, out=sums[: len(part)], where=known)
    if statistic == "max":
        return highest
    merged: FloatArray = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return merged


def _label(run: Run, first: int, per_row: int) -> str:
    group = run.workers[first : first + per_row]
    return group[0].id if len(group) == 1 else f"{drawn(group[0].id)}–{drawn(group[-1].id)} ({len(group)})"


def _subtitle(run: Run, statistic: Statistic, per_row: int) -> str:
    noun, nouns = _NOUNS.get(run.workers[0].kind if run.workers else "worker", ("GPU", "GPUs"))
    workers = count(len(run.workers), noun, plural=nouns)
    parts = [drawn(run.header.title), f"{workers}, {per_row} per row" if per_row > 1 else workers]
    if run.columns:
        parts.append(date_and_clock(float(run.starts_at_s[0])))
        parts.append(duration(run.end_s - run.start_s))
        cell = "mean" if statistic == "mean" else "highest value"
        parts.append(f"{cell} of {duration(run.width_s)} per cell")
    return " · ".join(part for part in parts if part)


def _notice(run: Run, options: FigureOptions, metrics: list[Metric]) -> str | None:
    if run.is_empty:
        return " ".join((why_nobody(run), *run.notes))
    if options.metric is None and not metrics:
        return " ".join(("None of CPU, memory and GPU was measured in this window.", *run.notes))
    if metrics and metrics[0] in RESERVED.values() and metrics[0] != options.metric:
        return "Use was not measured: what was reserved is shown."
    if options.metric is not None and not run.is_measured(options.metric, options.statistic):
        run.values(options.metric, options.statistic)  # says so where it was not even read
        return f"{METRIC_NAMES[options.metric]} was not measured in this window."
    return None


def fleet_events(run: Run) -> tuple[Event, ...]:
    """Gather fleet changes that fall into one narrow stretch; who was there from the start is none."""
    if not run.columns:
        return ()
    shown = {worker.id for worker in run.workers}
    start_s, span_s = float(run.starts_at_s[0]), run.columns * run.width_s
    gathered: dict[tuple[int, str], list[FleetChange]] = {}
    first_tick_s = run.header.started_at_s + max(run.header.interval_s, 1e-3)
    for change in run.changes:
        place = int((change.at_s - start_s) / span_s * _MOST_EVENTS)
        if change.worker not in shown or not change.is_of_the_fleet or not 0 <= place < _MOST_EVENTS:
            continue
        if change.change == "joined" and change.at_s < first_tick_s:
            continue
        kind = "added" if change.change == "joined" else "lost" if change.why in LOST else "removed"
        gathered.setdefault((place, kind), []).append(change)
    return tuple(
        Event(at_s=min(change.at_s for change in changes), kind=kind, text=_event_text(kind, changes))
        for (_, kind), changes in sorted(gathered.items())
    )


def _event_text(kind: str, changes: list[FleetChange]) -> str:
    names = ", ".join(drawn(change.worker) for change in changes[:_MOST_NAMED])
    more = f", +{len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
    whys = sorted({drawn(change.why) for change in changes if change.why})
    return f"{count(len(changes), 'worker')} {kind}: {names}{more}" + (f" ({', '.join(whys[:3])})" if whys else "")

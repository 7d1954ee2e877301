"""Why the fleet grew or shrank, and what then happened: use against thresholds, decisions, facts, workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drmviz.analysis.scaling import Episode, FleetSize, episodes, fleet_size, fleet_use, leading_metric
from drmviz.analysis.utilization import rows_of
from drmviz.figures import scaling_plotly
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.emptiness import why_nobody
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.names import count, drawn
from drmviz.figures.scaling import Line, ScalingHistory
from drmviz.figures.scaling_marks import facts, marks, tell, thresholds
from drmviz.figures.scaling_words import item
from drmviz.figures.theme import THEMES
from drmviz.figures.units import date_and_clock, duration, percent
from drmviz.model.metrics import BoolArray, FloatArray, Metric
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio")
_RESERVED: dict[Metric, Metric] = {
    "cpu_ratio": "cpu_reserved_ratio",
    "memory_ratio": "memory_reserved_ratio",
    "gpu_ratio": "gpu_reserved_ratio",
}
_OF_GPUS: frozenset[Metric] = frozenset({"gpu_ratio", "gpu_memory_ratio", "gpu_reserved_ratio"})
_MOST_STEPS = 2000
_MOST_ITEMS, _MOST_HOLDS = 8, 3


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: the one asked for, or the usual three."""
    return USUAL if options.metric is None else (options.metric,)


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: none."""
    return ()


def arrange(run: Run, options: FigureOptions) -> ScalingHistory:
    """Lay out how busy the fleet was, what was decided, who joined and left, and how many there were.

    Where use was not measured and reservations are known, these are shown and called by their name.
    """
    metrics, explained = _shown(run, options)
    use = {metric: fleet_use(run, metric, statistic=options.statistic) for metric in metrics}
    counted = options.metric == "tasks_running"
    lines = _lines(run, use)
    found = episodes(run, use)
    start_s, end_s = _window(run)
    told = tell(run, found, lines, start_s=start_s, end_s=end_s)
    highest = max((float(np.nanmax(line.values, initial=0.0)) for line in lines), default=0.0)
    highest = max([highest, *(each.level for each in told if each.level is not None)])
    alive = _alive(run, metrics[0] if metrics else None)
    unmeasured: BoolArray = alive & np.isnan(lines[0].values) if lines else alive
    return ScalingHistory(
        title="Scaling history" if options.title is None else options.title,
        subtitle=_subtitle(run),
        heading=_heading(metrics, options),
        explained=explained,
        unit="" if counted else "%",
        starts_at_s=run.starts_at_s,
        width_s=run.width_s,
        lines=lines,
        unmeasured=unmeasured,
        thresholds=() if counted else thresholds(run, lines, told, start_s=start_s, end_s=end_s),
        highest=max(1.0, highest * 1.05) if counted else max(100.0, highest * 1.03),
        told=told,
        marks=marks(told, start_s=start_s, end_s=end_s),
        facts=facts(run, start_s=start_s, end_s=end_s),
        size=_size(run),
        counted=_counted(run),
        items=tuple(item(episode, start_s=start_s, end_s=end_s) for episode in _listed(found)),
        decisions=len(run.decisions),
        remark="" if found else _remark(run),
        notice=_notice(run),
    )


def draw_plotly(numbers: ScalingHistory, options: FigureOptions) -> PlotlySpec:
    """Return lines, marks, facts and the number of workers on one axis of time, with the reasons as text below."""
    return scaling_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: ScalingHistory, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import scaling_matplotlib  # Matplotlib is loaded by those who draw with it

    return scaling_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: ScalingHistory) -> str:
    """Say in one sentence what the picture shows."""
    if numbers.notice:
        return f"Scaling history without numbers: {numbers.notice}"
    known = [(line.name, line.values[np.isfinite(line.values)]) for line in numbers.lines]
    means = [
        f"{name} (mean {percent(float(values.mean())) if numbers.unit else f'{values.mean():.1f}'})"
        for name, values in known
        if values.size
    ]
    kinds = [each.kind for each in numbers.told for _ in range(each.times)]
    said = [
        count(kinds.count("up"), "decision to scale up", plural="decisions to scale up"),
        count(kinds.count("down"), "to scale down", plural="to scale down"),
        count(kinds.count("hold"), "to hold", plural="to hold"),
    ]
    size = numbers.size.workers[np.isfinite(numbers.size.workers)]
    workers = f"{size.min():,.0f} to {size.max():,.0f} workers" if size.size else "an unknown number of workers"
    decided = ", ".join(said) if kinds else "no scaling decision"
    return f"Scaling history of {numbers.subtitle}: {', '.join(means) or 'use not measured'}; {decided}; {workers}."


def _window(run: Run) -> tuple[float, float]:
    if not run.columns:
        return run.start_s, run.end_s
    return float(run.starts_at_s[0]), float(run.starts_at_s[-1]) + run.width_s


def _shown(run: Run, options: FigureOptions) -> tuple[list[Metric], str]:
    """Return the metrics that get a line, the one that decisions name first, and what the lines are."""
    asked = [options.metric] if options.metric else list(USUAL)
    leading = leading_metric(run.decisions)
    asked.sort(key=lambda metric: metric != leading and _RESERVED.get(metric) != leading)
    measured = [metric for metric in asked if run.is_measured(metric, options.statistic)]
    if measured:
        return measured, _what_it_is(measured[0], options)
    instead = [_RESERVED[m] for m in asked if m in _RESERVED and run.is_measured(_RESERVED[m], options.statistic)]
    if instead:
        return instead, "use was not measured: what was reserved is shown"
    if options.metric is None or run.is_empty:
        return [], "not measured in this window"
    run.values(options.metric, options.statistic)  # says so where it was not even read
    lacking = options.metric in _OF_GPUS and all(worker.capacity.gpu_count == 0 for worker in run.workers)
    return [options.metric], "no worker has a GPU" if lacking else "not measured in this window"


def _what_it_is(metric: Metric, options: FigureOptions) -> str:
    of = "the mean" if options.statistic == "mean" else "the highest value of each worker, the mean"
    return "all workers together" if metric == "tasks_running" else f"{of} over workers, weighted by what each has"


def _heading(metrics: list[Metric], options: FigureOptions) -> str:
    if options.metric is not None and options.metric not in _RESERVED:
        return METRIC_NAMES[options.metric]
    return "Fleet reservations" if metrics and metrics[0] in _RESERVED.values() else "Fleet utilization"


def _alive(run: Run, metric: Metric | None) -> BoolArray:
    """Return the columns in which there was somebody to measure: for a GPU, somebody who may have one."""
    alive = run.alive
    if metric in _OF_GPUS:
        alive = alive[[worker.capacity.gpu_count != 0 for worker in run.workers]]
    lived: BoolArray = np.asarray(alive.any(axis=0))
    return lived


def _lines(run: Run, use: dict[Metric, FloatArray]) -> tuple[Line, ...]:
    return tuple(
        Line(
            metric=metric,
            name=METRIC_NAMES[metric],
            label=METRIC_NAMES[metric].removesuffix(" reserved"),
            values=values * (1 if metric == "tasks_running" else 100),
        )
        for metric, values in use.items()
    )


def _listed(found: tuple[Episode, ...]) -> list[Episode]:
    """Return the newest episodes, newest first; of those to hold only a few where there are others to show."""
    acting = sum(episode.newest.action != "maintain" for episode in found)
    room = {True: _MOST_ITEMS, False: max(_MOST_HOLDS, _MOST_ITEMS - acting)}
    listed: list[Episode] = []
    for episode in reversed(found):
        acts = episode.newest.action != "maintain"
        if room[acts] and len(listed) < _MOST_ITEMS:
            room[acts] -= 1
            listed.append(episode)
    return listed


def _size(run: Run) -> FleetSize:
    """Return how many workers there were; where they changed more often than can be drawn, as it was at each column."""
    size = fleet_size(run)
    if len(size.at_s) <= _MOST_STEPS:
        return size
    moments = np.append(run.starts_at_s, size.at_s[-1])
    return FleetSize(at_s=moments, workers=size.workers[np.searchsorted(size.at_s, moments, side="right") - 1])


def _counted(run: Run) -> str:
    rows = rows_of(run, "worker", "process")
    name = "processes" if rows and run.workers[rows[0]].kind == "process" else "workers"
    least, most = run.policy.min_workers, run.policy.max_workers
    if most is None:
        return f"{name}, at least {least:,}" if least else name
    return f"{name}, {least or 0:,} to {most:,} allowed"


def _remark(run: Run) -> str:
    if run.policy.is_known:
        return "No scaling decision fell into this window."
    return "Nothing decided about the fleet's size in this run."


def _subtitle(run: Run) -> str:
    parts = [drawn(run.header.title), count(len(run.workers), "worker")]
    if run.columns:
        parts.append(date_and_clock(float(run.starts_at_s[0])))
        parts.append(duration(run.end_s - run.start_s))
    if run.decisions:
        parts.append(count(len(run.decisions), "decision"))
    return " · ".join(part for part in parts if part)


def _notice(run: Run) -> str | None:
    if run.columns and (run.workers or run.decisions):
        return None
    return " ".join((why_nobody(run), *run.notes))

"""Who uses what was reserved: one mark for each worker, used against reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drmviz.analysis.efficiency import Allotment
from drmviz.figures import efficiency_plotly
from drmviz.figures.amounts import NAMES, NO_RESOURCE, allotments, needed
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.efficiency import MOST_WORST, Efficiency, Panel
from drmviz.figures.efficiency_labels import placed
from drmviz.figures.efficiency_words import Words, why_not
from drmviz.figures.emptiness import why_nobody
from drmviz.figures.names import count, drawn
from drmviz.figures.providers import provider_of, providers_of
from drmviz.figures.theme import THEMES
from drmviz.figures.units import date_and_clock, duration
from drmviz.model.metrics import FloatArray, IntArray, Metric
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MARKS = 2000
"""Beyond it, marks that would cover each other become one."""
_MOST_LABELS = 4
_CELLS = 400
"""Along each axis, at first: about one pixel."""


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: use and reservation of each resource, where their highest values are asked for."""
    return needed(options) if options.statistic == "max" else ()


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: the same ones, where means are asked for."""
    return needed(options) if options.statistic == "mean" else ()


def arrange(run: Run, options: FigureOptions) -> Efficiency:
    """Lay each resource out as one mark for each worker of which both use and reservation are known."""
    found = [] if run.is_empty else allotments(run, options)
    shown = [of for of in found if np.isfinite(of.efficiency_ratio).any()]
    providers = providers_of(run)
    panels = tuple(_panel(of, providers, options) for of in shown)
    return Efficiency(
        title="Resource efficiency" if options.title is None else options.title,
        subtitle=_subtitle(run, options, found, panels),
        panels=panels,
        providers=providers,
        asked=NAMES[found[0].resource] if options.metric and found else None,
        notice=None if panels else _notice(run, options, found),
    )


def draw_plotly(numbers: Efficiency, options: FigureOptions) -> PlotlySpec:
    """Return exactly one trace of marks for each panel; all else is layout."""
    return efficiency_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: Efficiency, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import efficiency_matplotlib  # Matplotlib is loaded by those who draw with it

    return efficiency_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: Efficiency) -> str:
    """Say in one sentence what the picture shows."""
    if not numbers.panels:
        return f"Efficiency without numbers: {(numbers.notice or '').rstrip('.')}."
    of = "; ".join(f"{panel.name}: {', '.join(panel.heading)}, {panel.waste}" for panel in numbers.panels)
    return f"Marks of used against reserved; {of}; {numbers.subtitle}."


def _panel(of: Allotment, providers: tuple[str, ...], options: FigureOptions) -> Panel:
    words = Words(of)
    marked = np.flatnonzero(np.isfinite(of.used_ratio) & np.isfinite(of.reserved_ratio))
    x, y = of.reserved_ratio[marked] * 100, of.used_ratio[marked] * 100
    ends = _end(x), _end(y)
    if len(marked) > MOST_MARKS and not options.workers_named:
        kept, many = _thinned(y - x, x / ends[0], y / ends[1])
    else:
        kept, many = np.arange(len(marked)), np.ones(len(marked), dtype=np.int64)
    rows = marked[kept].tolist()
    workers = [of.workers[row] for row in rows]
    names = [provider_of(worker.latest.entry.labels) for worker in workers]
    place_of = {name: place for place, name in enumerate(providers)}
    worst, mark_of = words.worst_rows(), {row: mark for mark, row in enumerate(rows)}
    labels, corner = placed(
        [mark_of[row] for row in worst[: 3 * _MOST_LABELS] if row in mark_of],
        [worker.id for worker in workers], x[kept] / ends[0], y[kept] / ends[1], most=_MOST_LABELS,
    )  # fmt: skip
    thin = f"{len(rows):,} marks stand for {len(marked):,} workers"
    return Panel(
        name=NAMES[of.resource],
        heading=words.heading(),
        notes=(*words.notes(), *((thin,) if len(rows) < len(marked) else ())),
        reserved=x[kept],
        used=y[kept],
        workers=tuple(worker.id for worker in workers),
        hovers=tuple(
            words.hover(row, name, many=number) for row, name, number in zip(rows, names, many.tolist(), strict=True)
        ),
        provider=np.array([-1 if name is None else place_of[name] for name in names], dtype=np.int64),
        step=_steps(of.capacity)[rows],
        gone=of.gone[rows],
        ends=ends,
        waste=words.waste(),
        worst=tuple(words.worst(row) for row in worst[:MOST_WORST]),
        labels=labels,
        corner=corner,
    )  # fmt: skip


def _thinned(wasted: FloatArray, x: FloatArray, y: FloatArray) -> tuple[IntArray, IntArray]:
    """Keep one mark of each cell, that of who wastes most, and say for how many it stands; cells grow until few do.

    Args:
        wasted: the lower, the more is wasted.
        x: where each mark lies, 0..1; y the same.
    """
    worst_first = np.argsort(wasted, kind="stable")
    cells = _CELLS
    while True:
        cell = (np.floor(x * cells) * (cells + 1) + np.floor(y * cells)).astype(np.int64)[worst_first]
        _, firsts, many = np.unique(cell, return_index=True, return_counts=True)
        if len(firsts) <= MOST_MARKS:
            break
        cells = cells * 3 // 4
    kept = worst_first[firsts]
    order = np.argsort(kept)
    return kept[order], many[order]


def _end(percents: FloatArray) -> float:
    highest = float(percents.max(initial=0.0))
    return 100.0 if highest <= 100.0005 else float(np.ceil(highest * 1.04 / 25) * 25)


def _steps(capacity: FloatArray) -> IntArray:
    """Return 0, 1 or 2 by the share of the largest capacity; 1 where not known, or where all are alike."""
    largest = np.nanmax(capacity, initial=0.0)
    if not largest > 0 or np.nanmin(capacity, initial=largest) == largest:
        return np.ones(len(capacity), dtype=np.int64)
    share = capacity / largest
    steps: IntArray = np.select([np.isnan(share), share > 0.7, share > 0.3], [1, 2, 1], default=0)
    return steps


def _subtitle(run: Run, options: FigureOptions, found: list[Allotment], panels: tuple[Panel, ...]) -> str:
    parts = [drawn(run.header.title), count(len(run.workers), "worker")]
    if run.columns:
        statistic = "mean" if options.statistic == "mean" else "highest use against highest reservation"
        parts.append(f"{statistic} of {duration(run.end_s - run.start_s)}")
        parts.append(date_and_clock(float(run.starts_at_s[0])))
    shown = {panel.name for panel in panels}
    for of in found if panels else ():
        if NAMES[of.resource] not in shown:
            why = "no reservation known" if not of.is_reserved else "use not measured"
            parts.append(f"{NAMES[of.resource]}: {why}")
    return " · ".join(part for part in parts if part)


def _notice(run: Run, options: FigureOptions, found: list[Allotment]) -> str:
    if run.is_empty:
        return " ".join((why_nobody(run), *run.notes))
    if options.metric is not None and not found:
        return NO_RESOURCE
    if found and not any(of.workers for of in found):
        return f"No worker here has a {NAMES[found[0].resource]}."
    if not any(of.is_known for of in found):
        return " ".join(("Neither use nor reservations were recorded in this window.", *run.notes))
    return why_not(found)

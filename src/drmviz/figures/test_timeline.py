"""When each test ran where, and which tests were the slowest and the hungriest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drmviz.figures import timeline_plotly
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.crowd import MOST_ROWS, crowd
from drmviz.figures.names import count, drawn
from drmviz.figures.theme import THEMES
from drmviz.figures.timeline import BAD_LOOKS, LOOKS, Bars, Ranking, Timeline, legend
from drmviz.figures.units import date_and_clock, duration, size
from drmviz.model.metrics import FloatArray, IntArray, Metric
from drmviz.model.run import Run
from drmviz.model.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 3000
MOST_RANKED = 12
_PIXELS = 1200
_OTHER_LOOK = LOOKS.index("other")
_LOOK_OF = {look: place for place, look in enumerate(LOOKS)} | {"rerun": LOOKS.index("failed")}


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: none, tests bring their own numbers."""
    return ()


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: none."""
    return ()


def arrange(run: Run, options: FigureOptions) -> Timeline:
    """Lay the tests out as bars in the rows of their workers; neighbours too short to be seen become one bar."""
    tasks = sorted(run.tasks, key=attrgetter("started_at_s"))
    workers = tuple(dict.fromkeys([*(w.id for w in run.workers if tasks), *map(attrgetter("worker"), tasks)]))
    spans = _spans(tasks, workers)
    start_s = min(run.start_s, float(spans.begin_s.min(initial=np.inf)))
    end_s = max(run.end_s, start_s + 1e-3, float(spans.end_s.max(initial=-np.inf)))
    looks = np.array([_LOOK_OF.get(task.outcome, _OTHER_LOOK) for task in tasks], dtype=np.int64)
    final = np.array([task.outcome != "rerun" for task in tasks], dtype=np.bool_)
    counts = tuple(np.bincount(looks[final], minlength=len(LOOKS)).tolist())
    many = (
        crowd(workers, *spans, looks >= LOOKS.index(BAD_LOOKS[0]), start_s=start_s, stop_s=end_s)
        if (len(workers) > MOST_ROWS)
        else None
    )
    return Timeline(
        title="Tests" if options.title is None else options.title,
        subtitle=_subtitle(run, spans, workers, start_s, end_s, per_row=many.per_row if many else 1),
        workers=workers,
        start_s=start_s,
        end_s=end_s,
        crowd=many,
        bars=_bars((), looks[:0], _spans((), ()), pixel_s=1.0)
        if many
        else _bars(tasks, looks, spans, pixel_s=(end_s - start_s) / _PIXELS),
        counts=counts,
        rankings=_rankings(tasks, spans.end_s - spans.begin_s),
        notice=None if tasks else " ".join(("No tests were recorded in this window.", *run.notes)),
    )


def draw_plotly(numbers: Timeline, options: FigureOptions) -> PlotlySpec:
    """Return bars for the tests above bars for the rankings."""
    return timeline_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: Timeline, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import timeline_matplotlib  # Matplotlib is loaded by those who draw with it

    return timeline_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: Timeline) -> str:
    """Say in one sentence what the picture shows."""
    if numbers.notice:
        return f"Timeline without tests: {numbers.notice}"
    tops = [
        f"{ranking.title.lower()}: {drawn(ranking.names[0])} ({ranking.written[0]})" for ranking in numbers.rankings
    ]
    outcomes = ", ".join(f"{entry.number} {entry.name}" for entry in legend(numbers))
    return f"Timeline of {numbers.subtitle}; {outcomes}; {'; '.join(tops)}."


def _subtitle(
    run: Run, spans: _Spans, workers: tuple[str, ...], start_s: float, end_s: float, *, per_row: int
) -> str:  # fmt: skip
    if not len(spans.row):
        return drawn(run.header.title)
    busy_s = float((spans.end_s - spans.begin_s).sum())
    parts = [
        drawn(run.header.title),
        f"{count(len(spans.row), 'test')} on {count(len(workers), 'worker')}"
        + (f", {per_row} per row" if per_row > 1 else ""),
        date_and_clock(start_s),
        duration(end_s - start_s),
        f"{duration(busy_s)} of test time",
    ]
    return " · ".join(part for part in parts if part)


def _bars(tasks: Sequence[Task], looks: IntArray, spans: _Spans, *, pixel_s: float) -> Bars:
    rows, starts, ends = spans
    while True:
        group = _groups(rows, looks, starts, ends, pixel_s)
        if not tasks or group.max() < MOST_BARS:
            break
        pixel_s *= 2
    order = np.argsort(group, kind="stable")  # so the earliest test of each bar comes first
    firsts = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = np.diff(np.append(firsts, len(tasks)))
    leaders = order[firsts]
    ending = np.maximum.reduceat(ends[order], firsts) if tasks else ends
    by_start = np.argsort(leaders)
    chosen = leaders[by_start]
    return Bars(
        row=rows[chosen],
        look=looks[chosen],
        start_s=starts[chosen],
        end_s=ending[by_start],
        count=counts[by_start],
        texts=tuple(_text(tasks[i], many) for i, many in zip(chosen.tolist(), counts[by_start].tolist(), strict=True)),
    )


class _Spans(NamedTuple):
    """The row of each test, when it began and when it ended; arrays of shape (tests,)."""

    row: IntArray
    begin_s: FloatArray
    end_s: FloatArray


def _spans(tasks: Sequence[Task], workers: tuple[str, ...]) -> _Spans:
    row_of = {worker: row for row, worker in enumerate(workers)}
    rows = np.array([row_of[task.worker] for task in tasks], dtype=np.int64)
    starts = np.array([task.started_at_s for task in tasks], dtype=np.float64)
    ends = np.array([task.ended_at_s for task in tasks], dtype=np.float64)
    return _Spans(rows, starts, np.maximum(starts, ends))


def _groups(rows: IntArray, looks: IntArray, starts: FloatArray, ends: FloatArray, pixel_s: float) -> IntArray:
    """Return a number for each test: the same for tests that share a bar."""
    if not len(rows):
        return rows
    short = ends - starts < pixel_s
    places = np.where(short, np.floor((starts - starts.min()) / pixel_s), -1).astype(np.int64)
    alone = np.where(short, -1, np.arange(len(rows)))
    order = np.lexsort((alone, places, looks, rows))
    keys = np.stack([rows, looks, places, alone])[:, order]
    new = np.append(True, (np.diff(keys, axis=1) != 0).any(axis=0))
    groups: IntArray = np.empty(len(rows), dtype=np.int64)
    groups[order] = np.cumsum(new) - 1
    return groups


def _text(task: Task, many: int) -> str:
    if many > 1:
        return f"{count(many, 'test')}, the first is {drawn(task.name)}"
    return f"{drawn(task.name)} · {drawn(task.outcome)} · {duration(task.duration_s)}"


def _rankings(tasks: Sequence[Task], lasted_s: FloatArray) -> tuple[Ranking, ...]:
    """Rank the last attempt of each test by time, and by memory, or CPU seconds where no memory is known."""
    last = np.array(list({task.name: place for place, task in enumerate(tasks)}.values()), dtype=np.int64)
    if not len(last):
        return ()
    slowest = _ranked(tasks, last, lasted_s[last], duration, title="Slowest tests", explained="from setup to teardown")
    memory = np.array([task.memory_bytes or 0 for task in tasks], dtype=np.float64)[last]
    hungriest = _ranked(
        tasks, last[memory > 0], memory[memory > 0], size, title="Hungriest tests", explained="rise of peak memory"
    )
    if hungriest is None:
        cpu_s = np.array([task.cpu_s or 0 for task in tasks], dtype=np.float64)[last]
        hungriest = _ranked(
            tasks, last[cpu_s > 0], cpu_s[cpu_s > 0], duration, title="Most CPU time",
            explained="seconds of CPU; no rise of memory is known",
        )  # fmt: skip
    return tuple(ranking for ranking in (slowest, hungriest) if ranking is not None)


def _ranked(
    tasks: Sequence[Task],
    places: IntArray,
    values: FloatArray,
    written: Callable[[float], str],
    *,
    title: str,
    explained: str,
) -> Ranking | None:
    """Rank tests, given by their places among all of them, by their values."""
    highest = np.argsort(-values, kind="stable")[:MOST_RANKED]
    if not len(highest):
        return None
    top, values_of = [tasks[place] for place in places[highest].tolist()], values[highest].tolist()
    return Ranking(
        title=title,
        explained=explained,
        names=tuple(task.name for task in top),
        values=tuple(values_of),
        written=tuple(map(written, values_of)),
        bad=tuple(task.outcome in BAD_LOOKS for task in top),
    )

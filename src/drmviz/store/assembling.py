"""Unpacks what was fetched of a window and reduces it to the columns of a `Run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drmviz.model.metrics import CAPACITY_OF, METRIC_ROW, METRICS, BoolArray, FloatArray, IntArray, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run, RunHeader
from drmviz.model.workers import Kind, Worker
from drmviz.store.chunks import decode
from drmviz.store.frames import DamagedFrameError
from drmviz.store.grids import Columns, Grid, Totals, alive_grid
from drmviz.store.records import changes_of
from drmviz.store.schema import NEVER, microseconds
from drmviz.store.sealing import samples_of
from drmviz.store.windows import Fetched, Piece, Window


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader wants of a window."""

    columns: int
    start_s: float | None
    end_s: float | None
    metrics: tuple[Metric, ...]
    statistics: tuple[Statistic, ...]
    workers: Sequence[str] | None
    kinds: Sequence[Kind] | None
    means: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the file holds of a window, still packed."""

    header: RunHeader
    window: Window
    workers: tuple[Worker, ...]
    found: list[Fetched]


def assembled(gathered: Gathered, asked: Asked) -> Run:
    """Return the window as what figures and sums see."""
    window, shown, found = gathered.window, gathered.workers, gathered.found
    columns = window.columns
    grids: dict[tuple[Metric, Statistic], Grid] = {
        (metric, statistic): Grid(statistic, len(shown), columns)
        for metric in asked.metrics
        for statistic in asked.statistics
    }
    totals = {metric: Totals(len(shown)) for metric in (*asked.metrics, *asked.means)}
    damaged: Counter[str] = Counter()
    for part in found:
        damaged[part.name] += part.damaged
        for piece in part.pieces:
            try:
                unpacked = _unpacked(piece, tuple(totals))
                rows = _rows_of(piece, part.row_of)
                for metric, values in unpacked:
                    into = [grids[metric, s] for s in asked.statistics if (metric, s) in grids]
                    weights = _weights_of(piece, part.resized, metric)
                    _place(piece, rows, values, columns, into, totals[metric], weights)
            except DamagedFrameError:
                damaged[part.name] += 1
    notes = list(dict.fromkeys(note for part in found for note in part.notes))
    notes += [
        (f"{name}: " if name else "") + f"{many} piece{'s' if many > 1 else ''} of this window are damaged and left out"
        for name, many in damaged.items()
        if many
    ]
    return Run(
        header=gathered.header,
        start_s=window.start_us / 1e6,
        end_s=window.end_us / 1e6,
        starts_at_s=columns.starts_at_s,
        width_s=columns.width_us / 1e6,
        workers=shown,
        grids={key: grid.finished() for key, grid in grids.items()},
        alive=_alive(shown, columns),
        measured_ticks=sum(len(part.at_us) for part in found),
        decisions=tuple(sorted((d for part in found for d in part.decisions), key=lambda d: d.decided_at_s)),
        changes=changes_of(shown, window.start_us, window.end_us),
        tasks=tuple(sorted((task for part in found for task in part.tasks), key=lambda task: task.started_at_s)),
        cloud=tuple(sorted((usage for part in found for usage in part.cloud), key=lambda usage: usage.at_s)),
        means={metric: total.means() for metric, total in totals.items()},
        notes=tuple(notes),
    )


def _alive(shown: tuple[Worker, ...], columns: Columns) -> BoolArray:
    lives = [(row, life) for row, worker in enumerate(shown) for life in worker.incarnations]
    left_us = [NEVER if life.left_at_s is None else microseconds(life.left_at_s) for _, life in lives]
    return alive_grid(
        np.array([row for row, _ in lives], dtype=np.intp),
        np.array([microseconds(life.joined_at_s) for _, life in lives], dtype=np.int64),
        np.array(left_us, dtype=np.int64),
        height=len(shown),
        columns=columns,
    )


def _unpacked(piece: Piece, metrics: Sequence[Metric]) -> list[tuple[Metric, FloatArray]]:
    """Return float32 values of shape (members, ticks) by metric."""
    if piece.packed is not None:
        chunk = decode(piece.packed, first_tick=piece.first_tick)
        return [(METRICS[chunk.metric], chunk.values)]
    samples = [samples_of(blob, sequence=n, incarnations=len(piece.members)) for n, blob in piece.samples]
    # Tick by tick in memory, as they come: turning thousands of workers around would cost more than summing them up.
    return [(metric, np.stack([tick[METRIC_ROW[metric]] for tick in samples]).T) for metric in metrics]


def _rows_of(piece: Piece, row_of: dict[int, int]) -> IntArray:
    """Return the row of each member, -1 where it is not shown."""
    return np.array([row_of.get(member, -1) for member in piece.members.tolist()], dtype=np.intp)


def _weights_of(piece: Piece, resized: Mapping[int, WorkerCapacity], metric: Metric) -> FloatArray | None:
    """Return how much a sample of each member weighs; None where nobody came back with another capacity."""
    name = CAPACITY_OF.get(metric)
    if not resized or name is None:
        return None
    stated = (getattr(resized.get(member), name, None) for member in piece.members.tolist())
    return np.array([1.0 if size is None else float(size) for size in stated])


def _place(
    piece: Piece,
    rows: IntArray,
    values: FloatArray,
    columns: Columns,
    grids: list[Grid],
    total: Totals,
    weights: FloatArray | None,
) -> None:
    at_us = piece.at_us[: values.shape[1]]
    first, after = np.searchsorted(at_us, (columns.first_us, columns.end_us))
    shown = rows >= 0
    if not shown.all():
        rows, values = rows[shown], values[shown]
        weights = None if weights is None else weights[shown]
    if len(rows) and after > first:
        values = values[:, first:after]
        total.add(rows, values, weights)
        for grid in grids:
            grid.add(rows, columns.of(at_us[first:after]), values)

"""Unpacks what was fetched of a window and reduces it to the columns of a `Run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drmviz.model.metrics import (
    CAPACITY_OF,
    METRIC_ROW,
    METRICS,
    STATISTICS,
    BoolArray,
    FloatArray,
    IntArray,
    Metric,
    Statistic,
)
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run, RunHeader
from drmviz.model.workers import Incarnation, Kind, Worker
from drmviz.store.bodies import unpacked
from drmviz.store.chunks import MAXIMUM, MEAN, MINIMUM, VALUE
from drmviz.store.fetching import Fetched, Piece
from drmviz.store.frames import DamagedFrameError
from drmviz.store.grids import Columns, Grid, Totals, Weighed, alive_grid
from drmviz.store.records import changes_of
from drmviz.store.schema import NEVER
from drmviz.store.sealing import samples_of
from drmviz.store.windows import Window


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
    tiers: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the file holds of a window, still packed."""

    header: RunHeader
    window: Window
    workers: tuple[Worker, ...]
    found: list[Fetched]


def resized_of(shown: Iterable[Worker], lives: Iterable[tuple[int, Incarnation]]) -> dict[int, WorkerCapacity]:
    """Return what those of the numbered lives had whose worker had another capacity in another life that is shown.

    A capacity counts where it is known of all lives of its worker.
    """
    known: dict[str, tuple[str, ...]] = {}
    for worker in shown:
        if len(worker.incarnations) > 1 and len({life.capacity for life in worker.incarnations}) > 1:
            known[worker.id] = tuple(
                name
                for name in dict.fromkeys(CAPACITY_OF.values())
                if all(getattr(life.capacity, name) is not None for life in worker.incarnations)
            )
    return {
        number: WorkerCapacity(**{name: getattr(life.capacity, name) for name in known[life.id]})
        for number, life in lives
        if life.id in known
    }


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
        row_of = _Rows(part.row_of)
        for pieces in _alike(part.pieces):
            rows = row_of.of(pieces[0].members)
            shown_here = rows >= 0
            if not shown_here.any():
                continue
            rows, members = rows[shown_here], pieces[0].members[shown_here]
            for at_us, each in _whole(pieces, tuple(totals), shown_here):
                for numbers in each:
                    weights = _weights_of(members, part.resized, numbers.metric)
                    _place(numbers, at_us, rows, columns, grids, totals[numbers.metric], weights)
                damaged[part.name] += not each
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
        measured_ticks=sum(part.ticks for part in found),
        decisions=tuple(sorted((d for part in found for d in part.decisions), key=lambda d: d.decided_at_s)),
        changes=changes_of(shown, window.start_us, window.end_us),
        tasks=tuple(sorted((task for part in found for task in part.tasks), key=lambda task: task.started_at_s)),
        cloud=tuple(sorted((usage for part in found for usage in part.cloud), key=lambda usage: usage.at_s)),
        means={metric: total.means() for metric, total in totals.items()},
        notes=tuple(notes),
    )


def _alive(shown: tuple[Worker, ...], columns: Columns) -> BoolArray:
    lives = [life for worker in shown for life in worker.incarnations]
    each = np.array([len(worker.incarnations) for worker in shown], dtype=np.intp)
    left_us = np.full(len(lives), NEVER, dtype=np.int64)
    left = [i for i, life in enumerate(lives) if life.left_at_s is not None]
    left_us[left] = _microseconds([lives[i].left_at_s for i in left])
    joined_us = _microseconds([life.joined_at_s for life in lives])
    return alive_grid(np.repeat(np.arange(len(shown)), each), joined_us, left_us, height=len(shown), columns=columns)


def _microseconds(moments_s: Sequence[float | None]) -> IntArray:
    """Return the same as `schema.microseconds` gives for each."""
    whole: IntArray = np.rint(np.array(moments_s, dtype=np.float64) * 1e6).astype(np.int64)
    return whole


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """Numbers of one metric: samples, or one statistic of buckets."""

    metric: Metric
    values: FloatArray
    """float32, shape (members that are shown, ticks or buckets), NaN where unknown."""
    statistic: Statistic | None = None
    """None: samples, from which every statistic can be made."""
    counts: FloatArray | int | None = None
    """Of means: of how many samples each was made, or all of them."""


_STATISTIC: dict[int, Statistic | None] = {VALUE: None, MEAN: "mean", MINIMUM: "min", MAXIMUM: "max"}


_VALUES_TOGETHER = 1 << 20
"""So many numbers of neighbouring chunks are reduced at once: fewer calls, and what is unpacked stays in the cache."""


def _alike(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces, those together that differ only in when they were: chunks of the same numbers and members."""
    waiting: dict[tuple[object, ...], list[Piece]] = {}
    sizes: Counter[tuple[object, ...]] = Counter()
    for piece in pieces:
        if piece.packed is None:
            yield [piece]
            continue
        *kind, ticks = piece.kind
        key = (id(piece.members), *kind, piece.counts is None)
        before = waiting.setdefault(key, [])
        size = len(piece.members) * ticks
        if before and (sizes[key] + size > _VALUES_TOGETHER or not _goes_on(before[-1], piece)):
            yield before
            before, sizes[key] = [], 0
            waiting[key] = before
        before.append(piece)
        sizes[key] += size
    yield from waiting.values()


def _goes_on(before: Piece, piece: Piece) -> bool:
    """Tell whether a chunk has a time for each of its ticks, all of them before those of the next one."""
    return len(before.at_us) == before.kind[-1] and bool(before.at_us[-1] < piece.at_us[0])


def _whole(
    pieces: list[Piece], metrics: Sequence[Metric], shown: BoolArray
) -> Iterator[tuple[IntArray, list[_Unpacked]]]:
    """Yield times and numbers of the members that are shown; no numbers for each piece that is damaged."""
    only = None if shown.all() else np.flatnonzero(shown)
    try:
        times = [piece.at_us for piece in pieces]
        yield (times[0] if len(times) == 1 else np.concatenate(times)), _unpacked(pieces, metrics, only)
    except DamagedFrameError:
        if len(pieces) == 1:
            yield pieces[0].at_us, []
            return
        for piece in pieces:
            yield from _whole([piece], metrics, shown)


def _unpacked(pieces: list[Piece], metrics: Sequence[Metric], only: IntArray | None) -> list[_Unpacked]:
    piece, packed = pieces[0], [piece.packed for piece in pieces if piece.packed is not None]
    if packed:
        _, metric, statistic, of_samples, _ = piece.kind
        counts: FloatArray | int | None = None
        if statistic == MEAN:
            counts = of_samples or _counts_of(pieces, only)
        return [_Unpacked(METRICS[metric], unpacked(packed, only), _STATISTIC[statistic], counts)]
    samples: Sequence[FloatArray] = piece.arrays or [
        samples_of(blob, sequence=n, incarnations=len(piece.members)) for n, blob in piece.samples
    ]
    # Tick by tick in memory, as they come: turning thousands of workers around would cost more than summing them up.
    stacked = ((metric, np.stack([tick[METRIC_ROW[metric]] for tick in samples]).T) for metric in metrics)
    return [_Unpacked(metric, values if only is None else values[only]) for metric, values in stacked]


def _counts_of(pieces: list[Piece], only: IntArray | None) -> FloatArray:
    told = [piece.counts for piece in pieces if piece.counts is not None]
    if len(told) != len(pieces):
        raise DamagedFrameError("nothing tells of how many samples these means were made")
    return unpacked(told, only)


class _Rows:
    """Finds the row of each incarnation that is shown."""

    def __init__(self, row_of: Mapping[int, int]) -> None:
        self._lowest = min(row_of, default=0)
        self._table = np.full(max(row_of, default=-1) - self._lowest + 2, -1, dtype=np.intp)  # the last is of nobody
        if row_of:
            numbers = np.fromiter(row_of.keys(), dtype=np.intp, count=len(row_of))
            self._table[numbers - self._lowest] = np.fromiter(row_of.values(), dtype=np.intp, count=len(row_of))

    def of(self, members: IntArray) -> IntArray:
        """Return the row of each member, -1 where it is not shown."""
        places = members.astype(np.intp) - self._lowest
        return self._table[np.where((places >= 0) & (places < len(self._table)), places, -1)]


def _weights_of(members: IntArray, resized: Mapping[int, WorkerCapacity], metric: Metric) -> FloatArray | None:
    """Return how much a sample of each member weighs; None where nobody came back with another capacity."""
    name = CAPACITY_OF.get(metric)
    if not resized or name is None:
        return None
    stated = (getattr(resized.get(member), name, None) for member in members.tolist())
    return np.array([1.0 if size is None else float(size) for size in stated])


def _place(
    numbers: _Unpacked,
    at_us: IntArray,
    rows: IntArray,
    columns: Columns,
    grids: Mapping[tuple[Metric, Statistic], Grid],
    total: Totals,
    weights: FloatArray | None,
) -> None:
    at_us = at_us[: numbers.values.shape[1]]
    first, after = np.searchsorted(at_us, (columns.first_us, columns.end_us))
    if after <= first:
        return
    values, counts = numbers.values[:, first:after], numbers.counts
    if isinstance(counts, np.ndarray):
        counts = counts[:, first:after]
    weighed = Weighed.of(values, counts) if numbers.statistic in (None, "mean") else None
    if weighed is not None:
        total.add(rows, weighed, weights)
    column_of = columns.of(at_us[first:after])
    for statistic in STATISTICS:
        grid = grids.get((numbers.metric, statistic))
        if grid is not None and numbers.statistic in (None, statistic):
            grid.add(rows, column_of, values, weighed)

"""Reduces pieces of history (some incarnations, some ticks) to the columns of a picture, exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from drmviz.model.metrics import BoolArray, FloatArray, IntArray, Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Equally wide columns on whole multiples of their width since the epoch; microseconds, so nothing rounds."""

    first_us: int
    width_us: int
    count: int

    @classmethod
    def over(cls, start_us: int, end_us: int, *, interval_us: int, at_most: int) -> Columns:
        """Return about the narrowest columns of whole intervals that cover [start, end) with `at_most` of them."""
        interval_us = max(1, interval_us)
        if at_most <= 1:  # whatever its width, a border between two multiples may lie inside the window
            first = start_us // interval_us * interval_us
            return cls(first_us=first, width_us=-(-max(1, end_us - first) // interval_us) * interval_us, count=1)
        span = max(1, end_us - start_us)
        width = interval_us * -(-span // (interval_us * at_most))
        if -(-end_us // width) - start_us // width > at_most:  # a border falls inside: one column less has room for it
            width = interval_us * -(-span // (interval_us * (at_most - 1)))
        first = start_us // width * width
        return cls(first_us=first, width_us=width, count=max(1, -(-(end_us - first) // width)))

    @property
    def end_us(self) -> int:
        return self.first_us + self.width_us * self.count

    def of(self, at_us: IntArray) -> IntArray:
        """Return the column of each time; below 0 or from `count` on where it lies outside."""
        return (at_us - self.first_us) // self.width_us

    @property
    def starts_at_s(self) -> FloatArray:
        return (self.first_us + np.arange(self.count, dtype=np.int64) * self.width_us) / 1e6


@dataclass(frozen=True, slots=True)
class Weighed:
    """Sums of samples and of how many samples each is, both of shape (members, ticks): 0 and 0 where unknown."""

    sums: FloatArray
    """float32"""
    counts: npt.NDArray[Any]
    """A single number where nothing is missing and all were made of as many."""

    @classmethod
    def of(cls, values: FloatArray, counts: FloatArray | int | None) -> Weighed:
        """Take samples, or means of so many samples where there are counts: one for all, or of the same shape."""
        is_sample = counts is None or (isinstance(counts, int) and counts == 1)
        if counts is None:
            counts = 1
        missing = np.isnan(values)
        if not missing.any():
            return cls(values if is_sample else np.multiply(values, counts, dtype=np.float32), np.asarray(counts))
        known = ~missing
        counted = known if is_sample else np.where(known, counts, 0)
        return cls(np.where(missing, np.float32(0), np.multiply(values, counts, dtype=np.float32)), counted)


@dataclass(slots=True)
class Totals:
    """The weighted sum and the weight of the samples of one metric by row, filled piece by piece."""

    rows: int
    _sums: FloatArray = field(init=False)
    _counts: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._sums = np.zeros(self.rows, dtype=np.float64)
        self._counts = np.zeros(self.rows, dtype=np.float64)

    def add(self, rows: IntArray, weighed: Weighed, weights: FloatArray | None = None) -> None:
        """Add sums of shape (members, ticks); `rows` and `weights` give the row and weight of each member."""
        weight = 1.0 if weights is None else weights
        counted = np.broadcast_to(weighed.counts, weighed.sums.shape) if weighed.counts.ndim else weighed.counts
        many = counted.sum(axis=1, dtype=np.float64) if counted.ndim else float(counted) * weighed.sums.shape[1]
        np.add.at(self._sums, rows, weighed.sums.sum(axis=1, dtype=np.float64) * weight)
        np.add.at(self._counts, rows, many * weight)

    def means(self) -> FloatArray:
        """Return float64 of shape (rows,): the weighted mean over every sample, NaN where there was none."""
        means: FloatArray = np.full(self.rows, np.nan)
        np.divide(self._sums, self._counts, out=means, where=self._counts > 0)
        return means


@dataclass(slots=True)
class Grid:
    """One metric and one statistic, workers x columns, filled piece by piece."""

    statistic: Statistic
    rows: int
    columns: Columns
    _values: npt.NDArray[np.float32] = field(init=False)
    _counts: npt.NDArray[np.int32] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        shape = (self.rows, self.columns.count)
        if self.statistic == "mean":
            self._values = np.zeros(shape, dtype=np.float32)
            self._counts = np.zeros(shape, dtype=np.int32)
        else:
            self._values = np.full(shape, np.nan, dtype=np.float32)

    def add(self, rows: IntArray, column_of_tick: IntArray, values: FloatArray, weighed: Weighed | None) -> None:
        """Add float32 values of shape (members, ticks); `rows` gives the row of each member.

        `column_of_tick` does not go down; ticks outside the columns must have been cut off. Of a mean `weighed` is
        added, which says the same as the values.
        """
        if not values.size:
            return
        starts = np.flatnonzero(np.r_[True, column_of_tick[1:] != column_of_tick[:-1]])
        target = column_of_tick[starts]
        if self._counts is None or weighed is None:
            how = np.fmin if self.statistic == "min" else np.fmax
            _merge(how, self._values, rows, target, _reduced(how, values, starts))
            return
        counted = weighed.counts
        if counted.ndim:
            many = np.add.reduceat(counted, starts, axis=1, dtype=np.int32)
        else:
            many = (np.diff(starts, append=len(column_of_tick)) * counted)[None, :].astype(np.int32)
        _merge(np.add, self._values, rows, target, _reduced(np.add, weighed.sums, starts))
        _merge(np.add, self._counts, rows, target, many)

    def finished(self) -> FloatArray:
        """Return float32 of shape (workers, columns), NaN where nothing was measured; nothing can be added any more."""
        if self._counts is None:
            return self._values
        # Both are exact in single precision, whose quotient is that of double precision, rounded.
        single = np.float32 if self._counts.max(initial=0) <= _EXACT_IN_SINGLE else None
        known = self._counts > 0 if self._counts.min(initial=1) <= 0 else True
        np.divide(self._values, self._counts, out=self._values, where=known, dtype=single, casting="same_kind")
        if known is not True:
            self._values[~known] = np.nan
        return self._values


_EXACT_IN_SINGLE = 1 << 24


_FEW_TICKS = 16
"""Up to so many ticks of a column single precision sums them without a visible error."""


def _reduced(how: np.ufunc, values: FloatArray, starts: IntArray) -> FloatArray:
    """Return the sum or the maximum of each group of ticks that begins at one of `starts`, as float32."""
    lengths = np.diff(starts, append=values.shape[1])
    usual = int(lengths.max())
    if usual == 1:
        return values
    if usual > _FEW_TICKS or len(starts) < 3 or (lengths[1:-1] != usual).any():
        wide = np.float64 if how is np.add else None
        grouped: FloatArray = how.reduceat(values, starts, axis=1, dtype=wide).astype(np.float32)
        return grouped
    # The same, several times as fast: all first ticks of the columns, all second ticks, ...
    inner = values[:, starts[1] : starts[-1]]
    reduced = np.empty((len(values), len(starts)), dtype=np.float32, order="C" if values.flags.c_contiguous else "F")
    reduced[:, 0] = how.reduce(values[:, : starts[1]], axis=1)
    reduced[:, -1] = how.reduce(values[:, starts[-1] :], axis=1)
    middle = reduced[:, 1:-1]
    middle[...] = inner[:, ::usual]
    for tick in range(1, usual):
        how(middle, inner[:, tick::usual], out=middle)
    return reduced


def _merge(
    how: np.ufunc,
    total: npt.NDArray[Any],
    rows: IntArray,
    columns: IntArray,
    part: npt.NDArray[Any],
) -> None:
    """Combine a part with what already stands in its rows and columns; both stand in no particular order."""
    steps = np.diff(rows)
    if columns[-1] - columns[0] + 1 == len(columns):
        across = slice(int(columns[0]), int(columns[-1]) + 1)
        if (steps == 1).all():
            place = total[int(rows[0]) : int(rows[-1]) + 1, across]
            how(place, part, out=place)
            return
        if (steps > 0).all() or len(set(rows.tolist())) == len(rows):
            total[rows, across] = how(total[rows, across], part)
            return
    elif (steps > 0).all() or len(set(rows.tolist())) == len(rows):
        grid = np.ix_(rows, columns)
        total[grid] = how(total[grid], part)
        return
    how.at(total, (rows[:, None], columns[None, :]), part)  # two lives of one worker in one piece


_MOST_LIVES = 8
"""Rows with more lives than this are counted up column by column."""


def alive_grid(rows: IntArray, joined_us: IntArray, left_us: IntArray, *, height: int, columns: Columns) -> BoolArray:
    """Return bool of shape (height, columns): whether a life [joined, left) touches the column."""
    first = np.clip(columns.of(joined_us), 0, columns.count)
    after = np.clip(-((columns.first_us - left_us) // columns.width_us), 0, columns.count)
    outside = (left_us <= columns.first_us) | (first >= columns.count)
    after = np.where(outside, first, np.maximum(after, np.minimum(first + 1, columns.count)))
    lives = np.bincount(rows, minlength=height) if len(rows) else np.zeros(height, dtype=np.intp)
    if lives.max(initial=0) > _MOST_LIVES:
        steps = np.zeros((height, columns.count + 1), dtype=np.int32)
        np.add.at(steps, (rows, first), 1)
        np.add.at(steps, (rows, after), -1)
        return np.cumsum(steps[:, :-1], axis=1) > 0
    alive = np.zeros((height, columns.count), dtype=np.bool_)
    throughout = (first == 0) & (after == columns.count)
    alive[rows[throughout]] = True
    rows, first, after = rows[~throughout], first[~throughout], after[~throughout]
    lives = np.bincount(rows, minlength=height) if len(rows) else np.zeros(height, dtype=np.intp)
    place = np.arange(columns.count, dtype=first.dtype)
    order = np.argsort(rows, kind="stable")
    turn = np.arange(len(rows)) - np.repeat(np.cumsum(lives) - lives, lives)  # the first life of each row, the second
    for number in range(int(lives.max(initial=0))):
        of_turn = order[turn == number]
        lived = (place >= first[of_turn, None]) & (place < after[of_turn, None])
        alive[rows[of_turn]] |= lived
    return alive

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


@dataclass(slots=True)
class Grid:
    """One metric and one statistic, workers x columns, filled piece by piece."""

    statistic: Statistic
    rows: int
    columns: Columns
    _values: FloatArray = field(init=False)
    _counts: npt.NDArray[np.int32] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        shape = (self.rows, self.columns.count)
        if self.statistic == "mean":
            self._values = np.zeros(shape, dtype=np.float64)
            self._counts = np.zeros(shape, dtype=np.int32)
        else:
            self._values = np.full(shape, np.nan, dtype=np.float32)

    def add(self, rows: IntArray, column_of_tick: IntArray, values: FloatArray) -> None:
        """Add float32 values of shape (members, ticks); `rows` gives the row of each member.

        `column_of_tick` does not go down; ticks outside the columns must have been cut off.
        """
        if not values.size:
            return
        starts = np.flatnonzero(np.r_[True, column_of_tick[1:] != column_of_tick[:-1]])
        target = column_of_tick[starts]
        one_each = len(starts) == len(column_of_tick)
        if self._counts is None:
            highest = values if one_each else np.fmax.reduceat(values, starts, axis=1)
            _merge(np.fmax, self._values, rows, target, highest)
            return
        missing = np.isnan(values)
        if missing.any():
            values = np.where(missing, np.float32(0), values)
            counts = np.add.reduceat(~missing, starts, axis=1, dtype=np.int32)
        else:
            counts = np.diff(starts, append=len(column_of_tick))[None, :].astype(np.int32)
        sums = values if one_each else np.add.reduceat(values, starts, axis=1, dtype=np.float64)
        _merge(np.add, self._values, rows, target, sums)
        _merge(np.add, self._counts, rows, target, counts)

    def finished(self) -> FloatArray:
        """Return float32 of shape (workers, columns), NaN where nothing was measured."""
        if self._counts is None:
            return self._values
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._values / np.where(self._counts > 0, self._counts, np.nan)).astype(np.float32)

    def row_means(self) -> FloatArray:
        """Return float64 of shape (workers,): the mean over every sample that was added, NaN where there was none.

        Raises:
            ValueError: this grid keeps maxima.
        """
        if self._counts is None:
            raise ValueError("a grid of maxima knows no mean")
        counts = self._counts.sum(axis=1, dtype=np.int64)
        means: FloatArray = np.full(self.rows, np.nan)
        np.divide(self._values.sum(axis=1), counts, out=means, where=counts > 0)
        return means


def _merge(
    how: np.ufunc,
    total: npt.NDArray[Any],
    rows: IntArray,
    columns: IntArray,
    part: npt.NDArray[Any],
) -> None:
    """Combine a part with what already stands in its rows and columns; both stand in no particular order."""
    if len(set(rows.tolist())) != len(rows):  # two lives of one worker in one piece
        how.at(total, (rows[:, None], columns[None, :]), part)
    elif columns[-1] - columns[0] + 1 == len(columns):
        place = (rows, slice(int(columns[0]), int(columns[-1]) + 1))
        total[place] = how(total[place], part)
    else:
        grid = np.ix_(rows, columns)
        total[grid] = how(total[grid], part)


def alive_grid(rows: IntArray, joined_us: IntArray, left_us: IntArray, *, height: int, columns: Columns) -> BoolArray:
    """Return bool of shape (height, columns): whether a life [joined, left) touches the column."""
    first = np.clip(columns.of(joined_us), 0, columns.count)
    after = np.clip(-((columns.first_us - left_us) // columns.width_us), 0, columns.count)
    outside = (left_us <= columns.first_us) | (first >= columns.count)
    after = np.where(outside, first, np.maximum(after, np.minimum(first + 1, columns.count)))
    steps = np.zeros((height, columns.count + 1), dtype=np.int32)
    np.add.at(steps, (rows, first), 1)
    np.add.at(steps, (rows, after), -1)
    return np.cumsum(steps[:, :-1], axis=1) > 0

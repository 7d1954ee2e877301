"""Tests of more workers than rows have pixels: how much of each stretch of time some workers spent in tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drmviz.model.metrics import BoolArray, FloatArray, IntArray

MOST_ROWS = 160
"""From here on a bar would be thinner than three pixels."""
COLUMNS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One cell for some workers and a stretch of time."""

    labels: tuple[str, ...]
    per_row: int
    starts_s: FloatArray
    """float64, shape (columns,), seconds since the epoch."""
    width_s: float
    busy: FloatArray
    """float32, shape (rows, columns): the share of the workers' time in which a test ran."""
    bad: BoolArray
    """bool, shape (rows, columns): whether a test ended badly there."""


def crowd(
    workers: tuple[str, ...], row: IntArray, begin_s: FloatArray, end_s: FloatArray, bad: BoolArray,
    *, start_s: float, stop_s: float,
) -> Crowd:  # fmt: skip
    """Lay tests out, each given by the row of its worker, its beginning and end in epoch seconds, and its outcome."""
    per_row = -(-len(workers) // MOST_ROWS)
    rows = -(-len(workers) // per_row)
    width_s = (stop_s - start_s) / COLUMNS
    begin, end = (begin_s - start_s) / width_s, (end_s - start_s) / width_s
    group = row // per_row
    covered = _covered(group, begin, end, rows)
    members = np.full(rows, per_row)
    members[-1] = len(workers) - per_row * (rows - 1)
    ended_badly = np.zeros((rows, COLUMNS), dtype=np.bool_)
    ended_badly[group[bad], np.clip(end[bad].astype(np.int64), 0, COLUMNS - 1)] = True
    return Crowd(
        labels=tuple(_label(workers[first : first + per_row]) for first in range(0, len(workers), per_row)),
        per_row=per_row,
        starts_s=start_s + np.arange(COLUMNS) * width_s,
        width_s=width_s,
        busy=np.clip(covered / members[:, None], 0, 1).astype(np.float32),
        bad=ended_badly,
    )


def _covered(group: IntArray, begin: FloatArray, end: FloatArray, rows: int) -> FloatArray:
    """Return how much of each cell tests cover, summed over the workers of a row; `begin` and `end` are in columns."""
    # The integral of "covered" from the left is a ramp for each test; its second difference is four points.
    total = np.zeros((rows, COLUMNS + 2))
    for edge, sign in ((begin, 1.0), (end, -1.0)):
        edge = np.clip(edge, 0, COLUMNS)
        cell = np.floor(edge).astype(np.int64)
        share = edge - cell
        np.add.at(total, (group, cell), sign * (1 - share))
        np.add.at(total, (group, cell + 1), sign * share)
    covered: FloatArray = np.cumsum(total, axis=1)[:, :COLUMNS]
    return covered


def _label(workers: tuple[str, ...]) -> str:
    return workers[0] if len(workers) == 1 else f"{workers[0]}–{workers[-1]} ({len(workers)})"

"""Which test ran in which cell of a worker-by-time grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drmviz.figures.base import CellText
from drmviz.figures.names import drawn, escaped
from drmviz.model.metrics import IntArray
from drmviz.model.run import Run
from drmviz.model.tasks import Task

MOST_TASKS = 50_000
MOST_CELLS = 2_000_000
"""Cells that tests touch, each counted as often as it is touched; beyond it the texts are left out."""


def tests_by_cell(run: Run, *, per_row: int, rows: int) -> CellText | None:
    """Name for each cell the test that ran there longest, and how many others; None where that is too much to know."""
    row_of = {worker.id: row // per_row for row, worker in enumerate(run.workers)}
    tasks = [task for task in run.tasks if task.worker in row_of]
    if not tasks or not run.columns or len(tasks) > MOST_TASKS:
        return None
    begin = (np.array([task.started_at_s for task in tasks]) - run.starts_at_s[0]) / run.width_s
    end = (np.array([task.ended_at_s for task in tasks]) - run.starts_at_s[0]) / run.width_s
    first = np.clip(np.floor(begin), 0, run.columns).astype(np.int64)
    last = np.clip(np.floor(np.nextafter(end, -np.inf)), -1, run.columns - 1).astype(np.int64)
    last = np.where((begin < run.columns) & (end >= 0), np.maximum(last, np.minimum(first, run.columns - 1)), -1)
    spans = np.maximum(last - first + 1, 0)
    touched = int(spans.sum())
    if not 0 < touched <= MOST_CELLS:
        return None
    who = np.repeat(np.arange(len(tasks)), spans)
    column = first[who] + np.arange(touched) - np.repeat(np.cumsum(spans) - spans, spans)
    cell = np.array([row_of[task.worker] for task in tasks])[who] * run.columns + column
    covered = np.minimum(end[who], column + 1) - np.maximum(begin[who], column)
    order = np.lexsort((covered, cell))
    ends = np.flatnonzero(np.append(np.diff(cell[order]), 1))
    others = np.diff(np.append(-1, ends)) - 1
    return _texts(tasks, cells=cell[order][ends], longest=who[order][ends], others=others, shape=(rows, run.columns))


def _texts(
    tasks: Sequence[Task], *, cells: IntArray, longest: IntArray, others: IntArray, shape: tuple[int, int]
) -> CellText:
    width = int(others.max()) + 1
    pairs, which = np.unique(longest.astype(np.int64) * width + others, return_inverse=True)
    texts = ["<br>no test"]
    for pair in pairs.tolist():
        more = f", +{pair % width} more" if pair % width else ""
        texts.append(f"<br>{escaped(drawn(tasks[pair // width].name))}{more}")
    index: IntArray = np.zeros(shape[0] * shape[1], dtype=np.uint16 if len(texts) < 65536 else np.uint32)
    index[cells] = which + 1
    return CellText(texts=tuple(texts), index=index.reshape(shape))

"""A fleet of which every worker is soon replaced: what it costs follows those who live, not all that ever did."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.history import METRIC, churning, record
from benchmarks.rows import Row
from drmviz.store import Store
from drmviz.store.schema import BLOCK_US

LEAVE_SHARE = 0.1
"""Of the live workers, every second: 100 of 1000."""
_BLOCK_S = BLOCK_US // 1_000_000
_EARLY, _LATE = 2, 6
"""Blocks after which is measured: at minute 20 and at minute 60."""
_READS = 5


@dataclass(slots=True)
class _Costs:
    sealing_s: list[float] = field(default_factory=list)
    query_s: list[float] = field(default_factory=list)
    """CPU of reading the last ten minutes, when so many blocks were sealed as are listed before."""
    bytes_each: float = 0.0
    """Per live worker and tick."""


@cache
def _recorded(workers: int, leave_each_s: int) -> _Costs:
    costs = _Costs()
    count = _LATE * _BLOCK_S
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "h.drmviz")

        def sealed(block: int, steps_s: list[float]) -> None:
            costs.sealing_s.append(sum(steps_s))
            if len(costs.sealing_s) in (_EARLY, _LATE):
                costs.query_s.append(_of_reading(path, block * _BLOCK_S))

        record(path, churning(workers, count, leave_each_s=leave_each_s), sealed=sealed)
        costs.bytes_each = path.stat().st_size / (workers * count)
    return costs


def _of_reading(path: Path, start_s: float) -> float:
    """Return the median CPU seconds of a heatmap of one block."""
    taken = []
    with Store.open(path) as store:
        for _ in range(_READS):
            begun = time.process_time()
            store.read(columns=100, metrics=[METRIC], start_s=start_s, end_s=start_s + _BLOCK_S)
            taken.append(time.process_time() - begun)
    return statistics.median(taken)


def churn_sealing(workers: int, count: int) -> Row:
    """Packing a block at minute 60, against one at minute 20 of the same run."""
    del count
    costs = _recorded(workers, round(workers * LEAVE_SHARE))
    return Row(
        name="churn_sealing",
        ours=costs.sealing_s[_LATE - 1] * 1e3,
        baseline=costs.sealing_s[_EARLY - 1] * 1e3,
        unit="ms of CPU",
        target=1.3,
        baseline_is=f"the block at minute {_EARLY * 10} of the same run, {LEAVE_SHARE:.0%} leave and come every second",
    )


def churn_heatmap(workers: int, count: int) -> Row:
    """A heatmap of the last ten minutes at minute 60, against one at minute 20 of the same run."""
    del count
    early_s, late_s = _recorded(workers, round(workers * LEAVE_SHARE)).query_s
    return Row(
        name="churn_heatmap",
        ours=late_s * 1e3,
        baseline=early_s * 1e3,
        unit="ms of CPU",
        target=1.3,
        baseline_is=f"the same at minute {_EARLY * 10} of the same run, as many workers in the window",
    )


def churn_against_calm(workers: int, count: int) -> Row:
    """CPU of packing a block of which every worker lives ten seconds, against a fleet that stays."""
    del count
    costs, calm = _recorded(workers, round(workers * LEAVE_SHARE)), _recorded(workers, 0)
    return Row(
        name="churn_against_calm",
        ours=statistics.median(costs.sealing_s) * 1e3,
        baseline=statistics.median(calm.sealing_s) * 1e3,
        unit="ms of CPU",
        target=8.0,
        baseline_is="a block of as many workers of whom nobody leaves",
    )


def churn_size(workers: int, count: int) -> Row:
    """Bytes of the closed file per live worker and tick, against a fleet that stays."""
    del count
    costs, calm = _recorded(workers, round(workers * LEAVE_SHARE)), _recorded(workers, 0)
    return Row(
        name="churn_size",
        ours=costs.bytes_each,
        baseline=calm.bytes_each,
        unit="bytes per worker-tick",
        target=4.0,
        baseline_is="as many workers of whom nobody leaves; a life of ten ticks has its own row and three rollups",
    )

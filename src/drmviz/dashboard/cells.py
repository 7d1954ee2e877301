"""One metric of the fleet as the page's own heatmap draws it: small whole numbers, one for each worker and column.

The length of a JSON text (uint32, little-endian), that text padded to a multiple of four bytes, then uint16 of shape
(workers, columns): the value in steps of `step`, 65534 where a worker lived and was not measured, 65535 where it did
not live.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from drmviz.dashboard.fleet import Fleet
from drmviz.figures.providers import provider_of
from drmviz.model.metrics import BoolArray, FloatArray, IntArray, Metric, Statistic
from drmviz.model.run import Run

NOT_MEASURED, NOT_ALIVE = 65_534, 65_535
_RATIO_STEP, _COUNT_STEP = 0.001, 0.1
_TRIES = 3


def cells(
    fleet: Fleet, *, metric: Metric, statistic: Statistic, columns: int, start_s: float | None, end_s: float | None,
    last_s: float | None,
) -> bytes:  # fmt: skip
    """Return the newest cells; `sequence` in their head is the last tick that is in them for certain, and no later one.

    Raises:
        StoreError: the history cannot be read.
        InvalidValueError: the window ends before it starts.
    """
    for _ in range(_TRIES):
        before = fleet.newest_number()
        start_s = fleet.start_of(last_s, columns) if last_s is not None else start_s
        run = fleet.read(start_s=start_s, end_s=end_s, columns=columns, metrics=(metric,), statistics=(statistic,))
        if fleet.newest_number() == before:
            break
    step = _COUNT_STEP if metric == "tasks_running" else _RATIO_STEP
    head = orjson.dumps({"metric": metric, "statistic": statistic, "step": step, "sequence": before, **_head(run)})
    head += b" " * (-len(head) % 4)
    ratios = run.values(metric, statistic)
    return len(head).to_bytes(4, "little") + head + quantised(ratios, run.alive, step=step).tobytes()


def quantised(values: FloatArray, alive: BoolArray, *, step: float) -> IntArray:
    """Return uint16 of the same shape; a value too large for it is the largest one that it can say."""
    with np.errstate(invalid="ignore"):
        whole = np.clip(np.rint(values * np.float32(1 / step)), 0, NOT_MEASURED - 1)
    known = np.isfinite(values)
    codes: IntArray = np.where(known, np.where(known, whole, 0), NOT_MEASURED).astype("<u2")
    codes[~alive] = NOT_ALIVE
    # Who left before the tick of a column did live in it; as a gap that would tell of a failure that was none.
    is_last = (codes[:, 1:-1] == NOT_MEASURED) & (codes[:, :-2] < NOT_MEASURED) & (codes[:, 2:] == NOT_ALIVE)
    codes[:, 1:-1][is_last] = NOT_ALIVE
    return np.ascontiguousarray(codes)


def _head(run: Run) -> dict[str, Any]:
    first_s = float(run.starts_at_s[0]) if run.columns else run.start_s
    return {
        "run": run.header.id,
        "interval_s": run.header.interval_s,
        "first_s": first_s,
        "width_s": run.width_s,
        "columns": run.columns,
        "ends_at_s": run.end_s,
        "workers": [
            {
                "id": worker.id,
                "kind": worker.kind,
                "host": worker.host,
                "provider": provider_of(worker.latest.entry.labels),
                "left": worker.latest.left_at_s is not None,
            }
            for worker in run.workers
        ],
    }

"""Takes a run that several recordings were read as apart again: a schedule, a tail or a host is that of one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drmviz.model.run import Origin, Run


def recordings(run: Run) -> dict[str, Run]:
    """Return the part of each recording by its name, with its own beginning and end; empty unless there are several.

    Recordings that lie outside the window are left out.
    """
    if len(run.origins) < 2:
        return {}
    return {origin.name: part for origin in run.origins if (part := _part(run, origin)) is not None}


def _part(run: Run, origin: Origin) -> Run | None:
    if origin.first_s is None or origin.end_s is None:
        return None
    start_s, end_s = max(run.start_s, origin.first_s), min(run.end_s, origin.end_s)
    if end_s <= start_s:
        return None

    def is_own(name: str) -> bool:
        return name.partition("/")[0] == origin.name

    rows = [row for row, worker in enumerate(run.workers) if is_own(worker.id)]
    first, after = np.searchsorted(run.starts_at_s, [start_s, end_s])
    if first and (first == run.columns or run.starts_at_s[first] > start_s):
        first -= 1  # the column that the beginning lies in
    across = slice(int(first), int(after))
    return replace(
        run,
        header=replace(
            run.header,
            host=origin.host,
            started_at_s=origin.first_s,
            ended_at_s=None if origin.state == "being written" else origin.end_s,
        ),
        start_s=start_s,
        end_s=end_s,
        starts_at_s=run.starts_at_s[across],
        workers=tuple(run.workers[row] for row in rows),
        grids={key: grid[rows, across] for key, grid in run.grids.items()},
        alive=run.alive[rows, across],
        means={metric: means[rows] for metric, means in run.means.items()},
        decisions=tuple(decision for decision in run.decisions if decision.host == origin.name),
        changes=tuple(change for change in run.changes if is_own(change.worker)),
        tasks=tuple(task for task in run.tasks if is_own(task.worker)),
        cloud=tuple(usage for usage in run.cloud if is_own(usage.provider)),
        origins=(),
    )

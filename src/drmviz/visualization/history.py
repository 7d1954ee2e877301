"""A recorded history as figures see it: a window of all its runs, read once as long as nothing is added."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np

from drmviz.errors import InvalidValueError, StoreDamagedError, StoreError
from drmviz.figures.resource_utilization_heatmap import RESERVED
from drmviz.model.metrics import Metric, Statistic
from drmviz.model.run import Run, RunHeader
from drmviz.store import Store
from drmviz.visualization.asking import Asked

_COLUMNS: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio", "cpu_reserved_ratio", "tasks_running")
_MEANS: tuple[Metric, ...] = ("memory_reserved_ratio", "gpu_reserved_ratio")
"""What most figures draw from: read together, so that several figures of one moment need one reading."""
MOST_KEPT_BYTES = 256 * 2**20
_NOBODY = RunHeader(id="", title="", started_at_s=0.0, interval_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What somebody needs of a window."""

    columns: tuple[Metric, ...] = ()
    """Metrics whose columns are drawn."""
    means: tuple[Metric, ...] = ()
    """Metrics of which the mean over the window is enough."""
    statistics: tuple[Statistic, ...] = ("mean",)

    @property
    def grids(self) -> Iterator[tuple[Metric, Statistic]]:
        return ((metric, statistic) for metric in self.columns for statistic in self.statistics)


@dataclass(frozen=True, slots=True)
class _Kept:
    version: object
    asked: tuple[object, ...]
    run: Run

    def serves(self, version: object, asked: tuple[object, ...], needs: Needs) -> bool:
        return (
            (self.version, self.asked) == (version, asked)
            and all(each in self.run.grids for each in needs.grids)
            and all(metric in self.run.means for metric in needs.means)
        )


class History:
    """One file of history; any thread may ask."""

    def __init__(self, path: Path, *, keep_s: float = inf, now_s: Callable[[], float] = time.time) -> None:
        """What is older than `keep_s` is not shown; `now_s` tells the time on the axis of what is recorded."""
        self.path = path.absolute()
        self._keep_s = keep_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

    def window(self, asked: Asked, needs: Needs) -> Run:
        """Return these metrics of the window that was asked for; a run without anything where there is no file.

        Where use was nowhere measured and reservations are known, their columns are there too.

        Raises:
            StoreError: the history cannot be read.
            InvalidValueError: no such worker lived in the window.
        """
        which = (asked.start_s, asked.end_s, asked.columns, asked.workers)
        with self._lock:
            version = self._version()
            if version is None:
                return Run.empty(_NOBODY)
            if self._kept is None or not self._kept.serves(version, which, needs):
                self._kept = None
                columns = tuple(dict.fromkeys((*needs.columns, *_COLUMNS)))
                run = self._read(asked, replace(needs, columns=columns, means=(*needs.means, *_MEANS)))
                instead = [granted for used, granted in RESERVED.items() if _stands_in(run, used, granted)]
                if instead:
                    run = self._read(asked, replace(needs, columns=(*columns, *instead), means=(*needs.means, *_MEANS)))
                if sum(grid.nbytes for grid in run.grids.values()) > MOST_KEPT_BYTES:
                    return run
                self._kept = _Kept(version, which, run)
            return self._kept.run

    def forget(self) -> None:
        """Let go of what was kept for the next figure."""
        with self._lock:
            self._kept = None

    def _read(self, asked: Asked, needs: Needs) -> Run:
        with Store.open(self.path) as store:
            runs = store.runs()
            if not runs:
                return Run.empty(_NOBODY)
            start_s, end_s = asked.start_s, asked.end_s
            start_s = _latest(start_s, _first_shown_s(runs, self._now_s() - self._keep_s))
            if start_s is not None and end_s is not None and end_s <= start_s:
                end_s = start_s + 1.0  # all of it is too old: nothing is there
            read = partial(
                store.read_all,
                start_s=start_s,
                columns=asked.columns,
                metrics=needs.columns,
                means=[metric for metric in dict.fromkeys(needs.means) if metric not in needs.columns],
                statistics=needs.statistics,
                workers=asked.workers,
            )
            try:
                return read(end_s=end_s)
            except InvalidValueError as error:
                if error.name != "end" or start_s is None:
                    raise
                return read(end_s=start_s + 1.0)  # the start lies after all that is recorded: nothing is there either

    def _version(self) -> object:
        """Return what changes whenever something is added; None where there is no file."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = f"it cannot be reached ({error.strerror or error})"
            raise StoreError(self.path, reason, remedy="Look at its folder.") from error
        try:
            log = self.path.with_name(f"{self.path.name}-wal").stat()
        except FileNotFoundError:
            return (found.st_ino, found.st_mtime_ns, found.st_size)
        return (found.st_ino, found.st_mtime_ns, found.st_size, log.st_mtime_ns, log.st_size)


def _stands_in(run: Run, used: Metric, granted: Metric) -> bool:
    """Tell whether only reservations are known of a resource, and their columns were not read."""
    return (
        (granted, "mean") not in run.grids
        and not run.is_measured(used)
        and bool(np.isfinite(run.means.get(granted, np.nan)).any())
    )


def recorded_events(path: Path) -> Run | None:
    """Return the decisions and changes that a history already holds, without samples; None where it holds none.

    Raises:
        StoreError: it cannot be read.
    """
    with Store.open(path) as store:
        try:
            return store.read_all(columns=1, metrics=()) if store.runs() else None
        except StoreDamagedError:
            return None  # figures say so; what is collected from now on is whole


def _first_shown_s(runs: Sequence[RunHeader], oldest_s: float) -> float | None:
    """Return where a history begins of which everything before a moment is left out; None: at its own beginning.

    A run that was over by then does not stretch the picture, nor does the pause after it.
    """
    ends = [run.ended_at_s for run in runs[:-1]] + [None]
    begun_by_then = [
        run.started_at_s
        for run, end, after in zip(runs, ends, (*runs[1:], None), strict=True)
        if (end if end is not None else after.started_at_s if after is not None else inf) > oldest_s
    ]
    if len(begun_by_then) == len(runs) and begun_by_then[0] >= oldest_s:
        return None
    return max(begun_by_then[0], oldest_s)


def _latest(*moments: float | None) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)

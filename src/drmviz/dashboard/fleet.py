"""The fleet that a dashboard shows: recorded histories that are read anew each time, and a hub where one is fed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drmviz.errors import StoreError
from drmviz.live import Hub
from drmviz.model.run import Run, RunHeader
from drmviz.model.status import OK, Status
from drmviz.store import Store, Stores

_NOBODY = RunHeader(id="", title="", started_at_s=0.0, interval_s=0.0)
Statuses = Callable[[], Mapping[str, Status]]


class Fleet:
    """What is recorded in these files, read as one; any thread may ask.

    `hub` is given where the recorder lives in this process: it answers whatever it still holds, and what the disk
    refused. `statuses` says how the recorder is doing.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        run_id: str | None = None,
        offsets: Mapping[str, float] | None = None,
        hub: Hub | None = None,
        statuses: Statuses | None = None,
        may_be_missing: bool = False,
    ) -> None:
        """`may_be_missing`: a file that is not there yet is a fleet of nobody."""
        self.paths = tuple(path.absolute() for path in paths)
        self.hub = hub
        self._run_id = run_id
        self._offsets = dict(offsets or {})
        self._statuses = statuses
        self._may_be_missing = may_be_missing

    def read(self, **window: Any) -> Run:
        """Return a window; the arguments are those of `Store.read`.

        Raises:
            InvalidValueError: no such run or worker, or a window that ends before it starts.
            StoreError: the history cannot be read, and no hub holds it.
        """
        if self.hub is not None and not window.get("tiers") and self._is_in(self.hub, window.get("start_s")):
            return self.hub.read(**window)
        if self._may_be_missing and not any(path.exists() for path in self.paths):
            return Run.empty(_NOBODY)
        try:
            with Stores.open(self.paths, offsets=self._offsets) as histories:
                return histories.read(self._run_id, **window)
        except StoreError:
            if self.hub is None:
                raise
            return self.hub.read(**{name: value for name, value in window.items() if name != "tiers"})

    def runs(self) -> tuple[list[Run], list[str]]:
        """Return what is recorded in each file, without samples, and the file of each run.

        Raises:
            StoreError: one of them cannot be read.
        """
        found: list[Run] = []
        where: list[str] = []
        for path in self.paths:
            if self._may_be_missing and not path.exists():
                continue
            with Store.open(path) as store:
                for header in store.runs():
                    found.append(store.read(header.id, metrics=("cpu_ratio",), columns=1, tiers=True))
                    where.append(path.name.encode("utf-8", "backslashreplace").decode())
        return found, where

    def version(self) -> object:
        """Return what changes whenever something is recorded."""
        if self.hub is not None:
            newest = self.hub.newest
            return None if newest is None else newest.number
        return tuple(_state_of(path) for path in self.paths)

    def statuses(self) -> dict[str, Status]:
        """Say how each source and the store are doing; of a file that is only read, whether it can be."""
        if self._statuses is not None:
            return dict(self._statuses())
        if self._may_be_missing and not any(path.exists() for path in self.paths):
            return {}
        return {"store" if len(self.paths) == 1 else f"store {path.name}": _status_of(path) for path in self.paths}

    def is_being_written(self) -> bool:
        """Tell whether more is to come."""
        return self.hub is not None or any(_is_being_written(path) for path in self.paths)

    def newest_number(self) -> int | None:
        """Return the sequence of the newest tick; None where no recorder lives in this process."""
        newest = None if self.hub is None else self.hub.newest
        return None if newest is None else newest.number

    def start_of(self, last_s: float, columns: int) -> float | None:
        """Return when the last so many seconds began, where a column begins; None where nothing is recorded yet.

        Columns are as wide then whenever it is asked, so that a picture moves on and does not jump.

        Raises:
            StoreError: the history cannot be read.
        """
        newest = None if self.hub is None else self.hub.newest
        if self.hub is not None and newest is not None:
            newest_s, interval_s = newest.tick.at_s, self.hub.header.interval_s
        else:
            whole = self.read(columns=1, metrics=())
            if whole.measured_ticks == 0:
                return None
            newest_s, interval_s = whole.end_s - whole.header.interval_s, whole.header.interval_s
        interval_s = interval_s or 1.0
        width_s = max(1, math.ceil(last_s / columns / interval_s)) * interval_s
        return max(0.0, (newest_s // width_s + 1) * width_s - last_s)

    def _is_in(self, hub: Hub, start_s: float | None) -> bool:
        """Tell whether the hub has dropped nothing of the run since then."""
        oldest = hub.oldest
        if oldest is None:
            return False
        return oldest.number == 0 or (start_s is not None and oldest.tick.at_s <= start_s)


def _state_of(path: Path) -> tuple[object, ...]:
    """Return what a write changes of a file and of its log."""
    state: list[object] = []
    for each in (path, path.with_name(f"{path.name}-wal")):
        try:
            found = each.stat()
        except OSError:
            state.append(None)
        else:
            state.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(state)


def _status_of(path: Path) -> Status:
    try:
        with Store.open(path) as store:
            lost = store.lost
    except StoreError as error:
        return Status(state="FAILED", reason=error.reason)
    return OK if lost is None else Status(state="DEGRADED", reason=lost)


def _is_being_written(path: Path) -> bool:
    try:
        with Store.open(path) as store:
            return store.is_being_written
    except StoreError:
        return False

"""Reads stores while they are written or long after: which runs they hold, and a window of them as a `Run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from drmviz.errors import InvalidValueError, StoreError
from drmviz.model.metrics import METRICS, Metric, Statistic
from drmviz.model.run import Run, RunHeader
from drmviz.model.workers import Kind
from drmviz.store.assembling import Asked, assembled
from drmviz.store.choosing import counted_once, every_run, newest_run, offsets_us, runs_called
from drmviz.store.connections import ReadConnection, damaged, one_moment
from drmviz.store.failures import errors_named
from drmviz.store.joining import joined
from drmviz.store.lock import is_being_written
from drmviz.store.parts import NumberedRun, Part, named
from drmviz.store.records import HEADER_COLUMNS, header_of


class Reader:
    """Files that are open for reading, and are read as one."""

    def __init__(self, readings: Sequence[ReadConnection], offsets_us: Sequence[int]) -> None:
        self._readings = tuple(readings)
        self._offsets_us = tuple(offsets_us)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for reading in self._readings:
            reading.close()

    def read(
        self,
        run_id: str | None = None,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        columns: int = 600,
        metrics: Sequence[Metric] = METRICS,
        statistics: Sequence[Statistic] = ("mean",),
        workers: Sequence[str] | None = None,
        kinds: Sequence[Kind] | None = None,
        means: Sequence[Metric] = (),
        tiers: bool = False,
    ) -> Run:
        """Return a window of one run of each file, reduced to at most `columns` columns.

        Args:
            run_id: its id or the beginning of it; the newest run of each file when None.
            start_s: seconds since the epoch; the beginning of the first run when None.
            end_s: the same, not included; just after the newest tick when None.
            columns: each is a whole number of intervals wide, so it never splits a tick.
            metrics: what to read; less is faster.
            statistics: how the ticks of a column become one number.
            workers: only these rows, in this order; all of them, in natural order, when None.
            kinds: which kinds of roster entries are rows; workers, or processes where there are none, when None.
            means: metrics of which `Run.mean_of` is wanted without their columns; cheaper than reading them.
            tiers: whether `Run.tiers` is wanted.

        Raises:
            InvalidValueError: no such run or worker, or a window that ends before it starts.
            StoreError: nothing was ever recorded here.
            StoreDamagedError: SQLite cannot read the pages of this window.
        """
        asked = Asked(columns, start_s, end_s, tuple(metrics), tuple(statistics), workers, kinds, tuple(means), tiers)
        return self._read(run_id, asked)

    def read_all(
        self,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        columns: int = 600,
        metrics: Sequence[Metric] = METRICS,
        statistics: Sequence[Statistic] = ("mean",),
        workers: Sequence[str] | None = None,
        kinds: Sequence[Kind] | None = None,
        means: Sequence[Metric] = (),
        tiers: bool = False,
    ) -> Run:
        """Return a window of all runs as one, on recorded wall time; the same arguments as `read`.

        The header is that of the newest run, from the beginning of the oldest. Between two runs nobody is alive.

        Raises:
            InvalidValueError: no such worker, or a window that ends before it starts.
            StoreError: nothing was ever recorded here.
            StoreDamagedError: SQLite cannot read the pages of this window.
        """
        asked = Asked(columns, start_s, end_s, tuple(metrics), tuple(statistics), workers, kinds, tuple(means), tiers)
        return self._read(None, asked, everything=True)

    def _read(self, run_id: str | None, asked: Asked, *, everything: bool = False) -> Run:
        if asked.columns < 1:
            raise InvalidValueError("columns", asked.columns, "must be at least 1")
        with ExitStack() as moment:  # one transaction each, all begun first: everything below saw the same moment
            for reading in self._readings:
                with errors_named(reading.path):
                    moment.enter_context(one_moment(reading.connection))
            parts, notes = self._parts(self._chosen(run_id, everything=everything))
            found = joined(parts, asked)
        run = Run.empty(found.header) if found.gathered is None else assembled(found.gathered, asked)
        return replace(run, notes=(*notes, *found.notes, *run.notes), origins=found.origins, tiers=found.tiers)

    def _chosen(self, run_id: str | None, *, everything: bool) -> list[list[NumberedRun]]:
        """Return the runs that are wanted of each file."""
        found: list[list[NumberedRun]] = []
        for reading in self._readings:
            with errors_named(reading.path):
                if everything:
                    found.append(every_run(reading.connection))
                elif run_id is None:
                    found.append(newest_run(reading.connection))
                else:
                    found.append(runs_called(reading.connection, run_id))
        ids = {header.id for runs in found for _, header in runs}
        if run_id is None:
            if not ids:
                for reading in self._readings:
                    if reading.lost:
                        raise damaged(reading.path, reading.lost)
                paths = ", ".join(str(reading.path) for reading in self._readings)
                raise StoreError(paths, "it holds no run yet", remedy="Record one with: drmviz run -- COMMAND")
            return found
        if run_id in ids:
            ids = {run_id}
        if len(ids) != 1 or not run_id:
            reason = "is the beginning of several ids" if ids else "is not in this store"
            raise InvalidValueError("run", run_id, f"{reason}; it holds {', '.join(self._newest_ids())}")
        return [[numbered for numbered in runs if numbered[1].id in ids] for runs in found]

    def _newest_ids(self) -> list[str]:
        newest: list[tuple[int, str]] = []
        for reading in self._readings:
            with errors_named(reading.path):
                newest += reading.connection.execute("SELECT started_us, id FROM run ORDER BY number DESC LIMIT 5")
        return [run_id for _, run_id in sorted(newest)[-5:]]

    def _parts(self, chosen: Sequence[list[NumberedRun]]) -> tuple[list[Part], list[str]]:
        """Return what is read of each file, under a name of its own, and what is to be said of it."""
        parts = [
            Part(
                connection=reading.connection,
                path=reading.path,
                runs=tuple(runs),
                is_being_written=any(header.ended_at_s is None for _, header in runs)
                and is_being_written(reading.path),
                offset_us=offset_us,
                lost=reading.lost,
            )
            for reading, offset_us, runs in zip(self._readings, self._offsets_us, chosen, strict=True)
        ]
        parts, notes = counted_once(parts)
        return named(parts), notes


class Store(Reader):
    """A recorded history, open for reading."""

    def __init__(self, reading: ReadConnection) -> None:
        super().__init__([reading], [0])
        self._connection = reading.connection

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store, also beside its writer and in places that cannot be written.

        Raises:
            StoreError: there is no such file, it is something else, or it cannot be opened.
        """
        return cls(ReadConnection(Path(path).expanduser()))

    @property
    def path(self) -> Path:
        return self._readings[0].path

    @property
    def is_being_written(self) -> bool:
        """Whether a living process writes this file right now."""
        return is_being_written(self.path)

    @property
    def lost(self) -> str | None:
        """What a damaged write-ahead log has cost, in a sentence; None where all is well."""
        return self._readings[0].lost

    def structure_faults(self, at_most: int) -> list[str]:
        """Return what SQLite itself finds wrong with the structure of the file, nothing where all is well."""
        with errors_named(self.path):
            found = self._connection.execute(f"PRAGMA integrity_check({at_most})").fetchall()
        return [str(said) for (said,) in found if said != "ok"]

    def runs(self) -> list[RunHeader]:
        """Return what is recorded, oldest first.

        Raises:
            StoreDamagedError: nothing can be read, and damage is why.
        """
        with errors_named(self.path):
            statement = f"SELECT {HEADER_COLUMNS} FROM run ORDER BY number"
            found = [header_of(row) for row in self._connection.execute(statement)]
        if self.lost and not found:
            raise damaged(self.path, self.lost)
        return found


class Stores(Reader):
    """Recorded histories of many machines, open for reading as one.

    Where there are several, the id of every worker is `NAME/ID`: NAME is the host that the file was recorded on where
    no other one was recorded there, else the stem of the file's name, with -2, -3 ... where that is taken.
    """

    @classmethod
    def open(cls, paths: Sequence[str | Path], *, offsets: Mapping[str, float] | None = None) -> Stores:
        """Open stores, each also beside its writer and in places that cannot be written.

        Args:
            paths: the files; one that is named twice is read once.
            offsets: seconds to be added to every time of a file, by its host (then of all files of that host), its
                name as in `NAME/ID`, its path, or its path's last part; recorded wall time where nothing is said.

        Raises:
            InvalidValueError: no path, or an offset of a file that is not there or of none in particular.
            StoreError: a file is not there, is something else, or cannot be opened.
        """
        if not paths:
            raise InvalidValueError("paths", paths, "name at least one store")
        files = list(dict.fromkeys(Path(path).expanduser() for path in paths))
        with ExitStack() as opened:
            readings = []
            for path in files:
                reading = ReadConnection(path, among=len(files))
                opened.callback(reading.close)
                readings.append(reading)
            added_us = offsets_us(offsets or {}, [(reading.path, reading.connection) for reading in readings])
            opened.pop_all()
        return cls(readings, added_us)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(reading.path for reading in self._readings)

    @property
    def offsets_s(self) -> tuple[float, ...]:
        """Seconds that are added to the times of each file."""
        return tuple(offset_us / 1e6 for offset_us in self._offsets_us)

"""Reads a store while it is written or long after: which runs it holds, and a window of one of them as a `Run`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from json import JSONDecodeError
from operator import itemgetter
from pathlib import Path
from types import TracebackType

import apsw

from drmviz.errors import InvalidValueError, StoreError
from drmviz.model.cloud import CloudUsage
from drmviz.model.metrics import CAPACITY_OF, METRICS, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run, RunHeader
from drmviz.model.workers import Kind, Worker
from drmviz.store.assembling import Asked, Gathered, assembled
from drmviz.store.connections import ReadConnection, damaged, one_moment, rows_of
from drmviz.store.lock import is_being_written
from drmviz.store.records import HEADER_COLUMNS, header_of, rows_shown
from drmviz.store.spans import Span, lives_in
from drmviz.store.windows import Window, fetch

_KILLED = "its recorder ended without closing the run: what was acknowledged is here, the end is missing"


class Store:
    """A recorded history, open for reading."""

    def __init__(self, reading: ReadConnection) -> None:
        self._reading = reading
        self._connection = reading.connection

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store, also beside its writer and in places that cannot be written.

        Raises:
            StoreError: there is no such file, it is something else, or it cannot be opened.
        """
        return cls(ReadConnection(Path(path).expanduser()))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reading.close()

    @property
    def path(self) -> Path:
        return self._reading.path

    @property
    def is_being_written(self) -> bool:
        """Whether a living process writes this file right now."""
        return is_being_written(self.path)

    def structure_faults(self, at_most: int) -> list[str]:
        """Return what SQLite itself finds wrong with the structure of the file, nothing where all is well."""
        with _errors_named(self.path):
            found = self._connection.execute(f"PRAGMA integrity_check({at_most})").fetchall()
        return [str(said) for (said,) in found if said != "ok"]

    @property
    def lost(self) -> str | None:
        """What a damaged write-ahead log has cost, in a sentence; None where all is well."""
        return self._reading.lost

    def runs(self) -> list[RunHeader]:
        """Return what is recorded, oldest first.

        Raises:
            StoreDamagedError: nothing can be read, and damage is why.
        """
        with _errors_named(self.path):
            statement = f"SELECT {HEADER_COLUMNS} FROM run ORDER BY number"
            found = [header_of(row) for row in self._connection.execute(statement)]
        if self.lost and not found:
            raise damaged(self.path, self.lost)
        return found

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
    ) -> Run:
        """Return a window of one run, reduced to at most `columns` columns.

        Args:
            run_id: its id or the beginning of it; the newest run when None.
            start_s: seconds since the epoch; the run's beginning when None.
            end_s: the same, not included; just after the newest tick when None.
            columns: each is a whole number of intervals wide, so it never splits a tick.
            metrics: what to read; less is faster.
            statistics: how the ticks of a column become one number.
            workers: only these rows, in this order; all of them, in natural order, when None.
            kinds: which kinds of roster entries are rows; workers, or processes where there are none, when None.
            means: metrics of which `Run.mean_of` is wanted without their columns; cheaper than reading them.

        Raises:
            InvalidValueError: no such run or worker, or a window that ends before it starts.
            StoreDamagedError: SQLite cannot read the pages of this window.
        """
        asked = Asked(columns, start_s, end_s, tuple(metrics), tuple(statistics), workers, kinds, tuple(means))
        return self._read(lambda: [self._find(run_id)], asked)

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
    ) -> Run:
        """Return a window of all runs of this file as one, on recorded wall time; the same arguments as `read`.

        The header is that of the newest run, from the beginning of the oldest. Between two runs nobody is alive.

        Raises:
            InvalidValueError: no such worker, or a window that ends before it starts.
            StoreError: nothing was ever recorded here.
            StoreDamagedError: SQLite cannot read the pages of this window.
        """
        asked = Asked(columns, start_s, end_s, tuple(metrics), tuple(statistics), workers, kinds, tuple(means))
        return self._read(self._everything, asked)

    def _read(self, which: Callable[[], list[tuple[int, RunHeader]]], asked: Asked) -> Run:
        if asked.columns < 1:
            raise InvalidValueError("columns", asked.columns, "must be at least 1")
        gathered: Gathered | None = None
        with _errors_named(self.path), one_moment(self._connection):
            runs = which()
            gathered = self._gather(runs, asked)
        if gathered is None:
            return replace(Run.empty(_newest(runs)[1]), notes=(self.lost,) if self.lost else ())
        return assembled(gathered, asked)

    def _everything(self) -> list[tuple[int, RunHeader]]:
        rows = rows_of(self._connection, f"SELECT number, {HEADER_COLUMNS} FROM run ORDER BY started_us, number")
        return [(row[0], header_of(row[1:])) for row in rows] or [self._find(None)]  # which says that there is none

    def _gather(self, runs: Sequence[tuple[int, RunHeader]], asked: Asked) -> Gathered | None:
        spans = [span for run, header in runs if (span := Span.of(self._connection, run, header)) is not None]
        if not spans:
            return None
        window = Window.over(self._connection, spans, asked.start_s, asked.end_s, at_most=asked.columns)
        spans = [span for span in spans if window.touches(span)] or spans[-1:]
        newest, header = _newest(runs)
        lives = lives_in(self._connection, spans, window.columns.first_us, window.columns.end_us, newest=newest)
        shown = rows_shown([life for of_run in lives for life in of_run.values()], asked.kinds, asked.workers)
        row_by_id = {worker.id: row for row, worker in enumerate(shown)}
        resized = _resized(shown)
        found = []
        for span, of_run in zip(spans, lives, strict=True):
            row_of = {n: row_by_id[life.id] for n, life in of_run.items() if life.id in row_by_id}
            part = fetch(
                self._connection,
                span,
                window,
                (*asked.metrics, *asked.means),
                asked.statistics,
                row_of,
                asked.workers,
            )
            part.resized = {
                n: WorkerCapacity(**{name: getattr(life.capacity, name) for name in resized[life.id]})
                for n, life in of_run.items()
                if life.id in resized
            }
            if span.header.ended_at_s is None and not (span.run == newest and self.is_being_written):
                part.notes.append(_KILLED)
            if self.lost and span.run == self._last_run():
                part.notes.append(self.lost)
            found.append(part)
        told = [{usage.provider for usage in part.cloud} for part in found]
        for span, part, providers in zip(spans, found, told, strict=True):
            if span.run != newest:
                going_on = (names for other, names in zip(spans, told, strict=True) if other.goes_on_after(span))
                part.cloud += _unseen_after(span, providers.difference(*going_on))
        started_s = min(header.started_at_s for _, header in runs)
        return Gathered(_over_all(header, spans, started_s), window, shown, found)

    def _last_run(self) -> int:
        ((number,),) = rows_of(self._connection, "SELECT max(number) FROM run")
        return int(number)

    def _find(self, run_id: str | None) -> tuple[int, RunHeader]:
        if run_id is None:
            newest = rows_of(self._connection, f"SELECT number, {HEADER_COLUMNS} FROM run ORDER BY number DESC LIMIT 1")
            if not newest and self.lost:
                raise damaged(self.path, self.lost)
            if not newest:
                raise StoreError(self.path, "it holds no run yet", remedy="Record one with: drmviz run -- COMMAND")
            return newest[0][0], header_of(newest[0][1:])
        rows = rows_of(
            self._connection,
            f"SELECT number, {HEADER_COLUMNS} FROM run WHERE substr(id, 1, ?) = ?",
            (len(run_id), run_id),
        )
        rows = [row for row in rows if row[1] == run_id] or rows
        if len(rows) != 1 or not run_id:
            have = ", ".join(h.id for h in self.runs()[-5:])
            reason = "is the beginning of several ids" if rows else "is not in this store"
            raise InvalidValueError("run", run_id, f"{reason}; it holds {have}")
        return rows[0][0], header_of(rows[0][1:])


class _errors_named:  # noqa: N801  reads as a phrase where it is used
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError | JSONDecodeError | TypeError):
            raise damaged(self._path, error) from error
        if isinstance(error, apsw.Error):
            raise StoreError(self._path, f"it cannot be read ({error})", remedy="Try again.") from error


def _resized(workers: Iterable[Worker]) -> dict[str, tuple[str, ...]]:
    """Return who came back with other capacities, and which of them are known of all their lives."""
    found = {}
    for worker in workers:
        if len(worker.incarnations) > 1 and len({life.capacity for life in worker.incarnations}) > 1:
            found[worker.id] = tuple(
                name
                for name in dict.fromkeys(CAPACITY_OF.values())
                if all(getattr(life.capacity, name) is not None for life in worker.incarnations)
            )
    return found


def _newest(runs: Sequence[tuple[int, RunHeader]]) -> tuple[int, RunHeader]:
    """Return the run that was begun last, whatever a clock that was set back says of it."""
    return max(runs, key=itemgetter(0))


def _over_all(newest: RunHeader, spans: Sequence[Span], started_s: float) -> RunHeader:
    """Return the newest header, from the beginning of the first run to the end of the last to end."""
    if newest.ended_at_s is None:
        return replace(newest, started_at_s=started_s)
    ends_s = [span.end_us / 1e6 if span.header.ended_at_s is None else span.header.ended_at_s for span in spans]
    return replace(newest, started_at_s=started_s, ended_at_s=max([newest.ended_at_s, *ends_s]))


def _unseen_after(span: Span, providers: Iterable[str]) -> tuple[CloudUsage, ...]:
    """Return that nothing is known of these providers from the end of a run on."""
    return tuple(
        CloudUsage(at_s=span.end_us / 1e6, provider=provider, problem="nothing was recorded")
        for provider in sorted(providers)
    )

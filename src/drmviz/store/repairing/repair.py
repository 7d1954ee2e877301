"""Writes a new store from everything that is whole of a damaged one, which stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from drmviz.errors import OutputError, StoreBusyError, StoreDamagedError, StoreError
from drmviz.store.backup import publish
from drmviz.store.connections import BEGUN, ReadConnection, open_for_writing, rows_of
from drmviz.store.lock import WriterLock, holder, is_being_written
from drmviz.store.repairing.account import EVENTS, Account
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.repairing.tables import tables_of
from drmviz.store.repairing.taking import Keep, take_whole_rows
from drmviz.store.schema import APPLICATION_ID, SCHEMA_VERSION, microseconds
from drmviz.store.versions import write_clock

_COMMIT_ROWS = 2000
_TIMES_NAMED = 20
_NO_TABLES = bytes([13, 0, 0, 0, 0])
"""How the page of the schema begins while it lists nothing: a leaf without rows."""
_TAKEN = "something is there already, and a repair writes over nothing"
_ELSEWHERE = "Name another file behind the store: drmviz doctor STORE --repair TO."


def repair(store: str | Path, to: str | Path | None = None) -> tuple[Path, Account]:
    """Copy everything that is whole of a damaged store into a new file; the old one is only read.

    Args:
        store: the history; a `-wal` beside it is taken as far as it is whole.
        to: the new file, or a folder for it; beside the old one, as NAME.repaired.drmviz, where nothing is said.

    Returns:
        Where the new file lies, and what is in it and what is lost.

    Raises:
        StoreBusyError: somebody writes it.
        StoreError: there is no such file, it is something else, or nothing in it is whole.
        OutputError: the new file cannot be written, or something is there already.
    """
    source = Path(store).expanduser()
    target = _target(source, None if to is None else Path(to).expanduser())
    if os.path.lexists(target):
        raise OutputError(target, _TAKEN, remedy=_ELSEWHERE)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with _nobody_writes(source), _opened(source) as pages:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(target, error.strerror or str(error), remedy=_ELSEWHERE) from error
        try:
            account = _written(pages, partial)
            publish(partial, target)
        except FileExistsError as error:
            raise OutputError(target, _TAKEN, remedy=_ELSEWHERE) from error
        except OSError as error:
            raise OutputError(target, error.strerror or str(error), remedy=_ELSEWHERE) from error
        except apsw.Error as error:
            raise OutputError(target, str(error), remedy=_ELSEWHERE) from error
        finally:
            for leftover in ("", "-journal", "-wal", "-shm"):
                partial.with_name(partial.name + leftover).unlink(missing_ok=True)
    return target, account


def examine(store: str | Path) -> Account:
    """Read every page and every checksum of a store and say what is whole; also beside its writer.

    Raises:
        StoreError: there is no such file, it is something else, or a newer version wrote it.
    """
    path = Path(store).expanduser()
    if not is_being_written(path.resolve()):
        with _opened(path) as pages:
            return _taken(pages, lambda _table, _row: None)
    with opened_beside_its_writer(path) as pages:
        return _taken(pages, lambda _table, _row: None)


@contextmanager
def opened_beside_its_writer(path: Path) -> Iterator[PageFile]:
    """Open the pages of a store as they are now, however long it takes and whatever is written meanwhile."""
    reading = ReadConnection(path)
    try:  # while this transaction lasts, nothing that it can see is moved or written over
        reading.connection.execute("BEGIN")
        rows_of(reading.connection, "SELECT count(*) FROM sqlite_schema")
        with _opened(path, is_being_written=True) as pages:
            yield pages
    finally:
        reading.close()


@contextmanager
def _opened(path: Path, *, is_being_written: bool = False) -> Iterator[PageFile]:
    try:
        if not path.is_file():
            reason = "it is a folder" if path.is_dir() else "there is no such file"
            raise StoreError(path, reason, remedy="`drmviz runs` lists what is recorded.")
        pages = PageFile(path, is_being_written=is_being_written)
    except OSError as error:
        raise StoreError(path, f"it cannot be read ({error.strerror})", remedy="Look at its permissions.") from error
    with pages:
        if pages.first is not None:
            _check_ours(pages)
        yield pages


def _check_ours(pages: PageFile) -> None:
    is_marked = pages.has_checksums or pages.header_number(68) == APPLICATION_ID
    if not is_marked and not tables_of(pages)[1]:
        raise StoreError(
            pages.path, "it is not a drmviz store: another program's SQLite file", remedy="Name another file."
        )
    version = pages.header_number(60) or 0
    is_begun = pages.first is not None and pages.first[100:105] == _NO_TABLES and pages.log_loss is None
    if is_marked and not version and is_begun:
        raise StoreError(pages.path, BEGUN, remedy="`drmviz runs` lists what is recorded.")
    if version > SCHEMA_VERSION and is_marked:
        raise StoreError(
            pages.path,
            f"it was written by a newer drmviz (format {version}, this one reads up to {SCHEMA_VERSION})",
            remedy="Upgrade with: pip install -U drmviz",
        )


def _taken(pages: PageFile, keep: Keep) -> Account:
    account = take_whole_rows(pages, keep)
    if pages.first is None and not any(rows.whole for rows in account.rows.values()):
        raise StoreError(
            pages.path, "it is not a drmviz store, or nothing of it is whole", remedy="Name another file, or a backup."
        )
    return account


@contextmanager
def _nobody_writes(store: Path) -> Iterator[None]:
    """Keep writers out meanwhile; where the folder cannot be written, nobody can come."""
    remedy = "Copy it beside its writer with `drmviz backup`, or wait until that ends."
    path = store.resolve()
    if is_being_written(path):
        raise StoreBusyError(store, pid=holder(path), remedy=remedy)
    lock: WriterLock | None = None
    try:
        lock = WriterLock(path)
    except StoreBusyError as error:
        raise StoreBusyError(store, pid=error.pid, remedy=remedy) from error
    except StoreError:
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _target(source: Path, to: Path | None) -> Path:
    if to is None:
        return source.with_name(f"{source.stem}.repaired{source.suffix or '.drmviz'}")
    return to / source.name if to.is_dir() else to


def _written(pages: PageFile, partial: Path) -> Account:
    """Write the new file under its provisional name, and say in it what is lost."""
    try:
        connection = open_for_writing(partial)
    except StoreError as error:
        raise OutputError(partial, error.reason, remedy=_ELSEWHERE) from error
    try:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        connection.execute("PRAGMA synchronous=OFF")  # it is synchronised once, before it gets its name
        sink = _Sink(connection)
        account = _taken(pages, sink.keep)
        if not sink.runs:
            raise StoreDamagedError(
                pages.path, "nothing whole of a drmviz store was found in it", remedy="Name another file, or a backup."
            )
        for run, at_us, sentence in _notes(account, sink.runs):
            sink.keep("note", {"run": run, "at_us": at_us, "sentence": sentence})
        if "clock" not in account.rows:  # of an earlier version, where it is found from the times of the ticks
            write_clock(connection, "main")
        sink.finish()
    finally:
        connection.close()
    return account


class _Sink:
    """Puts rows into the new file; a row that is there already stays as it is."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows = 0
        self._columns: dict[str, frozenset[str]] = {}
        self.runs: set[int] = set()
        connection.execute("BEGIN")

    def keep(self, table: str, row: Mapping[str, Any]) -> None:
        if table not in self._columns:
            self._columns[table] = frozenset(r[1] for r in rows_of(self._connection, f'PRAGMA table_info("{table}")'))
        known = {name: value for name, value in row.items() if name in self._columns[table]}
        if not known:
            return  # a table that this version does not have
        names, places = ", ".join(known), ", ".join("?" * len(known))
        self._connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", tuple(known.values()))
        if table == "run":
            self.runs.add(row["number"])
        self._rows += 1
        if self._rows % _COMMIT_ROWS == 0:
            self._connection.execute("COMMIT; BEGIN")

    def finish(self) -> None:
        self._connection.execute("COMMIT")


def _notes(account: Account, runs: set[int]) -> Iterator[tuple[int, int, str]]:
    """Say to the readers of each run what it lost: (run, microseconds, sentence)."""
    numbers = {run_id: run for run, run_id in account.run_ids.items()}
    told: dict[str, int] = {}
    for loss in account.losses():
        told[loss.run_id] = told.get(loss.run_id, 0) + 1
        if numbers.get(loss.run_id) in runs and told[loss.run_id] <= _TIMES_NAMED:
            what = "all" if loss.is_lost else f"{loss.lost_pieces or 'an unknown number of'} pieces"
            sentence = (
                f"{what} of the {max(0, loss.end_s - loss.start_s):.0f} s from {loss.start_s:.0f} (epoch) were damaged"
            )
            yield numbers[loss.run_id], microseconds(loss.start_s), f"{sentence} and are left out of this repaired copy"
    for run in account.lost_headers & runs:
        yield run, 0, "the header of this run was damaged: its title, its labels and its beginning are unknown"
    for table, said in EVENTS.items():
        for run, count in account.rows[table].lost.items() if table in account.rows else ():
            if run in runs:
                yield run, 0, f"{count} {said} of this run were damaged and are left out of this repaired copy"
    resize = account.rows.get("resize")
    if resize is not None and (resize.pages or resize.refused):
        for run in runs:
            yield run, 0, "changes of capacity were damaged: capacities may be those from before a change"
    for run, count in account.strangers.items():
        if run in runs:
            yield run, 0, f"the names of {count} workers were damaged: what they did is here and is not shown"

"""Opening the file: for the one writer, for readers beside it, and in places that cannot be written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from drmviz.errors import StoreDamagedError, StoreError
from drmviz.model.text import storable
from drmviz.store.pages import RESERVED_BYTES, connect, looks_like_a_store
from drmviz.store.schema import APPLICATION_ID, PAGE_BYTES, SCHEMA_VERSION, TABLES
from drmviz.store.versions import show_as_present, upgrade
from drmviz.store.wal import examine, left_behind, set_aside, wal_path

_NOT_OURS = "it is not a drmviz store"
BEGUN = "nothing is recorded in it: its recorder was ended as it began"
_LISTED = "`drmviz runs` lists what is recorded."
_BUSY_MS = 5000
_KEPT_BYTES = 32 << 20
_LEAST_KEPT_BYTES = 2 << 20
_SMALLEST_BYTES = 512
"""SQLite's smallest page: what is shorter is somebody's, and no database."""


def rows_of(connection: apsw.Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a statement; the schema says what they hold."""
    return connection.execute(statement, tuple(values)).fetchall()


@contextmanager
def one_moment(connection: apsw.Connection) -> Iterator[None]:
    """Read everything inside as it stood at one moment, also where some of it turns out to be damaged."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # SQLite has ended it already where the disk failed
            connection.execute("ROLLBACK")  # a COMMIT fails once a damaged page was met


def open_for_writing(path: Path) -> apsw.Connection:
    """Return a connection to a store that exists from now on; the caller holds its lock.

    Raises:
        StoreError: the file is something else, too new, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if storable(str(path)) != str(path):
            raise StoreError(
                path, "its path is not UTF-8, as SQLite needs it", remedy="Name another place with --store."
            )
        if path.exists() and 0 < path.stat().st_size < _SMALLEST_BYTES:  # SQLite would take it for an empty file
            raise StoreError(path, _NOT_OURS, remedy="Name another file.")
        connection = connect(str(path))
    except (OSError, apsw.Error) as error:
        raise _unwritable(path, error) from error
    try:
        connection.set_busy_timeout(_BUSY_MS)
        if connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.reserve_bytes(reserve=RESERVED_BYTES)
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            _begin_wal(connection, path)
            with connection:
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(TABLES)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        else:
            version = _check_ours(connection, path)
            _begin_wal(connection, path)
            upgrade(connection, version)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA journal_size_limit=0")
    except apsw.Error as error:
        connection.close()
        raise _unreadable(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def keep_damaged_log(path: Path) -> str | None:
    """Copy a damaged write-ahead log aside, before SQLite drops what lies behind the damage; the lock is held.

    Returns:
        What is lost and where the log is kept, in a sentence; None where nothing is lost.

    Raises:
        StoreError: the copy cannot be written.
    """
    try:
        content = examine(path) if wal_path(path).exists() else None
        if content is None or content.loss is None:
            return None
        return f"{content.loss}; the log is kept as {set_aside(path).name}"
    except OSError as error:
        reason = f"its damaged -wal cannot be kept aside ({error.strerror})"
        raise StoreError(path, reason, remedy="Free some space, or name another place with --store.") from error


def _begin_wal(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode=WAL").get != "wal":
        raise StoreError(
            path,
            "its place does not allow readers beside the writer, as network filesystems do not",
            remedy="Name a local place with --store.",
        )
    connection.execute("PRAGMA synchronous=FULL")


class ReadConnection:
    """A read-only connection, whatever the place allows; `close` removes a temporary copy.

    Args:
        path: the store.
        every_page: also those that nothing leads to will be read, as a copy does: some of them were never written.
        among: how many files are open together; all of them keep 32 MiB of verified pages, so that who looks again
            at a window, or at another worker, reads and verifies them once.
    """

    def __init__(self, path: Path, *, every_page: bool = False, among: int = 1) -> None:
        self.path = path
        self.lost = _lost(path)
        """What a damaged write-ahead log has cost, in a sentence; None while somebody writes, and where all is well."""
        self._strict = not every_page
        self._kept_bytes = _LEAST_KEPT_BYTES if every_page else max(_LEAST_KEPT_BYTES, _KEPT_BYTES // among)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        try:
            size = path.stat().st_size
            is_file = path.is_file()
        except FileNotFoundError as error:
            raise StoreError(path, "there is no such file", remedy=_LISTED) from error
        except OSError as error:
            raise _unwritable(path, error) from error
        if not is_file or not size:
            reason = "it is a folder" if path.is_dir() else f"{_NOT_OURS}: it is empty" if is_file else _NOT_OURS
            raise StoreError(path, reason, remedy=_LISTED)
        self.connection = self._opened(path)

    def _opened(self, path: Path) -> apsw.Connection:
        try:
            return self._readable(path, "mode=ro")
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            if not os.access(path, os.R_OK):
                raise _unwritable(path, error) from error
        try:
            return self._opened_where_nothing_can_be_written(path)
        except (apsw.Error, OSError) as error:
            self.close_copy()
            raise _unwritable(path, error) from error
        except StoreError:
            self.close_copy()
            raise

    def _opened_where_nothing_can_be_written(self, path: Path) -> apsw.Connection:
        # A file in WAL mode wants a -shm file beside it, and the folder refuses one. What power loss left of a change
        # of mode is in a journal, which only who may write can undo.
        beside = [path.name + ending for ending in ("-wal", "-journal") if path.with_name(path.name + ending).exists()]
        if not beside:
            return self._readable(path, "mode=ro&immutable=1")
        self._copy = tempfile.TemporaryDirectory(prefix="drmviz-")
        for name in (path.name, *beside):
            shutil.copyfile(path.with_name(name), Path(self._copy.name, name))
        return self._readable(Path(self._copy.name, path.name), "mode=rw")

    def _readable(self, path: Path, mode: str) -> apsw.Connection:
        uri = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"
        access = apsw.SQLITE_OPEN_READONLY if "ro" in mode else apsw.SQLITE_OPEN_READWRITE
        connection = connect(uri, flags=access | apsw.SQLITE_OPEN_URI, strict=self._strict)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            # The last one to close would move the write-ahead log into the file, which a reader may not.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            show_as_present(connection, self._check_ours(connection))
            connection.execute(f"PRAGMA cache_size={-self._kept_bytes // 1024}")
        except (apsw.CantOpenError, apsw.ReadOnlyError, StoreError):
            connection.close()
            raise
        except apsw.Error as error:
            connection.close()
            raise _unreadable(self.path, error) from error
        return connection

    def _check_ours(self, connection: apsw.Connection) -> int:
        try:
            return _check_ours(connection, self.path)
        except StoreError as error:
            if self.lost and looks_like_a_store(self.path):  # what made it ours is in the log that is lost
                raise damaged(self.path, self.lost) from error
            raise

    def close(self) -> None:
        """Close it; calling it again does nothing."""
        self.connection.close()
        self.close_copy()

    def close_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()


def _lost(path: Path) -> str | None:
    try:
        content = left_behind(path)
    except OSError:
        return None  # it will not let SQLite read it either, which is told then
    return None if content is None else content.loss


def _is_begun(connection: apsw.Connection) -> bool:
    """Tell whether a file is what `open_for_writing` leaves where it is cut off before the tables are in."""
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    return is_empty and connection.reserve_bytes() == RESERVED_BYTES


def _check_ours(connection: apsw.Connection, path: Path) -> int:
    """Return the version of the file, or raise StoreError where this program cannot read it."""
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        if _is_begun(connection):
            raise StoreError(path, BEGUN, remedy=_LISTED)
        raise StoreError(path, f"{_NOT_OURS}: another program's SQLite file", remedy="Name another file.")
    version: int = connection.execute("PRAGMA user_version").get
    if version > SCHEMA_VERSION:
        raise StoreError(
            path,
            f"it was written by a newer drmviz (format {version}, this one reads up to {SCHEMA_VERSION})",
            remedy="Upgrade with: pip install -U drmviz",
        )
    return version


def damaged(path: Path, error: Exception | str) -> StoreDamagedError:
    """Return the error that says what of a store cannot be read."""
    return StoreDamagedError(
        path, f"it is damaged ({error})", remedy="`drmviz doctor --repair` writes a new file of what is whole."
    )


def _unreadable(path: Path, error: apsw.Error) -> StoreError:
    if isinstance(error, apsw.NotADBError):
        return damaged(path, error) if looks_like_a_store(path) else StoreError(path, _NOT_OURS, remedy=_LISTED)
    return damaged(path, error) if isinstance(error, apsw.CorruptError) else _unwritable(path, error)


def _unwritable(path: Path, error: OSError | apsw.Error) -> StoreError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return StoreError(path, f"it cannot be opened ({reason})", remedy="Name another place with --store.")

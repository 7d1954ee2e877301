"""Opening the file: for the one writer, for readers beside it, and in places that cannot be written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from drmviz.errors import StoreError
from drmviz.model.text import storable
from drmviz.store.schema import APPLICATION_ID, PAGE_BYTES, SCHEMA_VERSION, TABLES
from drmviz.store.versions import show_as_present, upgrade

_NOT_OURS = "it is not a drmviz store"
_LISTED = "`drmviz runs` lists what is recorded."
_BUSY_MS = 5000
_SMALLEST_BYTES = 512
"""SQLite's smallest page: what is shorter is somebody's, and no database."""


def rows_of(connection: apsw.Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a statement; the schema says what they hold."""
    return connection.execute(statement, tuple(values)).fetchall()


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
        connection = apsw.Connection(str(path))
    except (OSError, apsw.Error) as error:
        raise _unwritable(path, error) from error
    try:
        connection.set_busy_timeout(_BUSY_MS)
        if connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
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


def _begin_wal(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode=WAL").get != "wal":
        raise StoreError(
            path,
            "its place does not allow readers beside the writer, as network filesystems do not",
            remedy="Name a local place with --store.",
        )
    connection.execute("PRAGMA synchronous=FULL")


class ReadConnection:
    """A read-only connection, whatever the place allows; `close` removes a temporary copy."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
            return _readable(path, "mode=ro")
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            if not os.access(path, os.R_OK):
                raise _unwritable(path, error) from error
        try:
            return self._opened_where_nothing_can_be_written(path)
        except (apsw.Error, OSError) as error:
            self.close_copy()
            raise _unwritable(path, error) from error

    def _opened_where_nothing_can_be_written(self, path: Path) -> apsw.Connection:
        # A file in WAL mode wants a -shm file beside it, and the folder refuses one.
        if not path.with_name(path.name + "-wal").exists():
            return _readable(path, "mode=ro&immutable=1")
        self._copy = tempfile.TemporaryDirectory(prefix="drmviz-")
        for name in (path.name, path.name + "-wal"):
            shutil.copyfile(path.with_name(name), Path(self._copy.name, name))
        return _readable(Path(self._copy.name, path.name), "mode=rw", named=path)

    def close(self) -> None:
        """Close it; calling it again does nothing."""
        self.connection.close()
        self.close_copy()

    def close_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()


def _readable(path: Path, mode: str, *, named: Path | None = None) -> apsw.Connection:
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"
    connection = apsw.Connection(
        uri,
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        if "ro" in mode
        else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI,
    )
    try:
        connection.set_busy_timeout(_BUSY_MS)
        show_as_present(connection, _check_ours(connection, named or path))
    except (apsw.CantOpenError, apsw.ReadOnlyError, StoreError):
        connection.close()
        raise
    except apsw.Error as error:
        connection.close()
        raise _unreadable(named or path, error) from error
    return connection


def _check_ours(connection: apsw.Connection, path: Path) -> int:
    """Return the version of the file, or raise StoreError where this program cannot read it."""
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        raise StoreError(path, f"{_NOT_OURS}: another program's SQLite file", remedy="Name another file.")
    version: int = connection.execute("PRAGMA user_version").get
    if version > SCHEMA_VERSION:
        raise StoreError(
            path,
            f"it was written by a newer drmviz (format {version}, this one reads up to {SCHEMA_VERSION})",
            remedy="Upgrade with: pip install -U drmviz",
        )
    return version


def _unreadable(path: Path, error: apsw.Error) -> StoreError:
    if isinstance(error, apsw.NotADBError):
        return StoreError(path, _NOT_OURS, remedy=_LISTED)
    if isinstance(error, apsw.CorruptError):
        return StoreError(path, f"it is damaged ({error})", remedy="`drmviz doctor` says what can be read of it.")
    return _unwritable(path, error)


def _unwritable(path: Path, error: OSError | apsw.Error) -> StoreError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return StoreError(path, f"it cannot be opened ({reason})", remedy="Name another place with --store.")

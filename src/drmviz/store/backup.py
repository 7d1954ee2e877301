"""A copy of a store, also while it is written: one file that shows one moment."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from drmviz.errors import OutputError
from drmviz.store.connections import ReadConnection, damaged
from drmviz.store.pages import RESERVED_BYTES, connect


def back_up(store: str | Path, to: str | Path) -> Path:
    """Copy a store as it is at this moment, beside its writer, and return where the copy lies.

    Args:
        store: the history to copy; whoever writes it goes on.
        to: the new file, or a folder that gets one of the same name.

    Raises:
        StoreError: there is no such store, or it cannot be read.
        StoreDamagedError: SQLite cannot read some of its pages; no copy is left.
        OutputError: the copy cannot be written, or something is there already.
    """
    source = Path(store).expanduser()
    target = Path(to).expanduser()
    if target.is_dir():
        target /= source.name
    if os.path.lexists(target):
        raise OutputError(target, "something is there already, and a backup writes over nothing")
    reading = ReadConnection(source, every_page=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(exist_ok=False)
        _copy(reading.connection, partial)
        publish(partial, target)
    except apsw.CorruptError as error:
        raise damaged(source, error) from error
    except FileExistsError as error:
        raise OutputError(target, "something is there already, and a backup writes over nothing") from error
    except OSError as error:
        raise OutputError(target, error.strerror or str(error)) from error
    except apsw.Error as error:
        raise OutputError(target, str(error)) from error
    finally:
        reading.close()
        for leftover in ("", "-journal", "-wal", "-shm"):
            partial.with_name(partial.name + leftover).unlink(missing_ok=True)
    return target


def _copy(source: apsw.Connection, partial: Path) -> None:
    is_checked = source.reserve_bytes() == RESERVED_BYTES
    copy = connect(str(partial), new=is_checked)
    try:
        with copy.backup("main", source, "main") as pages:
            pages.step(-1)  # all in one read transaction: a copy in slices would begin anew with each tick
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, readable where nothing can be written
    finally:
        copy.close()


def publish(partial: Path, target: Path) -> None:
    """Give the finished copy its name, durably, and only if that is still free."""
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    os.link(partial, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

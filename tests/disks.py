"""Disks that fill up, fail, are slow or lose power, under the real engine: a VFS that is the default while in use.

It works below whatever VFS the product itself adds, as those inherit the default one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import apsw

Kind = Literal["main", "wal", "journal", "other"]
SECTOR_BYTES = 512

_NUMBERS = count(1)
_KINDS: tuple[tuple[int, Kind], ...] = (
    (apsw.SQLITE_OPEN_MAIN_DB, "main"),
    (apsw.SQLITE_OPEN_WAL, "wal"),
    (apsw.SQLITE_OPEN_MAIN_JOURNAL, "journal"),
)


class Disk(apsw.VFS):
    """Every file that the engine opens while this is the default; what it shall do wrong can be changed at any time."""

    def __init__(self) -> None:
        self.base = apsw.vfs_names()[0]
        self.name = f"disk-{next(_NUMBERS)}"
        self.capacity_bytes: int | None = None
        """How many bytes all files together may have; None is no end."""
        self.longest_wal_bytes: int | None = None
        """How far a write-ahead log may grow, as where others took the rest of the disk."""
        self.fails_to_write: Callable[[Kind], bool] = _never
        self.fails_to_sync: Callable[[Kind], bool] = _never
        self.fails_to_read: Callable[[Kind], bool] = _never
        self.before_sync: Callable[[Kind], None] = _nothing
        """Called before each sync; it may move a clock, as a slow disk does."""
        self.sizes: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        """Which file a path leads to now."""
        self.log: list[Event] | None = None
        """What happened to the files since somebody began to record it."""
        self.refused = 0
        super().__init__(self.name, self.base, makedefault=True)

    @property
    def used_bytes(self) -> int:
        return sum(self.sizes.values())

    def happened(self, event: Event) -> None:
        if self.log is not None:
            self.log.append(event)

    def refuse(self, code: int) -> None:
        self.refused += 1
        error = apsw.exception_for(code)
        error.args = ("database or disk is full" if code == apsw.SQLITE_FULL else "disk I/O error",)
        raise error

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        return isinstance(evalue, apsw.Error)  # injected where SQLite goes on without: nothing to report

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  as SQLite calls it
        if name is None:
            return apsw.VFSFile(self.base, name, flags)
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(name, syncdir)
        self.sizes.pop(name, None)
        self.happened(Deleted(Path(name).name, is_synced=bool(syncdir)))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path: str = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._kind: Kind = next((kind for flag, kind in _KINDS if flags[0] & flag), "other")
        path = Path(self._path)
        is_new = not path.exists()
        super().__init__(disk.base, name, flags)
        disk.sizes.setdefault(self._path, 0 if is_new else path.stat().st_size)
        if is_new or self._path not in disk.numbers:
            disk.numbers[self._path] = next(_NUMBERS)
        self._file = disk.numbers[self._path]
        if is_new:
            disk.happened(Created(path.name, self._file))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._disk.fails_to_read(self._kind):
            self._disk.refuse(apsw.SQLITE_IOERR_READ)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        disk = self._disk
        if disk.fails_to_write(self._kind):
            disk.refuse(apsw.SQLITE_IOERR_WRITE)
        size = max(disk.sizes[self._path], offset + len(data))
        if self._kind == "wal" and disk.longest_wal_bytes is not None and size > disk.longest_wal_bytes:
            disk.refuse(apsw.SQLITE_FULL)
        if disk.capacity_bytes is not None and disk.used_bytes - disk.sizes[self._path] + size > disk.capacity_bytes:
            disk.refuse(apsw.SQLITE_FULL)
        super().xWrite(data, offset)
        disk.sizes[self._path] = size
        disk.happened(Wrote(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._disk.sizes[self._path] = newsize
        self._disk.happened(Cut(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.before_sync(self._kind)
        if self._disk.fails_to_sync(self._kind):
            self._disk.refuse(apsw.SQLITE_IOERR_FSYNC)
        if self._disk.log is None:
            super().xSync(flags)  # while a log is kept nothing but the log tells what would be left: no need to wait
        self._disk.happened(Synced(self._file, with_folder=self._kind in ("wal", "journal")))


def _never(kind: Kind) -> bool:
    return False


def _nothing(kind: Kind) -> None:
    return None


@contextmanager
def disk() -> Iterator[Disk]:
    """Give a disk that holds every file opened from now on, until the end of the block."""
    made = Disk()
    try:
        yield made
    finally:
        made.unregister()


@dataclass(frozen=True, slots=True)
class Created:
    """A name in the folder leads to a new file from now on; `file` numbers it, whatever its name."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Deleted:
    name: str
    is_synced: bool


@dataclass(frozen=True, slots=True)
class Wrote:
    file: int
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    file: int
    with_folder: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Something the program told the world, such as that a tick is durable."""

    what: str
    number: int


Event = Created | Deleted | Wrote | Cut | Synced | Said
_Change = Created | Deleted | Wrote | Cut


@dataclass(slots=True)
class _Files:
    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytearray] = field(default_factory=dict)

    def apply(self, change: _Change) -> None:
        match change:
            case Created(name, file):
                self.names[name] = file
            case Deleted(name):
                self.names.pop(name, None)
            case Cut(file, size):
                del self.contents.setdefault(file, bytearray())[size:]
            case Wrote(file, offset, content):
                held = self.contents.setdefault(file, bytearray())
                if len(held) < offset:
                    held.extend(bytes(offset - len(held)))
                held[offset : offset + len(content)] = content

    def copy(self) -> _Files:
        return _Files(dict(self.names), {file: bytearray(content) for file, content in self.contents.items()})


@dataclass(slots=True)
class Platter:
    """What is certainly on the disk at some point of a log, and what may be there as well.

    A sync makes the earlier changes of its file certain; changes of the folder (files created and deleted) become
    certain in their order, with a journal or a -wal that is synced or with a deletion that asks for it.
    """

    _certain: _Files = field(default_factory=_Files)
    _pending: list[_Change] = field(default_factory=list)

    def happen(self, event: Event) -> None:
        """Take one event of the log."""
        match event:
            case Said():
                pass
            case Synced(file, with_folder):
                self._settle(file, with_folder=with_folder)
            case Deleted(_, is_synced):
                self._pending.append(event)
                if is_synced:
                    self._settle(None, with_folder=True)
            case _:
                self._pending.append(event)

    def _settle(self, file: int | None, *, with_folder: bool) -> None:
        kept: list[_Change] = []
        for change in self._pending:
            if with_folder if isinstance(change, Created | Deleted) else change.file == file:
                self._certain.apply(change)
            else:
                kept.append(change)
        self._pending = kept

    def after_power_loss(self, seeded: random.Random) -> dict[str, bytes]:
        """Return the files that power loss leaves: of what is not certain any sectors, in any order, or none."""
        files = self._certain.copy()
        of_folder = sum(isinstance(change, Created | Deleted) for change in self._pending)
        in_time = seeded.randint(0, of_folder)
        survives = seeded.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for change in self._pending:
            match change:
                case Created() | Deleted():
                    in_time -= 1
                    if in_time >= 0:
                        files.apply(change)
                case Cut():
                    if seeded.random() < survives:
                        files.apply(change)
                case Wrote(file, offset, content):
                    for start, end in _sectors(offset, len(content)):
                        if seeded.random() < survives:
                            files.apply(Wrote(file, start, content[start - offset : end - offset]))
        return {name: bytes(files.contents.get(file, b"")) for name, file in files.names.items()}


def _sectors(offset: int, length: int) -> Iterator[tuple[int, int]]:
    start = offset
    while start < offset + length:
        end = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, offset + length)
        yield start, end
        start = end

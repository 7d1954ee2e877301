"""A checksum at the end of every page of a new store: written as SQLite writes the page, verified as it reads it."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import apsw

from drmviz.store.schema import APPLICATION_ID, PAGE_BYTES

RESERVED_BYTES = 8
"""What SQLite leaves free at the end of each page; byte 20 of a file says so."""
CONTENT_BYTES = PAGE_BYTES - RESERVED_BYTES
MAGIC = b"DRMp"

_HEADER_BYTES = 100
_RESERVED_AT, _APPLICATION_AT = 20, 68
_EMPTY = bytes(PAGE_BYTES)
_numbers = itertools.count()
_read, _write = apsw.VFSFile.xRead, apsw.VFSFile.xWrite


def trailer(page: bytes | memoryview, number: int) -> bytes:
    """Return what the last eight bytes of page `number` (from 1) are to be: CRC-32, seeded with the number, and magic.

    A page that lies where another one belongs is found by the seed.
    """
    return zlib.crc32(memoryview(page)[:CONTENT_BYTES], number).to_bytes(4, "little") + MAGIC


def is_whole(page: bytes, number: int) -> bool:
    """Tell whether a page is there in full and matches its checksum."""
    return len(page) == PAGE_BYTES and page[CONTENT_BYTES:] == trailer(page, number)


def is_checked(first_page: bytes) -> bool:
    """Tell from its first page (8192 bytes, or what is left of them) whether the pages of a file carry checksums.

    Either mark is enough: damage to one of them must not switch the checks off.
    """
    says_so = first_page[_RESERVED_AT : _RESERVED_AT + 1] == bytes([RESERVED_BYTES])
    is_ours = first_page[_APPLICATION_AT : _APPLICATION_AT + 4] == APPLICATION_ID.to_bytes(4, "big")
    return (says_so and is_ours) or (first_page[-len(MAGIC) :] == MAGIC and len(first_page) == PAGE_BYTES)


def looks_like_a_store(path: Path) -> bool:
    """Tell whether the first page of a file, damaged as it may be, was written by us."""
    with path.open("rb") as file:
        first = file.read(PAGE_BYTES)
    return is_checked(first) or first[_APPLICATION_AT : _APPLICATION_AT + 4] == APPLICATION_ID.to_bytes(4, "big")


class _Pages(apsw.VFS):
    """Lies over a file system that SQLite knows, and looks at the pages of the main file only."""

    def __init__(self, name: str, base: str, *, strict: bool, new: bool) -> None:
        super().__init__(name, base)
        self.name = name
        self._base = base
        self._strict = strict
        self._new = new

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  SQLite's name
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _MainFile(self._base, name, flags, strict=self._strict, checked=True if self._new else None)
        return apsw.VFSFile(self._base, name, flags)


class _MainFile(apsw.VFSFile):
    def __init__(
        self, base: str, name: str | apsw.URIFilename | None, flags: list[int], *, strict: bool, checked: bool | None
    ) -> None:
        super().__init__(base, name, flags)
        self._strict = strict
        self._checked = checked

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  SQLite's name
        if offset + amount <= _HEADER_BYTES or not (self._checked or self._is_checked()):
            return _read(self, amount, offset)
        inside = offset % PAGE_BYTES
        number = offset // PAGE_BYTES + 1
        page = _read(self, PAGE_BYTES, offset - inside)
        if page[CONTENT_BYTES:] != trailer(page, number) and (self._strict or page.strip(b"\0")):
            raise apsw.CorruptError(
                f"page {number} does not match its checksum: it was damaged, or another program wrote into the file"
            )
        return page if amount == PAGE_BYTES else page[inside : inside + amount]

    def xDeviceCharacteristics(self) -> int:  # noqa: N802  SQLite's name
        """Have SQLite keep pages of BLOBs for a reader: what it may read in parts it reads past its cache."""
        able = super().xDeviceCharacteristics()
        return able & ~apsw.SQLITE_IOCAP_SUBPAGE_READ if self._strict else able

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite's name
        if offset == 0 and self._checked is None:
            self._checked = data[_RESERVED_AT] == RESERVED_BYTES
        # A page that was never used is copied as it is: with a checksum it would pass for one that was written.
        if len(data) == PAGE_BYTES and (self._checked or self._is_checked()) and data != _EMPTY:
            data = data[:CONTENT_BYTES] + trailer(data, offset // PAGE_BYTES + 1)
        _write(self, data, offset)

    def _is_checked(self) -> bool:
        """Look once: a file keeps what it was made with. None is asked again, for there is no first page yet."""
        if self._checked is None:
            first = _read(self, PAGE_BYTES, 0)
            if not first:
                return False
            self._checked = is_checked(first)
        return self._checked


def connect(
    filename: str,
    *,
    flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
    strict: bool = False,
    new: bool = False,
) -> apsw.Connection:
    """Return a connection that writes and verifies checksums, over whatever file system is SQLite's default now.

    Args:
        filename: a path, or a URI where `flags` allow one.
        flags: as SQLite takes them.
        strict: a page that was never written is damage too: right for who only follows the tables. A writer and a
            copy meet such pages in the free list.
        new: the file is made with checksums, whatever stands in it; otherwise the file says whether it has them.

    Raises:
        apsw.Error: it cannot be opened.
    """
    checks = _Pages(f"drmviz-pages-{next(_numbers)}", apsw.vfs_names()[0], strict=strict, new=new)
    try:
        return apsw.Connection(filename, flags=flags, vfs=checks.name)
    finally:
        checks.unregister()  # the connection keeps it; left in SQLite's list it might become the default itself

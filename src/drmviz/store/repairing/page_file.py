"""The pages of a store as its last commit left them, read without SQLite, so that a bad one stops nothing."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from drmviz.store.pages import RESERVED_BYTES, is_whole
from drmviz.store.schema import PAGE_BYTES
from drmviz.store.wal import Committed, committed, examine, wal_path

_MAGIC = b"SQLite format 3\0"
_LOOKED_AT = 64
_POINTER_BYTES = 5
_OVERFLOWS = (3, 4)
ROOT_PAGE, FREE_PAGE, NODE_PAGE = 1, 2, 5
"""What the pointer map says of a page: the root of a tree, unused, or another node of a tree."""


class PageFile:
    """A store file and the `-wal` beside it, opened for reading only; changes nothing of either."""

    def __init__(self, path: Path, *, is_being_written: bool = False) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self._file = path.open("rb")
        self._log_file: BinaryIO | None = None
        try:
            header = self._file.read(100)
            self.page_bytes = _page_bytes(header)
            self._log_file = _log_of(path, copied=is_being_written)
            self.log = Committed(offset_of={}, pages=0, commits=0)
            self.log_loss: str | None = None
            """What of the `-wal` is lost; unknown while its last frames are being written as they are read."""
            if self._log_file is not None and self.page_bytes == PAGE_BYTES:
                self.log = committed(self._log_file)
                content = None if is_being_written else examine(path)
                self.log_loss = None if content is None else content.loss
        except BaseException:
            self._close()
            raise
        there = max(-(-self.size_bytes // self.page_bytes), *self.log.offset_of, 0)
        self.count = min(self.log.pages or there, there)
        """Pages of the database; of a file that was cut, those that are left."""
        self.has_checksums = self._finds_checksums()
        self.first = self.read(1)
        """Page 1 with the header of the file; None where it cannot be trusted."""
        if self.first is not None and not self.first.startswith(_MAGIC):
            self.first = None
        stated = 0 if self.first is None else self.first[20]
        reserved = RESERVED_BYTES if self.has_checksums else stated if stated <= 32 else 0
        self.usable_bytes = self.page_bytes - reserved
        self.has_pointers = self.first is None or self.header_number(52) != 0

    def __enter__(self) -> PageFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._file.close()
        if self._log_file is not None:
            self._log_file.close()

    def header_number(self, offset: int) -> int | None:
        """Return a 32 bit number of the file's header; None where the header is lost."""
        return None if self.first is None else int.from_bytes(self.first[offset : offset + 4], "big")

    def read(self, number: int) -> bytes | None:
        """Return a page; None where it is not there whole, or its checksum says that it is not what was written."""
        if not 1 <= number <= self.count:
            return None
        offset = self.log.offset_of.get(number)
        if offset is not None and self._log_file is not None:  # the checksums of its frames were verified
            return os.pread(self._log_file.fileno(), self.page_bytes, offset)
        page = os.pread(self._file.fileno(), self.page_bytes, (number - 1) * self.page_bytes)
        if len(page) < self.page_bytes or (self.has_checksums and not is_whole(page, number)):
            return None
        return page

    def _finds_checksums(self) -> bool:
        """Tell whether pages carry checksums: one page whose own is right cannot be an accident."""
        step = max(1, self.count // _LOOKED_AT)
        for number in {1, *range(1, self.count + 1, step)}:
            page = os.pread(self._file.fileno(), self.page_bytes, (number - 1) * self.page_bytes)
            if is_whole(page, number):
                return True
        return False

    # The pointer map: every so many pages, one that says of each of the next what it is and what points to it.

    def pointer(self, number: int) -> tuple[int, int] | None:
        """Return what the pointer map says of a page: (kind, parent); None where that cannot be known."""
        if not self.has_pointers or number < 3:
            return None
        of = self._pointer_page(number)
        page = self._remembered(of)
        if page is None or of == number:
            return None
        at = _POINTER_BYTES * (number - of - 1)
        kind, parent = struct.unpack_from(">BI", page, at)
        return (kind, parent) if ROOT_PAGE <= kind <= NODE_PAGE else None

    @property
    def known_count(self) -> int:
        """How many pages anything is known of: of a file that was cut, the map goes on behind its end."""
        stated = self.header_number(28) or 0
        return max(self.count, min(stated, self.count + self.usable_bytes // _POINTER_BYTES))

    def is_no_node(self, number: int) -> bool:
        """Tell whether a page is known to be no node of a tree: unused, the rest of a long row, or a map itself."""
        if number == self._locked_page or (self.has_pointers and number > 1 and self._pointer_page(number) == number):
            return True
        pointer = self.pointer(number)
        return pointer is not None and (pointer[0] == FREE_PAGE or pointer[0] in _OVERFLOWS)

    def unused(self) -> tuple[set[int], bool]:
        """Return the pages of the freelist, and whether all of it could be read."""
        found: set[int] = set()
        trunk = self.header_number(32)
        if trunk is None:
            return found, False
        while trunk and trunk not in found:
            found.add(trunk)
            page = self.read(trunk)
            if page is None:
                return found, False
            trunk, count = struct.unpack_from(">II", page)
            if count > self.usable_bytes // 4 - 2:
                return found, False
            found.update(struct.unpack_from(f">{count}I", page, 8))
        return found, len(found) == self.header_number(36)

    @property
    def _locked_page(self) -> int:
        return 0x40000000 // self.page_bytes + 1  # SQLite locks these bytes and keeps nothing in them

    def _pointer_page(self, number: int) -> int:
        each = self.usable_bytes // _POINTER_BYTES + 1
        of = (number - 2) // each * each + 2
        return of + 1 if of == self._locked_page else of

    def _remembered(self, number: int) -> bytes | None:
        if self._last_map[0] != number:
            self._last_map = (number, self.read(number))
        return self._last_map[1]

    _last_map: tuple[int, bytes | None] = (0, None)

    def damaged_pages(self) -> Iterator[int]:
        """Yield pages that hold something and do not match their checksum; unused ones may never have been written."""
        unused, _ = self.unused()
        for number in range(1, self.count + 1):
            if self.read(number) is None and number not in unused and number != self._locked_page:
                pointer = self.pointer(number)
                if pointer is None or pointer[0] != FREE_PAGE:
                    yield number


def _page_bytes(header: bytes) -> int:
    """Return the size of a page as the header states it; ours where it makes no sense."""
    if header.startswith(_MAGIC):
        stated = int.from_bytes(header[16:18], "big")
        stated = 65536 if stated == 1 else stated
        if 512 <= stated <= 65536 and stated & (stated - 1) == 0:
            return stated
    return PAGE_BYTES


def _log_of(path: Path, *, copied: bool) -> BinaryIO | None:
    try:
        file = wal_path(path).open("rb")
    except FileNotFoundError:
        return None
    if not copied:
        return file
    # Its writer may begin it anew while we read: a copy is good when its beginning did not change meanwhile.
    with file:
        while True:
            copy = tempfile.TemporaryFile()  # noqa: SIM115  closed with the pages
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            if os.pread(file.fileno(), 32, 0) == copy.read(32):
                return copy
            copy.close()

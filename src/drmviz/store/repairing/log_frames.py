"""The committed frames of a write-ahead log that was left behind: which content of a page is the newest."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

_HEADER = struct.Struct(">8I")  # magic, format, page size, checkpoint, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages after this commit or 0, two salts, two checksums
_MAGIC = 0x377F0682  # the lowest bit says that checksums take big-endian words


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What SQLite itself would take of a `-wal` file: whole commits, up to the first frame that is not what it was."""

    offset_of: dict[int, int] = field(default_factory=dict)
    """Where in the file the newest committed content of a page stands, by its number."""
    pages: int | None = None
    """How many pages the database has after the last commit; None where there is no commit."""
    commits: int = 0
    commits_behind_damage: int = 0
    """Commits at and behind the first damaged frame: written, and not to be had any more."""
    is_header_damaged: bool = False


def read_log(file: BinaryIO, *, page_bytes: int) -> Log:
    """Read the frames of a log; one that belongs to other pages than these has none."""
    file.seek(0)
    head = file.read(_HEADER.size)
    if not head:
        return Log()
    if len(head) < _HEADER.size:
        return Log(is_header_damaged=True)
    magic, _, stated_bytes, _, *salts, first, second = _HEADER.unpack(head)
    order = ">" if magic & 1 else "<"
    checksum = _checksum(head[:24], (0, 0), order)
    if magic & ~1 != _MAGIC or checksum != (first, second) or stated_bytes != page_bytes:
        return Log(is_header_damaged=True)
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    pages, commits, lost = None, 0, 0
    is_whole = True
    while len(frame := file.read(_FRAME.size + page_bytes)) >= _FRAME.size:
        page, size, *of, first, second = _FRAME.unpack_from(frame)
        if of != salts or not page:
            is_whole = False  # of an earlier round of the log, unless its header is what was hit
            continue
        if len(frame) < _FRAME.size + page_bytes:
            break  # torn as it was written: never acknowledged
        if is_whole:
            checksum = _checksum(frame[_FRAME.size :], _checksum(frame[:8], checksum, order), order)
            is_whole = checksum == (first, second)
        if not is_whole:
            lost += size != 0
            continue
        pending[page] = file.tell() - page_bytes
        if size:
            committed |= pending
            pending = {}
            pages = size
            commits += 1
    offset_of = {page: offset for page, offset in committed.items() if page <= (pages or 0)}
    return Log(offset_of=offset_of, pages=pages, commits=commits, commits_behind_damage=lost)


def _checksum(content: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second

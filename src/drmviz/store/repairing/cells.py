"""Rows of one page of a b-tree, as the file format of SQLite lays them out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 0x02, 0x05, 0x0A, 0x0D
INTERIORS, LEAVES = (INDEX_INTERIOR, TABLE_INTERIOR), (INDEX_LEAF, TABLE_LEAF)
INDEXES = (INDEX_INTERIOR, INDEX_LEAF)
_FILE_HEADER_BYTES = 100
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

ReadPage = Callable[[int], bytes | None]


class MalformedError(ValueError):
    """A page, or a row of it, is not laid out as SQLite lays it out."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a page."""

    rowid: int | None
    """None in an index, and in the tables that are one."""
    values: tuple[Any, ...]
    child: int = 0
    """The page of what comes before it, in an interior page."""
    broken_at: int = 0
    """The page that its rest should stand in and does not; then `values` end where the rest begins."""


def kind_of(page: bytes, number: int) -> int:
    return page[_FILE_HEADER_BYTES if number == 1 else 0]


def last_child(page: bytes, number: int) -> int:
    """Return the page behind the last cell of an interior page."""
    start = _FILE_HEADER_BYTES if number == 1 else 0
    return int.from_bytes(page[start + 8 : start + 12], "big")


def cells(page: bytes, number: int, usable_bytes: int, read: ReadPage) -> Iterator[Cell | MalformedError]:
    """Yield the cells of a page in their order; in place of one that makes no sense, the error that says why.

    Raises:
        MalformedError: the page has no cells that could be found.
    """
    start = _FILE_HEADER_BYTES if number == 1 else 0
    kind = page[start]
    if kind not in INTERIORS + LEAVES:
        raise MalformedError(f"page {number} is no node of a tree")
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    pointers = start + (12 if kind in INTERIORS else 8)
    if pointers + 2 * count > usable_bytes:
        raise MalformedError(f"page {number} says that it has {count} rows")
    for at in struct.unpack_from(f">{count}H", page, pointers):
        if not pointers + 2 * count <= at < usable_bytes:
            yield MalformedError(f"a row of page {number} lies outside of it")
            continue
        try:
            yield _cell(page, at, kind, usable_bytes, read)
        except (MalformedError, IndexError, struct.error, UnicodeDecodeError) as error:
            yield MalformedError(f"a row of page {number} is malformed ({error})")


def _cell(page: bytes, at: int, kind: int, usable_bytes: int, read: ReadPage) -> Cell:
    child = 0
    if kind in INTERIORS:
        child = int.from_bytes(page[at : at + 4], "big")
        at += 4
    if kind == TABLE_INTERIOR:
        return Cell(_varint(page, at)[0], (), child)
    length, at = _varint(page, at)
    rowid = None
    if kind == TABLE_LEAF:
        rowid, at = _varint(page, at)
    if length < 1:
        raise MalformedError(f"its length is {length}")
    local = _local_bytes(length, kind, usable_bytes)
    if at + local + (4 if local < length else 0) > usable_bytes:
        raise MalformedError("it is longer than its page")
    payload = page[at : at + local]
    broken_at = 0
    if local < length:
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        rest, broken_at = _rest(following, length - local, usable_bytes, read)
        payload = payload if broken_at else payload + rest
    return Cell(rowid, _record(payload, is_whole=not broken_at), child, broken_at)


def _local_bytes(length: int, kind: int, usable_bytes: int) -> int:
    """Return how much of a row stands in the page itself; the rest stands in overflow pages."""
    most = usable_bytes - 35 if kind == TABLE_LEAF else (usable_bytes - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (usable_bytes - 12) * 32 // 255 - 23
    surplus = least + (length - least) % (usable_bytes - 4)
    return surplus if surplus <= most else least


def _rest(number: int, length: int, usable_bytes: int, read: ReadPage) -> tuple[bytes, int]:
    """Return what overflow pages hold of a row, and the page that stopped that, 0 where none did."""
    parts: list[bytes] = []
    seen: set[int] = set()
    left = length
    while left > 0:
        page = read(number)
        if page is None or number in seen:  # a chain of pages that bites its own tail ends nowhere
            return b"", number or 1
        seen.add(number)
        part = page[4 : min(usable_bytes, 4 + left)]
        parts.append(part)
        left -= len(part)
        number = int.from_bytes(page[:4], "big")
    return b"".join(parts), 0


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where the next thing begins."""
    value = 0
    for place in range(at, at + 8):
        byte = content[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    value = value << 8 | content[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9


def _record(payload: bytes, *, is_whole: bool) -> tuple[Any, ...]:
    """Return the values of a row; of one whose rest is missing, those that stand before it."""
    end, at = _varint(payload, 0)
    body = end
    values: list[Any] = []
    while at < end:
        serial = payload[at]
        if serial < 0x80:
            at += 1
        else:
            serial, at = _varint(payload, at)
        if serial in _INTEGERS:
            size = _INTEGERS[serial]
        elif serial == 7:
            size = 8
        elif serial in (0, 8, 9):
            size = 0
        elif serial >= 12:
            size = (serial - 12) // 2
        else:
            raise MalformedError(f"a value has the unknown type {serial}")
        if body + size > len(payload):
            if is_whole:
                raise MalformedError("its values are longer than the row")
            break
        values.append(_value(serial, payload[body : body + size]))
        body += size
    if is_whole and body != len(payload):
        raise MalformedError("its values are shorter than the row")
    return tuple(values)


def _value(serial: int, content: bytes) -> Any:
    if serial == 0:
        return None
    if serial in (8, 9):
        return serial - 8
    if serial == 7:
        return struct.unpack(">d", content)[0]
    if serial < 12:
        return int.from_bytes(content, "big", signed=True)
    return content.decode() if serial % 2 else content

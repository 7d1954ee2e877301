"""Reads the rows of a table that lie on whole pages, where some of its pages are damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from drmviz.store.connections import rows_of

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Readable:
    """The rows that can be read; `damage` says in words why it is not all of them."""

    rows: list[tuple[Any, ...]]
    lost: list[int] | None
    """Where rows are missing, by the column that was asked to name it; None where that cannot be told."""
    damage: str | None


def readable(
    connection: apsw.Connection,
    columns: str,
    table: str,
    where: str,
    values: Sequence[Any],
    *,
    key: str,
    place: str | None = None,
    narrower: tuple[str, Sequence[Any]] = ("", ()),
    ordered: bool = False,
) -> Readable:
    """Return what can be read of a selection; a damaged page costs the rows that lie on it.

    Args:
        connection: inside a read transaction.
        columns: what is wanted of each row, the first thing after SELECT.
        table: its name.
        where: which rows, with a `?` for each of `values`.
        values: bound to `where`.
        key: the integer column that tells the rows of this selection apart.
        place: an integer column that tells where a row that is lost belongs; the key when None.
        narrower: a condition (" AND ..." and its values) that spares work, and is let go where a page is damaged:
            an index is enough for `key`, `place` and `where`, and this one needs the rows.
        ordered: by that key, as the table lies; then rows on both sides of a damaged page are found.
    """
    orders = [f"ORDER BY {key}", f"ORDER BY {key} DESC"] if ordered else [""]
    statement = f"SELECT {columns} FROM {table} WHERE {where}{narrower[0]} {orders[0]}"
    try:
        return Readable(rows_of(connection, statement, (*values, *narrower[1])), [], None)
    except apsw.CorruptError as error:
        damage = str(error)
    places: dict[int, int] = {}
    is_listed = False
    for order in orders:  # up to the damaged page, from either end
        statement = f"SELECT {key}, {place or key} FROM {table} WHERE {where} {order}"
        try:
            places.update(connection.execute(statement, tuple(values)))  # keeps what came before the damage
            is_listed = True
        except apsw.CorruptError:
            continue
    rows: list[tuple[Any, ...]] = []
    lost: set[int] = set()
    for number in sorted(places):
        statement = f"SELECT {columns} FROM {table} WHERE {where} AND {key} = ?"
        try:
            rows += rows_of(connection, statement, (*values, number))
        except apsw.CorruptError:
            lost.add(places[number])
    return Readable(rows, sorted(lost) if is_listed else None, damage)


def not_complete(found: Readable, first: int, last: int) -> list[str]:
    """Return a note for each block that misses rows, or one for all of them where that cannot be told."""
    if found.damage is None:
        return []
    if found.lost is not None:
        return [f"block {number} is not complete: {found.damage}" for number in found.lost]
    if first == last:
        return [f"block {first} is not complete: {found.damage}"]
    return [f"some blocks from {first} to {last} are not complete: {found.damage}"]


def or_noted(notes: list[str], what: str, read: Callable[[], _Read], otherwise: _Read) -> _Read:
    """Return what `read` returns; where a damaged page is in its way, `otherwise`, and note what is missing."""
    try:
        return read()
    except apsw.CorruptError as error:
        notes.append(f"{what} are left out: {error}")
        return otherwise

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
    lost: list[int]
    """Keys of rows that are known to be there and cannot be read; there may be more."""
    damage: str | None


def readable(
    connection: apsw.Connection,
    columns: str,
    table: str,
    where: str,
    values: Sequence[Any],
    *,
    key: str,
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
        ordered: by that key, as the table lies; then rows on both sides of a damaged page are found.
    """
    orders = [f"ORDER BY {key}", f"ORDER BY {key} DESC"] if ordered else [""]
    try:
        return Readable(
            rows_of(connection, f"SELECT {columns} FROM {table} WHERE {where} {orders[0]}", values), [], None
        )
    except apsw.CorruptError as error:
        damage = str(error)
    keys: set[int] = set()
    for order in orders:  # up to the damaged page, from either end
        try:
            for (number,) in connection.execute(f"SELECT {key} FROM {table} WHERE {where} {order}", tuple(values)):
                keys.add(number)
        except apsw.CorruptError:
            continue
    rows, lost = [], []
    for number in sorted(keys):
        try:
            rows += rows_of(connection, f"SELECT {columns} FROM {table} WHERE {where} AND {key} = ?", (*values, number))
        except apsw.CorruptError:
            lost.append(number)
    return Readable(rows, lost, damage)


def or_noted(notes: list[str], what: str, read: Callable[[], _Read], otherwise: _Read) -> _Read:
    """Return what `read` returns; where a damaged page is in its way, `otherwise`, and note what is missing."""
    try:
        return read()
    except apsw.CorruptError as error:
        notes.append(f"{what} are left out: {error}")
        return otherwise

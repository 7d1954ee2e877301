"""What the rows of each table look like, from the statements that made the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from drmviz.store.connections import rows_of
from drmviz.store.repairing.cells import Cell, MalformedError, cells
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.schema import PAGE_BYTES, TABLES

_STATEMENT = re.compile(r"CREATE (TABLE|(UNIQUE )?INDEX) \w+ (\(|ON \w+ \()")
_TYPES: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "TEXT": (str,), "REAL": (float, int), "BLOB": (bytes,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: str
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or an index, and where its tree begins."""

    name: str
    of: str
    """The table that an index is of; the table's own name otherwise."""
    root: int
    is_index: bool
    """Whether rows are ordered by their first values and not by a number: indexes, and tables WITHOUT ROWID."""
    columns: tuple[Column, ...]
    """As rows hold them: of an index-ordered table its key first."""
    rowid_column: str | None = None
    least: int = 1
    """Fewest values of a row: those written before a column was added end earlier."""

    def row(self, cell: Cell) -> dict[str, Any] | None:
        """Return the values of a cell by column, None where they cannot be a row of this table.

        A cell that lost its rest has the columns before it.
        """
        values = cell.values
        if len(values) > len(self.columns) or (len(values) < self.least and not cell.broken_at):
            return None
        found: dict[str, Any] = {}
        for column, value in zip(self.columns, values, strict=False):
            if column.name == self.rowid_column and not self.is_index:
                if value is not None or cell.rowid is None:
                    return None
                value = cell.rowid
            if value is None:
                if column.is_required:
                    return None
            elif column.type and not isinstance(value, _TYPES[column.type]):
                return None
            found[column.name] = value
        return found

    def key(self, cell: Cell) -> tuple[Any, ...]:
        """Return what the rows of this table are ordered by."""
        return cell.values if self.is_index or cell.rowid is None else (cell.rowid,)


def tables_of(pages: PageFile) -> tuple[list[Table], bool]:
    """Return the tables and indexes of a store, and whether the file itself said so.

    Where its first page is lost they are those of this version: a writer makes them in one order, in the same pages.
    """
    stated = _stated(pages)
    if stated is not None:
        found = _described(stated)
        if found is not None and {"run", "block", "tick", "chunk"} <= {table.name for table in found}:
            return found, True
    described = _described(reference())
    if described is None:
        raise AssertionError("the tables of this version cannot be made")
    return described, False


def reference() -> list[tuple[str, str, int, str | None]]:
    """Return (name, table, root page, statement) of a new file."""
    connection = apsw.Connection(":memory:")
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute(TABLES)
    rows = rows_of(connection, "SELECT name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid")
    connection.close()
    return [(name, of, root, sql) for name, of, root, sql in rows]


def _stated(pages: PageFile) -> list[tuple[str, str, int, str | None]] | None:
    """Return what the file's own schema says, in one or more pages; None where it is lost."""
    found: list[tuple[str, str, int, str | None]] = []
    for cell in _schema_cells(pages, 1, depth=0):
        if cell is None or cell.broken_at or len(cell.values) != 5:
            return None
        _, name, of, root, sql = cell.values
        if not (isinstance(name, str) and isinstance(of, str) and isinstance(root, int)):
            return None
        if sql is not None and not isinstance(sql, str):
            return None
        found.append((name, of, root, sql))
    return found


def _schema_cells(pages: PageFile, number: int, *, depth: int) -> Iterator[Cell | None]:
    from drmviz.store.repairing.cells import INTERIORS, kind_of, last_child

    page = pages.first if number == 1 else pages.read(number)
    if page is None or depth > 5:
        yield None
        return
    try:
        for cell in cells(page, number, pages.usable_bytes, pages.read):
            if isinstance(cell, MalformedError):
                yield None
            elif cell.child:
                yield from _schema_cells(pages, cell.child, depth=depth + 1)
            else:
                yield cell
        if kind_of(page, number) in INTERIORS:
            yield from _schema_cells(pages, last_child(page, number), depth=depth + 1)
    except MalformedError:
        yield None


def _described(schema: Sequence[tuple[str, str, int, str | None]]) -> list[Table] | None:
    connection = apsw.Connection(":memory:")
    try:
        for name, _, _, sql in schema:
            if sql is not None and not name.startswith("sqlite_"):
                if not _STATEMENT.match(sql):
                    return None
                connection.execute(sql)
        unordered = {row[1]: bool(row[4]) for row in rows_of(connection, "PRAGMA table_list")}
        return [
            _index(connection, name, of, root) if name != of else _table(connection, name, root, unordered[name])
            for name, of, root, _ in schema
            if not (name == of and name.startswith("sqlite_"))
        ]
    except (apsw.Error, KeyError):  # a statement, a name or a type that was hit
        return None
    finally:
        connection.close()


def _table(connection: apsw.Connection, name: str, root: int, is_index: bool) -> Table:
    rows = rows_of(connection, f'PRAGMA table_info("{name}")')
    key = sorted((row for row in rows if row[5]), key=lambda row: row[5])
    ordered = [*key, *(row for row in rows if not row[5])] if is_index else rows
    columns = tuple(_column(row[1], row[2], is_required=bool(row[3])) for row in ordered)
    return Table(
        name=name,
        of=name,
        root=root,
        is_index=is_index,
        columns=columns,
        rowid_column=key[0][1] if not is_index and len(key) == 1 and key[0][2] == "INTEGER" else None,
        least=_least(name, len(columns)),
    )


def _index(connection: apsw.Connection, name: str, of: str, root: int) -> Table:
    types = {row[1]: row[2] for row in rows_of(connection, f'PRAGMA table_info("{of}")')}
    columns = tuple(
        _column(row[2] or "rowid", types.get(row[2], "INTEGER"), is_required=False)
        for row in rows_of(connection, f'PRAGMA index_xinfo("{name}")')
    )
    return Table(name=name, of=of, root=root, is_index=True, columns=columns, least=len(columns))


def _column(name: str, type_: str, *, is_required: bool) -> Column:
    if type_ not in _TYPES:
        raise KeyError(type_)
    return Column(name=name, type=type_, is_required=is_required)


_FIRST_COLUMNS = {"run": 10, "incarnation": 19, "resize": 7, "tick": 6, "block": 5, "chunk": 9, "task": 12,
                  "decision": 14, "note": 4, "cloud": 5, "clock": 3}  # fmt: skip
"""How many columns each table had in the first version that had it."""


def _least(name: str, columns: int) -> int:
    return min(columns, _FIRST_COLUMNS.get(name, 1))

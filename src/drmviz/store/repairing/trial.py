"""Tells which rows the reader itself can turn into what they stand for: the others are not what was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import apsw

from drmviz.model.decisions import Action
from drmviz.model.workers import Kind
from drmviz.store.connections import rows_of
from drmviz.store.records import (
    HEADER_COLUMNS,
    cloud_between,
    decisions_between,
    header_of,
    incarnations,
    tasks_between,
)
from drmviz.store.schema import TABLES

Row = Mapping[str, Any]
_EVER = (-(2**63), 2**63 - 1)
_MEANT = {"incarnation": ("kind", frozenset(get_args(Kind))), "decision": ("action", frozenset(get_args(Action)))}
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, apsw.Error)
"""What the reader's own code meets where a row is not what a writer writes."""


class Trial:
    """A small store in memory that candidates are put into and read from; `close` it afterwards."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(TABLES)
        self._readers: dict[str, Callable[[int], object]] = {
            "run": self._run,
            "incarnation": self._lives,
            "resize": self._lives,
            "task": lambda run: tasks_between(self._connection, run, *_EVER, None),
            "decision": lambda run: decisions_between(self._connection, run, *_EVER),
            "cloud": lambda run: cloud_between(self._connection, run, *_EVER),
        }

    def close(self) -> None:
        self._connection.close()

    def of(self, table: str, rows: Sequence[Row]) -> list[Row]:
        """Return those of these rows that can be read; all at once where all can."""
        named, meant = _MEANT.get(table, ("", frozenset()))
        meaningful = [row for row in rows if not named or row[named] in meant]
        if self._are_readable(table, meaningful):
            return meaningful
        return [row for row in meaningful if self._are_readable(table, [row])]

    def _are_readable(self, table: str, rows: Sequence[Row]) -> bool:
        key = "number" if table == "run" else "run"
        try:
            for row in rows:
                self._connection.execute(
                    f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
                )
            for run in {row[key] for row in rows}:
                if table in self._readers:
                    self._readers[table](run)
        except _UNREADABLE:
            return False
        finally:
            self._connection.execute(f"DELETE FROM {table}")
        return True

    def _run(self, run: int) -> None:
        for row in rows_of(self._connection, f"SELECT {HEADER_COLUMNS} FROM run WHERE number = ?", (run,)):
            header = header_of(row)
            if not header.id or not isinstance(header.labels, dict) or not isinstance(header.facts, dict):
                raise ValueError("it names no run")

    def _lives(self, run: int) -> None:
        incarnations(self._connection, run, *_EVER)

"""Reads the rows of a table from its pages, and counts those that are none."""

from __future__ import annotations

from collections.abc import Iterator

from drmviz.store.repairing.account import Account, Rows
from drmviz.store.repairing.cells import Cell, MalformedError, cells
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.repairing.trees import Forest
from drmviz.store.repairing.trial import Row, Trial

_TOGETHER = 200
"""Rows that are tried at once."""
_WITH_OWN_CHECKSUM = ("chunk", "tick")


class Meeting:
    """Every row that is met, table by table; `close` it afterwards."""

    def __init__(self, pages: PageFile, forest: Forest, account: Account) -> None:
        self._pages = pages
        self._forest = forest
        self._account = account
        self._trial = Trial()

    def close(self) -> None:
        self._trial.close()

    def rows(self, table: str) -> Iterator[tuple[Row, Cell]]:
        """Yield the rows of a table: by their order, then those of pages that were found without their parent."""
        tree = self._forest.trees.get(table)
        if tree is None:
            return
        seen = self._account.rows.get(table, Rows())
        for number in tree.pages:
            for cell in self._cells(number):
                row = None if isinstance(cell, MalformedError) else tree.table.row(cell)
                if row is None or isinstance(cell, MalformedError):
                    seen.refused += 1
                    seen.pages.add(number)
                else:
                    yield row, cell
        strays = [*tree.found, *tree.doubtful] if table in _WITH_OWN_CHECKSUM else tree.found
        for number in strays:
            for cell in self._cells(number):
                if isinstance(cell, Cell) and (row := tree.table.row(cell)) is not None:
                    yield row, cell

    def _cells(self, number: int) -> Iterator[Cell | MalformedError]:
        page = self._pages.read(number)
        if page is None:
            return
        try:
            yield from cells(page, number, self._pages.usable_bytes, self._pages.read)
        except MalformedError as error:
            yield error

    def readable_rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table that the reader can read."""
        seen = self._account.rows[table]
        batch: list[Row] = []
        for row, cell in self.rows(table):
            if cell.broken_at:
                seen.refused += 1
                seen.pages.add(cell.broken_at)
                continue
            batch.append(row)
            if len(batch) == _TOGETHER:
                yield from self._tried(table, batch)
                batch = []
        yield from self._tried(table, batch)

    def _tried(self, table: str, batch: list[Row]) -> list[Row]:
        good = self._trial.of(table, batch)
        self._account.rows[table].refused += len(batch) - len(good)
        return good

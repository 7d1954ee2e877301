"""Finds the pages that hold the rows of each table, also those that a damaged page above them no longer names."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from drmviz.store.repairing.cells import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    INDEXES,
    INTERIORS,
    LEAVES,
    TABLE_LEAF,
    Cell,
    MalformedError,
    cells,
    kind_of,
    last_child,
)
from drmviz.store.repairing.page_file import NODE_PAGE, ROOT_PAGE, PageFile
from drmviz.store.repairing.tables import Table

_DEPTH = 20
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A page of a tree that is lost, with the rows it had or led to: those behind `after`, up to `upto`."""

    page: int
    after: Key | None
    upto: Key | None
    why: str

    def holds(self, key: Key) -> bool:
        """Tell whether the row of this key stood in the lost part."""
        try:
            return (self.after is None or key > self.after) and (self.upto is None or key <= self.upto)
        except TypeError:  # a key that was hit has values of other types
            return False


@dataclass(slots=True)
class Tree:
    """The pages that hold rows of one table, in order, and what of it is lost."""

    table: Table
    pages: array[int] = field(default_factory=lambda: array("L"))
    gaps: list[Gap] = field(default_factory=list)
    found: array[int] = field(default_factory=lambda: array("L"))
    """Pages that no page names any more and that are of this table all the same."""
    bypassed: list[int] = field(default_factory=list)
    """Damaged pages that held no rows: what they led to was found without them."""
    doubtful: array[int] = field(default_factory=lambda: array("L"))
    """Such pages of which nobody can tell whether they are still in use: their rows may be old."""


class Forest:
    """All trees of a file."""

    def __init__(self, pages: PageFile, tables: Sequence[Table]) -> None:
        self._pages = pages
        self.trees = {table.name: Tree(table) for table in tables}
        self._by_root = {table.root: self.trees[table.name] for table in tables}
        self._taken = bytearray(pages.count + 1)
        for tree in self.trees.values():
            self._walk(tree, tree.table.root, after=None, upto=None, parent=0, depth=0)
        self._find_strays()

    def _walk(self, tree: Tree, number: int, *, after: Key | None, upto: Key | None, parent: int, depth: int) -> None:
        page = self._node(tree, number, parent, depth)
        if isinstance(page, str):
            tree.gaps.append(Gap(page=number, after=after, upto=upto, why=page))
            return
        self._taken[number] = 1
        if kind_of(page, number) in LEAVES:
            tree.pages.append(number)
            return
        if kind_of(page, number) == INDEX_INTERIOR:
            tree.pages.append(number)
        before = after
        for cell in self._cells(page, number):
            if isinstance(cell, MalformedError):
                tree.gaps.append(Gap(page=number, after=before, upto=upto, why=str(cell)))
                continue
            key = tree.table.key(cell)
            self._walk(tree, cell.child, after=before, upto=key, parent=number, depth=depth + 1)
            before = key
        self._walk(tree, last_child(page, number), after=before, upto=upto, parent=number, depth=depth + 1)

    def _node(self, tree: Tree, number: int, parent: int, depth: int) -> bytes | str:
        """Return a page, or why it cannot be the node of this tree that its parent says it is."""
        if depth > _DEPTH or not 1 <= number <= self._pages.count:
            return "it lies behind the end of the file"
        if self._taken[number]:
            return "it is named twice"
        page = self._pages.read(number)
        if page is None:
            return "it is damaged"
        is_index = kind_of(page, number) in INDEXES
        if kind_of(page, number) not in INTERIORS + LEAVES or is_index is not tree.table.is_index:
            return "it is no page of this table"
        pointer = self._pages.pointer(number)
        if not self._pages.has_checksums and parent and pointer is not None and pointer[1] != parent:
            return "it is not where it belongs"  # a number that was hit leads anywhere; its checksum would have told
        return page

    def _cells(self, page: bytes, number: int) -> Iterator[Cell | MalformedError]:
        try:
            yield from cells(page, number, self._pages.usable_bytes, self._pages.read)
        except MalformedError as error:
            yield error

    def _find_strays(self) -> None:
        """Find pages that hold rows although nothing leads to them: a page above them is damaged."""
        if not any(tree.gaps for tree in self.trees.values()):
            return
        parents: set[int] = set()
        unused, is_all_known = self._pages.unused()
        for number in range(2, self._pages.known_count + 1):
            is_taken = number < len(self._taken) and self._taken[number]
            pointer = self._pages.pointer(number)
            if pointer is not None and pointer[0] == NODE_PAGE:
                parents.add(pointer[1])
            if is_taken or number in unused or self._pages.is_no_node(number):
                continue
            self._place(number, is_in_use=is_all_known)
        for tree in self.trees.values():  # a page that only led to others has no rows of its own
            if not tree.table.is_index:
                tree.bypassed = [gap.page for gap in tree.gaps if gap.page in parents]
                tree.gaps = [gap for gap in tree.gaps if gap.page not in parents]

    def _place(self, number: int, *, is_in_use: bool) -> None:
        page = self._pages.read(number)
        tree = self._by_ancestors(number)
        if page is None:
            if tree is not None and all(gap.page != number for gap in tree.gaps):
                tree.gaps.append(Gap(page=number, after=None, upto=None, why="it is damaged"))
        elif kind_of(page, number) in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
            if tree is not None:
                tree.found.append(number)
            elif (tree := self._by_looks(page, number)) is not None:
                (tree.found if is_in_use else tree.doubtful).append(number)

    def _by_ancestors(self, number: int) -> Tree | None:
        """Return the tree whose root the pointer map leads to; it stands in pages of its own."""
        for _ in range(_DEPTH):
            pointer = self._pages.pointer(number)
            if pointer is None:
                return None
            kind, parent = pointer
            if kind == ROOT_PAGE:
                return self._by_root.get(number)
            number = parent
        return None

    def _by_looks(self, page: bytes, number: int) -> Tree | None:
        """Return the only tree whose rows look like those of this page."""
        is_index = kind_of(page, number) in INDEXES
        fitting: Counter[str] = Counter()
        for cell in self._cells(page, number):
            if isinstance(cell, Cell):
                fitting.update(
                    name
                    for name, tree in self.trees.items()
                    if tree.table.is_index is is_index and tree.table.row(cell) is not None
                )
        if not fitting:
            return None
        most = max(fitting.values())
        best = [name for name, count in fitting.items() if count == most]
        return self.trees[best[0]] if len(best) == 1 else None

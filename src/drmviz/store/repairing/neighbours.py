"""Between which blocks the lost pages of the chunks lie, where no index says what stood in them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from drmviz.store.repairing.account import Block
from drmviz.store.repairing.trees import Gap


class Neighbours:
    """Of each lost page, the chunk before it and the one behind it: they stand as they were written."""

    def __init__(self, gaps: list[Gap]) -> None:
        unplaced = [gap for gap in gaps if gap.after is None and gap.upto is None]
        self._gaps = [*unplaced, *sorted((g for g in gaps if g not in unplaced), key=lambda gap: gap.after or (-1,))]
        self._after = [-1 if gap.after is None else gap.after[0] for gap in self._gaps]
        self._before: dict[int, tuple[int, tuple[int, int]]] = {}
        self._behind: dict[int, tuple[int, tuple[int, int]]] = {}

    def saw(self, rowid: int, block: Block) -> None:
        if not self._gaps:
            return
        place = (block.run, block.number)
        above = bisect_left(self._after, rowid)
        if above < len(self._gaps) and self._before.get(above, (-1,))[0] < rowid:
            self._before[above] = (rowid, place)
        below = above - 1
        if below >= 0 and (below not in self._behind or rowid < self._behind[below][0]):
            self._behind[below] = (rowid, place)

    def page_of(self, rowid: int) -> int:
        """Return the lost page in which this chunk stood, 0 where there is none."""
        at = bisect_right(self._after, rowid - 1) - 1
        return self._gaps[at].page if at >= 0 and self._gaps[at].holds((rowid,)) else 0

    def around(self) -> Iterator[tuple[tuple[int, int] | None, tuple[int, int] | None, Gap]]:
        """Yield, of each lost page, the block of the last chunk before it and of the first one behind it."""
        last: tuple[int, int] | None = None
        for i, gap in enumerate(self._gaps):
            last = self._before[i][1] if i in self._before else last
            following = next((self._behind[j][1] for j in range(i, len(self._gaps)) if j in self._behind), None)
            yield (None, None, gap) if gap.after is None and gap.upto is None else (last, following, gap)

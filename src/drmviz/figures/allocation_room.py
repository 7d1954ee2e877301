"""How many pixels the bars of workers and the texts beside them get, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from drmviz.figures.allocation import Allocation, Panel
from drmviz.figures.names import columns, drawn
from drmviz.figures.rows import LEGIBLE_ROW_PX, named_every

LEAST_ROW_PX, MERGED_ROW_PX = 4, 18
"""Rows are merged rather than drawn thinner than the least, and then get room for their names."""
LETTER_PX = 6.7
_ROW_PX = ((4, 28), (12, 22), (30, 18))
"""Up to so many rows each gets so many pixels."""
_TALLEST_PX = 540
_NAMED_PX, _TALLEST_NAMED_PX = 12, 4000
_AIRY_PX, _GONE_PX = 8, 36


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRoom:
    """The pixels of one panel."""

    panel: Panel
    height_px: int

    @property
    def rows(self) -> int:
        return len(self.panel.labels)

    @property
    def row_px(self) -> float:
        return self.height_px / self.rows

    @property
    def is_legible(self) -> bool:
        """Whether each row has room for text."""
        return self.row_px >= LEGIBLE_ROW_PX

    @property
    def is_airy(self) -> bool:
        """Whether bars have room for an outline and a gap."""
        return self.row_px >= _AIRY_PX

    @property
    def bar(self) -> float:
        """How much of its row a bar takes."""
        return 0.76 if self.is_airy else 0.9

    @property
    def shown(self) -> range:
        """Which rows carry their name."""
        return range(0, self.rows, named_every(self.rows, self.height_px))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The pixels of the whole figure."""

    panels: tuple[PanelRoom, ...]

    @property
    def numbers_px(self) -> int:
        """How wide the numbers at the right of the rows are; 0 where there are none."""
        panels = [room.panel for room in self.panels if room.is_legible]
        numbers = (len(panel.at_right(row)) for panel in panels for row in range(len(panel.labels)))
        headings = (len(panel.right_heading) for panel in panels)
        return round(max(6.6 * max(numbers, default=0), 5.5 * max(headings, default=0)))

    @property
    def right_px(self) -> int:
        """How wide all is that stands at the right of the rows."""
        gone = any(room.panel.gone.any() for room in self.panels if room.is_legible)
        return self.numbers_px + (_GONE_PX if gone else 0)

    def longest_label(self, limit: int) -> int:
        """Return how many letters the longest name takes, each cut to the limit."""
        return max(columns(drawn(room.panel.labels[row], limit=limit)) for room in self.panels for row in room.shown)


def room_of(allocation: Allocation, height: int | None, *, around_px: int) -> Room:
    """Share the height that the user asked for, or give each panel what its rows need."""
    panels, named = allocation.panels, allocation.rows_named
    return Room(
        panels=tuple(
            PanelRoom(
                panel=panel, height_px=rows_px(len(panel.labels), height, len(panels), around_px=around_px, named=named)
            )
            for panel in panels
        )
    )


def rows_px(rows: int, height: int | None, panels: int, *, around_px: int, named: bool) -> int:
    """Return the pixels that the rows of one panel get together.

    Args:
        rows: how many there are.
        height: what the user asked for the whole figure.
        panels: how many share it.
        around_px: what titles and axes take of it.
        named: the user named the workers, so that no rows are merged however many there are.
    """
    if height is not None:
        return max(20, (height - around_px) // max(1, panels))
    if named and rows > _ROW_PX[-1][0]:
        return max(_TALLEST_PX, min(rows * _NAMED_PX, _TALLEST_NAMED_PX))
    return next((rows * row_px for most, row_px in _ROW_PX if rows <= most), _TALLEST_PX)


def heading_lines(panel: Panel, letters: int) -> list[str]:
    """Return the sums in lines of so many letters."""
    return wrap(panel.heading, letters) + wrap(panel.notes, letters)

"""How many pixels the texts around marks get, the same for both libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from drmviz.figures.efficiency import MOST_WORST, Panel, Worst
from drmviz.figures.names import drawn

AXIS_PX, LINE_PX, LIST_PX, ITEM_PX = 40, 15, 24, 38
MONO_LETTER_PX = 6.7
_TEXT_LETTER_PX, _BOLD_LETTER_PX = 6.2, 7.2
HEADING_PX = 72
_WIDEST_LIST_PX = 420
_PLOT_PX, _LEAST_PLOT_PX = 320, 60
_LONGEST_NAME, _SHORTEST_NAME, _LONGEST_PROVIDER = 64, 8, 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a panel has for its texts; panels beside each other share the lines that one of them needs."""

    width_px: float
    note_lines: int = 0

    @classmethod
    def of(cls, panels: Sequence[Panel], width_px: float) -> Column:
        lines = (len(cls(width_px=width_px).note_lines_of(panel)) for panel in panels)
        return cls(width_px=width_px, note_lines=max(lines))

    @property
    def list_px(self) -> float:
        """How wide the list of the worst is: what is idle does not stand too far from whose it is."""
        return min(self.width_px, _WIDEST_LIST_PX)

    @property
    def list_at_px(self) -> int:
        """How far below the plot the list begins."""
        return AXIS_PX + LINE_PX * self.note_lines + (8 if self.note_lines else 0)

    def below_px(self, items: int) -> int:
        """Return what stands below the plot."""
        return self.list_at_px + LIST_PX + items * ITEM_PX

    def note_lines_of(self, panel: Panel) -> list[str]:
        return wrap(" · ".join(panel.notes), max(20, int(self.width_px / _TEXT_LETTER_PX)))

    def name_letters(self, worst: Worst) -> int:
        """Return how many letters of a name fit beside what is idle."""
        room_px = self.list_px - _BOLD_LETTER_PX * len(worst.idle) - 10
        return min(_LONGEST_NAME, max(_SHORTEST_NAME, int(room_px / MONO_LETTER_PX)))


def worst_shown(panels: Sequence[Panel], height: int | None, *, around_px: int) -> int:
    """Return how many of the worst are listed: fewer where the user asked for a low figure."""
    most = max(len(panel.worst) for panel in panels)
    if height is None:
        return most
    return max(0, min(most, (height - around_px - _PLOT_PX // 2) // ITEM_PX, MOST_WORST))


def plot_px(height: int | None, *, around_px: int) -> int:
    """Return how high the plots are."""
    return _PLOT_PX if height is None else max(_LEAST_PLOT_PX, height - around_px)


def legend_lines(entries: Sequence[tuple[str, str, str]], letters: int) -> list[list[tuple[str, str, str]]]:
    """Break the entries of a legend, each (sign, colour, words), into lines of so many letters."""
    lines: list[list[tuple[str, str, str]]] = []
    left = 0
    for sign, colour, words in entries:
        name = drawn(words, limit=_LONGEST_PROVIDER)
        if len(name) + 6 > left:
            lines.append([])
            left = letters
        lines[-1].append((sign, colour, name))
        left -= len(name) + 6
    return lines

"""How many pixels the parts of the cloud figure get, on a page and on a phone, the same for both libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap

import numpy as np

from drmviz.figures.base import ThemeName
from drmviz.figures.cloud import Band, CloudResources, Panel
from drmviz.figures.names import columns, drawn

NARROW_PX = 760
AXIS_PX, NAME_PX, LINE_PX, ROW_PX, BAR_PX = 28, 26, 16, 23, 12
COLUMNS_AT: tuple[float | None, ...] = (0.22, 0.58, 0.75, 0.86, 1.0)
"""Where the columns of the table end, of which the first begins there, as shares of the plot's width."""
PHONE_COLUMNS_AT: tuple[float | None, ...] = (None, 0.45, 0.8, 1.0, None)
_TOP_PX, _BARE_TOP_PX, _BOTTOM_PX, _GAP_PX = 72, 6, 14, 12
_PANEL_PX, _LEAST_PANEL_PX, _WITH_TABLE_PX = 150, 40, 70
_LETTER_PX, _LABEL_PX, _LONGEST_LABEL = 6.5, 13, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where things lie, in pixels from the top of the plot down."""

    cloud: CloudResources
    is_narrow: bool
    letters: int
    """How many fit into a line."""
    panel_px: int
    has_table: bool

    @property
    def top_px(self) -> int:
        return _TOP_PX if self.cloud.title else _BARE_TOP_PX

    @property
    def left_px(self) -> int:
        return 44 if self.is_narrow else 52

    def right_px(self, theme: ThemeName) -> int:
        """Return how wide the names at the ends of the layers are."""
        ends = [end_text(self.cloud, band, theme, with_name=not self.is_narrow)
                for panel in self.cloud.panels for band in panel.bands]  # fmt: skip
        return 16 + round(_LETTER_PX * max((columns(text) for text in ends), default=0))

    @property
    def panels_at_px(self) -> list[int]:
        """Return where each panel's heading begins."""
        at_px, places = 0, []
        for panel in self.cloud.panels:
            places.append(at_px)
            at_px += self.heading_px(panel) + self.panel_px + AXIS_PX
        return places

    def heading_px(self, panel: Panel) -> int:
        return NAME_PX + LINE_PX * len(self.said_below(panel)) + 4

    def said_below(self, panel: Panel) -> list[str]:
        """Return the lines below a panel's name; none where all of it fits beside the name."""
        beside = self.letters - 2 * (len(panel.name) + len(panel.unit))
        if not self.is_narrow and len(panel.said) <= beside:
            return []
        return list(_lines(panel.said, self.letters)[:4])

    @property
    def bar_at_px(self) -> int:
        last = self.cloud.panels[-1]
        return self.panels_at_px[-1] + self.heading_px(last) + self.panel_px + AXIS_PX + 4

    @property
    def table_at_px(self) -> int:
        return self.bar_at_px + (BAR_PX + _GAP_PX if self.cloud.shares else 0)

    @property
    def remarks_at_px(self) -> list[int]:
        """Return where each remark begins."""
        at_px, places = self.table_at_px + ROW_PX * (1 + len(self.cloud.rows)) + _GAP_PX, []
        for remark in self.cloud.remarks:
            places.append(at_px)
            at_px += LINE_PX * len(self.remark_lines(remark)) + 3
        return places

    def remark_lines(self, remark: str) -> list[str]:
        return list(_lines(remark, self.letters)[:5])

    @property
    def plot_px(self) -> int:
        if not self.has_table:
            return self.bar_at_px - 4
        if not self.cloud.remarks:
            return self.table_at_px + ROW_PX * (1 + len(self.cloud.rows)) + 4
        return self.remarks_at_px[-1] + LINE_PX * len(self.remark_lines(self.cloud.remarks[-1]))

    @property
    def height_px(self) -> int:
        return self.top_px + self.plot_px + _BOTTOM_PX

    @property
    def bottom_px(self) -> int:
        return _BOTTOM_PX


def room_of(cloud: CloudResources, *, height: int | None, width_px: int, is_narrow: bool) -> Room:
    """Lay the figure out; where a height is given panels share what is left, and a small one costs the table."""
    letters = max(20, int((width_px - 40) / 6.4))
    usual = Room(cloud=cloud, is_narrow=is_narrow, letters=letters, panel_px=_PANEL_PX, has_table=True)
    if height is None:
        return usual
    for has_table in (True, False):
        room = Room(cloud=cloud, is_narrow=is_narrow, letters=letters, panel_px=0, has_table=has_table)
        panel_px = (height - room.height_px) // len(cloud.panels)
        if panel_px >= _WITH_TABLE_PX or not has_table:
            break
    panel_px = max(_LEAST_PANEL_PX, panel_px)
    return Room(cloud=cloud, is_narrow=is_narrow, letters=letters, panel_px=panel_px, has_table=has_table)


def end_text(cloud: CloudResources, band: Band, theme: ThemeName, *, with_name: bool = True) -> str:
    """Return what stands at the end of a layer: "● aws 10", or "● 10"."""
    sign = band.source.look(cloud.providers, theme).sign
    name = drawn(band.source.label, limit=_LONGEST_LABEL)
    return f"{sign} {name} {band.now}" if with_name else f"{sign} {band.now}"


def ends_of(panel: Panel, panel_px: int) -> list[float]:
    """Return how high the label of each layer stands, as a share of the panel."""
    heights = [float(np.nan_to_num(band.values[-1])) for band in panel.bands]
    middles, below = [], 0.0
    for height in heights:
        middles.append((below + height / 2) / axis_end(panel))
        below += height
    apart = min(_LABEL_PX / panel_px, 1 / max(1, len(heights)))
    for place in range(1, len(middles)):
        middles[place] = max(middles[place], middles[place - 1] + apart)
    highest = 1.0
    for place in reversed(range(len(middles))):
        middles[place] = highest = min(middles[place], highest)
        highest -= apart
    return middles


def axis_end(panel: Panel) -> float:
    return panel.highest * 1.06 or 1.0


def levels(panel: Panel) -> list[float]:
    """Return about four round numbers for the axis of a panel, whole ones for workers."""
    end = axis_end(panel)
    size = 10.0 ** math.floor(math.log10(end / 4))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= end / 4)
    if not panel.is_money:
        step = max(1.0, round(step))
    return [round(place * step, 9) for place in range(int(end / step) + 1)]


def written(levels: Sequence[float]) -> list[str]:
    """Return the numbers as an axis shows them, with as many decimals as their step needs."""
    step = levels[1] if len(levels) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step)))
    return [f"{level:,.{digits}f}" for level in levels]


@lru_cache(maxsize=256)
def _lines(text: str, letters: int) -> tuple[str, ...]:
    return tuple(wrap(text, letters))

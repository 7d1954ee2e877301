"""Efficiency as a Matplotlib figure: one collection of marks for each shape in each panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.efficiency import (
    AXIS_TEXT,
    DIAGONAL_TEXT,
    LEFT_AT,
    WEDGE_TEXT,
    Efficiency,
    Label,
    Panel,
    legend,
    looks,
)
from drmviz.figures.efficiency_room import (
    AXIS_PX,
    HEADING_PX,
    ITEM_PX,
    LINE_PX,
    LIST_PX,
    Column,
    legend_lines,
    plot_px,
    worst_shown,
)  # fmt: skip
from drmviz.figures.names import drawn
from drmviz.figures.providers import Look
from drmviz.figures.theme import Theme, mixed

_WIDTH_PX, _TOP_PX, _LEGEND_LINE_PX, _BOTTOM_PX = 1200, 62, 20, 14
_LEFT_PX, _RIGHT_PX, _GAP_PX = 50, 24, 64
_LEAST_COLUMN_PX = 220
_SHIFTS = {"right": (7, 0, "left"), "left": (-7, 0, "right"), "above": (0, -13, "center"), "below": (0, 13, "center")}
_MARK_PX, _TEXT_LETTER_PX = 16, 7.3

Box = tuple[float, float, float, float]


def draw(efficiency: Efficiency, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; without any panel it is a notice."""
    width_px = options.width or _WIDTH_PX
    if not efficiency.panels:
        text = efficiency.notice or ""
        return notice(efficiency.title, efficiency.subtitle, text, width_px=width_px, theme=theme)
    panels = efficiency.panels
    in_row = max(1, min(len(panels), int((width_px - _LEFT_PX) // (_LEAST_COLUMN_PX + _GAP_PX))))
    column_px = (width_px - _LEFT_PX - _RIGHT_PX - _GAP_PX * (in_row - 1)) / in_row
    column = Column.of(panels, column_px)
    lines = legend_lines(legend(efficiency, theme), int(width_px / _TEXT_LETTER_PX))
    stories = -(-len(panels) // in_row)
    top_px = (_TOP_PX if efficiency.title else 8) + _LEGEND_LINE_PX * len(lines)
    around_px = top_px + stories * (HEADING_PX + column.below_px(0)) + _BOTTOM_PX
    items = worst_shown(panels, options.height, around_px=around_px // stories)
    height_px = plot_px(options.height, around_px=around_px + stories * ITEM_PX * items) // (
        stories if options.height else 1
    )
    story_px = HEADING_PX + height_px + column.below_px(items)
    canvas = Canvas(width_px, top_px + stories * story_px + _BOTTOM_PX, theme)
    canvas.title(efficiency.title, efficiency.subtitle)
    _draw_legend(canvas, lines, (_TOP_PX if efficiency.title else 8) + 8)
    for number, panel in enumerate(panels):
        story, place = divmod(number, in_row)
        box = (_LEFT_PX + place * (column_px + _GAP_PX), top_px + story * story_px + HEADING_PX, column_px, height_px)
        _draw_plane(canvas, panel, box)
        _draw_marks(canvas, panel, looks(efficiency, theme), box)
        _draw_around(canvas, panel, column, box, items=items)
    return canvas.figure


def _draw_plane(canvas: Canvas, panel: Panel, box: Box) -> None:
    """Draw the axes, the wedge of waste, the diagonal, and the capacity where an axis reaches beyond it."""
    theme, (end, top), (left_px, top_px, width_px, height_px) = canvas.theme, panel.ends, box
    axes = _axes(canvas, panel, box)
    ground = mixed(theme.bad, theme.surface, 0.1)
    axes.add_collection(PolyCollection([panel.wedge], facecolors=ground, linewidths=0, zorder=0.2), autolim=False)
    across, upwards = _ticks(end), _ticks(top)
    grid = [[(at, 0), (at, top)] for at in across] + [[(0, at), (end, at)] for at in upwards]
    axes.add_collection(LineCollection(grid, colors=theme.line, linewidths=0.8, zorder=0.5), autolim=False)
    beyond = [[(100, 0), (100, top)]] * (end > 100) + [[(0, 100), (end, 100)]] * (top > 100)
    axes.add_collection(LineCollection(beyond, colors=theme.line_strong, linewidths=1.4, zorder=0.6), autolim=False)
    least = min(panel.ends)
    dashed = LineCollection(
        [[(0, 0), (least, least)]], colors=theme.ink_faint, linewidths=0.8, linestyles=[(0, (5, 4))]
    )
    axes.add_collection(dashed, autolim=False)
    for at in across:
        x_px = left_px + at / end * width_px
        canvas.text(x_px, top_px + height_px + 11, f"{at:g}", colour=theme.ink_faint, ha="center")
    for at in upwards:
        canvas.text(left_px - 7, top_px + (1 - at / top) * height_px, f"{at:g}", colour=theme.ink_faint, ha="right")
    canvas.text(
        left_px + width_px / 2, top_px + height_px + 27, "reserved, % of capacity", colour=theme.ink_soft, ha="center"
    )
    canvas.text(left_px + 5, top_px + 9, AXIS_TEXT, colour=theme.ink_soft)
    x_px, y_px = left_px + 0.84 * least / end * width_px, top_px + (1 - 0.84 * least / top) * height_px
    canvas.text(x_px - 8, y_px - 6, DIAGONAL_TEXT, colour=theme.ink_soft, size_px=10, ha="right")
    for number, line in enumerate(reversed(WEDGE_TEXT)):
        y_px = top_px + height_px - 10 - 13 * number
        x_px = left_px + (width_px - 5 if panel.corner == "right" else LEFT_AT * width_px)
        canvas.text(x_px, y_px, line, colour=theme.bad, size_px=10, weight="bold", ha=panel.corner)


def _axes(canvas: Canvas, panel: Panel, box: Box) -> Axes:
    axes = canvas.axes(*box)
    axes.set_xlim(0, panel.ends[0])
    axes.set_ylim(0, panel.ends[1])
    return axes


def _ticks(end: float) -> list[float]:
    if end <= 150:
        return [25.0 * step for step in range(int(end // 25) + 1)]
    return [float(at) for at in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, end) if at <= end]


def _draw_marks(canvas: Canvas, panel: Panel, every: Sequence[Look], box: Box) -> None:
    theme, axes = canvas.theme, _axes(canvas, panel, box)
    sizes = np.square(np.array(panel.sizes_px) * 0.72)[panel.step]
    for place in np.unique(panel.provider).tolist():
        look, chosen = every[place], panel.provider == place
        gone = panel.gone[chosen]
        inside, edge = np.where(gone, theme.surface, look.colour), np.where(gone, look.colour, theme.surface)
        axes.scatter(
            panel.reserved[chosen], panel.used[chosen], s=sizes[chosen], marker=look.marker, alpha=0.9, clip_on=False,
            facecolors=inside.tolist(), edgecolors=edge.tolist(), linewidths=np.where(gone, 1.2, 0.5).tolist(),
        )  # fmt: skip
    for label in panel.labels:
        _draw_name(canvas, panel, label, box)


def _draw_name(canvas: Canvas, panel: Panel, label: Label, box: Box) -> None:
    right_px, down_px, side = _SHIFTS[label.side]
    x_px = box[0] + panel.reserved[label.mark] / panel.ends[0] * box[2] + right_px
    y_px = box[1] + (1 - panel.used[label.mark] / panel.ends[1]) * box[3] + down_px
    ground = {"facecolor": canvas.theme.surface, "alpha": 0.75, "linewidth": 0, "pad": 0.6}
    canvas.text(x_px, y_px, label.text, colour=canvas.theme.ink, size_px=10, mono=True, ha=side, bbox=ground)


def _draw_around(canvas: Canvas, panel: Panel, column: Column, box: Box, *, items: int) -> None:
    """Write the heading above a panel, and below it what has no mark and who wastes most."""
    theme, left_px, bottom_px = canvas.theme, box[0], box[1] + box[3]
    canvas.text(left_px, box[1] - HEADING_PX + 18, panel.name, colour=theme.ink, size_px=13, weight="bold")
    for number, line in enumerate(panel.heading):
        canvas.text(left_px, box[1] - HEADING_PX + 36 + 17 * number, line, colour=theme.ink_soft, size_px=12)
    for number, line in enumerate(column.note_lines_of(panel)):
        canvas.text(left_px, bottom_px + AXIS_PX + 8 + LINE_PX * number, line, colour=theme.ink_soft)
    y_px = bottom_px + column.list_at_px + 8
    canvas.text(left_px, y_px, panel.waste, colour=theme.ink, size_px=12, weight="bold")
    for worst in panel.worst[:items]:
        y_px += ITEM_PX if worst is not panel.worst[0] else LIST_PX
        name = drawn(worst.id, limit=column.name_letters(worst))
        canvas.text(left_px, y_px, name, colour=theme.ink_soft, mono=True)
        canvas.text(left_px + column.list_px, y_px, worst.idle, colour=theme.ink, weight="bold", ha="right")
        canvas.text(left_px, y_px + LINE_PX, worst.shares, colour=theme.ink_faint)


def _draw_legend(canvas: Canvas, lines: list[list[tuple[str, str, str]]], y_px: float) -> None:
    for line in lines:
        x_px = 18.0
        for sign, colour, name in line:
            canvas.text(x_px, y_px, sign, colour=colour, size_px=12)
            canvas.text(x_px + 9 * len(sign) + 5, y_px, name, colour=canvas.theme.ink_soft, size_px=12)
            x_px += _MARK_PX + 9 * len(sign) + _TEXT_LETTER_PX * len(name)
        y_px += _LEGEND_LINE_PX

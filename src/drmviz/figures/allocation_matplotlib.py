"""Allocation as a Matplotlib figure: one collection of rectangles for each kind of segment in each panel."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from drmviz.figures.allocation import DIMMED, EXCEEDED, Allocation, Fill, Panel, fills, found, is_exceeded
from drmviz.figures.allocation_room import LETTER_PX, PanelRoom, heading_lines, room_of
from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.names import drawn
from drmviz.figures.plotly_parts import NARROW_PX
from drmviz.figures.theme import Theme, mixed
from drmviz.model.metrics import BoolArray, FloatArray

_WIDTH_PX, _TOP_PX, _LEGEND_PX, _HEADING_PX, _LINE_PX, _AXIS_PX, _BOTTOM_PX = 1200, 62, 26, 34, 16, 26, 10
_LONGEST_LABEL = 44
_HATCHES = {"/": "/////", ".": "....", "": None}

Box = tuple[float, float, float, float]


def draw(allocation: Allocation, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; without any panel it is a notice."""
    width_px = options.width or _WIDTH_PX
    if not allocation.panels:
        text = allocation.notice or ""
        return notice(allocation.title, allocation.subtitle, text, width_px=width_px, theme=theme)
    above_px = _TOP_PX if allocation.title else 8
    top_px = above_px + _LEGEND_PX * (1 if width_px >= NARROW_PX else 3)
    said = [_said(panel, width_px) for panel in allocation.panels]
    around_px = top_px + sum(_HEADING_PX + _LINE_PX * len(lines) + _AXIS_PX for lines in said) + _BOTTOM_PX
    room = room_of(allocation, options.height, around_px=around_px)
    canvas = Canvas(width_px, around_px + sum(part.height_px for part in room.panels), theme)
    canvas.title(allocation.title, allocation.subtitle)
    limit = min(_LONGEST_LABEL, max(8, width_px // 26))
    left_px = 22 + round(LETTER_PX * room.longest_label(limit))
    _draw_legend(canvas, allocation, left_px, above_px + 10)
    y_px = top_px
    for part, lines in zip(room.panels, said, strict=True):
        y_px += _HEADING_PX + _LINE_PX * len(lines)
        box = (left_px, y_px, width_px - left_px - room.right_px - 20, part.height_px)
        _draw_heading(canvas, part.panel, lines, box)
        _draw_bars(canvas, part, box)
        _draw_names(canvas, part, box, limit=limit)
        if part.is_legible:
            right_px = left_px + box[2] + 8
            _draw_numbers(canvas, part, box, right_px=right_px + room.numbers_px, gone_px=right_px + room.right_px)
        y_px += part.height_px + _AXIS_PX
    return canvas.figure


def _said(panel: Panel, width_px: int) -> list[str]:
    """Return the sums in lines of their own, or nothing where they fit beside the name."""
    if width_px >= NARROW_PX and len(panel.heading) + len(panel.notes) < (width_px - 250) / 6.9:
        return []
    return heading_lines(panel, max(20, int((width_px - 110) / 6.9)))


def _draw_heading(canvas: Canvas, panel: Panel, lines: list[str], box: Box) -> None:
    theme, x_px = canvas.theme, box[0]
    y_px = box[1] - 14 - _LINE_PX * len(lines)
    canvas.text(x_px, y_px, panel.name, colour=theme.ink, size_px=13, weight="bold")
    x_px += 10.4 * len(panel.name) + 6
    canvas.text(x_px, y_px, panel.unit, colour=theme.ink_faint, size_px=12)
    if not lines:
        said = panel.heading + (f" · {panel.notes}" if panel.notes else "")
        canvas.text(x_px + 7.2 * len(panel.unit) + 14, y_px, said, colour=theme.ink_soft, size_px=12)
    for number, line in enumerate(lines):
        canvas.text(box[0], y_px + _LINE_PX * (number + 1), line, colour=theme.ink_soft)


def _draw_bars(canvas: Canvas, room: PanelRoom, box: Box) -> None:
    panel, theme, rows, looks = room.panel, canvas.theme, room.rows, fills(canvas.theme)
    end = panel.highest * 1.01
    axes = canvas.axes(*box)
    axes.set_xlim(0, end)
    axes.set_ylim(rows - 0.5, -0.5)
    round_places = MaxNLocator(max(2, int(box[2] // 110)), steps=[1, 2, 5, 10]).tick_values(0, end)
    places = [float(place) for place in round_places if place <= end]
    _draw_upright(axes, [(at, -0.5, rows - 0.5) for at in places], colour=theme.line, wide=0.8, above=0.5)
    for place in places:
        x_px = box[0] + place / end * box[2]
        canvas.text(x_px, box[1] + box[3] + 12, f"{place:,g}", colour=theme.ink_faint, ha="center")
    start = np.zeros(rows)
    for name, amounts in panel.segments.items():
        _draw_segment(axes, start, amounts, room, looks[name], theme)
        start = start + np.nan_to_num(amounts)
    ticks = [
        (amount, row - 0.5, row + 0.5)
        for part in (panel.over_reservation, panel.over_capacity)
        for row, amount in enumerate(part.tolist())
        if amount == amount
    ]
    _draw_upright(axes, ticks, colour=theme.ink, wide=1.6, above=3)


def _draw_upright(
    axes: Axes, lines: list[tuple[float, float, float]], *, colour: str, wide: float, above: float
) -> None:
    """Draw lines given by where they stand, where they begin and where they end."""
    points = [[(at, first), (at, last)] for at, first, last in lines]
    drawn_lines = LineCollection(points, colors=colour, linewidths=wide, capstyle="butt", zorder=above)
    axes.add_collection(drawn_lines, autolim=False)


def _draw_segment(
    axes: Axes, start: FloatArray, length: FloatArray, room: PanelRoom, look: Fill, theme: Theme
) -> None:  # fmt: skip
    """Draw the rectangles of one kind; those of who left are dimmed."""
    chosen = np.flatnonzero(length > 0)
    if chosen.size:
        corners = _corners(start[chosen], start[chosen] + length[chosen], chosen - room.bar / 2, chosen + room.bar / 2)
        _add(axes, corners, look, room.panel.gone[chosen], theme, outlined=room.is_airy)


def _corners(left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Return rectangles, shape (n, 4, 2)."""
    points = [np.stack(point, axis=-1) for point in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return np.stack(points, axis=1)


def _add(axes: Axes, corners: FloatArray, look: Fill, gone: BoolArray, theme: Theme, *, outlined: bool) -> None:
    def shaded(colour: str) -> list[str]:
        pair = colour, mixed(colour, theme.surface, DIMMED)
        return [pair[left] for left in gone.astype(int).tolist()]

    rectangles = PolyCollection(
        list(corners), zorder=1.5 if look.outline else 1,
        facecolors=shaded(look.ground), edgecolors=shaded(look.ink or look.outline or look.ground),
        linewidths=0.7 if outlined and look.outline else 0.0, hatch=_HATCHES[look.pattern],
    )  # fmt: skip
    axes.add_collection(rectangles, autolim=False)


def _draw_names(canvas: Canvas, room: PanelRoom, box: Box, *, limit: int) -> None:
    theme, panel = canvas.theme, room.panel
    for row in room.shown:
        label, y_px = drawn(panel.labels[row], limit=limit), box[1] + (row + 0.5) * room.row_px
        colour = theme.ink_faint if panel.gone[row] else theme.ink_soft
        canvas.text(box[0] - 8, y_px, label, colour=colour, mono=True, ha="right")
        if row in panel.unsized:
            canvas.text(box[0] + 6, y_px, panel.unsized[row], colour=theme.ink_faint)


def _draw_numbers(canvas: Canvas, room: PanelRoom, box: Box, *, right_px: float, gone_px: float) -> None:
    theme, panel = canvas.theme, room.panel
    canvas.text(right_px, box[1] - 12, panel.right_heading, colour=theme.ink_faint, size_px=10, ha="right")
    for row in range(room.rows):
        y_px = box[1] + (row + 0.5) * room.row_px
        canvas.text(right_px, y_px, panel.at_right(row), colour=theme.ink_soft, ha="right")
        if panel.gone[row]:
            canvas.text(gone_px, y_px, "gone", colour=theme.ink_faint, ha="right")


def _draw_legend(canvas: Canvas, allocation: Allocation, left_px: float, y_px: float) -> None:
    """Draw a swatch and a name for each kind of segment that occurs."""
    theme, looks, x_px = canvas.theme, fills(canvas.theme), left_px
    axes = canvas.axes(0, 0, canvas.width_px, canvas.height_px)
    axes.set_xlim(0, canvas.width_px)
    axes.set_ylim(canvas.height_px, 0)
    entries: list[tuple[str, Fill | None]] = [(name, looks[name]) for name in found(allocation)]
    for name, look in [*entries, *([(EXCEEDED, None)] if is_exceeded(allocation) else [])]:
        taken_px = 18 + 6.5 * len(name) + 20
        if x_px + taken_px > canvas.width_px and x_px > left_px:
            x_px, y_px = left_px, y_px + _LEGEND_PX - 6
        if look is None:
            _draw_upright(axes, [(x_px + 6, y_px - 8, y_px + 8)], colour=theme.ink, wide=1.6, above=3)
        else:
            sides = (np.array([side]) for side in (x_px, x_px + 12, y_px - 6, y_px + 6))
            _add(axes, _corners(*sides), look, np.zeros(1, dtype=np.bool_), theme, outlined=True)
        canvas.text(x_px + 18, y_px, name, colour=theme.ink_soft, size_px=12)
        x_px += taken_px

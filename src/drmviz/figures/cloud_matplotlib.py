"""Cloud usage as a Matplotlib figure: one stepped area for each provider in each panel, the table as texts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.cloud import FILL, CloudResources, Panel, shapes_at, steps
from drmviz.figures.cloud_room import (
    BAR_PX,
    COLUMNS_AT,
    LINE_PX,
    PHONE_COLUMNS_AT,
    ROW_PX,
    Room,
    axis_end,
    end_text,
    ends_of,
    levels,
    room_of,
    written,
)
from drmviz.figures.gaps import hatch
from drmviz.figures.names import drawn
from drmviz.figures.theme import Theme, mixed, rgb_of

_WIDTH_PX, _NARROW_PX = 1200, 860
_LONGEST_NAME, _LONGEST_NARROW = 24, 14
_SIGN_FROM = 0.04


def draw(cloud: CloudResources, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; without any provider it is a notice."""
    width_px = options.width or _WIDTH_PX
    if cloud.notice is not None:
        return notice(cloud.title, cloud.subtitle, cloud.notice, width_px=width_px, theme=theme)
    room = room_of(cloud, height=options.height, width_px=width_px, is_narrow=width_px < _NARROW_PX)
    canvas = Canvas(width_px, room.height_px, theme)
    canvas.title(cloud.title, cloud.subtitle)
    across_px = width_px - room.left_px - room.right_px(theme.name)
    for panel, at_px in zip(cloud.panels, room.panels_at_px, strict=True):
        top_px = room.top_px + at_px
        box = (room.left_px, top_px + room.heading_px(panel), across_px, room.panel_px)
        _draw_heading(canvas, panel, room, top_px)
        _draw_layers(canvas, cloud, panel, box)
        _draw_ends(canvas, panel, room, box)
        canvas.clock(cloud.start_s, cloud.end_s, box)
    if room.has_table:
        _draw_bar(canvas, room, across_px)
        _draw_table(canvas, room, across_px)
        _draw_remarks(canvas, room)
    return canvas.figure


Box = tuple[float, float, float, float]


def _draw_heading(canvas: Canvas, panel: Panel, room: Room, top_px: float) -> None:
    theme, x_px, y_px = canvas.theme, room.left_px, top_px + 10
    canvas.text(x_px, y_px, panel.name, colour=theme.ink, size_px=13, weight="bold")
    along_px = x_px + 8.8 * len(panel.name) + 6
    canvas.text(along_px, y_px, panel.unit, colour=theme.ink_faint, size_px=12)
    below = room.said_below(panel)
    if not below:
        along_px += 9.5 * len(panel.unit) + 8
        canvas.text(along_px, y_px, panel.said, colour=theme.ink_soft, size_px=12)
    for number, line in enumerate(below, start=1):
        canvas.text(x_px, y_px + LINE_PX * number, line, colour=theme.ink_soft, size_px=11)


def _draw_layers(canvas: Canvas, cloud: CloudResources, panel: Panel, box: Box) -> None:
    theme, end = canvas.theme, axis_end(panel)
    axes = canvas.axes(*box)
    axes.set_xlim(cloud.start_s, cloud.end_s)
    axes.set_ylim(0, end)
    _draw_unknown(canvas, cloud, panel, axes, box)
    places = levels(panel)
    axes.hlines(places, cloud.start_s, cloud.end_s, colors=theme.line, linewidths=0.8, zorder=1)
    for place, text in zip(places, written(places), strict=True):
        y_px = box[1] + (1 - place / end) * box[3]
        canvas.text(box[0] - 8, y_px, text, colour=theme.ink_faint, ha="right")
    edges_s = np.append(cloud.starts_at_s, cloud.end_s)
    below = np.zeros(len(edges_s))
    for number, band in enumerate(panel.bands):
        look = band.source.look(cloud.providers, theme.name)
        above = below + np.nan_to_num(steps(band.values))
        ground = mixed(look.colour, theme.surface, FILL)
        axes.fill_between(edges_s, below, above, step="post", facecolor=ground, edgecolor=theme.surface, linewidth=0.8)
        marked = sorted(shapes_at(panel, number))
        axes.plot(
            edges_s[marked], above[marked], look.marker, color=look.colour, markersize=6, zorder=3, clip_on=False,
            markeredgecolor=theme.surface, markeredgewidth=0.7,
        )  # fmt: skip
        below = above


def _draw_unknown(canvas: Canvas, cloud: CloudResources, panel: Panel, axes: Axes, box: Box) -> None:
    """Hatch what may lie above the layers where somebody's number is missing."""
    if not panel.unknown.any():
        return
    theme, column_px = canvas.theme, max(1, round(box[2] * canvas.scale / len(panel.unknown)))
    levels = hatch(panel.unknown[None, :], row_px=round(box[3] * canvas.scale), column_px=column_px)
    table = np.array([rgb_of(colour) for colour in (theme.surface, theme.track, theme.ink_faint)], dtype=np.uint8)
    canvas.image(axes, table[levels], extent=(cloud.start_s, cloud.end_s, 0, axis_end(panel)))
    for gap in panel.gaps:
        x_px = box[0] + ((gap.start_s + gap.end_s) / 2 - cloud.start_s) / (cloud.end_s - cloud.start_s) * box[2]
        canvas.text(x_px, box[1] + 9, "?", colour=theme.ink, ha="center", weight="bold")


def _draw_ends(canvas: Canvas, panel: Panel, room: Room, box: Box) -> None:
    theme = canvas.theme
    for band, height in zip(panel.bands, ends_of(panel, room.panel_px), strict=True):
        text = end_text(room.cloud, band, theme.name, with_name=not room.is_narrow)
        colour = band.source.look(room.cloud.providers, theme.name).colour
        canvas.text(box[0] + box[2] + 7, box[1] + (1 - height) * box[3], text, colour=colour)


def _draw_bar(canvas: Canvas, room: Room, across_px: float) -> None:
    """Draw each one's part of the whole as a piece of one bar, with its sign inside where there is room."""
    theme, begin = canvas.theme, 0.0
    if not room.cloud.shares:
        return
    top_px = room.top_px + room.bar_at_px
    axes = canvas.axes(room.left_px, top_px, across_px, BAR_PX)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    looks = [source.look(room.cloud.providers, theme.name) for source, _ in room.cloud.shares]
    parts = [share for _, share in room.cloud.shares]
    axes.barh(
        [0.5] * len(parts), parts, left=np.cumsum([0.0, *parts[:-1]]), height=1.0,
        color=[look.colour for look in looks], edgecolor=theme.surface, linewidth=1.0,
    )  # fmt: skip
    for look, share in zip(looks, parts, strict=True):
        if share >= _SIGN_FROM:
            x_px = room.left_px + (begin + share / 2) * across_px
            canvas.text(x_px, top_px + BAR_PX / 2, look.sign, colour=theme.surface, size_px=9, ha="center")
        begin += share


def _draw_table(canvas: Canvas, room: Room, across_px: float) -> None:
    cloud, theme = room.cloud, canvas.theme
    places = PHONE_COLUMNS_AT if room.is_narrow else COLUMNS_AT
    left_px, top_px = room.left_px, room.top_px + room.table_at_px
    lines = canvas.axes(left_px, top_px, across_px, ROW_PX * (1 + len(cloud.rows)))
    lines.set_ylim(1 + len(cloud.rows), 0)
    lines.set_xlim(0, 1)
    lines.hlines(range(1, 1 + len(cloud.rows)), 0, 1, colors=theme.line, linewidths=0.8)

    def row(y_px: float, cells: tuple[str, ...], colour: str, size_px: float) -> None:
        for number, (place, cell) in enumerate(zip(places, cells, strict=True)):
            if place is not None:
                side = "right" if number else "left"
                canvas.text(left_px + place * across_px, y_px, cell, colour=colour, size_px=size_px, ha=side)

    canvas.text(left_px, top_px + 11, "Provider", colour=theme.ink_faint)
    row(top_px + 11, cloud.heads, theme.ink_faint, 11)
    limit = _LONGEST_NARROW if room.is_narrow else _LONGEST_NAME
    for number, each in enumerate(cloud.rows, start=1):
        y_px = top_px + number * ROW_PX + ROW_PX / 2
        if each.source is None:
            canvas.text(left_px, y_px, "All", colour=theme.ink, size_px=12, weight="bold")
        else:
            look = each.source.look(cloud.providers, theme.name)
            canvas.text(left_px, y_px, look.sign, colour=look.colour, size_px=12)
            canvas.text(left_px + 18, y_px, drawn(each.source.label, limit=limit), colour=theme.ink, size_px=12)
        row(y_px, each.cells, theme.ink, 12)


def _draw_remarks(canvas: Canvas, room: Room) -> None:
    for remark, at_px in zip(room.cloud.remarks, room.remarks_at_px, strict=True):
        for number, line in enumerate(room.remark_lines(remark)):
            y_px = room.top_px + at_px + 8 + LINE_PX * number
            canvas.text(room.left_px, y_px, line, colour=canvas.theme.ink_faint)

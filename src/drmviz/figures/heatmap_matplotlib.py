"""The heatmap as a Matplotlib figure: one ready image for each panel, with texts around it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.gaps import hatch
from drmviz.figures.heatmap import RAIL_PX, Heatmap, Panel, absences, mean_text, rail_text, row_means
from drmviz.figures.names import columns, drawn
from drmviz.figures.png import Pixels
from drmviz.figures.providers import look_of
from drmviz.figures.rows import LEGIBLE_ROW_PX, named_every, panel_heights_px
from drmviz.figures.theme import Theme, ramp, rgb_of
from drmviz.figures.units import percent

_WIDTH_PX, _TOP_PX, _HEADING_PX, _EVENTS_PX, _AXIS_PX, _BOTTOM_PX = 1200, 64, 30, 14, 24, 14
_LETTER_PX = 6.7
_LONGEST_LABEL = 44
_SURFACE = 250  # colours of the ramp come before it, ground and stripe of the hatching after it
_EVENT_MARKS = {"added": "▲", "removed": "▼", "lost": "✕"}


def draw(heatmap: Heatmap, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; without any panel it is a notice."""
    width_px = options.width or _WIDTH_PX
    if not heatmap.panels:
        text = heatmap.notice or ""
        return notice(heatmap.title, heatmap.subtitle, text, width_px=width_px, theme=theme)
    panels = len(heatmap.panels)
    top_px = _TOP_PX if heatmap.title else 12
    above_px = _HEADING_PX + (_EVENTS_PX if heatmap.events else 0)
    around_px = top_px + _BOTTOM_PX + above_px + (panels - 1) * _HEADING_PX + panels * _AXIS_PX
    heights_px = panel_heights_px(
        [len(panel.rows.workers) for panel in heatmap.panels], height=options.height, around_px=around_px
    )
    canvas = Canvas(width_px, around_px + sum(heights_px), theme)
    canvas.title(heatmap.title, heatmap.subtitle)
    longest = min(_LONGEST_LABEL, max(8, width_px // 16))
    labels = [_labels(panel, px, longest) for panel, px in zip(heatmap.panels, heights_px, strict=True)]
    widest = max(columns(label) for shown in labels for label in shown.values())
    left_px = 22 + (RAIL_PX if heatmap.is_grouped else 0) + round(_LETTER_PX * widest)
    right_px = 58 if any(_is_legible(panel, px) for panel, px in zip(heatmap.panels, heights_px, strict=True)) else 20
    y_px = top_px + above_px
    for number, (panel, panel_px) in enumerate(zip(heatmap.panels, heights_px, strict=True)):
        box = (left_px, y_px, width_px - left_px - right_px, panel_px)
        up_px = 14 + (_EVENTS_PX if heatmap.events and number == 0 else 0)
        canvas.text(left_px, y_px - up_px, panel.name, colour=theme.ink, size_px=13, weight="bold")
        if panel.note:
            canvas.text(left_px + 12 + 10 * len(panel.name), y_px - up_px, panel.note, colour=theme.ink_faint)
        if number == 0:
            _draw_scale(canvas, panel, right_px=box[0] + box[2], y_px=y_px - up_px)
            _draw_events(canvas, heatmap, box)
        _draw_cells(canvas, panel, box)
        _draw_labels(canvas, panel, labels[number], box)
        _draw_groups(canvas, heatmap, panel, box)
        canvas.clock(float(heatmap.starts_at_s[0]), heatmap.end_s, box)
        y_px += panel_px + _AXIS_PX + _HEADING_PX
    return canvas.figure


def _is_legible(panel: Panel, height_px: int) -> bool:
    return height_px / len(panel.rows.workers) >= LEGIBLE_ROW_PX


def _labels(panel: Panel, height_px: int, longest: int) -> dict[int, str]:
    """Return what is written beside the rows that carry a name."""
    workers = panel.rows.workers
    every = named_every(len(workers), height_px)
    return {row: drawn(workers[row], limit=longest) for row in range(0, len(workers), every)}


def pixels(panel: Panel, *, row_px: int, column_px: int, gap_px: int, theme: Theme) -> Pixels:
    """Return opaque RGBA: the ramp where measured, hatching where not, the surface where not alive."""
    scaled = np.clip(panel.values * np.float32((_SURFACE - 1) / panel.highest), 0, _SURFACE - 1)
    levels = np.where(np.isnan(scaled), np.float32(_SURFACE), np.rint(scaled)).astype(np.uint8)
    levels = np.repeat(np.repeat(levels, column_px, axis=1), row_px, axis=0)
    gaps = panel.gaps
    if gaps.any():
        levels = np.where(gaps.repeat(column_px, axis=1).repeat(row_px, axis=0),
                          _SURFACE + hatch(gaps, row_px=row_px, column_px=column_px), levels)  # fmt: skip
    if gap_px:
        levels.reshape(len(gaps), row_px, -1)[:, row_px - gap_px :] = _SURFACE
    table = np.full((_SURFACE + 3, 4), 255, dtype=np.uint8)
    table[:_SURFACE, :3] = ramp(theme.name, steps=_SURFACE)
    table[_SURFACE:, :3] = [rgb_of(colour) for colour in (theme.surface, theme.track, theme.ink_faint)]
    return np.take(table, levels, axis=0)


def _draw_cells(canvas: Canvas, panel: Panel, box: tuple[float, float, float, float]) -> None:
    rows, cells = panel.values.shape
    row_px = box[3] / rows
    fine = row_px >= 6
    picture = pixels(
        panel, theme=canvas.theme,
        row_px=round(row_px * canvas.scale) if fine else 1,
        column_px=max(1, round(box[2] * canvas.scale / cells)) if fine or panel.gaps.any() else 1,
        gap_px=1 if fine else 0,
    )  # fmt: skip
    axes = canvas.axes(*box)
    canvas.image(axes, picture, extent=(0, cells, rows, 0))
    if row_px >= LEGIBLE_ROW_PX:
        _draw_absences(canvas, axes, panel)


def _draw_absences(canvas: Canvas, axes: Axes, panel: Panel) -> None:
    lines = [[(first, row + 0.5), (end, row + 0.5)] for row, first, end in absences(panel.rows.alive)]
    axes.add_collection(
        LineCollection(lines, colors=canvas.theme.line_strong, linewidths=0.8, linestyles=[(0, (1, 3))]), autolim=False
    )


def _draw_labels(canvas: Canvas, panel: Panel, labels: dict[int, str], box: tuple[float, float, float, float]) -> None:
    left_px, top_px, width_px, height_px = box
    row_px, colour = height_px / len(panel.values), canvas.theme.ink_soft
    for row, label in labels.items():
        canvas.text(left_px - 8, top_px + (row + 0.5) * row_px, label, colour=colour, mono=True, ha="right")
    if row_px < LEGIBLE_ROW_PX:
        return
    canvas.text(left_px + width_px + 6, top_px - 9, "mean", colour=canvas.theme.ink_faint, size_px=10)
    for row, mean in enumerate(row_means(panel)):
        text = mean_text(panel, mean)
        canvas.text(left_px + width_px + 6, top_px + (row + 0.5) * row_px, text, colour=canvas.theme.ink_faint)


def _draw_groups(canvas: Canvas, heatmap: Heatmap, panel: Panel, box: tuple[float, float, float, float]) -> None:
    """Draw a rail beside the rows of each provider, with its name along it where there is room."""
    _, top_px, _, height_px = box
    row_px = height_px / len(panel.rows.workers)
    for group in panel.rows.groups:
        look = look_of(group.provider, heatmap.providers, canvas.theme.name)
        begin_px, long_px = top_px + group.first * row_px, (group.end - group.first) * row_px
        canvas.rectangle(30, begin_px + 1, 3, max(1.0, long_px - 2), colour=look.colour)
        if fitting := rail_text(group, look, long_px):
            canvas.text(18, begin_px + long_px / 2, fitting, colour=look.colour, size_px=10, rotation=90, ha="center")


def _draw_scale(canvas: Canvas, panel: Panel, *, right_px: float, y_px: float) -> None:
    highest = percent(panel.highest) if panel.unit else f"{panel.highest:.0f}"
    canvas.text(right_px, y_px, highest, colour=canvas.theme.ink_faint, ha="right")
    canvas.text(right_px - 168, y_px, "0 %" if panel.unit else "0", colour=canvas.theme.ink_faint, ha="right")
    axes = canvas.axes(right_px - 162, y_px - 4, 120, 8)
    canvas.image(axes, ramp(canvas.theme.name)[None], extent=(0, 1, 1, 0))


def _draw_events(canvas: Canvas, heatmap: Heatmap, box: tuple[float, float, float, float]) -> None:
    colours = {"added": canvas.theme.up, "removed": canvas.theme.down, "lost": canvas.theme.bad}
    start_s = float(heatmap.starts_at_s[0])
    for event in heatmap.events:
        x_px = box[0] + (event.at_s - start_s) / (heatmap.end_s - start_s) * box[2]
        canvas.text(x_px, box[1] - 8, _EVENT_MARKS[event.kind], colour=colours[event.kind], size_px=10, ha="center")

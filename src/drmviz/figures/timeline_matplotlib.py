"""The timeline of tests as a Matplotlib figure."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.crowd import Crowd
from drmviz.figures.names import columns, drawn
from drmviz.figures.rows import named_every, panel_height_px
from drmviz.figures.theme import Theme, rgb_of
from drmviz.figures.timeline import BAD_LOOKS, LOOKS, Ranking, Timeline, legend, look_colour

_WIDTH_PX, _TOP_PX, _LEGEND_PX, _AXIS_PX, _HEADING_PX, _ITEM_PX, _BOTTOM_PX = 1200, 64, 30, 30, 40, 30, 20
_LETTER_PX = 6.7
_LONGEST_LABEL, _LONGEST_RANKED = 44, 64
_BESIDE_FROM_PX = 900
_MARKERS = {"failed": ("X", 34), "error": ("D", 24), "crashed": ("*", 70)}
_TALL = 0.38  # half of a bar, in rows


def draw(timeline: Timeline, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; without any test it is a notice."""
    width_px = options.width or _WIDTH_PX
    if timeline.notice:
        return notice(timeline.title, timeline.subtitle, timeline.notice, width_px=width_px, theme=theme)
    rows = len(timeline.labels)
    beside = width_px >= _BESIDE_FROM_PX
    most = max(len(ranking.names) for ranking in timeline.rankings)
    ranked_px = (_HEADING_PX + most * _ITEM_PX) * (1 if beside else len(timeline.rankings))
    top_px = (_TOP_PX if timeline.title else 12) + _LEGEND_PX
    fixed_px = top_px + _AXIS_PX + ranked_px + _BOTTOM_PX
    rows_px = panel_height_px(rows, height=options.height, panels=1, around_px=fixed_px)
    canvas = Canvas(width_px, fixed_px + rows_px, theme)
    canvas.title(timeline.title, timeline.subtitle)
    longest = min(_LONGEST_LABEL, max(8, width_px // 16))
    labels = {row: drawn(timeline.labels[row], limit=longest) for row in range(0, rows, named_every(rows, rows_px))}
    left_px = 22 + round(_LETTER_PX * max(columns(label) for label in labels.values()))
    box = (left_px, top_px, width_px - left_px - 20, rows_px)
    for row, label in labels.items():
        y_px = top_px + (row + 0.5) * rows_px / rows
        canvas.text(left_px - 8, y_px, label, colour=theme.ink_soft, mono=True, ha="right")
    _draw_legend(canvas, timeline, left_px, top_px - 14)
    if timeline.crowd is None:
        _draw_bars(canvas, timeline, box)
    else:
        _draw_crowd(canvas, timeline.crowd, box)
    canvas.clock(timeline.start_s, timeline.end_s, box)
    y_px = top_px + rows_px + _AXIS_PX
    half_px = (width_px - 36 - 40) / 2
    for number, ranking in enumerate(timeline.rankings):
        x_px = 18 + number * (half_px + 40) if beside else 18
        ranked_width_px = half_px if beside else width_px - 36
        _draw_ranking(canvas, ranking, x_px, y_px, ranked_width_px)
        y_px += 0 if beside else _HEADING_PX + most * _ITEM_PX
    return canvas.figure


def _draw_legend(canvas: Canvas, timeline: Timeline, x_px: float, y_px: float) -> None:
    for entry in legend(timeline):
        text = f"{entry.number:,} {entry.name}"
        canvas.text(x_px, y_px, entry.sign, colour=look_colour(entry.look, canvas.theme), size_px=12)
        canvas.text(x_px + 15, y_px, text, colour=canvas.theme.ink_soft, size_px=12)
        x_px += 15 + 7.2 * len(text) + 14


def _draw_bars(canvas: Canvas, timeline: Timeline, box: tuple[float, float, float, float]) -> None:
    bars, theme, rows = timeline.bars, canvas.theme, len(timeline.workers)
    axes = canvas.axes(*box)
    axes.set_xlim(0, timeline.end_s - timeline.start_s)
    axes.set_ylim(rows - 0.5, -0.5)
    left = bars.start_s - timeline.start_s
    right = np.maximum(bars.end_s - timeline.start_s, left + timeline.pixel_s)
    corners = np.stack(
        [
            np.stack([left, bars.row - _TALL], axis=-1),
            np.stack([right, bars.row - _TALL], axis=-1),
            np.stack([right, bars.row + _TALL], axis=-1),
            np.stack([left, bars.row + _TALL], axis=-1),
        ],
        axis=1,
    )
    wide = (right - left > 5 * timeline.pixel_s) & (box[3] / rows >= 6)
    for look, name in enumerate(LOOKS):
        for chosen, edge in ((bars.look == look) & wide, 0.7), ((bars.look == look) & ~wide, 0.0):
            if chosen.any():
                axes.add_collection(
                    PolyCollection(
                        list(corners[chosen]), facecolors=look_colour(name, theme), edgecolors=theme.surface,
                        linewidths=edge, hatch="////" if name in BAD_LOOKS and edge else None,
                    ),
                    autolim=False,
                )  # fmt: skip
        chosen = bars.look == look
        if name in BAD_LOOKS and box[3] / rows >= 6 and chosen.any():
            marker, area = _MARKERS[name]
            axes.scatter(
                (left[chosen] + right[chosen]) / 2, bars.row[chosen] - 0.44, s=area, marker=marker,
                color=theme.bad, edgecolors=theme.surface, linewidths=0.7, clip_on=False, zorder=3,
            )  # fmt: skip


def _draw_crowd(canvas: Canvas, crowd: Crowd, box: tuple[float, float, float, float]) -> None:
    empty, full, bad = (np.array(rgb_of(c)) for c in (canvas.theme.surface, canvas.theme.accent, canvas.theme.bad))
    pixels = empty + (full - empty) * crowd.busy[..., None]
    pixels[crowd.bad] = bad
    axes = canvas.axes(*box)
    canvas.image(axes, pixels.round().astype(np.uint8), extent=(0, 1, 0, 1))


def _draw_ranking(canvas: Canvas, ranking: Ranking, x_px: float, y_px: float, width_px: float) -> None:
    theme = canvas.theme
    canvas.text(x_px, y_px + 16, ranking.title, colour=theme.ink, size_px=13, weight="bold")
    canvas.text(x_px + 8.4 * len(ranking.title) + 8, y_px + 16, ranking.explained, colour=theme.ink_faint, size_px=12)
    limit = min(_LONGEST_RANKED, int((width_px - 90) / _LETTER_PX))
    height_px = len(ranking.names) * _ITEM_PX
    axes = canvas.axes(x_px, y_px + _HEADING_PX, width_px, height_px)
    axes.set_xlim(0, max(*ranking.values, 1e-9))
    axes.set_ylim(height_px, 0)
    places = np.arange(len(ranking.names)) * _ITEM_PX + 20.0
    colours = [theme.bad if bad else theme.accent for bad in ranking.bad]
    axes.barh(places, ranking.values, height=7, color=colours)
    for place, name, written, bad in zip(places.tolist(), ranking.names, ranking.written, ranking.bad, strict=True):
        at_px = y_px + _HEADING_PX + place - 12
        text = drawn(name, limit=limit)
        canvas.text(x_px, at_px, f"✕ {text}" if bad else text, colour=theme.ink_soft, mono=True)
        canvas.text(x_px + width_px, at_px, written, colour=theme.ink, weight="bold", ha="right")

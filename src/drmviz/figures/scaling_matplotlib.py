"""The scaling history as a Matplotlib figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from drmviz.figures.base import FigureOptions
from drmviz.figures.canvas import Canvas, notice
from drmviz.figures.gaps import hatch
from drmviz.figures.scaling import (
    DECIDED,
    KIND_NAMES,
    SIGNS,
    Kind,
    Mark,
    ScalingHistory,
    fate_colour,
    kind_colour,
    line_colour,
    tinted,
)
from drmviz.figures.scaling_places import (
    BADGE_PX,
    BELOW_LABEL_PX,
    BOTTOM_PX,
    COUNT_PX,
    HEADING_PX,
    LINE_PX,
    LIST_PX,
    MOST_LEADERS,
    ROW_PX,
    SPLIT_FROM_PX,
    Places,
    fact_numbers,
    labelled,
    level_ticks,
    list_heading,
    places,
    side_of,
    spread,
)
from drmviz.figures.theme import Theme, rgb_of

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

_WIDTH_PX, _EDGE_PX, _LEFT_PX, _BETWEEN_PX = 1200, 18, 62, 40
_LETTER_PX, _BOLD_LETTER_PX, _CAPITAL_PX = 6.7, 8.1, 11.0
_MARKERS = {"up": "^", "down": "v", "hold": "|", "joined": "^", "left": "v", "lost": "X"}
_AREAS: dict[Kind, int] = {"up": 62, "down": 62, "hold": 40}
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 2)))


def draw(history: ScalingHistory, options: FigureOptions, theme: Theme) -> Figure:
    """Return the figure; with nothing to see it is a notice."""
    width_px = options.width or _WIDTH_PX
    if history.notice:
        return notice(history.title, history.subtitle, history.notice, width_px=width_px, theme=theme)
    split = width_px >= SPLIT_FROM_PX
    letters = int((_column_px(width_px, split=split) - BADGE_PX) / _LETTER_PX)
    laid = places(history, height=options.height, letters=max(20, letters), split=split)
    canvas = Canvas(width_px, laid.top_px + laid.plot_px(split=split) + BOTTOM_PX, theme)
    canvas.title(history.title, history.subtitle)
    right_px = _EDGE_PX + 10 + _LETTER_PX * max((len(line.label) for line in history.lines), default=0)
    plot_px = width_px - _LEFT_PX - right_px
    use = (_LEFT_PX, laid.top_px + HEADING_PX, plot_px, laid.use_px)
    rows = (_LEFT_PX, laid.top_px + laid.rows_at_px, plot_px, max(1, laid.rows_px))
    count = (_LEFT_PX, laid.top_px + laid.count_at_px, plot_px, COUNT_PX)
    _write_headings(canvas, history, laid)
    _draw_use(canvas, history, use)
    _draw_size(canvas, history, count)
    _draw_rows(canvas, history, rows)
    _draw_marks(canvas, history, use, rows, count)
    canvas.clock(history.start_s, history.end_s, count)
    _write_items(canvas, laid, split=split)
    return canvas.figure


def _column_px(width_px: int, *, split: bool) -> float:
    """Return how wide a column of the list is."""
    return (width_px - 2 * _EDGE_PX - _BETWEEN_PX) / 2 if split else width_px - 2 * _EDGE_PX


def _axes(canvas: Canvas, history: ScalingHistory, box: Box, *, low: float, high: float) -> Axes:
    axes = canvas.axes(*box)
    axes.set_xlim(0, history.end_s - history.start_s)
    axes.set_ylim(low, high)
    return axes


def _write_headings(canvas: Canvas, history: ScalingHistory, laid: Places) -> None:
    """Write what the panels show and what the marks stand for."""
    theme, y_px, x_px = canvas.theme, laid.top_px + HEADING_PX - 14, float(_EDGE_PX)
    canvas.text(x_px, y_px, history.heading, colour=theme.ink, size_px=13, weight="bold")
    found = [kind for kind in SIGNS if any(mark.kind == kind for mark in history.marks)]
    signs_px = sum(24 + 7 * len(KIND_NAMES[kind]) for kind in found)
    x_px += 12 + sum(_CAPITAL_PX if letter.isupper() else _BOLD_LETTER_PX for letter in history.heading)
    if x_px + 7 * len(history.explained) < canvas.width_px - signs_px - 20:
        canvas.text(x_px, y_px, history.explained, colour=theme.ink_faint, size_px=12)
    x_px = canvas.width_px - _EDGE_PX - signs_px + 12
    for kind in found:
        canvas.text(x_px, y_px, SIGNS[kind], colour=kind_colour(kind, theme))
        canvas.text(x_px + 12, y_px, KIND_NAMES[kind], colour=theme.ink_soft, size_px=12)
        x_px += 24 + 7 * len(KIND_NAMES[kind])
    _veiled(canvas, _LEFT_PX, laid.top_px + laid.count_at_px - 11, history.counted, colour=theme.ink_faint)
    y_px = laid.top_px + laid.list_at_px + LIST_PX // 2 + 2
    canvas.text(_EDGE_PX, y_px, "Scaling decisions", colour=theme.ink, size_px=13, weight="bold")
    text = list_heading(history, laid)[0 if canvas.width_px >= SPLIT_FROM_PX else 1]
    canvas.text(_EDGE_PX + 12 + _BOLD_LETTER_PX * 17, y_px, text, colour=theme.ink_faint, size_px=12)
    if history.remark:
        canvas.text(_EDGE_PX, y_px + 24, history.remark, colour=theme.ink_soft, size_px=12)


def _veiled(canvas: Canvas, x_px: float, y_px: float, text: str, *, colour: str, **more: Any) -> None:
    """Write words that are read although lines pass below."""
    ground = {"facecolor": canvas.theme.surface, "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
    canvas.text(x_px, y_px, text, colour=colour, bbox=ground, **more)


def _draw_use(canvas: Canvas, history: ScalingHistory, box: Box) -> None:
    """Draw the zones between thresholds, the lines, and at their ends what they are."""
    theme = canvas.theme
    axes = _axes(canvas, history, box, low=0, high=history.highest)
    left_px, top_px, width_px, height_px = box

    def y_px(level: float) -> float:
        return top_px + (1 - level / history.highest) * height_px

    for level in level_ticks(history):
        axes.axhline(level, color=theme.line, linewidth=0.7, zorder=0)
        text = f"{level:.0f} %" if history.unit else f"{level:g}"
        canvas.text(left_px - 8, y_px(level), text, colour=theme.ink_faint, ha="right")
    for zone in history.zones:
        colour = tinted(theme.bad if zone.name == "above" else theme.up, 0.08, theme)
        axes.axhspan(zone.low, zone.high, color=colour, linewidth=0, zorder=0.5)
    _draw_gaps(axes, history, box, theme)
    for threshold in history.thresholds:
        dashes = (0, (1, 4)) if threshold.name == "target" else (0, (5, 4))
        axes.axhline(threshold.percent, color=theme.ink_faint, linewidth=0.8, linestyle=dashes, zorder=1)
        at = threshold.text_at
        side = "left" if at == 0 else "right" if at == 1 else "center"
        x_px = left_px + at * width_px + (6 if at == 0 else -6 if at == 1 else 0)
        at_px = y_px(threshold.percent) + (-9 if threshold.is_text_above else 9)
        _veiled(canvas, x_px, at_px, threshold.text, colour=theme.ink_faint, ha=side)
    _draw_lines(axes, history, theme)
    if history.is_unknown:
        middle_px = left_px + width_px / 2, top_px + height_px / 2
        ground = {"facecolor": theme.surface, "edgecolor": "none", "pad": 4}
        canvas.text(*middle_px, history.explained, colour=theme.ink_soft, size_px=12, ha="center", bbox=ground)
        return
    ends_px = [line.end / history.highest * height_px for line in history.lines]
    for number, at_px in enumerate(spread(ends_px, apart=13, most=height_px)):
        label, colour = history.lines[number].label, line_colour(number, theme)
        canvas.text(left_px + width_px + 8, top_px + height_px - at_px, label, colour=colour)


def _draw_lines(axes: Axes, history: ScalingHistory, theme: Theme) -> None:
    middles = history.starts_at_s - history.start_s + history.width_s / 2
    for number, line in reversed(list(enumerate(history.lines))):
        colour, dashes = line_colour(number, theme), _DASHES[min(number, 2)]
        axes.plot(middles, line.values, color=colour, linewidth=1.0 if number else 1.7, linestyle=dashes, zorder=2)
        if line.single.any():
            axes.scatter(middles[line.single], line.values[line.single], s=9, color=colour, linewidths=0, zorder=2)


def _draw_gaps(axes: Axes, history: ScalingHistory, box: Box, theme: Theme) -> None:
    gaps = history.unmeasured[None, :]
    if not gaps.any():
        return
    levels = hatch(gaps, row_px=round(box[3]), column_px=max(1, round(box[2] / gaps.shape[1])))
    colours = np.array([(0, 0, 0, 0), (*rgb_of(theme.track), 255), (*rgb_of(theme.ink_faint), 255)], dtype=np.uint8)
    extent = (0, history.end_s - history.start_s, 0, history.highest)
    axes.imshow(colours[levels], aspect="auto", interpolation="nearest", extent=extent, zorder=0.8)


def _draw_size(canvas: Canvas, history: ScalingHistory, box: Box) -> None:
    theme, most = canvas.theme, history.most_workers
    axes = _axes(canvas, history, box, low=0, high=most * 1.12)
    moments = history.size.at_s - history.start_s
    axes.fill_between(moments, history.size.workers, step="post", color=theme.track, linewidth=0)
    axes.plot(moments, history.size.workers, drawstyle="steps-post", color=theme.ink_faint, linewidth=1.0)
    for level in (0.0, most):
        axes.axhline(level, color=theme.line, linewidth=0.7, zorder=0)
        y_px = box[1] + box[3] * (1 - level / (most * 1.12))
        canvas.text(box[0] - 8, y_px, f"{level:,.0f}", colour=theme.ink_faint, ha="right")


def _draw_rows(canvas: Canvas, history: ScalingHistory, box: Box) -> None:
    """Draw who joined and left, a row for each fate."""
    theme, rows = canvas.theme, history.rows
    if not rows:
        return
    axes = _axes(canvas, history, box, low=len(rows) - 0.5, high=-0.5)
    for place, row in enumerate(rows):
        axes.axhline(place, color=theme.line_strong, linewidth=0.7, linestyle=(0, (1, 3)), zorder=0)
        canvas.text(box[0] - 8, box[1] + (place + 0.5) * ROW_PX, row, colour=theme.ink_faint, ha="right")
        at_s = np.array([fact.at_s - history.start_s for fact in history.facts if fact.fate == row])
        if at_s.size:
            axes.scatter(at_s, np.full(at_s.shape, place), s=32, marker=_MARKERS[row], color=fate_colour(row, theme),
                         edgecolors=theme.surface, linewidths=0.7, clip_on=False, zorder=2)  # fmt: skip
    for fact, text in zip(history.facts, fact_numbers(history), strict=True):
        if text:
            x_px = box[0] + (fact.at_s - history.start_s) / (history.end_s - history.start_s) * box[2]
            y_px = box[1] + (rows.index(fact.fate) + 0.5) * ROW_PX
            canvas.text(x_px + 7, y_px, text, colour=theme.ink_soft, size_px=10)


def _draw_marks(canvas: Canvas, history: ScalingHistory, use: Box, rows: Box, count: Box) -> None:
    """Draw the decisions, with lines down to the number of workers where there are few."""
    theme, span_s, (left_px, top_px, width_px, _) = canvas.theme, history.end_s - history.start_s, use
    high_px = count[1] + count[3] - top_px
    axes = _axes(canvas, history, (left_px, top_px, width_px, high_px), low=high_px, high=0)
    axes.set_zorder(4)  # above the words of thresholds

    def place(mark: Mark) -> tuple[float, float]:
        """Return how many seconds from the left and pixels from the top it is."""
        if mark.level is None:
            return mark.at_s - history.start_s, rows[1] - top_px + (history.rows.index(DECIDED) + 0.5) * ROW_PX
        return mark.at_s - history.start_s, (1 - mark.level / history.highest) * use[3]

    acting = [mark for mark in history.marks if mark.kind != "hold" and mark.level is not None]
    if len(acting) <= MOST_LEADERS:
        below = [BELOW_LABEL_PX if mark.kind == "down" and mark.label else 0 for mark in acting]
        leaders = [
            [(x, min(y + skipped, high_px)), (x, high_px)]
            for (x, y), skipped in zip(map(place, acting), below, strict=True)
        ]
        colours = [kind_colour(mark.kind, theme) for mark in acting]
        lines = LineCollection(leaders, colors=colours, linewidths=0.8, linestyles=[(0, (2, 3))])
        axes.add_collection(lines, autolim=False)
    kinds: tuple[Kind, ...] = ("hold", "down", "up")
    for kind in kinds:
        at = np.array([place(mark) for mark in history.marks if mark.kind == kind]).reshape(-1, 2)
        colour = kind_colour(kind, theme)
        edge = None if kind == "hold" else theme.surface
        axes.scatter(at[:, 0], at[:, 1], s=_AREAS[kind], marker=_MARKERS[kind], linewidths=1.0, color=colour,
                     edgecolors=edge, clip_on=False, zorder=3)  # fmt: skip
    for mark, fits in zip(history.marks, labelled(history.marks, span_s, width_px=width_px), strict=True):
        if fits:
            _write_label(canvas, history, mark, place(mark), use)


def _write_label(canvas: Canvas, history: ScalingHistory, mark: Mark, place: tuple[float, float], use: Box) -> None:
    side = side_of(mark, history)
    x_px, y_px = use[0] + place[0] / (history.end_s - history.start_s) * use[2], use[1] + place[1]
    if mark.level is None:
        x_px += -8 if side == "right" else 8
    else:
        x_px += {"left": -7, "center": 0, "right": 7}[side]
        y_px += -15 if mark.kind == "up" else 15
    _veiled(canvas, x_px, y_px, mark.label, colour=kind_colour(mark.kind, canvas.theme), weight="bold", ha=side)


def _write_items(canvas: Canvas, laid: Places, *, split: bool) -> None:
    """Write the list of decisions."""
    theme = canvas.theme
    wide_px = _column_px(canvas.width_px, split=split)
    axes = canvas.axes(0, 0, canvas.width_px, canvas.height_px)
    axes.set_xlim(0, canvas.width_px)
    axes.set_ylim(canvas.height_px, 0)
    for item, (column, at_px) in zip(laid.items, laid.items_at_px(split=split), strict=True):
        left_px, y_px = _EDGE_PX + column * (wide_px + _BETWEEN_PX), laid.top_px + at_px
        colour = kind_colour(item.kind, theme)
        axes.add_patch(FancyBboxPatch((left_px, y_px + 1), BADGE_PX - 8, 24, boxstyle="round,pad=0,rounding_size=6",
                                      color=tinted(colour, 0.17, theme), linewidth=0))  # fmt: skip
        middle_px = left_px + BADGE_PX / 2 - 4
        canvas.text(middle_px, y_px + 13, item.badge, colour=colour, size_px=12, weight="bold", ha="center")
        canvas.text(left_px + BADGE_PX, y_px + 9, item.heading, colour=theme.ink, size_px=12, weight="bold")
        canvas.text(left_px + wide_px, y_px + 9, item.when, colour=theme.ink_faint, ha="right")
        lines = [(line, theme.ink_soft) for line in laid.reason(item)]
        lines += [(line, theme.ink_faint) for line in laid.after(item)]
        for number, (line, ink) in enumerate(lines, 1):
            canvas.text(left_px + BADGE_PX, y_px + 9 + number * LINE_PX, line, colour=ink, size_px=12)

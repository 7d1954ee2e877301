"""The scaling history as a Plotly figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.gaps import hatch, png_address
from drmviz.figures.names import escaped
from drmviz.figures.plotly_parts import CONFIG, annotation, base_layout, narrow_title, notice_layout, time_axis
from drmviz.figures.scaling import (
    DECIDED,
    KIND_NAMES,
    SIGNS,
    ScalingHistory,
    kind_colour,
    line_colour,
    tinted,
)
from drmviz.figures.scaling_list import mark_items
from drmviz.figures.scaling_places import (
    BELOW_LABEL_PX,
    BOTTOM_PX,
    COUNT_PX,
    HEADING_PX,
    LETTERS,
    LIST_PX,
    MOST_LEADERS,
    NARROW_LETTERS,
    Places,
    labelled,
    level_ticks,
    list_heading,
    places,
    side_of,
    spread,
)
from drmviz.figures.scaling_traces import traces
from drmviz.figures.theme import Theme, rgb_of
from drmviz.figures.units import iso

_LEFT_PX, _RIGHT_PX, _EDGE_PX = 58, 18, 18
_LETTER_PX = 7.0
_WIDE_PX, _NARROW_PX = 700, 280
"""How wide the plot is where labels of marks must fit."""


def draw(history: ScalingHistory, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; with nothing to see it is a notice."""
    layout = base_layout(history.title, history.subtitle, options, theme)
    if history.notice:
        return notice_layout(layout, history.notice, theme)
    laid = places(history, height=options.height, letters=LETTERS)
    slim = replace(laid, letters=NARROW_LETTERS)
    longest = max((len(line.label) for line in history.lines), default=0)
    right_px = _RIGHT_PX + (round(_LETTER_PX * longest) + 4 if longest else 0)
    layout |= {
        "margin": {"l": _LEFT_PX, "r": right_px, "t": laid.top_px, "b": BOTTOM_PX, "pad": 0},
        "hovermode": "closest", "annotations": [], "shapes": [], "images": [],
        "xaxis": time_axis(history.start_s, history.end_s, theme, cell_s=history.width_s) | {
            "anchor": "y3", "showspikes": True, "spikemode": "across", "spikethickness": 1, "spikedash": "2px,3px",
            "spikecolor": theme.ink_faint, "spikesnap": "hovered data",
        },
    }  # fmt: skip
    layout |= _axes(history, theme)
    _mark_levels(layout, history, theme)
    _mark_gaps(layout, history, laid, theme)
    _mark_leaders(layout, history, laid, theme)
    _mark_ends(layout, history, laid, theme)
    narrow = _mark_headings(layout, history, laid, theme) | _mark_labels(layout, history, theme)
    narrow |= mark_items(layout, laid, slim, theme, edge_px=_EDGE_PX)
    narrow |= narrow_title(history.title, history.subtitle) | {"xaxis.nticks": 3}
    for path, value in _sizes(laid, split=True).items():
        axis, _, name = path.rpartition(".")
        (layout[axis] if axis else layout)[name] = value
    narrow |= _sizes(slim, split=False)
    return {"data": traces(history, theme), "layout": layout, "config": CONFIG, "narrow": narrow}


def _sizes(laid: Places, *, split: bool) -> dict[str, Any]:
    """Return the height of the figure and where its axes lie."""
    plot_px = laid.plot_px(split=split)

    def domain(at_px: int, high_px: int) -> list[float]:
        return [max(0.0, 1 - (at_px + high_px) / plot_px), 1 - at_px / plot_px]

    return {
        "height": laid.top_px + plot_px + BOTTOM_PX,
        "yaxis.domain": domain(HEADING_PX, laid.use_px),
        "yaxis2.domain": domain(laid.rows_at_px, max(1, laid.rows_px)),
        "yaxis3.domain": domain(laid.count_at_px, COUNT_PX),
    }


def _axes(history: ScalingHistory, theme: Theme) -> dict[str, Any]:
    plain = {"anchor": "x", "zeroline": False, "fixedrange": True, "ticks": "", "showline": False, "tickmode": "array",
             "tickfont": {"size": 11, "color": theme.ink_faint}, "gridcolor": theme.line, "showgrid": True}  # fmt: skip
    levels, rows, most = level_ticks(history), history.rows, history.most_workers
    return {
        "yaxis": plain | {
            "range": [0, history.highest], "tickvals": levels,
            "ticktext": [f"{level:.0f} %" if history.unit else f"{level:g}" for level in levels],
        },
        "yaxis2": plain | {
            "range": [len(rows) - 0.5, -0.5] if rows else [0, 1], "griddash": "1px,3px",
            "tickvals": list(range(len(rows))), "ticktext": list(rows), "gridcolor": theme.line_strong,
        },
        "yaxis3": plain | {"range": [0, most * 1.12], "tickvals": [0, most], "ticktext": ["0", f"{most:,.0f}"]},
    }  # fmt: skip


def _mark_levels(layout: dict[str, Any], history: ScalingHistory, theme: Theme) -> None:
    """Draw thresholds with their words, the band between them and the zone above."""
    across: dict[str, Any] = {"xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "layer": "below"}
    for zone in history.zones:
        ground = {"fillcolor": tinted(theme.bad if zone.name == "above" else theme.up, 0.08, theme)}
        layout["shapes"].append(
            across | ground | {"type": "rect", "y0": zone.low, "y1": zone.high, "line": {"width": 0}}
        )
    for threshold in history.thresholds:
        dash, level = ("1px,4px" if threshold.name == "target" else "5px,4px"), threshold.percent
        line = {"color": theme.ink_faint, "width": 1, "dash": dash}
        layout["shapes"].append(across | {"type": "line", "y0": level, "y1": level, "line": line})
        side = threshold.text_at
        layout["annotations"].append(annotation(
            threshold.text, theme.ink_faint, xref="x domain", x=side, xanchor=_anchor(side),
            xshift=6 if side == 0 else -6 if side == 1 else 0, yref="y", y=level, yanchor="middle",
            yshift=9 if threshold.is_text_above else -9, bgcolor=_veil(theme), borderpad=0,
        ))  # fmt: skip


def _anchor(at: float) -> str:
    return "left" if at == 0 else "right" if at == 1 else "center"


def _veil(theme: Theme) -> str:
    """Return a ground on which words are read although lines pass below."""
    return "rgba({},{},{},0.65)".format(*rgb_of(theme.surface))


def _mark_gaps(layout: dict[str, Any], history: ScalingHistory, laid: Places, theme: Theme) -> None:
    """Hatch where nobody was measured; where that is everywhere say so."""
    if history.is_unknown:
        middle: dict[str, Any] = {"xref": "x domain", "x": 0.5, "yref": "y domain", "y": 0.5}
        text = annotation(history.explained, theme.ink_soft, size=12, bgcolor=theme.surface, borderpad=4, **middle)
        layout["annotations"].append(text)
    gaps = history.unmeasured[None, :]
    if not gaps.any():
        return
    column_px = max(1, round(1000 / gaps.shape[1]))
    layout["images"].append({
        "source": png_address(hatch(gaps, row_px=laid.use_px, column_px=column_px), theme), "layer": "below",
        "xref": "x", "x": iso(history.starts_at_s[:1])[0], "sizex": gaps.shape[1] * history.width_s * 1000,
        "yref": "y domain", "y": 0, "sizey": 1, "xanchor": "left", "yanchor": "bottom", "sizing": "stretch",
    })  # fmt: skip


def _mark_leaders(layout: dict[str, Any], history: ScalingHistory, laid: Places, theme: Theme) -> None:
    """Draw a thin line from each decision to scale down to the number of workers."""
    acting = [mark for mark in history.marks if mark.kind != "hold" and mark.level is not None]
    if len(acting) > MOST_LEADERS:
        return
    for mark, moment in zip(acting, iso(np.array([mark.at_s for mark in acting])), strict=True):
        down_px = (1 - (mark.level or 0.0) / history.highest) * laid.use_px
        down_px += BELOW_LABEL_PX if mark.kind == "down" and mark.label else 0
        long_px = laid.count_at_px + COUNT_PX - HEADING_PX - down_px
        layout["shapes"].append({
            "type": "line", "xref": "x", "x0": moment, "x1": moment, "layer": "below", "opacity": 0.8,
            "yref": "y3 domain", "y0": 0, "y1": long_px / COUNT_PX,
            "line": {"color": kind_colour(mark.kind, theme), "width": 1, "dash": "2px,3px"},
        })  # fmt: skip


def _mark_ends(layout: dict[str, Any], history: ScalingHistory, laid: Places, theme: Theme) -> None:
    """Write at its end what each line is."""
    if history.is_unknown:
        return
    ends_px = [line.end / history.highest * laid.use_px for line in history.lines]
    for number, at_px in enumerate(spread(ends_px, apart=13, most=laid.use_px)):
        layout["annotations"].append(annotation(
            escaped(history.lines[number].label), line_colour(number, theme), xref="x domain", x=1, xanchor="left",
            xshift=8, yref="y domain", y=0, yanchor="middle", yshift=at_px,
        ))  # fmt: skip


def _mark_headings(layout: dict[str, Any], history: ScalingHistory, laid: Places, theme: Theme) -> dict[str, Any]:
    """Write what the panels show and what the marks stand for; return what a phone gets instead."""
    marks, faint = layout["annotations"], f'<span style="color:{theme.ink_faint};font-size:12px">'
    at: dict[str, Any] = {"xref": "x domain", "yref": "paper", "y": 1, "yanchor": "middle"}
    left = at | {"x": 0, "xanchor": "left", "xshift": _EDGE_PX - _LEFT_PX - 1}
    right = at | {"x": 1, "xanchor": "right", "xshift": layout["margin"]["r"] - _EDGE_PX}
    heading = f"<b>{escaped(history.heading)}</b>"
    narrow = {f"annotations.{len(marks)}.text": heading}
    text = f"{heading}  {faint}{escaped(history.explained)}</span>"
    marks.append(annotation(text, theme.ink, size=13, yshift=14 - HEADING_PX, **left))
    signs = [
        f'<span style="color:{kind_colour(kind, theme)}">{sign}</span> {KIND_NAMES[kind]}'
        for kind, sign in SIGNS.items()
        if any(mark.kind == kind for mark in history.marks)
    ]
    marks.append(annotation("   ".join(signs), theme.ink_soft, size=12, yshift=14 - HEADING_PX, **right))
    counted = left | {"xshift": 0, "bgcolor": _veil(theme), "borderpad": 0}
    marks.append(annotation(escaped(history.counted), theme.ink_faint, yshift=11 - laid.count_at_px, **counted))
    wide, slim = list_heading(history, laid)
    down_px = laid.list_at_px + LIST_PX // 2 + 2
    narrow[f"annotations.{len(marks)}.text"] = f"<b>Scaling decisions</b>  {faint}{slim}</span>"
    text = f"<b>Scaling decisions</b>  {faint}{wide}</span>"
    marks.append(annotation(text, theme.ink, size=13, yshift=-down_px, **left))
    if history.remark:
        marks.append(annotation(history.remark, theme.ink_soft, size=12, yshift=-down_px - 24, **left))
    return narrow


def _mark_labels(layout: dict[str, Any], history: ScalingHistory, theme: Theme) -> dict[str, Any]:
    """Write beside marks how many workers they are about; return which of these a phone leaves out."""
    narrow: dict[str, Any] = {}
    span_s = history.end_s - history.start_s
    room = labelled(history.marks, span_s, width_px=_WIDE_PX)
    shown = [mark for mark, fits in zip(history.marks, room, strict=True) if fits]
    room = labelled(shown, span_s, width_px=_NARROW_PX)
    for mark, moment, fits in zip(shown, iso(np.array([mark.at_s for mark in shown])), room, strict=True):
        side = side_of(mark, history)
        outward_px = {"left": -1, "center": 0, "right": 1}[side] * 7
        at: dict[str, Any] = {"yref": "y", "y": mark.level, "yshift": 15 if mark.kind == "up" else -15}
        if mark.level is None:
            at, outward_px = {"yref": "y2", "y": history.rows.index(DECIDED)}, -8 if side == "right" else 8
        if not fits:
            narrow[f"annotations.{len(layout['annotations'])}.visible"] = False
        layout["annotations"].append(annotation(
            f"<b>{mark.label}</b>", kind_colour(mark.kind, theme), xref="x", x=moment, yanchor="middle", visible=True,
            xanchor=side, xshift=outward_px,
            bgcolor=_veil(theme), borderpad=0, **at,
        ))  # fmt: skip
    return narrow

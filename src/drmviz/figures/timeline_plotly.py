"""The timeline of tests as a Plotly figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from drmviz.figures.base import CellText, FigureOptions, PlotlySpec
from drmviz.figures.crowd import Crowd
from drmviz.figures.names import columns, drawn, escaped
from drmviz.figures.plotly_parts import CONFIG, annotation, base_layout, narrow_title, notice_layout, time_axis
from drmviz.figures.rows import named_every, panel_height_px
from drmviz.figures.theme import MONO, Theme
from drmviz.figures.timeline import BAD_LOOKS, LOOKS, Ranking, Timeline, legend, look_colour
from drmviz.figures.units import clock, iso

_TOP_PX, _LEGEND_PX, _AXIS_PX, _HEADING_PX, _ITEM_PX, _BOTTOM_PX = 64, 30, 30, 44, 30, 20
_LETTER_PX = 6.7
_LONGEST_LABEL, _LONGEST_NARROW, _LONGEST_RANKED = 44, 12, 64
_NARROW_PX, _WIDE_PX = 330, 1000  # where names must fit beside their values: a phone less the card around it
_SYMBOLS = {"failed": "x", "error": "diamond", "crashed": "star"}


def draw(timeline: Timeline, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; without any test it is a notice."""
    layout = base_layout(timeline.title, timeline.subtitle, options, theme)
    if timeline.notice:
        return notice_layout(layout, timeline.notice, theme)
    rows = len(timeline.labels)
    most = max(len(ranking.names) for ranking in timeline.rankings)
    top_px = _TOP_PX if timeline.title else 12
    fixed_px = top_px + _LEGEND_PX + _AXIS_PX + _HEADING_PX + most * _ITEM_PX + _BOTTOM_PX
    rows_px = panel_height_px(rows, height=options.height, panels=1, around_px=fixed_px)
    shown = range(0, rows, named_every(rows, rows_px))
    longest = max(columns(drawn(timeline.labels[row], limit=_LONGEST_LABEL)) for row in shown)
    layout |= {
        "margin": {"l": 22 + round(_LETTER_PX * longest), "r": 20, "t": top_px, "b": _BOTTOM_PX, "pad": 0},
        "barmode": "overlay", "hovermode": "closest", "annotations": [], "shapes": [], "bargap": 0,
        "xaxis": time_axis(timeline.start_s, timeline.end_s, theme, cell_s=timeline.pixel_s),
        "yaxis": {
            "type": "linear", "range": [rows - 0.5, -0.5], "showgrid": False, "zeroline": False, "fixedrange": True,
            "tickmode": "array", "tickvals": list(shown), "ticks": "", "ticklabelstandoff": 8,
            "ticktext": [escaped(drawn(timeline.labels[row], limit=_LONGEST_LABEL)) for row in shown],
            "tickfont": {"size": 11, "color": theme.ink_soft, "family": MONO},
        },
    }  # fmt: skip
    if timeline.crowd is not None:
        traces = _crowd_traces(timeline.crowd, theme)
    else:
        traces = _bar_traces(timeline, theme, edged=rows_px / rows >= 6)
    if timeline.crowd is None and rows_px / rows >= 6:
        traces += _bad_marks(timeline, theme)
    narrow = _mark_legend(layout, timeline, theme) | narrow_title(timeline.title, timeline.subtitle)
    narrow |= {
        "margin.l": 18 + round(_LETTER_PX * min(longest, _LONGEST_NARROW)),
        "yaxis.ticktext": [escaped(drawn(timeline.labels[row], limit=_LONGEST_NARROW)) for row in shown],
        "xaxis.nticks": 3,
    }
    sides_px = layout["margin"]["l"] + 20, narrow["margin.l"] + 20
    room_px = 0.48 * (_WIDE_PX - sides_px[0]), _NARROW_PX - sides_px[1]
    for number, ranking in enumerate(timeline.rankings):
        axis = str(number + 2)
        traces.append(_ranking_trace(ranking, axis, theme))
        layout[f"xaxis{axis}"] = _hidden_axis() | {"anchor": f"y{axis}", "range": [0, max(*ranking.values, 1e-9)]}
        layout[f"yaxis{axis}"] = _hidden_axis() | {"anchor": f"x{axis}", "range": [most - 0.5, -0.7]}
        narrow |= _mark_ranking(layout, ranking, axis, theme, room_px=room_px)
    ranked_px = most * _ITEM_PX
    for path, value in _places(rows_px, ranked_px, top_px, rankings=len(timeline.rankings), beside=True).items():
        axis, _, name = path.rpartition(".")
        (layout[axis] if axis else layout)[name] = value
    if len(legend(timeline)) > 3:  # a phone needs two lines for it
        top_px += 14
        narrow["margin.t"] = top_px
    narrow |= _places(rows_px, ranked_px, top_px, rankings=len(timeline.rankings), beside=False)
    return {"data": traces, "layout": layout, "config": CONFIG, "narrow": narrow}


def _places(rows_px: int, ranked_px: int, top_px: int, *, rankings: int, beside: bool) -> dict[str, Any]:
    """Return the height and where each axis lies; rankings stand beside each other, or one below the other."""
    stories = 1 if beside else rankings
    plot_px = _LEGEND_PX + rows_px + _AXIS_PX + stories * (_HEADING_PX + ranked_px)
    places: dict[str, Any] = {
        "height": top_px + plot_px + _BOTTOM_PX,
        "yaxis.domain": [1 - (_LEGEND_PX + rows_px) / plot_px, 1 - _LEGEND_PX / plot_px],
    }
    for number in range(rankings):
        story = 0 if beside else number
        above_px = _LEGEND_PX + rows_px + _AXIS_PX + story * (_HEADING_PX + ranked_px) + _HEADING_PX
        places[f"yaxis{number + 2}.domain"] = [max(0.0, 1 - (above_px + ranked_px) / plot_px), 1 - above_px / plot_px]
        places[f"xaxis{number + 2}.domain"] = [0, 1] if not beside else [0, 0.48] if number == 0 else [0.52, 1]
    return places


def _bar_traces(timeline: Timeline, theme: Theme, *, edged: bool) -> list[dict[str, Any]]:
    traces = []
    bars, pixel_s = timeline.bars, timeline.pixel_s
    lengths_s = np.maximum(bars.end_s - bars.start_s, pixel_s)
    outlined = edged & (lengths_s > 5 * pixel_s)
    for look, name in enumerate(LOOKS):
        chosen = np.flatnonzero(bars.look == look)
        if not chosen.size:
            continue
        marker: dict[str, Any] = {
            "color": look_colour(name, theme),
            "line": {
                "color": theme.surface,
                "width": outlined[chosen].astype(int).tolist(),
            },
        }
        if name in BAD_LOOKS:
            marker["pattern"] = {
                "shape": "/",
                "size": 5,
                "solidity": 0.3,
                "fgcolor": theme.surface,
                "bgcolor": theme.bad,
            }
        traces.append({
            "type": "bar", "orientation": "h", "name": name, "xaxis": "x", "yaxis": "y",
            "base": iso(bars.start_s[chosen]), "x": (lengths_s[chosen] * 1000).tolist(),
            "y": bars.row[chosen].tolist(), "width": 0.76, "marker": marker,
            "hovertext": [
                f"{escaped(bars.texts[i])}<br>from {clock(float(bars.start_s[i]))} UTC" for i in chosen.tolist()
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
        })  # fmt: skip
    return traces


def _crowd_traces(crowd: Crowd, theme: Theme) -> list[dict[str, Any]]:
    starts = iso(crowd.starts_s)
    names = tuple(escaped(drawn(label)) for label in crowd.labels)
    whose = np.repeat(np.arange(len(names), dtype=np.uint16)[:, None], len(starts), axis=1)
    across: dict[str, Any] = {
        "type": "heatmap", "xaxis": "x", "yaxis": "y", "x": starts, "y": list(range(len(names))),
        "xperiod": crowd.width_s * 1000, "xperiod0": starts[0], "xperiodalignment": "middle",
        "showscale": False, "zmin": 0, "zmax": 100, "text": CellText(texts=names, index=whose),
    }  # fmt: skip
    busy = across | {
        "name": "in tests", "z": crowd.busy * np.float32(100), "colorscale": [[0, theme.surface], [1, theme.accent]],
        "hovertemplate": "<b>%{text}</b><br>%{z:.0f} % of the time in tests<br>%{x}<extra></extra>",
    }  # fmt: skip
    if not crowd.bad.any():
        return [busy]
    bad = across | {
        "name": "ended badly", "z": np.where(crowd.bad, np.float32(100), np.float32(np.nan)),
        "colorscale": [[0, theme.bad], [1, theme.bad]], "hoverongaps": False,
        "hovertemplate": "<b>%{text}</b><br>a test failed, broke or crashed here<br>%{x}<extra></extra>",
    }  # fmt: skip
    return [busy, bad]


def _bad_marks(timeline: Timeline, theme: Theme) -> list[dict[str, Any]]:
    """Return a mark above each bad bar, so that colour is not all that tells it."""
    traces = []
    bars = timeline.bars
    for name, symbol in _SYMBOLS.items():
        chosen = np.flatnonzero(bars.look == LOOKS.index(name))
        if chosen.size:
            traces.append({
                "type": "scatter", "mode": "markers", "name": f"{name} ", "xaxis": "x", "yaxis": "y",
                "x": iso((bars.start_s[chosen] + bars.end_s[chosen]) / 2), "y": (bars.row[chosen] - 0.44).tolist(),
                "marker": {"symbol": symbol, "size": 8, "color": theme.bad,
                           "line": {"color": theme.surface, "width": 1}},
                "hoverinfo": "skip", "cliponaxis": False,
            })  # fmt: skip
    return traces


def _mark_legend(layout: dict[str, Any], timeline: Timeline, theme: Theme) -> dict[str, Any]:
    """Write which colours and marks stand for what, and how often they occur; return what a phone gets instead."""
    at: dict[str, Any] = {"xref": "x domain", "yref": "y domain", "y": 1, "yanchor": "bottom", "align": "left"}
    signs = [
        (f'<span style="color:{look_colour(entry.look, theme)}">{entry.sign}</span> {entry.number:,}', entry)
        for entry in legend(timeline)
    ]
    text = "    ".join(f"{sign} {entry.name}" for sign, entry in signs)
    layout["annotations"].append(annotation(text, theme.ink_soft, x=0, xanchor="left", yshift=9, size=12, **at))
    short = [f"{sign} {entry.look}" for sign, entry in signs]
    lines = ["   ".join(short[:3]), "   ".join(short[3:])]
    return {f"annotations.{len(layout['annotations']) - 1}.text": "<br>".join(line for line in lines if line)}


def _ranking_trace(ranking: Ranking, axis: str, theme: Theme) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "name": ranking.title, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "x": list(ranking.values), "y": list(range(len(ranking.values))), "width": 0.24,
        "marker": {"color": [theme.bad if bad else theme.accent for bad in ranking.bad], "cornerradius": 3},
        "hovertext": [
            f"{escaped(drawn(name))}<br>{written}" for name, written in zip(ranking.names, ranking.written, strict=True)
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def _mark_ranking(
    layout: dict[str, Any], ranking: Ranking, axis: str, theme: Theme, *, room_px: tuple[float, float]
) -> dict[str, Any]:
    """Write the heading, and above each bar its test and its value; return what a phone gets instead.

    Args:
        room_px: how wide the ranking is on a page and on a phone.
    """
    narrow: dict[str, Any] = {}
    marks = layout["annotations"]
    heading = f'<b>{ranking.title}</b>  <span style="color:{theme.ink_faint};font-size:12px">{ranking.explained}</span>'
    across: dict[str, Any] = {"xref": f"x{axis} domain", "yanchor": "bottom"}
    marks.append(
        annotation(heading, theme.ink, x=0, xanchor="left", yref=f"y{axis} domain", y=1, yshift=10, size=13, **across)
    )
    for place, (name, written, bad) in enumerate(zip(ranking.names, ranking.written, ranking.bad, strict=True)):
        sign = f'<span style="color:{theme.bad}">✕</span> ' if bad else ""
        at = across | {"yref": f"y{axis}", "y": place, "yshift": 3}
        taken_px = 7.2 * len(written) + 12 + (2 * _LETTER_PX if bad else 0)
        wide, slim = (min(_LONGEST_RANKED, int((room - taken_px) / _LETTER_PX)) for room in room_px)
        narrow[f"annotations.{len(marks)}.text"] = sign + escaped(drawn(name, limit=max(8, slim)))
        text = sign + escaped(drawn(name, limit=max(8, wide)))
        mono = annotation(text, theme.ink_soft, x=0, xanchor="left", **at)
        mono["font"] |= {"family": MONO}
        marks.append(mono)
        marks.append(annotation(f"<b>{written}</b>", theme.ink, x=1, xanchor="right", **at))
    return narrow


def _hidden_axis() -> dict[str, Any]:
    return {"type": "linear", "visible": False, "fixedrange": True}

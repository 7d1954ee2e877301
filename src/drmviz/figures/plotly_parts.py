"""What every Plotly figure of ours begins with."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.names import drawn, escaped
from drmviz.figures.theme import SANS, Theme
from drmviz.figures.units import iso

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": False,  # the page follows its width itself
    "showSendToCloud": False,  # "Share chart" would upload the figure to a third party
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
NARROW_PX = 760
"""A place below that width gets what `narrow` says."""
_NARROW_LETTERS = 50
_NOTICE_LETTERS = 90, 42
"""Of a line of a notice on a page, and on a phone."""
_PARTS_OF_OBJECTS = frozenset(
    {"__proto__", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"}
    | {"toString", "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"}
)


def base_layout(title: str, subtitle: str, options: FigureOptions, theme: Theme) -> dict[str, Any]:
    """Return colours, fonts, title and size."""
    layout: dict[str, Any] = {
        "paper_bgcolor": theme.surface,
        "plot_bgcolor": theme.surface,
        "font": {"family": SANS, "size": 12, "color": theme.ink_soft},
        "hoverlabel": {
            "bgcolor": theme.raised, "bordercolor": theme.line_strong, "align": "left",
            "font": {"family": SANS, "size": 12, "color": theme.ink},
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.ink_faint, "activecolor": theme.accent},
        "showlegend": False,
        "dragmode": "zoom",
    }  # fmt: skip
    if title:
        layout["title"] = {
            "text": f"<b>{escaped(drawn(title, limit=120))}</b>", "x": 0, "xref": "container", "xanchor": "left",
            "y": 1, "yref": "container", "yanchor": "top", "pad": {"l": 18, "t": 16},
            "font": {"size": 15, "color": theme.ink},
            "subtitle": {"text": escaped(drawn(subtitle, limit=200)), "font": {"size": 12, "color": theme.ink_faint}},
        }  # fmt: skip
    if options.width is None:
        layout["autosize"] = True
    else:
        layout["width"] = options.width
    return layout


def narrow_title(title: str, subtitle: str) -> dict[str, Any]:
    """Return the subtitle for a phone: as many of its parts as fit."""
    parts = subtitle.split(" · ")
    while len(parts) > 1 and len(" · ".join(parts)) > _NARROW_LETTERS:
        parts.pop()
    return {"title.subtitle.text": escaped(drawn(" · ".join(parts), limit=_NARROW_LETTERS))} if title else {}


def notice_layout(layout: dict[str, Any], notice: str, theme: Theme) -> PlotlySpec:
    """Return a figure that says why there is nothing to see."""
    hidden = {"visible": False, "range": [0, 1]}
    middle: dict[str, Any] = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    wide, narrow = ("<br>".join(map(escaped, wrap(drawn(notice, limit=240), letters))) for letters in _NOTICE_LETTERS)
    text = annotation(wide, theme.ink_soft, size=14, **middle)
    layout |= {
        "height": layout.get("height", 240), "xaxis": hidden, "yaxis": hidden, "annotations": [text],
        "margin": {"l": 24, "r": 24, "t": 64, "b": 24},
    }  # fmt: skip
    return {"data": [], "layout": layout, "config": CONFIG, "narrow": {"annotations.0.text": narrow}}


def time_axis(start_s: float, end_s: float, theme: Theme, *, cell_s: float) -> dict[str, Any]:
    """Return an axis of times in UTC; hover names moments as finely as cells of that width need."""
    most = min(9, 1 + int((end_s - start_s) / min(cell_s, 1.0)))
    return {
        "type": "date", "range": iso(np.array([start_s, end_s])), "showgrid": False, "zeroline": False,
        "ticks": "outside", "ticklen": 4, "tickcolor": theme.line_strong, "showline": False, "nticks": most,
        "ticksuffix": " UTC", "showticksuffix": "first",
        "tickfont": {"size": 11, "color": theme.ink_faint}, "tickangle": 0,
        "hoverformat": "%Y-%m-%d %H:%M:%S" if cell_s >= 1 else "%Y-%m-%d %H:%M:%S.%3f",
        "tickformatstops": [
            {"dtickrange": [None, 999], "value": "%H:%M:%S.%L"}, {"dtickrange": [1000, 60000], "value": "%H:%M:%S"},
            {"dtickrange": [60000, 86400000], "value": "%H:%M"}, {"dtickrange": [86400000, None], "value": "%b %-d"},
        ],
    }  # fmt: skip


def annotation(text: str, colour: str, *, size: int = 11, **place: Any) -> dict[str, Any]:
    """Return a text without an arrow."""
    return {"text": text, "showarrow": False, "font": {"size": size, "color": colour}} | place


def category(name: str) -> str:
    """Return a name as an axis of categories can hold it: it loses those that name a part of any JavaScript object."""
    return f"{name}\u200b" if name in _PARTS_OF_OBJECTS else name


def fitted(spec: PlotlySpec, options: FigureOptions) -> PlotlySpec:
    """Return the spec as it is, or as a phone gets it where the user asked for a width like a phone's."""
    if options.width is None or options.width >= NARROW_PX:
        return spec
    for path, value in spec["narrow"].items():
        *way, last = path.split(".")
        part = spec["layout"]
        for name in way:
            part = part[int(name)] if isinstance(part, list) else part.setdefault(name, {})
        part[last] = value
    return spec

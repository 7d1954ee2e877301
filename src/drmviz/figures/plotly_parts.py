"""What every Plotly figure of ours begins with."""

from __future__ import annotations

from typing import Any

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.names import drawn, escaped
from drmviz.figures.theme import SANS, Theme

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,  # "Share chart" would upload the figure to a third party
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}


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


def notice_layout(layout: dict[str, Any], notice: str, theme: Theme) -> PlotlySpec:
    """Return a figure that says why there is nothing to see."""
    hidden = {"visible": False, "range": [0, 1]}
    middle: dict[str, Any] = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    text = annotation(escaped(drawn(notice, limit=240)), theme.ink_soft, size=14, **middle)
    layout |= {
        "height": layout.get("height", 240), "xaxis": hidden, "yaxis": hidden, "annotations": [text],
        "margin": {"l": 24, "r": 24, "t": 64, "b": 24},
    }  # fmt: skip
    return {"data": [], "layout": layout, "config": CONFIG}


def annotation(text: str, colour: str, *, size: int = 11, **place: Any) -> dict[str, Any]:
    """Return a text without an arrow."""
    return {"text": text, "showarrow": False, "font": {"size": size, "color": colour}} | place

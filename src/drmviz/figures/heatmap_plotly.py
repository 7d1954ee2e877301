"""The heatmap as a Plotly figure: one trace for each panel, with everything else in the layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.gaps import hatch, png_address
from drmviz.figures.heatmap import RAIL_PX, Heatmap, Panel, absences, rail_text, row_means
from drmviz.figures.names import columns, drawn, escaped
from drmviz.figures.plotly_parts import (
    CONFIG,
    annotation,
    base_layout,
    category,
    narrow_title,
    notice_layout,
    time_axis,
)
from drmviz.figures.providers import look_of
from drmviz.figures.rows import LEGIBLE_ROW_PX, named_every, panel_height_px
from drmviz.figures.theme import MONO, Theme, colour_scale
from drmviz.figures.units import clock, iso, percent

_TOP_PX, _HEADING_PX, _AXIS_PX, _BOTTOM_PX = 64, 30, 22, 26
_EVENTS_PX = 14
_RAIL, _SCALE = "provider", "lowest"
_LETTER_PX = 6.7
_LONGEST_LABEL, _LONGEST_NARROW = 44, 14
_MOST_DOTTED = 300
_EVENT_MARKS = {"added": "▲", "removed": "▼", "lost": "✕"}


def draw(heatmap: Heatmap, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; without any panel it is a notice."""
    layout = base_layout(heatmap.title, heatmap.subtitle, options, theme)
    if not heatmap.panels:
        return notice_layout(layout, heatmap.notice or "", theme)
    rows, panels = len(heatmap.workers), len(heatmap.panels)
    top_px = _TOP_PX if heatmap.title else 12
    events_px = _EVENTS_PX if heatmap.events else 0
    fixed_px = top_px + _BOTTOM_PX + panels * (_HEADING_PX + _AXIS_PX) + events_px
    panel_px = panel_height_px(rows, height=options.height, panels=panels, around_px=fixed_px)
    plot_px = panels * (panel_px + _HEADING_PX + _AXIS_PX) - _AXIS_PX + events_px
    shown = range(0, rows, named_every(rows, panel_px))
    every_row_named = panel_px / rows >= LEGIBLE_ROW_PX
    labels = {heatmap.workers[row]: escaped(drawn(heatmap.workers[row], limit=_LONGEST_LABEL)) for row in shown}
    longest = max(columns(drawn(worker, limit=_LONGEST_LABEL)) for worker in labels)
    layout |= {
        "height": top_px + plot_px + _BOTTOM_PX + _AXIS_PX,
        "margin": {
            "l": 22 + (RAIL_PX if heatmap.groups else 0) + round(_LETTER_PX * longest),
            "r": 56 if every_row_named else 20, "t": top_px,
            "b": _BOTTOM_PX + _AXIS_PX, "pad": 0,
        },
        "coloraxis": _colours(heatmap, theme, headings_at=1 - (_HEADING_PX - 13) / plot_px),
        "annotations": [], "shapes": [], "images": [],
    }  # fmt: skip
    traces = []
    aliases = {category(w): escaped(drawn(w)) for w in heatmap.workers if escaped(drawn(w)) != category(w)}
    for number, panel in enumerate(heatmap.panels):
        above_px = number * (panel_px + _HEADING_PX + _AXIS_PX) + _HEADING_PX + events_px
        axis = "" if number == 0 else str(number + 1)
        domain = [1 - (above_px + panel_px) / plot_px, 1 - above_px / plot_px]
        layout[f"xaxis{axis}"] = time_axis(
            float(heatmap.starts_at_s[0]), heatmap.end_s, theme, cell_s=heatmap.width_s
        ) | {"anchor": f"y{axis}", "matches": "x" if axis else None}
        layout[f"yaxis{axis}"] = _worker_axis(heatmap, theme, axis, labels, aliases) | {"domain": domain}
        traces.append(_trace(heatmap, panel, axis, gap_px=1 if panel_px / rows >= 6 else 0))
        _mark_panel(layout, heatmap, panel, axis, theme)
        _mark_groups(layout, heatmap, axis, panel_px / rows, theme)
        if every_row_named:
            _mark_means(layout, panel, axis, theme)
        image = _gap_image(heatmap, panel, axis, panel_px, theme)
        if image:
            layout["images"].append(image)
    _mark_absences(layout, heatmap, theme, dotted=panel_px / rows >= LEGIBLE_ROW_PX)
    _mark_events(layout, heatmap, theme)
    narrow_labels = [escaped(drawn(worker, limit=_LONGEST_NARROW)) for worker in labels]
    narrow_px = (26 if heatmap.groups else 18) + round(_LETTER_PX * min(longest, _LONGEST_NARROW))
    narrow: dict[str, Any] = {"margin.l": narrow_px} | _narrow_groups(layout, narrow_px)
    lowest = next(place for place, text in enumerate(layout["annotations"]) if text.get("name") == _SCALE)
    narrow |= {"coloraxis.colorbar.len": 136, f"annotations.{lowest}.xshift": -102}
    narrow |= narrow_title(heatmap.title, heatmap.subtitle)
    narrow |= {f"xaxis{'' if n == 0 else n + 1}.nticks": 3 for n in range(panels)}
    narrow |= {f"yaxis{'' if n == 0 else n + 1}.ticktext": narrow_labels for n in range(panels)}
    return {"data": traces, "layout": layout, "config": CONFIG, "narrow": narrow}


def _trace(heatmap: Heatmap, panel: Panel, axis: str, *, gap_px: int) -> dict[str, Any]:
    value = f"%{{z:.1f}} {panel.unit}" if panel.unit else "%{z:.1f} tasks"
    starts = iso(heatmap.starts_at_s)
    if len(starts) == 1:  # a single cell has no neighbour that says how wide it is, so its end is given too
        starts += iso(heatmap.starts_at_s + heatmap.width_s)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "name": panel.name,
        "x": starts,
        "y": [category(worker) for worker in heatmap.workers],
        "z": panel.values,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "coloraxis": "coloraxis",
        "ygap": gap_px,
        "hoverongaps": False,
        "hovertemplate": f"<b>%{{y}}</b><br>{escaped(panel.name)} {value}<br>%{{x}}%{{text}}<extra></extra>",
    }
    if len(starts) > 1 and len(heatmap.starts_at_s) > 1:
        trace |= {"xperiod": heatmap.width_s * 1000, "xperiod0": starts[0], "xperiodalignment": "middle"}
    if heatmap.tests is None:
        trace["hovertemplate"] = trace["hovertemplate"].replace("%{text}", "")
    else:
        trace["text"] = heatmap.tests
    return trace


def _colours(heatmap: Heatmap, theme: Theme, *, headings_at: float) -> dict[str, Any]:
    return {
        "cmin": 0,
        "cmax": heatmap.panels[0].highest,
        "colorscale": colour_scale(theme.name),
        "colorbar": {
            "orientation": "h", "thickness": 8, "lenmode": "pixels", "len": 200, "x": 1, "xanchor": "right",
            "xpad": 40, "y": headings_at, "yanchor": "middle", "ypad": 0, "outlinewidth": 0,
            "showticklabels": False, "ticks": "",
        },
    }  # fmt: skip


def _worker_axis(
    heatmap: Heatmap, theme: Theme, axis: str, labels: dict[str, str], aliases: dict[str, str]
) -> dict[str, Any]:
    return {
        "type": "category", "range": [len(heatmap.workers) - 0.5, -0.5], "anchor": f"x{axis}", "showgrid": False,
        "zeroline": False, "tickmode": "array", "tickvals": [category(worker) for worker in labels],
        "ticktext": list(labels.values()),
        "labelalias": aliases or None, "ticks": "", "ticklabelstandoff": 8,
        "tickfont": {"size": 11, "color": theme.ink_soft, "family": MONO},
    }  # fmt: skip


def _mark_panel(layout: dict[str, Any], heatmap: Heatmap, panel: Panel, axis: str, theme: Theme) -> None:
    """Write the panel's name above it, and what its colours mean."""
    at: dict[str, Any] = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "y": 1, "yanchor": "bottom"}
    up = 4 + (_EVENTS_PX if heatmap.events and not axis else 0)
    name = f"<b>{escaped(panel.name)}</b>"
    if heatmap.notice and not axis:
        name += f'  <span style="color:{theme.ink_faint}">{escaped(heatmap.notice)}</span>'
    marks = [annotation(name, theme.ink, x=0, xanchor="left", yshift=up, size=13, **at)]
    if not axis:
        highest = percent(panel.highest) if panel.unit else f"{panel.highest:.0f}"
        marks.append(annotation(highest, theme.ink_faint, x=1, xanchor="right", yshift=up, **at))
        marks.append(annotation("0 %" if panel.unit else "0", theme.ink_faint, name=_SCALE, x=1, xanchor="right",
                                xshift=-166, yshift=up, **at))  # fmt: skip
    layout["annotations"] += marks


def _mark_groups(layout: dict[str, Any], heatmap: Heatmap, axis: str, row_px: float, theme: Theme) -> None:
    """Draw a rail left of the rows of each provider, with its name along it where there is room."""
    left_px = layout["margin"]["l"]
    for group in heatmap.groups:
        look = look_of(group.provider, heatmap.providers, theme.name)
        layout["shapes"].append({
            "name": _RAIL, "type": "rect",
            "xref": "paper", "xanchor": 0, "xsizemode": "pixel", "x0": 30 - left_px, "x1": 33 - left_px,
            "yref": f"y{axis}", "y0": group.first - 0.42, "y1": group.end - 0.58, "fillcolor": look.colour,
            "line": {"width": 0}, "layer": "above",
        })  # fmt: skip
        if fitting := rail_text(group, look, (group.end - group.first) * row_px):
            text = annotation(escaped(fitting), look.colour, size=10, name=_RAIL, xref="paper", x=0, xanchor="center",
                              xshift=19 - left_px, yref=f"y{axis}", y=(group.first + group.end - 1) / 2,
                              yanchor="middle", textangle=-90)  # fmt: skip
            layout["annotations"].append(text)


def _narrow_groups(layout: dict[str, Any], left_px: int) -> dict[str, Any]:
    """Return the rails at the left edge of a phone, without their names."""
    rails = [place for place, shape in enumerate(layout["shapes"]) if shape.get("name") == _RAIL]
    names = [place for place, text in enumerate(layout["annotations"]) if text.get("name") == _RAIL]
    edges = {f"shapes.{place}.{edge}": px - left_px for place in rails for edge, px in (("x0", 4), ("x1", 7))}
    return edges | {f"annotations.{place}.text": "" for place in names}


def _mark_means(layout: dict[str, Any], panel: Panel, axis: str, theme: Theme) -> None:
    at: dict[str, Any] = {"xref": f"x{axis} domain", "x": 1, "xanchor": "left", "xshift": 6}
    for row, mean in enumerate(row_means(panel)):
        text = panel.mean_text(row, mean)
        layout["annotations"].append(annotation(text, theme.ink_faint, yref=f"y{axis}", y=row, yanchor="middle", **at))
    layout["annotations"].append(
        annotation("mean", theme.ink_faint, yref=f"y{axis} domain", y=1, yanchor="bottom", yshift=4, size=10, **at)
    )


def _gap_image(heatmap: Heatmap, panel: Panel, axis: str, panel_px: int, theme: Theme) -> dict[str, Any] | None:
    gaps = heatmap.gaps(panel)
    if not gaps.any():
        return None
    rows, cells = gaps.shape
    sharp = 2 if panel_px / rows >= 6 else 1  # a screen may have two dots for a pixel; thin rows show no stripes anyway
    row_px, column_px = max(1, round(sharp * panel_px / rows)), max(1, round(sharp * 1000 / cells))
    stripes = hatch(gaps, row_px=row_px, column_px=column_px, ygap_px=2 if sharp > 1 else 0)
    return {
        "source": png_address(stripes, theme), "xref": f"x{axis}", "yref": f"y{axis}", "layer": "below",
        "x": iso(heatmap.starts_at_s[:1])[0], "y": -0.5, "xanchor": "left", "yanchor": "top", "sizing": "stretch",
        "sizex": cells * heatmap.width_s * 1000, "sizey": rows,
    }  # fmt: skip


def _mark_absences(layout: dict[str, Any], heatmap: Heatmap, theme: Theme, *, dotted: bool) -> None:
    stretches = absences(heatmap.alive) if dotted else []
    if len(stretches) * len(heatmap.panels) > _MOST_DOTTED:
        return
    moments = iso(np.append(heatmap.starts_at_s, heatmap.end_s))
    for number in range(len(heatmap.panels)):
        axis = "" if number == 0 else str(number + 1)
        for row, first, end in stretches:
            layout["shapes"].append({
                "type": "line", "xref": f"x{axis}", "yref": f"y{axis}", "x0": moments[first], "x1": moments[end],
                "y0": row, "y1": row, "layer": "below",
                "line": {"color": theme.line_strong, "width": 1, "dash": "1px,3px"},
            })  # fmt: skip


def _mark_events(layout: dict[str, Any], heatmap: Heatmap, theme: Theme) -> None:
    colours = {"added": theme.up, "removed": theme.down, "lost": theme.bad}
    for event in heatmap.events:
        text = f"{clock(event.at_s)} UTC<br>{escaped(event.text)}"
        layout["annotations"].append(
            annotation(_EVENT_MARKS[event.kind], colours[event.kind], xref="x", x=iso(np.array([event.at_s]))[0],
                       yref="y domain", y=1, yanchor="bottom", yshift=-1, size=10) | {"hovertext": text}
        )  # fmt: skip

"""The heatmap as a Plotly figure: one trace for each panel, with everything else in the layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.gaps import hatch, png_address
from drmviz.figures.heatmap import RAIL_PX, Heatmap, Panel, absences, mean_text, rail_text, row_means
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
from drmviz.figures.rows import LEGIBLE_ROW_PX, named_every, panel_heights_px
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
    panels = len(heatmap.panels)
    top_px = _TOP_PX if heatmap.title else 12
    events_px = _EVENTS_PX if heatmap.events else 0
    around_px = top_px + _BOTTOM_PX + panels * (_HEADING_PX + _AXIS_PX) + events_px
    heights_px = panel_heights_px(
        [len(panel.rows.workers) for panel in heatmap.panels], height=options.height, around_px=around_px
    )
    plot_px = sum(heights_px) + panels * (_HEADING_PX + _AXIS_PX) - _AXIS_PX + events_px
    labels = [_labels(panel, height_px) for panel, height_px in zip(heatmap.panels, heights_px, strict=True)]
    longest = max(columns(drawn(worker, limit=_LONGEST_LABEL)) for shown in labels for worker in shown)
    has_means = any(
        px / len(panel.rows.workers) >= LEGIBLE_ROW_PX for panel, px in zip(heatmap.panels, heights_px, strict=True)
    )
    layout |= {
        "height": top_px + plot_px + _BOTTOM_PX + _AXIS_PX,
        "margin": {
            "l": 22 + (RAIL_PX if heatmap.is_grouped else 0) + round(_LETTER_PX * longest),
            "r": 56 if has_means else 20, "t": top_px, "b": _BOTTOM_PX + _AXIS_PX, "pad": 0,
        },
        "coloraxis": _colours(heatmap, theme, headings_at=1 - (_HEADING_PX - 13) / plot_px),
        "annotations": [], "shapes": [], "images": [],
    }  # fmt: skip
    traces = []
    above_px = _HEADING_PX + events_px
    for number, (panel, height_px) in enumerate(zip(heatmap.panels, heights_px, strict=True)):
        axis, row_px = "" if number == 0 else str(number + 1), height_px / len(panel.rows.workers)
        layout[f"xaxis{axis}"] = time_axis(
            float(heatmap.starts_at_s[0]), heatmap.end_s, theme, cell_s=heatmap.width_s
        ) | {"anchor": f"y{axis}", "matches": "x" if axis else None}
        domain = [1 - (above_px + height_px) / plot_px, 1 - above_px / plot_px]
        layout[f"yaxis{axis}"] = _worker_axis(panel, theme, axis, labels[number]) | {"domain": domain}
        traces.append(_trace(heatmap, panel, axis, gap_px=1 if row_px >= 6 else 0))
        _mark_panel(layout, heatmap, panel, axis, theme)
        _mark_groups(layout, heatmap, panel, axis, row_px, theme)
        if row_px >= LEGIBLE_ROW_PX:
            _mark_means(layout, panel, axis, theme)
            _mark_absences(layout, heatmap, panel, axis, theme)
        image = _gap_image(heatmap, panel, axis, height_px, theme)
        if image:
            layout["images"].append(image)
        above_px += height_px + _HEADING_PX + _AXIS_PX
    _mark_events(layout, heatmap, theme)
    return {
        "data": traces,
        "layout": layout,
        "config": CONFIG,
        "narrow": _narrow(heatmap, layout, labels, min(longest, _LONGEST_NARROW)),
    }


def _labels(panel: Panel, height_px: int) -> dict[str, str]:
    """Return what is written beside the rows that carry a name."""
    workers = panel.rows.workers
    shown = range(0, len(workers), named_every(len(workers), height_px))
    return {workers[row]: escaped(drawn(workers[row], limit=_LONGEST_LABEL)) for row in shown}


def _narrow(heatmap: Heatmap, layout: dict[str, Any], labels: Sequence[dict[str, str]], longest: int) -> dict[str, Any]:
    """Return what a phone gets: short names, a short scale, few times."""
    left_px = (26 if heatmap.is_grouped else 18) + round(_LETTER_PX * longest)
    lowest = next(place for place, text in enumerate(layout["annotations"]) if text.get("name") == _SCALE)
    narrow: dict[str, Any] = {"margin.l": left_px, "coloraxis.colorbar.len": 136, f"annotations.{lowest}.xshift": -102}
    narrow |= _narrow_groups(layout, left_px) | narrow_title(heatmap.title, heatmap.subtitle)
    for number, shown in enumerate(labels):
        axis = "" if number == 0 else str(number + 1)
        narrow[f"xaxis{axis}.nticks"] = 3
        narrow[f"yaxis{axis}.ticktext"] = [escaped(drawn(worker, limit=_LONGEST_NARROW)) for worker in shown]
    return narrow


def _trace(heatmap: Heatmap, panel: Panel, axis: str, *, gap_px: int) -> dict[str, Any]:
    value = f"%{{z:.1f}} {panel.unit}" if panel.unit else "%{z:.1f} tasks"
    starts = iso(heatmap.starts_at_s)
    if len(starts) == 1:  # a single cell has no neighbour that says how wide it is, so its end is given too
        starts += iso(heatmap.starts_at_s + heatmap.width_s)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "name": panel.name,
        "x": starts,
        "y": [category(worker) for worker in panel.rows.workers],
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
    if panel.rows.tests is None:
        trace["hovertemplate"] = trace["hovertemplate"].replace("%{text}", "")
    else:
        trace["text"] = panel.rows.tests
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


def _worker_axis(panel: Panel, theme: Theme, axis: str, labels: dict[str, str]) -> dict[str, Any]:
    workers = panel.rows.workers
    aliases = {category(w): escaped(drawn(w)) for w in workers if escaped(drawn(w)) != category(w)}
    return {
        "type": "category", "range": [len(workers) - 0.5, -0.5], "anchor": f"x{axis}", "showgrid": False,
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
    if panel.note:
        name += f'  <span style="color:{theme.ink_faint}">{escaped(panel.note)}</span>'
    marks = [annotation(name, theme.ink, x=0, xanchor="left", yshift=up, size=13, **at)]
    if not axis:
        highest = percent(panel.highest) if panel.unit else f"{panel.highest:.0f}"
        marks.append(annotation(highest, theme.ink_faint, x=1, xanchor="right", yshift=up, **at))
        marks.append(annotation("0 %" if panel.unit else "0", theme.ink_faint, name=_SCALE, x=1, xanchor="right",
                                xshift=-166, yshift=up, **at))  # fmt: skip
    layout["annotations"] += marks


def _mark_groups(
    layout: dict[str, Any], heatmap: Heatmap, panel: Panel, axis: str, row_px: float, theme: Theme
) -> None:
    """Draw a rail left of the rows of each provider, with its name along it where there is room."""
    left_px = layout["margin"]["l"]
    for group in panel.rows.groups:
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
        text = mean_text(panel, mean)
        layout["annotations"].append(annotation(text, theme.ink_faint, yref=f"y{axis}", y=row, yanchor="middle", **at))
    layout["annotations"].append(
        annotation("mean", theme.ink_faint, yref=f"y{axis} domain", y=1, yanchor="bottom", yshift=4, size=10, **at)
    )


def _gap_image(heatmap: Heatmap, panel: Panel, axis: str, panel_px: int, theme: Theme) -> dict[str, Any] | None:
    gaps = panel.gaps
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


def _mark_absences(layout: dict[str, Any], heatmap: Heatmap, panel: Panel, axis: str, theme: Theme) -> None:
    stretches = absences(panel.rows.alive)
    if len(stretches) * len(heatmap.panels) > _MOST_DOTTED:
        return
    moments = iso(np.append(heatmap.starts_at_s, heatmap.end_s))
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

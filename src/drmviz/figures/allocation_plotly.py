"""Allocation as a Plotly figure: stacked bars, in each panel one trace for each kind of segment."""

from __future__ import annotations

from typing import Any

from drmviz.figures.allocation import ALWAYS, DIMMED, EXCEEDED, Allocation, Fill, Panel, fills, found, is_exceeded
from drmviz.figures.allocation_room import LETTER_PX, PanelRoom, Room, heading_lines, room_of
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.names import drawn, escaped
from drmviz.figures.plotly_parts import CONFIG, annotation, base_layout, category, fitted, narrow_title, notice_layout
from drmviz.figures.theme import MONO, Theme

_TOP_PX, _LEGEND_PX, _HEADING_PX, _AXIS_PX, _BOTTOM_PX = 62, 34, 38, 24, 12
_NARROW_SIDE_PX, _NARROW_HEADING_PX, _NARROW_LINE_PX = 18, 52, 15
_NARROW_LETTERS, _MOST_NARROW_LINES = 56, 4
_LONGEST_LABEL, _LONGEST_NARROW = 44, 14


def draw(allocation: Allocation, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; without any panel it is a notice."""
    layout = base_layout(allocation.title, allocation.subtitle, options, theme)
    if not allocation.panels:
        spec = notice_layout(layout, allocation.notice or "", theme)
        spec["narrow"] |= narrow_title(allocation.title, allocation.subtitle)
        return spec
    panels = allocation.panels
    top_px = _TOP_PX if allocation.title else 8
    around_px = top_px + _LEGEND_PX + len(panels) * (_HEADING_PX + _AXIS_PX) + _BOTTOM_PX
    room = room_of(allocation, options.height, around_px=around_px)
    longest = room.longest_label(_LONGEST_LABEL)
    left_px = 22 + round(LETTER_PX * longest)
    narrow_left_px = _NARROW_SIDE_PX + round(LETTER_PX * min(longest, _LONGEST_NARROW))
    layout |= {
        "margin": {"l": left_px, "r": 20 + room.right_px, "t": top_px, "b": _BOTTOM_PX, "pad": 0},
        "barmode": "stack", "bargap": 0, "hovermode": "closest", "showlegend": True, "annotations": [],
        "legend": {
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "traceorder": "normal",
            "font": {"size": 12, "color": theme.ink_soft}, "bgcolor": "rgba(0,0,0,0)",
        },
    }  # fmt: skip
    traces: list[dict[str, Any]] = []
    narrow: dict[str, Any] = {"margin.l": narrow_left_px, "margin.r": 14 + room.numbers_px}
    narrow |= narrow_title(allocation.title, allocation.subtitle)
    shift = {"xshift": _NARROW_SIDE_PX - narrow_left_px}
    for number, part in enumerate(room.panels):
        axis = "" if number == 0 else str(number + 1)
        traces += _bars(part, axis, theme) + _ticks(part, axis, theme)
        layout[f"xaxis{axis}"] = _amount_axis(part.panel, axis, theme)
        layout[f"yaxis{axis}"] = _worker_axis(part, axis, theme)
        narrow |= {f"xaxis{axis}.nticks": 4, f"yaxis{axis}.ticktext": _labels(part, theme, limit=_LONGEST_NARROW)}
        narrow |= _add(layout, _heading(part.panel, axis, theme), _narrow_heading(part.panel, theme) | shift)
        if part.is_legible:
            narrow |= _mark_rows(layout, part, axis, theme, room)
    _show_each_name_once(traces)
    lines = _legend_lines(allocation, theme)
    narrow |= _add(layout, _text_legend(lines, theme), {"visible": True} | shift) | {"showlegend": False}
    for path, value in _places(room, top_px, _LEGEND_PX, [_HEADING_PX] * len(panels)).items():
        axis, _, name = path.rpartition(".")
        (layout[axis] if axis else layout)[name] = value
    headings_px = [_NARROW_HEADING_PX + _NARROW_LINE_PX * len(_narrow_lines(panel)) for panel in panels]
    narrow |= _places(room, top_px, 4 + _NARROW_LINE_PX * len(lines), headings_px)
    return fitted({"data": traces, "layout": layout, "config": CONFIG, "narrow": narrow}, options)


def _add(layout: dict[str, Any], mark: dict[str, Any], narrow: dict[str, Any]) -> dict[str, Any]:
    """Add a text to the layout; return what a phone gets instead, as the layout's paths."""
    layout["annotations"].append(mark)
    return {f"annotations.{len(layout['annotations']) - 1}.{name}": value for name, value in narrow.items()}


def _places(room: Room, top_px: int, legend_px: int, headings_px: list[int]) -> dict[str, Any]:
    """Return the height of the figure and where each panel lies."""
    heights_px = [part.height_px for part in room.panels]
    plot_px = legend_px + sum(heights_px) + sum(headings_px) + len(heights_px) * _AXIS_PX
    places: dict[str, Any] = {"height": top_px + plot_px + _BOTTOM_PX}
    above_px = legend_px
    for number, (height_px, heading_px) in enumerate(zip(heights_px, headings_px, strict=True)):
        above_px += heading_px
        axis = "" if number == 0 else str(number + 1)
        places[f"yaxis{axis}.domain"] = [max(0.0, 1 - (above_px + height_px) / plot_px), 1 - above_px / plot_px]
        above_px += height_px + _AXIS_PX
    return places


def _bars(room: PanelRoom, axis: str, theme: Theme) -> list[dict[str, Any]]:
    panel, looks = room.panel, fills(theme)
    hovers = ["<br>".join(escaped(line) for line in panel.hover(row) if line) for row in range(room.rows)]
    across: dict[str, Any] = {
        "type": "bar", "orientation": "h", "xaxis": f"x{axis}", "yaxis": f"y{axis}", "width": room.bar,
        "y": [category(label) for label in panel.labels], "hovertext": hovers,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip
    return [
        across
        | {
            "name": name,
            "legendgroup": name,
            "x": [None if value != value else value for value in amounts.tolist()],
            "marker": _marker(looks[name], panel, outlined=room.is_airy),
        }
        for name, amounts in panel.segments.items()
    ]


def _marker(look: Fill, panel: Panel, *, outlined: bool) -> dict[str, Any]:
    marker: dict[str, Any] = {
        "color": look.ground,
        "line": {"color": look.outline or look.ground, "width": 1 if outlined and look.outline else 0},
    }
    if look.pattern:
        marker["pattern"] = {
            "shape": look.pattern, "size": 7 if look.pattern == "/" else 6, "solidity": 0.25,
            "fgcolor": look.ink, "bgcolor": look.ground,
        }  # fmt: skip
    if panel.gone.any():
        marker["opacity"] = [DIMMED if gone else 1 for gone in panel.gone.tolist()]
    return marker


def _ticks(room: PanelRoom, axis: str, theme: Theme) -> list[dict[str, Any]]:
    """Return the marks of reservations and capacities that were exceeded; none where none was."""
    panel = room.panel
    marks = [
        (amount, category(panel.labels[row]), word)
        for word, amounts in (("reservation", panel.over_reservation), ("capacity", panel.over_capacity))
        for row, amount in enumerate(amounts.tolist())
        if amount == amount
    ]
    if not marks:
        return []
    amounts, labels, words = map(list, zip(*marks, strict=True))
    return [{
        "type": "scatter", "mode": "markers", "name": EXCEEDED, "legendgroup": EXCEEDED, "xaxis": f"x{axis}",
        "yaxis": f"y{axis}", "x": amounts, "y": labels, "text": words, "cliponaxis": False,
        "hovertemplate": f"%{{text}} exceeded: %{{x:.3~f}} {panel.unit}<extra></extra>",
        "marker": {
            "symbol": "line-ns", "size": max(3, round(room.row_px * 0.86)), "line": {"width": 2, "color": theme.ink},
        },
    }]  # fmt: skip


def _show_each_name_once(traces: list[dict[str, Any]]) -> None:
    """Let the legend name each kind of segment once, those first that are in every panel."""
    seen: set[str] = set()
    for trace in traces:
        trace["showlegend"] = trace["name"] not in seen
        trace["legendrank"] = 1 + (ALWAYS.index(trace["name"]) if trace["name"] in ALWAYS else len(ALWAYS))
        seen.add(trace["name"])


def _amount_axis(panel: Panel, axis: str, theme: Theme) -> dict[str, Any]:
    return {
        "type": "linear", "anchor": f"y{axis}", "range": [0, panel.highest * 1.01], "zeroline": False, "nticks": 9,
        "showgrid": True, "gridcolor": theme.line, "ticks": "", "tickangle": 0,
        "tickfont": {"size": 11, "color": theme.ink_faint},
    }  # fmt: skip


def _worker_axis(room: PanelRoom, axis: str, theme: Theme) -> dict[str, Any]:
    return {
        "type": "category", "categoryorder": "array", "anchor": f"x{axis}", "range": [room.rows - 0.5, -0.5],
        "categoryarray": [category(label) for label in room.panel.labels], "showgrid": False, "zeroline": False,
        "tickmode": "array", "tickvals": list(room.shown), "ticktext": _labels(room, theme, limit=_LONGEST_LABEL),
        "ticks": "", "ticklabelstandoff": 8, "tickfont": {"size": 11, "color": theme.ink_soft, "family": MONO},
    }  # fmt: skip


def _labels(room: PanelRoom, theme: Theme, *, limit: int) -> list[str]:
    labels = []
    for row in room.shown:
        label = escaped(drawn(room.panel.labels[row], limit=limit))
        labels.append(f'<span style="color:{theme.ink_faint}">{label}</span>' if room.panel.gone[row] else label)
    return labels


def _name(panel: Panel, theme: Theme) -> str:
    return f'<b>{panel.name}</b>  <span style="color:{theme.ink_faint};font-size:12px">{panel.unit}</span>'


def _heading(panel: Panel, axis: str, theme: Theme) -> dict[str, Any]:
    said = panel.heading + (f" · {panel.notes}" if panel.notes else "")
    text = f'{_name(panel, theme)}   <span style="font-size:12px;color:{theme.ink_soft}">{said}</span>'
    at = {"xref": f"x{axis} domain", "x": 0, "xanchor": "left", "yref": f"y{axis} domain", "y": 1, "yanchor": "bottom"}
    return annotation(text, theme.ink, yshift=7, size=13, align="left", **at)


def _narrow_lines(panel: Panel) -> list[str]:
    return heading_lines(panel, _NARROW_LETTERS)[:_MOST_NARROW_LINES]


def _narrow_heading(panel: Panel, theme: Theme) -> dict[str, Any]:
    lines = "".join(f'<br><span style="font-size:11px">{line}</span>' for line in _narrow_lines(panel))
    return {"text": _name(panel, theme) + lines, "yshift": 20}


def _mark_rows(layout: dict[str, Any], room: PanelRoom, axis: str, theme: Theme, whole: Room) -> dict[str, Any]:
    """Write at the right of each row what it comes to, and who left; return what a phone gets instead."""
    panel = room.panel
    beside: dict[str, Any] = {"xref": f"x{axis} domain", "x": 1, "xanchor": "right", "xshift": 8 + whole.numbers_px}
    above: dict[str, Any] = {"yref": f"y{axis} domain", "y": 1, "yanchor": "bottom", "yshift": 7}
    layout["annotations"].append(annotation(panel.right_heading, theme.ink_faint, size=10, **beside, **above))
    narrow: dict[str, Any] = {}
    for row in range(room.rows):
        across: dict[str, Any] = {"yref": f"y{axis}", "y": row, "yanchor": "middle"}
        gone = bool(panel.gone[row])
        if row in panel.unsized:
            at = beside | across | {"x": 0, "xanchor": "left", "xshift": 4}
            layout["annotations"].append(annotation(escaped(panel.unsized[row]), theme.ink_faint, **at))
        else:
            used, _, other = panel.at_right(row).partition(" / ")
            numbers = annotation(f"<b>{used}</b> / {other}", theme.ink_soft, **beside, **across)
            narrow |= _add(layout, numbers, {"text": "gone"} if gone else {})
        if gone:
            at = beside | across | {"xshift": 8 + whole.right_px}
            narrow |= _add(layout, annotation("gone", theme.ink_faint, **at), {"visible": False})
    return narrow


def _legend_lines(allocation: Allocation, theme: Theme) -> list[str]:
    """Return the legend as lines of text that a phone has room for."""
    looks = fills(theme)
    entries = []
    for name in found(allocation):
        look = looks[name]
        entries.append(f'<span style="color:{look.outline or look.ink or look.ground}">{look.sign}</span> {name}')
    lines = ["   ".join(part) for part in (entries[:3], entries[3:]) if part]
    return [*lines, *([f"<b>|</b> {EXCEEDED}"] if is_exceeded(allocation) else [])]


def _text_legend(lines: list[str], theme: Theme) -> dict[str, Any]:
    """Return the legend as text, which phones show instead of a real one."""
    at: dict[str, Any] = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "top"}
    return annotation("<br>".join(lines), theme.ink_soft, align="left", **at) | {"visible": False}

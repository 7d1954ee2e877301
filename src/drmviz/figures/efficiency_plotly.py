"""Efficiency as a Plotly figure: one trace of marks for each panel, with everything else in the layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.efficiency import AXIS_TEXT, DIAGONAL_TEXT, LEFT_AT, WEDGE_TEXT, Efficiency, Panel, legend, looks
from drmviz.figures.efficiency_room import (
    AXIS_PX,
    HEADING_PX,
    ITEM_PX,
    LINE_PX,
    LIST_PX,
    Column,
    legend_lines,
    plot_px,
    worst_shown,
)  # fmt: skip
from drmviz.figures.names import drawn, escaped
from drmviz.figures.plotly_parts import CONFIG, annotation, base_layout, fitted, narrow_title, notice_layout
from drmviz.figures.providers import Look
from drmviz.figures.theme import MONO, Theme, mixed, rgb_of

_TOP_PX, _LEGEND_LINE_PX, _BOTTOM_PX = 66, 18, 8
_LEFT_PX, _RIGHT_PX, _NARROW_LEFT_PX = 46, 24, 40
_GAP = 0.06
"""Between panels beside each other, of the width."""
_PAGE_PX, _PHONE_PX, _PHONE_PLOT_PX = 1000, 390, 270
"""How wide a page and a phone are at least, for texts that do not break by themselves."""
_LEGEND_LETTERS = 150, 54
_SHIFTS: dict[str, dict[str, Any]] = {
    "right": {"xanchor": "left", "xshift": 6, "yanchor": "middle"},
    "left": {"xanchor": "right", "xshift": -6, "yanchor": "middle"},
    "above": {"xanchor": "center", "yanchor": "bottom", "yshift": 6},
    "below": {"xanchor": "center", "yanchor": "top", "yshift": -6},
}


def draw(efficiency: Efficiency, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; without any panel it is a notice."""
    layout = base_layout(efficiency.title, efficiency.subtitle, options, theme)
    if not efficiency.panels:
        empty: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": efficiency.asked, "x": [], "y": []}
        spec = notice_layout(layout, efficiency.notice or "", theme)
        spec["narrow"] |= narrow_title(efficiency.title, efficiency.subtitle)
        return spec | {"data": [empty] if efficiency.asked else []}
    panels = efficiency.panels
    page = Column.of(panels, (_PAGE_PX - _LEFT_PX - _RIGHT_PX) * (1 - _GAP * (len(panels) - 1)) / len(panels))
    phone = [Column.of([panel], _PHONE_PX - _NARROW_LEFT_PX - _RIGHT_PX) for panel in panels]
    wide_lines, narrow_lines = (_legend(efficiency, theme, letters) for letters in _LEGEND_LETTERS)
    top_px = _TOP_PX if efficiency.title else 8
    around_px = top_px + _LEGEND_LINE_PX * len(wide_lines) + HEADING_PX + page.list_at_px + LIST_PX + _BOTTOM_PX
    items = worst_shown(panels, options.height, around_px=around_px)
    height_px = plot_px(options.height, around_px=around_px + ITEM_PX * items)
    layout |= {
        "margin": {"l": _LEFT_PX, "r": _RIGHT_PX, "t": top_px, "b": _BOTTOM_PX, "pad": 0},
        "hovermode": "closest", "annotations": [], "shapes": [],
    }  # fmt: skip
    narrow: dict[str, Any] = {"margin.l": _NARROW_LEFT_PX} | narrow_title(efficiency.title, efficiency.subtitle)
    traces, every = [], looks(efficiency, theme)
    for number, panel in enumerate(panels):
        axis = "" if number == 0 else str(number + 1)
        traces.append(_marks(panel, axis, every, theme))
        layout[f"xaxis{axis}"] = _axis(panel.ends[0], theme, anchor=f"y{axis}", title="reserved, % of capacity")
        layout[f"yaxis{axis}"] = _axis(panel.ends[1], theme, anchor=f"x{axis}", title=None)
        layout["shapes"] += _shapes(panel, axis, theme)
        layout["annotations"] += [*_texts(panel, axis, theme), *_names(panel, axis, theme)]
        narrow |= _write_around(layout, panel, axis, theme, page, phone[number], items=items)
    at: dict[str, Any] = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "top"}
    sign = annotation("<br>".join(wide_lines), theme.ink_soft, size=12, align="left", xshift=18 - _LEFT_PX, **at)
    narrow |= _add(layout, sign, {"text": "<br>".join(narrow_lines), "xshift": 18 - _NARROW_LEFT_PX})
    legend_px = _LEGEND_LINE_PX * len(wide_lines)
    for path, value in _beside(panels, page, top_px, legend_px, height_px, items=items).items():
        axis, _, name = path.rpartition(".")
        (layout[axis] if axis else layout)[name] = value
    narrow |= _below_each_other(panels, phone, top_px, _LEGEND_LINE_PX * len(narrow_lines), items=items)
    return fitted({"data": traces, "layout": layout, "config": CONFIG, "narrow": narrow}, options)


def _add(layout: dict[str, Any], mark: dict[str, Any], narrow: dict[str, Any]) -> dict[str, Any]:
    """Add a text to the layout; return what a phone gets instead, as the layout's paths."""
    layout["annotations"].append(mark)
    return {f"annotations.{len(layout['annotations']) - 1}.{name}": value for name, value in narrow.items()}


def _beside(
    panels: Sequence[Panel], page: Column, top_px: int, legend_px: int, height_px: int, *, items: int
) -> dict[str, Any]:
    """Return the height of the figure and where each panel lies, one beside the other."""
    above_px = legend_px + HEADING_PX
    whole_px = above_px + height_px + page.below_px(items)
    places: dict[str, Any] = {"height": top_px + whole_px + _BOTTOM_PX}
    wide = (1 - _GAP * (len(panels) - 1)) / len(panels)
    for number in range(len(panels)):
        axis = "" if number == 0 else str(number + 1)
        left = number * (wide + _GAP)
        places[f"xaxis{axis}.domain"] = [left, min(1.0, left + wide)]
        places[f"yaxis{axis}.domain"] = [1 - (above_px + height_px) / whole_px, 1 - above_px / whole_px]
    return places


def _below_each_other(
    panels: Sequence[Panel], phone: Sequence[Column], top_px: int, legend_px: int, *, items: int
) -> dict[str, Any]:
    """Return the same for a phone."""
    heights_px = [
        HEADING_PX + _PHONE_PLOT_PX + column.below_px(min(items, len(panel.worst)))
        for panel, column in zip(panels, phone, strict=True)
    ]
    whole_px = legend_px + sum(heights_px)
    places: dict[str, Any] = {"height": top_px + whole_px + _BOTTOM_PX}
    start_px = legend_px
    for number, height_px in enumerate(heights_px):
        axis = "" if number == 0 else str(number + 1)
        above_px = start_px + HEADING_PX
        places[f"xaxis{axis}.domain"] = [0, 1]
        places[f"yaxis{axis}.domain"] = [1 - (above_px + _PHONE_PLOT_PX) / whole_px, 1 - above_px / whole_px]
        start_px += height_px
    return places


def _marks(panel: Panel, axis: str, every: Sequence[Look], theme: Theme) -> dict[str, Any]:
    provider, gone = panel.provider.tolist(), panel.gone.tolist()
    symbols = [f"{every[p].symbol}-open" if left else every[p].symbol for p, left in zip(provider, gone, strict=True)]
    return {
        "type": "scatter", "mode": "markers", "name": panel.name, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "x": panel.reserved.tolist(), "y": panel.used.tolist(), "customdata": list(panel.workers),
        "hovertext": ["<br>".join(escaped(line) for line in lines if line) for lines in panel.hovers],
        "hovertemplate": "%{hovertext}<extra></extra>", "cliponaxis": False,
        "marker": {
            "symbol": _one_or_all(symbols), "color": _one_or_all([every[p].colour for p in provider]),
            "size": _one_or_all([panel.sizes_px[step] for step in panel.step.tolist()]), "opacity": 0.85,
            "line": {"color": theme.surface, "width": _one_or_all([1.6 if left else 0.8 for left in gone])},
        },
    }  # fmt: skip


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _axis(end: float, theme: Theme, *, anchor: str, title: str | None) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "type": "linear", "anchor": anchor, "range": [0, end], "dtick": 25 if end <= 150 else None, "nticks": 6,
        "zeroline": False, "showgrid": True, "gridcolor": theme.line, "ticks": "", "tickangle": 0,
        "tickfont": {"size": 11, "color": theme.ink_faint},
    }  # fmt: skip
    if title is not None:
        axis["title"] = {"text": title, "standoff": 4, "font": {"size": 11, "color": theme.ink_soft}}
    return axis


def _shapes(panel: Panel, axis: str, theme: Theme) -> list[dict[str, Any]]:
    """Return the wedge of waste, the diagonal, and the capacity where an axis reaches beyond it."""
    on: dict[str, Any] = {"xref": f"x{axis}", "yref": f"y{axis}", "layer": "below"}
    path = "M" + " L".join(f"{x:g},{y:g}" for x, y in panel.wedge) + " Z"
    wedge = on | {"type": "path", "path": path, "fillcolor": mixed(theme.bad, theme.surface, 0.1), "line": {"width": 0}}
    least = min(panel.ends)
    dashed = {"color": theme.ink_faint, "width": 1, "dash": "4px,3px"}
    shapes = [wedge, on | {"type": "line", "x0": 0, "y0": 0, "x1": least, "y1": least, "line": dashed}]
    firm = {"color": theme.line_strong, "width": 1.5}
    if panel.ends[0] > 100:
        shapes.append(on | {"type": "line", "x0": 100, "x1": 100, "y0": 0, "y1": panel.ends[1], "line": firm})
    if panel.ends[1] > 100:
        shapes.append(on | {"type": "line", "x0": 0, "x1": panel.ends[0], "y0": 100, "y1": 100, "line": firm})
    return shapes


def _texts(panel: Panel, axis: str, theme: Theme) -> list[dict[str, Any]]:
    """Return what explains the plane."""
    corner: dict[str, Any] = {"xref": f"x{axis} domain", "yref": f"y{axis} domain"}
    least = min(panel.ends)
    waste = f"<b>{'<br>'.join(WEDGE_TEXT)}</b>"
    ending: dict[str, Any] = {"x": 1, "xanchor": "right", "align": "right", "xshift": -4}
    if panel.corner == "left":
        ending = {"x": LEFT_AT, "xanchor": "left", "align": "left"}
    return [
        annotation(AXIS_TEXT, theme.ink_soft, x=0, y=1, xanchor="left", yanchor="top", xshift=4, **corner),
        annotation(DIAGONAL_TEXT, theme.ink_soft, size=10, xref=f"x{axis}", yref=f"y{axis}", x=least * 0.84,
                   y=least * 0.84, xanchor="right", yanchor="bottom", xshift=-8),
        annotation(waste, theme.bad, size=10, y=0, yanchor="bottom", yshift=2, **ending, **corner),
    ]  # fmt: skip


def _names(panel: Panel, axis: str, theme: Theme) -> list[dict[str, Any]]:
    """Return the names of the worst marks."""
    names = []
    for label in panel.labels:
        at = _SHIFTS[label.side] | {"xref": f"x{axis}", "yref": f"y{axis}"}
        at |= {"x": float(panel.reserved[label.mark]), "y": float(panel.used[label.mark]), "borderpad": 0}
        red, green, blue = rgb_of(theme.surface)
        at["bgcolor"] = f"rgba({red},{green},{blue},0.75)"
        name = annotation(escaped(label.text), theme.ink, size=10, **at)
        name["font"] |= {"family": MONO}
        names.append(name)
    return names


def _write_around(
    layout: dict[str, Any], panel: Panel, axis: str, theme: Theme, page: Column, phone: Column, *, items: int
) -> dict[str, Any]:
    """Write the heading above a panel, and below it what has no mark and who wastes most; return a phone's texts."""
    across: dict[str, Any] = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "x": 0, "xanchor": "left"}
    top, foot = across | {"y": 1, "yanchor": "bottom", "yshift": 8}, across | {"y": 0, "yanchor": "top"}

    said = "".join(f'<br><span style="font-size:12px;color:{theme.ink_soft}">{line}</span>' for line in panel.heading)
    layout["annotations"].append(annotation(f"<b>{panel.name}</b>{said}", theme.ink, size=13, align="left", **top))
    narrow: dict[str, Any] = {}
    if panel.notes:
        wide, slim = ("<br>".join(column.note_lines_of(panel)) for column in (page, phone))
        text = annotation(wide, theme.ink_soft, align="left", yshift=-AXIS_PX, **foot)
        narrow |= _add(layout, text, {"text": slim})
    title = annotation(f"<b>{panel.waste}</b>", theme.ink, size=12, yshift=-page.list_at_px, **foot)
    narrow |= _add(layout, title, {"yshift": -phone.list_at_px})
    for number, worst in enumerate(panel.worst[:items]):
        down_px = LIST_PX + number * ITEM_PX
        lower: dict[str, Any] = {"yshift": -phone.list_at_px - down_px}
        at = foot | {"yshift": -page.list_at_px - down_px}
        wide, slim = (escaped(drawn(worst.id, limit=column.name_letters(worst))) for column in (page, phone))
        name = annotation(wide, theme.ink_soft, **at)
        name["font"] |= {"family": MONO}
        narrow |= _add(layout, name, {"text": slim} | lower)
        far: dict[str, Any] = {"x": 1, "xanchor": "right", "xshift": 0}
        near = {"xanchor": "right", "xshift": page.list_px} if page.list_px < page.width_px else far
        narrow |= _add(layout, annotation(f"<b>{worst.idle}</b>", theme.ink, **(at | near)), lower | far)
        shares = annotation(worst.shares, theme.ink_faint, **(at | {"yshift": at["yshift"] - LINE_PX}))
        narrow |= _add(layout, shares, {"yshift": lower["yshift"] - LINE_PX})
    return narrow


def _legend(efficiency: Efficiency, theme: Theme, letters: int) -> list[str]:
    """Return the lines of the legend."""
    lines = legend_lines(legend(efficiency, theme), letters)
    return [
        "     ".join(f'<span style="color:{colour}">{sign}</span> {escaped(name)}' for sign, colour, name in line)
        for line in lines
    ]

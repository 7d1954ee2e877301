"""Cloud usage as a Plotly figure: one stepped layer for each provider in each panel, the table as texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.cloud import FILL, CloudResources, Panel, shapes_at, steps
from drmviz.figures.cloud_room import (
    BAR_PX,
    COLUMNS_AT,
    PHONE_COLUMNS_AT,
    ROW_PX,
    Room,
    axis_end,
    end_text,
    ends_of,
    levels,
    room_of,
    written,
)
from drmviz.figures.gaps import hatch, png_address
from drmviz.figures.names import drawn, escaped
from drmviz.figures.plotly_parts import CONFIG, annotation, base_layout, narrow_title, notice_layout, time_axis
from drmviz.figures.theme import Theme, mixed
from drmviz.figures.units import iso

_WIDE_PX, _PHONE_PX = 1100, 390
_LONGEST_NAME, _LONGEST_NARROW = 24, 14
_SIGN_PX = 18
_PHONE_EDGE_PX = 16
_SIGN_FROM = 0.04


def draw(cloud: CloudResources, options: FigureOptions, theme: Theme) -> PlotlySpec:
    """Return the spec; without any provider it is a notice."""
    base = base_layout(cloud.title, cloud.subtitle, options, theme)
    if cloud.notice is not None:
        return notice_layout(base, cloud.notice, theme)
    wide, phone = (
        _layout(room_of(cloud, height=options.height, width_px=width_px, is_narrow=is_narrow), theme)
        for width_px, is_narrow in ((options.width or _WIDE_PX, False), (_PHONE_PX, True))
    )
    traces = [
        _trace(cloud, panel, place, _axis(number), theme)
        for number, panel in enumerate(cloud.panels)
        for place, band in enumerate(panel.bands)
    ]
    narrow = dict(_differences(wide, phone, "")) | narrow_title(cloud.title, cloud.subtitle)
    return {"data": traces, "layout": base | wide, "config": CONFIG, "narrow": narrow}


def _axis(number: int) -> str:
    return "" if number == 0 else str(number + 1)


def _layout(room: Room, theme: Theme) -> dict[str, Any]:
    """Return all that depends on the room; the same parts in the same order, whatever the room."""
    cloud = room.cloud
    layout: dict[str, Any] = {
        "height": room.height_px,
        "margin": {"l": room.left_px, "r": room.right_px(theme.name), "t": room.top_px, "b": room.bottom_px, "pad": 0},
        "hovermode": "x unified", "hoverdistance": -1, "annotations": [], "shapes": [], "images": [],
    }  # fmt: skip
    for number, (panel, at_px) in enumerate(zip(cloud.panels, room.panels_at_px, strict=True)):
        axis, begin_px = _axis(number), at_px + room.heading_px(panel)
        end_px = begin_px + room.panel_px
        layout[f"yaxis{axis}"] = _amounts(panel, axis, theme) | {
            "domain": [max(0.0, 1 - end_px / room.plot_px), 1 - begin_px / room.plot_px]
        }
        layout[f"xaxis{axis}"] = time_axis(cloud.start_s, cloud.end_s, theme, cell_s=cloud.width_s) | {
            "anchor": f"y{axis}", "matches": "x" if axis else None, **({"nticks": 3} if room.is_narrow else {}),
        }  # fmt: skip
        layout["annotations"].append(_heading(panel, room, at_px, theme))
        _mark_ends(layout, panel, room, axis, theme)
        _mark_unknown(layout, panel, room, axis, theme)
    _add_bar(layout, room, theme)
    _add_table(layout, room, theme)
    for remark, at_px in zip(cloud.remarks, room.remarks_at_px, strict=True):
        text = "<br>".join(escaped(line) for line in room.remark_lines(remark))
        layout["annotations"].append(_text(text, theme.ink_faint, room, at_px, room.has_table, x=0))
    return layout


def _trace(cloud: CloudResources, panel: Panel, place: int, axis: str, theme: Theme) -> dict[str, Any]:
    band = panel.bands[place]
    marked = shapes_at(panel, place)
    look = band.source.look(cloud.providers, theme.name)
    name = escaped(drawn(band.source.label))
    unit = f"{escaped(panel.unit)} %{{y:,.4~f}} per hour".strip() if panel.is_money else "%{y:,.0f} workers"
    return {
        "type": "scatter", "mode": "lines+markers", "name": f"{name} {escaped(panel.suffix)}",
        "meta": {"providers": list(band.source.providers), "label": f"{look.sign} {name}"},
        "x": iso(np.append(cloud.starts_at_s, cloud.end_s)),
        "y": [None if value != value else value for value in steps(band.values).tolist()],
        "xaxis": f"x{axis}", "yaxis": f"y{axis}", "stackgroup": f"stack{axis}", "cliponaxis": False,
        "line": {"shape": "hv", "width": 1, "color": theme.surface},
        "fillcolor": mixed(look.colour, theme.surface, FILL),
        "marker": {
            "symbol": look.symbol, "size": [8 if column in marked else 0 for column in range(len(band.values) + 1)],
            "color": look.colour, "opacity": 1, "line": {"width": 1, "color": theme.surface},
        },
        "hovertemplate": f"%{{meta.label}}: {unit}<extra></extra>",
    }  # fmt: skip


def _amounts(panel: Panel, axis: str, theme: Theme) -> dict[str, Any]:
    places = levels(panel)
    return {
        "type": "linear", "anchor": f"x{axis}", "range": [0, axis_end(panel)], "zeroline": False, "showgrid": True,
        "gridcolor": theme.line, "tickmode": "array", "tickvals": places, "ticktext": written(places), "ticks": "",
        "tickfont": {"size": 11, "color": theme.ink_faint}, "ticklabelstandoff": 6,
    }  # fmt: skip


def _text(text: str, colour: str, room: Room, at_px: int, is_shown: bool, **place: Any) -> dict[str, Any]:
    """Return a text so many pixels below the top of the plot; `x` is a share of the plot's width."""
    at: dict[str, Any] = {"xref": "paper", "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "top"}
    at["yshift"] = -at_px
    if room.is_narrow and place.get("x") == 0:
        place["xshift"] = place.get("xshift", 0) + _PHONE_EDGE_PX - room.left_px
    return annotation(text, colour, **(at | {"align": "left", "xshift": 0, "visible": is_shown} | place))


def _heading(panel: Panel, room: Room, at_px: int, theme: Theme) -> dict[str, Any]:
    unit = f' <span style="color:{theme.ink_faint};font-size:12px">{escaped(panel.unit)}</span>' if panel.unit else ""
    below = room.said_below(panel)
    lines = "".join(f"<br>{escaped(line)}" for line in below) or f"   {escaped(panel.said)}"
    said = f'<span style="font-size:12px;color:{theme.ink_soft}">{lines}</span>'
    return _text(f"<b>{escaped(panel.name)}</b>{unit}{said}", theme.ink, room, at_px, True, x=0, size=13)


def _mark_ends(layout: dict[str, Any], panel: Panel, room: Room, axis: str, theme: Theme) -> None:
    """Write at the right of each layer whose it is and what it comes to."""
    for band, height in zip(panel.bands, ends_of(panel, room.panel_px), strict=True):
        text = end_text(room.cloud, band, theme.name, with_name=not room.is_narrow)
        colour = band.source.look(room.cloud.providers, theme.name).colour
        layout["annotations"].append(
            annotation(escaped(text), colour, xref="paper", x=1, xanchor="left", xshift=6, yref=f"y{axis} domain",
                       y=height, yanchor="middle")
        )  # fmt: skip


def _mark_unknown(layout: dict[str, Any], panel: Panel, room: Room, axis: str, theme: Theme) -> None:
    """Hatch what may lie above the layers where somebody's number is missing, and say on hover whose and why."""
    if not panel.unknown.any():
        return
    cells = len(panel.unknown)
    stripes = hatch(panel.unknown[None, :], row_px=2 * room.panel_px, column_px=max(1, round(2000 / cells)))
    layout["images"].append({
        "source": png_address(stripes, theme), "xref": f"x{axis}", "yref": f"y{axis} domain", "layer": "below",
        "x": iso(room.cloud.starts_at_s[:1])[0], "y": 1, "xanchor": "left", "yanchor": "top", "sizing": "stretch",
        "sizex": cells * room.cloud.width_s * 1000, "sizey": 1,
    })  # fmt: skip
    for gap in panel.gaps:
        layout["annotations"].append(
            annotation("?", theme.ink_soft, xref=f"x{axis}", x=iso(np.array([(gap.start_s + gap.end_s) / 2]))[0],
                       yref=f"y{axis} domain", y=1, yanchor="top", yshift=-2, hovertext=escaped(gap.text))
            | {"bgcolor": theme.surface}
        )  # fmt: skip


def _add_bar(layout: dict[str, Any], room: Room, theme: Theme) -> None:
    """Draw each one's part of the whole as a piece of one bar, with its sign inside where there is room."""
    if not room.cloud.shares:
        return
    top, bottom = (1 - px / room.plot_px for px in (room.bar_at_px, room.bar_at_px + BAR_PX))
    begin = 0.0
    for source, share in room.cloud.shares:
        look = source.look(room.cloud.providers, theme.name)
        layout["shapes"].append({
            "type": "rect", "xref": "paper", "yref": "paper", "x0": begin, "x1": begin + share, "y0": bottom, "y1": top,
            "fillcolor": look.colour, "line": {"width": 1, "color": theme.surface}, "visible": room.has_table,
        })  # fmt: skip
        sign = look.sign if share >= _SIGN_FROM else ""
        middle = {"x": begin + share / 2, "xanchor": "center", "size": 9}
        layout["annotations"].append(_text(sign, theme.surface, room, room.bar_at_px - 2, room.has_table, **middle))
        begin += share


def _add_table(layout: dict[str, Any], room: Room, theme: Theme) -> None:
    """Write the table; a phone has no room for its first and last columns."""
    cloud = room.cloud
    places, beyond = COLUMNS_AT, 0
    if room.is_narrow:
        places, beyond = PHONE_COLUMNS_AT, room.right_px(theme.name) - _PHONE_EDGE_PX
    begin_px = room.table_at_px

    def row(at_px: int, sign: str, name: str, cells: tuple[str, ...], colour: str, **more: Any) -> None:
        for text, right_px in ((sign, 0), (name, _SIGN_PX if sign else 0)):
            at = {"x": 0, "xshift": right_px} | more
            layout["annotations"].append(_text(text, colour, room, at_px + 3, room.has_table, **at))
        for number, (place, cell) in enumerate(zip(places, cells, strict=True)):
            x = place or 0.5
            at = {"x": x, "xanchor": "right" if number else "left", "xshift": round(beyond * x**2)} | more
            is_shown = room.has_table and place is not None
            layout["annotations"].append(_text(cell, colour, room, at_px + 3, is_shown, **at))

    row(begin_px, "", "Provider", tuple(escaped(head) for head in cloud.heads), theme.ink_faint)
    limit = _LONGEST_NARROW if room.is_narrow else _LONGEST_NAME
    for number, each in enumerate(cloud.rows, start=1):
        at_px = begin_px + number * ROW_PX
        y = 1 - at_px / room.plot_px
        layout["shapes"].append({
            "type": "line", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
            "line": {"width": 1, "color": theme.line}, "visible": room.has_table,
        })  # fmt: skip
        sign, name = "", "<b>All</b>"
        if each.source is not None:
            look = each.source.look(cloud.providers, theme.name)
            sign = f'<span style="color:{look.colour}">{look.sign}</span>'
            name = escaped(drawn(each.source.label, limit=limit))
        row(at_px, sign, name, tuple(escaped(cell) for cell in each.cells), theme.ink, size=12)


def _differences(wide: Any, phone: Any, path: str) -> list[tuple[str, Any]]:
    """Return what a phone gets instead, by its path in the layout."""
    if wide == phone:
        return []
    if isinstance(wide, dict):
        parts = [(str(name), wide.get(name), phone.get(name)) for name in {**wide, **phone}]
    elif isinstance(wide, list) and len(wide) == len(phone) and wide and isinstance(wide[0], dict):
        parts = [(str(place), one, other) for place, (one, other) in enumerate(zip(wide, phone, strict=True))]
    else:
        return [(path, phone)]
    return [found for name, one, other in parts for found in _differences(one, other, f"{path}.{name}".lstrip("."))]

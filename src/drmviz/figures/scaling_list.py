"""The list of decisions below the Plotly figure of a scaling history."""

from __future__ import annotations

from typing import Any

from drmviz.figures.names import escaped
from drmviz.figures.plotly_parts import annotation
from drmviz.figures.scaling import Item, kind_colour, tinted
from drmviz.figures.scaling_places import BADGE_PX, Places
from drmviz.figures.theme import Theme

_LEFT_END, _RIGHT_BEGIN = 0.48, 0.52
"""Of the width of the plot, where the two columns end and begin."""


def mark_items(layout: dict[str, Any], laid: Places, narrowly: Places, theme: Theme, *, edge_px: int) -> dict[str, Any]:
    """Write the list in two columns; return where a phone, which has room for one, gets it.

    Args:
        layout: gets the annotations and shapes.
        laid: where things lie.
        narrowly: where they lie on a phone.
        theme: the colours.
        edge_px: how far from the edges of the figure the list begins and ends.
    """
    narrow: dict[str, Any] = {}
    shapes, marks = layout["shapes"], layout["annotations"]
    left_px, right_px = edge_px - layout["margin"]["l"], layout["margin"]["r"] - edge_px
    wide, slim = laid.items_at_px(split=True), narrowly.items_at_px(split=False)
    for item, (column, at_px), (_, slim_px) in zip(laid.items, wide, slim, strict=True):
        begin, begin_px = (_RIGHT_BEGIN, 0) if column else (0.0, left_px)
        end, end_px = (1.0, right_px) if column else (_LEFT_END, 0)
        colour = kind_colour(item.kind, theme)
        shapes.append({
            "type": "path", "path": _rounded(begin_px, at_px), "xref": "paper", "yref": "paper", "xsizemode": "pixel",
            "ysizemode": "pixel", "xanchor": begin, "yanchor": 1, "fillcolor": tinted(colour, 0.17, theme),
            "line": {"width": 0}, "layer": "below",
        })  # fmt: skip
        path = f"shapes.{len(shapes) - 1}"
        narrow |= {f"{path}.path": _rounded(left_px, slim_px), f"{path}.xanchor": 0}
        words, narrow_words = (_words(item, each, theme) for each in (laid, narrowly))
        narrow[f"annotations.{len(marks) + 1}.text"] = narrow_words
        middle_px = BADGE_PX // 2 - 4
        for text, ink, anchor, place, shift_px, slim_shift_px, lower_px in (
            (f"<b>{item.badge}</b>", colour, "center", begin, begin_px + middle_px, left_px + middle_px, 4),
            (words, theme.ink, "left", begin, begin_px + BADGE_PX, left_px + BADGE_PX, 0),
            (item.when, theme.ink_faint, "right", end, end_px, right_px, 1),
        ):  # fmt: skip
            path = f"annotations.{len(marks)}"
            narrow |= {
                f"{path}.x": 1 if anchor == "right" else 0,
                f"{path}.xshift": slim_shift_px,
                f"{path}.yshift": -slim_px - lower_px,
            }
            marks.append(annotation(
                text, ink, size=12, align="left", xref="paper", x=place, xanchor=anchor, xshift=shift_px,
                yref="paper", y=1, yanchor="top", yshift=-at_px - lower_px,
            ))  # fmt: skip
    return narrow


def _words(item: Item, laid: Places, theme: Theme) -> str:
    soft = (f'<span style="color:{theme.ink_soft}">{escaped(line)}</span>' for line in laid.reason(item))
    faint = (f'<span style="color:{theme.ink_faint}">{escaped(line)}</span>' for line in laid.after(item))
    return "<br>".join([f"<b>{item.heading}</b>", *soft, *faint])


def _rounded(left_px: int, at_px: int) -> str:
    """Return the ground of a badge as a path in pixels, which grow upwards."""
    left, right, top, bottom, by = left_px, left_px + BADGE_PX - 8, -at_px - 1, -at_px - 25, 6
    return (
        f"M{left + by},{top}L{right - by},{top}Q{right},{top} {right},{top - by}L{right},{bottom + by}"
        f"Q{right},{bottom} {right - by},{bottom}L{left + by},{bottom}Q{left},{bottom} {left},{bottom + by}"
        f"L{left},{top - by}Q{left},{top} {left + by},{top}Z"
    )

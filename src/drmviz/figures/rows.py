"""How many pixels the rows of a picture get, and which of them carry a name."""

from __future__ import annotations

from collections.abc import Sequence

LEGIBLE_ROW_PX = 11
_TALLEST_PX = 500
_AIRY_ROW_PX = 18
"""How far apart names stand where not every row has one."""
_EVERY = (2, 5, 10, 20, 25, 50, 100, 200, 500, 1000)
_ROW_PX = ((4, 26), (12, 20), (40, 14))
"""Up to so many rows each gets so many pixels."""


def panel_height_px(rows: int, *, height: int | None, panels: int, around_px: int) -> int:
    """Return the pixels that the rows of one panel get together.

    Args:
        height: what the user asked for the whole figure.
        around_px: what titles and axes take of it.
    """
    if height is not None:
        return max(20, (height - around_px) // max(1, panels))
    for most, row_px in _ROW_PX:
        if rows <= most:
            return rows * row_px
    return _TALLEST_PX


def named_every(rows: int, height_px: float) -> int:
    """Return that every n-th row can carry its name."""
    row_px = height_px / max(1, rows)
    if row_px >= LEGIBLE_ROW_PX:
        return 1
    return next((every for every in _EVERY if every * row_px >= _AIRY_ROW_PX), rows)


def panel_heights_px(rows: Sequence[int], *, height: int | None, around_px: int) -> list[int]:
    """Return the pixels of each of several panels; a height that the user asked for is shared out by their rows."""
    if height is None:
        return [panel_height_px(number, height=None, panels=1, around_px=0) for number in rows]
    room, total = height - around_px, sum(rows)
    return [max(20, room * number // max(1, total)) for number in rows]

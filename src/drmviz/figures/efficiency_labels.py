"""Where names stand beside their marks: no name covers another, and each covers as few marks as it can."""

from __future__ import annotations

from collections.abc import Sequence

from drmviz.figures.efficiency import AXIS_TEXT, LEFT_AT, WEDGE_TEXT, Corner, Label, Side
from drmviz.figures.names import columns, drawn
from drmviz.model.metrics import FloatArray

ROOM_PX = (280, 300)
"""Width and height that names are placed for; where there is more room they stand further apart."""
LETTER_PX, LINE_PX, GAP_PX = 6.1, 13, 7
LONGEST = 18
_CORNERS: tuple[Corner, ...] = ("right", "left")
_CROWD = 20
_SIDES: tuple[Side, ...] = ("right", "left", "above", "below")

Box = tuple[float, float, float, float]
_AXIS_BOX: Box = (0.0, 0.0, LETTER_PX * len(AXIS_TEXT), float(LINE_PX + GAP_PX))


def placed(
    order: Sequence[int], workers: Sequence[str], x_ratio: FloatArray, y_ratio: FloatArray, *, most: int
) -> tuple[tuple[Label, ...], Corner]:
    """Name the first marks of the order, and find the corner for what explains the wedge that lets most be named.

    Who has no room for its name has none.

    Args:
        order: marks, the one that needs a name most first.
        workers: the id of every mark.
        x_ratio: where each mark lies, as a share of the width; y_ratio the same, from the bottom.
        most: how many are named.
    """
    marks = x_ratio * ROOM_PX[0], (1 - y_ratio) * ROOM_PX[1]
    rank = {mark: place for place, mark in enumerate(order)}
    tried: list[tuple[float, Corner, tuple[Label, ...]]] = []
    for corner in _CORNERS:
        labels = _labels(order, workers, marks, [_AXIS_BOX, _corner(corner)], most=most)
        named = sum(0.5 ** rank[label.mark] for label in labels)
        tried.append((named - 1e-3 * min(_CROWD, _covered(_corner(corner), marks)), corner, labels))
    _, best, names = max(tried, key=lambda one: one[0])  # the first of equals
    return names, best


def _labels(
    order: Sequence[int], workers: Sequence[str], marks: tuple[FloatArray, FloatArray], taken: list[Box], *, most: int
) -> tuple[Label, ...]:
    labels: list[Label] = []
    for mark in order:
        text = drawn(workers[mark], limit=LONGEST)
        at = float(marks[0][mark]), float(marks[1][mark])
        boxes = {side: _box(side, *at, LETTER_PX * columns(text)) for side in _SIDES}
        free = [side for side, box in boxes.items() if _is_inside(box) and not any(_meet(box, b) for b in taken)]
        if free:
            hidden = {side: _covered(boxes[side], marks) for side in free}
            side = min(free, key=hidden.__getitem__)
            labels.append(Label(mark=mark, text=text, side=side))
            taken.append(boxes[side])
        if len(labels) == most:
            break
    return tuple(labels)


def _covered(box: Box, marks: tuple[FloatArray, FloatArray]) -> int:
    """Return how many marks lie in a box."""
    x_px, y_px = marks
    return int(((x_px > box[0]) & (x_px < box[2]) & (y_px > box[1]) & (y_px < box[3])).sum())


def _corner(corner: Corner) -> Box:
    """Return the box of what explains the wedge: at its right end, or further left."""
    width_px, height_px = LETTER_PX * max(map(len, WEDGE_TEXT)), float(LINE_PX * len(WEDGE_TEXT))
    left_px = ROOM_PX[0] - width_px if corner == "right" else LEFT_AT * ROOM_PX[0]
    return left_px, ROOM_PX[1] - height_px, left_px + width_px, float(ROOM_PX[1])


def _box(side: Side, x_px: float, y_px: float, width_px: float) -> Box:
    half = LINE_PX / 2
    if side in ("right", "left"):
        left_px = x_px + GAP_PX if side == "right" else x_px - GAP_PX - width_px
        return left_px, y_px - half, left_px + width_px, y_px + half
    middle_px = y_px - GAP_PX - half if side == "above" else y_px + GAP_PX + half
    return x_px - width_px / 2, middle_px - half, x_px + width_px / 2, middle_px + half


def _is_inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= ROOM_PX[0] and box[3] <= ROOM_PX[1]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

"""Numbers at the top of a page, each with a line of how it got there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from drmviz.model.metrics import FloatArray

_POINTS = 120
_BOTTOM, _ROOM = 32, 29
"""Of a sparkline: where zero lies, and how far above it the highest value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One number."""

    label: str
    value: str
    unit: str = ""
    lead: str = ""
    """The first words of the detail, which stand out."""
    tone: Literal["", "up", "down", "bad"] = ""
    """What they mean; they say so in words too."""
    detail: str = ""
    line: str = ""
    """Path of a sparkline in a box of 200 x 34; empty where there is nothing to draw."""
    area: str = ""
    level: str = ""
    """How far down a dashed line lies; empty for none."""


def with_line(card: Card, values: FloatArray, *, level: float | None = None, stepped: bool = False) -> Card:
    """Return the card with a line of its values, which begins at zero, and of a level."""
    line, area = sparkline(values, highest=level or 0.0, stepped=stepped)
    if not line or level is None:
        return replace(card, line=line, area=area)
    highest = max(float(np.nanmax(_reduced(values))), level)
    return replace(card, line=line, area=area, level=f"{_BOTTOM - level / highest * _ROOM:.1f}")


def sparkline(values: FloatArray, *, highest: float = 0.0, stepped: bool = False) -> tuple[str, str]:
    """Return the paths of a line and of the area below it, reaching at least `highest`; gaps stay gaps."""
    if len(values) < 2 or not np.isfinite(values).any():
        return "", ""
    points = _reduced(values)
    highest = max(float(np.nanmax(points)), highest, 1e-9)
    x = np.linspace(0, 200, len(points))
    y = _BOTTOM - points / highest * _ROOM
    line, area, drawing = [], [], False
    for i in range(len(points)):
        if not np.isfinite(points[i]):
            if drawing:
                area.append(f"L{x[i - 1]:.1f} 34Z")
            drawing = False
            continue
        over = f"H{x[i]:.1f}V{y[i]:.1f}" if stepped else f"L{x[i]:.1f} {y[i]:.1f}"
        line.append(over if drawing else f"M{x[i]:.1f} {y[i]:.1f}")
        area.append(over if drawing else f"M{x[i]:.1f} 34L{x[i]:.1f} {y[i]:.1f}")
        drawing = True
    if drawing:
        area.append("L200 34Z")
    return "".join(line), "".join(area)


def _reduced(values: FloatArray) -> FloatArray:
    """Return the means of neighbours, at most as many as a sparkline shows."""
    step = -(-len(values) // _POINTS)
    padded = np.concatenate([values, np.full(-len(values) % step, np.nan)]).reshape(-1, step)
    measured = np.isfinite(padded)
    points: FloatArray = np.where(measured, padded, 0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    points[~measured.any(axis=1)] = np.nan
    return points

"""A Matplotlib figure laid out in pixels from its top left corner, and texts that it can draw without a warning."""

from __future__ import annotations

import threading
from functools import lru_cache
from textwrap import wrap
from typing import Any

from drmviz.errors import MissingExtraError
from drmviz.figures.names import drawn
from drmviz.figures.png import Pixels
from drmviz.figures.theme import Theme
from drmviz.figures.units import clock, ticks

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font
    from matplotlib.patches import Rectangle
except ImportError as error:
    raise MissingExtraError("Drawing png, svg and pdf", "matplotlib") from error

DRAWING = threading.Lock()
"""Matplotlib keeps state that threads share."""

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
_FURTHER = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew", "WenQuanYi Zen Hei")
_POINTS = 0.72  # of a pixel at 100 dots per inch
_MOST_PIXELS_FINE = 1_000_000


class Canvas:
    """Places things by pixels; y grows downwards, as on a page."""

    def __init__(self, width_px: int, height_px: int, theme: Theme) -> None:
        self.width_px = width_px
        self.height_px = height_px
        self.theme = theme
        self.scale = 1.5 if width_px * height_px <= _MOST_PIXELS_FINE else 1.0
        self.figure = Figure(
            figsize=(width_px / 100, height_px / 100), dpi=100 * self.scale, facecolor=theme.surface, edgecolor="none"
        )

    def axes(self, left_px: float, top_px: float, width_px: float, height_px: float) -> Axes:
        """Add axes without any decoration."""
        axes = self.figure.add_axes((
            left_px / self.width_px, 1 - (top_px + height_px) / self.height_px,
            width_px / self.width_px, height_px / self.height_px,
        ))  # fmt: skip
        axes.set_axis_off()
        return axes

    def text(
        self, x_px: float, y_px: float, text: str, *, colour: str, size_px: float = 11, mono: bool = False, **more: Any
    ) -> None:
        """Write one line; `more` goes to Matplotlib (`ha`, `va`, `weight`)."""
        self.figure.text(
            x_px / self.width_px, 1 - y_px / self.height_px, drawable(text, mono=mono), color=colour,
            fontsize=size_px * _POINTS, family=list(_families(mono)), parse_math=False, **({"va": "center"} | more),
        )  # fmt: skip

    def image(self, axes: Axes, pixels: Pixels, *, extent: tuple[float, float, float, float]) -> None:
        """Draw ready RGB pixels."""
        axes.imshow(pixels, aspect="auto", interpolation="nearest", extent=extent, resample=False)

    def rectangle(self, left_px: float, top_px: float, width_px: float, height_px: float, *, colour: str) -> None:
        """Fill a rectangle."""
        corner = (left_px / self.width_px, 1 - (top_px + height_px) / self.height_px)
        size = (width_px / self.width_px, height_px / self.height_px)
        self.figure.add_artist(Rectangle(corner, *size, facecolor=colour, edgecolor="none"))

    def title(self, title: str, subtitle: str) -> None:
        if title:
            self.text(18, 24, drawn(title, limit=120), colour=self.theme.ink, size_px=15, weight="bold")
            limit = max(20, int((self.width_px - 36) / 6.6))
            self.text(18, 46, drawn(subtitle, limit=limit), colour=self.theme.ink_faint, size_px=12)

    def clock(self, start_s: float, end_s: float, box: tuple[float, float, float, float]) -> None:
        """Write the time of day, in UTC, below a box of (left, top, width, height)."""
        left_px, top_px, width_px, height_px = box
        y_px, colour = top_px + height_px + 12, self.theme.ink_faint
        self.text(left_px - 8, y_px, "UTC", colour=colour, ha="right")
        moments, labels = ticks(start_s, end_s, most=max(2, int(width_px // 110)))
        for moment, label in zip(moments, labels, strict=True):
            x_px = (moment - start_s) / (end_s - start_s) * width_px
            side = "left" if x_px < 25 else "right" if x_px > width_px - 25 else "center"
            self.text(left_px + x_px, y_px, label, colour=colour, ha=side)
        if not moments:
            self.text(left_px, y_px, clock(start_s), colour=colour, ha="left")


def notice(title: str, subtitle: str, text: str, *, width_px: int, theme: Theme) -> Figure:
    """Return a figure that says why there is nothing to see."""
    canvas = Canvas(width_px, 240, theme)
    canvas.title(title, subtitle)
    limit = max(20, int((width_px - 48) / 8))
    for number, line in enumerate(wrap(drawn(text, limit=240), limit)):
        canvas.text(width_px / 2, 130 + 20 * number, line, colour=theme.ink_soft, size_px=14, ha="center")
    return canvas.figure


def drawable(text: str, *, mono: bool = False) -> str:
    """Return the text with a box for each letter that no font at hand can draw."""
    if text.isascii():
        return text
    fonts = _fonts(mono)
    return "".join(letter if any(font.get_char_index(ord(letter)) for font in fonts) else "□" for letter in text)


@lru_cache(maxsize=2)
def _families(mono: bool) -> tuple[str, ...]:
    known = {font.name for font in fontManager.ttflist}
    return (MONO if mono else SANS, *(family for family in _FURTHER if family in known))


@lru_cache(maxsize=2)
def _fonts(mono: bool) -> tuple[FT2Font, ...]:
    return tuple(FT2Font(findfont(family)) for family in _families(mono))

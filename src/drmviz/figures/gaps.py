"""Hatching: the picture of what was not measured, for both libraries."""

from __future__ import annotations

from base64 import b64encode

import numpy as np

from drmviz.figures.png import Pixels, palette_png
from drmviz.figures.theme import Theme, rgb_of
from drmviz.model.metrics import BoolArray

_STRIPES_PX, _STRIPE_PX = 8, 2


def hatch(gaps: BoolArray, *, row_px: int, column_px: int, ygap_px: int = 0) -> Pixels:
    """Return uint8 of shape (rows * row_px, columns * column_px): 0 nothing, 1 ground, 2 stripe."""
    rows, columns = gaps.shape
    y = np.arange(rows * row_px).astype(np.uint8)[:, None]  # wraps at 256, a multiple of the stripes' distance
    x = np.arange(columns * column_px).astype(np.uint8)[None, :]
    pattern = ((x + y) & np.uint8(_STRIPES_PX - 1) < _STRIPE_PX).view(np.uint8) + np.uint8(1)
    pixels: Pixels = np.repeat(np.repeat(gaps.view(np.uint8), column_px, axis=1), row_px, axis=0) * pattern
    if ygap_px:
        pixels.reshape(rows, row_px, -1)[:, row_px - ygap_px :] = 0
    return pixels


def png_address(pixels: Pixels, theme: Theme) -> str:
    """Return a `data:` address of the picture, transparent where there is nothing."""
    colours = bytes((0, 0, 0, *rgb_of(theme.track), *rgb_of(theme.ink_faint)))
    return "data:image/png;base64," + b64encode(palette_png(pixels, colours)).decode("ascii")

"""Hatching: the picture of what was not measured, for both libraries."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import numpy as np
import numpy.typing as npt

from drmviz.figures.theme import Theme, rgb_of
from drmviz.model.metrics import BoolArray

Pixels = npt.NDArray[np.uint8]


def hatch(gaps: BoolArray, *, row_px: int, column_px: int, ygap_px: int = 0, stripe_px: int = 8) -> Pixels:
    """Return uint8 of shape (rows * row_px, columns * column_px): 0 nothing, 1 ground, 2 stripe."""
    rows, columns = gaps.shape
    y = np.arange(rows * row_px)[:, None]
    x = np.arange(columns * column_px)[None, :]
    pattern = np.where((x + y) % stripe_px < max(1, stripe_px // 4), np.uint8(2), np.uint8(1))
    pixels: Pixels = np.repeat(np.repeat(gaps, column_px, axis=1), row_px, axis=0) * pattern
    if ygap_px:
        pixels.reshape(rows, row_px, -1)[:, row_px - ygap_px :] = 0
    return pixels


def png_address(pixels: Pixels, theme: Theme) -> str:
    """Return a `data:` address of the picture, transparent where there is nothing."""
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), dtype=np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = pixels
    palette = bytes((0, 0, 0, *rgb_of(theme.track), *rgb_of(theme.ink_faint)))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            _chunk(b"tRNS", b"\x00"),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 1)),
            _chunk(b"IEND", b""),
        )
    )
    return "data:image/png;base64," + b64encode(content).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

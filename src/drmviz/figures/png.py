"""PNG files from ready pixels; flat colours compress best, and by far fastest, without any filter."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def palette_png(pixels: Pixels, colours: bytes) -> bytes:
    """Return a picture of shape (height, width) whose numbers index RGB colours; the first is transparent."""
    return _png(pixels, kind=3, before=_chunk(b"PLTE", colours) + _chunk(b"tRNS", b"\x00"))


def rgb_png(pixels: Pixels, texts: Mapping[str, str], *, dots_per_inch: float) -> bytes:
    """Return a picture of shape (height, width, 3), with texts for those who cannot see it."""
    dots_per_metre = round(dots_per_inch / 0.0254)
    before = _chunk(b"pHYs", struct.pack(">IIB", dots_per_metre, dots_per_metre, 1))
    for name, text in texts.items():
        before += _chunk(b"iTXt", name.encode("latin-1") + b"\0\0\0\0\0" + text.encode())
    return _png(pixels.reshape(pixels.shape[0], -1), kind=2, before=before)


def _png(lines: Pixels, *, kind: int, before: bytes) -> bytes:
    height, length = lines.shape
    filtered = np.zeros((height, length + 1), dtype=np.uint8)  # each line begins with its filter: none
    filtered[:, 1:] = lines
    width = length // 3 if kind == 2 else length
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        before,
        _chunk(b"IDAT", zlib.compress(filtered.data, 1)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

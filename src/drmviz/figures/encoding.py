"""Figures as bytes: whole numbers as JSON for others, and numbers cut to what a pixel shows for our own pages."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import numpy as np
import orjson

from drmviz.figures.base import CellText, PlotlySpec
from drmviz.model.metrics import FloatArray, IntArray

_FEW_CELLS = 60_000
_UNSAFE_IN_HTML = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"), ("\u2028".encode(), b"\\u2028"),
                   ("\u2029".encode(), b"\\u2029"))  # fmt: skip


def plain(spec: PlotlySpec) -> PlotlySpec:
    """Return `data` and `layout` as Plotly's own classes take them."""
    return {"data": [_written_out(trace) for trace in spec["data"]], "layout": spec["layout"]}


def to_json(spec: PlotlySpec) -> bytes:
    """Return a Plotly figure as JSON with every number in full; unknown is null."""
    return orjson.dumps(plain(spec), default=_listed, option=orjson.OPT_SERIALIZE_NUMPY)


def to_page_json(spec: PlotlySpec) -> bytes:
    """Return the spec for `page.js`, safe inside a script element: arrays are quantised and in base64."""
    seen: dict[int, dict[str, Any]] = {}

    def packed(value: Any) -> Any:
        if id(value) not in seen:  # panels share their texts
            seen[id(value)] = _packed(value) | {"key": len(seen)}
            return seen[id(value)]
        return {"same": seen[id(value)]["key"]}

    parts = {name: spec[name] for name in ("data", "layout", "config", "narrow") if name in spec}
    content = orjson.dumps(parts, default=packed, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    for unsafe, safe in _UNSAFE_IN_HTML:
        content = content.replace(unsafe, safe)
    return content


def quantised(values: FloatArray) -> tuple[IntArray | FloatArray, float]:
    """Return the smallest whole numbers that serve, and the size of their step; the highest one means unknown.

    Steps are 0.1; where there are many cells 0.5, or 1 if one of them is above 127; and nothing is cut where a number
    is too high for that.
    """
    known = np.isfinite(values)
    highest = float(values.max(where=known, initial=0.0))
    if highest > 6553:
        return values.astype(np.float32), 0.0
    kind: type[np.uint8 | np.uint16]
    if values.size > _FEW_CELLS and highest <= 254:
        kind, step = np.uint8, 0.5 if highest <= 127 else 1.0
    else:
        kind, step = np.uint16, 0.1
    unknown = np.iinfo(kind).max
    scaled = np.rint(values * np.float32(1 / step), dtype=np.float32)
    whole: IntArray = np.where(known, scaled, unknown).astype(kind)
    return whole, step


def _packed(value: Any) -> dict[str, Any]:
    if isinstance(value, CellText):
        # runs of one test repeat, so the fastest compression makes them tiny
        content = zlib.compress(np.ascontiguousarray(value.index).tobytes(), 1)
        return {
            "texts": b64encode(zlib.compress(orjson.dumps(value.texts), 1)).decode(),
            "shape": value.index.shape,
            "bytes": value.index.dtype.itemsize,
            "zlib": b64encode(content).decode(),
        }
    if isinstance(value, np.ndarray):
        numbers, step = quantised(value)
        text = b64encode(np.ascontiguousarray(numbers).data).decode()
        return {"shape": numbers.shape, "bytes": numbers.dtype.itemsize, "step": step, "base64": text}
    raise TypeError(f"{type(value).__name__} is not part of a figure")


def _written_out(trace: dict[str, Any]) -> dict[str, Any]:
    text = trace.get("text")
    if not isinstance(text, CellText):
        return trace
    if text.index.size > _FEW_CELLS:  # one text for each cell would outweigh the numbers many times
        return {k: v for k, v in trace.items() if k != "text"} | {
            "hovertemplate": trace["hovertemplate"].replace("%{text}", "")
        }
    return trace | {"text": text.rows()}


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):  # what orjson leaves over: not contiguous
        return np.ascontiguousarray(value)
    raise TypeError(f"{type(value).__name__} is not part of a figure")

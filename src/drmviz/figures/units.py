"""Numbers as people read them: percent, GiB, durations, clock times in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np

from drmviz.model.metrics import FloatArray

_STEPS_S = (
    *(1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000, 7776000, 31536000),
)
_FIRST_S, _LAST_S = -62_135_596_800.0, 253_402_300_799.0
"""The years 1 and 9999."""


def percent(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.0f} %" if value >= 1 or value == 0 else f"{value:.1f} %"


def duration(seconds: float) -> str:
    """Return "340 ms", "2.4 s", "3 min 5 s", "2 h 10 min" or "3 d 4 h"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for size, name, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def size(number: float) -> str:
    """Return bytes as "12 KiB", "3.4 MiB" or "1.2 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(number) < 1023.5:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 99.95 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def iso(moments_s: FloatArray) -> list[str]:
    """Return ISO 8601 in UTC, with as many digits as the moments have, at most microseconds."""
    whole = bool(np.all(moments_s == np.floor(moments_s)))
    unit = "s" if whole else "ms" if np.allclose(moments_s * 1e3, np.rint(moments_s * 1e3), rtol=0, atol=1e-3) else "us"
    factor = {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    stamps = np.rint(np.asarray(moments_s, dtype=np.float64) * factor).astype(np.int64).astype(f"datetime64[{unit}]")
    written: list[str] = np.datetime_as_string(stamps, timezone="UTC").tolist()
    return written


def clock(moment_s: float, *, step_s: float = 1.0) -> str:
    """Return the time of day in UTC, as fine as steps of that size need."""
    moment = _moment(moment_s)
    if step_s >= 86400:
        return f"{moment:%b} {moment.day}"
    if step_s >= 60:
        return f"{moment:%H:%M}"
    return f"{moment:%H:%M:%S}" if step_s >= 1 else f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _moment(moment_s: float) -> datetime:
    """Return the moment, or the first or last one that has a date where a source stated one beyond."""
    return datetime.fromtimestamp(min(max(moment_s, _FIRST_S), _LAST_S), UTC)


def date_and_clock(moment_s: float) -> str:
    """Return "2026-09-21 14:13 UTC"."""
    return f"{_moment(moment_s):%Y-%m-%d %H:%M} UTC"


def ticks(start_s: float, end_s: float, *, most: int) -> tuple[list[float], list[str]]:
    """Return round moments inside the window, at most so many, and their labels."""
    span = max(end_s - start_s, 1e-3)
    finest_s = 1.0 if span >= 2 else 0.0
    step = next((s for s in _STEPS_S if span / s <= most and s >= finest_s), _STEPS_S[-1])
    first = math.ceil(start_s / step - 1e-9)
    last = math.floor(end_s / step + 1e-9)
    moments = [number * step for number in range(first, min(last, first + most) + 1)]
    return moments, [clock(moment, step_s=step) for moment in moments]

"""The binary frames of `/ws`: one tick each, little-endian, NaN where nothing is known.

A header of 32 bytes: magic `DRMV`, version (uint16), metrics (uint16), sequence (uint32), roster (uint32), time
(float64, seconds since the epoch), workers (uint32), zero (uint32). Then float32 of shape (metrics, workers): the
metrics of the channel in the order of the API, the workers in that of the roster.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from drmviz.figures.providers import provider_of
from drmviz.live import LiveTick
from drmviz.model.metrics import METRIC_ROW, Metric
from drmviz.model.samples import Roster, Tick
from drmviz.report.tables import decision_json

MAGIC = b"DRMV"
VERSION = 1
HEADER = struct.Struct("<4sHHIIdII")
_FINAL_TEXT, _FINAL_BINARY = 0x81, 0x82


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message and the WebSocket frame around it, made once whatever the number of viewers."""

    message: dict[str, Any]
    """As ASGI has it; a server that knows `drmviz.encoded` writes that as it is."""

    @classmethod
    def text(cls, content: bytes) -> Encoded:
        encoded = _framed(_FINAL_TEXT, content)
        return cls({"type": "websocket.send", "text": content.decode(), "drmviz.encoded": encoded})

    @classmethod
    def binary(cls, content: bytes) -> Encoded:
        encoded = _framed(_FINAL_BINARY, content)
        return cls({"type": "websocket.send", "bytes": content, "drmviz.encoded": encoded})


def _framed(first: int, content: bytes) -> bytes:
    """Return one whole frame as a server sends it (RFC 6455, 5.2): not masked, not in fragments."""
    size = len(content)
    if size < 126:
        return struct.pack("!BB", first, size) + content
    if size < 2**16:
        return struct.pack("!BBH", first, 126, size) + content
    return struct.pack("!BBQ", first, 127, size) + content


def frame(live: LiveTick, metric: Metric | None = None) -> bytes:
    """Return one tick; all metrics, or the one that was asked for."""
    values = live.tick.values if metric is None else live.tick.values[[METRIC_ROW[metric]]]
    rows, columns = values.shape
    header = HEADER.pack(MAGIC, VERSION, rows, live.number % 2**32, live.tick.roster.number, live.tick.at_s, columns, 0)
    return header + np.ascontiguousarray(values, dtype="<f4").tobytes()


def roster_event(roster: Roster) -> dict[str, Any]:
    """Return who the columns of the frames that follow stand for."""
    return {
        "type": "roster",
        "roster": roster.number,
        "workers": [
            {
                "id": life.id,
                "incarnation": life.ordinal,
                "kind": life.entry.kind,
                "host": life.entry.host,
                "provider": provider_of(life.entry.labels),
            }
            for life in roster.incarnations
        ],
    }


def events(live: LiveTick) -> list[dict[str, Any]]:
    """Return what happened in a tick beside its numbers."""
    tick: Tick = live.tick
    return [
        *({"type": "joined", "worker": c.id, "at_s": c.joined_at_s, "why": c.why_joined} for c in tick.came),
        *({"type": "left", "worker": w.id, "at_s": w.left_at_s, "why": w.why_left} for w in tick.went),
        *({"type": "decision", **decision_json(decision)} for decision in tick.decisions),
        *(
            {"type": "task", "nodeid": t.name, "worker": t.worker, "outcome": t.outcome, "end_s": t.ended_at_s}
            for t in tick.tasks
        ),
    ]

"""The one chunk format: one metric of up to 64 incarnations over the ticks in which one of them lived."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import zstandard

from drmviz.model.metrics import FloatArray, IntArray
from drmviz.store.frames import DamagedFrameError, framed, unframed

CHUNK_INCARNATIONS = 64
RAW_TIER = 0
VALUE, MINIMUM, MEAN, MAXIMUM, COUNT = range(5)
"""What the numbers of a chunk are: samples of the raw tier, or one statistic of a rollup."""

_FORMAT = 1
_HEADER = struct.Struct("<BBBBHHI")  # format, tier, metric, statistic, incarnations, reserved, ticks
_LEVEL = 1  # level 3 saves one part in a hundred and costs half as much again


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Decoded: float32 values of shape (incarnations, ticks), NaN where a member did not live or was not measured."""

    metric: int
    statistic: int
    tier: int
    members: IntArray
    """uint32, shape (incarnations,): numbers of the incarnations, ordered by (joined, left)."""
    first_tick: int
    """Where its first tick stands among the ticks of the run; the sequence of its frame."""
    values: FloatArray


def encode(chunk: Chunk) -> bytes:
    """Return the framed BLOB of a chunk."""
    incarnations, ticks = chunk.values.shape
    head = _HEADER.pack(_FORMAT, chunk.tier, chunk.metric, chunk.statistic, incarnations, 0, ticks)
    shuffled = np.ascontiguousarray(chunk.values, dtype="<f4").view(np.uint8).reshape(-1, 4).T.tobytes()
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(shuffled)
    return framed(chunk.first_tick, b"".join((head, chunk.members.astype("<u4").tobytes(), packed)))


def checked(blob: bytes, *, first_tick: int) -> memoryview:
    """Return the payload of a chunk that is what was written; its members can be looked at without unpacking it.

    Raises:
        DamagedFrameError: it is not, or a later version wrote it.
    """
    payload = unframed(blob, sequence=first_tick)
    if len(payload) < _HEADER.size:
        raise DamagedFrameError(f"{len(payload)} bytes are too few for a chunk")
    if payload[0] != _FORMAT:
        raise DamagedFrameError(f"chunk format {payload[0]} is unknown; this version reads {_FORMAT}")
    return payload


def place_of(payload: memoryview) -> tuple[int, int, int]:
    """Return (tier, metric, statistic) of a checked chunk, as its own header says."""
    _, tier, metric, statistic, *_ = _HEADER.unpack_from(payload)
    return tier, metric, statistic


def members_of(payload: memoryview) -> IntArray:
    """Return the incarnation numbers of a checked chunk."""
    incarnations = _HEADER.unpack_from(payload)[4]
    return np.frombuffer(payload, dtype="<u4", count=incarnations, offset=_HEADER.size)


def decode(payload: memoryview, *, first_tick: int) -> Chunk:
    """Return a checked chunk.

    Raises:
        DamagedFrameError: it cannot be unpacked.
    """
    _, tier, metric, statistic, incarnations, _, ticks = _HEADER.unpack_from(payload)
    body = _HEADER.size + 4 * incarnations
    members = np.frombuffer(payload[_HEADER.size : body], dtype="<u4")
    shuffled = zstandard.ZstdDecompressor().decompress(payload[body:], max_output_size=4 * incarnations * ticks)
    if len(shuffled) != 4 * incarnations * ticks:
        raise DamagedFrameError(f"{len(shuffled)} bytes were unpacked where {4 * incarnations * ticks} belong")
    bytes_of = np.frombuffer(shuffled, dtype=np.uint8).reshape(4, -1)
    values = np.ascontiguousarray(bytes_of.T).view("<f4").reshape(incarnations, ticks)
    return Chunk(metric=metric, statistic=statistic, tier=tier, members=members, first_tick=first_tick, values=values)

"""The one chunk format: one metric of some incarnations over the ticks, or buckets, in which one of them lived."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import zstandard

from drmviz.model.metrics import FloatArray, IntArray
from drmviz.store.frames import DamagedFrameError, framed, unframed

CHUNK_INCARNATIONS = (64, 64, 1024, 1024)
"""How many incarnations share a chunk, by tier: few values each, many incarnations."""
VALUE, MINIMUM, MEAN, MAXIMUM, COUNT = range(5)
"""What the numbers of a chunk are: samples of the raw tier, or one statistic of a rollup."""

_FIRST_FORMAT, _SHUFFLED, _INDEXED = 1, 2, 3
"""The bytes of all numbers sorted by their place, with the numbers of all members before them; the same with steps
between members; and a table of the few different numbers before the steps from one place in it to the next."""
_HEADER = struct.Struct("<BBBBHHI")  # format, tier, metric, statistic, incarnations, samples in each bucket, ticks
_FIRST_MEMBER = struct.Struct("<IB")  # its number, and how many bytes each difference to the next one has
_LEVEL = 1  # level 3 saves one part in a hundred and costs half as much again


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Decoded: float32 values of shape (incarnations, ticks), NaN where a member did not live or was not measured."""

    metric: int
    statistic: int
    tier: int
    members: IntArray
    """Numbers of the incarnations, shape (incarnations,), ordered by (joined, left)."""
    first_tick: int
    """Where its first tick stands among the ticks of the run, or its first bucket since 1970; the sequence of its
    frame."""
    values: FloatArray
    samples: int = 0
    """Of how many samples every mean was made that is there; 0 where they differ and a chunk of counts tells."""


def encode(chunk: Chunk) -> bytes:
    """Return the framed BLOB of a chunk."""
    incarnations, ticks = chunk.values.shape
    values = np.ascontiguousarray(chunk.values, dtype="<f4")
    indexed = _indexed(values)
    if indexed is None:
        form, table_length, body = _SHUFFLED, b"", values.view(np.uint8).reshape(-1, 4).T.tobytes()
    else:
        table, steps = indexed
        form, table_length, body = _INDEXED, bytes([len(table) - 1]), table.tobytes() + steps.tobytes()
    head = _HEADER.pack(form, chunk.tier, chunk.metric, chunk.statistic, incarnations, chunk.samples, ticks)
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(body)
    return framed(chunk.first_tick, b"".join((head, _packed_members(chunk.members), table_length, packed)))


_LONGEST_TABLE = 256
_FACTORS = tuple(np.uint32(factor) for factor in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1))
"""Odd, and without a pattern: one of them spreads the numbers of a table over 65536 places without a collision."""


def _indexed(values: FloatArray) -> tuple[FloatArray, IntArray] | None:
    """Return the different numbers, ascending, and uint8 of the shape of the values: by how many places of that table,
    modulo 256, each number stands behind the one before; None where there are too many, or it would not be exact.

    What sensors quantise takes a fifth of the bytes like this.
    """
    table = np.unique(values)
    if len(table) > min(_LONGEST_TABLE, values.size // 8):
        return None
    bits = table.view(np.uint32)
    for factor in _FACTORS:
        places = (bits * factor) >> np.uint32(16)
        if len(np.unique(places)) == len(table):
            break
    else:
        return None
    index_at = np.zeros(1 << 16, dtype=np.uint8)
    index_at[places] = np.arange(len(table), dtype=np.uint8)
    index = index_at.take((values.view(np.uint32) * factor) >> np.uint32(16))
    if not np.array_equal(bits.take(index, mode="clip"), values.view(np.uint32)):  # -0.0 beside 0.0, two kinds of NaN
        return None
    index[:, 1:] -= index[:, :-1].copy()
    return table, index


def _packed_members(members: IntArray) -> bytes:
    steps = np.diff(members.astype(np.int64))
    widest = int(np.abs(steps).max(initial=0))
    width = next(width for width in (1, 2, 4, 8) if widest < 1 << (8 * width - 1))
    return _FIRST_MEMBER.pack(int(members[0]), width) + steps.astype(f"<i{width}").tobytes()


def checked(blob: bytes, *, first_tick: int) -> memoryview:
    """Return the payload of a chunk that is what was written; its members can be looked at without unpacking it.

    Raises:
        DamagedFrameError: it is not, or a later version wrote it.
    """
    payload = unframed(blob, sequence=first_tick)
    if len(payload) < _HEADER.size:
        raise DamagedFrameError(f"{len(payload)} bytes are too few for a chunk")
    if payload[0] not in (_FIRST_FORMAT, _SHUFFLED, _INDEXED):
        raise DamagedFrameError(f"chunk format {payload[0]} is unknown; this version reads up to {_INDEXED}")
    return payload


def place_of(payload: memoryview) -> tuple[int, int, int]:
    """Return (tier, metric, statistic) of a checked chunk, as its own header says."""
    _, tier, metric, statistic, *_ = _HEADER.unpack_from(payload)
    return tier, metric, statistic


def kind_of(payload: memoryview) -> tuple[int, int, int, int, int]:
    """Return (tier, metric, statistic, samples, ticks) of a checked chunk, as its own header says."""
    _, tier, metric, statistic, _, samples, ticks = _HEADER.unpack_from(payload)
    return tier, metric, statistic, samples, ticks


def members_of(payload: memoryview) -> IntArray:
    """Return the incarnation numbers of a checked chunk."""
    incarnations = _HEADER.unpack_from(payload)[4]
    at = _HEADER.size
    if payload[0] == _FIRST_FORMAT:
        return np.frombuffer(payload, dtype="<u4", count=incarnations, offset=at)
    first, width = _FIRST_MEMBER.unpack_from(payload, at)
    members = np.empty(incarnations, dtype=np.int64)
    members[0] = first
    steps = np.frombuffer(payload, dtype=f"<i{width}", count=incarnations - 1, offset=at + _FIRST_MEMBER.size)
    np.cumsum(steps, out=members[1:])
    members[1:] += first
    return members


def length_of(payload: memoryview) -> int:
    """Return how many ticks or buckets a checked chunk has."""
    ticks: int = _HEADER.unpack_from(payload)[6]
    return ticks


def same_members(payload: memoryview) -> bytes:
    """Return bytes that are equal where two checked chunks have the same members in the same order."""
    return (b"1" if payload[0] == _FIRST_FORMAT else b"") + bytes(payload[_HEADER.size : _members_end(payload)])


def _members_end(payload: memoryview) -> int:
    incarnations: int = _HEADER.unpack_from(payload)[4]
    if payload[0] == _FIRST_FORMAT:
        return _HEADER.size + 4 * incarnations
    _, width = _FIRST_MEMBER.unpack_from(payload, _HEADER.size)
    return _HEADER.size + _FIRST_MEMBER.size + int(width) * (incarnations - 1)


def samples_in(payload: memoryview) -> int:
    """Return `Chunk.samples` of a checked chunk."""
    samples: int = _HEADER.unpack_from(payload)[5]
    return samples


def decode(payload: memoryview, *, first_tick: int, only: IntArray | None = None) -> Chunk:
    """Return a checked chunk, or only the members that stand at these places in it.

    Raises:
        DamagedFrameError: it cannot be unpacked.
    """
    tier, metric, statistic = place_of(payload)
    members = members_of(payload)
    return Chunk(
        metric=metric,
        statistic=statistic,
        tier=tier,
        members=members if only is None else members[only],
        first_tick=first_tick,
        values=values_of([payload], only=only),
        samples=samples_in(payload),
    )


def values_of(payloads: Sequence[memoryview], *, only: IntArray | None = None) -> FloatArray:
    """Return the numbers of checked chunks of the same members side by side, float32 of shape (members, ticks of all).

    Raises:
        DamagedFrameError: one of them cannot be unpacked.
    """
    unpacking = zstandard.ZstdDecompressor()  # to make one costs as much as to use it on a small chunk
    runs = [list(run) for _, run in groupby(payloads, key=lambda payload: payload[0] == _INDEXED)]
    parts: list[FloatArray] = []
    for run in runs:
        if run[0][0] == _INDEXED:
            parts += [_of_indexed(unpacking, payload, only) for payload in run]
        else:
            parts.append(_of_shuffled(unpacking, run, only))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _of_indexed(unpacking: zstandard.ZstdDecompressor, payload: memoryview, only: IntArray | None) -> FloatArray:
    *_, incarnations, _, ticks = _HEADER.unpack_from(payload)
    end = _members_end(payload)
    if end >= len(payload):
        raise DamagedFrameError("nothing follows the members of this chunk")
    many = payload[end] + 1
    unpacked = _decompressed(unpacking, payload[end + 1 :], 4 * many + incarnations * ticks)
    steps = np.frombuffer(unpacked, dtype=np.uint8, offset=4 * many).reshape(incarnations, ticks)
    by_tick = (steps if only is None else steps[only]).T.copy()
    index = np.add.accumulate(by_tick, axis=0, out=by_tick)  # all members at once: a third of the time along each
    table = np.zeros(_LONGEST_TABLE, dtype="<f4")
    table[:many] = np.frombuffer(unpacked, dtype="<f4", count=many)
    return table.take(index, mode="clip").T  # a byte always has its place; not to check that is twice as fast


def _of_shuffled(
    unpacking: zstandard.ZstdDecompressor, payloads: list[memoryview], only: IntArray | None
) -> FloatArray:
    parts = []
    for payload in payloads:
        *_, incarnations, _, ticks = _HEADER.unpack_from(payload)
        shuffled = _decompressed(unpacking, payload[_members_end(payload) :], 4 * incarnations * ticks)
        bytes_of = np.frombuffer(shuffled, dtype=np.uint8).reshape(4, incarnations, ticks)
        parts.append(bytes_of if only is None else bytes_of[:, only])
    together = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    values = np.empty(together.shape[1:], dtype="<f4")
    places = values.view(np.uint8).reshape(*values.shape, 4)
    for place in range(4):  # several times as fast as to transpose
        places[..., place] = together[place]
    return values


def _decompressed(unpacking: zstandard.ZstdDecompressor, packed: memoryview, size: int) -> bytes:
    unpacked = unpacking.decompress(packed, max_output_size=size)
    if len(unpacked) != size:
        raise DamagedFrameError(f"{len(unpacked)} bytes were unpacked where {size} belong")
    return unpacked

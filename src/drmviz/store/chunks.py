"""The chunk: one metric of some incarnations over the ticks, or buckets, in which one of them lived."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from drmviz.model.metrics import FloatArray, IntArray
from drmviz.store.bodies import FIRST_FORMAT, FORMATS, Body, Packer, unpacked
from drmviz.store.frames import DamagedFrameError, framed, unframed

CHUNK_INCARNATIONS = (64, 64, 1024, 1024)
"""How many incarnations share a chunk, by tier: few values each, many incarnations."""
VALUE, MINIMUM, MEAN, MAXIMUM, COUNT = range(5)
"""What the numbers of a chunk are: samples of the raw tier, or one statistic of a rollup."""

_SAME = struct.Struct("<?H")
_HEADER = struct.Struct("<BBBBHHI")  # format, tier, metric, statistic, incarnations, samples in each bucket, ticks
_FIRST_MEMBER = struct.Struct("<IB")
"""Its number, and how many bytes each difference to the next one has: none where the next is the number after it."""


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
    per_one: int = 0
    """Samples may be whole multiples of 1 / this, which saves room; 0 where nobody knows. Values come back bit by bit,
    whatever is told here."""


def encode(chunk: Chunk, packer: Packer | None = None) -> bytes:
    """Return the framed BLOB of a chunk."""
    incarnations, ticks = chunk.values.shape
    per_one = {MEAN: chunk.per_one * chunk.samples, COUNT: 1}.get(chunk.statistic, chunk.per_one)
    form, body = (packer or Packer()).packed(chunk.values, per_one=per_one, is_read_most=chunk.statistic == VALUE)
    head = _HEADER.pack(form, chunk.tier, chunk.metric, chunk.statistic, incarnations, chunk.samples, ticks)
    return framed(chunk.first_tick, b"".join((head, _packed_members(chunk.members), body)))


def _packed_members(members: IntArray) -> bytes:
    steps = np.diff(members.astype(np.int64))
    if (steps == 1).all():
        return _FIRST_MEMBER.pack(int(members[0]), 0)
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
    if payload[0] not in FORMATS:
        raise DamagedFrameError(f"chunk format {payload[0]} is unknown; this version reads up to {FORMATS[-1]}")
    return payload


def place_of(payload: memoryview) -> tuple[int, int, int]:
    """Return (tier, metric, statistic) of a checked chunk, as its own header says."""
    _, tier, metric, statistic, *_ = _HEADER.unpack_from(payload)
    return tier, metric, statistic


class Told(NamedTuple):
    """What a checked chunk says of itself, read in one go: a window has thousands of chunks."""

    kind: tuple[int, int, int, int, int]
    """Its tier, metric and statistic, and how many samples and ticks it says it has."""
    members: bytes
    """Equal where two chunks have the same members in the same order."""
    body: Body


def told_by(payload: memoryview) -> Told:
    """Return what a checked chunk says of itself."""
    form, tier, metric, statistic, incarnations, samples, ticks = _HEADER.unpack_from(payload)
    end = _members_end(payload, form, incarnations)
    members = _SAME.pack(form == FIRST_FORMAT, incarnations) + payload[_HEADER.size : end]
    return Told((tier, metric, statistic, samples, ticks), members, Body(form, incarnations, ticks, payload[end:]))


def members_of(payload: memoryview) -> IntArray:
    """Return the incarnation numbers of a checked chunk."""
    incarnations = _HEADER.unpack_from(payload)[4]
    at = _HEADER.size
    if payload[0] == FIRST_FORMAT:
        return np.frombuffer(payload, dtype="<u4", count=incarnations, offset=at)
    first, width = _FIRST_MEMBER.unpack_from(payload, at)
    if not width:
        return np.arange(first, first + incarnations, dtype=np.int64)
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


def _members_end(payload: memoryview, form: int, incarnations: int) -> int:
    if form == FIRST_FORMAT:
        return _HEADER.size + 4 * incarnations
    width: int = _FIRST_MEMBER.unpack_from(payload, _HEADER.size)[1]
    return _HEADER.size + _FIRST_MEMBER.size + width * (incarnations - 1)


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
    return unpacked([told_by(payload).body for payload in payloads], only)

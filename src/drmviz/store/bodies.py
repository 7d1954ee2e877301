"""The numbers of a chunk as bytes, in whichever way takes least room or time; each gives them back bit by bit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import zstandard

from drmviz.model.metrics import FloatArray, IntArray
from drmviz.store.counted import changes_of, counts_after, counts_of, numbers_of, steps_of, stretches_of
from drmviz.store.frames import DamagedFrameError

FIRST_FORMAT, SHUFFLED, INDEXED, COUNTED, HELD = range(1, 6)
"""The bytes of all numbers sorted by their place; the same in a chunk whose members are told by steps; a table of the
few different numbers before the steps from one place in it to the next; counts of a fraction as the steps from one to
the next, their bytes sorted by their place; and such counts where most are those before: how long each holds, and the
steps from one to the next."""
FORMATS = range(FIRST_FORMAT, HELD + 1)

_TABLE = struct.Struct("<B")  # how many numbers it has, less one
_COUNTS = struct.Struct("<IB")  # how many of the fraction make one, and how many bytes each step has
_HOLDS = struct.Struct("<IBBI")  # the same, how many bytes each length has, and how many lengths there are
_HELD_SHARE = 3 / 8
"""Up to so many numbers that differ from the one before, lengths take less room than steps do."""
_PACKING = zstandard.ZstdCompressionParameters.from_level(1, min_match=7, write_content_size=True)
"""Level 3 saves nothing in steps and costs half as much again; shorter matches than these are chance, and cost too."""


class Body(NamedTuple):
    """What follows the members of a chunk, and what its header tells of it."""

    form: int
    incarnations: int
    ticks: int
    packed: memoryview


class Packer:
    """Packs numbers; kept from one chunk to the next, for to make it costs more than to use it. Not for two threads."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(compression_params=_PACKING)

    def packed(self, values: FloatArray, *, per_one: int = 0, is_read_most: bool = False) -> tuple[int, bytes]:
        """Return the format of float32 numbers of shape (incarnations, ticks), NaN where unknown, and their bytes.

        Whole multiples of 1 / `per_one` are counted. Where numbers are what is read most, and few different ones, they
        are indexed: that is unpacked faster.
        """
        form, told, body = _packable(np.ascontiguousarray(values, dtype="<f4"), per_one, is_read_most)
        return form, told + self._compressor.compress(body)


def _packable(values: FloatArray, per_one: int, is_read_most: bool) -> tuple[int, bytes, bytes]:
    """Return the format of numbers, what stands before what is compressed of them, and what is compressed."""
    counts = counts_of(values, per_one) if per_one else None
    if counts is not None:
        changes = changes_of(counts)
        if len(changes) < _HELD_SHARE * counts.size:
            lengths, steps = stretches_of(counts, changes)
            widths = _width(steps), _width(lengths)
            told = _HOLDS.pack(per_one, *widths, len(lengths))
            return HELD, told, _sorted_bytes(steps, widths[0]) + _sorted_bytes(lengths, widths[1])
    if is_read_most:
        indexed = _indexed(values)
        if indexed is not None:
            table, places = indexed
            return INDEXED, _TABLE.pack(len(table) - 1), table.tobytes() + places.tobytes()
    if counts is not None:
        steps = steps_of(counts)
        width = _width(steps)
        return COUNTED, _COUNTS.pack(per_one, width), _sorted_bytes(steps, width)
    return SHUFFLED, b"", _sorted_bytes(values, 4)


def _width(numbers: IntArray) -> int:
    return (int(numbers.max(initial=0)).bit_length() + 7) // 8 or 1


def _sorted_bytes(numbers: FloatArray | IntArray, width: int) -> bytes:
    """Return the lower bytes of numbers of four bytes: the first of all of them, then the second ..."""
    places = numbers.view(np.uint8).reshape(-1, 4)[:, :width]
    return places.T.tobytes()


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


def unpacked(bodies: Sequence[Body], only: IntArray | None = None) -> FloatArray:
    """Return the numbers of the same members side by side, float32 of shape (members, ticks of all); `only` of those
    that stand at these places.

    Raises:
        DamagedFrameError: one of them is not what was written.
    """
    unpacking = zstandard.ZstdDecompressor()  # to make one costs as much as to use it on a small chunk
    parts: list[FloatArray] = []
    for (form, *_), run in groupby(bodies, key=_kind_of):
        if form == INDEXED:
            parts += [_of_indexed(unpacking, body, only) for body in run]
        elif form == COUNTED:
            parts.append(_of_counted(unpacking, list(run), only))
        elif form == HELD:
            numbers = _of_held(unpacking, list(run))
            parts.append(numbers if only is None else numbers[only])
        else:
            parts.append(_of_shuffled(unpacking, list(run), only))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _kind_of(body: Body) -> tuple[int, ...]:
    """Return what is equal where bodies of the same members can be unpacked as one."""
    if body.form == COUNTED:
        return (COUNTED, body.ticks, *_told(_COUNTS, body))
    if body.form == HELD:
        return (HELD, body.ticks, _told(_HOLDS, body)[0])
    return (SHUFFLED if body.form == FIRST_FORMAT else body.form,)


def _told(head: struct.Struct, body: Body) -> tuple[int, ...]:
    if len(body.packed) <= head.size:
        raise DamagedFrameError("nothing follows the members of this chunk")
    return head.unpack_from(body.packed)


def _of_indexed(unpacking: zstandard.ZstdDecompressor, body: Body, only: IntArray | None) -> FloatArray:
    many = _told(_TABLE, body)[0] + 1
    bytes_of = _decompressed(unpacking, body.packed[_TABLE.size :], 4 * many + body.incarnations * body.ticks)
    steps = np.frombuffer(bytes_of, dtype=np.uint8, offset=4 * many).reshape(body.incarnations, body.ticks)
    by_tick = (steps if only is None else steps[only]).T.copy()
    index = np.add.accumulate(by_tick, axis=0, out=by_tick)  # all members at once: a third of the time along each
    table = np.zeros(_LONGEST_TABLE, dtype="<f4")
    table[:many] = np.frombuffer(bytes_of, dtype="<f4", count=many)
    return table.take(index, mode="clip").T  # a byte always has its place; not to check that is twice as fast


def _of_counted(unpacking: zstandard.ZstdDecompressor, bodies: list[Body], only: IntArray | None) -> FloatArray:
    """Return the numbers of bodies of one kind."""
    incarnations, ticks = bodies[0].incarnations, bodies[0].ticks
    per_one, width = _told(_COUNTS, bodies[0])
    _refuse_no_counts(per_one, width)
    size = width * incarnations * ticks
    sorted_bytes = (_decompressed(unpacking, body.packed[_COUNTS.size :], size) for body in bodies)
    steps = np.zeros((incarnations if only is None else len(only), len(bodies), ticks), dtype="<u4")
    places = steps.view(np.uint8).reshape(*steps.shape, 4)
    if only is None:
        for i, of_body in enumerate(sorted_bytes):
            bytes_of = np.frombuffer(of_body, dtype=np.uint8).reshape(width, incarnations, ticks)
            for place in range(width):
                places[:, i, :, place] = bytes_of[place]
    else:  # few of many: to pick them out of all bodies at once costs less than a call for each
        together = np.frombuffer(b"".join(sorted_bytes), dtype=np.uint8).reshape(-1, width, incarnations, ticks)
        places[..., :width] = together[:, :, only].transpose(2, 0, 3, 1)
    return numbers_of(counts_after(steps), per_one).reshape(len(steps), -1)


def _of_held(unpacking: zstandard.ZstdDecompressor, bodies: list[Body]) -> FloatArray:
    """Return the numbers of bodies of one kind."""
    incarnations, ticks = bodies[0].incarnations, bodies[0].ticks
    parts = [_lengths_and_counts(unpacking, body) for body in bodies]
    lengths, counts = (np.concatenate(of) for of in zip(*parts, strict=True))
    numbers = np.repeat(numbers_of(counts, _told(_HOLDS, bodies[0])[0]), lengths)
    return numbers.reshape(len(bodies), incarnations, ticks).transpose(1, 0, 2).reshape(incarnations, -1)


def _lengths_and_counts(unpacking: zstandard.ZstdDecompressor, body: Body) -> tuple[IntArray, IntArray]:
    """Return how long each count holds along the numbers of all members, and the counts."""
    per_one, step_width, length_width, many = _told(_HOLDS, body)
    _refuse_no_counts(per_one, step_width, length_width)
    size = body.incarnations * body.ticks
    if not 0 < many <= size:
        raise DamagedFrameError(f"{many} stretches cannot make {size} numbers")
    bytes_of = _decompressed(unpacking, body.packed[_HOLDS.size :], many * (step_width + length_width))
    steps = _from_sorted(memoryview(bytes_of)[: many * step_width], step_width)
    lengths = _from_sorted(memoryview(bytes_of)[many * step_width :], length_width)
    if int(lengths.sum(dtype=np.int64)) != size:
        raise DamagedFrameError(f"stretches make {int(lengths.sum(dtype=np.int64))} numbers where {size} belong")
    return lengths, counts_after(steps)


def _from_sorted(sorted_bytes: memoryview, width: int) -> IntArray:
    """Return uint32 of what `_sorted_bytes` made."""
    numbers = np.zeros(len(sorted_bytes) // width, dtype="<u4")
    numbers.view(np.uint8).reshape(-1, 4)[:, :width] = np.frombuffer(sorted_bytes, dtype=np.uint8).reshape(width, -1).T
    return numbers


def _refuse_no_counts(per_one: int, *widths: int) -> None:
    if not per_one or not all(0 < width <= 4 for width in widths):
        raise DamagedFrameError(f"counts of 1/{per_one} in {' and '.join(map(str, widths))} bytes are none")


def _of_shuffled(unpacking: zstandard.ZstdDecompressor, bodies: list[Body], only: IntArray | None) -> FloatArray:
    parts = []
    for body in bodies:
        shuffled = _decompressed(unpacking, body.packed, 4 * body.incarnations * body.ticks)
        bytes_of = np.frombuffer(shuffled, dtype=np.uint8).reshape(4, body.incarnations, body.ticks)
        parts.append(bytes_of if only is None else bytes_of[:, only])
    together = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    values = np.empty(together.shape[1:], dtype="<f4")
    places = values.view(np.uint8).reshape(*values.shape, 4)
    for place in range(4):  # several times as fast as to transpose
        places[..., place] = together[place]
    return values


def _decompressed(unpacking: zstandard.ZstdDecompressor, compressed: memoryview, size: int) -> bytes:
    try:
        bytes_of = unpacking.decompress(compressed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise DamagedFrameError(f"it cannot be unpacked, {error}") from error
    if len(bytes_of) != size:
        raise DamagedFrameError(f"{len(bytes_of)} bytes were unpacked where {size} belong")
    return bytes_of

"""How far the wall clock was ahead of the monotonic axis, from which tick on: a clock that is set loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from drmviz.model.metrics import IntArray
from drmviz.store.frames import unframed

JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the monotonic one is worth a note."""
_MOST_TOLD = 20


def times_of(blob: bytes, first_sequence: int) -> IntArray:
    """Return int64 of shape (2, ticks): at_us and wall_us of the ticks of a sealed block.

    Raises:
        DamagedFrameError: the BLOB is not what was written.
    """
    return np.frombuffer(unframed(blob, sequence=first_sequence), dtype="<i8").reshape(2, -1)


def turns(at_us: IntArray, wall_us: IntArray, drift_us: int | None) -> Iterator[tuple[int, int]]:
    """Yield (at_us, drift_us) of each tick from which on the clock is set otherwise than by `drift_us` before."""
    drift = wall_us - at_us
    i = 0
    while i < len(drift):
        moved = np.array([True]) if drift_us is None else np.abs(drift[i:] - drift_us) > JUMP_US
        step = int(moved.argmax())
        if not moved[step]:
            return
        i += step
        drift_us = int(drift[i])
        yield int(at_us[i]), drift_us


def jumps_told(segments: list[tuple[int, int]], first_us: int, end_us: int) -> list[str]:
    """Return a sentence for each jump between two consecutive segments that lies in [first, end)."""
    told = [
        f"the wall clock jumped by {(after - before) / 1e6:+.0f} s at {at_us / 1e6:.0f} (epoch); "
        "times are shown as if it had not"
        for (_, before), (at_us, after) in pairwise(segments)
        if first_us <= at_us < end_us
    ]
    return told[:_MOST_TOLD]

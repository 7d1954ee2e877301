"""Numbers that are whole multiples of a fraction, as sensors count them: kept as counts, exact bit by bit."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from drmviz.model.metrics import FloatArray, IntArray

_MOST = 1 << 24
"""Whole numbers below it are exact as float32, and their quotient is the nearest float32 there is."""


def per_one(values: FloatArray) -> int:
    """Return n where all numbers, float32 of shape (members, ticks), are whole multiples of 1 / n; 0 where no n is
    found. It is looked for in the smallest steps from one tick to the next, the first from 0.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite is no multiple
        steps = np.abs(np.diff(values, axis=1, prepend=np.float32(0)))
    of_members = np.fmin.reduce(steps, axis=1, where=steps > 0, initial=np.inf)
    smallest = float(of_members.min(initial=np.inf))
    if smallest * _MOST <= 1:
        return 0
    n = max(1, round(1 / smallest))
    if counts_of(values, n) is not None:
        return n
    sizes = np.unique(of_members[of_members < np.inf])  # members may have each its own
    n = in_common([max(1, round(1 / step)) for step in sizes.tolist()])
    return n if counts_of(values, n) is not None else 0


def in_common(per_ones: Iterable[int]) -> int:
    """Return n of which multiples are multiples of all these; 0 where one of them is, or it is too large to count."""
    n = 1
    for each in per_ones:
        n = math.lcm(n, each)
        if not 0 < n < _MOST:
            return 0
    return n


def counts_of(values: FloatArray, n: int) -> IntArray | None:
    """Return how many times 1 / n each number is, plus one, uint32 and 0 for NaN; None where `numbers_of` would give
    back other bits for one of them.
    """
    if not 0 < n < _MOST:
        return None
    known = ~np.isnan(values)
    whole = np.where(known, values, np.float32(0))
    with np.errstate(over="ignore"):
        whole *= np.float32(n)
    np.rint(whole, out=whole)
    if not (whole.min(initial=0) >= 0 and whole.max(initial=0) < _MOST - 1):
        return None
    whole += known
    counts: IntArray = whole.astype(np.uint32)
    return counts if np.array_equal(numbers_of(counts, n).view(np.uint32), values.view(np.uint32)) else None


def numbers_of(counts: IntArray, n: int) -> FloatArray:
    """Return the numbers as float32, NaN where a count is 0."""
    numbers = counts.astype(np.float32)
    numbers -= 1
    numbers /= np.float32(n)
    if not counts.all():
        numbers[counts == 0] = np.nan
    return numbers


def steps_of(counts: IntArray) -> IntArray:
    """Return steps along the last axis, the first from nothing, as uint32 whose lowest bit is the sign."""
    steps = counts.astype(np.int32)
    steps[..., 1:] -= steps[..., :-1].copy()
    folded: IntArray = ((steps << 1) ^ (steps >> 31)).view(np.uint32)
    return folded


def changes_of(counts: IntArray) -> IntArray:
    """Return the places along the last axis, row after row, whose count is another than the one before."""
    flat = counts.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    changes += 1
    return changes


def stretches_of(counts: IntArray, changes: IntArray) -> tuple[IntArray, IntArray]:
    """Return how many places each count holds between its changes, and the steps as `steps_of` does; both uint32."""
    begins = np.concatenate(((0,), changes))
    ends = np.concatenate((changes, (counts.size,)))
    lengths: IntArray = (ends - begins).astype(np.uint32)
    return lengths, steps_of(counts.ravel()[begins])


def counts_after(steps: IntArray) -> IntArray:
    """Return the counts to which such steps lead, uint32."""
    unfolded = steps >> np.uint32(1)
    unfolded ^= -(steps & np.uint32(1))
    return np.cumsum(unfolded, axis=-1, dtype=np.uint32)

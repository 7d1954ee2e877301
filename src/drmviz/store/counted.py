"""Numbers that are whole multiples of a fraction, as sensors count them: kept as counts, exact bit by bit."""

from __future__ import annotations

import math

import numpy as np

from drmviz.model.metrics import FloatArray, IntArray

_MOST = 1 << 24
"""Whole numbers below it are exact as float32, and their quotient is the nearest float32 there is."""


def per_one(values: FloatArray) -> int | None:
    """Return n where all numbers, float32 of shape (members, ticks), are whole multiples of 1 / n; 0 where no n is
    found, None where no number ever changes. It is looked for in the smallest steps from one tick to the next.
    """
    steps = np.abs(np.diff(values, axis=1))
    of_members = np.fmin.reduce(steps, axis=1, where=steps > 0, initial=np.inf)
    smallest = float(of_members.min(initial=np.inf))
    if not smallest < np.inf:
        return None
    if smallest * _MOST <= 1:
        return 0
    n = round(1 / smallest)
    if counts_of(values, n) is not None:
        return n
    n = 1
    for step in np.unique(of_members[of_members < np.inf]).tolist():  # members of one size each
        n = math.lcm(n, max(1, round(1 / step)))
        if n >= _MOST:
            return 0
    return n if counts_of(values, n) is not None else 0


def counts_of(values: FloatArray, n: int, *, ulps: int = 0) -> IntArray | None:
    """Return how many times 1 / n each number is, plus one, uint32 and 0 for NaN; None where one of them is not.

    A number may differ by so many units in the last place from the one that `numbers_of` gives back.
    """
    if not 0 < n < _MOST:
        return None
    known = ~np.isnan(values)
    whole = np.where(known, values, np.float32(0))
    whole *= np.float32(n)
    np.rint(whole, out=whole)
    if not (whole.min(initial=0) >= 0 and whole.max(initial=0) < _MOST - 1):
        return None
    whole += known
    counts: IntArray = whole.astype(np.uint32)
    back, given = numbers_of(counts, n).view(np.int32), values.view(np.int32)
    if not (np.array_equal(back, given) or (ulps and (np.abs(back - given) <= ulps).all())):
        return None
    return counts


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


def counts_after(steps: IntArray) -> IntArray:
    """Return the counts to which such steps lead, uint32."""
    unfolded = steps >> np.uint32(1)
    unfolded ^= -(steps & np.uint32(1))
    return np.cumsum(unfolded, axis=-1, dtype=np.uint32)

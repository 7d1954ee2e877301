"""Ticks reduced to buckets, and buckets to wider ones: lowest, sum, highest and count, none of which lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drmviz.model.metrics import FloatArray, IntArray
from drmviz.store.chunks import COUNT, MAXIMUM, MEAN, MINIMUM
from drmviz.store.counted import in_common

_CERTAIN = 1 << 23
"""A sum of counts below it is the whole number next to the sum of their float32, however each of these is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Arrays of shape (metrics, members, buckets); the buckets follow each other without a gap."""

    width_us: int
    first_bucket: int
    """Its number since 1970."""
    lowest: FloatArray
    """float32, NaN where nothing was measured; so is `highest`."""
    sums: FloatArray
    """float64, 0 where nothing was measured."""
    highest: FloatArray
    counts: IntArray
    """int32, how many samples are in the bucket."""
    per_one: tuple[int, ...]
    """By metric: the samples are whole multiples of 1 / this; 0 where they are not, or nobody knows."""

    @classmethod
    def of(cls, values: FloatArray, at_us: IntArray, width_us: int, *, per_one: Sequence[int] = ()) -> Rollup:
        """Reduce float32 samples of shape (metrics, members, ticks), NaN where unknown; `at_us` does not go down."""
        known = ~np.isnan(values)
        return _grouped(
            at_us // width_us,
            width_us,
            lowest=values,
            sums=values if known.all() else np.where(known, values, np.float32(0)),
            highest=values,
            counts=known,
            per_one=tuple(per_one) or (0,) * len(values),
        )

    def coarser(self, width_us: int) -> Rollup:
        """Return the same in buckets of a multiple of this width."""
        buckets = self.first_bucket + np.arange(self.sums.shape[2])
        return _grouped(
            buckets // (width_us // self.width_us),
            width_us,
            lowest=self.lowest,
            sums=self.sums,
            highest=self.highest,
            counts=self.counts,
            per_one=self.per_one,
        )

    @classmethod
    def together(cls, parts: Sequence[Rollup]) -> Rollup:
        """Return the members of several rollups of one width as one."""
        first = min(part.first_bucket for part in parts)
        end = max(part.first_bucket + part.sums.shape[2] for part in parts)
        metrics, members = parts[0].sums.shape[0], sum(part.sums.shape[1] for part in parts)
        per_one = tuple(in_common(of_metric) for of_metric in zip(*(part.per_one for part in parts), strict=True))
        whole = _nothing(metrics, members, end - first, first, parts[0].width_us, per_one)
        row = 0
        for part in parts:
            rows = slice(row, row + part.sums.shape[1])
            across = slice(part.first_bucket - first, part.first_bucket - first + part.sums.shape[2])
            for into, values in zip(whole.arrays, part.arrays, strict=True):
                into[:, rows, across] = values
            row = rows.stop
        return whole

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        return self.lowest, self.sums, self.highest, self.counts

    def statistics_of(self, metric: int) -> Iterator[tuple[int, FloatArray, int]]:
        """Yield what is kept of a metric: the statistic, float32 of shape (members, buckets), NaN where nothing was
        measured, and the number of samples that all buckets have in common, 0 where they differ.

        A mean is the float32 nearest to that of the samples, and where these are multiples of a fraction, fewer than
        2^23 in a bucket, to that of the multiples: 0.1 is then a tenth, not the float32 beside it. Nothing is yielded
        of a metric that was nowhere measured, and counts only where they differ.
        """
        counts = self.counts[metric]
        most = int(counts.max(initial=0))
        if not most:
            return
        known = counts > 0
        common = most if most < 1 << 16 and (counts[known] == most).all() else 0
        yield MINIMUM, self.lowest[metric], common
        means = np.full(counts.shape, np.nan, dtype=np.float32)
        sums, per_one = self.sums[metric], self.per_one[metric]
        if per_one:
            sums, counts = sums * per_one, counts * np.int64(per_one)
            np.rint(sums, out=sums, where=sums < _CERTAIN)
        np.divide(sums, counts, out=means, where=known, casting="same_kind")
        yield MEAN, means, common
        yield MAXIMUM, self.highest[metric], common
        if not common:
            yield COUNT, self.counts[metric].astype(np.float32), 0


def _grouped(
    buckets: IntArray,
    width_us: int,
    *,
    lowest: FloatArray,
    sums: FloatArray,
    highest: FloatArray,
    counts: IntArray,
    per_one: tuple[int, ...],
) -> Rollup:
    """Reduce neighbours along the last axis that lie in one bucket; buckets in which nothing lies stay unknown."""
    starts = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]])
    first, last = int(buckets[0]), int(buckets[-1])
    grouped = (
        np.fmin.reduceat(lowest, starts, axis=2),
        np.add.reduceat(sums, starts, axis=2, dtype=np.float64),
        np.fmax.reduceat(highest, starts, axis=2),
        np.add.reduceat(counts, starts, axis=2, dtype=np.int32),
    )
    if last - first + 1 != len(starts):
        whole = _nothing(sums.shape[0], sums.shape[1], last - first + 1, first, width_us, per_one)
        for into, values in zip(whole.arrays, grouped, strict=True):
            into[:, :, buckets[starts] - first] = values
        return whole
    return Rollup(
        width_us=width_us,
        first_bucket=first,
        lowest=grouped[0],
        sums=grouped[1],
        highest=grouped[2],
        counts=grouped[3],
        per_one=per_one,
    )


def _nothing(metrics: int, members: int, buckets: int, first: int, width_us: int, per_one: tuple[int, ...]) -> Rollup:
    shape = (metrics, members, buckets)
    return Rollup(
        width_us=width_us,
        first_bucket=first,
        lowest=np.full(shape, np.nan, dtype=np.float32),
        sums=np.zeros(shape),
        highest=np.full(shape, np.nan, dtype=np.float32),
        counts=np.zeros(shape, dtype=np.int32),
        per_one=per_one,
    )

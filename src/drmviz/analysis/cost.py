"""What runs at each provider and what that costs; unknown is never free, and currencies are never added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from drmviz.analysis.labelled import usages_by_labels
from drmviz.analysis.utilization import wall_s
from drmviz.model.cloud import CloudUsage, CostBasis
from drmviz.model.metrics import BoolArray, FloatArray, IntArray
from drmviz.model.run import Run

MONTH_H = 730
"""Hours of a month as providers count it: a twelfth of a year."""
_HOUR_US = 3_600_000_000


class Money(NamedTuple):
    """What kind of money an amount is; only amounts of one kind may be added up."""

    currency: str | None
    """None where nobody stated it."""
    basis: CostBasis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCost:
    """One provider over a window; arrays have the shape (columns,) and say what held at the end of each column."""

    provider: str
    workers: FloatArray
    """float64 whole numbers, NaN where not known."""
    per_hour: Mapping[str | None, FloatArray]
    """float64 for each currency it was priced in: NaN where no price is known, 0 only where nothing ran."""
    unpriced: BoolArray
    """Where something ran, or may have run, at no known price."""
    spent: Mapping[Money, Decimal]
    """The rate integrated over the window, each change at its moment."""
    unpriced_s: float
    """Seconds of the window that `spent` leaves out."""
    uncounted_s: float
    """Seconds of the window in which the number of workers is not known."""
    workers_now: int | None
    rates_now: Mapping[Money, Decimal]
    """What an hour costs at the end of the window; empty where no price is known."""
    instance_types: tuple[tuple[str, int], ...]
    """Workers at the end of the window by instance type, most first; empty where not known."""
    problem: str
    """Why something was not known: newest reason, in words; empty where everything was."""
    is_labelled: bool
    """Whether all of this comes from labels of workers, because no cloud told of it."""

    @property
    def is_priced_now(self) -> bool:
        """Whether the price at the end of the window is known; that of nothing is."""
        return bool(self.rates_now) or self.workers_now == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCost:
    """All providers of a window, by name."""

    providers: tuple[ProviderCost, ...]
    start_s: float
    end_s: float
    """The end of the run, or of its newest tick."""

    @property
    def currencies(self) -> tuple[str | None, ...]:
        """What anything was priced in, by name; not stated comes last."""
        found = {currency for each in self.providers for currency in each.per_hour}
        return tuple(sorted(found, key=lambda currency: (currency is None, currency or "")))

    @property
    def spent(self) -> dict[Money, Decimal]:
        """What was spent over the window, by kind of money."""
        return _added(each.spent for each in self.providers)

    @property
    def rates_now(self) -> dict[Money, Decimal]:
        """What an hour costs at the end of the window, by kind of money."""
        return _added(each.rates_now for each in self.providers)

    @property
    def workers_now(self) -> int | None:
        """How many workers run at the end of the window; None where that is not known of every provider."""
        counts = [each.workers_now for each in self.providers]
        return sum(count for count in counts if count is not None) if counts and None not in counts else None

    def rate(self, currency: str | None) -> FloatArray:
        """Return what an hour costs in one currency over the columns; NaN where that is known of nobody."""
        rates = np.array([each.per_hour[currency] for each in self.providers if currency in each.per_hour])
        known = np.isfinite(rates)
        total: FloatArray = np.where(known, rates, 0.0).sum(axis=0)
        total[~known.any(axis=0)] = np.nan
        return total


def cloud_cost(run: Run) -> CloudCost:
    """Return what ran where and what it cost; no provider at all where nobody named one.

    A provider that a cloud told of counts as it was told. One that only labels of workers name counts by those who
    lived, at the prices that they carry.
    """
    start_s = max(run.start_s, min(run.header.started_at_s, run.end_s))
    end_s = start_s + wall_s(run)
    told: dict[str, list[CloudUsage]] = defaultdict(list)
    for usage in sorted(run.cloud, key=lambda usage: usage.at_s):
        told[usage.provider].append(usage)
    by_labels = usages_by_labels(run, known=told)
    found = [
        _followed(run, usages, start_s, end_s, is_labelled=name in by_labels)
        for name, usages in (told | by_labels).items()
    ]
    found.sort(key=lambda each: (each.provider.casefold(), each.provider))
    return CloudCost(providers=tuple(found), start_s=start_s, end_s=end_s)


def _followed(
    run: Run, usages: Sequence[CloudUsage], start_s: float, end_s: float, *, is_labelled: bool
) -> ProviderCost:
    """Follow one provider from what it was told to run to what it ran next, oldest first."""
    then = _newest_by_column(run, usages)
    idle = np.array([False, *map(_is_idle, usages)])[then]
    priced = np.array([False, *(usage.per_hour is not None for usage in usages)])[then]
    lasted_us = _lasted_us(usages, start_s, end_s)
    last = next((usage for usage in reversed(usages) if usage.at_s < end_s or usage.at_s <= start_s), None)
    return ProviderCost(
        provider=usages[0].provider,
        workers=_of_columns([usage.workers for usage in usages], then),
        per_hour=_rates(usages, then, idle),
        unpriced=~priced & ~idle,
        spent=_spent(usages, lasted_us),
        unpriced_s=_unknown_s(lasted_us, [usage.per_hour is None and not _is_idle(usage) for usage in usages]),
        uncounted_s=_unknown_s(lasted_us, [usage.workers is None for usage in usages]),
        workers_now=None if last is None else last.workers,
        rates_now={} if last is None else _rate_now(last),
        instance_types=() if last is None else tuple(sorted(last.instance_types, key=lambda each: (-each[1], each[0]))),
        problem=next((usage.problem for usage in reversed(usages) if _is_unknown(usage) and usage.problem), ""),
        is_labelled=is_labelled,
    )


def _is_idle(usage: CloudUsage) -> bool:
    """Tell whether nothing ran, which costs nothing unless a price was stated all the same."""
    return usage.workers == 0 and usage.per_hour is None


def _is_unknown(usage: CloudUsage) -> bool:
    return usage.workers is None or (usage.per_hour is None and not _is_idle(usage))


def _newest_by_column(run: Run, usages: Sequence[CloudUsage]) -> IntArray:
    """Return for each column which usage held at its end, counted from 1; 0 where there was none yet."""
    if not run.columns:
        return np.empty(0, dtype=np.int64)
    ends_s = np.append(run.starts_at_s[1:], run.starts_at_s[-1] + run.width_s)
    return np.searchsorted([usage.at_s for usage in usages], ends_s, side="left")


def _of_columns(values: Iterable[int | Decimal | None], then: IntArray) -> FloatArray:
    known = [np.nan, *(np.nan if value is None else float(value) for value in values)]
    return np.array(known, dtype=np.float64)[then]


def _rates(usages: Sequence[CloudUsage], then: IntArray, idle: BoolArray) -> dict[str | None, FloatArray]:
    held = set(then.tolist())
    shown = [usage for place, usage in enumerate(usages, start=1) if place in held and usage.per_hour is not None]
    rates = {}
    for currency in dict.fromkeys(usage.currency for usage in shown):
        of_it = [usage.per_hour if usage.currency == currency else None for usage in usages]
        rates[currency] = np.where(idle, 0.0, _of_columns(of_it, then))
    return rates


def _rate_now(last: CloudUsage) -> dict[Money, Decimal]:
    return {} if last.per_hour is None else {Money(last.currency, last.basis): last.per_hour}


def _lasted_us(usages: Sequence[CloudUsage], start_s: float, end_s: float) -> list[int]:
    """Return how long each held inside the window, in microseconds; first of all how long none was told yet."""
    first_us, end_us = round(start_s * 1e6), round(end_s * 1e6)
    edges_us = [first_us, *(min(max(round(usage.at_s * 1e6), first_us), end_us) for usage in usages), end_us]
    return [after_us - before_us for before_us, after_us in pairwise(edges_us)]


def _unknown_s(lasted_us: Sequence[int], unknown: Sequence[bool]) -> float:
    return sum(us for us, is_unknown in zip(lasted_us, (True, *unknown), strict=True) if is_unknown) / 1e6


def _spent(usages: Sequence[CloudUsage], lasted_us: Sequence[int]) -> dict[Money, Decimal]:
    """Return the integral of the rates, by kind of money."""
    spent: dict[Money, Decimal] = defaultdict(Decimal)
    for usage, us in zip(usages, lasted_us[1:], strict=True):
        if usage.per_hour is not None and us:
            spent[Money(usage.currency, usage.basis)] += usage.per_hour * us
    return {money: amount / _HOUR_US for money, amount in spent.items()}


def _added(parts: Iterable[Mapping[Money, Decimal]]) -> dict[Money, Decimal]:
    total: dict[Money, Decimal] = defaultdict(Decimal)
    for part in parts:
        for money, amount in part.items():
            total[money] += amount
    return dict(sorted(total.items(), key=lambda each: tuple((part is None, part or "") for part in each[0])))

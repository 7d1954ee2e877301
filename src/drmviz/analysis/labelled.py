"""Providers as labels of workers tell of them: who lived where, at what price, told like answers of a cloud."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np

from drmviz.analysis.utilization import rows_of
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FINISHED, RECORDING_ENDED
from drmviz.model.run import Run


def usages_by_labels(run: Run, *, known: Container[str] = ()) -> dict[str, list[CloudUsage]]:
    """Return what each provider ran and cost, oldest first, from the window's start on: one entry for each change.

    An hour costs what labels of all living workers add up to; where one of them carries none, or they carry
    several currencies, it is not known.

    Args:
        run: the window.
        known: providers that are left out.
    """
    homes = {row: _Home.of(run, row) for row in rows_of(run, "worker", "process")}
    tallies = {name: _Tally(name) for name in sorted({home.provider for home in homes.values()}) if name not in known}
    tallies.pop("", None)
    if not tallies or not run.columns:
        return {}
    start_s = float(run.starts_at_s[0])
    events = [(at_s, row, step) for row, at_s, step in _events(run) if row in homes and homes[row].provider in tallies]
    pauses = _pauses(run)
    events += [(edge_s, -1, 0) for pause in pauses for edge_s in pause] + [(start_s, -1, 0)]
    told: dict[str, list[CloudUsage]] = defaultdict(list)
    unseen_from = {begin_s for begin_s, _ in pauses}
    for at_s, changes in groupby(sorted(events), key=itemgetter(0)):
        touched: set[str] = set()
        for _, row, step in changes:
            if row < 0:
                touched.update(tallies)
                continue
            home = homes[row]
            tallies[home.provider].add(home, step)
            touched.add(home.provider)
        for name in touched:
            told[name].append(tallies[name].usage(at_s, is_seen=at_s not in unseen_from))
    return {
        name: [*usages[:-1], replace(usages[-1], instance_types=tallies[name].types)] for name, usages in told.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Home:
    """Where a worker runs and what it costs; empty where that is not known."""

    provider: str
    instance_type: str
    price: Decimal | None
    currency: str | None

    @classmethod
    def of(cls, run: Run, row: int) -> _Home:
        labels = dict(run.workers[row].latest.entry.labels)
        currency = labels.get("currency", "").strip().upper()
        return cls(
            provider=labels.get("provider", ""),
            instance_type=labels.get("instance_type", ""),
            price=_price(labels.get("price_per_hour", "")),
            currency=currency or None,
        )


@dataclass(slots=True)
class _Tally:
    """Who lives at one provider."""

    provider: str
    living: int = 0
    unpriced: int = 0
    _prices: dict[str | None, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    _priced: Counter[str | None] = field(default_factory=Counter)
    _types: Counter[str] = field(default_factory=Counter)

    def add(self, home: _Home, step: int) -> None:
        self.living += step
        self._types[home.instance_type] += step
        if home.price is None:
            self.unpriced += step
        else:
            self._prices[home.currency] += home.price * step
            self._priced[home.currency] += step

    def usage(self, at_s: float, *, is_seen: bool) -> CloudUsage:
        if not is_seen:
            return CloudUsage(at_s=at_s, provider=self.provider, problem="nothing was recorded")
        currencies = [currency for currency, priced in self._priced.items() if priced > 0]
        problem = ""
        if self.unpriced:
            problem = f"{self.unpriced} of {self.living} workers carry no price"
        elif len(currencies) > 1:
            problem = "its workers are priced in several currencies"
        is_priced = not problem and self.living > 0
        return CloudUsage(
            at_s=at_s,
            provider=self.provider,
            workers=self.living,
            per_hour=self._prices[currencies[0]] if is_priced else None,
            currency=currencies[0] if is_priced else None,
            problem=problem,
        )

    @property
    def types(self) -> tuple[tuple[str, int], ...]:
        return tuple(sorted((name, number) for name, number in self._types.items() if name and number > 0))


def _events(run: Run) -> Iterable[tuple[int, float, int]]:
    """Yield the row, the moment, and +1 or -1 for each beginning and end of a stretch in which a worker lived.

    Stretches are those of the columns; a life that began or ended inside a column says when. Who lived until the work
    or the recording was over lives to the end.
    """
    edged = np.zeros((len(run.workers), run.columns + 2), dtype=np.int8)
    edged[:, 1:-1] = run.alive
    steps = np.diff(edged, axis=1)
    edges_s = np.append(run.starts_at_s, run.starts_at_s[-1] + run.width_s).tolist()
    joined_s = [[life.joined_at_s for life in worker.incarnations] for worker in run.workers]
    left_s = [[(life.left_at_s, life.why_left) for life in worker.incarnations] for worker in run.workers]
    for row, column in zip(*(place.tolist() for place in np.nonzero(steps == 1)), strict=True):
        inside = [at_s for at_s in joined_s[row] if edges_s[column] < at_s < edges_s[column + 1]]
        yield row, min(inside, default=edges_s[column]), 1
    for row, column in zip(*(place.tolist() for place in np.nonzero(steps == -1)), strict=True):
        inside = [
            at_s
            for at_s, why in left_s[row]
            if at_s is not None
            and edges_s[column - 1] < at_s <= edges_s[column]
            and (column < run.columns or why not in (FINISHED, RECORDING_ENDED))
        ]
        if column < run.columns or inside:
            yield row, max(inside, default=edges_s[column]), -1


def _pauses(run: Run) -> list[tuple[float, float]]:
    """Return the stretches in which nobody was alive because nothing was recorded; one may end never."""
    ended_s = {
        life.left_at_s for worker in run.workers for life in worker.incarnations if life.why_left == RECORDING_ENDED
    }
    if not ended_s:
        return []
    moments = sorted((at_s, step) for _, at_s, step in _events(run))
    living, alone = 0, []
    for (at_s, step), (next_s, _) in pairwise([*moments, (float("inf"), 0)]):
        living += step
        if not living and at_s in ended_s and next_s > at_s:
            alone.append((at_s, next_s))
    return alone


def _price(stated: str) -> Decimal | None:
    """Return an amount above zero; a price of zero is one that nobody stated."""
    try:
        amount = Decimal(stated)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount > 0 else None

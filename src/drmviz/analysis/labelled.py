"""Providers as labels of workers tell of them: who lived where, at what price, told like answers of a cloud."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import groupby, pairwise
from math import inf
from operator import itemgetter

from drmviz.analysis.utilization import end_s_of, rows_of
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FINISHED, RECORDING_ENDED
from drmviz.model.run import Run
from drmviz.model.workers import Incarnation


def usages_by_labels(run: Run, *, known: Container[str] = ()) -> dict[str, list[CloudUsage]]:
    """Return what each provider ran and cost, oldest first, from the window's start on: one entry for each change.

    An hour costs what labels of all living workers add up to; where one of them carries none, or they carry
    several currencies, it is not known.

    Args:
        run: the window.
        known: providers that are left out.
    """
    by_labels: dict[tuple[tuple[str, str], ...], _Home] = {}
    lives = _lives(run)
    homes: list[_Home | None] = []
    for life, _, _ in lives:
        labels = life.entry.labels
        home = by_labels.get(labels) or by_labels.setdefault(labels, _Home.of(labels))
        homes.append(home if home.provider and home.provider not in known else None)
    tallies = {home.provider: _Tally(home.provider) for home in homes if home is not None}
    if not tallies:
        return {}
    start_s = float(run.starts_at_s[0])
    events = [(began_s, place, 1) for place, (_, began_s, _) in enumerate(lives) if homes[place]]
    events += [(left_s, place, -1) for place, (_, _, left_s) in enumerate(lives) if homes[place] and left_s < inf]
    pauses = _pauses(lives)
    events += [(edge_s, -1, 0) for pause in pauses for edge_s in pause if edge_s < inf] + [(start_s, -1, 0)]
    told: dict[str, list[CloudUsage]] = defaultdict(list)
    unseen_from = {begin_s for begin_s, _ in pauses}
    for at_s, changes in groupby(sorted(events), key=itemgetter(0)):
        touched: set[str] = set()
        for _, place, step in changes:
            at = homes[place] if place >= 0 else None
            if at is None:
                touched.update(tallies)
                continue
            tallies[at.provider].add(at, step)
            touched.add(at.provider)
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
    def of(cls, stated: tuple[tuple[str, str], ...]) -> _Home:
        labels = dict(stated)
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


_Life = tuple[Incarnation, float, float]
"""One life, when it began in the window, and when it ended: never, where it went on to the window's end."""


def _lives(run: Run) -> list[_Life]:
    """Return the lives of workers in the window, each with the labels that it had.

    Who lived until the work or the recording was over lives to the end.
    """
    if not run.columns:
        return []
    start_s, last_s = float(run.starts_at_s[0]), float(run.starts_at_s[-1])
    end_s = last_s + run.width_s
    every = [life for row in rows_of(run, "worker", "process") for life in run.workers[row].incarnations]
    last_s = max([last_s, *(life.joined_at_s for life in every)])
    over_from_s = {FINISHED: last_s, RECORDING_ENDED: max(last_s, end_s_of(run) - run.header.interval_s)}
    lives = []
    for life in every:
        left_s = inf if life.left_at_s is None else life.left_at_s
        if left_s > over_from_s.get(life.why_left or "", inf):
            left_s = inf
        if left_s > start_s and life.joined_at_s < end_s:
            lives.append((life, max(life.joined_at_s, start_s), left_s))
    return lives


def _pauses(lives: Sequence[_Life]) -> list[tuple[float, float]]:
    """Return the stretches in which nobody was alive because nothing was recorded; one may end never."""
    ended_s = {left_s for life, _, left_s in lives if life.why_left == RECORDING_ENDED}
    if not ended_s - {inf}:
        return []
    moments = sorted([*((began_s, 1) for _, began_s, _ in lives), *((left_s, -1) for _, _, left_s in lives)])
    living, alone = 0, []
    for (at_s, step), (next_s, _) in pairwise([*moments, (inf, 0)]):
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

"""Charges of a bill split among the workers that lived on what was charged; the parts are all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from drmviz.analysis.utilization import rows_of
from drmviz.model.charges import EXACT, NOT_STATED, Amounts, Charge
from drmviz.model.run import Run
from drmviz.model.workers import Worker

Left = Literal["another resource", "nobody there"]
"""Why a part is no worker's: no worker of the run ran on it, or none at that time."""
NAMING_LABELS = ("resource_id", "instance_id")
"""Labels by which a worker says what it runs on; its own id and its host's name are looked at too."""
_FINER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """Which workers ran on which resource of a bill."""

    workers: Mapping[str, tuple[Worker, ...]]
    """By resource id, as the bill writes it."""
    ambiguous: tuple[str, ...]
    """Names of workers that several resources end with; nothing is joined by these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one worker, or nobody, takes of a charge."""

    charge: Charge
    worker: str | None
    left: Left | None
    """Why it is no worker's; None where it is."""
    ratio: Fraction
    """Of the charge's time."""
    amounts: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledShare:
    """All parts of one worker, or of nobody, at one provider in one currency."""

    worker: str | None
    left: Left | None
    provider: str
    currency: str
    amounts: Amounts
    charges: int
    """From how many charges; those that several share count with each."""


def homes_of(run: Run, resource_ids: Iterable[str]) -> Homes:
    """Find the workers of each resource, whatever the case: by its whole id, or by the last part of its path.

    A bill writes `arn:aws:ec2:eu-central-1:123:instance/i-0abc` or `/subscriptions/.../virtualMachines/vm-1` where a
    worker says `i-0abc` or `vm-1`. A last part that several resources share joins none of them.
    """
    named: dict[str, list[Worker]] = defaultdict(list)
    for row in rows_of(run, "worker", "process"):
        worker = run.workers[row]
        for name in _names(worker):
            named[name].append(worker)
    exact: dict[str, tuple[Worker, ...]] = {}
    by_tail: dict[str, list[str]] = defaultdict(list)
    for resource in dict.fromkeys(resource_ids):
        whole = resource.casefold()
        if whole in named:
            exact[resource] = tuple(named[whole])
        elif _tail(whole) in named:
            by_tail[_tail(whole)].append(resource)
    clear = {ids[0]: tuple(named[tail]) for tail, ids in by_tail.items() if len(ids) == 1}
    return Homes(workers=exact | clear, ambiguous=tuple(sorted(tail for tail, ids in by_tail.items() if len(ids) > 1)))


def allocate(run: Run, charges: Iterable[Charge], homes: Homes) -> Iterator[Part]:
    """Split each charge by time among who lived on its resource inside the run; several at once share evenly.

    A life counts from its begin up to, but not including, its end, as a charge does. Parts of a charge, with what is
    left of it, add up to it exactly.
    """
    start_us, end_us = round(run.start_s * 1e6), round(run.end_s * 1e6)
    for charge in charges:
        workers = homes.workers.get(charge.resource_id)
        if workers is None:
            yield Part(
                charge=charge, worker=None, left="another resource", ratio=Fraction(1), amounts=charge.amounts
            )  # fmt: skip
            continue
        shares = _shares(charge, workers, start_us, end_us)
        taken, before = Fraction(0), _of(charge.amounts, Fraction(0))
        for worker, share in shares.items():
            taken += share
            upto = _of(charge.amounts, taken)
            yield Part(charge=charge, worker=worker, left=None, ratio=share, amounts=_less(upto, before))
            before = upto
        if taken < 1:
            rest = _less(charge.amounts, before)
            yield Part(charge=charge, worker=None, left="nobody there", ratio=1 - taken, amounts=rest)


def billed_by_worker(parts: Iterable[Part]) -> tuple[BilledShare, ...]:
    """Add parts up by worker, provider and currency; by name, what is no worker's last."""
    sums: dict[tuple[str | None, Left | None, str, str], Amounts] = defaultdict(lambda: NOT_STATED)
    counts: dict[tuple[str | None, Left | None, str, str], int] = defaultdict(int)
    for part in parts:
        key = (part.worker, part.left, part.charge.provider, part.charge.currency)
        sums[key] = sums[key].plus(part.amounts)
        counts[key] += 1
    ordered = sorted(sums, key=lambda key: (key[0] is None, key[0] or "", key[1] or "", key[2:]))
    return tuple(
        BilledShare(
            worker=key[0], left=key[1], provider=key[2], currency=key[3], amounts=sums[key], charges=counts[key]
        )
        for key in ordered
    )  # fmt: skip


def _names(worker: Worker) -> set[str]:
    stated = {worker.id, worker.host or ""}
    for life in worker.incarnations:
        labels = dict(life.entry.labels)
        stated |= {labels.get(label, "") for label in NAMING_LABELS}
    return {name.casefold() for name in stated if name}


def _tail(resource: str) -> str:
    after_slash = resource.rstrip("/").rpartition("/")[2]
    return after_slash.rpartition(":")[2] if after_slash.startswith("arn:") else after_slash


def _shares(charge: Charge, workers: Iterable[Worker], start_us: int, end_us: int) -> dict[str, Fraction]:
    """Return which part of the charge's time is whose, by worker id."""
    first_us, last_us = max(charge.start_us, start_us), min(charge.end_us, end_us)
    lives: list[tuple[int, int, str]] = []
    for worker in workers:
        for life in worker.incarnations:
            begin_us = max(round(life.joined_at_s * 1e6), first_us)
            left_us = last_us if life.left_at_s is None else min(round(life.left_at_s * 1e6), last_us)
            if begin_us < left_us:
                lives.append((begin_us, left_us, worker.id))
    moments = sorted({moment for begin_us, left_us, _ in lives for moment in (begin_us, left_us)})
    shares: dict[str, Fraction] = defaultdict(Fraction)
    for begin_us, until_us in pairwise(moments):
        there = sorted({name for joined_us, left_us, name in lives if joined_us <= begin_us < left_us})
        for name in there:
            shares[name] += Fraction(until_us - begin_us, (charge.end_us - charge.start_us) * len(there))
    return shares


def _of(amounts: Amounts, share: Fraction) -> Amounts:
    """Return a share of the amounts, to a millionth of their last digit; all of them where it is 1."""
    return Amounts(*(None if amount is None else _part(amount, share) for amount in amounts))


def _part(amount: Decimal, share: Fraction) -> Decimal:
    last_digit = min(int(amount.as_tuple().exponent), 0)
    product = EXACT.divide(EXACT.multiply(amount, Decimal(share.numerator)), Decimal(share.denominator))
    return EXACT.quantize(product, Decimal(1).scaleb(last_digit - _FINER))


def _less(whole: Amounts, part: Amounts) -> Amounts:
    return whole.plus(part.negated())

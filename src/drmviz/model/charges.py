"""What a provider charged, as its bill states it: four kinds of cost, never added to each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

EXACT = Context(prec=200)
"""Adds up amounts of any bill without rounding; what is read has at most 50 digits."""


class Amounts(NamedTuple):
    """One amount by kind of cost, or a sum of amounts; None where the bill does not state it, which is not zero."""

    billed_cost: Decimal | None
    effective_cost: Decimal | None
    list_cost: Decimal | None
    contracted_cost: Decimal | None

    def plus(self, other: Amounts) -> Amounts:
        """Add up kind by kind; what one of them does not state counts as stated by the other alone."""
        return Amounts(*(_plus(mine, its) for mine, its in zip(self, other, strict=True)))

    def negated(self) -> Amounts:
        return Amounts(*(None if amount is None else EXACT.minus(amount) for amount in self))


NOT_STATED = Amounts(None, None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of a bill that names a resource; it covers `start_us` up to but not including `end_us`."""

    provider: str
    account: str
    resource_id: str
    start_us: int
    """Microseconds since the epoch."""
    end_us: int
    currency: str
    amounts: Amounts
    period_start_us: int
    """Of the bill."""
    period_end_us: int
    category: str = "Usage"
    """Usage, Purchase, Tax, Credit or Adjustment, as the provider wrote it."""
    service: str | None = None
    region: str | None = None
    instance_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeSum:
    """All charges of one kind; `unstated` counts, by kind of cost, those that do not state it."""

    provider: str
    account: str
    currency: str
    category: str
    amounts: Amounts
    charges: int
    unstated: tuple[int, int, int, int] = (0, 0, 0, 0)
    sub_account: str | None = None
    service: str | None = None
    region: str | None = None
    instance_type: str | None = None


def added(amounts: Iterable[Amounts]) -> Amounts:
    """Return the sum, kind by kind and exact; None where nothing states it."""
    total = NOT_STATED
    for each in amounts:
        total = total.plus(each)
    return total


def _plus(mine: Decimal | None, its: Decimal | None) -> Decimal | None:
    if mine is None or its is None:
        return its if mine is None else mine
    return EXACT.add(mine, its)

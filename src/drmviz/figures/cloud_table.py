"""How things stand at the end of the window, provider by provider, as a table in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from drmviz.analysis.cost import CloudCost, Money, ProviderCost
from drmviz.figures.cloud import Row, Source
from drmviz.figures.cloud_words import NO_PRICE, NOT_KNOWN, amount, by_currency, money, named, types_of
from drmviz.figures.units import duration, percent

LEAST_UNKNOWN_S = 1.0
"""A shorter gap is the time until a first answer."""

Part = tuple[Source, list[ProviderCost]]
"""What is shown as one, and whom it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Its heads, its lines, and the parts of the whole, 0..1."""

    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    shares: tuple[tuple[Source, float], ...]


def table(cost: CloudCost, parts: Sequence[Part]) -> Table:
    """Return a line for each part, and one for their sums where there are several."""
    shares = _shares(cost, parts)
    heads = _Heads.of(cost, shares)
    share_of = dict(shares)
    rows = [_row(source, of, share_of.get(source), heads) for source, of in parts]
    if len(rows) > 1:
        rows.append(_row(None, list(cost.providers), 1.0 if shares else None, heads))
    return Table(heads=heads.texts, rows=tuple(rows), shares=shares)


def counted(counts: Sequence[int | None]) -> str:
    """Return "7", "≥ 7" where some of them are not known, "–" where none is."""
    known = [number for number in counts if number is not None]
    if not known:
        return "–"
    return f"{'≥ ' if len(known) < len(counts) else ''}{sum(known):,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """What stands above the columns; a currency is named there if there is only one."""

    texts: tuple[str, ...]
    is_one_currency: bool

    @classmethod
    def of(cls, cost: CloudCost, shares: object) -> _Heads:
        unit = f", {named(cost.currencies[0])}" if len(cost.currencies) == 1 and cost.currencies[0] else ""
        return cls(
            texts=(
                "By type",
                "Workers",
                f"Per hour{unit}",
                "" if not shares else "Share",
                f"In {duration(cost.end_s - cost.start_s)}{unit}",
            ),
            is_one_currency=len(cost.currencies) == 1,
        )


def _shares(cost: CloudCost, parts: Sequence[Part]) -> tuple[tuple[Source, float], ...]:
    """Return each one's part of the cost, or of the workers where no price is known at all."""
    if cost.currencies:
        is_whole = len(cost.currencies) == 1 and all(each.is_priced_now for each in cost.providers)
        amounts = [float(sum(_added(of, "rates_now").values())) for _, of in parts]
    else:
        is_whole = cost.workers_now is not None
        amounts = [float(sum(each.workers_now or 0 for each in of)) for _, of in parts]
    total = sum(amounts)
    if not is_whole or not total:
        return ()
    return tuple((source, number / total) for (source, _), number in zip(parts, amounts, strict=True))


def _added(of: Sequence[ProviderCost], name: str) -> dict[Money, Decimal]:
    added: dict[Money, Decimal] = {}
    for each in of:
        for kind, value in getattr(each, name).items():
            added[kind] = added.get(kind, Decimal()) + value
    return added


def _row(source: Source | None, of: list[ProviderCost], share: float | None, heads: _Heads) -> Row:
    all_spent_known = all(each.unpriced_s < LEAST_UNKNOWN_S for each in of)
    return Row(
        source=source,
        types=types_of(of[0].instance_types) if len(of) == 1 else "",
        workers=counted([each.workers_now for each in of]).replace("–", NOT_KNOWN),
        per_hour=_priced(_added(of, "rates_now"), heads, is_whole=all(each.is_priced_now for each in of)),
        share="" if share is None else percent(share * 100),
        spent=_priced(_added(of, "spent"), heads, is_whole=all_spent_known).replace(NO_PRICE, NOT_KNOWN),
    )


def _priced(amounts: dict[Money, Decimal], heads: _Heads, *, is_whole: bool) -> str:
    """Return an amount, with "≥" where more is not known; nothing where there are several currencies."""
    at_least = "" if is_whole else "≥ "
    found = by_currency(amounts)
    if not found:
        return amount(0) if is_whole else NO_PRICE
    if len(found) > 1:
        return ""
    ((currency, value),) = found.items()
    return at_least + (amount(value) if heads.is_one_currency else money(value, currency))

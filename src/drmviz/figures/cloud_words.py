"""Money, prices and what is not known of them, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from drmviz.analysis.cost import MONTH_H, Money
from drmviz.figures.names import drawn
from drmviz.model.cloud import CostBasis

NOT_KNOWN = "not known"
NO_PRICE = "price not known"
NOT_STATED = "currency not stated"
_LONGEST_CURRENCY = 12
_TYPES_LETTERS = 28


def amount(value: Decimal | float) -> str:
    """Return "0.0412", "0.412", "34.25" or "1,250": cents, and more digits where there is less."""
    number = float(value)
    if 0 < number < 0.00005:
        return "<0.0001"
    if number >= 1000:
        return f"{number:,.0f}"
    if number >= 1 or number == 0:
        return f"{number:.2f}"
    digits = 2 if number >= 0.1 else 3 if number >= 0.01 else 4
    return f"{number:.{digits}f}"


def rough(value: Decimal | float) -> str:
    """Return "301", "25.0 k" or "1.2 M"."""
    number = float(value)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:,.1f} {letter}"
    return f"{number:.0f}" if number >= 10 else amount(number)


def named(currency: str | None) -> str:
    """Return a currency as it stands before an amount; empty where nobody stated it."""
    return "" if currency is None else drawn(currency, limit=_LONGEST_CURRENCY)


def money(value: Decimal | float, currency: str | None) -> str:
    """Return "USD 34.25", or the number alone."""
    return f"{named(currency)} {amount(value)}".strip()


def by_currency(amounts: Mapping[Money, Decimal]) -> dict[str | None, Decimal]:
    """Add up kinds of prices of one currency."""
    total: dict[str | None, Decimal] = {}
    for kind, value in amounts.items():
        total[kind.currency] = total.get(kind.currency, Decimal()) + value
    return total


def basis_of(kinds: Iterable[Money]) -> str:
    """Return "list prices", "contracted and list prices", or that nobody said which."""
    found: set[CostBasis | None] = {kind.basis for kind in kinds}
    stated = sorted(basis for basis in found if basis is not None)
    if not stated:
        return "kind of price not stated"
    said = f"{' and '.join(stated)} prices"
    return f"{said}, some not stated which" if None in found else said


def rate(currency: str | None, amounts: Mapping[Money, Decimal]) -> str:
    """Return "USD 34.25 per hour, about 25.0 k per month at this rate (list prices)"."""
    kinds = [kind for kind in amounts if kind.currency == currency]
    value = sum((amounts[kind] for kind in kinds), Decimal())
    said = f"{money(value, currency)} per hour, about {rough(value * MONTH_H)} per month at this rate"
    return f"{said} ({'' if currency else f'{NOT_STATED}, '}{basis_of(kinds)})"


def total_spent(amounts: Mapping[Money, Decimal]) -> str:
    """Return "USD 0.10 at contracted prices, USD 0.43 at list prices"."""
    return ", ".join(
        money(value, kind.currency) + (f" at {kind.basis} prices" if kind.basis else "")
        for kind, value in amounts.items()
    )


def types_of(instance_types: tuple[tuple[str, int], ...]) -> str:
    """Return "7 m7i.2xlarge, 2 g6.2xlarge": the most frequent first, as far as there is room."""
    shown: list[str] = []
    for place, (name, number) in enumerate(instance_types):
        text = f"{number:,} {drawn(name, limit=20)}"
        if len(", ".join([*shown, text])) > _TYPES_LETTERS:
            return ", ".join([*shown, f"{sum(many for _, many in instance_types[place:]):,} others"])
        shown.append(text)
    return ", ".join(shown)

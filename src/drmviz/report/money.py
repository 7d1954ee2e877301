"""Bills as tables for a terminal and as JSON; amounts of several currencies or kinds are never added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from drmviz.analysis.billed import BilledShare
from drmviz.cloud.exporting import plain
from drmviz.cloud.reporting import Total
from drmviz.model.charges import EXACT, NOT_STATED, Amounts, ChargeSum
from drmviz.report.wording import cut

if TYPE_CHECKING:
    from rich.table import Table

_KINDS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
_HEADS = ("billed", "effective", "list", "contracted")
_CENT = Decimal("0.01")
_LONGEST = 60
_NOT_STATED = "not stated"

_Sums = Mapping[tuple[str | None, ...], tuple[Amounts, tuple[int, ...], int]]


def sums_json(sums: Iterable[ChargeSum], by: Sequence[str]) -> dict[str, Any]:
    """Return a row for each value of those fields of `ChargeSum` and each currency; what no charge states is null."""
    return {
        "rows": [
            {
                **dict(zip((*by, "currency"), key, strict=True)),
                **amounts_json(amounts),
                "charges": charges,
                "unstated": dict(zip(_KINDS, unstated, strict=True)),
            }
            for key, (amounts, unstated, charges) in _summed(sums, by).items()
        ]
    }


def sums_table(sums: Iterable[ChargeSum], by: Sequence[str], *, title: str) -> Table:
    """Return the same rows, amounts to the cent; `+ ?` marks a sum to which some charges do not state their part."""
    table = _table(title, *(name.replace("_", " ") for name in by))
    for key, (amounts, unstated, charges) in _summed(sums, by).items():
        _add(table, [_NOT_STATED if part is None else part for part in key], amounts, unstated, charges)
    return table


def totals_table(totals: Iterable[Total]) -> Table:
    """Return what an import held, by provider and currency."""
    table = _table("Imported", "provider")
    for total in totals:
        _add(table, [total.provider, total.currency], total.amounts, total.unstated, total.charges)
    return table


def shares_json(shares: Iterable[BilledShare]) -> dict[str, Any]:
    """Return a row for each worker, and for what is no worker's with the reason."""
    return {
        "rows": [
            {
                "worker": share.worker, "unallocated": share.left, "provider": share.provider,
                "currency": share.currency, **amounts_json(share.amounts), "charges": share.charges,
            }
            for share in shares
        ]
    }  # fmt: skip


def shares_table(shares: Iterable[BilledShare], *, title: str) -> Table:
    """Return the same rows, amounts to the cent."""
    table = _table(title, "worker", "provider")
    for share in shares:
        who = share.worker if share.worker is not None else f"({share.left})"
        _add(table, [who, share.provider, share.currency], share.amounts, (0,) * len(_KINDS), share.charges)
    return table


def amounts_json(amounts: Amounts) -> dict[str, str | None]:
    return {kind: None if each is None else plain(each) for kind, each in zip(_KINDS, amounts, strict=True)}


def money(amount: Decimal | None) -> str:
    """Return an amount to the cent; one that is not zero is never written as zero."""
    if amount is None:
        return _NOT_STATED
    cents = amount.quantize(_CENT, rounding=ROUND_HALF_EVEN, context=EXACT)
    if amount and not cents:
        return "<0.01" if amount > 0 else ">-0.01"
    return f"{cents:,f}"


def _summed(sums: Iterable[ChargeSum], by: Sequence[str]) -> _Sums:
    amounts: dict[tuple[str | None, ...], Amounts] = defaultdict(lambda: NOT_STATED)
    unstated: dict[tuple[str | None, ...], list[int]] = defaultdict(lambda: [0] * len(_KINDS))
    charges: dict[tuple[str | None, ...], int] = defaultdict(int)
    for each in sums:
        key = (*(getattr(each, name) for name in by), each.currency)
        amounts[key] = amounts[key].plus(each.amounts)
        unstated[key] = [mine + its for mine, its in zip(unstated[key], each.unstated, strict=True)]
        charges[key] += each.charges
    ordered = sorted(amounts, key=lambda key: [(part is None, part or "") for part in key])
    return {key: (amounts[key], tuple(unstated[key]), charges[key]) for key in ordered}


def _table(title: str, *names: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (*names, "currency"):
        table.add_column(name, overflow="fold")
    for head in (*_HEADS, "charges"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _add(table: Table, names: Sequence[str], amounts: Amounts, unstated: Sequence[int], charges: int) -> None:
    from rich.text import Text

    cells = [
        money(amount) + " + ?" * (lacking > 0 and amount is not None)
        for amount, lacking in zip(amounts, unstated, strict=True)
    ]
    table.add_row(*(Text(cut(name, _LONGEST)) for name in names), *cells, f"{charges:,}")

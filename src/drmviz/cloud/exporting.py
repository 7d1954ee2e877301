"""Our allocation of charges to workers as FOCUS 1.2 columns; what is ours is marked by `x_`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TextIO

from drmviz.cloud.columns import COSTS
from drmviz.model.charges import Amounts, Charge

COLUMNS = (
    "ProviderName", "BillingAccountId", "BillingPeriodStart", "BillingPeriodEnd", "BillingCurrency", "ChargeCategory",
    "ChargePeriodStart", "ChargePeriodEnd", "ServiceName", "RegionId", "ResourceId", *COSTS,
    "x_Run", "x_Worker", "x_Unallocated", "x_AllocatedRatio",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AllocatedPart = tuple[Charge, str | None, str | None, Fraction, Amounts]
"""A charge, whose part it is, why it is nobody's, which part of the charge's time it is, and its amounts."""


def write_allocation(parts: Iterable[AllocatedPart], stream: TextIO, *, run_id: str) -> int:
    """Write one row for each part of each charge and return how many; their sums are those of the charges, exactly.

    An amount that the bill does not state is left empty.
    """
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    count = 0
    for charge, worker, unallocated, ratio, amounts in parts:
        rows.writerow((
            charge.provider, charge.account, _moment(charge.period_start_us), _moment(charge.period_end_us),
            charge.currency, charge.category, _moment(charge.start_us), _moment(charge.end_us), charge.service or "",
            charge.region or "", charge.resource_id, *("" if each is None else plain(each) for each in amounts),
            run_id, worker or "", unallocated or "", f"{float(ratio):.9f}",
        ))  # fmt: skip
        count += 1
    return count


def plain(amount: Decimal) -> str:
    """Return an amount with all of its digits, never with an exponent: 0.00000012, not 1.2E-7."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _moment(at_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")

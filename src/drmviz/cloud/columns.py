"""Which columns of FOCUS 1.0 to 1.2 are read, and how their text becomes amounts, moments and names."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
"""In the order of `model.charges.Amounts`."""
KIND = (
    "ProviderName",
    "BillingAccountId",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "BillingCurrency",
    "ChargeCategory",
)
"""What every charge of one kind has in common."""
PERIOD = ("ChargePeriodStart", "ChargePeriodEnd")
MANDATORY = (*KIND, *PERIOD, *COSTS)
KIND_MAYBE = ("SubAccountId", "ServiceName", "RegionId", "SkuPriceDetails")
LIST_PRICE = "ListUnitPrice"
RESOURCE = "ResourceId"
READ = (*KIND, *KIND_MAYBE, *PERIOD, RESOURCE, *COSTS, LIST_PRICE)
"""The order that rows are handed on in; what a file lacks is empty text there."""

ABSENT = frozenset({"", "null", "NULL", "Null", "none", "None", "\\N"})
"""How exports write that there is no value."""
_MOST_DIGITS = 50
_PLAIN_LENGTH = 40
_TOO_MUCH, _TOO_LITTLE = Decimal(10) ** 40, Decimal(10) ** -50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def amount_of(text: str) -> Decimal | None:
    """Return an exact amount, None where there is none.

    Raises:
        ValueError: it is no finite decimal number, or none that money is counted in.
    """
    if len(text) < _PLAIN_LENGTH and text.replace(".", "", 1).lstrip("-").isdecimal():  # nearly all are
        try:
            return Decimal(text)
        except InvalidOperation as error:
            raise ValueError("is not a decimal number") from error
    text = text.strip()
    if text in ABSENT:
        return None
    if "_" in text:  # Python reads 1_000, no other program writes it
        raise ValueError("is not a decimal number")
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("is not a decimal number") from error
    if not amount.is_finite():
        raise ValueError("is not a decimal number")
    if len(text) > _MOST_DIGITS or not -_TOO_MUCH < amount < _TOO_MUCH or 0 < abs(amount) < _TOO_LITTLE:
        raise ValueError("is no amount of money")
    return amount


def moment_us(text: str) -> int | None:
    """Return microseconds since the epoch of an ISO 8601 date or time, in UTC where no zone is named; None for none.

    Raises:
        ValueError: it is no such moment.
    """
    text = text.strip()
    if text in ABSENT:
        return None
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as error:
        raise ValueError("is no ISO 8601 time") from error
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def name_of(text: str) -> str | None:
    """Return what a column names, None where it names nothing."""
    text = text.strip()
    return None if text in ABSENT else text


def instance_type_of(details: str) -> str | None:
    """Return the instance type that `SkuPriceDetails` (FOCUS 1.2) states, None where it states none."""
    if "InstanceType" not in details:
        return None
    try:
        stated = json.loads(details)
    except (ValueError, RecursionError):
        return None
    found = stated.get("InstanceType") if isinstance(stated, dict) else None
    return found if isinstance(found, str) and found else None

"""Checks of what is handed in: names and numbers that make sense, or an error that says which does not."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.model.text import LONGEST_NAME, storable

MOST = 2**63
"""No amount reaches it: a store holds whole numbers of 64 bits."""


def checked_name(name: str, value: object) -> str:
    """Return the text in a form that can be stored; it must not be empty."""
    if not isinstance(value, str):
        raise InvalidValueError(name, value, "must be text")
    if not 0 < len(value) <= LONGEST_NAME:
        raise InvalidValueError(name, value, f"must have between 1 and {LONGEST_NAME:,} characters")
    return storable(value)


def checked_labels(labels: object) -> tuple[tuple[str, str], ...] | None:
    """Return a copy of a mapping of text to text, by name; None of None."""
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        raise InvalidValueError("labels", labels, "must be a mapping of text to text")
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidValueError("labels", {key: value}, "must be text on both sides")
    return tuple(sorted((storable(key), storable(value)) for key, value in labels.items()))


def checked_number(name: str, value: object) -> float:
    """Return a finite number that is not negative; whole numbers stay whole and exact."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidValueError(name, value, "must be a number")
    number = _plain(value)
    if number != number:  # NaN
        raise InvalidValueError(name, value, "must be a number that is known; None says that it is not")
    if number < 0:
        raise InvalidValueError(name, number, "must not be negative")
    if number >= MOST:
        raise InvalidValueError(name, number, "is more than any machine has")
    return number


def _plain(value: Any) -> float:
    """Return an int or a float; infinite where that cannot even be written down."""
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if abs(whole) < MOST else math.inf if whole > 0 else -math.inf
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def checked_amount(name: str, value: object, *, units: int = 1) -> int:
    """Return `value` of something as whole parts, `units` to one: the nearest, and at least one of anything above 0."""
    number = checked_number(name, value)
    if units == 1 and number != int(number):
        raise InvalidValueError(name, value, "must be a whole number")
    amount = max(round(number * units), 1 if number else 0)
    if amount >= MOST:
        raise InvalidValueError(name, value, "is more than any machine has")
    return amount


def checked_seconds(name: str, value: object) -> float:
    """Return a duration above zero."""
    seconds = checked_number(name, value)
    if not seconds:
        raise InvalidValueError(name, value, "must be more than 0 seconds")
    return float(seconds)


def number_of(stated: object) -> float | None:
    """Return any real number as a float, infinite where that is too small for it; None for what is none."""
    if isinstance(stated, bool) or not isinstance(stated, numbers.Real | Decimal):
        return None
    try:
        return float(stated)
    except OverflowError:
        large: Any = stated
        return math.inf if large > 0 else -math.inf
    except ValueError:  # a signaling NaN
        return math.nan

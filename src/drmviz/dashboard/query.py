"""What may follow the `?` of a route: stated once, checked from that, and described to programs from that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drmviz.errors import InvalidValueError, UsageError
from drmviz.model.metrics import DRAWN_STATISTICS, METRICS

MOST_COLUMNS = 5_000
_LATEST_S = 1e11


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One value of a query; `read` turns its text into a value or raises InvalidValueError."""

    name: str
    said: str
    schema: Mapping[str, Any]
    read: Callable[[str, str], Any]
    default: Any = None
    is_required: bool = False


def read_query(parameters: Sequence[Parameter], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return a value for each parameter.

    Raises:
        UsageError: one is not known, missing, or there twice.
        InvalidValueError: a value makes no sense.
    """
    known = {parameter.name: parameter for parameter in parameters}
    said: dict[str, str] = {}
    for name, text in given:
        if name not in known:
            have = f"there are {', '.join(known)}" if known else "there are none here"
            raise UsageError(f"{name[:80]!r} is not a parameter; {have}.")
        if name in said:
            raise UsageError(f"{name!r} is given twice.")
        said[name] = text
    for name, parameter in known.items():
        if parameter.is_required and not said.get(name):
            raise UsageError(f"{name!r} is needed: {parameter.said}.")
    return {
        name: parameter.read(name, said[name]) if said.get(name) else parameter.default
        for name, parameter in known.items()
    }


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in choices:
            raise InvalidValueError(name, text, f"is not one of {', '.join(choices)}")
        return text

    return read


def _text(name: str, text: str) -> str:
    return text


def _whole(most: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
            raise InvalidValueError(name, text, f"must be a whole number from 1 to {most}")
        return int(text)

    return read


def _sequence(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidValueError(name, text, "must be a whole number from 0")
    return int(text)


def _moment(name: str, text: str) -> float:
    try:
        seconds = float(text) if text.isascii() else math.nan
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            seconds = math.nan
    if not 0 <= seconds < _LATEST_S:
        raise InvalidValueError(name, text, "must be epoch seconds or an ISO 8601 time (UTC where it names no zone)")
    return seconds


def _span(name: str, text: str) -> float:
    try:
        seconds = float(text) if text.isascii() else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < _LATEST_S:
        raise InvalidValueError(name, text, "must be a number of seconds above 0")
    return seconds


def metric(**more: Any) -> Parameter:
    return Parameter(
        name="metric", said="which metric", schema={"type": "string", "enum": list(METRICS)},
        read=_one_of(*METRICS), **more,
    )  # fmt: skip


_MOMENT = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": _LATEST_S},
        {"type": "string", "format": "date-time"},
    ]
}
STATISTIC = Parameter(
    name="statistic", said="how the ticks of a column become one number", default="mean",
    schema={"type": "string", "enum": list(DRAWN_STATISTICS), "default": "mean"}, read=_one_of(*DRAWN_STATISTICS),
)  # fmt: skip
START = Parameter(
    name="start", said="epoch seconds or ISO 8601; the run's beginning by default",
    schema=_MOMENT, read=_moment,
)  # fmt: skip
END = Parameter(
    name="end", said="the same, not included; just after the newest tick by default",
    schema=_MOMENT, read=_moment,
)  # fmt: skip
LAST = Parameter(
    name="last", said="so many seconds up to the newest tick, instead of start and end",
    schema={"type": "number", "exclusiveMinimum": 0}, read=_span,
)  # fmt: skip
RUN = Parameter(
    name="run", said="the run that `after` counts in; what is seen of another one begins anew",
    schema={"type": "string"}, read=_text,
)  # fmt: skip
VERSION = Parameter(
    name="v", said="which one; it only makes another address of another file", schema={"type": "string"}, read=_text,
)  # fmt: skip
WORKER = Parameter(name="worker", said="the id of a worker", schema={"type": "string"}, read=_text, is_required=True)


AFTER = Parameter(
    name="after", said="the last sequence that was seen: everything since is sent, where it is still held",
    schema={"type": "integer", "minimum": 0}, read=_sequence,
)  # fmt: skip


def one_of(name: str, said: str, *choices: str) -> Parameter:
    return Parameter(
        name=name, said=said, schema={"type": "string", "enum": list(choices)}, read=_one_of(*choices),
        is_required=True,
    )  # fmt: skip


def count(name: str, default: int) -> Parameter:
    return Parameter(
        name=name, said="at most so many", default=default, read=_whole(MOST_COLUMNS),
        schema={"type": "integer", "minimum": 1, "maximum": MOST_COLUMNS, "default": default},
    )  # fmt: skip

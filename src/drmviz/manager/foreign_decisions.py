"""Scaling decisions as any manager shows them: a mapping or an object, perhaps the same one for hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.manager.values import number_of
from drmviz.model.decisions import Action, ScalingDecision
from drmviz.model.moments import seconds_of
from drmviz.model.text import storable

_ACTIONS: dict[str, Action] = {
    "none": "maintain",
    "maintain": "maintain",
    "scale_up": "scale_up",
    "scale_down": "scale_down",
}
_TIMES = ("decided_at_s", "timestamp")
_NUMBERS = ("value", "threshold", "window_s", "cooldown_remaining_s", "utilization")
_FIRST_S = 1e9
"""The year 2001: what is earlier, read later, was counted from somewhere else, as a monotonic clock does."""


class DecisionWatch:
    """Tells which of the decisions that are shown again and again are new; keeps copies, never what it was shown."""

    def __init__(self) -> None:
        self._last: tuple[Any, ...] | None = None

    def new_one(self, shown: object, *, read_at_s: float, rejected: list[str]) -> ScalingDecision | None:
        """Return the decision if it is another one than the last; `read_at_s` is its time where it states none.

        What is no decision is told in `rejected`, and None returned.
        """
        if shown is None:
            return None
        try:
            decision, stated_time = _decision(shown, read_at_s, rejected)
        except InvalidValueError as error:
            rejected.append(str(error))
            return None
        content = _what_it_is(decision, stated_time)
        if content == self._last:
            return None
        self._last = content
        return decision


def _decision(shown: object, read_at_s: float, rejected: list[str]) -> tuple[ScalingDecision, str | float | None]:
    """Return the decision, and what it states as its time: text where that makes no sense, None for nothing."""
    if isinstance(shown, ScalingDecision):
        return shown, shown.decided_at_s
    of = _fields_of(shown)
    known = _action(of("action"))
    stated = next((moment for name in _TIMES if (moment := of(name)) is not None), None)
    decided_at_s = _time(stated, read_at_s, rejected)
    worker_ids = _ids(of("worker_ids"))
    decision = ScalingDecision(
        action=known,
        decided_at_s=read_at_s if decided_at_s is None else decided_at_s,
        count=_count(of("count"), len(worker_ids)),
        reason=_text(of("reason")) or "",
        metric=_text(of("metric")),
        worker_ids=worker_ids,
        worker_type=_text(of("worker_type")),
        host=None,
        **{name: _number(of(name)) for name in _NUMBERS},
    )
    if decided_at_s is None and (isinstance(stated, str) or number_of(stated) is not None):
        return decision, str(stated)
    return decision, decided_at_s


def _action(stated: object) -> Action:
    """Return the action that text names, or the value or the name of a member of an Enum."""
    names = (stated.value, stated.name) if isinstance(stated, Enum) else (getattr(stated, "value", stated),)
    for name in names:
        known = _ACTIONS.get(name.strip().lower().replace("-", "_")) if isinstance(name, str) else None
        if known is not None:
            return known
    raise InvalidValueError("action of a scaling decision", stated, f"is not one of {', '.join(_ACTIONS)}")


def _what_it_is(decision: ScalingDecision, stated_time: str | float | None) -> tuple[Any, ...]:
    """Return what makes it another decision: a cooldown that runs down does not, nor does a clock that was not its."""
    same = (decision.action, decision.count, decision.reason, decision.worker_ids, decision.worker_type)
    if stated_time is not None:
        return (stated_time, *same)
    return (None, *same, decision.metric, decision.value, decision.threshold, decision.utilization)


def _fields_of(shown: object) -> Callable[[str], Any]:
    if isinstance(shown, Mapping):
        return shown.get
    return lambda name: getattr(shown, name, None)


def _time(stated: object, read_at_s: float, rejected: list[str]) -> float | None:
    if stated is None:
        return None
    number = number_of(stated)
    try:
        seconds = seconds_of(stated if number is None else number, "timestamp of a scaling decision")
        if seconds < _FIRST_S <= read_at_s:
            raise InvalidValueError("timestamp of a scaling decision", stated, "are no seconds since 1970")
    except InvalidValueError as error:
        rejected.append(str(error))
        return None
    return seconds


def _ids(stated: object) -> tuple[str, ...]:
    if isinstance(stated, str):
        return (storable(stated),)
    if not isinstance(stated, Iterable):
        return ()
    ids = [storable(str(worker_id)) for worker_id in stated]
    return tuple(sorted(ids)) if isinstance(stated, set | frozenset) else tuple(ids)


def _count(stated: object, named: int) -> int:
    number = number_of(stated)
    if number is None or not 0 <= number < 2**63 or number != int(number):
        return named
    return int(number)


def _text(stated: object) -> str | None:
    return storable(stated) if isinstance(stated, str) and stated else None


def _number(stated: object) -> float | None:
    number = number_of(stated)
    return number if number is not None and abs(number) < 1e300 else None

"""Scaling decisions as any manager shows them: a mapping or an object, perhaps the same one for hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from drmviz.errors import InvalidValueError
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
            decision, has_time = _decision(shown, read_at_s, rejected)
        except InvalidValueError as error:
            rejected.append(str(error))
            return None
        content = _what_it_is(decision, has_time=has_time)
        if content == self._last:
            return None
        self._last = content
        return decision


def _decision(shown: object, read_at_s: float, rejected: list[str]) -> tuple[ScalingDecision, bool]:
    if isinstance(shown, ScalingDecision):
        return shown, True
    of = _fields_of(shown)
    action = getattr(of("action"), "value", of("action"))
    known = _ACTIONS.get(action.strip().lower()) if isinstance(action, str) else None
    if known is None:
        raise InvalidValueError("action of a scaling decision", action, f"is not one of {', '.join(_ACTIONS)}")
    decided_at_s = _time(next((moment for name in _TIMES if (moment := of(name)) is not None), None), rejected)
    worker_ids = _ids(of("worker_ids"))
    decision = ScalingDecision(
        action=known,
        decided_at_s=read_at_s if decided_at_s is None else decided_at_s,
        count=_count(of("count"), len(worker_ids)),
        reason=_text(of("reason")) or "",
        metric=_text(of("metric")),
        worker_ids=worker_ids,
        worker_type=_text(of("worker_type")),
        **{name: _number(of(name)) for name in _NUMBERS},
    )
    return decision, decided_at_s is not None


def _what_it_is(decision: ScalingDecision, *, has_time: bool) -> tuple[Any, ...]:
    """Return what makes it another decision: a cooldown that runs down does not, nor does a clock that was not its."""
    same = (decision.action, decision.count, decision.reason, decision.worker_ids, decision.worker_type)
    if has_time:
        return (decision.decided_at_s, *same)
    return (None, *same, decision.metric, decision.value, decision.threshold, decision.utilization)


def _fields_of(shown: object) -> Callable[[str], Any]:
    if isinstance(shown, Mapping):
        return shown.get
    return lambda name: getattr(shown, name, None)


def _time(stated: object, rejected: list[str]) -> float | None:
    if stated is None:
        return None
    try:
        return seconds_of(stated, "timestamp of a scaling decision")
    except InvalidValueError as error:
        rejected.append(str(error))
        return None


def _ids(stated: object) -> tuple[str, ...]:
    if isinstance(stated, str):
        return (storable(stated),)
    if not isinstance(stated, Iterable):
        return ()
    ids = [storable(str(worker_id)) for worker_id in stated]
    return tuple(sorted(ids)) if isinstance(stated, set | frozenset) else tuple(ids)


def _count(stated: object, named: int) -> int:
    if isinstance(stated, bool) or not isinstance(stated, int) or not 0 <= stated < 2**63:
        return named
    return stated


def _text(stated: object) -> str | None:
    return storable(stated) if isinstance(stated, str) and stated else None


def _number(stated: object) -> float | None:
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not abs(stated) < 1e300:
        return None
    return float(stated)

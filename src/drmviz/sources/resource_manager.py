"""A DynamicResourceManager, ours or anybody's, as a fleet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from drmviz.manager.foreign_decisions import DecisionWatch
from drmviz.manager.statistics import LabelsOf, StatisticsReader
from drmviz.model.decisions import FleetChange, ScalingDecision, ScalingPolicy
from drmviz.model.run import Run
from drmviz.model.samples import Reading

_LOOKS = 3
_THRESHOLDS = ("target_utilization", "scale_up_threshold", "scale_down_threshold")


class AnyManager(Protocol):
    """What any manager has; `last_scaling_decision` and the thresholds are read where it has them."""

    def get_worker_statistics(self) -> Any:
        """Return the workers and what is reserved and used of each."""


class ManagerSource:
    """Reads the workers of a manager, its scaling decisions, and where it tells them, who joined and left and why."""

    name = "manager"

    def __init__(self, manager: AnyManager, *, labels_of: LabelsOf | None = None, recorded: Run | None = None) -> None:
        """`recorded` is the history that this is added to: what it already holds of this manager is not told again."""
        self._manager = manager
        self._statistics = StatisticsReader(labels_of=labels_of)
        self._watch = DecisionWatch()
        self._next_decision = 0
        self._next_change = 0
        self._tells_events = all(
            callable(getattr(type(manager), name, None)) for name in ("decisions_since", "changes_since")
        )
        told: tuple[ScalingDecision | FleetChange, ...] = (
            () if recorded is None else recorded.decisions + recorded.changes
        )
        self._recorded = frozenset(_key(event) for event in told)

    @property
    def states_reservations_only(self) -> bool:
        """Whether what this manager calls utilization was so far nothing but what is reserved."""
        return self._statistics.states_reservations_only

    def policy(self) -> ScalingPolicy:
        """Return what the fleet is scaled by, as far as the manager says."""
        stated = getattr(self._manager, "policy", None)
        if isinstance(stated, ScalingPolicy):
            return stated
        return ScalingPolicy.of({name: getattr(self._manager, name, None) for name in _THRESHOLDS})

    def read(self, now_s: float) -> Reading:
        return self._read_with_events(now_s) if self._tells_events else self._read_with_last_decision(now_s)

    def _read_with_last_decision(self, now_s: float) -> Reading:
        reading = self._statistics.read(self._manager.get_worker_statistics(), taken_at_s=now_s)
        return self._telling(reading, self._new_decision(now_s, reading.rejected), ())

    def _new_decision(self, now_s: float, rejected: list[str]) -> tuple[ScalingDecision, ...]:
        try:
            shown = getattr(self._manager, "last_scaling_decision", None)
            decision = self._watch.new_one(shown, read_at_s=now_s, rejected=rejected)
        except Exception as error:  # noqa: BLE001  a boundary: what answers is not ours, and costs only what it tells
            rejected.append(f"last_scaling_decision failed ({type(error).__name__}: {error})")
            return ()
        return () if decision is None else (decision,)

    def _read_with_events(self, now_s: float) -> Reading:
        """Read the workers at a moment when nobody joined or left, so that changes and workers fit each other.

        Where that does not come, what happened meanwhile is told next time.
        """
        manager: Any = self._manager
        changes: tuple[FleetChange, ...] = ()
        next_change = self._next_change
        for _ in range(_LOOKS):
            more, next_change = manager.changes_since(next_change)
            changes += more
            statistics = manager.get_worker_statistics()
            if not manager.changes_since(next_change)[0]:
                break
        decisions, next_decision = manager.decisions_since(self._next_decision)
        reading = self._statistics.read(statistics, taken_at_s=now_s)
        self._next_change, self._next_decision = next_change, next_decision
        return self._telling(reading, decisions, changes)

    def _telling(
        self, reading: Reading, decisions: tuple[ScalingDecision, ...], changes: tuple[FleetChange, ...]
    ) -> Reading:
        return replace(
            reading,
            decisions=tuple(each for each in decisions if _key(each) not in self._recorded),
            changes=tuple(each for each in changes if _key(each) not in self._recorded),
        )


def _key(event: ScalingDecision | FleetChange) -> tuple[int, str, object]:
    """Return what an event is known by; a history keeps microseconds."""
    if isinstance(event, ScalingDecision):
        return (round(event.decided_at_s * 1e6), event.action, event.reason)
    return (round(event.at_s * 1e6), event.change, event.worker)

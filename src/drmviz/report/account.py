"""What a managed fleet does, told in sentences while it happens."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.report.wording import count, cut, percent

WIDTH = 80
_INDENT = 10
_NAMED = 3
_LONGEST_NAME = 24
_WHY_LEFT = {
    "idle": "left, no longer needed",
    "asked for": "left, as asked for",
    "crashed": "crashed",
    "reclaimed": "went back to the provider, who wanted it",
    "lost": "was lost",
}


class TellingManager(Protocol):
    """What a manager tells of itself."""

    def decisions_since(self, number: int, /) -> tuple[tuple[ScalingDecision, ...], int]:
        """Return the decisions from this number on, and the number to ask with next time."""

    def changes_since(self, number: int, /) -> tuple[tuple[FleetChange, ...], int]:
        """Return who joined and left from this number on, and the number to ask with next time."""

    def get_worker_statistics(self) -> dict[str, Any]:
        """Return the fleet as plain dictionaries."""


class Account:
    """Tells each event once; lines fit into 80 columns and begin with local time."""

    def __init__(self, manager: TellingManager) -> None:
        self._manager = manager
        self._next_decision = self._next_change = 0
        self._cause = ""

    def news(self) -> list[str]:
        """Return what happened since the last call: decisions that change the fleet, and who joined and left."""
        decisions, self._next_decision = self._manager.decisions_since(self._next_decision)
        changes, self._next_change = self._manager.changes_since(self._next_change)
        told = [(d.decided_at_s, 0, self._decided(d)) for d in decisions if d.action != "maintain" and d.count]
        told += [(group[-1].at_s, 1, self._changed(group)) for group in _alike(changes)]
        return [_line(at_s, sentence) for at_s, _, sentence in sorted(told)]

    def state(self, now_s: float) -> str:
        """Return how the fleet is doing."""
        statistics = self._manager.get_worker_statistics()
        used = statistics["overall_utilization"]
        shown = (("CPU", used["cpu"]), ("memory", used["memory"]), ("GPU", used["gpu"]))
        busy = [f"{name} {percent(ratio)}" for name, ratio in shown if ratio is not None]
        running = f"{count(statistics['active_tasks'], 'test')} running"
        return _line(now_s, " · ".join([count(statistics["total_workers"], "worker"), *busy, running]))

    def _decided(self, decision: ScalingDecision) -> str:
        cause = decision.reason.partition(":")[0]
        if decision.action == "scale_up":
            self._cause = cause
            return f"{count(decision.count, 'more worker')} asked for: {cause}"
        return f"{count(decision.count, 'worker')} to go: {cause}"

    def _changed(self, group: list[FleetChange]) -> str:
        first = group[0]
        who = _names(change.worker for change in group)
        if first.change == "joined":
            because = {"asked for": self._cause, "repaired": "it is repaired"}.get(first.why or "", "")
            return f"{who} joined" + (f": {because}" if because else "")
        return f"{who} {_WHY_LEFT.get(first.why or '', 'left' if first.why is None else f'left: {first.why}')}"


def _alike(changes: Iterable[FleetChange]) -> list[list[FleetChange]]:
    """Return the changes of the fleet, neighbours of one kind and reason together."""
    groups: list[list[FleetChange]] = []
    for change in changes:
        if not change.is_of_the_fleet:
            continue
        if groups and (groups[-1][0].change, groups[-1][0].why) == (change.change, change.why):
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def _names(workers: Iterable[str]) -> str:
    names = [cut(worker, _LONGEST_NAME) for worker in workers]
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _line(at_s: float, sentence: str) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at_s))}  {cut(sentence, WIDTH - _INDENT)}"

"""A manager as a source: its workers, its decisions, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest.mock import MagicMock

import pytest

from drmviz.errors import SourceUnavailableError
from drmviz.model.decisions import FleetChange, ScalingDecision, ScalingPolicy
from drmviz.sources.resource_manager import ManagerSource
from tests.building import START_S, recorded

UP = ScalingDecision(action="scale_up", decided_at_s=START_S + 0.25, count=1, reason="busy")
DOWN = ScalingDecision(action="scale_down", decided_at_s=START_S + 5, count=1, reason="idle")
JOINED = FleetChange(at_s=START_S + 0.5, worker="w1", change="joined", why="asked for")
LEFT = FleetChange(at_s=START_S + 6, worker="w1", change="left", why="idle")


@dataclass
class PlainManager:
    """What somebody may already have."""

    workers: dict[str, Any] = field(default_factory=lambda: {"w1": {"utilization": {"cpu": 0.5}, "tasks": 1}})
    last_scaling_decision: Any = None
    target_utilization: Any = 0.6
    scale_up_threshold: Any = 0.9

    def get_worker_statistics(self) -> dict[str, Any]:
        return {"total_workers": len(self.workers), "workers": self.workers}


@dataclass
class TellingManager:
    """One that numbers what it decided and who came and went."""

    decided: list[ScalingDecision] = field(default_factory=list)
    changed: list[FleetChange] = field(default_factory=list)
    while_asked: list[FleetChange] = field(default_factory=list)
    policy: ScalingPolicy = field(default_factory=lambda: ScalingPolicy(target_utilization=0.5, min_workers=2))
    fails: bool = False

    def get_worker_statistics(self) -> dict[str, Any]:
        if self.fails:
            raise RuntimeError("gone away")
        there: dict[str, Any] = {}
        for change in self.changed:
            if change.change == "joined":
                there[change.worker] = {"tasks": 0}
            else:
                there.pop(change.worker, None)
        if self.while_asked:
            self.changed.append(self.while_asked.pop(0))
        return {"workers": there}

    def decisions_since(self, number: int) -> tuple[tuple[ScalingDecision, ...], int]:
        return tuple(self.decided[number:]), len(self.decided)

    def changes_since(self, number: int) -> tuple[tuple[FleetChange, ...], int]:
        return tuple(self.changed[number:]), len(self.changed)


def test_any_object_with_statistics_is_a_source() -> None:
    reading = ManagerSource(PlainManager()).read(START_S)

    assert [entry.id for entry in reading.entries] == ["w1"]
    assert float(reading["cpu_ratio"][0]) == 0.5
    assert reading.taken_at_s == START_S


def test_the_last_decision_of_a_plain_manager_is_told_once() -> None:
    manager = PlainManager(last_scaling_decision={"action": "scale_up", "count": 2})
    source = ManagerSource(manager)

    told = [source.read(START_S + i).decisions for i in range(10)]

    assert [len(decisions) for decisions in told] == [1, *[0] * 9]
    assert told[0][0] == ScalingDecision(action="scale_up", decided_at_s=START_S, count=2)


def test_a_decision_that_is_none_is_counted_and_costs_no_worker() -> None:
    reading = ManagerSource(PlainManager(last_scaling_decision="grow!")).read(START_S)

    assert len(reading.entries) == 1
    assert reading.decisions == ()
    assert len(reading.rejected) == 1


def test_the_policy_is_what_a_manager_says_of_itself_as_far_as_it_makes_sense() -> None:
    assert ManagerSource(PlainManager()).policy() == ScalingPolicy(target_utilization=0.6, scale_up_threshold=0.9)
    assert not ManagerSource(PlainManager(target_utilization="high", scale_up_threshold=None)).policy().is_known
    assert ManagerSource(TellingManager()).policy() == ScalingPolicy(target_utilization=0.5, min_workers=2)


def test_everything_decided_and_changed_between_two_reads_is_told() -> None:
    manager = TellingManager(decided=[UP], changed=[JOINED])
    source = ManagerSource(manager)
    first = source.read(START_S + 1)
    quiet = source.read(START_S + 2)
    manager.decided.append(DOWN)
    manager.changed.append(LEFT)
    last = source.read(START_S + 7)

    assert (first.decisions, first.changes) == ((UP,), (JOINED,))
    assert (quiet.decisions, quiet.changes) == ((), ())
    assert (last.decisions, last.changes) == ((DOWN,), (LEFT,))
    assert [len(reading.entries) for reading in (first, quiet, last)] == [1, 1, 0]


def test_who_joins_while_it_reads_is_told_together_with_the_worker() -> None:
    manager = TellingManager(while_asked=[JOINED])

    reading = ManagerSource(manager).read(START_S + 1)

    assert [entry.id for entry in reading.entries] == ["w1"]
    assert reading.changes == (JOINED,)


def test_a_fleet_that_never_stands_still_is_read_all_the_same_and_the_rest_is_told_next_time() -> None:
    many = [FleetChange(at_s=START_S + i, worker=f"w{i}", change="joined") for i in range(5)]
    source = ManagerSource(TellingManager(while_asked=list(many)))

    first, second = source.read(START_S + 10), source.read(START_S + 11)

    assert first.changes + second.changes == tuple(many)
    assert {change.worker for change in first.changes} == {entry.id for entry in first.entries}


def test_what_happened_while_the_manager_failed_is_told_when_it_answers_again() -> None:
    manager = TellingManager(decided=[UP], changed=[JOINED], fails=True)
    source = ManagerSource(manager)
    with pytest.raises(RuntimeError):
        source.read(START_S + 1)
    manager.fails = False

    reading = source.read(START_S + 2)

    assert (reading.decisions, reading.changes) == ((UP,), (JOINED,))


def test_what_the_history_already_holds_is_not_told_again() -> None:
    manager = TellingManager(decided=[UP, DOWN], changed=[JOINED, LEFT])
    history = recorded({"w1": [0.5]}, decisions=[UP], changes=[JOINED])

    reading = ManagerSource(manager, recorded=history).read(START_S + 10)

    assert (reading.decisions, reading.changes) == ((DOWN,), (LEFT,))


def test_a_last_decision_that_fails_costs_only_itself() -> None:
    class Failing(PlainManager):
        def __getattribute__(self, name: str) -> Any:
            if name == "last_scaling_decision":
                raise RuntimeError("no log")
            return super().__getattribute__(name)

    reading = ManagerSource(Failing(last_scaling_decision=None)).read(START_S)

    assert [entry.id for entry in reading.entries] == ["w1"]
    assert reading.decisions == ()
    assert reading.rejected == ["last_scaling_decision failed (RuntimeError: no log)"]


def test_statistics_without_workers_are_an_error_that_says_what_they_must_be() -> None:
    manager = MagicMock()
    manager.get_worker_statistics.return_value = {"error": "not yet"}

    with pytest.raises(SourceUnavailableError, match="must return"):
        ManagerSource(manager).read(START_S)


def test_a_mock_is_a_plain_manager_that_decides_nothing() -> None:
    manager = MagicMock()
    manager.get_worker_statistics.return_value = {"workers": {"w1": {"utilization": {"cpu": 0.5}}}}
    source = ManagerSource(manager)

    reading = source.read(START_S)

    assert len(reading.entries) == 1
    assert reading.decisions == ()
    assert not source.policy().is_known


def test_where_workers_run_stands_in_their_labels() -> None:
    source = ManagerSource(PlainManager(), labels_of=lambda worker: {"provider": f"cloud of {worker}"})

    assert source.read(START_S).entries[0].labels == (("provider", "cloud of w1"),)

"""The manager against a few plain dictionaries, through any order of calls, with a clock that jumps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from drmviz.errors import DuplicateWorkerError, InvalidValueError, UnknownWorkerError
from drmviz.manager import DynamicResourceManager
from drmviz.manager.amounts import Amounts
from drmviz.manager.replay import replay
from drmviz.model.decisions import ScalingDecision
from drmviz.system import SimulatedClock

WORKERS = st.sampled_from(["a", "b", "c", "d", "e"])
TASKS = st.sampled_from(["t1", "t2", "t3", "t4"])
CAPACITIES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"cpu_cores": 4, "memory_mb": 256},
        {"cpu_cores": 2, "memory_mb": 256},
        {"cpu_cores": 4, "memory_mb": 64, "gpus": 2, "gpu_memory_mb": 128},
        {"cpu_cores": 1, "memory_mb": 512, "gpus": 0},
        {"cpu_cores": 4},
        {"cpu_cores": 3, "memory_mb": None, "gpus": 1},
        {"cpu_cores": None, "memory_mb": 64},
    ]
)
AMOUNTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"cpu_cores": 0.25},
        {"cpu_cores": 1},
        {"cpu_cores": 3},
        {"cpu_cores": 0.5, "memory_mb": 32},
        {"cpu_cores": 1, "memory_mb": 200, "gpus": 0},
        {"memory_mb": 64},
        {"cpu_cores": 1, "gpus": 1, "gpu_memory_mb": 64},
        {"gpus": 2},
        {"cpu_cores": 5},
    ]
)
MORE: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {}, {"ttl_s": 1}, {"ttl_s": 10}, {"ttl_s": 100}, {"worker_id": "a"}, {"worker_id": "b", "ttl_s": 10}]
)
DEMANDS = st.builds(lambda asked, more: {**asked, **more}, AMOUNTS, MORE)
NONSENSE = st.sampled_from([math.nan, math.inf, -1, True, "1", [1], {}, 10**400])
UNITS = {"cpu_cores": 1000, "memory_mb": 2**20, "gpus": 1, "gpu_memory_mb": 2**20}
STALE_S, UP_S, DOWN_S = 40.0, 30.0, 70.0


def amounts(stated: dict[str, Any]) -> list[int]:
    return [round((stated.get(key) or 0) * units) for key, units in UNITS.items()]


@dataclass
class Held:
    """What a reservation must be."""

    task: str
    worker: str
    amounts: list[int]
    deadline_s: float
    state: str = "active"


@dataclass
class Fleet:
    """What the manager must know, kept as simply as can be: everything is counted anew each time."""

    capacities: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def active(self, worker: str | None = None) -> list[Held]:
        return [each for each in self.held.values() if each.state == "active" and worker in (None, each.worker)]

    def free(self, worker: str) -> list[int]:
        taken = [sum(column) for column in zip(*(each.amounts for each in self.active(worker)), strict=True)] or [0] * 4
        return [has - used for has, used in zip(amounts(self.capacities[worker]), taken, strict=True)]

    def best(self, asked: list[int], only: str | None) -> str | None:
        """Return the worker where the scarcest of what is asked for is left least, None where nothing fits."""
        fitting = []
        for worker in [only] if only else list(self.capacities):
            has, left = amounts(self.capacities[worker]), [f - a for f, a in zip(self.free(worker), asked, strict=True)]
            if all(after >= 0 for after in left):
                fitting.append((min(a / h for a, h, want in zip(left, has, asked, strict=True) if want), worker))
        return min(fitting)[1] if fitting else None

    def expire(self, now_s: float) -> None:
        for each in self.active():
            if each.deadline_s <= now_s:
                each.state = "expired"

    def cpu(self, worker: str, now_s: float) -> float | None:
        at_s, value = self.measured.get(worker, (-math.inf, None))
        return value if now_s - at_s < STALE_S else None


class AnyOrderOfCalls(RuleBasedStateMachine):
    """Every rule asks both, and every invariant compares them."""

    @initialize(
        least=st.integers(0, 3), most=st.none() | st.integers(3, 6), capacities=st.lists(CAPACITIES, max_size=5)
    )
    def begin(self, least: int, most: int | None, capacities: list[dict[str, Any]]) -> None:
        self.clock = SimulatedClock()
        self.least, self.most = least, most
        self.manager = DynamicResourceManager(
            evaluation_window=50,
            scale_up_cooldown=UP_S,
            scale_down_cooldown=DOWN_S,
            min_workers=least,
            max_workers=most,
            clock=self.clock,
            stale_after_s=STALE_S,
            keep_log=True,
        )
        self.model = Fleet()
        self.scaled_at_s = -math.inf
        for worker, capacity in zip("abcde", capacities, strict=False):
            self.join_as(worker, capacity)

    def join_as(self, worker: str, capacity: dict[str, Any]) -> None:
        self.manager.register_worker(worker, capacity)
        self.model.capacities[worker] = dict(capacity)

    def everything(self) -> object:
        return self.manager.snapshot(), self.manager.log(), self.manager.decisions, self.manager.changes_since(0)

    @rule(worker=WORKERS, capacity=CAPACITIES)
    def join(self, worker: str, capacity: dict[str, Any]) -> None:
        if worker in self.model.capacities:
            before = self.everything()
            with pytest.raises(DuplicateWorkerError):
                self.manager.register_worker(worker, capacity)
            assert self.everything() == before
        else:
            self.join_as(worker, capacity)

    @rule(worker=WORKERS)
    def vanish(self, worker: str) -> None:
        if worker not in self.model.capacities:
            with pytest.raises(UnknownWorkerError):
                self.manager.deregister_worker(worker)
            return
        lost = self.manager.deregister_worker(worker, why="crashed")
        del self.model.capacities[worker]
        self.model.measured.pop(worker, None)
        for each in self.model.active(worker):
            each.state = "lost"
        assert all(self.model.held[reservation.id].worker == worker for reservation in lost)

    @rule(worker=WORKERS, capacity=CAPACITIES)
    def resize(self, worker: str, capacity: dict[str, Any]) -> None:
        before = self.everything()
        if worker not in self.model.capacities:
            with pytest.raises(UnknownWorkerError):
                self.manager.update_worker_resources(worker, capacity)
            assert self.everything() == before
            return
        wished = {**self.model.capacities[worker], **capacity}
        taken = [h - f for h, f in zip(amounts(self.model.capacities[worker]), self.model.free(worker), strict=True)]
        if all(has >= used for has, used in zip(amounts(wished), taken, strict=True)):
            self.manager.update_worker_resources(worker, capacity)
            self.model.capacities[worker] = wished
        else:
            with pytest.raises(InvalidValueError, match="reserved; release some of it first"):
                self.manager.update_worker_resources(worker, capacity)
            assert self.everything() == before

    @rule(requests=st.lists(st.tuples(TASKS, DEMANDS), min_size=1, max_size=4))
    def reserve(self, requests: list[tuple[str, dict[str, Any]]]) -> None:
        for task, demand in requests:
            self.reserve_one(task, demand)

    def reserve_one(self, task: str, demand: dict[str, Any]) -> None:
        only = demand.get("worker_id")
        if only is not None and only not in self.model.capacities:
            before = self.everything()
            with pytest.raises(UnknownWorkerError):
                self.manager.reserve_resources(task, demand)
            assert self.everything() == before
            return
        expected = self.model.best(amounts(demand), only)
        reservation_id = self.manager.reserve_resources(task, demand)
        assert (reservation_id is None) == (expected is None)
        if reservation_id is not None and expected is not None:
            self.grant(reservation_id, task, demand, expected)
            assert self.manager.reservation(reservation_id).worker_id == expected

    def grant(self, reservation_id: str, task: str, demand: dict[str, Any], worker: str) -> None:
        assert reservation_id not in self.model.held
        deadline_s = self.clock.monotonic + demand.get("ttl_s", math.inf)
        self.model.held[reservation_id] = Held(task, worker, amounts(demand), deadline_s)

    @rule(gang=st.lists(st.tuples(TASKS, DEMANDS), min_size=1, max_size=4))
    def reserve_many(self, gang: list[tuple[str, dict[str, Any]]]) -> None:
        gang = [
            (task, {k: v for k, v in demand.items() if k != "worker_id" or v in self.model.capacities})
            for task, demand in gang
        ]
        before = self.everything()
        granted = self.manager.reserve_many(gang)
        if granted is None:
            assert self.everything() == before
            return
        assert len(granted) == len(gang)
        for reservation_id, (task, demand) in zip(granted, gang, strict=True):
            worker = self.manager.reservation(reservation_id).worker_id
            assert demand.get("worker_id", worker) == worker
            self.grant(reservation_id, task, demand, worker)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), ttl_s=st.sampled_from([None, 1, 10, 100]))
    def renew(self, data: st.DataObject, ttl_s: float | None) -> None:
        reservation_id = data.draw(st.sampled_from(list(self.model.held)))
        held = self.model.held[reservation_id]
        assert self.manager.renew_reservation(reservation_id, ttl_s) == (held.state == "active")
        if held.state == "active":
            held.deadline_s = math.inf if ttl_s is None else self.clock.monotonic + ttl_s

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), times=st.integers(1, 2))
    def release(self, data: st.DataObject, times: int) -> None:
        reservation_id = data.draw(st.sampled_from(list(self.model.held)))
        held = self.model.held[reservation_id]
        for _ in range(times):
            assert self.manager.release_resources(reservation_id) == (held.state == "active")
            if held.state == "active":
                held.state = "released"

    @rule(nonsense=NONSENSE, key=st.sampled_from([*UNITS, "ttl_s"]))
    def ask_for_nonsense(self, nonsense: Any, key: str) -> None:
        before = self.everything()
        with pytest.raises(InvalidValueError, match=key):
            self.manager.reserve_resources("t", {"cpu_cores": 1, **{key: nonsense}})
        with pytest.raises(InvalidValueError):
            self.manager.reserve_resources("t", {"cpu_cores": 0, "memory_mb": 0})
        for worker in self.model.capacities:
            with pytest.raises(InvalidValueError, match="cpu_ratio"):
                self.manager.record_usage(worker, cpu_ratio=nonsense)
        assert self.everything() == before

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 9.5, 10.0, 30.0, 100.0]), jump=st.sampled_from([0, 0, -3600, 1e9]))
    def wait(self, seconds: float, jump: float) -> None:
        self.clock.advance(seconds)
        self.clock.jump(jump)
        self.model.expire(self.clock.monotonic)
        self.manager.tick()
        once = self.everything()
        self.manager.tick()
        assert self.everything() == once

    @rule(value=st.sampled_from([None, 0.0, 0.1, 0.3, 0.5, 0.8, 1.2]), but=st.none() | WORKERS)
    def measure(self, value: float | None, but: str | None) -> None:
        for worker in self.model.capacities.keys() - {but}:
            self.manager.record_usage(worker, cpu_ratio=value)
            self.model.measured[worker] = (self.clock.monotonic, value)

    @rule(value=st.sampled_from([0.0, 0.1, 0.2, 0.9]), seconds=st.sampled_from([0.0, 10.0, 30.0]), obey=st.booleans())
    def hold_a_load(self, value: float, seconds: float, obey: bool) -> None:
        for _ in range(3):
            self.measure(value, None)
            self.wait(seconds, 0)
            self.measure(value, None)
            self.evaluate(obey)

    @rule(obey=st.booleans())
    def evaluate(self, obey: bool) -> None:
        before = self.manager.snapshot()
        decision = self.manager.evaluate_scaling()
        assert self.manager.snapshot() == before
        assert self.manager.last_scaling_decision is decision
        self.check(decision)
        if decision.count:
            self.scaled_at_s = self.clock.monotonic
        if obey:
            for worker in decision.worker_ids:
                assert self.manager.deregister_worker(worker) == ()
                del self.model.capacities[worker]
                self.model.measured.pop(worker, None)

    def check(self, decision: ScalingDecision) -> None:
        now_s, workers = self.clock.monotonic, list(self.model.capacities)
        up_s = max(0.0, self.scaled_at_s + UP_S - now_s)
        down_s = max(0.0, self.scaled_at_s + DOWN_S - now_s)
        assert None not in (decision.metric, decision.value, decision.threshold)
        assert decision.window_s is not None
        assert 0 <= decision.window_s <= 50
        assert decision.reason
        assert decision.cooldown_remaining_s in (up_s, down_s)
        assert decision.decided_at_s == self.clock.wall
        match decision.action:
            case "maintain":
                assert (decision.count, decision.worker_ids) == (0, ())
            case "scale_up":
                assert decision.count >= 1
                assert len(workers) + decision.count <= (self.most or math.inf)
                assert up_s == 0 or (decision.metric == "workers" and len(workers) < self.least)
            case "scale_down":
                assert down_s == 0
                assert len(set(decision.worker_ids)) == decision.count >= 1
                assert not any(self.model.active(worker) for worker in decision.worker_ids)
                assert len(workers) - decision.count >= self.least
                assert all(self.model.cpu(worker, now_s) is not None for worker in workers)
        if len(workers) < self.least and not up_s:
            assert (decision.action, decision.count) == ("scale_up", self.least - len(workers))

    @invariant()
    def workers_are_those_of_the_model(self) -> None:
        snapshot = self.manager.snapshot()
        assert [worker.id for worker in snapshot.workers] == list(self.model.capacities)
        for worker in snapshot.workers:
            capacity = self.model.capacities[worker.id]
            has = [None if capacity.get(key) is None else round(capacity[key] * units) for key, units in UNITS.items()]
            stated = worker.capacity
            assert [stated.cpu_millicores, stated.memory_bytes, stated.gpu_count, stated.gpu_memory_bytes] == has
            free = Amounts.of(stated).minus(worker.reserved)
            assert list(free) == self.model.free(worker.id)
            assert all(0 <= left <= (all_of_it or 0) for left, all_of_it in zip(free, has, strict=True))
            active = self.model.active(worker.id)
            assert (worker.reservations, worker.tasks) == (len(active), len({each.task for each in active}))
            assert worker.usage.cpu_ratio == self.model.cpu(worker.id, self.clock.monotonic)

    @invariant()
    def sums_are_those_of_the_workers(self) -> None:
        snapshot, ledger = self.manager.snapshot(), self.manager._fleet.ledger
        active = self.model.active()
        assert snapshot.active_reservations == len(active) == sum(worker.reservations for worker in snapshot.workers)
        assert snapshot.active_tasks == len({each.task for each in active})
        assert [sum(column) for column in zip(*(worker.reserved for worker in snapshot.workers), strict=True)] == (
            list(ledger.reserved) if snapshot.workers else []
        )
        assert self.manager._fleet.measured._sum.ratios == snapshot.utilization

    @invariant()
    def every_reservation_is_in_its_one_state(self) -> None:
        for reservation_id, held in self.model.held.items():
            reservation = self.manager.reservation(reservation_id)
            assert (reservation.state, reservation.worker_id) == (held.state, held.worker)
            assert list(reservation.amounts) == held.amounts
            assert (reservation.ended_at_s is None) == (held.state == "active")

    @invariant()
    def the_log_leads_to_this_state(self) -> None:
        assert replay(self.manager.log()) == self.manager._fleet.ledger.state()


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(250, 50, id="fast"),
        pytest.param(3_000, 100, id="long", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_any_order_of_calls_keeps_the_books(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        AnyOrderOfCalls,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )

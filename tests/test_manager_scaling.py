"""Scaling over time: windows, stand-ins, waiting requests, cooldowns on the monotonic clock, and giving up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drmviz.errors import InvalidValueError
from drmviz.manager import DynamicResourceManager
from drmviz.model.decisions import ScalingDecision
from drmviz.system import SimulatedClock

CORES: dict[str, Any] = {"cpu": {"cores": 4}, "memory": {"total_mb": 8192}}

Fleet = Callable[..., DynamicResourceManager]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def fleet(clock: SimulatedClock) -> Fleet:
    def make(workers: int, **more: Any) -> DynamicResourceManager:
        manager = DynamicResourceManager(clock=clock, **more)
        for i in range(workers):
            manager.register_worker(f"w{i}", CORES)
        return manager

    return make


def measure(manager: DynamicResourceManager, cpu: float | None, **more: Any) -> None:
    for worker in manager.snapshot().workers:
        manager.record_usage(worker.id, cpu_ratio=cpu, **more)


def hold(manager: DynamicResourceManager, clock: SimulatedClock, cpu: float, seconds: int) -> None:
    """Measure the same every 10 s."""
    for _ in range(0, seconds, 10):
        measure(manager, cpu)
        clock.advance(10)
    measure(manager, cpu)


def facts(decision: ScalingDecision) -> tuple[str, int, str | None, float | None]:
    return decision.action, decision.count, decision.metric, decision.value


def test_a_decision_is_logged_and_is_the_last_one(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(12)

    before = manager.last_scaling_decision
    hold(manager, clock, 0.86, 90)
    decision = manager.evaluate_scaling()

    assert before is None
    assert decision == ScalingDecision(
        action="scale_up",
        decided_at_s=clock.wall,
        count=3,
        reason="CPU 86 % over 80 % for 90 s: 3 more workers bring it to 69 %",
        metric="cpu_ratio",
        value=0.86,
        threshold=0.8,
        window_s=90.0,
        cooldown_remaining_s=0.0,
        worker_type="cpu",
        utilization=0.86,
    )
    assert manager.last_scaling_decision is decision
    assert manager.decisions == (decision,)
    assert manager.decisions_since(0) == ((decision,), 1)


def test_a_peak_is_averaged_over_the_window_and_what_is_older_than_it_forgotten(
    fleet: Fleet, clock: SimulatedClock
) -> None:
    manager = fleet(4, evaluation_window=100)
    hold(manager, clock, 0.5, 90)
    measure(manager, 1.0)
    clock.advance(10)

    peak = manager.evaluate_scaling()
    hold(manager, clock, 1.0, 60)
    lasting = manager.evaluate_scaling()

    assert facts(peak)[:3] == ("maintain", 0, "cpu_ratio")
    assert (peak.value, peak.window_s) == pytest.approx((0.55, 100))
    assert facts(lasting)[:2] == ("scale_up", 1)
    assert (lasting.value, lasting.window_s) == pytest.approx((0.85, 100))


def test_where_nothing_measures_the_reserved_share_stands_in(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(4)
    for _ in range(4):
        manager.reserve_resources("t", {"cpu_cores": 4, "memory_mb": 1024})
    clock.advance(60)

    unmeasured = manager.evaluate_scaling()
    manager.cancel_scaling(unmeasured, why="a test")
    measure(manager, 0.5)
    measured = manager.evaluate_scaling()
    clock.advance(150)
    stale = manager.evaluate_scaling()

    assert facts(unmeasured) == ("scale_up", 2, "cpu_reserved_ratio", 1.0)
    assert unmeasured.reason.startswith("CPU 100 % reserved (its use is not measured) over 80 % for 60 s")
    assert facts(measured) == ("maintain", 0, "cpu_ratio", 0.5)
    assert facts(stale)[2:] == ("cpu_reserved_ratio", 1.0)


@pytest.mark.parametrize(("resource", "more"), [("memory", {"memory_bytes": 8 * 2**30}), ("cpu", {})])
def test_the_resource_that_is_short_names_the_kind_of_worker(fleet: Fleet, resource: str, more: dict[str, Any]) -> None:
    manager = fleet(2)
    measure(manager, 0.1 if more else 0.9, **more)

    decision = manager.evaluate_scaling()

    assert (decision.action, decision.worker_type, decision.metric) == ("scale_up", resource, f"{resource}_ratio")


def test_only_workers_with_a_gpu_count_for_how_many_gpu_workers_are_missing(fleet: Fleet) -> None:
    manager = fleet(10)
    for name in ("g0", "g1"):
        manager.register_worker(name, {**CORES, "gpu": {"devices": 1}})
        manager.record_usage(name, cpu_ratio=0.2, gpu_ratio=0.95)

    decision = manager.evaluate_scaling()

    assert facts(decision) == ("scale_up", 1, "gpu_ratio", 0.95)
    assert decision.worker_type == "gpu"


def test_below_the_minimum_no_cooldown_counts_and_the_request_is_made_once(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(3, min_workers=3)
    measure(manager, 0.9)
    grown = manager.evaluate_scaling()
    for name in ("w1", "w2"):
        manager.deregister_worker(name, why="crashed")

    asked = manager.evaluate_scaling()
    clock.advance(1)
    again = manager.evaluate_scaling()
    manager.deregister_worker("w0", why="crashed")
    one_more = manager.evaluate_scaling()
    clock.advance(300)
    nobody_came = manager.evaluate_scaling()
    for name in "abc":
        manager.register_worker(name, CORES)
    reached = manager.evaluate_scaling()

    assert grown.action == "scale_up"
    assert facts(asked) == ("scale_up", 2, "workers", 1)
    assert facts(again) == ("maintain", 0, "workers", 1)
    assert again.cooldown_remaining_s == 299
    assert facts(one_more) == ("scale_up", 1, "workers", 0)
    assert facts(nobody_came) == ("scale_up", 3, "workers", 0)
    assert reached.action == "maintain"


def test_growing_and_shrinking_wait_for_their_cooldowns_whichever_way_it_went(
    fleet: Fleet, clock: SimulatedClock
) -> None:
    manager = fleet(10, scale_up_cooldown=300, scale_down_cooldown=600)
    measure(manager, 0.9)
    clock.jump(1e6)
    assert manager.evaluate_scaling().action == "scale_up"

    clock.advance(299.5)
    measure(manager, 0.9)
    up_too_early = manager.evaluate_scaling()
    measure(manager, 0.1)
    down_too_early = manager.evaluate_scaling()
    clock.jump(1e9)
    still_too_early = manager.evaluate_scaling()
    clock.advance(300)
    measure(manager, 0.1)
    last_moment = manager.evaluate_scaling()
    clock.advance(0.5)
    down = manager.evaluate_scaling()
    clock.advance(299)
    measure(manager, 1.0)
    clock.advance(0.5)
    up_again_too_early = manager.evaluate_scaling()
    clock.advance(0.5)

    assert facts(up_too_early)[:2] == ("maintain", 0)
    assert up_too_early.cooldown_remaining_s == pytest.approx(0.5)
    assert down_too_early.action == still_too_early.action == last_moment.action == "maintain"
    assert last_moment.cooldown_remaining_s == pytest.approx(0.5)
    assert down.action == "scale_down"
    assert up_again_too_early.action == "maintain"


def test_a_load_that_goes_up_and_down_does_not_make_the_fleet_follow(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(8)
    decided = []
    for i in range(720):  # two hours
        measure(manager, 1.0 if i % 2 else 0.0)
        clock.advance(10)
        decided.append(manager.evaluate_scaling())

    assert {decision.action for decision in decided[1:]} == {"maintain"}


def test_a_fleet_that_does_what_is_asked_settles_near_its_target(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(4, evaluation_window=300, scale_up_cooldown=60, scale_down_cooldown=60)
    work, joined, sizes = 10.0, 4, []
    for _ in range(120):
        names = [worker.id for worker in manager.snapshot().workers]
        for name in names:
            manager.record_usage(name, cpu_ratio=min(1.0, work / len(names)))
        clock.advance(30)
        decision = manager.evaluate_scaling()
        for name in decision.worker_ids:
            manager.deregister_worker(name)
        for _ in range(decision.count if decision.action == "scale_up" else 0):
            manager.register_worker(f"w{joined}", CORES)
            joined += 1
        sizes.append(len(manager.snapshot().workers))

    assert sorted(set(sizes)) == [6, 9, 13]  # what was measured before it grew does not count afterwards
    assert sizes == sorted(sizes)


def test_without_a_fresh_measurement_of_every_worker_a_fleet_does_not_shrink(
    fleet: Fleet, clock: SimulatedClock
) -> None:
    manager = fleet(3)
    never = manager.evaluate_scaling()
    measure(manager, 0.1)
    manager.record_usage("w1")
    forgotten = manager.evaluate_scaling()
    clock.advance(100)
    manager.record_usage("w0", cpu_ratio=0.1)
    manager.record_usage("w1", cpu_ratio=0.1)
    clock.advance(50)
    stale = manager.evaluate_scaling()
    manager.record_usage("w2", cpu_ratio=0.1)
    known = manager.evaluate_scaling()

    assert facts(never)[:2] == ("maintain", 0)
    assert never.reason.endswith("but what w0, w1, w2 use is not known")
    assert forgotten.reason.endswith("but what w1 uses is not known")
    assert stale.reason.endswith("but what w2 uses is not known")
    assert facts(known)[:2] == ("scale_down", 1)


def test_only_workers_that_hold_nothing_go_and_when_none_does_no_cooldown_starts(
    fleet: Fleet, clock: SimulatedClock
) -> None:
    manager = fleet(2)
    held = [manager.reserve_resources("t", {"cpu_cores": 1, "worker_id": name}) for name in ("w0", "w1")]
    measure(manager, 0.1)

    busy = manager.evaluate_scaling()
    manager.release_resources(str(held[1]))
    idle = manager.evaluate_scaling()

    assert facts(busy)[:2] == ("maintain", 0)
    assert busy.reason.endswith("but every worker holds reservations")
    assert (idle.action, idle.worker_ids) == ("scale_down", ("w1",))


def test_a_worker_that_was_named_leaves_because_it_was_asked_for(fleet: Fleet) -> None:
    manager = fleet(4)
    measure(manager, 0.1)
    named = manager.evaluate_scaling().worker_ids
    _, number = manager.changes_since(0)

    for name in ("w0", "w1", "w2"):
        manager.deregister_worker(name, why="crashed" if name == "w1" else None)
    changes, _ = manager.changes_since(number)

    assert named == ("w0", "w1")
    assert [(change.worker, change.why) for change in changes] == [
        ("w0", "asked for"),
        ("w1", "crashed"),
        ("w2", None),
    ]


def test_a_refused_request_makes_the_fleet_grow_until_it_found_room(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(2, scale_up_cooldown=0)
    for i in range(2):
        manager.reserve_resources(f"old{i}", {"cpu_cores": 3})
    measure(manager, 0.5)
    for i in range(3):
        assert manager.reserve_resources(f"new{i}", {"cpu_cores": 2}) is None
        assert manager.reserve_resources(f"new{i}", {"cpu_cores": 2}) is None  # asking again is no other request
        clock.advance(10)

    missing = manager.evaluate_scaling()
    manager.register_worker("w2", CORES)
    manager.record_usage("w2", cpu_ratio=0.0)
    one_still_missing = manager.evaluate_scaling()
    manager.register_worker("w3", CORES)
    placeable = manager.evaluate_scaling()
    for i in range(3):
        assert manager.reserve_resources(f"new{i}", {"cpu_cores": 2}) is not None
    served = manager.evaluate_scaling()

    assert facts(missing) == ("scale_up", 2, "requests_unplaced", 3)
    assert missing.reason == "3 requests without room for 30 s: 2 more workers hold them"
    assert (missing.threshold, missing.window_s, missing.worker_type) == (1, 30.0, "cpu")
    assert facts(one_still_missing) == ("scale_up", 1, "requests_unplaced", 1)
    assert placeable.action == served.action == "maintain"


def test_a_request_that_nobody_repeats_is_forgotten_after_the_window(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(1, scale_up_cooldown=0)
    manager.reserve_resources("old", {"cpu_cores": 4})
    measure(manager, 0.5)
    assert manager.reserve_resources("new", {"cpu_cores": 1}) is None

    clock.advance(300)
    measure(manager, 0.5)
    remembered = manager.evaluate_scaling()
    clock.advance(0.1)
    forgotten = manager.evaluate_scaling()

    assert facts(remembered) == ("scale_up", 1, "requests_unplaced", 1)
    assert forgotten.action == "maintain"


@pytest.mark.parametrize(
    ("asked", "kind"),
    [({"cpu_cores": 1}, "cpu"), ({"cpu_cores": 0.1, "memory_mb": 4096}, "memory"), ({"gpus": 1}, "gpu")],
)
def test_a_refused_request_names_the_kind_of_worker_that_it_needs(
    fleet: Fleet, asked: dict[str, Any], kind: str
) -> None:
    manager = fleet(1)
    manager.reserve_resources("old", {"cpu_cores": 4, "memory_mb": 8192})
    measure(manager, 0.5, memory_bytes=2**30)
    manager.reserve_resources("new", asked)

    decision = manager.evaluate_scaling()

    assert facts(decision) == ("scale_up", 1, "requests_unplaced", 1)
    assert decision.worker_type == kind


def test_more_of_the_same_is_not_asked_for_where_it_would_not_help(fleet: Fleet) -> None:
    manager = fleet(2)
    measure(manager, 0.5)
    manager.reserve_resources("too large", {"cpu_cores": 5})
    manager.reserve_resources("particular", {"cpu_cores": 4.5, "worker_id": "w0"})

    decision = manager.evaluate_scaling()

    assert decision.action == "maintain"
    assert decision.reason == "CPU 50 % over 30 %: nothing to change; 1 request larger than any worker there is"


def test_an_empty_fleet_without_a_minimum_grows_for_the_first_request(clock: SimulatedClock) -> None:
    manager = DynamicResourceManager(min_workers=0, clock=clock)
    nothing = manager.evaluate_scaling()
    manager.reserve_resources("t", {"cpu_cores": 1})

    assert facts(nothing) == ("maintain", 0, "workers", 0)
    assert facts(manager.evaluate_scaling()) == ("scale_up", 1, "requests_unplaced", 1)


def test_a_scaling_that_was_given_up_is_logged_and_its_cooldown_lifted(fleet: Fleet, clock: SimulatedClock) -> None:
    manager = fleet(10)
    measure(manager, 0.9)
    decision = manager.evaluate_scaling()
    clock.advance(10)
    waiting = manager.evaluate_scaling()

    given_up = manager.cancel_scaling(decision, why="no quota")
    again = manager.evaluate_scaling()

    assert waiting.action == "maintain"
    assert given_up == ScalingDecision(
        action="maintain",
        decided_at_s=clock.wall,
        reason="Growing by 3 workers was given up: no quota",
        metric="cpu_ratio",
        value=0.9,
        threshold=0.8,
        window_s=0.0,
        cooldown_remaining_s=0.0,
        utilization=0.9,
    )
    assert manager.decisions == (decision, waiting, given_up, again)
    assert facts(again) == ("scale_up", 3, "cpu_ratio", 0.9)
    for other in (decision, waiting):
        with pytest.raises(InvalidValueError, match=r"decision = .*: is not the one that last scaled the fleet"):
            manager.cancel_scaling(other, why="no quota")
    with pytest.raises(InvalidValueError, match="why = '': must have between 1 and"):
        manager.cancel_scaling(again, why="")
    assert manager.last_scaling_decision is again

"""The scaling policy as a pure function: which facts lead to which decision, and what it says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.manager.amounts import Amounts
from drmviz.manager.fleet_view import FleetView, IdleWorker, ScalingRules, Signal, Unplaced, WorkerType
from drmviz.manager.policy import decide
from drmviz.manager.sentences import percent
from drmviz.model.decisions import ScalingDecision

RULES = ScalingRules()


def busy(value: float, workers: int, *, resource: WorkerType = "cpu", window_s: float = 90, **more: Any) -> Signal:
    return Signal(resource=resource, value=value, window_s=window_s, workers=workers, **more)


def fleet(*signals: Signal, workers: int = 12, idle: int | None = None, **more: Any) -> FleetView:
    """Return a fleet of workers with one core each, the idle ones first."""
    return FleetView(
        decided_at_s=100.0,
        workers=workers,
        signals=signals,
        idle=tuple(
            IdleWorker(id=f"w{i:02}", used=0.1, room=Amounts(cpu_millicores=1000))
            for i in range(workers if idle is None else idle)
        ),
        room=Amounts(cpu_millicores=1000 * workers),
        **more,
    )


def test_a_busy_fleet_grows_until_it_is_at_its_target() -> None:
    decision = decide(fleet(busy(0.86, 12)), RULES)

    assert decision == ScalingDecision(
        action="scale_up",
        decided_at_s=100.0,
        count=3,
        reason="CPU 86 % over 80 % for 90 s: 3 more workers bring it to 69 %",
        metric="cpu_ratio",
        value=0.86,
        threshold=0.8,
        window_s=90,
        cooldown_remaining_s=0.0,
        worker_type="cpu",
        utilization=0.86,
    )


@pytest.mark.parametrize(
    ("value", "workers", "count"),
    [
        (0.8, 7, 1),  # at the threshold; exactly 8 workers bring it to the target
        (0.8, 1, 1),
        (0.84, 10, 2),  # 12 exactly, whatever the last bit of 0.84 / 0.7 says
        (1.0, 10, 5),
        (1.4, 10, 10),
        (3.0, 10, 10),  # never more than twice as many
    ],
)
def test_how_many_more_follows_from_the_target_and_is_at_most_a_doubling(
    value: float, workers: int, count: int
) -> None:
    decision = decide(fleet(busy(value, workers), workers=workers), RULES)

    assert (decision.action, decision.count) == ("scale_up", count)


def test_a_hair_below_the_threshold_is_not_over_it_and_the_sentence_tells_them_apart() -> None:
    decision = decide(fleet(busy(0.7996, 12)), RULES)

    assert (decision.action, decision.threshold) == ("maintain", 0.8)
    assert decision.reason == "CPU 79.96 % under 80 % for 90 s: nothing to change"


def test_the_busiest_resource_decides_and_names_the_kind_of_worker() -> None:
    gpu = busy(0.95, 2, resource="gpu")
    decision = decide(fleet(busy(0.85, 12), busy(0.2, 12, resource="memory"), gpu), RULES)

    assert (decision.metric, decision.worker_type, decision.count) == ("gpu_ratio", "gpu", 1)
    assert decision.reason == "GPU 95 % over 80 % for 90 s: 1 more worker brings it to 63 %"


def test_where_use_is_not_measured_reservations_stand_in_and_the_reason_says_so() -> None:
    decision = decide(fleet(busy(1.0, 4, is_measured=False, window_s=0), workers=4), RULES)

    assert (decision.action, decision.metric, decision.count) == ("scale_up", "cpu_reserved_ratio", 2)
    assert decision.reason == "CPU 100 % reserved (its use is not measured) over 80 %: 2 more workers bring it to 67 %"


@pytest.mark.parametrize(
    ("most", "count", "reason"),
    [
        (13, 1, "CPU 86 % over 80 % for 90 s: 1 more worker brings it to 79 %"),
        (12, 0, "CPU 86 % over 80 % for 90 s, but the fleet is at its limit of 12 workers"),
        (11, 0, "CPU 86 % over 80 % for 90 s, but the fleet is at its limit of 11 workers"),
    ],
)
def test_a_fleet_never_grows_over_its_limit(most: int, count: int, reason: str) -> None:
    decision = decide(fleet(busy(0.86, 12)), replace(RULES, max_workers=most))

    assert (decision.action, decision.count, decision.reason) == ("scale_up" if count else "maintain", count, reason)
    assert (decision.metric, decision.value, decision.threshold) == ("cpu_ratio", 0.86, 0.8)


def test_a_fleet_that_was_just_scaled_waits_and_says_how_long() -> None:
    up = decide(fleet(busy(0.86, 12), up_remaining_s=120, down_remaining_s=420), RULES)
    down = decide(fleet(busy(0.1, 12), up_remaining_s=120, down_remaining_s=420), RULES)

    assert (up.action, up.count, up.cooldown_remaining_s) == ("maintain", 0, 120)
    assert up.reason == "CPU 86 % over 80 % for 90 s, but the fleet may not grow for another 120 s"
    assert (down.action, down.count, down.cooldown_remaining_s) == ("maintain", 0, 420)
    assert down.reason == "CPU 10 % under 30 % for 90 s, but the fleet may not shrink for another 420 s"


def test_below_its_minimum_a_fleet_grows_whatever_else_is_the_case() -> None:
    rules = replace(RULES, min_workers=3, max_workers=3)
    decision = decide(fleet(busy(0.1, 1), workers=1, up_remaining_s=50, down_remaining_s=50), rules)

    assert (decision.action, decision.count, decision.metric) == ("scale_up", 2, "workers")
    assert (decision.value, decision.threshold, decision.cooldown_remaining_s) == (1, 3, 50)
    assert decision.reason == "1 of at least 3 workers: 2 more workers make up the minimum"


def test_workers_that_are_on_their_way_to_the_minimum_are_not_asked_for_again() -> None:
    rules = replace(RULES, min_workers=3)

    on_their_way = decide(fleet(workers=1, awaited=2, up_remaining_s=50), rules)
    one_more_lost = decide(fleet(workers=0, awaited=2, up_remaining_s=50), rules)

    assert (on_their_way.action, on_their_way.cooldown_remaining_s) == ("maintain", 50)
    assert on_their_way.reason == "1 of at least 3 workers: those that were asked for have not joined yet"
    assert (one_more_lost.action, one_more_lost.count) == ("scale_up", 1)


def test_requests_without_room_are_a_reason_to_grow() -> None:
    waiting = Unplaced(requests=5, workers=3, worker_type="memory", waiting_s=42.4)
    decision = decide(fleet(busy(0.5, 12), unplaced=waiting), RULES)

    assert (decision.action, decision.count, decision.worker_type) == ("scale_up", 3, "memory")
    assert (decision.metric, decision.value, decision.threshold) == ("requests_unplaced", 5, 1)
    assert decision.reason == "5 requests without room for 42 s: 3 more workers hold them"
    assert decision.utilization == 0.5


def test_of_two_reasons_to_grow_the_one_that_asks_for_more_is_given() -> None:
    few = decide(fleet(busy(0.86, 12), unplaced=Unplaced(requests=9, workers=2)), RULES)
    many = decide(fleet(busy(0.86, 12), unplaced=Unplaced(requests=9, workers=4)), RULES)
    too_many = decide(fleet(workers=2, unplaced=Unplaced(requests=9, workers=4, waiting_s=0.25)), RULES)

    assert (few.metric, few.count) == ("cpu_ratio", 3)
    assert (many.metric, many.count) == ("requests_unplaced", 4)
    assert (too_many.count, too_many.reason) == (
        2,
        "9 requests without room for 0.2 s: 2 more workers hold some of them",
    )


def test_a_little_used_fleet_shrinks_to_its_target_by_the_least_used_that_hold_nothing() -> None:
    view = fleet(busy(0.2, 10), workers=10, idle=0)
    idle = [("a", 0.3), ("b", 0.1), ("c", 0.2), ("d", 0.1)]
    view = replace(view, idle=tuple(IdleWorker(id=i, used=u, room=Amounts(cpu_millicores=1000)) for i, u in idle))

    decision = decide(view, RULES)

    assert (decision.action, decision.count, decision.worker_ids) == ("scale_down", 4, ("b", "d", "c", "a"))
    assert (decision.metric, decision.value, decision.threshold) == ("cpu_ratio", 0.2, 0.3)
    assert (
        decision.reason == "CPU 20 % under 30 % for 90 s: 4 workers fewer (b, d, c and 1 more worker) bring it to 33 %"
    )


@pytest.mark.parametrize(
    ("value", "workers", "least", "count"),
    [
        (0.3, 10, 1, 5),  # at the threshold: half of them at 60 %
        (0.28, 10, 1, 5),
        (0.28, 5, 1, 2),  # 2 exactly would do; half a fleet at most
        (0.0, 8, 1, 4),
        (0.0, 8, 6, 2),
        (0.3, 2, 1, 1),
        (0.0, 1, 0, 1),
        (0.3, 3, 0, 1),
    ],
)
def test_how_many_fewer_is_at_most_half_and_never_below_the_minimum(
    value: float, workers: int, least: int, count: int
) -> None:
    decision = decide(fleet(busy(value, workers), workers=workers), replace(RULES, min_workers=least))

    assert (decision.action, decision.count, len(set(decision.worker_ids))) == ("scale_down", count, count)


def test_what_is_reserved_must_still_fit_at_the_target() -> None:
    reserved = Amounts(cpu_millicores=4900)

    some = decide(fleet(busy(0.1, 10), workers=10, idle=5, reserved=reserved), RULES)
    none = decide(fleet(busy(0.1, 10), workers=10, idle=5, reserved=Amounts(cpu_millicores=6500)), RULES)

    assert (some.action, some.count) == ("scale_down", 3)  # 4.9 cores are 70 % of 7
    assert (none.action, none.count) == ("maintain", 0)
    assert none.reason == "CPU 10 % under 30 % for 90 s, but fewer workers could not carry it at 70 %"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"idle": 0}, "every worker holds reservations"),
        ({"unmeasured": ("w07",)}, "what w07 uses is not known"),
        ({"unmeasured": tuple("abcde")}, "what a, b, c and 2 more workers use is not known"),
        ({"unmeasured": ("x" * 50,)}, f"what {'x' * 39}… uses is not known"),
        ({"unplaced": Unplaced(placeable=2)}, "2 requests that found no room may come again"),
    ],
)
def test_whatever_speaks_against_it_keeps_a_little_used_fleet_as_it_is(more: dict[str, Any], reason: str) -> None:
    decision = decide(fleet(busy(0.1, 12), **more), RULES)

    assert (decision.action, decision.count, decision.worker_ids) == ("maintain", 0, ())
    assert decision.reason == f"CPU 10 % under 30 % for 90 s, but {reason}"
    assert (decision.metric, decision.value, decision.threshold) == ("cpu_ratio", 0.1, 0.3)


def test_a_fleet_at_its_minimum_stays() -> None:
    decision = decide(fleet(busy(0.1, 3), workers=3), replace(RULES, min_workers=3))

    assert (decision.action, decision.reason) == (
        "maintain",
        "CPU 10 % under 30 % for 90 s, but the fleet is at its minimum of 3 workers",
    )


def test_one_resource_in_use_keeps_the_whole_fleet() -> None:
    decision = decide(fleet(busy(0.1, 12), busy(0.31, 12, resource="memory")), RULES)

    assert (decision.action, decision.metric, decision.threshold) == ("maintain", "memory_ratio", 0.3)
    assert decision.reason == "Memory 31 % over 30 % for 90 s: nothing to change"


@pytest.mark.parametrize(("value", "threshold"), [(0.35, 0.3), (0.5499, 0.3), (0.55, 0.8), (0.79, 0.8)])
def test_a_fleet_that_is_well_used_stays_and_names_the_nearer_threshold(value: float, threshold: float) -> None:
    decision = decide(fleet(busy(value, 12), up_remaining_s=10, down_remaining_s=20), RULES)

    assert (decision.action, decision.threshold, decision.cooldown_remaining_s) == ("maintain", threshold, 20)


def test_a_request_that_no_worker_could_hold_is_told_of_and_changes_nothing() -> None:
    decision = decide(fleet(busy(0.5, 12), unplaced=Unplaced(oversize=1)), RULES)

    assert decision.action == "maintain"
    assert (
        decision.reason == "CPU 50 % over 30 % for 90 s: nothing to change; 1 request larger than any worker there is"
    )


def test_a_fleet_of_which_nothing_is_known_stays_with_everything_stated() -> None:
    empty = decide(fleet(workers=0), replace(RULES, min_workers=0))
    unknown = decide(fleet(workers=2), RULES)

    assert (empty.metric, empty.value, empty.threshold, empty.utilization) == ("workers", 0, 0, None)
    assert empty.reason == "No workers, and none asked for"
    assert (unknown.metric, unknown.value, unknown.threshold) == ("workers", 2, 1)
    assert unknown.reason == "2 workers, of which nothing is known"


@given(
    values=st.lists(st.floats(0, 2), max_size=3),
    workers=st.integers(0, 30),
    idle_share=st.floats(0, 1),
    limits=st.tuples(st.integers(0, 10), st.none() | st.integers(10, 40)),
    waiting=st.builds(Unplaced, requests=st.integers(0, 9), workers=st.integers(1, 9), placeable=st.integers(0, 1)),
    remaining=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    reserved=st.integers(0, 30_000),
)
def test_every_decision_keeps_the_limits_and_states_what_it_rests_on(
    values: list[float],
    workers: int,
    idle_share: float,
    limits: tuple[int, int | None],
    waiting: Unplaced,
    remaining: tuple[float, float],
    reserved: int,
) -> None:
    kinds: tuple[WorkerType, ...] = ("cpu", "memory", "gpu")
    signals = [busy(v, workers, resource=r) for v, r in zip(values, kinds, strict=False)] if workers else []
    rules = replace(RULES, min_workers=limits[0], max_workers=limits[1])
    view = fleet(
        *signals,
        workers=workers,
        idle=int(workers * idle_share),
        unplaced=waiting,
        reserved=Amounts(cpu_millicores=min(reserved, 1000 * workers)),
        up_remaining_s=remaining[0],
        down_remaining_s=remaining[1],
    )

    decision = decide(view, rules)

    assert None not in (decision.metric, decision.value, decision.threshold, decision.window_s)
    assert decision.cooldown_remaining_s is not None
    assert decision.reason
    match decision.action:
        case "maintain":
            assert decision.count == 0
        case "scale_up":
            assert decision.count >= 1
            assert workers + decision.count <= (rules.max_workers or 1000)
            assert decision.metric == "workers" or (decision.count <= max(1, workers) and view.up_remaining_s == 0)
        case "scale_down":
            left = workers - decision.count
            assert max(rules.min_workers, workers - max(1, workers // 2)) <= left
            assert set(decision.worker_ids) <= {worker.id for worker in view.idle}
            assert len(set(decision.worker_ids)) == decision.count >= 1
            assert max(values) <= 0.3
            assert values[0] * workers <= left * 0.7 + 1e-6
            assert view.reserved.cpu_millicores <= left * 700 + 1e-3
            assert view.down_remaining_s == 0
            assert not waiting.requests
            assert not waiting.placeable


@pytest.mark.parametrize(
    ("ratio", "beside", "text"),
    [
        (0.8, 0.8, "80 %"),
        (0.8, None, "80 %"),
        (0.796, 0.8, "79.6 %"),
        (0.80004, 0.8, "80.004 %"),
        (0.8000001, 0.8, "80.000 %"),
        (1.234, 0.8, "123 %"),
    ],
)
def test_percent_is_as_exact_as_it_takes(ratio: float, beside: float | None, text: str) -> None:
    assert percent(ratio, beside=beside) == text

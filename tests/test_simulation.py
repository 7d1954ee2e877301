"""The simulated fleet: the same seed is the same history, its manager's policy is followed, all of it is plausible."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drmviz.errors import InvalidValueError
from drmviz.manager.statistics import StatisticsReader
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.samples import Reading
from drmviz.simulation import SimulatedCloud, SimulatedFleet
from drmviz.simulation.load import KINDS, Load
from drmviz.simulation.machines import GPU, RACK, first_machines
from drmviz.sources import SOURCES
from drmviz.sources.cloud_answers import Answers
from drmviz.sources.simulated_fleet import SimulatedFleetSource
from drmviz.system import SimulatedClock

BEGAN_S = 1_790_000_000.0
SPAN_S = 1200


def readings(
    *, workers: int = 20, seed: int = 7, seconds: int = SPAN_S, began_s: float = BEGAN_S
) -> Iterator[tuple[Reading, SimulatedFleetSource]]:
    """Read a fleet once a second, and give the source beside each reading."""
    clock = SimulatedClock(wall=began_s)
    source = SimulatedFleetSource(SimulatedFleet(workers, seed=seed, clock=clock))
    for _ in range(seconds):
        yield source.read(clock.wall_s()), source
        clock.advance(1.0)


@pytest.fixture(scope="module")
def history() -> list[Reading]:
    return [reading for reading, _ in readings()]


def decisions_of(history: list[Reading]) -> list[ScalingDecision]:
    return [decision for reading in history for decision in reading.decisions]


def changes_of(history: list[Reading]) -> list[FleetChange]:
    return [change for reading in history for change in reading.changes if change.is_of_the_fleet]


def live(fleet: SimulatedFleet, clock: SimulatedClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1.0)
        fleet.advance()


def idle_fleet(clock: SimulatedClock) -> SimulatedFleet:
    """Return a fleet of six whose tests are over, to which no others come, and that does nothing on its own account."""
    fleet = SimulatedFleet(6, seed=2, clock=clock)
    fleet._runner._load.arrivals = lambda second: []  # type: ignore[method-assign]
    fleet._incidents.due = lambda second: []  # type: ignore[method-assign]
    fleet._follow = lambda decision: None  # type: ignore[method-assign]
    live(fleet, clock, 250)
    return fleet


# The load


def test_the_same_seed_is_the_same_load_in_whatever_order_it_is_asked() -> None:
    one, other = Load(seed=3, cpu_cores=200, gpus=2), Load(seed=3, cpu_cores=200, gpus=2)
    others = Load(seed=4, cpu_cores=200, gpus=2)

    forwards = [one.arrivals(second) for second in range(-60, 300)]
    backwards = [other.arrivals(second) for second in reversed(range(-60, 300))]

    assert forwards == backwards[::-1]
    assert forwards != [others.arrivals(second) for second in range(-60, 300)]


@pytest.mark.parametrize("seed", range(5))
def test_the_load_comes_in_waves_from_a_third_of_the_fleet_to_more_than_all_of_it(seed: int) -> None:
    load = Load(seed=seed, cpu_cores=200)

    demand = load.demand(np.arange(SPAN_S, dtype=float))

    assert demand.shape == (SPAN_S,)
    assert demand[:240].max() > 1.1
    assert demand[300:500].min() < 0.4
    assert demand[500:800].max() > 1.1
    assert demand.min() >= 0.05
    assert demand.max() <= 1.65


def test_what_arrives_asks_for_as_many_core_seconds_as_are_in_demand() -> None:
    load = Load(seed=1, cpu_cores=1000)
    seconds = range(1000)

    asked = sum(
        test.kind.cpu_cores * test.duration_s
        for second in seconds
        for test in load.arrivals(second)
        if not test.kind.gpus
    )

    assert asked / 1000 == pytest.approx(load.demand(np.arange(1000) + 0.5).sum(), rel=0.05)


def test_a_fleet_without_a_gpu_gets_no_test_that_needs_one() -> None:
    load = Load(seed=1, cpu_cores=1000, gpus=0)

    kinds = {test.kind for second in range(300) for test in load.arrivals(second)}

    assert kinds == {kind for kind in KINDS if not kind.gpus}


# What a fleet begins with


@given(st.integers(1, 2000))
def test_a_fleet_begins_with_as_many_machines_as_were_asked_for_some_of_them_our_own(workers: int) -> None:
    machines = first_machines(workers)

    assert len(machines) == workers
    assert RACK in machines
    assert (GPU in machines) == (workers >= 4)


@pytest.mark.parametrize("wrong", [0, -1, 10_001, 2.0, True, "20", None])
def test_a_fleet_of_no_sensible_size_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidValueError, match=r"workers = .* must be a whole number from 1 to 10,000"):
        SimulatedFleet(wrong)  # type: ignore[arg-type]


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="seed = -1"):
        SimulatedFleet(2, seed=-1)


def test_it_begins_in_the_middle_of_its_work() -> None:
    first, _ = next(readings(seconds=1))

    assert len(first.entries) == 20
    assert 0.3 < np.nanmean(first["cpu_ratio"]) < 0.9
    assert np.isfinite(first["cpu_ratio"]).all()
    assert {change.why for change in first.changes} == {"recording began"}


# The same history


def test_two_fleets_of_one_seed_have_identical_readings() -> None:
    for (one, _), (other, _) in zip(readings(seconds=300), readings(seconds=300), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.entries == other.entries
        assert (one.decisions, one.changes, one.tasks) == (other.decisions, other.changes, other.tasks)
        assert one.cloud == other.cloud


def test_when_it_begins_moves_its_history_and_changes_nothing_of_it() -> None:
    for (one, _), (other, _) in zip(readings(seconds=200), readings(seconds=200, began_s=BEGAN_S + 1e6), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.entries == other.entries
        assert [d.reason for d in one.decisions] == [d.reason for d in other.decisions]
        assert [t.ended_at_s + 1e6 for t in one.tasks] == pytest.approx([t.ended_at_s for t in other.tasks])


def test_another_seed_is_another_history() -> None:
    one = [reading.values for reading, _ in readings(seconds=3)]
    other = [reading.values for reading, _ in readings(seconds=3, seed=8)]

    assert not np.array_equal(one[2], other[2])


def test_reading_twice_in_a_second_changes_nothing() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    source = SimulatedFleetSource(SimulatedFleet(8, clock=clock))
    clock.advance(1.0)
    first = source.read(clock.wall_s())

    clock.advance(0.5)
    again = source.read(clock.wall_s())

    np.testing.assert_array_equal(first.values, again.values)
    assert all(a is b for a, b in zip(first.entries, again.entries, strict=True))
    assert (again.decisions, again.changes, again.tasks, again.cloud) == ((), (), (), ())


def test_a_fleet_that_nobody_looked_at_for_an_hour_catches_up() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = SimulatedFleet(8, clock=clock)

    clock.advance(3600.0)
    fleet.advance()

    assert fleet.now_s == BEGAN_S + 3600
    assert fleet.tests_ended > 0
    assert all(task.ended_at_s <= fleet.now_s for task in fleet.tasks_since(0)[0])


# What can be, and what cannot


@settings(max_examples=8, deadline=None)
@given(workers=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_no_reading_of_any_fleet_holds_what_cannot_be(workers: int, seed: int) -> None:
    running = 0
    for reading, source in readings(workers=workers, seed=seed, seconds=150):
        assert not reading.rejected
        known = reading.values[np.isfinite(reading.values)]
        assert (known >= 0).all()
        for metric in METRICS[:-1]:
            assert (np.nan_to_num(reading[metric]) <= 1).all()
        assert len(reading.entries) <= source.fleet.most_workers
        no_gpu = np.array([not entry.capacity.gpu_count for entry in reading.entries])
        assert np.isnan(reading["gpu_ratio"][no_gpu]).all()
        running = int(reading["tasks_running"].sum())
        assert source.fleet.manager.get_worker_statistics()["resource_reservations"] == running
    assert running > 0


def test_what_the_source_tells_is_what_the_managers_statistics_say() -> None:
    by_statistics = StatisticsReader()
    for reading, source in readings(seconds=120):
        other = by_statistics.read(source.fleet.manager.get_worker_statistics(), taken_at_s=reading.taken_at_s)
        for metric in METRICS:
            if metric != "gpu_memory_ratio":
                np.testing.assert_allclose(reading[metric], other[metric], rtol=1e-6, err_msg=metric)
        assert reading.entries == other.entries


def test_every_reservation_of_a_fleet_that_runs_empty_is_given_back() -> None:
    fleet = idle_fleet(SimulatedClock(wall=BEGAN_S))

    statistics = fleet.manager.get_worker_statistics()
    assert statistics["resource_reservations"] == 0
    for worker in statistics["workers"].values():
        assert worker["resources"]["cpu"]["available_cores"] == worker["resources"]["cpu"]["cores"]


def test_somebody_else_may_reserve_of_the_same_manager() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = SimulatedFleet(4, clock=clock)
    while fleet.manager.reserve_resources("mine", {"cpu_cores": 1}) is not None:
        pass

    live(fleet, clock, 60)

    assert fleet.waiting > 0


# Scaling


def test_every_decision_that_changes_the_fleet_has_its_threshold_behind_it(history: list[Reading]) -> None:
    decisions = decisions_of(history)
    ups = [d for d in decisions if d.action == "scale_up"]
    downs = [d for d in decisions if d.action == "scale_down"]

    assert len(ups) >= 4
    assert len(downs) >= 2
    assert all(d.value >= d.threshold for d in ups)  # type: ignore[operator]
    assert all(d.value <= d.threshold for d in downs)  # type: ignore[operator]
    assert {d.threshold for d in ups if d.metric == "cpu_ratio"} == {0.8}
    assert {d.threshold for d in downs} == {0.3}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_scaled_within_a_cooldown(seed: int) -> None:
    history = [reading for reading, _ in readings(workers=12, seed=seed)]
    scaled = [d for d in decisions_of(history) if d.action != "maintain"]

    assert len(scaled) > 3
    for before, after in pairwise(scaled):
        cooldown_s = 60 if after.action == "scale_up" else 120
        assert after.decided_at_s - before.decided_at_s >= cooldown_s


def test_who_was_asked_for_joins_after_having_booted(history: list[Reading]) -> None:
    asked = [d.decided_at_s for d in decisions_of(history) if d.action == "scale_up" for _ in range(d.count)]
    joined = [c.at_s for c in changes_of(history) if c.change == "joined" and c.why == "asked for"]

    assert len(joined) > 15
    for at_s in np.arange(BEGAN_S, BEGAN_S + SPAN_S):
        booted = sum(joined_at_s <= at_s for joined_at_s in joined)
        assert booted <= sum(asked_at_s <= at_s - 15 for asked_at_s in asked)
        assert booted >= sum(asked_at_s <= at_s - 115 for asked_at_s in asked)


def test_who_is_to_go_goes_at_once_and_had_nothing_to_do(history: list[Reading]) -> None:
    for before, reading in pairwise(history):
        for decision in (d for d in reading.decisions if d.action == "scale_down"):
            left = {c.worker for c in reading.changes if c.why == "idle"}
            assert left == set(decision.worker_ids)
            assert len(left) == decision.count
            assert not left & {entry.id for entry in reading.entries}
            unreserved = {
                entry.id
                for entry, cores in zip(before.entries, before["cpu_reserved_ratio"].tolist(), strict=True)
                if cores < 0.4
            }
            assert left <= unreserved


def test_a_machine_of_our_own_that_was_switched_off_comes_back_before_another_is_rented() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = idle_fleet(clock)

    SimulatedFleet._follow(
        fleet,
        ScalingDecision(action="scale_down", decided_at_s=clock.wall_s(), count=2, worker_ids=("rack-01", "aws-03")),
    )
    left = [worker.id for worker in fleet.workers]
    SimulatedFleet._follow(
        fleet, ScalingDecision(action="scale_up", decided_at_s=clock.wall_s(), count=2, worker_type="cpu")
    )
    live(fleet, clock, 120)

    assert left == ["rack-02", "aws-04", "spot-05", "gpu-06"]
    assert {worker.id for worker in fleet.workers} == {*left, "rack-01", "spot-07"}


def test_a_fleet_never_has_more_workers_than_its_limit_however_many_boot() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = idle_fleet(clock)

    for _ in range(2):
        SimulatedFleet._follow(fleet, ScalingDecision(action="scale_up", decided_at_s=clock.wall_s(), count=5))
    live(fleet, clock, 120)

    assert len(fleet.workers) == fleet.most_workers == 12


def test_a_fleet_whose_last_gpu_went_tells_its_manager_what_waits_for_one() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = SimulatedFleet(6, seed=5, clock=clock)
    gpu = next(worker for worker in fleet.workers if worker.machine is GPU)

    fleet._leave(gpu, "crashed")
    live(fleet, clock, 240)

    asked = [d for d in fleet.manager.decisions if d.action == "scale_up" and d.worker_type == "gpu"]
    assert asked[0].metric == "requests_unplaced"
    assert any(worker.machine is GPU for worker in fleet.workers)


# What goes wrong


def test_tests_of_a_crashed_worker_crash_and_are_run_again() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = SimulatedFleet(6, seed=1, clock=clock)
    live(fleet, clock, 10)
    victim = max(fleet.workers, key=lambda w: fleet.manager.get_worker_statistics()["workers"][w.id]["tasks"])
    _, told = fleet.tasks_since(0)
    running = fleet.manager.get_worker_statistics()["workers"][victim.id]["tasks"]

    fleet._leave(victim, "crashed")
    crashed, told = fleet.tasks_since(told)
    live(fleet, clock, 240)
    later, _ = fleet.tasks_since(told)

    assert running > 0
    assert [(task.worker, task.outcome, task.cpu_s) for task in crashed] == [(victim.id, "crashed", None)] * running
    assert {task.name for task in crashed} <= {task.name for task in later if task.attempt == 2}


def test_workers_crash_and_are_reclaimed_and_our_own_come_back_under_their_name(history: list[Reading]) -> None:
    changes = changes_of(history)
    why = Counter(change.why for change in changes)

    assert why["crashed"] >= 1
    assert why["reclaimed"] >= 1
    assert all(change.worker.startswith("spot") for change in changes if change.why == "reclaimed")
    crashed_racks = [c.worker for c in changes if c.why == "crashed" and c.worker.startswith("rack")]
    repaired = [c.worker for c in changes if c.why == "repaired"]
    assert repaired == crashed_racks[: len(repaired)]
    assert repaired


def test_now_and_then_a_worker_is_not_measured_for_a_while_and_is_still_there(history: list[Reading]) -> None:
    longest = Counter[str]()
    for reading in history:
        for entry, cpu in zip(reading.entries, reading["cpu_ratio"].tolist(), strict=True):
            longest[entry.id] += np.isnan(cpu)
    unseen = {worker: ticks for worker, ticks in longest.items() if ticks}

    assert len(unseen) >= 3
    assert all(ticks >= 10 for ticks in unseen.values())
    assert sum(unseen.values()) < 0.1 * sum(len(reading.entries) for reading in history)


def test_some_workers_waste_what_they_reserve_and_one_of_them_is_our_own(history: list[Reading]) -> None:
    used, reserved = Counter[str](), Counter[str]()
    for reading in history:
        for entry, cpu, held in zip(
            reading.entries, reading["cpu_ratio"].tolist(), reading["cpu_reserved_ratio"].tolist(), strict=True
        ):
            if not np.isnan(cpu):
                used[entry.id] += cpu
                reserved[entry.id] += held
    efficiency = {worker: used[worker] / reserved[worker] for worker in reserved if reserved[worker] > 60}

    wasteful = {worker for worker, ratio in efficiency.items() if ratio < 0.5}
    assert any(worker.startswith("rack") for worker in wasteful)
    assert 1 < len(wasteful) < 0.4 * len(efficiency)
    assert sum(ratio > 0.75 for ratio in efficiency.values()) > 0.5 * len(efficiency)


# The providers


def test_the_cloud_of_a_fleet_counts_its_workers_and_sums_their_prices() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    cloud = SimulatedCloud(SimulatedFleet(10, clock=clock))

    assert cloud.providers == ("aws", "on-premises")
    workers = cloud.get_active_workers("aws")
    assert Counter(w["instance_type"] for w in workers) == {"m7i.2xlarge": 3, "c7i.2xlarge": 3, "g6.2xlarge": 1}
    assert {w["spot"] for w in workers if w["instance_type"] == "c7i.2xlarge"} == {True}
    assert cloud.get_cost_estimate("aws") == {
        "per_hour": 3 * Decimal("0.4830") + 3 * Decimal("0.1570") + Decimal("1.2220"),
        "currency": "USD",
        "basis": "list",
        "priced_at": "2026-09-21T14:13:20+00:00",
    }
    assert cloud.get_cost_estimate("on-premises")["basis"] == "effective"
    assert cloud.get_available_resources("on-premises") == {"workers": 0, "cpu_cores": 0, "memory_mb": 0, "gpus": 0}
    assert cloud.get_available_resources("aws") == {"workers": 13, "cpu_cores": 104, "memory_mb": 13 * 32768, "gpus": 0}


def test_what_the_cloud_answers_is_what_the_source_tells_of_it() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    cloud = SimulatedCloud(SimulatedFleet(10, clock=clock))

    for provider in cloud.providers:
        answers = Answers.of(cloud, provider)
        assert answers.problems == []
        assert cloud.usage(provider, at_s=BEGAN_S).says_the_same_as(answers.usage(BEGAN_S))


def test_a_provider_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="provider = 'gcp': is not one of aws, on-premises"):
        SimulatedCloud(SimulatedFleet(1)).get_cost_estimate("gcp")


def test_a_provider_is_told_of_when_something_of_it_changed(history: list[Reading]) -> None:
    told = [(i, usage) for i, reading in enumerate(history) for usage in reading.cloud]

    assert [usage.provider for i, usage in told if i == 0] == ["aws", "on-premises"]
    last: dict[str, object] = {}
    for i, usage in told:
        assert not usage.says_the_same_as(last.get(usage.provider))  # type: ignore[arg-type]
        last[usage.provider] = usage
        assert usage.at_s == history[i].taken_at_s
        members = [e for e in history[i].entries if dict(e.labels)["provider"] == usage.provider]
        assert usage.workers == len(members)
        prices = sum((Decimal(dict(e.labels)["price_per_hour"]) for e in members), Decimal(0))
        assert usage.per_hour == (prices or None)


def test_every_worker_says_where_it_runs_and_what_it_has(history: list[Reading]) -> None:
    for entry in history[-1].entries:
        labels = dict(entry.labels)
        assert set(labels) == {"provider", "region", "zone", "instance_type", "spot", "price_per_hour", "currency"}
        assert labels["spot"] == ("yes" if entry.id.startswith("spot") else "no")
        assert entry.capacity.cpu_cores in (8, 16)
        assert entry.capacity.gpu_count == int(entry.id.startswith("gpu"))


# The source


def test_the_source_needs_no_arguments() -> None:
    module, _, name = SOURCES["simulated"].partition(":")
    source = getattr(import_module(module), name)()

    reading = source.read(time.time())

    assert source.name == "simulated"
    assert len(reading.entries) == 20
    assert source.policy().scale_up_threshold == 0.8


def test_tests_are_told_once_and_lie_on_workers_that_were_there(history: list[Reading]) -> None:
    seen: set[str] = set()
    ended = 0
    for reading in history:
        seen |= {entry.id for entry in reading.entries}
        for task in reading.tasks:
            ended += 1
            assert task.worker in seen
            assert BEGAN_S <= task.started_at_s <= task.ended_at_s <= reading.taken_at_s
    assert ended > 4000
    outcomes = Counter(task.outcome for reading in history for task in reading.tasks)
    assert outcomes["passed"] > 0.9 * ended
    assert set(outcomes) == {"passed", "failed", "error", "skipped", "crashed"}


def test_others_may_look_while_the_fleet_moves_on() -> None:
    clock = SimulatedClock(wall=BEGAN_S)
    fleet = SimulatedFleet(12, clock=clock)
    cloud = SimulatedCloud(fleet)
    wrong: list[BaseException] = []
    is_over = threading.Event()

    def look() -> None:
        try:
            while not is_over.is_set():
                cloud.get_cost_estimate("aws")
                fleet.tasks_since(0)
                assert fleet.manager.get_worker_statistics()["total_workers"] > 0
        except BaseException as error:  # noqa: BLE001  whatever it is, the test is to fail for it
            wrong.append(error)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    live(fleet, clock, 400)
    is_over.set()
    for looker in lookers:
        looker.join()

    assert wrong == []


def test_a_thousand_workers_take_a_fraction_of_a_second_for_each_second_of_theirs() -> None:
    moving = readings(workers=1000, seconds=31)
    next(moving)
    began_s = time.process_time()

    ticks = sum(1 for _ in moving)

    assert ticks == 30
    assert (time.process_time() - began_s) / ticks < 0.25

"""Workers and reservations of the manager: what is granted, where, for how long, and what the statistics say of it."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import drmviz
import dynamic_resource_manager
from drmviz.errors import (
    DRMVizError,
    DuplicateWorkerError,
    InvalidValueError,
    ManagerClosedError,
    UnknownReservationError,
    UnknownWorkerError,
)
from drmviz.manager import DynamicResourceManager
from drmviz.manager.amounts import Amounts
from drmviz.manager.ledger import REMEMBERED
from drmviz.manager.replay import ReservationStood, replay
from drmviz.model.decisions import FleetChange, ScalingPolicy
from drmviz.model.resources import WorkerCapacity
from drmviz.system import SimulatedClock, SystemClock

GIB = 2**30
WHOLE: dict[str, Any] = {"cpu": {"cores": 8}, "memory": {"total_mb": 16384}, "gpu": {"devices": 2, "memory_mb": 24576}}
NONSENSE = [
    math.nan,
    math.inf,
    -1,
    -0.5,
    True,
    "2",
    Decimal(2),
    [1],
    1e400,
    10**400,
    10**5000,
    np.float64("nan"),
    np.True_,
]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def manager(clock: SimulatedClock) -> DynamicResourceManager:
    return DynamicResourceManager(clock=clock)


def everything(manager: DynamicResourceManager) -> object:
    """Return all that can be asked of a manager, to tell whether a call changed something."""
    return manager.snapshot(), manager.decisions, manager.changes_since(0), manager.log()


def test_the_promised_names_are_this_manager_and_its_defaults_are_the_promised_ones() -> None:
    made = dynamic_resource_manager.DynamicResourceManager()

    assert drmviz.DynamicResourceManager is DynamicResourceManager is type(made)
    assert isinstance(made.clock, SystemClock)
    assert (made.target_utilization, made.scale_up_threshold, made.scale_down_threshold) == (0.7, 0.8, 0.3)
    assert (made.min_workers, made.max_workers, made.last_scaling_decision) == (1, None, None)
    assert made.policy == ScalingPolicy(
        target_utilization=0.7,
        scale_up_threshold=0.8,
        scale_down_threshold=0.3,
        evaluation_window_s=300,
        scale_up_cooldown_s=300,
        scale_down_cooldown_s=600,
        min_workers=1,
    )


def test_arguments_may_stand_in_their_order() -> None:
    made = DynamicResourceManager(0.5, 0.6, 0.2, 60, 30, 90, min_workers=2, max_workers=7)

    assert made.policy == ScalingPolicy(
        target_utilization=0.5,
        scale_up_threshold=0.6,
        scale_down_threshold=0.2,
        evaluation_window_s=60,
        scale_up_cooldown_s=30,
        scale_down_cooldown_s=90,
        min_workers=2,
        max_workers=7,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target_utilization": 0.3}, "scale_down_threshold = 0.3: must lie above 0 and below target_utilization"),
        ({"target_utilization": 0.8}, "scale_up_threshold = 0.8: must lie above target_utilization = 0.8"),
        ({"scale_down_threshold": 0}, "scale_down_threshold = 0: must lie above 0"),
        ({"scale_up_threshold": 1.01}, "scale_up_threshold = 1.01: must lie above .* and not above 1"),
        ({"scale_up_threshold": True}, "scale_up_threshold = True: must be a number"),
        ({"target_utilization": "0.7"}, "target_utilization = '0.7': must be a number"),
        ({"target_utilization": math.nan}, "target_utilization = nan: must be a number that is known"),
        ({"evaluation_window": 0}, "evaluation_window = 0: must be more than 0 seconds"),
        ({"scale_up_cooldown": -1}, "scale_up_cooldown = -1: must not be negative"),
        ({"scale_down_cooldown": math.inf}, "scale_down_cooldown = inf: is more than any machine has"),
        ({"min_workers": -1}, "min_workers = -1: must be a whole number, 0 or more"),
        ({"min_workers": 1.0}, "min_workers = 1.0: must be a whole number"),
        ({"min_workers": 2**63}, "min_workers = 9223372036854775808: must be a whole number"),
        ({"min_workers": 3, "max_workers": 2}, "max_workers = 2: must be at least 1 and at least min_workers = 3"),
        ({"min_workers": 0, "max_workers": 0}, "max_workers = 0: must be at least 1"),
        ({"stale_after_s": 0}, "stale_after_s = 0: must be more than 0 seconds"),
    ],
)
def test_a_manager_that_contradicts_itself_is_refused_and_the_argument_named(
    arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidValueError, match=said):
        DynamicResourceManager(**arguments)


@pytest.mark.parametrize(
    "stated",
    [
        WHOLE,
        {"resources": WHOLE},
        {"cpu_cores": 8, "memory_mb": 16384, "gpus": 2, "gpu_memory_mb": 24576},
        {"resources": {"cpu_cores": 8.0, "memory_mb": 16384.0, "gpus": 2.0, "gpu_memory_mb": Fraction(24576)}},
        {"cpu": {"cores": np.float32(8), "model": "x"}, "memory_mb": np.int64(16384), "gpu": WHOLE["gpu"], "zone": "b"},
        {**WHOLE, "gpu": {"devices": [{"name": "T4"}, {"name": "T4"}], "memory_mb": 24576, "available_memory_mb": 1}},
        WorkerCapacity(cpu_millicores=8000, memory_bytes=16 * GIB, gpu_count=2, gpu_memory_bytes=24 * GIB),
    ],
)
def test_every_way_to_state_a_capacity_means_the_same(manager: DynamicResourceManager, stated: Any) -> None:
    manager.register_worker("w1", stated)

    assert [worker.capacity for worker in manager.snapshot().workers] == [
        WorkerCapacity(cpu_millicores=8000, memory_bytes=16 * GIB, gpu_count=2, gpu_memory_bytes=24 * GIB)
    ]


@pytest.mark.parametrize("stated", [{}, {"cpu": None, "gpu": {}}, {"cpu_cores": None}, {"memory": {"total_mb": None}}])
def test_what_is_not_stated_is_not_known_and_never_granted(manager: DynamicResourceManager, stated: Any) -> None:
    manager.register_worker("w1", stated)

    assert manager.snapshot().workers[0].capacity == WorkerCapacity()
    assert manager.reserve_resources("t", {"cpu_cores": 0.001}) is None
    assert manager.get_worker_statistics()["workers"]["w1"]["resources"] == {
        "cpu": {"cores": None, "available_cores": None},
        "memory": {"total_mb": None, "available_mb": None},
        "gpu": {"devices": None, "available_devices": None, "memory_mb": None, "available_memory_mb": None},
    }


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (8, "resources = 8: must be a mapping such as"),
        ([("cpu", 8)], "must be a mapping such as"),
        ({"cpu": 8}, "cpu = 8: must be a mapping with cores, or None"),
        ({"cpu": {"core": 8}}, "must be a mapping with cores"),
        ({"gpu": {"memory": 8}}, "must be a mapping with devices and memory_mb"),
        ({"cores": 8}, "name nothing that is known: cpu, memory, gpu, cpu_cores"),
        ({"cpu": {"cores": 0}}, "cpu.cores = 0: must be positive"),
        ({"memory_mb": 0}, "memory_mb = 0: must be positive"),
        ({"cpu": {"cores": 8}, "cpu_cores": 8}, "state cpu_cores and cpu at once"),
        ({"gpus": 0.5}, "gpus = 0.5: must be a whole number"),
        ({"memory_mb": 2**50}, "memory_mb = 1125899906842624: is more than any machine has"),
        *(({"cpu_cores": nonsense}, "cpu_cores") for nonsense in NONSENSE),
        *(({"memory": {"total_mb": nonsense}}, "memory.total_mb") for nonsense in NONSENSE),
    ],
)
def test_a_capacity_that_makes_no_sense_is_refused_and_nothing_changed(
    manager: DynamicResourceManager, stated: Any, said: str
) -> None:
    manager.register_worker("old", {"cpu_cores": 4})
    before = everything(manager)

    with pytest.raises(InvalidValueError, match=said):
        manager.register_worker("new", stated)
    with pytest.raises(InvalidValueError, match=said):
        manager.update_worker_resources("old", stated)

    assert everything(manager) == before


@pytest.mark.parametrize("name", ["", 7, None, b"w", "x" * 65_537])
def test_a_name_must_be_text_of_a_bearable_length(manager: DynamicResourceManager, name: Any) -> None:
    with pytest.raises(InvalidValueError, match="worker_id"):
        manager.register_worker(name, WHOLE)
    with pytest.raises(InvalidValueError, match="task_id"):
        manager.reserve_resources(name, {"cpu_cores": 1})


def test_hostile_names_are_kept_whole_and_can_be_stored(manager: DynamicResourceManager) -> None:
    manager.register_worker("<img src=x>\ud800", WHOLE, labels={"zone\udc00": "</script>"})

    (worker,) = manager.snapshot().workers
    assert (worker.id, worker.labels) == ("<img src=x>\\ud800", (("zone\\udc00", "</script>"),))
    assert manager.get_worker_utilization("<img src=x>\ud800")["cpu"] is None


@pytest.mark.parametrize("labels", [{"zone": 1}, {1: "b"}, ["zone"], "zone", {"zone": None}])
def test_labels_are_text_on_both_sides(manager: DynamicResourceManager, labels: Any) -> None:
    with pytest.raises(InvalidValueError, match="labels"):
        manager.register_worker("w1", WHOLE, labels=labels)

    assert manager.snapshot().workers == ()


def test_what_the_caller_handed_in_is_copied(manager: DynamicResourceManager) -> None:
    resources: dict[str, Any] = {"cpu": {"cores": 8}}
    labels = {"zone": "b"}
    requirements = {"cpu_cores": 1}
    manager.register_worker("w1", resources, labels=labels)
    reservation_id = manager.reserve_resources("t", requirements)
    assert reservation_id is not None

    resources["cpu"]["cores"], labels["zone"], requirements["cpu_cores"] = 1, "a", 8
    manager.get_worker_statistics()["workers"]["w1"]["resources"]["cpu"]["cores"] = 99

    assert manager.get_worker_statistics()["workers"]["w1"]["resources"]["cpu"] == {"cores": 8, "available_cores": 7}
    assert manager.snapshot().workers[0].labels == (("zone", "b"),)
    assert manager.reservation(reservation_id).amounts == Amounts(cpu_millicores=1000)


def test_a_worker_that_is_there_cannot_come_again_and_one_that_is_not_cannot_go(
    manager: DynamicResourceManager,
) -> None:
    manager.register_worker("w1", WHOLE)
    before = everything(manager)

    with pytest.raises(DuplicateWorkerError, match="worker_id = 'w1': is registered already"):
        manager.register_worker("w1", {"cpu_cores": 1})
    for call in (
        lambda: manager.deregister_worker("w2"),
        lambda: manager.update_worker_resources("w2", WHOLE),
        lambda: manager.record_usage("w2", cpu_ratio=0.5),
        lambda: manager.get_worker_utilization("w2"),
        lambda: manager.reserve_resources("t", {"cpu_cores": 1, "worker_id": "w2"}),
        lambda: manager.reserve_many([("t", {"cpu_cores": 1}), ("u", {"cpu_cores": 1, "worker_id": "w2"})]),
    ):
        with pytest.raises(UnknownWorkerError, match="worker_id = 'w2': no such worker is registered"):
            call()

    assert everything(manager) == before


def test_an_update_changes_what_it_mentions_and_the_rest_stays(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", WHOLE, labels={"zone": "a"})

    manager.update_worker_resources("w1", {"cpu": {"cores": 4}, "gpu": None})
    after = manager.snapshot().workers[0]
    manager.update_worker_resources("w1", WorkerCapacity(cpu_millicores=1), labels={"zone": "b"})
    at_last = manager.snapshot().workers[0]

    assert after.capacity == WorkerCapacity(cpu_millicores=4000, memory_bytes=16 * GIB)
    assert after.labels == (("zone", "a"),)
    assert (at_last.capacity, at_last.labels) == (WorkerCapacity(cpu_millicores=1), (("zone", "b"),))


@pytest.mark.parametrize(
    ("smaller", "said"),
    [
        ({"cpu_cores": 2.5}, "cpu_cores = 2.5: worker 'w1' has 3 reserved; release some of it first"),
        ({"memory": {"total_mb": 1023}}, "memory_mb = 1023: worker 'w1' has 1024 reserved"),
        ({"gpu": None}, "gpus = 0: worker 'w1' has 1 reserved"),
    ],
)
def test_a_capacity_below_what_is_reserved_is_refused(manager: DynamicResourceManager, smaller: Any, said: str) -> None:
    manager.register_worker("w1", WHOLE)
    manager.reserve_resources("t", {"cpu_cores": 3, "memory_mb": 1024, "gpus": 1})
    before = everything(manager)

    with pytest.raises(InvalidValueError, match=said):
        manager.update_worker_resources("w1", smaller)

    assert everything(manager) == before
    manager.update_worker_resources("w1", {"cpu_cores": 3, "memory_mb": 1024, "gpus": 1})
    assert manager.reserve_resources("t", {"cpu_cores": 0.001}) is None


def test_a_reservation_takes_from_what_is_there_and_giving_it_back_restores_it(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", WHOLE)
    clock.advance(5)

    reservation_id = manager.reserve_resources("t", {"cpu_cores": 2.5, "memory_mb": 1024, "gpus": 1})
    assert reservation_id is not None
    held = manager.get_worker_statistics()
    granted = manager.reservation(reservation_id)
    clock.advance(3)
    released = manager.release_resources(reservation_id), manager.release_resources(reservation_id)
    free = manager.get_worker_statistics()

    assert held["workers"]["w1"]["resources"] == {
        "cpu": {"cores": 8, "available_cores": 5.5},
        "memory": {"total_mb": 16384, "available_mb": 15360},
        "gpu": {"devices": 2, "available_devices": 1, "memory_mb": 24576, "available_memory_mb": 24576},
    }
    assert held["workers"]["w1"]["allocation"] == {"cpu": 0.3125, "memory": 0.0625, "gpu": 0.5, "overall": 0.5}
    assert (held["active_tasks"], held["resource_reservations"], held["workers"]["w1"]["tasks"]) == (1, 1, 1)
    assert (granted.state, granted.task_id, granted.worker_id) == ("active", "t", "w1")
    assert granted.amounts == Amounts(cpu_millicores=2500, memory_bytes=GIB, gpu_count=1)
    assert released == (True, False)
    assert free["workers"]["w1"]["resources"]["cpu"] == {"cores": 8, "available_cores": 8}
    assert (free["active_tasks"], free["resource_reservations"]) == (0, 0)
    ended = manager.reservation(reservation_id)
    assert (ended.state, ended.reserved_at_s, ended.ended_at_s) == ("released", clock.wall - 3, clock.wall)


def test_a_task_may_hold_several_reservations_and_is_one_task(manager: DynamicResourceManager) -> None:
    manager.register_worker("a", {"cpu_cores": 2})
    manager.register_worker("b", {"cpu_cores": 2})

    ids = [manager.reserve_resources("t", {"cpu_cores": 1}) for _ in range(3)]
    manager.reserve_resources("u", {"cpu_cores": 1})
    held = manager.get_worker_statistics()

    assert len({*ids} - {None}) == 3
    assert (held["active_tasks"], held["resource_reservations"]) == (2, 4)
    assert {name: (stated["tasks"], stated["reservations"]) for name, stated in held["workers"].items()} == {
        "a": (1, 2),
        "b": (2, 2),
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "requirements = {}: ask for nothing"),
        ({"cpu_cores": 0, "memory_mb": 0.0, "gpus": None}, "ask for nothing"),
        ({"worker_id": "w1"}, "ask for nothing"),
        ({"cpu": 1}, "requirements = 'cpu': is not one of cpu_cores, gpu_memory_mb, gpus, memory_mb, ttl_s, worker_id"),
        ("cpu_cores", "must be a mapping"),
        ({"cpu_cores": 1, "ttl_s": 0}, "ttl_s = 0: must be more than 0 seconds"),
        ({"cpu_cores": 1, "worker_id": 7}, "worker_id = 7: must be text"),
        ({"gpus": 1.5}, "gpus = 1.5: must be a whole number"),
        *(({"cpu_cores": 1, "memory_mb": nonsense}, "memory_mb") for nonsense in NONSENSE),
        *(({"cpu_cores": nonsense}, "cpu_cores") for nonsense in NONSENSE),
        *(({"gpus": nonsense}, "gpus") for nonsense in NONSENSE),
        *(({"cpu_cores": 1, "ttl_s": nonsense}, "ttl_s") for nonsense in NONSENSE),
    ],
)
def test_a_requirement_that_makes_no_sense_is_refused_and_nothing_changed(asked: Any, said: str) -> None:
    manager = DynamicResourceManager(clock=SimulatedClock(), keep_log=True)
    manager.register_worker("w1", WHOLE)
    before = everything(manager)

    with pytest.raises(InvalidValueError, match=said):
        manager.reserve_resources("t", asked)
    with pytest.raises(InvalidValueError, match=said):
        manager.reserve_many([("t", {"cpu_cores": 1}), ("u", asked)])

    assert everything(manager) == before


def test_it_goes_where_least_is_left_and_of_equals_to_the_first_by_id(manager: DynamicResourceManager) -> None:
    manager.register_worker("large", {"cpu_cores": 16, "memory_mb": 4096})
    manager.register_worker("small", {"cpu_cores": 4, "memory_mb": 8192})
    manager.register_worker("b", {"cpu_cores": 1})
    manager.register_worker("a", {"cpu_cores": 1})

    def placed(asked: dict[str, Any]) -> str | None:
        reservation_id = manager.reserve_resources("t", asked)
        return None if reservation_id is None else manager.reservation(reservation_id).worker_id

    assert placed({"cpu_cores": 1}) == "a"
    assert placed({"cpu_cores": 1}) == "b"
    assert placed({"cpu_cores": 2}) == "small"
    assert placed({"memory_mb": 2048}) == "large"  # half of it is left there, three quarters of the other
    assert (
        placed({"cpu_cores": 1, "memory_mb": 1024}) == "large"
    )  # a quarter is left: of its memory, of the other's cores
    assert placed({"cpu_cores": 1, "worker_id": "large"}) == "large"
    assert placed({"cpu_cores": 1, "worker_id": "a"}) is None
    assert placed({"cpu_cores": 16}) is None


def test_the_last_millicore_and_the_last_byte_can_be_had_and_no_more(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", {"cpu_cores": 0.3, "memory_mb": 1})

    held = [manager.reserve_resources("t", {"cpu_cores": 0.1}) for _ in range(3)]
    more = manager.reserve_resources("t", {"cpu_cores": 1e-9})
    whole = manager.reserve_resources("t", {"memory_mb": 1})
    byte = manager.reserve_resources("t", {"memory_mb": 2**-20})

    assert None not in held
    assert (more, byte) == (None, None)
    assert whole is not None


def test_a_gang_gets_all_or_nothing(manager: DynamicResourceManager) -> None:
    manager.register_worker("a", {"cpu_cores": 3})
    manager.register_worker("b", {"cpu_cores": 3})
    before = manager.snapshot()

    refused = manager.reserve_many([(f"t{i}", {"cpu_cores": 2}) for i in range(3)])
    after = manager.snapshot()
    granted = manager.reserve_many(
        [("t0", {"cpu_cores": 1}), ("t1", {"cpu_cores": 2, "ttl_s": 5}), ("t2", {"cpu_cores": 3, "worker_id": "a"})]
    )

    assert (refused, after) == (None, before)
    assert granted == ("reservation-1", "reservation-2", "reservation-3")
    assert [manager.reservation(each).worker_id for each in granted] == ["b", "b", "a"]
    assert [manager.reservation(each).ttl_s for each in granted] == [None, 5, None]


@pytest.mark.parametrize("requests", [[], ["t"], [("t",)], [{"cpu_cores": 1}]])
def test_a_gang_is_pairs_of_tasks_and_requirements(manager: DynamicResourceManager, requests: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"requests = .*: must be"):
        manager.reserve_many(requests)


def test_a_reservation_expires_at_its_moment_however_late_somebody_looks(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 1})
    reservation_id = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10})
    assert reservation_id is not None
    ends_at_s = clock.wall + 10

    clock.advance(9.999)
    just_before = manager.reservation(reservation_id).state
    clock.advance(90.001)
    expired = manager.reservation(reservation_id)

    assert just_before == "active"
    assert (expired.state, expired.why) == ("expired", "its 10 s were over")
    assert expired.ended_at_s == pytest.approx(ends_at_s, abs=1e-6)
    assert manager.release_resources(reservation_id) is False
    assert manager.renew_reservation(reservation_id, 10) is False
    assert manager.reserve_resources("t", {"cpu_cores": 1}) is not None


def test_the_moment_of_expiry_belongs_to_the_next_one(manager: DynamicResourceManager, clock: SimulatedClock) -> None:
    manager.register_worker("w1", {"cpu_cores": 1})
    first = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10})
    assert first is not None

    clock.advance(10)

    assert manager.renew_reservation(first, 10) is False
    assert manager.reserve_resources("u", {"cpu_cores": 1}) is not None
    assert manager.reservation(first).state == "expired"


def test_a_renewed_reservation_counts_from_its_renewal_and_a_wall_clock_that_jumps_counts_for_nothing(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 2})
    clock.jump(500)
    renewed = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10})
    kept = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10})
    assert renewed is not None
    assert kept is not None

    clock.advance(6)
    clock.jump(-3600)
    assert manager.renew_reservation(renewed, 10) is True
    assert manager.renew_reservation(kept, None) is True
    clock.advance(9)
    clock.jump(86_400)
    before = manager.reservation(renewed).state
    clock.advance(1)

    assert before == "active"
    assert manager.reservation(renewed).state == "expired"
    assert manager.reservation(kept).state == "active"


def test_the_log_tells_every_change_and_replaying_it_rebuilds_what_is(clock: SimulatedClock) -> None:
    manager = DynamicResourceManager(clock=clock, keep_log=True)
    manager.register_worker("w1", {"cpu_cores": 2}, labels={"zone": "a"})
    manager.register_worker("w2", {"cpu_cores": 2})
    renewed, released, expired, lost = (
        str(manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10, "worker_id": name}))
        for name in ("w1", "w2", "w1", "w2")
    )
    manager.update_worker_resources("w1", {"cpu_cores": 4})
    manager.release_resources(released)
    manager.renew_reservation(renewed, 60)
    manager.deregister_worker("w2", why="lost")
    clock.advance(10)

    events = manager.log()
    state = replay(events)

    assert state.workers == {"w1": (WorkerCapacity(cpu_millicores=4000), (("zone", "a"),))}
    assert state.active == {renewed: manager.reservation(renewed)}
    assert state.reserved("w1") == Amounts(cpu_millicores=1000)
    ends = [event.reservation for event in events if isinstance(event, ReservationStood) and event.reservation.why]
    assert [(each.id, each.state) for each in ends] == [(lost, "lost"), (expired, "expired")]
    assert DynamicResourceManager().log() == ()


def test_ticking_twice_at_one_moment_changes_nothing_more(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 1})
    manager.record_usage("w1", cpu_ratio=0.5)
    manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 10})
    clock.advance(200)

    manager.tick()
    once = everything(manager)
    manager.tick()

    assert everything(manager) == once
    assert manager.snapshot().active_reservations == 0


def test_what_a_worker_held_is_lost_with_it_and_does_not_come_back_with_its_id(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 2})
    manager.register_worker("w2", {"cpu_cores": 2})
    gone = manager.reserve_resources("t", {"cpu_cores": 1, "worker_id": "w1", "ttl_s": 60})
    kept = manager.reserve_resources("t", {"cpu_cores": 1, "worker_id": "w2"})
    assert gone is not None
    assert kept is not None

    lost = manager.deregister_worker("w1", why="crashed")
    manager.register_worker("w1", {"cpu_cores": 2})
    clock.advance(61)

    assert [(each.id, each.state, each.why) for each in lost] == [(gone, "lost", "its worker left: crashed")]
    assert manager.reservation(gone) == lost[0]
    assert manager.release_resources(gone) is False
    assert manager.reservation(kept).state == "active"
    assert [worker.reserved for worker in manager.snapshot().workers] == [Amounts(cpu_millicores=1000), Amounts()]


def test_who_joined_and_left_is_told_once_with_the_reason(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", WHOLE, why="asked for")
    first, number = manager.changes_since(0)
    clock.advance(5)
    manager.deregister_worker("w1")
    manager.register_worker("w2", WHOLE)
    rest, at_last = manager.changes_since(number)

    assert first == (FleetChange(at_s=clock.wall - 5, worker="w1", change="joined", why="asked for"),)
    assert rest == (
        FleetChange(at_s=clock.wall, worker="w1", change="left"),
        FleetChange(at_s=clock.wall, worker="w2", change="joined"),
    )
    assert manager.changes_since(at_last) == ((), 3)
    for nonsense in (-1, True, "0", None):
        with pytest.raises(InvalidValueError, match="number"):
            manager.changes_since(nonsense)  # type: ignore[arg-type]


def test_only_the_last_of_a_log_are_kept_and_their_numbers_stay(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", WHOLE)
    for _ in range(10_005):
        manager.evaluate_scaling()

    kept, number = manager.decisions_since(3)

    assert (len(kept), number, len(manager.decisions)) == (10_000, 10_005, 10_000)
    assert manager.decisions_since(10_004) == ((manager.last_scaling_decision,), 10_005)
    assert manager.decisions_since(99_999) == ((), 10_005)


def test_reservations_that_ended_long_ago_are_forgotten_and_never_granted_ones_not_known(
    manager: DynamicResourceManager,
) -> None:
    manager.register_worker("w1", {"cpu_cores": 1})
    for _ in range(REMEMBERED + 1):
        manager.release_resources(str(manager.reserve_resources("t", {"cpu_cores": 1})))

    assert manager.reservation("reservation-2").state == "released"
    for unknown in ("reservation-1", "nonsense"):
        with pytest.raises(UnknownReservationError, match="was never granted, or ended before the last 10,000"):
            manager.reservation(unknown)
        assert manager.release_resources(unknown) is False
        assert manager.renew_reservation(unknown, 5) is False
    with pytest.raises(InvalidValueError, match="reservation_id = None: must be text"):
        manager.release_resources(None)  # type: ignore[arg-type]


def test_renewing_and_releasing_for_ever_leaves_nothing_behind(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", {"cpu_cores": 2})
    kept = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 1e9})
    assert kept is not None

    for i in range(2_000):
        manager.renew_reservation(kept, 1e9 + i)
        manager.release_resources(str(manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 1e9})))

    assert len(manager._fleet.ledger._deadlines) < 200
    assert manager.reservation(kept).ttl_s == 1e9 + 1_999


@pytest.mark.parametrize(
    "pairs", [pytest.param(100_000, id="fast"), pytest.param(1_000_000, id="long", marks=pytest.mark.long)]
)
def test_any_number_of_pairs_ends_exactly_where_it_began(pairs: int, manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", {"cpu_cores": 0.3, "memory_mb": 0.7})
    before = manager.snapshot()
    for _ in range(pairs):
        manager.release_resources(manager.reserve_resources("t", {"cpu_cores": 0.1, "memory_mb": 0.1}) or "none")

    assert manager.snapshot() == before
    assert manager.reserve_resources("t", {"cpu_cores": 0.3, "memory_mb": 0.7}) is not None


def test_use_is_what_was_measured_and_reserving_does_not_change_it(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", WHOLE)
    manager.reserve_resources("t", {"cpu_cores": 8})
    nothing = manager.get_worker_utilization("w1")

    manager.record_usage("w1", cpu_ratio=0.25, memory_bytes=4 * GIB, gpu_ratio=1.25)

    assert nothing == {"cpu": None, "memory": None, "gpu": None, "overall": None}
    assert manager.get_worker_utilization("w1") == {"cpu": 0.25, "memory": 0.25, "gpu": 1.25, "overall": 1.25}
    assert manager.get_worker_statistics()["workers"]["w1"]["allocation"]["cpu"] == 1.0


def test_the_fleets_numbers_go_by_capacity_and_leave_out_who_has_or_knows_none(
    manager: DynamicResourceManager,
) -> None:
    manager.register_worker("large", {"cpu_cores": 12, "memory_mb": 1024, "gpus": 1})
    manager.register_worker("small", {"cpu_cores": 4, "memory_mb": 3072, "gpus": 0})
    manager.register_worker("unmeasured", {"cpu_cores": 100, "memory_mb": 1024, "gpus": 7})
    manager.register_worker("unknown", {})
    manager.record_usage("large", cpu_ratio=0.5, memory_bytes=2**30, gpu_ratio=0.75)
    manager.record_usage("small", cpu_ratio=1.0, memory_bytes=0, gpu_ratio=0.0)
    manager.record_usage("unknown", cpu_ratio=0.9, memory_bytes=2**30, gpu_ratio=0.1)

    fleet = manager.get_worker_utilization()

    assert fleet["overall"] == {"cpu": 0.625, "memory": 0.25, "gpu": 0.75, "overall": 0.75}
    assert fleet["workers"]["small"] == {"cpu": 1.0, "memory": 0.0, "gpu": None, "overall": 1.0}
    assert fleet["workers"]["unknown"] == {"cpu": 0.9, "memory": None, "gpu": 0.1, "overall": 0.9}
    assert manager.get_worker_statistics()["overall_utilization"] == fleet["overall"]
    assert DynamicResourceManager().get_worker_utilization() == {
        "workers": {},
        "overall": {"cpu": None, "memory": None, "gpu": None, "overall": None},
    }


def test_a_measurement_replaces_the_one_before_and_goes_stale(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", WHOLE)
    manager.record_usage("w1", cpu_ratio=0.5, memory_bytes=GIB)
    manager.record_usage("w1", cpu_ratio=0.25)
    replaced = manager.get_worker_utilization("w1")
    clock.advance(149.9)
    clock.jump(1e6)
    fresh = manager.get_worker_utilization("w1")["cpu"]
    clock.advance(0.1)
    stale = manager.get_worker_utilization("w1")["cpu"]

    assert replaced == {"cpu": 0.25, "memory": None, "gpu": None, "overall": 0.25}
    assert (fresh, stale) == (0.25, None)


@pytest.mark.parametrize("name", ["cpu_ratio", "memory_bytes", "gpu_ratio", "gpu_memory_bytes"])
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: type(value).__name__)
def test_a_measurement_that_makes_no_sense_is_refused_and_the_last_one_stays(
    manager: DynamicResourceManager, name: str, value: Any
) -> None:
    manager.register_worker("w1", WHOLE)
    manager.record_usage("w1", cpu_ratio=0.5)
    before = everything(manager)

    with pytest.raises(InvalidValueError, match=f"{name} = "):
        manager.record_usage("w1", **{name: value})

    assert everything(manager) == before


def test_a_worker_that_came_back_is_not_measured_yet(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", WHOLE)
    manager.record_usage("w1", cpu_ratio=0.5)

    manager.deregister_worker("w1")
    manager.register_worker("w1", WHOLE)

    assert manager.get_worker_utilization("w1")["overall"] is None


def test_the_statistics_have_the_promised_shape_and_are_a_copy_each_time(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 2, "memory_mb": 0.5}, labels={"zone": "b", "provider": "aws"})

    stated = manager.get_worker_statistics()

    assert stated == {
        "total_workers": 1,
        "active_tasks": 0,
        "resource_reservations": 0,
        "overall_utilization": {"cpu": None, "memory": None, "gpu": None, "overall": None},
        "overall_allocation": {"cpu": 0.0, "memory": 0.0, "gpu": None, "overall": 0.0},
        "workers": {
            "w1": {
                "utilization": {"cpu": None, "memory": None, "gpu": None, "overall": None},
                "allocation": {"cpu": 0.0, "memory": 0.0, "gpu": None, "overall": 0.0},
                "tasks": 0,
                "reservations": 0,
                "labels": {"provider": "aws", "zone": "b"},
                "joined_at_s": clock.wall,
                "resources": {
                    "cpu": {"cores": 2, "available_cores": 2},
                    "memory": {"total_mb": 0.5, "available_mb": 0.5},
                    "gpu": {"devices": None, "available_devices": None, "memory_mb": None, "available_memory_mb": None},
                },
            }
        },
    }
    assert manager.get_worker_statistics() is not stated
    assert manager.get_worker_statistics()["workers"]["w1"] is not stated["workers"]["w1"]


def test_reserved_gpus_count_by_number_or_by_memory_whichever_is_scarcer(manager: DynamicResourceManager) -> None:
    manager.register_worker("w1", {"gpus": 4, "gpu_memory_mb": 1024})
    manager.reserve_resources("t", {"gpus": 1})
    by_number = manager.get_worker_statistics()["overall_allocation"]["gpu"]
    manager.reserve_resources("t", {"gpu_memory_mb": 768})

    assert by_number == 0.25
    assert manager.get_worker_statistics()["overall_allocation"]["gpu"] == 0.75


def test_after_cleanup_it_can_be_asked_and_changed_no_more(clock: SimulatedClock) -> None:
    with DynamicResourceManager(clock=clock) as manager:
        manager.register_worker("w1", {"cpu_cores": 1})
        reservation_id = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 5})
        decision = manager.evaluate_scaling()
    manager.cleanup()
    assert reservation_id is not None

    for change in (
        lambda: manager.register_worker("w2", {"cpu_cores": 1}),
        lambda: manager.update_worker_resources("w1", {"cpu_cores": 2}),
        lambda: manager.deregister_worker("w1"),
        lambda: manager.reserve_resources("t", {"cpu_cores": 1}),
        lambda: manager.reserve_many([("t", {"cpu_cores": 1})]),
        lambda: manager.renew_reservation(reservation_id, 5),
        lambda: manager.release_resources(reservation_id),
        lambda: manager.record_usage("w1", cpu_ratio=0.5),
        lambda: manager.record_task_execution("t", {}),
        lambda: manager.evaluate_scaling(),
        lambda: manager.cancel_scaling(decision, why="late"),
    ):
        with pytest.raises(ManagerClosedError, match=r"\(\) after cleanup\(\): this manager is closed. Make a new"):
            change()

    assert manager.get_worker_statistics()["resource_reservations"] == 1
    assert manager.decisions == (decision,)
    clock.advance(5)
    assert manager.reservation(reservation_id).state == "expired"


def test_every_error_is_one_of_ours_and_of_the_kind_that_people_expect() -> None:
    assert issubclass(UnknownWorkerError, InvalidValueError)
    assert issubclass(DuplicateWorkerError, ValueError)
    assert issubclass(ManagerClosedError, DRMVizError)

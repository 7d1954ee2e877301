"""Statistics of any manager: what they state is copied, what makes no sense costs only itself."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from drmviz.errors import SourceUnavailableError
from drmviz.manager.foreign_decisions import DecisionWatch
from drmviz.manager.statistics import StatisticsReader
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.samples import Reading

NOW_S = 1_790_000_000.0


def worker(
    *,
    cpu: Any = 0.5,
    memory: Any = 0.25,
    gpu: Any = None,
    cores: Any = 8,
    cores_left: Any = 2,
    total_mb: Any = 16384,
    mb_left: Any = 4096,
    gpu_part: Any = None,
    tasks: Any = 3,
    **more: Any,
) -> dict[str, Any]:
    """Return a worker that uses half of its CPU and reserved three quarters of everything."""
    return {
        "utilization": {"cpu": cpu, "memory": memory, "gpu": gpu, "overall": 0.4},
        "tasks": tasks,
        "resources": {
            "cpu": {"cores": cores, "available_cores": cores_left},
            "memory": {"total_mb": total_mb, "available_mb": mb_left},
            "gpu": gpu_part if gpu_part is not None else {"devices": 0, "memory_mb": 0, "available_memory_mb": 0},
        },
        **more,
    }


def read(**workers: Any) -> Reading:
    return StatisticsReader().read({"workers": workers}, taken_at_s=NOW_S)


def of(reading: Reading, metric: str) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 6) for value in reading[metric]]


def test_measured_use_reservations_tasks_and_capacity_are_told_apart() -> None:
    reading = read(w1=worker(), w2=worker(cpu=0.0, memory=None, cores_left=8, mb_left=16384, tasks=0))

    assert of(reading, "cpu_ratio") == [0.5, 0.0]
    assert of(reading, "memory_ratio") == [0.25, None]
    assert of(reading, "cpu_reserved_ratio") == [0.75, 0.0]
    assert of(reading, "memory_reserved_ratio") == [0.75, 0.0]
    assert of(reading, "tasks_running") == [3.0, 0.0]
    capacity = reading.entries[0].capacity
    assert (capacity.cpu_millicores, capacity.memory_bytes, capacity.gpu_count) == (8000, 16 * 2**30, 0)
    assert reading.rejected == []


def test_capacities_one_level_deeper_are_found() -> None:
    deeper = worker()
    deeper["resources"] = {"registration_time": 1.0, "resources": deeper["resources"], "utilization": {"cpu": 9.0}}

    reading = read(w1=deeper)

    assert reading.entries[0].capacity.cpu_millicores == 8000
    assert of(reading, "cpu_reserved_ratio") == [0.75]
    assert of(reading, "cpu_ratio") == [0.5]


def test_what_a_manager_changes_afterwards_changes_nothing_that_was_read() -> None:
    live = {"w1": worker()}
    reader = StatisticsReader()
    first = reader.read({"workers": live}, taken_at_s=NOW_S)

    live["w1"]["resources"]["cpu"]["available_cores"] = 8
    live["w1"]["utilization"]["cpu"] = 0.9
    live["w2"] = worker()
    second = reader.read({"workers": live}, taken_at_s=NOW_S + 1)

    assert (of(first, "cpu_ratio"), of(first, "cpu_reserved_ratio")) == ([0.5], [0.75])
    assert (of(second, "cpu_ratio"), of(second, "cpu_reserved_ratio")) == ([0.9, 0.5], [0.0, 0.75])


def test_the_reserved_share_of_a_gpu_is_by_devices_where_they_are_known_else_by_memory() -> None:
    by_devices = {"devices": 4, "available_devices": 1, "memory_mb": 4000, "available_memory_mb": 3000}
    by_memory = {"devices": ["a", "b"], "memory_mb": 4000, "available_memory_mb": 3000}

    reading = read(w1=worker(gpu=0.5, gpu_part=by_devices), w2=worker(gpu=0.0, gpu_part=by_memory))

    assert of(reading, "gpu_reserved_ratio") == [0.75, 0.25]
    assert of(reading, "gpu_ratio") == [0.5, 0.0]
    assert [entry.capacity.gpu_count for entry in reading.entries] == [4, 2]
    assert reading.entries[0].capacity.gpu_memory_bytes == 4000 * 2**20


@pytest.mark.parametrize("without", [{"devices": 0}, {"devices": []}, {"memory_mb": 0}, {}, None])
def test_a_worker_without_a_gpu_has_no_gpu_use_whatever_zero_is_stated(without: Any) -> None:
    stated = worker(gpu=0.0)
    stated["resources"]["gpu"] = without

    reading = read(w1=stated)

    assert of(reading, "gpu_ratio") == [None]
    assert of(reading, "gpu_reserved_ratio") == [None]


def test_a_gpu_use_above_zero_is_a_fact_even_where_nobody_stated_the_device() -> None:
    reading = read(w1={"utilization": {"gpu": 0.5}})

    assert of(reading, "gpu_ratio") == [0.5]


def test_what_is_granted_goes_before_what_is_left() -> None:
    reading = read(w1=worker(allocation={"cpu": 0.1, "memory": None, "gpu": None}))

    assert of(reading, "cpu_reserved_ratio") == [0.1]
    assert of(reading, "memory_reserved_ratio") == [0.75]


@pytest.mark.parametrize(
    "nonsense",
    [
        "0.5",
        True,
        -0.1,
        math.inf,
        -math.inf,
        10**400,
        pytest.param(10**5000, id="5,000 digits"),
        [0.5],
        {"percent": 50},
    ],
)
def test_a_number_that_makes_no_sense_is_unknown_and_counted_and_costs_nothing_else(nonsense: Any) -> None:
    reading = read(w1=worker(cpu=nonsense), w2=worker())

    assert of(reading, "cpu_ratio") == [None, 0.5]
    assert of(reading, "memory_ratio") == [0.25, 0.25]
    assert reading.rejected == ["1 value of utilization.cpu made no sense"]


@pytest.mark.parametrize("half", [Decimal("0.5"), Fraction(1, 2), np.float16(0.5), np.float64(0.5)])
def test_any_real_number_is_a_number(half: Any) -> None:
    reading = read(w1=worker(cpu=half))

    assert of(reading, "cpu_ratio") == [0.5]
    assert reading.rejected == []


def test_utilization_in_percent_is_kept_and_told() -> None:
    reading = read(w1=worker(cpu=85.0), w2=worker(cpu=2.0))

    assert of(reading, "cpu_ratio") == [85.0, 2.0]
    assert reading.rejected == [
        "utilization.cpu of 85 is read as 8,500 %: shares from 0 to 1 are expected, not percent"
    ]


def test_a_manager_that_measures_more_cores_than_a_worker_has_is_not_told_of_percent() -> None:
    reading = read(w1=worker(cpu=64.0, allocation={"cpu": 0.5}))

    assert of(reading, "cpu_ratio") == [64.0]
    assert reading.rejected == []


def test_none_and_nan_are_not_known_and_no_fault() -> None:
    reading = read(
        w1=worker(cpu=None), w2=worker(cpu=math.nan), w3=worker(cpu=np.float32(0.5)), w4=worker(cpu=Decimal("-sNaN"))
    )

    assert of(reading, "cpu_ratio") == [None, None, 0.5, None]
    assert reading.rejected == []


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"cores": 0}, "1 value of cpu.cores made no sense"),
        ({"cores": "eight"}, "1 value of cpu.cores made no sense"),
        ({"cores_left": 9}, "1 value of cpu.available_cores made no sense"),
        ({"mb_left": -1}, "1 value of memory.available_mb made no sense"),
        ({"tasks": "many"}, "1 value of tasks made no sense"),
    ],
)
def test_capacities_that_make_no_sense_are_named(stated: dict[str, Any], said: str) -> None:
    assert read(w1=worker(**stated), w2=worker()).rejected == [said]


@pytest.mark.parametrize("half", [{}, {"utilization": None}, {"resources": {}}, {"resources": {"cpu": None}}, None, 7])
def test_half_a_worker_is_a_worker_of_which_less_is_known(half: Any) -> None:
    reading = read(w1=half, w2=worker())

    assert [entry.id for entry in reading.entries] == ["w1", "w2"]
    assert of(reading, "cpu_ratio") == [None, 0.5]
    assert of(reading, "cpu_reserved_ratio") == [None, 0.75]
    assert bool(reading.rejected) == (half is None or half == 7)


def test_a_capacity_that_is_left_out_once_is_still_the_one_that_was() -> None:
    reader = StatisticsReader()
    first = reader.read({"workers": {"w1": worker()}}, taken_at_s=NOW_S)

    second = reader.read({"workers": {"w1": {"utilization": {"cpu": 0.25}}}}, taken_at_s=NOW_S + 1)
    third = reader.read({"workers": {"w1": worker(cores=16, cores_left=16)}}, taken_at_s=NOW_S + 2)

    assert second.entries == first.entries
    assert third.entries[0].capacity.cpu_millicores == 16_000


def test_the_entry_of_a_worker_that_stays_as_it_is_is_made_once() -> None:
    reader = StatisticsReader()
    first, second = (reader.read({"workers": {"w1": worker()}}, taken_at_s=NOW_S + i) for i in range(2))

    assert second.entries[0] is first.entries[0]


@pytest.mark.parametrize("statistics", [None, [], {}, {"workers": None}, {"workers": ["w1"]}, 5])
def test_statistics_without_workers_are_an_answer_of_nobody(statistics: Any) -> None:
    with pytest.raises(SourceUnavailableError, match="no mapping of workers"):
        StatisticsReader().read(statistics, taken_at_s=NOW_S)


def test_statistics_that_nobody_waited_for_are_an_error_and_no_warning() -> None:
    async def statistics() -> dict[str, Any]:
        return {"workers": {}}

    with pytest.raises(SourceUnavailableError, match="is async"):
        StatisticsReader().read(statistics(), taken_at_s=NOW_S)


def test_no_workers_is_an_answer() -> None:
    reading = StatisticsReader().read({"workers": {}}, taken_at_s=NOW_S)

    assert reading.entries == ()


def test_ids_that_are_no_text_or_no_unicode_become_text_and_two_of_one_are_told() -> None:
    reading = StatisticsReader().read(
        {"workers": {7: worker(), "7": worker(cpu=0.9), "\ud800": worker(), "": worker()}}, taken_at_s=NOW_S
    )

    assert [entry.id for entry in reading.entries] == ["7", "\\ud800"]
    assert of(reading, "cpu_ratio") == [0.5, 0.5]
    assert len(reading.rejected) == 2


def test_where_a_worker_runs_comes_from_its_manager_and_from_its_provider() -> None:
    reader = StatisticsReader(labels_of=lambda _: {"region": "eu-1", "provider": "aws"})

    reading = reader.read(
        {"workers": {"w1": worker(labels={"region": "eu-2", "team": 7}), "w2": worker()}}, taken_at_s=1.0
    )

    assert reading.entries[0].labels == (("provider", "aws"), ("region", "eu-2"), ("team", "7"))
    assert reading.entries[1].labels == (("provider", "aws"), ("region", "eu-1"))


def reserved_only(cpu_left: float, **more: Any) -> dict[str, Any]:
    return worker(cpu=1 - cpu_left / 8, cores_left=cpu_left, memory=0.75, **more)


def test_utilization_that_is_only_what_is_reserved_is_not_taken_for_use() -> None:
    reader = StatisticsReader()

    readings = [reader.read({"workers": {"w1": reserved_only(left)}}, taken_at_s=NOW_S + left) for left in (8, 5, 0.5)]

    assert [of(reading, "cpu_ratio") for reading in readings] == [[None], [None], [None]]
    assert [of(reading, "memory_ratio") for reading in readings] == [[None], [None], [None]]
    assert [of(reading, "cpu_reserved_ratio") for reading in readings] == [[0.0], [0.375], [0.9375]]
    assert reader.states_reservations_only


def test_one_utilization_that_differs_proves_them_all_measured_from_then_on() -> None:
    reader = StatisticsReader()
    only, measured, again = (
        {"workers": {"w1": reserved_only(4), "w2": reserved_only(left, gpu=None) | extra}}
        for left, extra in ((2, {}), (2, {"utilization": {"cpu": 0.31, "memory": 0.75}}), (2, {}))
    )

    readings = [reader.read(statistics, taken_at_s=NOW_S) for statistics in (only, measured, again)]

    assert [of(reading, "cpu_ratio") for reading in readings] == [[None, None], [0.5, 0.31], [0.5, 0.75]]
    assert not reader.states_reservations_only


@pytest.mark.parametrize(("stated", "is_same"), [(0.67, True), (0.6667, True), (0.66, False), (0.6664, False)])
def test_a_rounded_share_is_still_the_same_share(stated: float, is_same: bool) -> None:
    reader = StatisticsReader()

    reading = reader.read({"workers": {"w1": worker(cpu=stated, cores=3, cores_left=1, memory=0.75)}}, taken_at_s=NOW_S)

    assert reader.states_reservations_only is is_same
    assert of(reading, "cpu_ratio") == ([None] if is_same else [stated])


def test_a_manager_that_states_what_is_granted_needs_no_judging() -> None:
    reader = StatisticsReader()

    reading = reader.read(
        {"workers": {"w1": worker(cpu=0.75, memory=0.75, allocation={"cpu": 0.75})}}, taken_at_s=NOW_S
    )

    assert of(reading, "cpu_ratio") == [0.75]
    assert not reader.states_reservations_only


def test_where_nothing_can_be_compared_use_counts() -> None:
    reading = read(w1={"utilization": {"cpu": 0.5}, "tasks": 1})

    assert of(reading, "cpu_ratio") == [0.5]


anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=3),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
parts = some.sampled_from(["cpu", "memory", "gpu", "utilization", "resources", "allocation", "tasks", "labels"])
keys = some.sampled_from(
    ["cores", "available_cores", "total_mb", "available_mb", "devices", "memory_mb", "available_memory_mb", "resources"]
)
shapes = some.dictionaries(
    parts, some.dictionaries(parts | keys, anything | some.dictionaries(keys, anything)) | anything
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.dictionaries(some.text(max_size=3) | some.integers(), shapes | anything, max_size=4))
def test_whatever_a_manager_states_is_read_and_every_number_kept_makes_sense(workers: dict[Any, Any]) -> None:
    reading = StatisticsReader().read({"workers": workers}, taken_at_s=NOW_S)

    assert reading.values.shape == (len(METRICS), len(reading.entries))
    known = reading.values[np.isfinite(reading.values)]
    assert (known >= 0).all()
    assert not np.isinf(reading.values).any()


def watched(*shown: Any) -> tuple[list[ScalingDecision], list[str]]:
    """Return what a watch takes for new when these are shown one second after the other, and what it refused."""
    watch, rejected = DecisionWatch(), list[str]()
    new = [watch.new_one(one, read_at_s=NOW_S + i, rejected=rejected) for i, one in enumerate(shown)]
    return [decision for decision in new if decision is not None], rejected


FULL = {
    "action": "scale_up",
    "reason": "CPU at 91 %",
    "count": 2,
    "worker_ids": ["w7", "w8"],
    "utilization": 0.91,
    "timestamp": NOW_S - 5,
    "metric": "cpu_ratio",
    "value": 0.91,
    "threshold": 0.8,
    "window_s": 300,
    "cooldown_remaining_s": 0,
    "worker_type": "cpu",
}
READ_FULL = ScalingDecision(
    action="scale_up",
    decided_at_s=NOW_S - 5,
    count=2,
    reason="CPU at 91 %",
    metric="cpu_ratio",
    value=0.91,
    threshold=0.8,
    window_s=300.0,
    cooldown_remaining_s=0.0,
    worker_ids=("w7", "w8"),
    worker_type="cpu",
    utilization=0.91,
)


@pytest.mark.parametrize("shown", [FULL, SimpleNamespace(**FULL), READ_FULL])
def test_a_decision_is_read_from_a_mapping_an_object_or_one_of_ours(shown: Any) -> None:
    assert watched(shown) == ([READ_FULL], [])


@pytest.mark.parametrize(
    "timestamp",
    [
        1_790_000_000,
        "2026-09-21T14:13:20Z",
        "2026-09-21T16:13:20+02:00",
        datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
        datetime.fromtimestamp(1_790_000_000),
        datetime.fromtimestamp(1_790_000_000).isoformat(),
    ],
)
def test_the_time_of_a_decision_is_epoch_seconds_a_datetime_or_text(timestamp: Any) -> None:
    (decision,), _ = watched(FULL | {"timestamp": timestamp})

    assert decision.decided_at_s == 1_790_000_000.0


def test_a_decision_without_a_time_is_of_the_moment_it_was_first_seen() -> None:
    shown = {"action": "scale_down", "worker_ids": ["w1"]}

    decisions, _ = watched(None, shown, shown, dict(shown))

    assert decisions == [ScalingDecision(action="scale_down", decided_at_s=NOW_S + 1, count=1, worker_ids=("w1",))]


def test_one_decision_shown_for_ten_ticks_is_one_event() -> None:
    same_object = SimpleNamespace(**FULL)

    assert len(watched(*[same_object] * 10)[0]) == 1
    assert len(watched(*[dict(FULL) for _ in range(10)])[0]) == 1


def test_a_cooldown_that_runs_down_makes_no_new_decision() -> None:
    shown = [FULL | {"cooldown_remaining_s": 300 - i} for i in range(5)]

    assert len(watched(*shown)[0]) == 1


def test_an_object_that_becomes_another_decision_is_a_new_event_and_the_first_stays_what_it_was() -> None:
    live = {"action": "scale_up", "count": 1, "worker_ids": ["w1"]}
    watch = DecisionWatch()
    first = watch.new_one(live, read_at_s=NOW_S, rejected=[])

    live["count"] = 2
    live["worker_ids"].append("w2")  # type: ignore[attr-defined]
    second = watch.new_one(live, read_at_s=NOW_S + 1, rejected=[])

    assert first is not None
    assert second is not None
    assert (first.count, first.worker_ids) == (1, ("w1",))
    assert (second.count, second.worker_ids, second.decided_at_s) == (2, ("w1", "w2"), NOW_S + 1)


def test_the_same_decision_at_another_time_of_its_own_is_another_one() -> None:
    decisions, _ = watched(FULL, FULL | {"timestamp": NOW_S + 60})

    assert [decision.decided_at_s for decision in decisions] == [NOW_S - 5, NOW_S + 60]


@pytest.mark.parametrize("stated", [1_790_000_000_000.0, 12.5, "noon"])
def test_of_two_decisions_with_times_that_say_nothing_the_second_is_another_one_too(stated: Any) -> None:
    later = stated + "!" if isinstance(stated, str) else stated + 60

    decisions, rejected = watched(*[FULL | {"timestamp": moment} for moment in (stated, stated, later, later)])

    assert [decision.decided_at_s for decision in decisions] == [NOW_S, NOW_S + 2]
    assert len(rejected) == 4


@pytest.mark.parametrize("moment", [Decimal("1790000000"), np.int64(1_790_000_000), np.float32(1_790_000_000)])
def test_the_time_of_a_decision_may_be_any_number(moment: Any) -> None:
    (decision,), rejected = watched(FULL | {"timestamp": moment})

    assert decision.decided_at_s == 1_790_000_000.0
    assert rejected == []


@pytest.mark.parametrize("count", [3, 3.0, np.int64(3), Decimal(3)])
def test_the_count_of_a_decision_may_be_any_whole_number(count: Any) -> None:
    (decision,), _ = watched(FULL | {"count": count})

    assert decision.count == 3


class _Named(Enum):
    SCALE_UP = 1


class _Valued(Enum):
    UP = "scale_up"


@pytest.mark.parametrize("action", ["SCALE_UP", "scale-up", " Scale_Up ", _Named.SCALE_UP, _Valued.UP])
def test_an_action_is_text_or_a_member_of_an_enum(action: Any) -> None:
    (decision,), rejected = watched(FULL | {"action": action})

    assert decision.action == "scale_up"
    assert rejected == []


def test_an_action_of_none_is_to_stay() -> None:
    assert watched({"action": "none", "timestamp": NOW_S})[0][0].action == "maintain"


@pytest.mark.parametrize("shown", [{"action": "explode"}, {}, {"action": None}, {"action": 3}, "scale_up", object()])
def test_what_is_no_decision_is_refused_and_told(shown: Any) -> None:
    decisions, rejected = watched(shown)

    assert decisions == []
    assert "action of a scaling decision" in rejected[0]


@pytest.mark.parametrize("timestamp", ["yesterday", -1, 1_790_000_000_000, math.nan, True, [1]])
def test_a_time_that_makes_no_sense_costs_only_itself(timestamp: Any) -> None:
    decisions, rejected = watched(FULL | {"timestamp": timestamp})

    assert [decision.decided_at_s for decision in decisions] == [NOW_S]
    assert "timestamp of a scaling decision" in rejected[0]


def test_fields_that_make_no_sense_are_not_known() -> None:
    (decision,), _ = watched(
        FULL | {"count": -1, "value": "high", "threshold": math.inf, "reason": 7, "metric": ["cpu"]}
    )

    assert (decision.count, decision.value, decision.threshold) == (2, None, None)
    assert (decision.reason, decision.metric) == ("", None)

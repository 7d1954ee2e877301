"""Readings and rosters: who joined, who left and why, and what a source may say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.errors import InvalidValueError
from drmviz.model.decisions import FleetChange
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry


def observe(tracker: RosterTracker, at_s: float, *entries: RosterEntry | str, changes: tuple[FleetChange, ...] = ()):  # type: ignore[no-untyped-def]
    return tracker.observe([Reading.unknown(entries, taken_at_s=at_s, changes=changes)], at_s=at_s, wall_s=at_s)


def test_an_unchanged_fleet_keeps_its_roster_and_a_change_starts_a_new_one() -> None:
    tracker = RosterTracker()

    first = observe(tracker, 0, "a", "b")
    same = observe(tracker, 1, "a", "b")
    other = observe(tracker, 2, "b", "c")

    assert first.roster.number == same.roster.number
    assert other.roster.number == first.roster.number + 1
    assert [life.id for life in other.roster.incarnations] == ["b", "c"]
    assert [(life.id, life.left_at_s) for life in other.went] == [("a", 2)]


def test_a_crashed_worker_left_when_its_engine_says_and_its_replacement_joins() -> None:
    tracker = RosterTracker()
    observe(tracker, 0, "gw0", "gw1")

    crashed = FleetChange(at_s=0.4, worker="gw0", change="left", why="crashed")
    joined = FleetChange(at_s=0.6, worker="gw2", change="joined", why="asked for")
    tick = observe(tracker, 1, "gw1", "gw2", changes=(crashed, joined))

    assert [(life.id, life.left_at_s, life.why_left) for life in tick.went] == [("gw0", 0.4, "crashed")]
    assert [(life.id, life.joined_at_s, life.why_joined) for life in tick.came] == [("gw2", 0.6, "asked for")]


def test_a_worker_told_to_be_gone_does_not_rejoin_because_it_was_still_listed() -> None:
    tracker = RosterTracker()
    observe(tracker, 0, "a")

    gone = FleetChange(at_s=0.5, worker="a", change="left", why="lost")
    tick = observe(tracker, 1, "a", changes=(gone,))

    assert tick.roster.incarnations == ()
    assert [life.why_left for life in tick.went] == ["lost"]


def test_the_same_id_with_another_pid_is_the_next_life_of_that_id() -> None:
    tracker = RosterTracker()
    observe(tracker, 0, RosterEntry(id="a", pid=1))

    tick = observe(tracker, 1, RosterEntry(id="a", pid=2))

    assert [(life.ordinal, life.entry.pid, life.why_left) for life in tick.went] == [(1, 1, "replaced")]
    assert [(life.ordinal, life.entry.pid) for life in tick.came] == [(2, 2)]


def test_a_worker_that_grows_stays_the_same_worker() -> None:
    tracker = RosterTracker()
    observe(tracker, 0, RosterEntry(id="a", capacity=WorkerCapacity(cpu_millicores=1000)))

    tick = observe(tracker, 1, RosterEntry(id="a", capacity=WorkerCapacity(cpu_millicores=4000)))

    assert (tick.came, tick.went) == ((), ())
    assert [life.capacity.cpu_cores for life in tick.resized] == [4.0]
    assert [life.capacity.cpu_cores for life in tick.roster.incarnations] == [4.0]


def test_an_id_of_two_sources_counts_once_and_is_named() -> None:
    tracker = RosterTracker()
    one, two = (Reading.unknown(["a"], taken_at_s=0) for _ in range(2))
    one["cpu_ratio"], two["cpu_ratio"] = [0.25], [0.75]

    tick = tracker.observe([one, two], at_s=0, wall_s=0)

    assert tick.values[0].tolist() == [0.25]
    assert two.rejected == ["worker id 'a' is reported by two sources"]


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), min_size=1, max_size=12))
def test_values_follow_their_workers_through_any_churn(fleets: list[list[str]]) -> None:
    tracker = RosterTracker()
    for at_s, workers in enumerate(fleets):
        reading = Reading.unknown(workers, taken_at_s=at_s)
        reading["tasks_running"] = [ord(worker) for worker in workers]

        tick = tracker.observe([reading], at_s=at_s, wall_s=at_s)

        row = METRICS.index("tasks_running")
        assert {life.id: tick.values[row, i] for i, life in enumerate(tick.roster.incarnations)} == {
            worker: ord(worker) for worker in workers
        }
        numbers = [life.number for life in tick.roster.incarnations]
        assert numbers == sorted(set(numbers))


def test_a_reading_from_plain_dictionaries_keeps_what_it_is_told() -> None:
    reading = Reading.of(
        5.0,
        {
            "w1": {
                "cpu_ratio": 0.5,
                "memory_ratio": None,
                "tasks_running": 2,
                "pid": 7,
                "capacity": {"cpu_cores": 8, "memory_bytes": 17179869184},
            },
            "w2": {"gpu_ratio": 2.0, "labels": {"zone": "b"}},
        },
    )

    assert reading["cpu_ratio"].tolist()[0] == 0.5
    assert np.isnan(reading["cpu_ratio"][1])
    assert np.isnan(reading["memory_ratio"]).all()
    assert reading["gpu_ratio"][1] == 2.0
    assert reading.entries[0].capacity == WorkerCapacity(cpu_millicores=8000, memory_bytes=17179869184)
    assert reading.entries[0].pid == 7
    assert reading.entries[1].labels == (("zone", "b"),)
    assert reading.rejected == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [("</script>🦄\u202e", True), ("x" * 10_000, True), ("", False), ("y" * 70_000, False), ("\udc80", True)],
)
def test_hostile_names_are_kept_whole_or_refused_in_words(name: str, kept: bool) -> None:
    reading = Reading.of(0, {name: {"cpu_ratio": 0.5}, "fine": {"cpu_ratio": 0.25}})

    assert reading["cpu_ratio"].tolist() == ([0.5, 0.25] if kept else [0.25])
    assert bool(reading.rejected) is not kept
    for entry in reading.entries:
        entry.id.encode("utf-8")


@pytest.mark.parametrize(
    "stated",
    [
        {"cpu_cores": 0},
        {"cpu_cores": -1},
        {"cpu_cores": True},
        {"cpu_cores": float("nan")},
        {"memory_bytes": 0},
        {"memory_bytes": 1.5},
        {"gpus": -1},
        {"cores": 4},
    ],
)
def test_a_capacity_that_makes_no_sense_is_an_error_by_itself_and_unknown_in_a_reading(
    stated: dict[str, object],
) -> None:
    with pytest.raises(InvalidValueError):
        WorkerCapacity.of(stated)

    reading = Reading.of(0, {"a": {"cpu_ratio": 0.5, "capacity": stated}})

    assert reading.entries[0].capacity == WorkerCapacity()
    assert "capacity of 'a'" in reading.rejected[0]


def test_a_wrong_metric_or_a_wrong_number_of_values_is_an_error() -> None:
    reading = Reading.unknown(["a", "b"], taken_at_s=0)

    with pytest.raises(InvalidValueError, match="is not one of cpu_ratio"):
        reading["cpu"] = [1, 2]
    with pytest.raises(InvalidValueError, match="one value for each of 2 workers"):
        reading["cpu_ratio"] = [1]


def test_ids_that_are_the_same_once_they_are_text_cost_one_of_them() -> None:
    reading = Reading.of(0, {1: {"cpu_ratio": 0.25}, "1": {"cpu_ratio": 0.75}, "b": {"cpu_ratio": 0.5}})  # type: ignore[dict-item]

    assert [entry.id for entry in reading.entries] == ["1", "b"]
    assert reading["cpu_ratio"].tolist() == [0.25, 0.5]
    assert reading.rejected == ["worker id '1' came twice"]


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("value", [Unwritable(), 10**5000], ids=["object", "number"])
def test_an_error_names_a_value_whose_words_fail(value: object) -> None:
    said = str(InvalidValueError("workers", value, "must be fewer"))

    assert said.startswith(f"workers = <{type(value).__name__} instance at 0x")
    assert said.endswith(": must be fewer")

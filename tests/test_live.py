"""The hub shows what the store would show, stays within its bounds, and is delayed by nobody who listens."""

from __future__ import annotations

import threading
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drmviz.errors import InvalidValueError
from drmviz.figures import FIGURES, load
from drmviz.figures.base import FigureOptions
from drmviz.live import KEPT_BYTES, Hub
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.run import Run, RunHeader
from drmviz.model.samples import Reading, Tick
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Store, Writer
from tests.fleets import START_S, KnownFleet

HEADER = RunHeader(id="0123456789ab", title="a run", started_at_s=START_S, interval_s=1.0)


def fleet_with_everything(ticks: int, *, wall_jump_s: float = 0.0) -> list[Tick]:
    """Return ticks in which workers come, go, come back larger, and in which everything else happens as well."""
    tracker = RosterTracker()
    random = np.random.default_rng(3)
    made = []
    for n in range(ticks):
        at_s = START_S + n
        names = [f"w{i}" for i in range(12) if (n // 7 + i) % 4]
        cores = 2 if n < ticks // 2 else 8
        entries = tuple(
            RosterEntry(
                id=name,
                host=f"host-{i % 2}",
                pid=n // 40,
                capacity=WorkerCapacity(cpu_millicores=1000 * cores, memory_bytes=2**30 * (n // 11 + 1)),
            )
            for i, name in enumerate(names)
        )
        values = random.random((len(METRICS), len(entries))).astype(np.float32)
        values[random.random(values.shape) < 0.2] = np.nan
        changes = (FleetChange(at_s=at_s - 0.25, worker=names[0], change="left", why="crashed"),) if n % 9 == 4 else ()
        reading = Reading(
            taken_at_s=at_s,
            entries=entries,
            values=values,
            changes=changes,
            decisions=(
                ScalingDecision(action="scale_up", decided_at_s=at_s - 0.5, count=n, reason="busy"),
            ) if n % 10 == 3 else (),
            tasks=(
                Task(name=f"t{n}", worker=names[1], outcome="passed", started_at_s=at_s - 1.5, ended_at_s=at_s),
            ) if n % 3 == 0 else (),
            cloud=(
                CloudUsage(at_s=at_s, provider=f"p{n % 2}", workers=n, per_hour=Decimal("0.34"), currency="USD"),
            ) if n % 8 == 0 else (),
        )  # fmt: skip
        made.append(tracker.observe([reading], at_s=at_s, wall_s=at_s + (wall_jump_s if n > 20 else 0)))
    return made


def assert_same(live: Run, stored: Run) -> None:
    for name in ("start_s", "end_s", "width_s", "workers", "measured_ticks", "decisions", "changes", "tasks", "cloud"):
        assert getattr(live, name) == getattr(stored, name), name
    assert live.notes == stored.notes
    np.testing.assert_array_equal(live.starts_at_s, stored.starts_at_s)
    np.testing.assert_array_equal(live.alive, stored.alive)
    assert live.grids.keys() == stored.grids.keys()
    for key, grid in live.grids.items():
        np.testing.assert_array_equal(grid, stored.grids[key])
    assert live.means.keys() == stored.means.keys()
    for metric, means in live.means.items():
        np.testing.assert_array_equal(means, stored.means[metric])


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"columns": 1},
        {"columns": 7, "statistics": ("mean", "max")},
        {"start_s": START_S + 31, "end_s": START_S + 77, "columns": 1000},
        {"start_s": START_S + 31.4, "columns": 13, "metrics": ("cpu_ratio",), "means": ("memory_ratio",)},
        {"workers": ("w3", "w1")},
    ],
    ids=str,
)
def test_a_window_of_the_hub_is_the_same_as_one_of_the_store(tmp_path: Path, window: dict[str, Any]) -> None:
    hub = Hub(HEADER)
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="a run", started_at_s=START_S, interval_s=1.0)
        for tick in fleet_with_everything(120, wall_jump_s=30):
            recording.append(tick)
            hub.add(tick)

        with Store.open(tmp_path / "h.drmviz") as store:
            stored = store.read(**window)
    live = hub.read(**window)

    assert_same(live, stored)
    assert live.header == HEADER
    assert len(live.workers) > 1
    assert not live.is_empty


@pytest.mark.parametrize("stem", FIGURES)
def test_every_figure_draws_what_only_the_hub_has(stem: str) -> None:
    hub = Hub(HEADER)
    for tick in fleet_with_everything(40):
        hub.add(tick)
    figure, options = load(stem), FigureOptions()

    run = hub.read(statistics=("mean", "max"))
    described = figure.describe(figure.arrange(run, options))

    assert run.measured_ticks == 40
    assert described
    assert "nothing" not in described.lower()


def test_nothing_but_the_last_minutes_is_held_and_their_window_is_that_of_the_store(tmp_path: Path) -> None:
    hub = Hub(HEADER, kept_s=30)
    ticks = fleet_with_everything(100)
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="a run", started_at_s=START_S, interval_s=1.0)
        for tick in ticks:
            recording.append(tick)
            hub.add(tick)

        with Store.open(tmp_path / "h.drmviz") as store:
            stored = store.read(start_s=START_S + 70)
    live = hub.read(start_s=START_S + 70)

    assert hub.ticks == 30
    assert hub.read().start_s == START_S + 70
    assert_same(live, stored)
    assert any(usage.at_s < START_S + 70 for usage in live.cloud), "what held when the window began"


def test_who_left_before_the_oldest_tick_is_forgotten_and_the_same_array_serves_all_ticks_of_a_roster() -> None:
    hub = Hub(HEADER, kept_s=10)
    fleet = KnownFleet()

    for n in range(1000):
        hub.add(fleet.tick(START_S + n, ["always", f"once-{n // 5}"]))

    assert {life.id for life in hub._lives.values()} == {"always", "once-197", "once-198", "once-199"}
    assert len({id(held.members) for held in hub._held}) == 2


def test_ten_thousand_workers_stay_within_the_bytes_whatever_the_minutes_say() -> None:
    entries = tuple(RosterEntry(id=f"w{i}") for i in range(10_000))
    tracker = RosterTracker()
    hub = Hub(HEADER)
    tracemalloc.start()
    try:
        for n in range(300):
            values = np.full((len(METRICS), len(entries)), n / 300, dtype=np.float32)
            reading = Reading(taken_at_s=START_S + n, entries=entries, values=values)
            hub.add(tracker.observe([reading], at_s=START_S + n, wall_s=START_S + n))
            if n == 0:
                begun, _ = tracemalloc.get_traced_memory()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 60e6 < hub.bytes_ <= KEPT_BYTES
    assert held - begun < 1.1 * KEPT_BYTES
    assert hub.ticks == int(KEPT_BYTES / hub._held[-1].bytes_)
    run = hub.read(metrics=("cpu_ratio",), workers=("w0", "w9999"), columns=1000)
    np.testing.assert_array_equal(run.values("cpu_ratio")[1], (np.arange(300 - hub.ticks, 300) / 300).astype("f4"))


def test_one_tick_that_is_larger_than_the_bound_is_held_nevertheless() -> None:
    hub = Hub(HEADER, kept_bytes=1)

    for tick in fleet_with_everything(3):
        hub.add(tick)

    assert hub.ticks == 1
    assert hub.read().measured_ticks == 1


def test_a_slow_subscriber_loses_the_oldest_ticks_and_is_told_how_many_while_others_lose_none() -> None:
    hub = Hub(HEADER)
    slow, quick = hub.subscribe(at_most=3), hub.subscribe(at_most=3)
    took = []

    for tick in fleet_with_everything(10):
        hub.add(tick)
        one = quick.take()
        assert one is not None
        took.append(one.number)

    assert took == list(range(10))
    assert (quick.lost, slow.lost) == (0, 7)
    assert [one.number for one in (slow.take(), slow.take(), slow.take()) if one] == [7, 8, 9]
    assert slow.take() is None
    assert [one.number for one in hub.after(6)] == [7, 8, 9], "what a subscriber lost is had from the hub"


def test_a_subscriber_that_holds_on_to_its_queue_does_not_stop_another_thread_that_waits() -> None:
    hub = Hub(HEADER)
    subscription = hub.subscribe()
    took: list[int] = []

    def wait_for_three() -> None:
        while len(took) < 3:
            one = subscription.take(patience_s=30)
            assert one is not None
            took.append(one.number)

    waiting = threading.Thread(target=wait_for_three)
    waiting.start()
    for tick in fleet_with_everything(3):
        hub.add(tick)
    waiting.join(30)

    assert took == [0, 1, 2]


def test_closing_wakes_who_waits_and_ends_the_telling() -> None:
    hub = Hub(HEADER)
    with hub.subscribe() as subscription:
        took: list[object] = []
        waiting = threading.Thread(target=lambda: took.append(subscription.take(patience_s=30)))
        waiting.start()
    waiting.join(10)
    hub.add(fleet_with_everything(1)[0])

    assert took == [None]
    assert subscription.take() is None
    assert subscription.lost == 0


def test_reading_while_ticks_come_in_sees_whole_ticks_only() -> None:
    hub = Hub(HEADER, kept_s=20)
    problems: list[str] = []
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            run = hub.read(metrics=("cpu_ratio",), columns=1000)
            values = run.values("cpu_ratio")
            if run.measured_ticks > 20 or (run.measured_ticks and not np.isfinite(values).all()):
                problems.append(f"{run.measured_ticks} ticks, {np.isnan(values).sum()} holes")

    entries = (RosterEntry(id="a"), RosterEntry(id="b"))
    tracker = RosterTracker()
    reading = threading.Thread(target=read_on)
    reading.start()
    for n in range(2000):
        values = np.full((len(METRICS), 2), n / 2000, dtype=np.float32)
        at_s = START_S + n
        hub.add(tracker.observe([Reading(taken_at_s=at_s, entries=entries, values=values)], at_s=at_s, wall_s=at_s))
    is_over.set()
    reading.join(30)

    assert problems == []


@pytest.mark.parametrize("bounds", [{"kept_s": 0.0}, {"kept_bytes": -1}])
def test_a_hub_without_room_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="must be more than 0"):
        Hub(HEADER, **bounds)


def test_a_hub_that_holds_nothing_is_an_empty_run() -> None:
    assert Hub(HEADER).read().is_empty

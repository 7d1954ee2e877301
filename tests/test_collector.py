"""The loop: what a source cannot tell becomes unknown, what the disk refuses is counted, and ticks lie on the grid."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from drmviz.collector import Collector
from drmviz.errors import SourceUnavailableError, StoreError
from drmviz.model.decisions import FleetChange
from drmviz.model.samples import Reading, Tick
from drmviz.model.tasks import Task
from drmviz.store import Recording, Store, Writer
from drmviz.system import SimulatedClock
from tests.fleets import START_S

Reads = Callable[[float], Reading]


@dataclass
class ScriptedSource:
    """Answers with one function after the other, the last one for ever."""

    script: list[Reads]
    name: str = "scripted"

    def read(self, now_s: float) -> Reading:
        return (self.script.pop(0) if len(self.script) > 1 else self.script[0])(now_s)


@dataclass
class KeptTicks:
    """A sink in memory that refuses the ticks it is told to."""

    refuse: set[int] = field(default_factory=set)
    ticks: list[Tick] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    offered: int = 0
    problem: str | None = None

    def append(self, tick: Tick) -> int:
        self.offered += 1
        if self.offered in self.refuse:
            raise StoreError("x.drmviz", "a tick could not be written (disk is full)", remedy="Free some space.")
        self.ticks.append(tick)
        return len(self.ticks) - 1

    def note(self, at_s: float, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(wall=START_S)


@pytest.fixture
def collecting(clock: SimulatedClock) -> Iterator[Callable[..., Collector]]:
    made: list[Collector] = []

    def make(
        *sources: ScriptedSource, sink: KeptTicks | Recording, interval_s: float = 1.0, patience_s: float = 5.0
    ) -> Collector:
        collector = Collector(
            sources, sink, clock=clock, started_at_s=clock.wall_s(), interval_s=interval_s, patience_s=patience_s
        )
        made.append(collector)
        return collector

    yield make
    for collector in made:
        assert collector.close() == []


def steady(now_s: float) -> Reading:
    return Reading.of(now_s, {"a": {"cpu_ratio": 0.5}, "b": {"cpu_ratio": 0.25, "memory_ratio": 0.75}})


def raising(error: BaseException) -> Reads:
    def read(now_s: float) -> Reading:
        raise error

    return read


def cpu(tick: Tick) -> dict[str, float]:
    return {life.id: float(tick.values[0, i]) for i, life in enumerate(tick.roster.incarnations)}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (SystemExit("bye"), "SystemExit: bye"),
        (CancelledError("over"), "CancelledError: over"),
        (SourceUnavailableError("dask", "nobody answers", remedy="Start it."), "Source 'dask' is unavailable"),
    ],
)
def test_a_source_that_raises_is_a_missed_tick_with_a_status_and_its_workers_stay(
    collecting: Callable[..., Collector], clock: SimulatedClock, error: BaseException, said: str
) -> None:
    sink = KeptTicks()
    collector = collecting(ScriptedSource([steady, raising(error), steady]), sink=sink)

    collector.tick()
    clock.advance(1)
    missed = collector.tick()
    status = collector.statuses["scripted"]
    clock.advance(1)
    collector.tick()

    assert [life.id for life in missed.roster.incarnations] == ["a", "b"]
    assert np.isnan(missed.values).all()
    assert (status.state, status.since_s) == ("DEGRADED", START_S + 1)
    assert said in status.reason
    assert collector.statuses["scripted"].state == "OK"
    assert len({life.number for tick in sink.ticks for life in tick.roster.incarnations}) == 2, "nobody rejoined"


def test_a_source_that_hangs_costs_only_itself(collecting: Callable[..., Collector], clock: SimulatedClock) -> None:
    wake = threading.Event()

    def hang(now_s: float) -> Reading:
        wake.wait(30)
        return Reading.of(now_s, {"slow": {"cpu_ratio": 1.0}})

    sink = KeptTicks()
    slow = ScriptedSource([lambda now_s: Reading.of(now_s, {"slow": {"cpu_ratio": 0.1}}), hang, hang], name="slow")
    collector = collecting(ScriptedSource([steady]), slow, sink=sink, patience_s=0.2)

    collector.tick()
    for _ in range(3):
        clock.advance(1)
        collector.tick()
    status = collector.statuses["slow"]
    wake.set()

    assert [cpu(tick)["a"] for tick in sink.ticks] == [0.5] * 4
    assert np.isnan([cpu(tick)["slow"] for tick in sink.ticks[1:]]).all()
    assert (status.state, status.reason) == ("DEGRADED", "has not answered in time")


def test_an_answer_that_comes_late_is_taken_by_the_next_tick_with_all_it_tells(
    collecting: Callable[..., Collector], clock: SimulatedClock
) -> None:
    go_on = threading.Semaphore(0)
    told = iter(range(100))

    def slowly(now_s: float) -> Reading:
        number = next(told)
        if number % 3 == 2:
            go_on.acquire(timeout=30)
        task = Task(name=f"test_{number}", worker="a", outcome="passed", started_at_s=now_s, ended_at_s=now_s)
        return Reading.of(now_s, {"a": {"cpu_ratio": 0.5}}, tasks=[task])

    sink = KeptTicks()
    collector = collecting(ScriptedSource([slowly]), sink=sink, patience_s=0.1)

    for _ in range(8):
        collector.tick()
        if collector.statuses["scripted"].state != "OK":
            go_on.release()  # the answer comes between two ticks
        clock.advance(1)
    go_on.release()
    collector.last_tick()

    names = [task.name for tick in sink.ticks for task in tick.tasks]
    assert names == [f"test_{number}" for number in range(next(told))]
    assert collector.late["scripted"] >= 2


def test_two_sources_of_one_name_have_a_status_each(collecting: Callable[..., Collector]) -> None:
    broken = ScriptedSource([raising(ValueError("boom"))])
    collector = collecting(broken, ScriptedSource([steady]), sink=KeptTicks())

    collector.tick()

    states = {name: status.state for name, status in collector.statuses.items()}
    assert states == {"scripted": "DEGRADED", "scripted 2": "OK", "store": "OK"}


def test_a_worker_that_two_sources_report_is_told(collecting: Callable[..., Collector]) -> None:
    collector = collecting(ScriptedSource([steady], "one"), ScriptedSource([steady], "two"), sink=KeptTicks())

    collector.tick()

    assert collector.statuses["one"].state == "OK"
    assert "'a' is reported by two sources" in collector.statuses["two"].reason


def test_a_note_that_the_disk_refuses_is_owed_and_stops_nothing(
    collecting: Callable[..., Collector], clock: SimulatedClock
) -> None:
    @dataclass
    class RefusesNotes(KeptTicks):
        notes_refused: int = 2

        def note(self, at_s: float, sentence: str) -> None:
            if self.notes_refused:
                self.notes_refused -= 1
                raise StoreError("x.drmviz", "a note could not be written", remedy="Free some space.")
            super().note(at_s, sentence)

    sink = RefusesNotes(refuse={2})
    collector = collecting(ScriptedSource([steady]), sink=sink)

    states = []
    for _ in range(6):
        collector.tick()
        states.append(collector.statuses["store"].state)
        clock.advance(1)

    assert states == ["OK", "DEGRADED", "DEGRADED", "DEGRADED", "OK", "OK"]
    assert len(sink.ticks) == 5
    assert [note.split(" before ")[0] for note in sink.notes] == ["1 tick"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"memory_bytes": 2**64},
        {"pid": -1},
        {"cpu_s": float("nan")},
        {"peak_bytes": True},
        {"started_at_s": float("nan")},
        {"ended_at_s": float("inf")},
        {"name": "\udc80"},
        {"name": None},
        {"started_at_s": None},
    ],
)
def test_a_test_whose_figures_cannot_be_stored_costs_no_tick(
    collecting: Callable[..., Collector], clock: SimulatedClock, tmp_path: Path, nonsense: dict[str, object]
) -> None:
    fine = Task(name="t", worker="a", outcome="passed", started_at_s=START_S, ended_at_s=START_S, memory_bytes=5)
    odd = replace(fine, **nonsense)  # type: ignore[arg-type]
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        collector = collecting(
            ScriptedSource([lambda now_s: Reading.of(now_s, {"a": {}}, tasks=[odd, fine])]), sink=recording
        )
        collector.tick()
        clock.advance(1)
        collector.tick()

        assert recording.ticks == 2
    with Store.open(tmp_path / "h.drmviz") as store:
        assert len(store.read().tasks) == (
            2 if any(n.endswith("at_s") for n in nonsense) or None in nonsense.values() else 4
        )


def test_something_that_is_no_reading_is_refused_with_its_type(collecting: Callable[..., Collector]) -> None:
    sink = KeptTicks()
    collector = collecting(ScriptedSource([lambda now_s: {"a": 1}]), sink=sink)  # type: ignore[list-item,return-value]

    collector.tick()

    assert "read() returned dict, not a drmviz.Reading" in collector.statuses["scripted"].reason


def test_values_that_make_no_sense_become_unknown_and_are_counted(collecting: Callable[..., Collector]) -> None:
    nonsense = {"nan": float("nan"), "inf": float("inf"), "minus": -0.1, "bool": True, "text": "0.5", "huge": 10**400}

    def read(now_s: float) -> Reading:
        return Reading.of(
            now_s, {name: {"cpu_ratio": value} for name, value in nonsense.items()} | {"fine": {"cpu_ratio": 1.5}}
        )

    sink = KeptTicks()
    collector = collecting(ScriptedSource([read]), sink=sink)

    tick = collector.tick()

    values = cpu(tick)
    assert values.pop("fine") == 1.5, "above 1 is a fact"
    assert np.isnan(list(values.values())).all()
    assert "5 values of cpu_ratio made no sense" in collector.statuses["scripted"].reason
    assert collector.refused == {"scripted": 1}


def test_a_full_disk_is_a_status_and_no_event_is_lost(
    collecting: Callable[..., Collector], clock: SimulatedClock
) -> None:
    task = Task(name="t", worker="a", outcome="passed", started_at_s=START_S, ended_at_s=START_S)
    script: list[Reads] = [
        steady,
        lambda now_s: Reading.of(now_s, {"a": {}, "late": {}}, tasks=[task]),
        lambda now_s: Reading.of(
            now_s, {"a": {}}, changes=[FleetChange(at_s=now_s, worker="late", change="left", why="crashed")]
        ),
        steady,
    ]
    sink = KeptTicks(refuse={2, 3})
    collector = collecting(ScriptedSource(script), sink=sink)

    states = []
    for _ in range(4):
        collector.tick()
        states.append(collector.statuses["store"])
        clock.advance(1)

    assert [status.state for status in states] == ["OK", "DEGRADED", "DEGRADED", "OK"]
    assert "disk is full" in states[2].reason
    assert "2 ticks not written" in states[2].reason
    assert [note.split(" before ")[0] for note in sink.notes] == ["2 ticks"]
    last = sink.ticks[-1]
    assert last.tasks == (task,)
    assert [life.id for life in last.came] == ["late", "b"]
    assert [(life.id, life.why_left) for life in last.went] == [("b", None), ("late", "crashed")]


def test_what_the_disk_refused_is_read_back_after_it_recovers(
    collecting: Callable[..., Collector], clock: SimulatedClock, tmp_path: Path
) -> None:
    script: list[Reads] = [lambda now_s: Reading.of(now_s, {"brief": {}}), lambda now_s: Reading.of(now_s, {"b": {}})]
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)

        class FirstRefused(KeptTicks):
            def append(self, tick: Tick) -> int:
                super().append(tick)
                return recording.append(tick)

        collector = collecting(ScriptedSource(script), sink=FirstRefused(refuse={1}))
        collector.tick()
        clock.advance(1)
        collector.tick()
        recording.finish(START_S + 1)

    with Store.open(tmp_path / "h.drmviz") as store:
        run = store.read()
    assert [(change.worker, change.change) for change in run.changes] == [
        ("brief", "joined"),
        ("brief", "left"),
        ("b", "joined"),
    ]


@pytest.mark.parametrize("interval_s", [0.05, 0.1, 0.5, 1.0, 7.0])
def test_ticks_lie_on_whole_multiples_of_the_interval_after_the_first(
    collecting: Callable[..., Collector], clock: SimulatedClock, interval_s: float
) -> None:
    clock.advance(0.037)
    sink = KeptTicks()
    collector = collecting(ScriptedSource([steady]), sink=sink, interval_s=interval_s)

    for _ in range(50):
        collector.tick()
        clock.wait_s(collector.seconds_to_next_tick())

    slots = [round(tick.at_s * 1e6) // round(interval_s * 1e6) for tick in sink.ticks]
    assert np.diff(slots).tolist() == [1] * 49
    assert all(round(tick.at_s * 1e6) % round(interval_s * 1e6) <= 1 for tick in sink.ticks[1:])


def test_a_wall_clock_that_jumps_moves_no_tick(collecting: Callable[..., Collector], clock: SimulatedClock) -> None:
    sink = KeptTicks()
    collector = collecting(ScriptedSource([steady]), sink=sink)

    collector.tick()
    clock.advance(1)
    clock.jump(-3600)
    collector.tick()

    assert [tick.at_s for tick in sink.ticks] == [START_S, START_S + 1]
    assert [tick.wall_s for tick in sink.ticks] == [START_S, START_S + 1 - 3600]


def test_waiting_for_a_slow_source_does_not_look_like_a_clock_that_jumped(
    collecting: Callable[..., Collector], clock: SimulatedClock
) -> None:
    def slow(now_s: float) -> Reading:
        clock.advance(3)
        return steady(now_s)

    sink = KeptTicks()
    collector = collecting(ScriptedSource([slow, steady]), sink=sink)

    collector.tick()
    collector.tick()

    assert [tick.wall_s - tick.at_s for tick in sink.ticks] == [0.0, 0.0]

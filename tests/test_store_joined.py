"""All runs of one file read as one, what providers cost, what is forgotten, and files of the version before."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drmviz.errors import StoreError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading, Tick
from drmviz.model.workers import RosterEntry
from drmviz.store import Retention, Store, Writer
from tests.fleets import START_S, KnownFleet, written

BLOCK_S = 600


def ticked(at_s: float, tracker: RosterTracker | None = None, **more: object) -> Tick:
    reading = Reading.of(at_s, {"a": {"cpu_ratio": 0.5}})
    told = Reading(taken_at_s=at_s, entries=reading.entries, values=reading.values, **more)  # type: ignore[arg-type]
    return (tracker or RosterTracker()).observe([told], at_s=at_s, wall_s=at_s)


def ticks_of(workers: list[str], at_s: list[float], *, missing: float = 0.0) -> list[Tick]:
    fleet = KnownFleet()
    return [fleet.tick(moment_s, workers, missing=missing) for moment_s in at_s]


def usage(at_s: float, **more: object) -> CloudUsage:
    return CloudUsage(at_s=at_s, provider="aws", **more)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 900), min_size=4, max_size=4),
    columns=st.integers(1, 70),
    seed=st.integers(0, 999),
)
def test_several_runs_read_as_one_equal_a_model_sample_by_sample(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], gaps: list[int], columns: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "h.drmviz"
    fleet = KnownFleet(seed=seed)
    at_s = START_S
    for number, length in enumerate(lengths):
        fleet.tracker = RosterTracker()
        ids = ["a", "b", f"only-{number}"]
        written(path, [fleet.tick(at_s + i, ids) for i in range(length)])
        at_s += length + gaps[number]

    with Store.open(path) as store:
        run = store.read_all(columns=columns, metrics=("cpu_ratio", "tasks_running"), statistics=("mean", "max"))

    ids = [worker.id for worker in run.workers]
    assert ids == ["a", "b", *(f"only-{number}" for number in range(len(lengths)))]
    assert run.measured_ticks == sum(lengths)
    assert [life.number for worker in run.workers for life in worker.incarnations] != [0] * len(ids) or len(ids) == 1
    for metric in ("cpu_ratio", "tasks_running"):
        for statistic in ("mean", "max"):
            expected = fleet.expected(
                metric, statistic, workers=ids, starts_at_s=run.starts_at_s, width_s=run.width_s
            )  # fmt: skip
            np.testing.assert_allclose(run.values(metric, statistic), expected, rtol=1e-6)
    samples = {worker: [v[0] for (_, w), v in fleet.samples.items() if w == worker] for worker in ids}
    np.testing.assert_allclose(
        run.mean_of("cpu_ratio"),
        [np.mean([v for v in samples[w] if not np.isnan(v)] or [np.nan], dtype=np.float64) for w in ids],
        rtol=1e-6,
    )


def test_between_two_runs_nobody_is_alive_and_nobody_is_said_to_have_been_lost(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    for begin_s in (START_S, START_S + 100):
        written(path, ticks_of(["a"], [begin_s + i for i in range(10)]))

    with Store.open(path) as store:
        run = store.read_all(columns=200)

    assert run.columns == 110
    np.testing.assert_array_equal(np.flatnonzero(run.alive[0]), [*range(10), *range(100, 110)])
    assert [(c.change, c.why, c.is_of_the_fleet) for c in run.changes] == [
        ("joined", "recording began", False),
        ("left", "recording ended", False),
        ("joined", "recording began", False),
    ]
    assert [life.ordinal for life in run.workers[0].incarnations] == [1, 2]
    assert run.header.started_at_s == START_S


def test_a_window_of_one_day_shows_only_the_runs_of_that_day(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    for day, worker in enumerate(("monday", "tuesday")):
        written(path, ticks_of([worker], [START_S + day * 86400 + i for i in range(5)]))

    with Store.open(path) as store:
        run = store.read_all(start_s=START_S + 86400 - 10)

    assert [worker.id for worker in run.workers] == ["tuesday"]
    assert run.measured_ticks == 5


def test_two_days_with_the_same_clock_time_lie_a_day_apart(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    for day in range(2):
        written(path, ticks_of(["a"], [START_S + day * 86400 + i for i in range(5)]))

    with Store.open(path) as store:
        run = store.read_all(columns=600)

    measured = np.flatnonzero(np.isfinite(run.values("cpu_ratio")[0]))
    assert len(measured) == 2
    assert run.starts_at_s[measured[1]] - run.starts_at_s[measured[0]] == pytest.approx(86400, abs=run.width_s)


def test_an_empty_file_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    Writer.open(path).close()

    with Store.open(path) as store, pytest.raises(StoreError, match="holds no run yet"):
        store.read_all()


def test_a_run_without_ticks_beside_one_with_ticks_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, ticks_of(["a"], [START_S]))
    with Writer.open(path) as writer:
        writer.begin(title="nothing yet", started_at_s=START_S + 50, interval_s=1)

        with Store.open(path) as store:
            run = store.read_all()

    assert (run.measured_ticks, run.header.title) == (1, "nothing yet")


def test_a_killed_run_is_named_although_another_one_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        writer.begin(title="killed", started_at_s=START_S, interval_s=1).append(ticked(START_S))
    with Writer.open(path) as writer:
        writer.begin(title="goes on", started_at_s=START_S + 9, interval_s=1).append(ticked(START_S + 9))

        with Store.open(path) as store:
            run = store.read_all()

    assert sum("its recorder ended" in note for note in run.notes) == 1


def test_decisions_before_the_first_tick_are_kept_and_a_stated_start_leaves_them_out(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    early = ScalingDecision(action="scale_up", decided_at_s=START_S - 3600, count=1)
    with Writer.open(path) as writer:
        recording = writer.begin(title="r", started_at_s=START_S, interval_s=1)
        recording.append(ticked(START_S, decisions=(early,)))
        recording.finish(START_S + 1)

    with Store.open(path) as store:
        assert store.read().decisions == (early,)
        assert store.read(start_s=START_S).decisions == ()


def test_what_providers_cost_comes_back_as_it_was_observed(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    first = usage(
        START_S, workers=3, per_hour=Decimal("1.230"), currency="USD", basis="list", priced_at_s=5.0,
        instance_types=(("c7i.large", 2), ("c7i.xlarge", 1)), cpu_cores=8.5, memory_bytes=2**35, gpus=0,
    )  # fmt: skip
    second = usage(START_S + 20, problem="no answer")
    with Writer.open(path) as writer:
        recording = writer.begin(title="r", started_at_s=START_S, interval_s=1)
        tracker = RosterTracker()
        recording.append(ticked(START_S, tracker, cloud=(first,)))
        recording.append(ticked(START_S + 20, tracker, cloud=(second,)))
        recording.finish(START_S + 21)

    with Store.open(path) as store:
        whole, later = store.read().cloud, store.read(start_s=START_S + 10).cloud

    assert whole == later == (first, second)
    assert str(whole[0].per_hour) == "1.230"


def test_after_the_end_of_a_run_nothing_is_known_of_its_providers(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    for begin_s in (START_S, START_S + 100):
        with Writer.open(path) as writer:
            recording = writer.begin(title="r", started_at_s=begin_s, interval_s=1)
            recording.append(ticked(begin_s, cloud=(usage(begin_s, workers=2),)))
            recording.finish(begin_s + 1)

    with Store.open(path) as store:
        run = store.read_all()

    assert [(u.at_s - START_S, u.workers) for u in run.cloud] == [(0, 2), (1, None), (100, 2)]


def test_labels_that_become_known_later_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    tracker = RosterTracker()
    with Writer.open(path) as writer:
        recording = writer.begin(title="r", started_at_s=START_S, interval_s=1)
        for i, labels in enumerate(((), (("provider", "aws"),))):
            entry = RosterEntry(id="a", capacity=WorkerCapacity(cpu_millicores=1000), labels=labels)
            reading = Reading.unknown([entry], taken_at_s=START_S + i)
            recording.append(tracker.observe([reading], at_s=START_S + i, wall_s=START_S + i))

        with Store.open(path) as store:
            (worker,) = store.read().workers

    assert worker.latest.entry.labels == (("provider", "aws"),)
    assert worker.capacity.cpu_millicores == 1000


def _blocks(path: Path) -> int:
    with sqlite3.connect(path) as raw:
        (number,) = raw.execute("SELECT count(*) FROM block").fetchone()
    raw.close()
    return int(number)


def test_what_is_too_old_is_forgotten_by_whole_blocks_and_the_rest_stays_exact(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    ticks = [fleet.tick(START_S + i * 10, ["a", "b"] if i < 80 else ["b", "c"], missing=0.2) for i in range(200)]
    written(path, ticks, interval_s=10)
    before = _blocks(path)

    cut_s = START_S + 1100
    with Writer.open(path, retention=Retention().capped(1000)) as writer:
        while writer.advance_forgetting(cut_s + 1000):
            pass
    with Store.open(path) as store:
        run = store.read_all(columns=1000)

    kept_from_s = cut_s // BLOCK_S * BLOCK_S
    assert _blocks(path) == before - 2
    assert run.starts_at_s[0] == kept_from_s
    assert [worker.id for worker in run.workers] == ["b", "c"]
    expected = fleet.expected("cpu_ratio", "mean", workers=["b", "c"], starts_at_s=run.starts_at_s, width_s=run.width_s)
    np.testing.assert_allclose(run.values("cpu_ratio"), expected, rtol=1e-6)
    assert run.measured_ticks == sum(tick.at_s >= kept_from_s for tick in ticks)


def test_a_finished_run_that_is_too_old_is_gone_and_the_one_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, ticks_of(["a"], [START_S + i for i in range(5)]), title="old")
    size = path.stat().st_size

    with Writer.open(path, retention=Retention().capped(10 * 86400)) as writer:
        recording = writer.begin(title="new", started_at_s=START_S + 40 * 86400, interval_s=1)
        tracker = RosterTracker()
        recording.append(ticked(START_S + 40 * 86400, tracker, cloud=(usage(START_S + 40 * 86400, workers=1),)))
        more = writer.advance_forgetting(START_S + 40 * 86400)
        recording.append(ticked(START_S + 40 * 86400 + 1, tracker))
        recording.finish(START_S + 40 * 86400 + 2)

    with Store.open(path) as store:
        assert [header.title for header in store.runs()] == ["new"]
        assert store.read().measured_ticks == 2
    assert more is False
    assert path.stat().st_size <= size + 16384


def test_forgetting_in_slices_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, ticks_of(["a"], [START_S + i * 300 for i in range(40)]), interval_s=300)

    with Writer.open(path, retention=Retention().capped(1000)) as writer:
        steps = 0
        while writer.advance_forgetting(START_S + 11_000, budget_s=0):
            steps += 1
            assert steps < 200
    with Store.open(path) as store:
        run = store.read()

    assert steps > 10
    assert run.starts_at_s[0] >= START_S + 10_000 - BLOCK_S


def priced(at_s: float, workers: int, per_hour: int) -> CloudUsage:
    return usage(at_s, workers=workers, per_hour=Decimal(per_hour), currency="USD")


def recorded_run(path: Path, begin_s: float, seconds: int, *cloud: CloudUsage) -> None:
    with Writer.open(path) as writer:
        tracker = RosterTracker()
        recording = writer.begin(title="r", started_at_s=begin_s, interval_s=1)
        for second in range(seconds):
            told = tuple(each for each in cloud if each.at_s == begin_s + second)
            recording.append(ticked(begin_s + second, tracker, cloud=told))
        recording.finish(begin_s + seconds)


@pytest.mark.parametrize(
    ("lasted", "ended", "known"),
    [
        ((200, 100), 200, [(0, 2), (50, 4), (200, None)]),  # the first run goes on after the second one ended
        ((100, 100), 150, [(0, 2), (50, 4)]),
    ],
)
def test_where_a_clock_was_set_back_the_end_is_that_of_the_run_that_ended_last_and_providers_are_known_to_it(
    tmp_path: Path, lasted: tuple[int, int], ended: int, known: list[tuple[int, int | None]]
) -> None:
    path = tmp_path / "h.drmviz"
    recorded_run(path, START_S, lasted[0], priced(START_S, 2, 3600))
    recorded_run(path, START_S + 50, lasted[1], priced(START_S + 50, 4, 7200))

    with Store.open(path) as store:
        run = store.read_all()

    assert run.header.ended_at_s == START_S + ended
    assert [(u.at_s - START_S, u.workers) for u in run.cloud] == known


def test_a_run_that_is_being_written_by_a_clock_that_was_set_back_is_not_called_killed(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    recorded_run(path, START_S, 20)
    with Writer.open(path) as writer:
        recording = writer.begin(title="now", started_at_s=START_S - 100, interval_s=1)
        tracker = RosterTracker()
        for second in range(50):
            recording.append(ticked(START_S - 100 + second, tracker))

        with Store.open(path) as store:
            run = store.read_all()

    assert run.notes == ()
    assert (run.header.title, run.header.started_at_s, run.header.ended_at_s) == ("now", START_S - 100, None)
    lives = [(life.joined_at_s - START_S, life.why_left) for life in run.workers[0].incarnations]
    assert lives == [(-100, None), (0, "recording ended")]


def sized(at_s: float, tracker: RosterTracker, *, pid: int, millicores: int | None, cpu: float) -> Tick:
    entry = RosterEntry(id="a", pid=pid, capacity=WorkerCapacity(cpu_millicores=millicores))
    reading = Reading.unknown([entry], taken_at_s=at_s)
    reading["cpu_ratio"] = [cpu]
    reading["tasks_running"] = [pid]
    return tracker.observe([reading], at_s=at_s, wall_s=at_s)


@pytest.mark.parametrize(
    ("before", "after", "mean"),
    [
        (2000, 8000, 0.2),  # (10 s of 2 cores + 0 of 8) over 10 cores
        (2000, None, 0.5),  # what cannot be weighed counts alike
    ],
)
@pytest.mark.parametrize("is_closed", [False, True])
def test_the_mean_of_who_came_back_with_another_capacity_weighs_by_what_there_was(
    tmp_path: Path, before: int, after: int | None, mean: float, is_closed: bool
) -> None:
    tracker = RosterTracker()
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="r", started_at_s=START_S, interval_s=1)
        for second in range(20):
            first = second < 10
            recording.append(sized(START_S + second, tracker, pid=1 if first else 2, cpu=1.0 if first else 0.0,
                                   millicores=before if first else after))  # fmt: skip
        if is_closed:
            recording.finish(START_S + 20)

        with Store.open(tmp_path / "h.drmviz") as store:
            run = store.read(metrics=("cpu_ratio", "tasks_running"))

    np.testing.assert_allclose(run.mean_of("cpu_ratio"), [mean], rtol=1e-6)
    np.testing.assert_allclose(run.mean_of("tasks_running"), [1.5])

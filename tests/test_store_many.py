"""Recordings of many machines read as one: whose rows are whose, by which clock, nothing lost and nothing doubled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drmviz.errors import InvalidValueError, StoreDamagedError, StoreError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.roster import RosterTracker
from drmviz.model.run import Run
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Store, Stores, Writer
from tests.fleets import START_S, KnownFleet

ROOT = Path(__file__).parents[1]

# Records ten ticks of gw0 and gw1 and a test of each, says that they are durable, and goes on until its stdin ends.
RECORDER = """
import sys
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.store import Writer
path, host, start = sys.argv[1], sys.argv[2], float(sys.argv[3])
with Writer.open(path) as writer:
    recording = writer.begin(title="pytest -n 2", started_at_s=start, interval_s=1, host=host, facts={"exit_code": 0})
    tracker = RosterTracker()
    for n in range(10):
        at_s = start + n
        tests = [Task(name="test_it", worker=f"gw{n % 2}", outcome="passed", started_at_s=at_s - 0.5, ended_at_s=at_s)]
        told = Reading.of(at_s, {"gw0": {"cpu_ratio": 0.5}, "gw1": {"cpu_ratio": 1.0}}, tasks=tests)
        recording.append(tracker.observe([told], at_s=at_s, wall_s=at_s))
    print("durable", flush=True)
    sys.stdin.read()
    recording.finish(start + 10)
"""


@contextmanager
def recorder(path: Path, host: str, start_s: float) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path), host, str(start_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "durable\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def three_machines(folder: Path) -> list[Path]:
    """Record on a, b and c, whose clocks are an hour apart; a ends well."""
    paths = [folder / f"{host}.drmviz" for host in "abc"]
    with recorder(paths[0], "a", START_S) as process:
        process.communicate()
    assert process.returncode == 0
    return paths


@dataclass(frozen=True)
class Machine:
    """What one of several machines records."""

    host: str = "ci"
    workers: Sequence[str] = ("gw0", "gw1")
    begin_s: float = START_S
    ticks: int = 10
    interval_s: float = 1.0
    seed: int = 1
    title: str = "pytest -n 2"
    closes: bool = True
    missing: float = 0.1

    def record(self, path: Path, *, run_id: str | None = None) -> KnownFleet:
        fleet = KnownFleet(seed=self.seed)
        with Writer.open(path) as writer:
            recording = writer.begin(
                title=self.title, started_at_s=self.begin_s, interval_s=self.interval_s, host=self.host, run_id=run_id
            )
            for n in range(self.ticks):
                at_s = self.begin_s + n * self.interval_s
                recording.append(fleet.tick(at_s, list(self.workers), missing=self.missing))
            if self.closes:
                recording.finish(self.begin_s + self.ticks * self.interval_s)
        return fleet


def ids(run: Run) -> list[str]:
    return [worker.id for worker in run.workers]


def test_three_machines_one_of_them_recording_one_killed_are_read_as_one(tmp_path: Path) -> None:
    paths = three_machines(tmp_path)
    with (
        recorder(paths[1], "b", START_S + 3600) as killed,
        recorder(paths[2], "c", START_S - 3600) as _,
    ):
        killed.kill()
        killed.wait()

        with Stores.open(paths) as stores:
            run = stores.read(columns=10_000)

    assert ids(run) == ["a/gw0", "a/gw1", "b/gw0", "b/gw1", "c/gw0", "c/gw1"]
    assert [(o.name, o.host, o.state, o.offset_s) for o in run.origins] == [
        ("a", "a", "finished", 0.0),
        ("b", "b", "cut off", 0.0),
        ("c", "c", "being written", 0.0),
    ]
    assert [(o.first_s, o.end_s) for o in run.origins] == [
        (START_S + hours * 3600, START_S + hours * 3600 + 10) for hours in (0, 1, -1)
    ]
    assert run.notes == (
        "b: its recorder ended without closing the run: what was acknowledged is here, the end is missing",
    )
    assert run.measured_ticks == 30
    assert (run.start_s, run.end_s) == (START_S - 3600, START_S + 3610)
    began = {worker.id: worker.incarnations[0].joined_at_s - START_S for worker in run.workers}
    assert began == {"a/gw0": 0, "a/gw1": 0, "b/gw0": 3600, "b/gw1": 3600, "c/gw0": -3600, "c/gw1": -3600}
    measured = np.isfinite(run.values("cpu_ratio"))
    np.testing.assert_array_equal(measured, run.alive)
    assert [task.worker for task in run.tasks] == ["c/gw0", "c/gw1"] * 5 + ["a/gw0", "a/gw1"] * 5 + [
        "b/gw0",
        "b/gw1",
    ] * 5
    assert [task.started_at_s for task in run.tasks] == sorted(task.started_at_s for task in run.tasks)
    assert run.header.ended_at_s is None, "one of them goes on"
    assert run.header.title == "3 recordings, recorded wall time: pytest -n 2"
    assert run.header.host == "a, b, c"


def test_given_offsets_put_the_clocks_of_machines_together_and_are_told(tmp_path: Path) -> None:
    paths = [tmp_path / f"{host}.drmviz" for host in "abc"]
    fleets = [
        Machine(host=path.stem, begin_s=START_S + shift_s, seed=place).record(path)
        for place, (path, shift_s) in enumerate(zip(paths, (0.0, 3600.25, -3600.0), strict=True))
    ]

    with Stores.open(paths, offsets={"b": -3600.25, str(paths[2]): 3600}) as stores:
        assert stores.offsets_s == (0.0, -3600.25, 3600.0)
        run = stores.read(metrics=("cpu_ratio",), columns=100)

    assert (run.start_s, run.end_s, run.width_s) == (START_S, START_S + 10, 1.0)
    assert [(o.name, o.offset_s, o.first_s) for o in run.origins] == [
        ("a", 0.0, START_S),
        ("b", -3600.25, START_S),
        ("c", 3600.0, START_S),
    ]
    assert run.header.title == "3 recordings, offset b -3600.25 s, c +3600 s: pytest -n 2"
    for place, fleet in enumerate(fleets):
        expected = [
            [fleet.samples[at, worker][0] for at in sorted({at for at, _ in fleet.samples})]
            for worker in ("gw0", "gw1")
        ]
        np.testing.assert_array_equal(run.values("cpu_ratio")[2 * place : 2 * place + 2], expected)


def test_one_store_with_an_offset_is_moved_and_keeps_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    Machine(host="ci-1").record(path)

    with Stores.open([path], offsets={"ci-1": -60}) as moved, Store.open(path) as plain:
        run, as_it_is = moved.read(), plain.read()

    assert (run.start_s, run.header.started_at_s, run.header.ended_at_s) == (START_S - 60, START_S - 60, START_S - 50)
    assert ids(run) == ids(as_it_is) == ["gw0", "gw1"]
    np.testing.assert_array_equal(run.values("memory_ratio"), as_it_is.values("memory_ratio"))
    assert (run.origins[0].offset_s, as_it_is.origins) == (-60.0, ())
    assert run.header.title == "offset -60 s: pytest -n 2"


def test_one_store_without_an_offset_reads_as_if_it_had_been_opened_alone(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    Machine().record(path)

    with Stores.open([path, str(path)]) as together, Store.open(path) as alone:
        one, other = together.read(columns=7), alone.read(columns=7)

    assert (one.header, one.workers, one.changes, one.notes, one.origins) == (
        other.header, other.workers, other.changes, other.notes, ()
    )  # fmt: skip
    np.testing.assert_array_equal(one.values("cpu_ratio"), other.values("cpu_ratio"))


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    begins=st.lists(st.integers(-2000, 2000), min_size=4, max_size=4),
    offsets=st.lists(st.integers(-4000, 4000), min_size=4, max_size=4),
    columns=st.integers(2, 70),
    seed=st.integers(0, 99),
)
def test_several_files_read_as_one_equal_a_model_sample_by_sample_and_their_sums_those_of_the_parts(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    begins: list[int],
    offsets: list[int],
    columns: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("stores")
    paths, everything = [], KnownFleet()
    for place, length in enumerate(lengths):
        paths.append(folder / f"m{place}.drmviz")
        machine = Machine(host=f"m{place}", begin_s=START_S + begins[place], ticks=length, seed=seed + place)
        for (at_us, worker), values in machine.record(paths[-1]).samples.items():
            everything.samples[at_us + offsets[place] * 1_000_000, f"m{place}/{worker}"] = values
    given_s = {f"m{place}": offsets[place] for place in range(len(lengths))}

    with Stores.open(paths, offsets=given_s) as stores:
        run = stores.read(columns=columns, metrics=("cpu_ratio", "tasks_running"), statistics=("mean", "max"))
    parts = []
    for path in paths:
        with Store.open(path) as store:
            parts.append(store.read(columns=columns, metrics=("cpu_ratio", "tasks_running")))

    names = [f"m{place}/gw{n}" for place in range(len(lengths)) for n in (0, 1)]
    assert ids(run) == names
    for metric in ("cpu_ratio", "tasks_running"):
        for statistic in ("mean", "max"):
            expected = everything.expected(
                metric, statistic, workers=names, starts_at_s=run.starts_at_s, width_s=run.width_s
            )  # fmt: skip
            np.testing.assert_allclose(run.values(metric, statistic), expected, rtol=1e-6)
        means = np.concatenate([part.mean_of(metric) for part in parts])
        np.testing.assert_allclose(run.mean_of(metric), means, rtol=1e-6)
    assert run.measured_ticks == sum(part.measured_ticks for part in parts) == sum(lengths)


def test_the_window_takes_whole_intervals_of_the_slowest_machine_and_both_are_right(tmp_path: Path) -> None:
    slow, quick = tmp_path / "slow.drmviz", tmp_path / "quick.drmviz"
    fleet = Machine(host="slow", interval_s=10, ticks=6, missing=0).record(slow)
    faster = Machine(host="quick", interval_s=1, ticks=60, missing=0, seed=2).record(quick)

    with Stores.open([slow, quick]) as stores:
        run = stores.read(metrics=("cpu_ratio",), columns=600)

    assert (run.width_s, run.columns, run.header.interval_s) == (10.0, 6, 10.0)
    of_slow = fleet.expected("cpu_ratio", "mean", workers=["gw0", "gw1"], starts_at_s=run.starts_at_s, width_s=10)
    of_quick = faster.expected("cpu_ratio", "mean", workers=["gw0", "gw1"], starts_at_s=run.starts_at_s, width_s=10)
    np.testing.assert_allclose(run.values("cpu_ratio"), np.concatenate([of_quick, of_slow]), rtol=1e-6)
    assert ids(run) == ["quick/gw0", "quick/gw1", "slow/gw0", "slow/gw1"]


@pytest.mark.parametrize(
    ("hosts", "stems", "names"),
    [
        (("ci-1", "ci-2"), ("x", "y"), ["ci-1", "ci-2"]),
        (("ci", "ci"), ("x", "y"), ["x", "y"]),
        (("", ""), ("x", "x"), ["x", "x-2"]),
        (("ci", "ci", "ci"), ("x", "x", "x-2"), ["x", "x-2", "x-2-2"]),
        (("", "x"), ("x", "y"), ["x-2", "x"]),  # a host keeps its name
        (("a/b", "c"), ("x", "y"), ["x", "c"]),  # with a slash two names could be one
    ],
)
def test_a_file_is_called_by_its_host_where_that_tells_it_apart_and_else_by_its_stem(
    tmp_path: Path, hosts: tuple[str, ...], stems: tuple[str, ...], names: list[str]
) -> None:
    paths = [tmp_path / str(place) / f"{stem}.drmviz" for place, stem in enumerate(stems)]
    for path, host in zip(paths, hosts, strict=True):
        path.parent.mkdir()
        Machine(host=host, workers=["gw0"]).record(path)

    with Stores.open(paths) as stores:
        run = stores.read(columns=1)

    assert [origin.name for origin in run.origins] == names
    assert sorted(ids(run)) == sorted(f"{name}/gw0" for name in names)


def test_twenty_machines_with_four_workers_each_are_eighty_rows(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.drmviz" for n in range(20)]
    for n, path in enumerate(paths):
        Machine(host=f"ci-{n + 1}", workers=["gw0", "gw1", "gw2", "gw3"], ticks=3, seed=n).record(path)

    with Stores.open(paths) as stores:
        run = stores.read(metrics=("cpu_ratio",), columns=3)

    assert ids(run) == [f"ci-{n + 1}/gw{worker}" for n in range(20) for worker in range(4)], "ci-2 before ci-10"
    assert run.values("cpu_ratio").shape == (80, 3)
    assert run.alive.all()


def test_the_row_of_the_machine_is_its_name_and_an_id_that_begins_with_it_stays(tmp_path: Path) -> None:
    paths = [tmp_path / f"{host}.drmviz" for host in "ab"]
    for path in paths:
        with Writer.open(path) as writer:
            recording = writer.begin(title="t", started_at_s=START_S, interval_s=1, host=path.stem)
            entries = (
                RosterEntry(id=path.stem, kind="host"),
                RosterEntry(id="a/gw0", parent=path.stem),
                *((RosterEntry(id="gw1", parent="gw0"),) if path.stem == "a" else (RosterEntry(id="gw0"),)),
            )
            values = np.full((len(METRICS), 3), 0.5, dtype=np.float32)
            told = Reading(taken_at_s=START_S, entries=entries, values=values)
            recording.append(RosterTracker().observe([told], at_s=START_S, wall_s=START_S))

    with Stores.open(paths) as stores:
        run = stores.read(kinds=("worker", "host"))
        chosen = stores.read(workers=["b/a/gw0", "a/gw0"])

    assert ids(run) == ["a", "a/gw0", "a/gw1", "b", "b/a/gw0", "b/gw0"]
    parents = {worker.id: worker.latest.entry.parent for worker in run.workers}
    assert parents == {"a": None, "a/gw0": "a", "a/gw1": "a/gw0", "b": None, "b/a/gw0": "b", "b/gw0": None}
    assert ids(chosen) == ["b/a/gw0", "a/gw0"]


def test_where_an_id_without_its_name_is_another_workers_both_keep_a_row(tmp_path: Path) -> None:
    for host in "ab":
        Machine(host=host, workers=["gw0", "a/gw0"]).record(tmp_path / f"{host}.drmviz")

    with Stores.open([tmp_path / "a.drmviz", tmp_path / "b.drmviz"]) as stores:
        run = stores.read()

    assert ids(run) == ["a/a/gw0", "a/gw0", "b/a/gw0", "b/gw0"]


def eventful(path: Path, *, begin_s: float = START_S, host: str, ends: bool = True) -> None:
    """Record ten seconds of gw0 with a test, a decision about it, a provider and a worker that leaves after five."""
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=begin_s, interval_s=1, host=host)
        tracker = RosterTracker()
        for n in range(10):
            at_s = begin_s + n
            workers = {"gw0": {"cpu_ratio": 0.5}, **({"gw1": {"cpu_ratio": 0.25}} if n < 5 else {})}
            reading = Reading.of(
                at_s,
                workers,
                decisions=[
                    ScalingDecision(action="scale_down", decided_at_s=at_s, count=1, reason="idle", worker_ids=("gw1",))
                ]
                if n == 4
                else [],
                tasks=[Task(name="t", worker="gw0", outcome="passed", started_at_s=at_s - 1, ended_at_s=at_s)]
                if n == 8
                else [],
            )
            usage = CloudUsage(at_s=at_s, provider="aws", workers=2, per_hour=Decimal(2), currency="USD")
            told = Reading(
                taken_at_s=at_s, entries=reading.entries, values=reading.values, decisions=reading.decisions,
                tasks=reading.tasks, cloud=(usage,) if n == 0 else (),
            )  # fmt: skip
            recording.append(tracker.observe([told], at_s=at_s, wall_s=at_s))
        if ends:
            recording.finish(begin_s + 10)


def test_tests_decisions_changes_and_providers_carry_the_host_and_the_offset(tmp_path: Path) -> None:
    paths = [tmp_path / "1.drmviz", tmp_path / "2.drmviz"]
    eventful(paths[0], host="ci-1")
    eventful(paths[1], host="ci-2", begin_s=START_S + 100)

    with Stores.open(paths, offsets={"ci-2": -95.5}) as stores:
        run = stores.read()
        of_two = stores.read(workers=["ci-2/gw0"])
        later = stores.read(start_s=START_S + 8, end_s=START_S + 9)
        latest = stores.read(start_s=START_S + 9)

    assert [(t.worker, t.started_at_s - START_S, t.ended_at_s - START_S) for t in run.tasks] == [
        ("ci-1/gw0", 7, 8),
        ("ci-2/gw0", 11.5, 12.5),
    ]
    assert [(d.host, d.said, d.worker_ids, d.decided_at_s - START_S) for d in run.decisions] == [
        ("ci-1", "ci-1: idle", ("ci-1/gw1",), 4),
        ("ci-2", "ci-2: idle", ("ci-2/gw1",), 8.5),
    ]
    changes = [(c.worker, c.change, c.at_s - START_S) for c in run.changes if c.is_of_the_fleet]
    assert changes == [("ci-1/gw1", "left", 5), ("ci-2/gw1", "left", 9.5)]
    assert [(u.provider, u.at_s - START_S, u.workers) for u in run.cloud] == [
        ("ci-1/aws", 0, 2),
        ("ci-2/aws", 4.5, 2),
        ("ci-1/aws", 10, None),  # after its end nothing is known of it
    ]
    assert [task.worker for task in of_two.tasks] == ["ci-2/gw0"]
    assert ids(of_two) == ["ci-2/gw0"]
    assert [decision.host for decision in later.decisions] == ["ci-2"], "the other one was decided before"
    assert [task.worker for task in later.tasks] == ["ci-1/gw0"]
    assert latest.decisions == ()


def test_who_outlived_the_recording_of_one_machine_leaves_at_its_end(tmp_path: Path) -> None:
    short, long_ = tmp_path / "short.drmviz", tmp_path / "long.drmviz"
    Machine(host="short", workers=["gw0"], ticks=5).record(short)
    Machine(host="long", workers=["gw0"], ticks=20).record(long_)

    with Stores.open([short, long_]) as stores:
        run = stores.read(columns=100)

    assert ids(run) == ["long/gw0", "short/gw0"]
    assert run.alive.sum(axis=1).tolist() == [20, 5]
    assert [(c.worker, c.change, c.why, c.at_s - START_S) for c in run.changes if c.change == "left"] == [
        ("short/gw0", "left", "recording ended", 5)
    ]


def test_who_is_still_recorded_lives_on_although_another_machine_is_some_seconds_ahead(tmp_path: Path) -> None:
    paths = [tmp_path / "a.drmviz", tmp_path / "b.drmviz", tmp_path / "c.drmviz"]
    Machine(host="a", workers=["gw0"], ticks=20).record(paths[0])
    Machine(host="c", workers=["gw0"], ticks=120).record(paths[2])

    with recorder(paths[1], "b", START_S), Stores.open(paths) as stores:
        near, far = stores.read(end_s=START_S + 20, columns=100), stores.read(columns=200)
        with Stores.open(paths[:2]) as two:
            together = two.read(columns=100)

    alive = dict(zip(ids(together), together.alive.sum(axis=1).tolist(), strict=True))
    assert alive == {"a/gw0": 20, "b/gw0": 20, "b/gw1": 20}
    alive = dict(zip(ids(far), far.alive.sum(axis=1).tolist(), strict=True))
    assert alive == {"a/gw0": 20, "b/gw0": 10, "b/gw1": 10, "c/gw0": 120}, "nobody saw them for two minutes"
    assert near.columns == 20


def test_a_copy_of_a_recording_is_counted_once_and_the_fuller_one_is_read(tmp_path: Path) -> None:
    path, early, other = tmp_path / "h.drmviz", tmp_path / "early.drmviz", tmp_path / "other.drmviz"
    Machine(host="ci", ticks=4, closes=False).record(early, run_id="abcdef")
    Machine(host="ci", ticks=10).record(path, run_id="abcdef")
    Machine(host="box", ticks=10).record(other)
    for order in ([early, path], [path, early]):
        with Stores.open(order) as stores:
            run = stores.read()
        assert (run.measured_ticks, ids(run), run.origins) == (10, ["gw0", "gw1"], ())
        assert run.notes == (f"run abcdef is counted once, from {path}: {early} holds it too",)

    with Stores.open([path, early, other]) as stores:
        run = stores.read()

    assert ids(run) == ["box/gw0", "box/gw1", "ci/gw0", "ci/gw1"]
    assert run.measured_ticks == 20


@pytest.mark.parametrize("ticks", [(4, 10), (10, 4), (610, 500), (299, 301)])
def test_of_two_unfinished_copies_the_one_with_more_ticks_is_read(tmp_path: Path, ticks: tuple[int, int]) -> None:
    paths = [tmp_path / "one.drmviz", tmp_path / "two.drmviz"]
    for path, number in zip(paths, ticks, strict=True):
        Machine(host="ci", ticks=number, closes=False, workers=["gw0"]).record(path, run_id="abcdef")
        with Writer.open(path) as writer:
            while writer.advance_sealing():
                pass

    with Stores.open(paths) as stores:
        run = stores.read(metrics=("cpu_ratio",))

    assert run.measured_ticks == max(ticks)


def test_of_two_copies_with_the_same_ticks_the_finished_one_is_read(tmp_path: Path) -> None:
    path, copy = tmp_path / "h.drmviz", tmp_path / "copy.drmviz"
    with Writer.open(path) as writer:
        fleet = KnownFleet()
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        recording.append(fleet.tick(START_S, ["gw0"]))
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        recording.finish(START_S + 1)

    with Stores.open([copy, path]) as stores:
        run = stores.read()

    assert run.header.ended_at_s == START_S + 1
    assert run.measured_ticks == 1


def test_all_runs_of_all_files_are_one_with_read_all_and_the_newest_of_each_with_read(tmp_path: Path) -> None:
    paths = [tmp_path / "a.drmviz", tmp_path / "b.drmviz"]
    for path in paths:
        for begin_s in (START_S, START_S + 100):
            Machine(host=path.stem, begin_s=begin_s).record(path)

    with Stores.open(paths) as stores:
        newest, all_of_it = stores.read(), stores.read_all(columns=200)

    assert (newest.measured_ticks, all_of_it.measured_ticks) == (20, 40)
    assert (newest.start_s, all_of_it.start_s) == (START_S + 100, START_S)
    assert [len(worker.incarnations) for worker in all_of_it.workers] == [2, 2, 2, 2]
    assert [len(origin.run_ids) for origin in all_of_it.origins] == [2, 2]


def test_a_run_is_found_by_its_id_in_whichever_file_it_lies(tmp_path: Path) -> None:
    paths = [tmp_path / "a.drmviz", tmp_path / "b.drmviz"]
    Machine(host="a").record(paths[0], run_id="aa11")
    Machine(host="b", ticks=7).record(paths[1], run_id="bb22")

    with Stores.open(paths) as stores:
        run = stores.read("bb")
        with pytest.raises(InvalidValueError, match="is not in this store; it holds aa11, bb22"):
            stores.read("cc")

    assert (run.measured_ticks, run.header.id) == (7, "bb22")


def test_a_file_without_a_run_and_a_run_without_ticks_change_nothing_and_are_named(tmp_path: Path) -> None:
    empty, begun, full = (tmp_path / f"{name}.drmviz" for name in ("empty", "begun", "full"))
    Writer.open(empty).close()
    Machine(host="begun", ticks=0).record(begun)
    Machine(host="full").record(full)

    with Stores.open([empty, begun, full]) as stores:
        run = stores.read()
    with Stores.open([empty, begun]) as stores:
        nothing = stores.read()
    with Stores.open([empty]) as stores, pytest.raises(StoreError, match="holds no run yet"):
        stores.read()

    assert ids(run) == ["full/gw0", "full/gw1"]
    assert [(o.name, o.state, o.first_s) for o in run.origins] == [
        ("empty", "empty", None),
        ("begun", "empty", None),
        ("full", "finished", START_S),
    ]
    assert run.notes == ("empty: it holds no run yet",)
    assert (nothing.is_empty, nothing.measured_ticks, len(nothing.origins)) == (True, 0, 2)


def test_reading_changes_no_byte_and_leaves_nothing_beside_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.drmviz" for n in range(3)]
    for n, path in enumerate(paths):
        Machine(host=f"ci-{n}").record(path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with Stores.open(paths) as stores:
        stores.read()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_machine_of_which_only_processes_were_seen_keeps_its_rows_and_is_named(tmp_path: Path) -> None:
    plain, fleet = tmp_path / "plain.drmviz", tmp_path / "fleet.drmviz"
    Machine(host="fleet").record(fleet)
    with Writer.open(plain) as writer:
        recording = writer.begin(title="make", started_at_s=START_S, interval_s=1, host="plain")
        values = np.full((len(METRICS), 1), 0.5, dtype=np.float32)
        told = Reading(taken_at_s=START_S, entries=(RosterEntry(id="cc", kind="process"),), values=values)
        recording.append(RosterTracker().observe([told], at_s=START_S, wall_s=START_S))
        recording.finish(START_S + 1)

    with Stores.open([plain, fleet]) as stores:
        run = stores.read()

    assert ids(run) == ["fleet/gw0", "fleet/gw1", "plain/cc"]
    assert run.notes == ("plain: no worker was seen in this window, what is shown of it are its processes",)


def test_what_machines_differ_in_is_not_said_of_all_of_them(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.drmviz" for n in range(2)]
    for n, path in enumerate(paths):
        with Writer.open(path) as writer:
            recording = writer.begin(
                title="pytest", started_at_s=START_S, interval_s=1, host=f"ci-{n}", source="pytest",
                labels={"team": "search", "shard": str(n)},
                facts={"exit_code": n, "pytest": f"8.{n}", "workers_asked": 2, "scaling_policy": {"min_workers": n}},
            )  # fmt: skip
            recording.append(KnownFleet().tick(START_S, ["gw0"]))
            recording.finish(START_S + 1)

    with Stores.open(paths) as stores:
        run = stores.read()

    assert dict(run.header.labels) == {"team": "search"}
    assert dict(run.header.facts) == {"pytest": "8.0, 8.1", "workers_asked": 2}
    assert run.header.source == "pytest"
    assert [origin.exit_code for origin in run.origins] == [0, 1]


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ({"ci-9": 1}, "offset = 'ci-9': is no host and no file of those that are read; there are ci-0, ci-1"),
        ({"ci-0": float("nan")}, "must be a number of seconds"),
        ({"ci-0": 1e11}, "must be a number of seconds"),
        ({"ci-0": True}, "must be a number of seconds"),
        ({"ci-0": 1, "h": 2}, "is what several files are called; they are told apart as ci-0, ci-1"),
        ({"ci-0": 1, "{0}": 2}, "is given another offset as 'ci-0'; give it one"),
    ],
)
def test_an_offset_that_makes_no_sense_is_refused_by_name(tmp_path: Path, offsets: dict[str, float], said: str) -> None:
    paths = [tmp_path / str(n) / "h.drmviz" for n in range(2)]
    for n, path in enumerate(paths):
        path.parent.mkdir()
        Machine(host=f"ci-{n}").record(path)
    named = {key.format(*paths): seconds for key, seconds in offsets.items()}

    with pytest.raises(InvalidValueError) as caught:
        Stores.open(paths, offsets=named)

    assert said in str(caught.value)


def test_a_host_moves_all_of_its_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.drmviz" for n in range(3)]
    for path, host in zip(paths, ("ci", "ci", "box"), strict=True):
        Machine(host=host).record(path)

    with Stores.open(paths, offsets={"ci": 5, "box": -5}) as stores:
        assert stores.offsets_s == (5.0, 5.0, -5.0)


def test_a_file_that_is_damaged_or_not_there_is_named_and_leaves_nothing_open(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.drmviz", tmp_path / "bad.drmviz"
    Machine(host="good").record(good)
    Machine(host="bad", ticks=1300, workers=["a", "b", "c"]).record(bad)
    content = bytearray(bad.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    bad.write_bytes(content)

    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreError, match="nowhere") as caught:
        Stores.open([good, tmp_path / "nowhere.drmviz"])
    assert set(os.listdir("/proc/self/fd")) == before, f"open beside {caught.traceback[-1]}"
    with pytest.raises(InvalidValueError, match="name at least one store"):
        Stores.open([])
    with pytest.raises(StoreDamagedError, match=r"bad\.drmviz"):
        Stores.open([good, bad], offsets={"good": 1})
    with Stores.open([good, bad]) as stores, pytest.raises(StoreDamagedError, match=r"bad\.drmviz"):
        stores.read()
    with Stores.open([bad, good]) as stores, pytest.raises(StoreDamagedError, match=r"bad\.drmviz"):
        stores.read()


def test_damaged_pieces_and_clock_jumps_name_their_machine(tmp_path: Path) -> None:
    paths = [tmp_path / "a.drmviz", tmp_path / "b.drmviz"]
    Machine(host="a").record(paths[0])
    with Writer.open(paths[1]) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1, host="b")
        tracker = RosterTracker()
        for n in range(4):
            at_s = START_S + n
            told = Reading.of(at_s, {"gw0": {"cpu_ratio": 0.5}})
            recording.append(tracker.observe([told], at_s=at_s, wall_s=at_s + (50 if n > 1 else 0)))
        recording.finish(START_S + 4)
        writer._connection.execute("UPDATE chunk SET packed = zeroblob(length(packed)) WHERE metric = 0")

    with Stores.open(paths) as stores:
        run = stores.read(metrics=("cpu_ratio",))

    assert any(note.startswith("b: the wall clock jumped by +50 s") for note in run.notes)
    assert "b: 1 piece of this window are damaged and left out" in run.notes
    assert len(run.notes) == 2


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, KnownFleet]:
    folder = tmp_path_factory.mktemp("two-hours")
    return {
        path: Machine(host=path.stem, workers=["gw0"], interval_s=5, ticks=1500, seed=place).record(path)
        for place, path in enumerate((folder / "a.drmviz", folder / "b.drmviz"))
    }


@pytest.mark.parametrize("offset_s", [0.0, -3600.0, 600.0, 10.0, 7.25])
def test_long_windows_of_machines_with_offsets_equal_a_model_whatever_tier_they_are_read_from(
    two_hours: dict[Path, KnownFleet], offset_s: float
) -> None:
    paths, everything = list(two_hours), KnownFleet()
    for path, fleet in two_hours.items():
        moved_us = round(offset_s * 1e6) if path.stem == "b" else 0
        for (at_us, worker), values in fleet.samples.items():
            everything.samples[at_us + moved_us, f"{path.stem}/{worker}"] = values

    with Stores.open(paths, offsets={"b": offset_s}) as stores:
        run = stores.read(columns=60, metrics=("cpu_ratio",), statistics=("mean", "max"))

    assert run.width_s >= 120, "wide enough for the tier of a minute"
    for statistic in ("mean", "max"):
        expected = everything.expected(
            "cpu_ratio", statistic, workers=["a/gw0", "b/gw0"], starts_at_s=run.starts_at_s, width_s=run.width_s
        )  # fmt: skip
        np.testing.assert_allclose(run.values("cpu_ratio", statistic), expected, rtol=1e-5)
    assert run.measured_ticks == 3000


@pytest.mark.parametrize(("offset_s", "notes"), [(-10.0, 0), (-7.25, 1), (-3600.0, 0)])
def test_where_only_rollups_are_kept_an_offset_that_splits_them_is_said(
    tmp_path: Path, offset_s: float, notes: int
) -> None:
    path, other = tmp_path / "h.drmviz", tmp_path / "other.drmviz"
    Machine(host="a", workers=["gw0"], interval_s=1, ticks=1500, missing=0).record(path)
    Machine(host="b", begin_s=START_S + offset_s, workers=["gw0"], ticks=1500, missing=0).record(other)
    with Writer.open(path) as writer:
        while writer.advance_sealing():
            pass
        writer._connection.execute("DELETE FROM chunk WHERE tier = 0")
        writer._connection.execute("UPDATE block SET tiers = tiers & ~1, times = NULL")

    with Stores.open([path, other], offsets={"a": offset_s}) as stores:
        run = stores.read(columns=600, metrics=("cpu_ratio",))
    with Store.open(path) as store:
        alone = store.read(columns=600, metrics=("cpu_ratio",))

    assert run.width_s == 10.0
    said = "a: of a part of it only buckets of 10 s are kept, which with this offset are shown up to 10 s early"
    assert run.notes == (said,) * notes
    shown = run.values("cpu_ratio")[0]
    shown = shown[np.isfinite(shown)]
    np.testing.assert_allclose(shown, alone.values("cpu_ratio")[0][: len(shown)], rtol=1e-6)
    assert len(shown) == alone.columns

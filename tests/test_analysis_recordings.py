"""What is said of several recordings is said of each by itself: no test moves from one machine to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drmviz.analysis.recordings import recordings
from drmviz.analysis.scaling import episodes, fleet_use
from drmviz.analysis.study import study
from drmviz.analysis.tests import tests as table_of
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.run import Run
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Store, Stores, Writer
from tests.fleets import START_S

FOUR_CORES = WorkerCapacity(cpu_millicores=4000, memory_bytes=2**34)
ONE_CORE = WorkerCapacity(cpu_millicores=1000, memory_bytes=2**32)


def machine(
    path: Path,
    *,
    begin_s: float = START_S,
    seconds: int = 20,
    host_cpu: float = 0.5,
    has_host: bool = True,
    lengths: Sequence[tuple[float, ...]] = (),
    decisions: Sequence[ScalingDecision] = (),
) -> None:
    """Record a machine of four cores with a worker for each tuple of lengths; its tests run one after the other."""
    entries = tuple(
        RosterEntry(id=f"gw{n}", host=path.stem, capacity=ONE_CORE) for n in range(max(1, len(lengths)))
    ) + ((RosterEntry(id=path.stem, kind="host", host=path.stem, capacity=FOUR_CORES),) if has_host else ())
    tasks = []
    for n, its in enumerate(lengths):
        at_s = begin_s
        for number, length in enumerate(its):
            name = f"test_{n}_{number}"
            tasks.append(
                Task(name=name, worker=f"gw{n}", outcome="passed", started_at_s=at_s, ended_at_s=at_s + length)
            )
            at_s += length
    with Writer.open(path) as writer:
        recording = writer.begin(
            title="t", started_at_s=begin_s, interval_s=1, host=path.stem, facts={"pytest": "8.4"}
        )  # fmt: skip
        tracker = RosterTracker()
        for second in range(seconds):
            now_s = begin_s + second
            values = np.full((len(METRICS), len(entries)), np.nan, dtype=np.float32)
            values[0] = [host_cpu if entry.kind == "host" else 0.25 for entry in entries]
            values[1] = 0.125
            told = Reading(
                taken_at_s=now_s,
                entries=entries,
                values=values,
                tasks=tuple(tasks) if second == seconds - 1 else (),
                decisions=tuple(each for each in decisions if now_s <= each.decided_at_s < now_s + 1),
            )
            recording.append(tracker.observe([told], at_s=now_s, wall_s=now_s))
        recording.finish(begin_s + seconds)


def together(*paths: Path) -> tuple[Run, Run]:
    with Stores.open(paths) as stores:
        return (
            stores.read(statistics=("mean", "max")),
            stores.read(kinds=("host",), statistics=("mean", "max")),
        )


def test_hosts_add_up_each_over_its_own_time(tmp_path: Path) -> None:
    machine(tmp_path / "a.drmviz", seconds=20, host_cpu=0.5)
    machine(tmp_path / "b.drmviz", begin_s=START_S + 3600, seconds=40, host_cpu=0.25)
    run, host = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")

    idle = study(run, host).host

    assert idle.cores == 8
    assert idle.idle_core_s == pytest.approx(20 * 4 * 0.5 + 40 * 4 * 0.75, rel=0.05)
    assert idle.idle_ratio == pytest.approx((20 * 0.5 + 40 * 0.75) / 60, rel=0.05)
    assert idle.cores_without_worker == pytest.approx(6)
    assert idle.memory_max_ratio == pytest.approx(0.125)


def test_hosts_of_which_one_was_not_measured_are_not_known_as_a_whole(tmp_path: Path) -> None:
    machine(tmp_path / "a.drmviz")
    machine(tmp_path / "b.drmviz", has_host=False)
    run, host = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")

    idle = study(run, host).host

    assert (idle.cores, idle.idle_ratio, idle.idle_core_s, idle.memory_max_ratio) == (None, None, None, None)


def test_the_tail_is_that_of_one_recording_however_far_apart_they_are(tmp_path: Path) -> None:
    machine(tmp_path / "a.drmviz", lengths=[(5.0, 9.0), (4.0,)])
    machine(tmp_path / "b.drmviz", begin_s=START_S + 3600, lengths=[(3.0,), (5.0,)])
    run, _ = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")

    tail = table_of(run).tail

    assert tail is not None
    assert (tail.seconds, tail.from_s, tail.to_s) == (10.0, START_S + 4, START_S + 14)
    assert [task.worker for task in tail.tests] == ["a/gw0", "a/gw0"]


def test_the_advice_is_that_which_saves_one_recording_most_and_names_it(tmp_path: Path) -> None:
    machine(tmp_path / "a.drmviz", lengths=[(4.0, 4.0), (4.0, 4.0)])
    machine(tmp_path / "b.drmviz", lengths=[(2.0, 2.0, 14.0), (2.0, 2.0, 2.0)], has_host=False)
    run, host = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")
    with Store.open(tmp_path / "b.drmviz") as store:
        alone = study(store.read(statistics=("mean", "max"))).advice

    advice = study(run, host).advice

    assert (alone.kind, advice.kind) == ("split", "split")
    assert advice.sentence == f"b: {alone.sentence}"
    assert (advice.saves_s, advice.test) == (alone.saves_s, alone.test)


def test_where_no_recording_would_gain_it_is_said_of_all(tmp_path: Path) -> None:
    for name in "ab":
        machine(tmp_path / f"{name}.drmviz", lengths=[(9.0, 9.0), (9.0, 9.0)], has_host=False)
    run, _ = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")

    assert study(run).advice.sentence == "Nothing worth changing in any of 2 recordings"


def test_holds_of_two_recordings_are_not_folded_into_each_other(tmp_path: Path) -> None:
    for name in "ab":
        holds = [
            ScalingDecision(action="maintain", decided_at_s=START_S + second, reason="CPU 50 % inside the band")
            for second in (2, 4, 6)
        ]
        machine(tmp_path / f"{name}.drmviz", decisions=holds)
    run, _ = together(tmp_path / "a.drmviz", tmp_path / "b.drmviz")

    found = episodes(run, {"cpu_ratio": fleet_use(run, "cpu_ratio")})

    assert [(episode.newest.host, len(episode.decisions)) for episode in found] == [("a", 3), ("b", 3)]


def test_a_part_is_the_recording_with_its_own_columns_and_one_outside_the_window_is_none(tmp_path: Path) -> None:
    machine(tmp_path / "a.drmviz", lengths=[(5.0,)])
    machine(tmp_path / "b.drmviz", begin_s=START_S + 100, lengths=[(5.0,)])
    with Stores.open([tmp_path / "a.drmviz", tmp_path / "b.drmviz"]) as stores:
        run, early, coarse = stores.read(), stores.read(end_s=START_S + 50), stores.read(columns=9)
    in_one = recordings(coarse)["b"]

    parts = recordings(run)

    assert list(parts) == ["a", "b"]
    assert (parts["b"].start_s, parts["b"].end_s, parts["b"].columns) == (START_S + 100, START_S + 120, 20)
    assert [worker.id for worker in parts["b"].workers] == ["b/gw0"]
    assert [task.worker for task in parts["b"].tasks] == ["b/gw0"]
    assert np.isfinite(parts["b"].values("cpu_ratio")).all()
    assert list(recordings(early)) == ["a"]
    assert in_one.starts_at_s[0] < in_one.start_s, "the column that it begins in is a part of it"
    assert np.isfinite(in_one.values("cpu_ratio")[:, 0]).all()
    assert recordings(replace(run, origins=())) == {}


@pytest.mark.parametrize("apart_s", [0.0, 3.5, 40.0, 3600.0])
def test_sums_over_recordings_are_the_sums_of_each(tmp_path: Path, apart_s: float) -> None:
    lengths: list[list[tuple[float, ...]]] = [[(2.0, 3.0), (4.0,)], [(1.0,)], [(5.0, 5.0), (2.0, 2.0), (9.0,)]]
    paths = [tmp_path / f"{name}.drmviz" for name in "abc"]
    for place, path in enumerate(paths):
        decided = [ScalingDecision(action="scale_up", decided_at_s=START_S + place * apart_s + 3, count=1)]
        machine(
            path, begin_s=START_S + place * apart_s, seconds=20 + 7 * place, lengths=lengths[place], decisions=decided
        )
    run, host = together(*paths)
    parts = []
    for path in paths:
        with Store.open(path) as store:
            host_alone = store.read(kinds=("host",), statistics=("mean", "max"))
            parts.append(study(store.read(statistics=("mean", "max")), host_alone))

    whole = study(run, host)

    assert whole.use.cpu_core_s == pytest.approx(sum(part.use.cpu_core_s or 0 for part in parts), rel=1e-6)
    assert whole.use.alive_s == pytest.approx(sum(part.use.alive_s for part in parts))
    assert whole.table.total_s == pytest.approx(sum(part.table.total_s for part in parts))
    assert len(whole.table.rows) == sum(len(part.table.rows) for part in parts) == 9
    assert len(whole.use.workers) == sum(len(part.use.workers) for part in parts) == 6
    assert whole.host.idle_core_s == pytest.approx(sum(part.host.idle_core_s or 0 for part in parts), rel=0.1)
    assert whole.host.cores == 12
    assert len(run.decisions) == 3

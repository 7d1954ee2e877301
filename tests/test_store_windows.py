"""A window read back equals the same window computed sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drmviz.errors import InvalidValueError
from drmviz.model.metrics import METRICS, STATISTICS, Metric
from drmviz.model.run import Run
from drmviz.store import Store, Writer
from drmviz.store.grids import Columns
from tests.fleets import START_S, KnownFleet, written


def assert_exact(run: Run, fleet: KnownFleet, metric: Metric) -> None:
    ids = [worker.id for worker in run.workers]
    for statistic in STATISTICS:
        expected = fleet.expected(metric, statistic, workers=ids, starts_at_s=run.starts_at_s, width_s=run.width_s)
        if statistic == "mean":
            np.testing.assert_allclose(run.values(metric, "mean"), expected, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(run.values(metric, statistic), expected.astype(np.float32))


def test_a_window_over_hot_and_sealed_ticks_a_roster_change_and_a_missed_stretch_is_exact(tmp_path: Path) -> None:
    fleet = KnownFleet()
    path = tmp_path / "h.drmviz"
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=1.0)
    for second in range(900):
        if 250 <= second < 290:  # a missed stretch, within the block that will be sealed
            continue
        workers = ["gw0", "gw1", "gw2"] if second < 500 else ["gw0", "gw2", "gw10", "gw3"]
        recording.append(fleet.tick(START_S + second, workers, incarnation=second // 700))
    while writer.advance_sealing(1.0):
        pass

    with Store.open(path) as store:  # the writer still holds it: the last block is hot
        blocks = [
            store._connection.execute("SELECT count(*) FROM block WHERE sealed = ?", (sealed,)).get for sealed in (1, 0)
        ]
        for columns in (7, 100, 600, 2000):
            for start, end in ((None, None), (START_S + 123, START_S + 789), (START_S + 255, START_S + 280)):
                run = store.read(
                    start_s=start,
                    end_s=end,
                    columns=columns,
                    metrics=["cpu_ratio", "tasks_running"],
                    statistics=STATISTICS,
                )
                assert run.columns <= columns
                assert_exact(run, fleet, "cpu_ratio")
                assert_exact(run, fleet, "tasks_running")
        whole = store.read(columns=2000, metrics=["cpu_ratio"])
    writer.close()

    assert blocks == [1, 1]
    assert [worker.id for worker in whole.workers] == ["gw0", "gw1", "gw2", "gw3", "gw10"]
    missed = (whole.starts_at_s >= START_S + 250) & (whole.starts_at_s < START_S + 290)
    assert np.isnan(whole.values("cpu_ratio")[:, missed]).all()
    assert whole.alive[:3, missed].all(), "not measured is not the same as not alive"
    gw1, gw10 = whole.alive[1], whole.alive[4]
    assert not gw1[whole.starts_at_s >= START_S + 501].any()
    assert not gw10[whole.starts_at_s < START_S + 500].any()
    assert gw10[whole.starts_at_s >= START_S + 500].all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_window_of_any_churning_fleet_is_exact_hot_or_sealed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "h.drmviz"
    fleet = KnownFleet(seed=data.draw(st.integers(0, 1000)))
    names = [f"w{i}" for i in range(8)]
    interval_s = data.draw(st.sampled_from([0.1, 0.5, 1.0, 7.0, 30.0]))
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=interval_s)
    tick, at_s = 0, START_S
    lived: set[str] = set()
    for _ in range(data.draw(st.integers(1, 6))):
        tick += data.draw(st.integers(0, 12))  # missed ticks
        workers = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=8))
        lived.update(workers)
        life = data.draw(st.integers(0, 2))
        for _ in range(data.draw(st.integers(1, 12))):
            at_s = START_S + tick * interval_s
            recording.append(fleet.tick(at_s, workers, incarnation=life))
            tick += 1
    if data.draw(st.booleans()):
        recording.finish(at_s)
        writer.close()
    first = data.draw(st.integers(-2, tick))
    last = data.draw(st.integers(first + 1, tick + 3))

    with Store.open(path) as store:
        run = store.read(
            start_s=START_S + first * interval_s,
            end_s=START_S + last * interval_s,
            columns=data.draw(st.integers(1, 40)),
            statistics=STATISTICS,
        )
    writer.close()

    for metric in METRICS:
        assert_exact(run, fleet, metric)
    assert {worker.id for worker in run.workers} <= lived
    assert not np.isfinite(run.values("cpu_ratio"))[~run.alive].any(), "measured but not alive"


def test_many_incarnations_fill_several_chunks_and_come_back_exact(tmp_path: Path) -> None:
    fleet = KnownFleet(seed=5)
    path = tmp_path / "h.drmviz"
    ticks = [fleet.tick(START_S + s, [f"w{i}" for i in range(s * 3, s * 3 + 150)]) for s in range(60)]
    written(path, ticks)

    with Store.open(path) as store:
        run = store.read(columns=17, metrics=["memory_ratio"], statistics=STATISTICS)
        some = store.read(workers=["w200", "w5"], columns=60, metrics=["memory_ratio"], statistics=STATISTICS)

    assert len(run.workers) == 150 + 59 * 3
    assert_exact(run, fleet, "memory_ratio")
    assert [worker.id for worker in some.workers] == ["w200", "w5"]
    assert_exact(some, fleet, "memory_ratio")


def test_columns_are_whole_intervals_on_multiples_of_the_epoch(tmp_path: Path) -> None:
    fleet = KnownFleet()
    path = tmp_path / "h.drmviz"
    written(path, [fleet.tick(START_S + 0.3 + s, ["a"], missing=0) for s in range(100)])

    with Store.open(path) as store:
        run = store.read(columns=30, metrics=["cpu_ratio"])

    assert run.width_s == 4.0
    assert (run.starts_at_s % 4.0 == 0).all()
    assert np.isfinite(run.values("cpu_ratio")).all()


def test_a_metric_that_was_not_read_is_an_error_not_an_empty_picture(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, ["a"])])

    with Store.open(path) as store:
        run = store.read(metrics=["cpu_ratio"])

    with pytest.raises(InvalidValueError, match=r"memory_ratio.*was not read"):
        run.values("memory_ratio")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"workers": ["nobody"]}, "nobody.*did not live in this window; there were a"),
        ({"run_id": "zz"}, "zz.*is not in this store"),
        ({"start_s": START_S + 9, "end_s": START_S}, "would end before its start"),
        ({"columns": 0}, "must be at least 1"),
    ],
)
def test_a_wrong_question_names_what_is_wrong(tmp_path: Path, asked: dict[str, object], message: str) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, ["a"])])

    with Store.open(path) as store, pytest.raises(InvalidValueError, match=message):
        store.read(**asked)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(0, 10**16),
    span=st.integers(1, 10**13),
    interval=st.integers(1, 10**9),
    at_most=st.integers(1, 5000),
)
def test_columns_cover_the_window_with_no_more_than_asked(start: int, span: int, interval: int, at_most: int) -> None:
    columns = Columns.over(start, start + span, interval_us=interval, at_most=at_most)

    assert 1 <= columns.count <= at_most
    assert columns.first_us <= start < columns.first_us + columns.width_us
    assert columns.end_us >= start + span
    assert columns.width_us % interval == 0
    assert at_most == 1 or columns.first_us % columns.width_us == 0


def test_a_life_in_the_outer_part_of_an_edge_column_is_in_its_numbers(tmp_path: Path) -> None:
    fleet = KnownFleet(seed=3)
    path = tmp_path / "h.drmviz"
    ticks = [fleet.tick(START_S + s, ["a"], incarnation=int(s >= 7), missing=0) for s in range(30)]
    written(path, ticks)

    with Store.open(path) as store:
        run = store.read(start_s=START_S + 8, end_s=START_S + 30, columns=5, statistics=STATISTICS)

    assert run.starts_at_s[0] < START_S + 7
    assert_exact(run, fleet, "cpu_ratio")

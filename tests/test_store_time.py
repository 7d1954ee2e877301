"""No zone, no change of the clocks and no clock that is set wrong moves, loses or doubles a tick."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drmviz.collector import Collector
from drmviz.drawing import draw
from drmviz.model.metrics import STATISTICS
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry
from drmviz.store import Store, Writer
from drmviz.system import SimulatedClock
from tests.fleets import KnownFleet
from tests.test_store_windows import assert_exact

CHANGES = {
    "Berlin, an hour is left out": ("Europe/Berlin", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
    "Berlin, an hour comes twice": ("Europe/Berlin", datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
    "Lord Howe, half an hour is left out": ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "Lord Howe, half an hour comes twice": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, 0, tzinfo=UTC)),
    "Apia, a day is left out": ("Pacific/Apia", datetime(2011, 12, 30, 10, 0, tzinfo=UTC)),
    "Kathmandu, a quarter of an hour is left out": ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),
    "Berlin, a leap day and a year end": ("Europe/Berlin", datetime(2028, 2, 28, 23, 0, tzinfo=UTC)),
}


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("zone", "moment"), CHANGES.values(), ids=CHANGES.keys(), indirect=["zone"])
def test_where_local_clocks_change_every_hour_has_3600_seconds(zone: str, moment: datetime, tmp_path: Path) -> None:
    start_s = moment.timestamp() - 7200
    if moment.year != 2028:
        before, after = (datetime.fromtimestamp(moment.timestamp() + s, ZoneInfo(zone)).utcoffset() for s in (-1, 0))
        assert before != after, "this is where they change"
    fleet = KnownFleet(seed=2)
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=start_s, interval_s=20)
        for i in range(720):
            recording.append(fleet.tick(start_s + 20 * i, ["a"]), seal=i % 100 == 99)
        recording.finish(start_s + 14_400)

    with Store.open(path) as store:
        fine = store.read(columns=720, statistics=STATISTICS)
        hours = store.read(columns=5, metrics=["cpu_ratio"])

    assert fine.columns == 720
    assert fine.measured_ticks == 720
    np.testing.assert_array_equal(np.diff(fine.starts_at_s), 20)
    assert fine.starts_at_s[0] == start_s
    assert hours.width_s % 600 == 0
    assert_exact(fine, fleet, "cpu_ratio")
    (html,) = draw(path, figures=["resource_utilization_heatmap"], output_dir=tmp_path)
    assert moment.strftime("%Y-%m-%dT%H:%M") in html.read_text(), "drawn in UTC, whatever the zone of this machine"


class One:
    """A source of one worker."""

    name = "one"

    def read(self, now_s: float) -> Reading:
        return Reading.unknown([RosterEntry(id="a")], taken_at_s=now_s)

    def close(self) -> None:
        """Nothing to let go."""


@settings(max_examples=25, deadline=None)
@given(
    jumps=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([-3600.0, 3600.0, -86_400.0, 10 * 365 * 86_400.0, 2.5, -0.4])),
        max_size=4,
        unique_by=lambda jump: jump[0],
    )
)
def test_a_wall_clock_that_is_set_loses_no_tick_and_is_told(
    jumps: list[tuple[int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("jumps") / "h.drmviz"
    clock = SimulatedClock()
    at_ticks = dict(jumps)
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=clock.wall_s(), interval_s=1)
        began_s = clock.wall_s()
        collector = Collector([One()], recording, clock=clock, started_at_s=began_s, interval_s=1)
        for i in range(42):
            collector.tick()
            clock.advance(1)
            clock.jump(at_ticks.get(i, 0.0))
        collector.close()
        recording.finish(began_s + 42)

    with Store.open(path) as store:
        run = store.read(columns=100)

    assert run.measured_ticks == 42
    assert run.starts_at_s.tolist() == [began_s + i for i in range(42)]
    told = [note for note in run.notes if "the wall clock jumped" in note]
    drifts = np.cumsum([at_ticks.get(i, 0.0) for i in range(41)])
    expected, told_drift = [], 0.0
    for i, drift in enumerate(drifts):
        if abs(drift - told_drift) > 1:
            expected.append(f"jumped by {drift - told_drift:+.0f} s at {began_s + i + 1:.0f} (epoch)")
            told_drift = drift
    assert len(told) == len(expected)
    assert all(sentence in note for sentence, note in zip(expected, told, strict=True))


def test_a_recording_dated_2098_is_kept_and_neither_stops_nor_hides_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    in_2098_s, now_s = datetime(2098, 6, 1, tzinfo=UTC).timestamp(), datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    for start_s in (in_2098_s, now_s):
        fleet = KnownFleet()
        with Writer.open(path) as writer:
            recording = writer.begin(title="t", started_at_s=start_s, interval_s=1)
            for i in range(700):
                recording.append(fleet.tick(start_s + i, ["a"]), seal=i % 100 == 99)
            recording.finish(start_s + 700)

    with Store.open(path) as store:
        assert [header.started_at_s for header in store.runs()] == [in_2098_s, now_s]
        newest = store.read(columns=700, statistics=STATISTICS)
        both = store.read_all(metrics=["cpu_ratio"])

    assert newest.measured_ticks == 700
    assert_exact(newest, fleet, "cpu_ratio")
    assert both.measured_ticks == 1400
    assert int(np.isfinite(both.values("cpu_ratio")).sum()) == 2

"""What comes over `/ws`: a snapshot, then each tick as it was taken; a gap is told and can be filled."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from websockets.sync.client import ClientConnection, connect

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.frames import HEADER, MAGIC
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub
from drmviz.model.metrics import METRIC_ROW, METRICS
from drmviz.model.run import RunHeader
from tests.dashboards import HANDSHAKE, TOKEN, ask, serving
from tests.fleets import START_S, KnownFleet

BEARER = ("Authorization", f"Bearer {TOKEN}")


@dataclass
class Live:
    """A dashboard over a hub that is fed by hand."""

    hub: Hub
    known: KnownFleet
    server: DashboardServer
    n: int = 0

    def tick(self, *workers: str) -> None:
        self.hub.add(self.known.tick(START_S + self.n, workers or ("w1", "w2")))
        self.n += 1

    def look_on(self, query: str = "") -> ClientConnection:
        viewer: ClientConnection = connect(f"ws://127.0.0.1:{self.server.port}/ws{query}", additional_headers=[BEARER])
        return viewer

    def sample(self, n: int, worker: str) -> np.ndarray:
        return self.known.samples[round((START_S + n) * 1e6), worker]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    hub = Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0), kept_s=30.0)
    with serving(Fleet([tmp_path / "none"], hub=hub)) as server:
        yield Live(hub, KnownFleet(), server)


@dataclass(frozen=True)
class Frame:
    sequence: int
    roster: int
    at_s: float
    values: np.ndarray


def decoded(content: str | bytes) -> Any:
    """Return a frame as a browser would read it, from its description alone, or the JSON of a text."""
    if isinstance(content, str):
        return orjson.loads(content)
    magic, version, metrics, sequence, roster, at_s, workers, zero = struct.unpack_from("<4sHHIIdII", content)
    assert (magic, version, zero) == (b"DRMV", 1, 0)
    assert len(content) == 32 + 4 * metrics * workers
    values = np.frombuffer(content, dtype="<f4", offset=32).reshape(metrics, workers)
    return Frame(sequence, roster, at_s, values)


def take(viewer: ClientConnection, count: int) -> list[Any]:
    return [decoded(viewer.recv(timeout=10)) for _ in range(count)]


def test_the_header_keeps_numbers_aligned() -> None:
    assert HEADER.size == 32
    assert len(MAGIC) == 4


def test_first_the_snapshot_then_who_is_meant_then_every_tick(live: Live) -> None:
    live.tick()
    with live.look_on() as viewer:
        snapshot, roster, first = take(viewer, 3)
        live.tick()
        (second,) = take(viewer, 1)

    assert (snapshot["type"], snapshot["sequence"], snapshot["at_s"]) == ("snapshot", 0, START_S + 1)
    assert roster["type"] == "roster"
    assert [worker["id"] for worker in roster["workers"]] == ["w1", "w2"]
    assert (first.sequence, first.roster, first.at_s) == (0, roster["roster"], START_S)
    assert (second.sequence, second.roster, second.at_s) == (1, roster["roster"], START_S + 1)
    assert second.values.shape == (len(METRICS), 2)
    np.testing.assert_array_equal(second.values[:, 1], live.sample(1, "w2"))
    assert np.isnan(second.values).any()


def test_a_channel_has_one_metric(live: Live) -> None:
    live.tick()
    with live.look_on("?metric=gpu_ratio") as viewer:
        *_, frame = take(viewer, 3)

    assert frame.values.shape == (1, 2)
    np.testing.assert_array_equal(frame.values[0, 0], live.sample(0, "w1")[METRIC_ROW["gpu_ratio"]])


def test_who_joins_and_leaves_is_told_before_the_numbers_of_the_new_roster(live: Live) -> None:
    live.tick("w1")
    with live.look_on() as viewer:
        take(viewer, 3)
        live.tick("w2")
        events, roster, frame = take(viewer, 3)

    assert [(event["type"], event["worker"]) for event in events["events"]] == [("joined", "w2"), ("left", "w1")]
    assert events["sequence"] == frame.sequence == 1
    assert [worker["id"] for worker in roster["workers"]] == ["w2"]
    assert frame.roster == roster["roster"]


def test_who_was_away_goes_on_where_it_was(live: Live) -> None:
    for _ in range(6):
        live.tick()
    with live.look_on("?after=2") as viewer:
        roster, *caught_up = take(viewer, 4)
        live.tick()
        (then,) = take(viewer, 1)

    assert roster["type"] == "roster"
    assert [frame.sequence for frame in (*caught_up, then)] == [3, 4, 5, 6]


@pytest.mark.parametrize("after", [3, 100])
def test_who_was_away_for_too_long_or_comes_from_another_run_gets_a_snapshot(live: Live, after: int) -> None:
    for _ in range(40):
        live.tick()
    with live.look_on(f"?after={after}") as viewer:
        snapshot, _, frame = take(viewer, 3)

    assert snapshot["type"] == "snapshot"
    assert frame.sequence == 39


def test_a_page_that_missed_something_asks_for_it(live: Live) -> None:
    for _ in range(5):
        live.tick()
    with live.look_on() as viewer:
        take(viewer, 3)
        viewer.send('{"after": 1}')
        again = take(viewer, 3)

    assert [frame.sequence for frame in again] == [2, 3, 4]


def test_what_is_gone_is_told_as_a_gap(live: Live) -> None:
    for _ in range(40):
        live.tick()
    with live.look_on() as viewer:
        take(viewer, 3)
        viewer.send('{"after": 0}')
        gap, *again = take(viewer, 31)

    assert gap == {"type": "gap", "from": 1, "to": 9}
    assert [frame.sequence for frame in again] == list(range(10, 40))


def test_everybody_sees_the_same_and_who_leaves_is_forgotten(live: Live) -> None:
    live.tick()
    with live.look_on() as one, live.look_on("?metric=cpu_ratio") as other:
        take(one, 3)
        take(other, 3)
        assert live.server.viewers == 2
        live.tick()
        (whole,), (part,) = take(one, 1), take(other, 1)

    np.testing.assert_array_equal(whole.values[:1], part.values)


@pytest.mark.parametrize("query", ["?metric=nonsense", "?after=-1", "?after=x", "?more=1", "?metric=a&metric=b"])
def test_a_channel_that_there_is_not_is_refused_before_the_handshake(live: Live, query: str) -> None:
    reply = ask(live.server.port, f"/ws{query}", headers=[*HANDSHAKE, BEARER])

    assert reply.status == 400
    assert b'"detail"' in reply.body


def test_a_hub_answers_the_api_where_the_disk_holds_nothing(live: Live) -> None:
    live.tick()
    live.tick()

    reply = ask(live.server.port, "/api/v1/heatmap?metric=cpu_ratio", headers=[BEARER])

    answer = orjson.loads(reply.body)
    assert answer["workers"] == ["w1", "w2"]
    row = METRIC_ROW["cpu_ratio"]
    expected = [[live.sample(n, worker)[row] for n in range(2)] for worker in ("w1", "w2")]
    np.testing.assert_array_equal(np.array(answer["values"], dtype=np.float32), expected)

"""What the scripts of the page are sent: cells in few bytes, the overview in words, figures one by one."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from drmviz.dashboard.cells import NOT_ALIVE, NOT_MEASURED, quantised
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.kept import KeptAnswers
from drmviz.figures.bundle import bundle_path
from drmviz.live import Hub
from drmviz.model.metrics import METRIC_ROW
from drmviz.model.run import RunHeader
from drmviz.report.dashboard import OUTLINES
from tests.dashboards import TOKEN, Reply, ask, serving
from tests.fleets import START_S, KnownFleet
from tests.test_dashboard_api import HOSTILE, small_fleet

BEARER = ("Authorization", f"Bearer {TOKEN}")


@dataclass(frozen=True)
class Client:
    port: int

    def reply(self, path: str) -> Reply:
        return ask(self.port, path, headers=[BEARER])

    def json(self, path: str) -> Any:
        reply = self.reply(f"/api/v1/{path}")
        assert reply.status == 200, reply.body
        return orjson.loads(reply.body)

    def cells(self, query: str = "") -> tuple[Any, np.ndarray]:
        """Return head and codes as a browser would read them, from their description alone."""
        body = self.reply(f"/api/v1/cells{query}").body
        length = int.from_bytes(body[:4], "little")
        assert length % 4 == 0
        head = orjson.loads(body[4 : 4 + length])
        shape = len(head["workers"]), head["columns"]
        return head, np.frombuffer(body, dtype="<u2", offset=4 + length).reshape(shape)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("parts") / "h.drmviz"
    small_fleet(path)
    with serving(Fleet([path])) as server:
        yield Client(server.port)


@pytest.fixture
def hub() -> Hub:
    return Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0), kept_s=30.0)


def test_cells_tell_a_number_from_a_gap_and_both_from_absence(client: Client) -> None:
    head, codes = client.cells()

    assert [worker["id"] for worker in head["workers"]] == [HOSTILE, "w1"]
    assert (head["first_s"], head["width_s"], head["columns"], head["step"]) == (START_S, 1.0, 4, 0.001)
    assert codes.tolist() == [[NOT_ALIVE, NOT_ALIVE, NOT_MEASURED, NOT_MEASURED], [500] * 4]
    assert (head["sequence"], head["workers"][1]["host"]) == (None, "box")


def test_the_last_seconds_can_be_asked_for(client: Client) -> None:
    head, codes = client.cells("?last=2")

    assert (head["first_s"], codes.shape) == (START_S + 2, (2, 2))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x", "1e12"])
def test_a_span_that_is_none_is_refused(client: Client, value: str) -> None:
    reply = client.reply(f"/api/v1/overview?last={value}")

    assert reply.status == 400
    assert b"must be a number of seconds above 0" in reply.body


def test_codes_cut_nothing_that_can_be_seen_and_never_become_a_sign() -> None:
    values = np.array([[0.0, 0.0004, 0.12345, 1.5, 1e9, np.nan]], dtype=np.float32)

    codes = quantised(values, np.ones(values.shape, dtype=np.bool_), step=0.001)

    assert codes.tolist() == [[0, 0, 123, 1500, NOT_MEASURED - 1, NOT_MEASURED]]


def test_who_left_before_the_tick_of_a_column_is_no_gap() -> None:
    values = np.array([[0.5, np.nan, np.nan], [np.nan, np.nan, np.nan]], dtype=np.float32)
    alive = np.array([[True, True, False], [True, True, False]])

    codes = quantised(values, alive, step=0.001)

    assert codes.tolist() == [[500, NOT_ALIVE, NOT_ALIVE], [NOT_MEASURED, NOT_MEASURED, NOT_ALIVE]]


def test_the_sequence_of_cells_is_that_of_the_newest_tick_in_them(tmp_path: Path, hub: Hub) -> None:
    known = KnownFleet()
    for n in range(40):
        hub.add(known.tick(START_S + n, ["w1"]))
    with serving(Fleet([tmp_path / "none"], hub=hub)) as server:
        head, codes = Client(server.port).cells("?last=20")

        assert (head["sequence"], head["run"], head["columns"]) == (39, "0123456789ab", 20)
        newest = known.samples[round((START_S + 39) * 1e6), "w1"][METRIC_ROW["cpu_ratio"]]
        expected = NOT_MEASURED if np.isnan(newest) else round(float(newest) * 1000)
        assert abs(int(codes[0, -1]) - expected) <= 1


def test_the_overview_says_what_the_file_says(client: Client) -> None:
    of = client.json("overview")

    assert [card["label"] for card in of["cards"]] == ["Workers", "CPU", "Memory", "GPU", "Idle reservations", "Cost"]
    assert of["cards"][1]["value"] == "50"
    (entry,) = of["entries"]
    assert (entry["badge"], entry["heading"], entry["sentence"]) == ("+1", "Add 1 worker", "busy")
    assert [event["kind"] for event in of["events"]] == ["added"]
    assert of["nothing"] == ""
    assert of["tests"] == len(client.json("tasks")["tests"])


@pytest.mark.parametrize("name", list(OUTLINES))
def test_every_figure_comes_with_its_numbers_and_its_words(client: Client, name: str) -> None:
    figure = client.json(f"figure?name={name}")

    assert figure["variants"]
    for variant in figure["variants"]:
        assert variant["spec"]["data"]
        assert variant["themes"]
        assert variant["description"]
        assert variant["numbers"]["rows"]
        assert variant["height"] > 0


def test_a_figure_that_there_is_not_is_named(client: Client) -> None:
    reply = client.reply("/api/v1/figure?name=pie")

    assert reply.status == 400
    assert b"is not one of use, scaling" in reply.body


def test_plotly_is_sent_once_and_for_good(client: Client) -> None:
    reply = client.reply("/static/plotly.min.js?v=1")

    assert reply.headers["content-encoding"] == "gzip"
    assert "immutable" in reply.headers["cache-control"]
    assert gzip.decompress(reply.body) == bundle_path().read_bytes()


def test_the_page_carries_neither_plotly_nor_a_figure(client: Client) -> None:
    page = client.reply("/").body

    assert len(page) < 120_000
    assert b'id="drmviz-plotly"' not in page
    assert b"<img" not in page
    assert b" style=" not in page
    assert b"onclick" not in page


def test_an_answer_is_made_once_for_each_state() -> None:
    kept, made = KeptAnswers(), []

    def make() -> bytes:
        made.append(1)
        return str(len(made)).encode()

    assert [kept.get("q", version, make) for version in (1, 1, 2, 2)] == [b"1", b"1", b"2", b"2"]
    assert kept.get("another", 2, make) == b"3"


def test_whoever_asks_while_an_answer_is_made_waits_for_it() -> None:
    kept, made = KeptAnswers(), []
    is_asked, may_go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        made.append(1)
        is_asked.set()
        assert may_go_on.wait(10)
        return b"once"

    threads = [threading.Thread(target=lambda: kept.get("q", 1, make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert is_asked.wait(10)
    may_go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(made) == 1


def test_answers_that_nobody_asked_for_lately_are_let_go() -> None:
    kept, made = KeptAnswers(at_most=2), []

    def make() -> bytes:
        made.append(1)
        return b""

    for question in ("a", "b", "c", "a"):
        kept.get(question, 1, make)

    assert len(made) == 4


def test_large_answers_make_room_for_the_newest() -> None:
    kept, made = KeptAnswers(at_most_bytes=10), []

    def make() -> bytes:
        made.append(1)
        return b"123456"

    for question in ("a", "b", "b", "a"):
        kept.get(question, 1, make)

    assert len(made) == 3


def test_an_answer_that_failed_is_not_kept() -> None:
    kept = KeptAnswers()

    def fail() -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.get("q", 1, fail)

    assert kept.get("q", 1, lambda: b"yes") == b"yes"

"""What the API answers is what was recorded: numbers, gaps as null, errors that name the parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.routes import ENDPOINTS
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from tests.dashboards import TOKEN, Reply, ask, serving
from tests.fleets import START_S, KnownFleet, written

BEARER = ("Authorization", f"Bearer {TOKEN}")
HOSTILE = '</script><img src=x onerror="alert(1)">\u202e'
FOUR_CORES = WorkerCapacity(cpu_millicores=4000, memory_bytes=8 * 2**30)


@dataclass(frozen=True)
class Client:
    port: int

    def reply(self, path: str) -> Reply:
        return ask(self.port, path, headers=[BEARER])

    def get(self, path: str) -> Any:
        reply = self.reply(f"/api/v1/{path}")
        assert reply.status == 200, reply.body
        return orjson.loads(reply.body)

    def refused(self, path: str) -> str:
        reply = self.reply(f"/api/v1/{path}")
        assert reply.status == 400, reply.body
        return str(orjson.loads(reply.body)["detail"])


def small_fleet(path: Path) -> None:
    """Record 4 ticks: w1 uses half of its 4 cores and has 3 reserved; w2 came for the last two, its use is unknown."""
    tracker = RosterTracker()
    ticks = []
    for n in range(4):
        ids = ["w1", HOSTILE] if n >= 2 else ["w1"]
        entries = [RosterEntry(id=worker, host="box", pid=7, capacity=FOUR_CORES) for worker in ids]
        reading = Reading.unknown(
            entries, taken_at_s=START_S + n,
            decisions=[ScalingDecision(action="scale_up", decided_at_s=START_S + 1, count=1, reason="busy",
                                       metric="cpu_ratio", value=0.9, threshold=0.8)] if n == 1 else [],
            tasks=[Task(name="t.py::test[é]", worker="w1", outcome="passed", started_at_s=START_S,
                        ended_at_s=START_S + 1.5, cpu_s=0.75)] if n == 2 else [],
            cloud=[CloudUsage(at_s=START_S, provider="aws", workers=2, per_hour=Decimal("0.3456"), currency="USD",
                              basis="list")] if n == 0 else [],
        )  # fmt: skip
        reading["cpu_ratio"] = [0.5, None][: len(ids)]
        reading["memory_ratio"] = [0.25, None][: len(ids)]
        reading["cpu_reserved_ratio"] = [0.75, 0.25][: len(ids)]
        ticks.append(tracker.observe([reading], at_s=START_S + n, wall_s=START_S + n))
    written(path, ticks)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("api") / "h.drmviz"
    small_fleet(path)
    with serving(Fleet([path])) as server:
        yield Client(server.port)


def test_a_heatmap_has_every_number_and_null_where_there_is_none(client: Client) -> None:
    answer = client.get("heatmap?metric=cpu_ratio&columns=4")

    assert answer == {
        "metric": "cpu_ratio", "statistic": "mean", "workers": [HOSTILE, "w1"], "width_s": 1.0,
        "starts_at_s": [START_S + n for n in range(4)], "values": [[None] * 4, [0.5] * 4],
    }  # fmt: skip


def test_a_heatmap_of_a_window_is_the_same_as_computed_sample_by_sample(tmp_path: Path) -> None:
    known = KnownFleet()
    names = ["w1", "w2", "w3"]
    written(tmp_path / "k.drmviz", [known.tick(START_S + n, names) for n in range(60)])
    with serving(Fleet([tmp_path / "k.drmviz"])) as server:
        answer = Client(server.port).get(
            f"heatmap?metric=memory_ratio&statistic=max&columns=5&start={START_S + 10}&end={START_S + 50}"
        )

    starts = np.array(answer["starts_at_s"])
    expected = known.expected("memory_ratio", "max", workers=names, starts_at_s=starts, width_s=answer["width_s"])
    assert answer["workers"] == names
    np.testing.assert_allclose(np.array(answer["values"], dtype=np.float64), expected, rtol=1e-6)
    assert len(starts) <= 5


def test_a_series_has_the_mean_and_both_extremes(client: Client) -> None:
    answer = client.get("series?worker=w1&metric=cpu_reserved_ratio&points=2")

    assert (answer["worker"], answer["metric"], answer["width_s"]) == ("w1", "cpu_reserved_ratio", 2.0)
    assert answer["mean"] == answer["min"] == answer["max"] == [0.75, 0.75]


def test_workers_tasks_and_decisions_are_those_of_the_command_line(client: Client) -> None:
    workers = client.get("workers")["workers"]
    (task,) = client.get("tasks")["tests"]
    scaling = client.get("scaling")

    assert [(each["id"], each["pid"], each["joined_at_s"]) for each in workers] == [
        (HOSTILE, 7, START_S + 2), ("w1", 7, START_S)]  # fmt: skip
    assert workers[1]["capacity"] == {
        "cpu_cores": 4.0, "memory_bytes": 8 * 2**30, "gpus": None, "gpu_memory_bytes": None}  # fmt: skip
    assert (task["nodeid"], task["cpu_s"], task["memory_bytes"]) == ("t.py::test[é]", 0.75, None)
    assert [(each["action"], each["value"], each["threshold"]) for each in scaling["decisions"]] == [
        ("scale_up", 0.9, 0.8)]  # fmt: skip
    assert {"at_s": START_S + 2, "worker": HOSTILE, "change": "joined", "why": None} in scaling["changes"]


def test_allocation_and_efficiency_are_in_units_and_say_what_is_unknown(client: Client) -> None:
    has = client.get("allocation")["resources"]["cpu"]
    used = client.get("efficiency")["resources"]["cpu"]

    by_id = {worker["id"]: worker for worker in has["workers"]}
    assert has["unit"] == "cores"
    assert by_id["w1"] == {"id": "w1", "capacity": 4.0, "reserved": 3.0, "used": 2.0, "idle": 1.0, "free": 1.0}
    assert by_id[HOSTILE]["used"] is None
    assert by_id[HOSTILE]["reserved"] == 1.0
    assert has["total"]["used_unknown"] == 1
    assert used["efficiency_ratio"] == pytest.approx(2 / 3)
    assert used["unknown"] == {"use not measured": 1}


def test_money_is_text_of_its_currency(client: Client) -> None:
    answer = client.get("cloud")

    assert answer["per_hour"] == [{"currency": "USD", "basis": "list", "amount": "0.3456"}]
    (provider,) = answer["providers"]
    assert (provider["provider"], provider["workers"], provider["problem"]) == ("aws", 2, None)
    assert Decimal(answer["spent"][0]["amount"]) == pytest.approx(Decimal("0.3456") * 4 / 3600, rel=Decimal("0.3"))


def test_the_snapshot_is_the_newest_tick_of_who_lives(client: Client) -> None:
    answer = client.get("snapshot")

    assert answer["at_s"] == START_S + 4
    assert answer["run"]["ended_at_s"] == START_S + 3
    assert [(worker["id"], worker["cpu_ratio"]) for worker in answer["workers"]] == [(HOSTILE, None), ("w1", 0.5)]
    assert answer["fleet"]["cpu_ratio"] == 0.5
    assert answer["fleet"]["gpu_ratio"] is None
    assert answer["is_being_written"] is False


def test_runs_figures_and_status_are_listed(client: Client) -> None:
    (run,) = client.get("runs")["runs"]
    figures = client.get("figures")["figures"]

    assert run["store"] == "h.drmviz"
    assert {"resource_utilization_heatmap", "scaling_history"} <= {figure["name"] for figure in figures}
    assert client.get("status")["status"] == {"state": "OK", "reason": None, "since_s": None}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("heatmap?metric=nonsense", "metric = 'nonsense': is not one of cpu_ratio"),
        ("heatmap?statistic=median", "statistic = 'median'"),
        ("heatmap?columns=0", "columns = '0': must be a whole number from 1"),
        ("heatmap?columns=1e3", "columns = '1e3'"),
        ("heatmap?columns=99999999999999", "columns"),
        ("heatmap?start=soon", "start = 'soon'"),
        ("heatmap?start=nan", "start = 'nan'"),
        ("heatmap?start=1e300", "start = '1e300'"),
        ("heatmap?start=-5", "start = '-5'"),
        (f"heatmap?start={START_S + 2}&end={START_S}", "end"),
        ("heatmap?nonsense=1", "'nonsense' is not a parameter; there are metric"),
        ("heatmap?metric=cpu_ratio&metric=gpu_ratio", "'metric' is given twice"),
        ("series", "'worker' is needed"),
        ("series?worker=nobody", "nobody"),
        ("status?x=1", "there are none here"),
        ("heatmap?start=%00", "start"),
        ("heatmap?metric=%ff%fe", "metric"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(client: Client, path: str, words: str) -> None:
    assert words in client.refused(path)


def test_a_history_that_is_gone_is_a_problem_without_its_path_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "secret-folder" / "h.drmviz"
    path.parent.mkdir()
    small_fleet(path)
    with serving(Fleet([path])) as server:
        client = Client(server.port)
        path.rename(tmp_path / "away")
        gone = client.reply("/api/v1/heatmap")
        status = client.get("status")
        (tmp_path / "away").rename(path)

        assert gone.status == 503
        assert b"secret-folder" not in gone.body
        assert status["status"]["state"] == "FAILED"
        assert client.get("status")["status"]["state"] == "OK"


def test_what_fails_without_our_meaning_it_is_told_without_its_words(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("/a/path and a secret")

    monkeypatch.setattr(Fleet, "read", broken)

    reply = client.reply("/api/v1/heatmap")

    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "a secret" in caplog.text


def test_prometheus_reads_what_is_exposed_and_unknown_is_left_out(client: Client) -> None:
    reply = client.reply("/metrics")

    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    assert found["drm_workers", "worker"] == 2
    assert found["drm_worker_cpu_utilization_ratio", "w1"] == 0.5
    assert ("drm_worker_cpu_utilization_ratio", HOSTILE) not in found
    assert found["drm_worker_cpu_reserved_ratio", HOSTILE] == 0.25
    assert found["drm_worker_memory_usage_bytes", "w1"] == 2 * 2**30
    assert found["drm_worker_memory_limit_bytes", "w1"] == 8 * 2**30
    assert found["drm_scaling_decisions_total", "scale_up"] == 1
    assert found["drm_tasks_total", "passed"] == 1
    assert found["drm_efficiency_ratio", "cpu"] == pytest.approx(2 / 3)
    assert found["drm_cost_per_hour", "USD", "aws", "list"] == 0.3456
    assert found["drm_status_ok", "store"] == 1
    assert not [key for key in found if "::" in str(key)]  # tests would be too many labels


def test_the_description_names_every_path_and_every_parameter(client: Client) -> None:
    described = client.get("openapi.json")

    over_http = {each.path: each for each in ENDPOINTS if each.decision.kind == "http"}
    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == set(over_http)
    for path, endpoint in over_http.items():
        operation = described["paths"][path]["get"]
        assert {each["name"] for each in operation["parameters"]} == {each.name for each in endpoint.parameters}
        assert operation["security"] == ([] if endpoint.decision.who == "anybody" else [{"token": []}])
    names = [each["get"]["operationId"] for each in described["paths"].values()]
    assert len(set(names)) == len(names)
    (metric,) = [
        each for each in described["paths"]["/api/v1/heatmap"]["get"]["parameters"] if each["name"] == "metric"
    ]
    assert metric["schema"]["enum"] == list(METRICS)


def test_head_is_answered_without_a_body(client: Client) -> None:
    reply = ask(client.port, "/api/v1/status", method="HEAD", headers=[BEARER])

    assert (reply.status, reply.body) == (200, b"")

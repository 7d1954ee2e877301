"""What was promised to those who write `DRMVisualization` into their programs, as they write it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from inspect import signature
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects
import pytest

from drmviz.errors import UsageError
from drmviz.store import Store
from drmviz.system import SimulatedClock
from dynamic_resource_management_visualization import DRMVisualization
from dynamic_resource_manager import DynamicResourceManager

START_S = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
GIB = 2**30
FIGURES = {
    "resource_utilization_heatmap": DRMVisualization.create_resource_utilization_heatmap,
    "scaling_history": DRMVisualization.create_scaling_history_visualization,
    "resource_allocation": DRMVisualization.create_resource_allocation_visualization,
    "resource_efficiency": DRMVisualization.create_resource_efficiency_visualization,
    "cloud_resources": DRMVisualization.create_cloud_resource_visualization,
}


class Providers:
    """Two providers; the second states no price."""

    providers = ("aws", "on-site")

    def __init__(self, manager: DynamicResourceManager) -> None:
        self.manager = manager

    def _of(self, provider: str) -> list[str]:
        workers = self.manager.get_worker_statistics()["workers"]
        return [worker for worker in workers if worker.startswith("cpu") == (provider == "aws")]

    def get_available_resources(self, provider: str) -> dict[str, int]:
        return {"workers": 10, "cpu_cores": 80, "memory_mb": 163840, "gpus": 0}

    def get_active_workers(self, provider: str) -> list[dict[str, Any]]:
        return [{"worker_id": worker, "instance_type": f"{provider}.large"} for worker in self._of(provider)]

    def get_cost_estimate(self, provider: str) -> dict[str, Any] | None:
        if provider == "on-site":
            return None
        return {"per_hour": f"{len(self._of(provider)) / 10:.2f}", "currency": "USD", "basis": "list"}


CPU = {"cpu": {"cores": 8}, "memory": {"total_mb": 16384}, "gpu": {"devices": 0, "memory_mb": 0}}
MEMORY = {"cpu": {"cores": 4}, "memory": {"total_mb": 65536}, "gpu": {"devices": 0, "memory_mb": 0}}
GPU = {"cpu": {"cores": 16}, "memory": {"total_mb": 65536}, "gpu": {"devices": 2, "memory_mb": 32768}}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DRMVisualization]:
    """Six workers over five ticks, ten seconds apart; before the last one a worker joins and one leaves."""
    clock = SimulatedClock(wall=START_S)
    manager = DynamicResourceManager(evaluation_window=60, clock=clock)
    for worker, resources in (
        *(("cpu-1", CPU), ("cpu-2", CPU), ("cpu-3", CPU)),
        *(("memory-1", MEMORY), ("memory-2", MEMORY), ("gpu-1", GPU)),
    ):
        manager.register_worker(worker, resources)
    visualization = DRMVisualization(
        manager, Providers(manager), output_dir=tmp_path_factory.mktemp("example"), update_interval=0
    )
    manager.reserve_resources("build", {"cpu_cores": 4, "memory_mb": 4096, "worker_id": "cpu-1"})
    manager.reserve_resources("lint", {"cpu_cores": 8, "memory_mb": 8192, "worker_id": "cpu-2"})
    manager.reserve_resources("index", {"cpu_cores": 2, "memory_mb": 32768, "worker_id": "memory-1"})
    manager.reserve_resources(
        "train", {"cpu_cores": 8, "memory_mb": 16384, "gpus": 1, "gpu_memory_mb": 16384, "worker_id": "gpu-1"}
    )
    for _ in range(4):
        manager.record_usage("cpu-1", cpu_ratio=0.25, memory_bytes=2 * GIB)
        manager.record_usage("cpu-2", cpu_ratio=0.75, memory_bytes=8 * GIB)
        manager.record_usage("cpu-3", cpu_ratio=0.0, memory_bytes=1 * GIB)
        manager.record_usage("memory-1", cpu_ratio=0.25, memory_bytes=48 * GIB)
        manager.record_usage("gpu-1", cpu_ratio=0.5, memory_bytes=16 * GIB, gpu_ratio=0.875)
        visualization.collect()
        clock.advance(10)
    manager.evaluate_scaling()
    manager.register_worker("gpu-2", GPU, why="asked for")
    manager.deregister_worker("cpu-3", why="idle")
    visualization.collect()
    yield visualization
    visualization.cleanup()


def drawn(visualization: DRMVisualization, name: str, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the traces of a figure as its .json file holds them."""
    path = FIGURES[name](visualization, tmp_path / f"{name}.json", **options)
    figure = json.loads(path.read_bytes())
    plotly.graph_objects.Figure(figure)
    traces: list[dict[str, Any]] = figure["data"]
    return traces


def rows(trace: dict[str, Any]) -> dict[str, list[float | None]]:
    return dict(zip(trace["y"], trace["z"], strict=True))


def bars(traces: list[dict[str, Any]], panel: int, name: str) -> dict[str, float | None]:
    (trace,) = [each for each in traces if each["name"] == name and each.get("xaxis") in _axis(panel)]
    return {worker: value for worker, value in zip(trace["y"], trace["x"], strict=True) if value is not None}


def _axis(panel: int) -> tuple[str | None, ...]:
    return (None, "x") if panel == 1 else (f"x{panel}",)


def test_the_constructor_takes_what_it_always_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {name: each.default for name, each in signature(DRMVisualization).parameters.items()}
    monkeypatch.chdir(tmp_path)
    with DRMVisualization(
        dynamic_resource_manager=DynamicResourceManager(), cloud_provider_manager=None
    ) as visualization:
        written = visualization.create_resource_utilization_heatmap()

    assert defaults | {"clock": None} == {
        "dynamic_resource_manager": None,
        "cloud_provider_manager": None,
        "output_dir": "./visualizations",
        "interactive": True,
        "dashboard_port": 8889,
        "data_retention_days": 30,
        "update_interval": 1.0,
        "store": None,
        "clock": None,
    }
    assert (tmp_path / "visualizations" / "history.drmviz").exists()
    assert written.suffix == ".html"
    assert (tmp_path / written).exists()


TIMES = [f"2026-09-21T14:13:{second}Z" for second in (20, 30, 40, 50)] + ["2026-09-21T14:14:00Z"]


def test_the_heatmap_shows_what_was_measured_and_nothing_else(example: DRMVisualization, tmp_path: Path) -> None:
    cpu, memory, gpu = drawn(example, "resource_utilization_heatmap", tmp_path)

    assert [trace["name"] for trace in (cpu, memory, gpu)] == ["CPU", "Memory", "GPU"]
    assert cpu["x"] == memory["x"] == gpu["x"] == TIMES
    assert rows(cpu) == {
        "cpu-1": [25.0] * 5,
        "cpu-2": [75.0] * 5,
        "cpu-3": [0.0, 0.0, 0.0, 0.0, None],
        "gpu-1": [50.0] * 5,
        "gpu-2": [None] * 5,
        "memory-1": [25.0] * 5,
        "memory-2": [None] * 5,
    }
    assert rows(memory) == {
        "cpu-1": [12.5] * 5,
        "cpu-2": [50.0] * 5,
        "cpu-3": [6.25, 6.25, 6.25, 6.25, None],
        "gpu-1": [25.0] * 5,
        "gpu-2": [None] * 5,
        "memory-1": [75.0] * 5,
        "memory-2": [None] * 5,
    }
    assert rows(gpu) == {"gpu-1": [87.5] * 5, "gpu-2": [None] * 5}


def test_the_fleet_is_as_busy_as_its_capacity_says(example: DRMVisualization, tmp_path: Path) -> None:
    lines = {trace["name"]: trace for trace in drawn(example, "scaling_history", tmp_path)}

    assert lines["CPU"]["y"] == pytest.approx([100 * 17 / 44] * 4 + [100 * 17 / 36])
    assert lines["Memory"]["y"] == pytest.approx([100 * 75 / 176] * 4 + [100 * 74 / 160])
    assert lines["GPU"]["y"] == pytest.approx([87.5] * 5)


def test_the_decision_and_the_changes_stand_where_they_happened(example: DRMVisualization, tmp_path: Path) -> None:
    traces = {trace["name"]: trace for trace in drawn(example, "scaling_history", tmp_path)}

    decisions, changes = traces["decisions"], traces["fleet changes"]
    assert decisions["x"] == ["2026-09-21T14:14:00Z"]
    action, count, reason, metric, value, threshold, *_ = decisions["customdata"][0]
    assert (action, count, metric, value, threshold) == ("scale_up", 1, "gpu_ratio", 0.875, 0.8)
    assert "GPU 88 % over 80 %" in reason
    assert changes["customdata"] == [["joined", 1, ["gpu-2"], ["asked for"]], ["left", 1, ["cpu-3"], ["idle"]]]


def test_the_allocation_adds_up_to_what_each_worker_has(example: DRMVisualization, tmp_path: Path) -> None:
    traces = drawn(example, "resource_allocation", tmp_path)

    assert bars(traces, 1, "used") == {"cpu-1": 2, "cpu-2": 6, "cpu-3": 0, "memory-1": 1, "gpu-1": 8}
    assert bars(traces, 1, "reserved, idle") == {"cpu-1": 2, "cpu-2": 2, "cpu-3": 0, "memory-1": 1, "gpu-1": 0}
    assert bars(traces, 1, "free") == {
        **{"cpu-1": 4, "cpu-2": 0, "cpu-3": 8, "memory-1": 2, "gpu-1": 8},
        **{"memory-2": 4, "gpu-2": 16},
    }
    assert bars(traces, 2, "used") == {"cpu-1": 2, "cpu-2": 8, "cpu-3": 1, "memory-1": 48, "gpu-1": 16}
    assert bars(traces, 3, "used") == {"gpu-1": 1.75}
    assert bars(traces, 3, "free")["gpu-2"] == 2


def test_the_efficiency_is_what_was_used_of_what_was_reserved(example: DRMVisualization, tmp_path: Path) -> None:
    panels = drawn(example, "resource_efficiency", tmp_path)

    cpu, memory, gpu = (
        {worker: at for worker, *at in zip(panel["customdata"], panel["x"], panel["y"], strict=True)}
        for panel in panels
    )
    assert cpu == {
        **{"cpu-1": [50.0, 25.0], "cpu-2": [100.0, 75.0], "cpu-3": [0.0, 0.0]},
        **{"gpu-1": [50.0, 50.0], "memory-1": [50.0, 25.0]},
    }
    assert memory == {
        **{"cpu-1": [25.0, 12.5], "cpu-2": [50.0, 50.0], "cpu-3": [0.0, 6.25]},
        **{"gpu-1": [25.0, 25.0], "memory-1": [50.0, 75.0]},
    }
    assert gpu == {"gpu-1": [50.0, 87.5]}


def test_providers_are_counted_and_their_prices_added_up(example: DRMVisualization, tmp_path: Path) -> None:
    lines = {trace["name"]: trace["y"][:5] for trace in drawn(example, "cloud_resources", tmp_path)}

    assert lines == {
        "aws workers": [3, 3, 3, 3, 2],
        "on-site workers": [3, 3, 3, 3, 4],
        "aws per hour": [0.3, 0.3, 0.3, 0.3, 0.2],
    }


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_page_a_picture_and_an_object_of_plotly(
    example: DRMVisualization, name: str, tmp_path: Path
) -> None:
    create = FIGURES[name]

    page, picture = create(example), create(example, interactive=False)

    assert page.read_bytes().startswith(b"<!doctype html>")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    assert (page.suffix, picture.suffix) == (".html", ".png")
    assert page.parent == picture.parent == example.store.parent
    assert page.name.startswith(f"{name}_20260921T141400Z")
    assert isinstance(example.figure(name), plotly.graph_objects.Figure)


def test_the_dashboard_is_one_page_of_all_figures(example: DRMVisualization, tmp_path: Path) -> None:
    own, asked = example.create_resource_dashboard(), example.create_resource_dashboard(tmp_path / "sub" / "all.html")

    assert own.name == "dashboard_20260921T141400Z.html"
    assert own.parent == example.store.parent
    page = asked.read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert all(worker in page for worker in ("cpu-1", "memory-2", "gpu-2"))
    assert "GPU 88 % over 80 %" in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)
    with pytest.raises(UsageError, match=r"must end in one of \.html"):
        example.create_resource_dashboard(tmp_path / "all.png")


@pytest.mark.parametrize(
    ("metric", "name"), [("cpu", "CPU"), ("memory", "Memory"), ("gpu", "GPU"), ("tasks_running", "Tasks running")]
)
def test_one_metric_is_one_trace(example: DRMVisualization, metric: str, name: str) -> None:
    (trace,) = example.figure("resource_utilization_heatmap", metric=metric).data

    assert trace.name == name


# a manager that somebody already has


class OlderManager:
    """Capacities one level deeper, live dictionaries, reservations called utilization, no decision."""

    target_utilization = 0.7
    scale_up_threshold = 0.8
    scale_down_threshold = 0.3

    def __init__(self) -> None:
        self.records = {
            worker: {
                "registration_time": 1.0,
                "resources": {
                    "cpu": {"cores": 8, "available_cores": 8},
                    "memory": {"total_mb": 16384, "available_mb": 16384},
                    "gpu": {"devices": 0, "memory_mb": 0, "available_memory_mb": 0},
                },
            }
            for worker in ("w1", "w2")
        }

    def reserve(self, worker: str, *, cores: float, memory_mb: float) -> None:
        resources: Any = self.records[worker]["resources"]
        resources["cpu"]["available_cores"] -= cores
        resources["memory"]["available_mb"] -= memory_mb

    def get_worker_statistics(self) -> dict[str, Any]:
        return {
            "total_workers": 2,
            "workers": {worker: self._described(record) for worker, record in self.records.items()},
        }

    def _described(self, record: Any) -> dict[str, Any]:
        has = record["resources"]
        cpu = 1 - has["cpu"]["available_cores"] / has["cpu"]["cores"]
        memory = 1 - has["memory"]["available_mb"] / has["memory"]["total_mb"]
        utilization = {"cpu": cpu, "memory": memory, "gpu": 0.0, "overall": (cpu + memory) / 2}
        return {"utilization": utilization, "tasks": 1, "resources": record}


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(wall=START_S)


@pytest.fixture
def older(tmp_path: Path, clock: SimulatedClock) -> Iterator[DRMVisualization]:
    """Two ticks; between them a reservation changes the very dictionaries that the first one was shown."""
    manager = OlderManager()
    manager.reserve("w1", cores=2, memory_mb=4096)
    with DRMVisualization(manager, output_dir=tmp_path / "older", update_interval=0, clock=clock) as visualization:
        visualization.collect()
        clock.advance(10)
        manager.reserve("w1", cores=4, memory_mb=4096)
        visualization.collect()
        yield visualization


def test_reservations_that_are_called_utilization_are_shown_under_their_own_name(
    older: DRMVisualization, tmp_path: Path
) -> None:
    cpu, memory = drawn(older, "resource_utilization_heatmap", tmp_path)

    assert [trace["name"] for trace in (cpu, memory)] == ["CPU reserved", "Memory reserved"]
    assert rows(cpu) == {"w1": [25.0, 75.0], "w2": [0.0, 0.0]}
    assert rows(memory) == {"w1": [25.0, 50.0], "w2": [0.0, 0.0]}


def test_the_allocation_of_an_older_manager_is_not_empty(older: DRMVisualization, tmp_path: Path) -> None:
    traces = drawn(older, "resource_allocation", tmp_path)

    assert any(bars(traces, 1, trace["name"]) for trace in traces if trace["type"] == "bar")
    assert bars(traces, 1, "free") == {"w1": 4, "w2": 8}


def test_without_use_the_efficiency_figure_says_why_it_is_empty(older: DRMVisualization, tmp_path: Path) -> None:
    path = older.create_resource_efficiency_visualization(tmp_path / "efficiency.json")

    figure = json.loads(path.read_bytes())
    assert not any(trace.get("x") for trace in figure["data"])
    assert "not measured" in json.dumps(figure["layout"])


@pytest.mark.parametrize("decision", [{"action": "scale_up", "count": 2}, SimpleNamespace(action="scale_up", count=2)])
def test_one_decision_over_ten_ticks_is_one_event(tmp_path: Path, clock: SimulatedClock, decision: Any) -> None:
    manager: Any = OlderManager()
    with DRMVisualization(manager, output_dir=tmp_path, update_interval=0, clock=clock) as visualization:
        visualization.collect()
        manager.last_scaling_decision = decision
        for _ in range(10):
            clock.advance(1)
            visualization.collect()

        (decisions,) = [t for t in drawn(visualization, "scaling_history", tmp_path) if t["name"] == "decisions"]

    assert decisions["x"] == ["2026-09-21T14:13:21Z"]
    assert decisions["customdata"][0][:2] == ["scale_up", 2]


class Measuring:
    """Says what it is told to."""

    def __init__(self, **cpu: float) -> None:
        self.cpu = cpu
        self.gpu: dict[str, float] = {}

    def get_worker_statistics(self) -> dict[str, Any]:
        return {"workers": {worker: self._of(worker, cpu) for worker, cpu in self.cpu.items()}}

    def _of(self, worker: str, cpu: float) -> dict[str, Any]:
        devices = 1 if worker in self.gpu else 0
        return {
            "utilization": {"cpu": cpu, "memory": 0.5, "gpu": self.gpu.get(worker, 0.0)},
            "resources": {"cpu": {"cores": 4}, "memory": {"total_mb": 1024}, "gpu": {"devices": devices}},
        }


def collecting(manager: object, folder: Path, clock: SimulatedClock) -> DRMVisualization:
    return DRMVisualization(manager, output_dir=folder, update_interval=0, clock=clock)


def test_a_worker_that_was_away_for_a_while_leaves_a_gap_and_no_zero(tmp_path: Path, clock: SimulatedClock) -> None:
    manager = Measuring(w1=0.5, w2=0.25)
    with collecting(manager, tmp_path, clock) as visualization:
        for there in (True, False, False, True):
            manager.cpu = {"w1": 0.5, "w2": 0.25} if there else {"w1": 0.5}
            visualization.collect()
            clock.advance(1)

        cpu, *_ = drawn(visualization, "resource_utilization_heatmap", tmp_path)

    assert rows(cpu) == {"w1": [50.0] * 4, "w2": [25.0, None, None, 25.0]}


def test_workers_without_a_gpu_are_not_in_the_gpu_mean(tmp_path: Path, clock: SimulatedClock) -> None:
    manager = Measuring(w1=0.5, w2=0.5, w3=0.5)
    manager.gpu = {"w1": 0.5, "w2": 0.75}
    with collecting(manager, tmp_path, clock) as visualization:
        visualization.collect()

        heatmap = drawn(visualization, "resource_utilization_heatmap", tmp_path)
        (gpu,) = [trace for trace in drawn(visualization, "scaling_history", tmp_path) if trace["name"] == "GPU"]

    assert rows(heatmap[2]) == {"w1": [50.0], "w2": [75.0]}
    assert gpu["y"] == [62.5]


def test_the_same_time_of_two_days_is_two_columns(tmp_path: Path, clock: SimulatedClock) -> None:
    manager = Measuring(w1=0.25)
    with collecting(manager, tmp_path, clock) as visualization:
        visualization.collect()
        clock.advance(86_400)
        manager.cpu["w1"] = 0.75
        visualization.collect()

        cpu, *_ = drawn(visualization, "resource_utilization_heatmap", tmp_path)

    known = {at: value for at, value in zip(cpu["x"], rows(cpu)["w1"], strict=True) if value is not None}
    assert sorted(known.values()) == [25.0, 75.0]
    assert len({at[:10] for at in known}) == 2


def test_the_night_the_clocks_change_has_no_hour_twice_and_none_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 0, tzinfo=berlin)
    clock = SimulatedClock(wall=first.timestamp())
    try:
        with collecting(Measuring(w1=0.25), tmp_path, clock) as visualization:
            for _ in range(8):
                visualization.collect()
                clock.advance(3600)
            cpu, *_ = drawn(visualization, "resource_utilization_heatmap", tmp_path)
            at_two, again_at_two = (datetime(2026, 10, 25, 2, 0, fold=fold) for fold in (0, 1))  # both local, as stated
            (hour,) = drawn(
                visualization, "resource_utilization_heatmap", tmp_path, start=at_two, end=again_at_two, metric="cpu"
            )
    finally:
        monkeypatch.undo()
        time.tzset()

    moments = [datetime.fromisoformat(at) for at in cpu["x"]]
    assert moments[0] == first.astimezone(UTC)
    assert {after - before for before, after in pairwise(moments)} == {timedelta(hours=1)}
    assert rows(cpu)["w1"] == [25.0] * 8
    assert (hour["x"][0], hour["z"]) == ("2026-10-25T00:00:00Z", [[25.0]])


# a program that runs, ends, and runs again


PROGRAM = """
import sys
from dynamic_resource_manager import DynamicResourceManager
from dynamic_resource_management_visualization import DRMVisualization

manager = DynamicResourceManager()
manager.register_worker(sys.argv[2], {"cpu": {"cores": 4}})
manager.record_usage(sys.argv[2], cpu_ratio=0.5)
with DRMVisualization(manager, output_dir=sys.argv[1]) as visualization:
    print(visualization.create_resource_utilization_heatmap())
    print(sorted(visualization.figure("resource_utilization_heatmap").data[0].y))
"""


def test_a_program_that_runs_again_shows_what_the_first_one_recorded(tmp_path: Path) -> None:
    said = []
    for worker in ("first", "second"):
        run = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), worker]
        said.append(subprocess.run(run, timeout=120, capture_output=True, text=True, check=True).stdout.splitlines())

    assert [lines[1] for lines in said] == ["['first']", "['first', 'second']"]
    assert all(Path(lines[0]).exists() for lines in said)
    assert len({lines[0] for lines in said}) == 2


def test_a_decision_is_one_event_however_many_objects_were_made_of_its_manager(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    manager = DynamicResourceManager(clock=clock)
    manager.register_worker("w1", CPU, why="asked for")
    manager.evaluate_scaling()
    for _ in range(2):
        with collecting(manager, tmp_path, clock) as visualization:
            visualization.collect()
            clock.advance(60)

    traces = {trace["name"]: trace for trace in drawn(visualization, "scaling_history", tmp_path)}

    assert len(traces["decisions"]["x"]) == 1


def test_who_comes_and_goes_between_two_ticks_is_in_the_history_with_the_reasons(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    manager = DynamicResourceManager(clock=clock)
    with collecting(manager, tmp_path, clock) as visualization:
        visualization.collect()
        for number in range(50):
            clock.advance(0.5)
            manager.register_worker(f"w{number}", CPU, why="asked for")
            manager.deregister_worker(f"w{number}", why="reclaimed")
        visualization.collect()
    with Store.open(visualization.store) as store:
        changes = store.read_all().changes

    assert len(changes) == 100
    assert {(change.change, change.why) for change in changes} == {("joined", "asked for"), ("left", "reclaimed")}
    assert changes[0].at_s == START_S + 0.5


def test_leaving_ends_every_thread_within_two_seconds(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with DRMVisualization(Measuring(w1=0.5), output_dir=tmp_path) as visualization:
        visualization.create_resource_utilization_heatmap()
        leaving_at_s = time.monotonic()
    took_s = time.monotonic() - leaving_at_s

    assert set(threading.enumerate()) == before
    assert took_s < 2.0

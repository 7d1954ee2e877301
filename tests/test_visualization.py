"""The visualization as a recorder: what it collects, what goes wrong around it, and what it leaves behind."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from drmviz.errors import InvalidValueError, OutputError, StoreError, UsageError
from drmviz.model.samples import Reading
from drmviz.store import Store, Writer
from drmviz.system import SimulatedClock
from drmviz.visualization import DRMVisualization
from drmviz.visualization import history as history_module
from drmviz.visualization.asking import read_options
from drmviz.visualization.history import History, Needs

START_S = 1_790_000_000.0
HEATMAP = "resource_utilization_heatmap"


@dataclass
class Fleet:
    """A manager as somebody may have it; `does` is called each time it is asked."""

    cpu: float = 0.5
    does: Callable[[], object] = lambda: None
    asked: int = 0
    workers: tuple[str, ...] = ("w1", "w2")
    last_scaling_decision: Any = None

    def get_worker_statistics(self) -> dict[str, Any]:
        self.asked += 1
        self.does()
        return {"workers": {worker: {"utilization": {"cpu": self.cpu}, "tasks": 1} for worker in self.workers}}


@dataclass
class Stuck:
    """Something that blocks until it is let go."""

    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.let_go.wait(60)


Make = Callable[..., DRMVisualization]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(wall=START_S)


@pytest.fixture
def make(tmp_path: Path, clock: SimulatedClock) -> Iterator[Make]:
    """Return a maker of visualizations that collect only when told to, on the simulated clock."""
    made: list[DRMVisualization] = []

    def visualization(manager: object = None, **options: Any) -> DRMVisualization:
        options = {**{"output_dir": tmp_path / "out", "update_interval": 0, "clock": clock}, **options}
        made.append(DRMVisualization(manager, **options))
        return made[-1]

    yield visualization
    for each in made:
        each.cleanup()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    blocking = Stuck()
    yield blocking
    blocking.let_go.set()


def cells(visualization: DRMVisualization, **options: Any) -> list[list[float]]:
    (trace,) = visualization.figure(HEATMAP, **options).data
    return [[round(float(value), 4) for value in row] for row in trace.z]


def notice(visualization: DRMVisualization, name: str = HEATMAP) -> str:
    return json.dumps(visualization.figure(name).to_plotly_json(), default=str)


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("drmviz")]


def eventually(holds: Callable[[], object], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# collecting


class OnceBroken(SimulatedClock):
    """A clock that fails once when it is told to."""

    breaks = False

    def wall_s(self) -> float:
        if self.breaks:
            self.breaks = False
            raise RuntimeError("no time")
        return super().wall_s()


def test_a_last_tick_that_fails_is_told_and_closes_the_history_all_the_same(make: Make) -> None:
    clock = OnceBroken(wall=START_S)
    visualization = make(Fleet(), update_interval=3600, clock=clock)

    clock.breaks = True
    visualization.cleanup()

    assert visualization.statuses["collection"].reason == "a tick was lost (RuntimeError: no time)"
    assert not Path(f"{visualization.store}-wal").exists()
    with Store.open(visualization.store) as store:
        assert store.runs()[0].ended_at_s is not None


def test_the_first_tick_is_taken_before_the_constructor_returns(make: Make) -> None:
    visualization = make(Fleet(), update_interval=3600)

    assert cells(visualization) == [[50.0], [50.0]]


def test_with_an_interval_of_zero_it_collects_only_when_told_to(make: Make, clock: SimulatedClock) -> None:
    fleet = Fleet()
    visualization = make(fleet)
    asked_at_first = fleet.asked
    visualization.collect()
    clock.advance(10)
    fleet.cpu = 0.25
    visualization.collect()
    visualization.cleanup()

    assert (asked_at_first, fleet.asked) == (0, 2)
    assert cells(visualization) == [[50.0, 25.0], [50.0, 25.0]]


def test_it_collects_by_itself_in_the_background(tmp_path: Path) -> None:
    fleet = Fleet()
    with DRMVisualization(fleet, output_dir=tmp_path, update_interval=0.05):
        eventually(lambda: fleet.asked >= 4)


def test_collect_takes_a_tick_at_once_also_beside_the_background(make: Make) -> None:
    fleet = Fleet()
    visualization = make(fleet, update_interval=3600)

    visualization.collect()

    assert fleet.asked == 2


def test_without_a_manager_nothing_is_collected_and_figures_say_so(make: Make, tmp_path: Path) -> None:
    visualization = make()

    visualization.collect()

    assert "No manager was given" in notice(visualization)
    assert visualization.statuses == {}
    assert not (tmp_path / "out").exists()


def test_before_the_first_tick_figures_say_that_there_is_nothing_yet(make: Make) -> None:
    assert "Nothing has been recorded yet" in notice(make(Fleet()))


def test_a_source_is_collected_like_a_manager(make: Make) -> None:
    class Mine:
        name = "mine"

        def read(self, now_s: float) -> Reading:
            return Reading.of(now_s, {"w1": {"cpu_ratio": 0.75}})

    visualization = make(Mine())
    visualization.collect()

    assert cells(visualization) == [[75.0]]
    assert list(visualization.statuses) == ["mine", "store"]


def test_a_recorded_history_is_drawn_and_never_written(make: Make, tmp_path: Path) -> None:
    recorded = make(Fleet(), store=tmp_path / "kept.drmviz", data_retention_days=1)
    recorded.collect()
    recorded.cleanup()
    before = recorded.store.read_bytes()

    visualization = make(str(recorded.store), clock=SimulatedClock(wall=START_S + 400 * 86_400))
    visualization.collect()

    assert cells(visualization) == [[50.0], [50.0]]
    visualization.cleanup()
    assert recorded.store.read_bytes() == before
    assert visualization.statuses == {}


def test_a_history_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        DRMVisualization(tmp_path / "nothing.drmviz")


def test_a_mock_of_a_manager_is_a_manager_although_it_would_do_as_a_path(make: Make) -> None:
    manager = MagicMock()
    manager.get_worker_statistics.return_value = Fleet().get_worker_statistics()
    visualization = make(manager, cloud_provider_manager=MagicMock(providers=["aws"]))

    visualization.collect()

    assert cells(visualization) == [[50.0], [50.0]]


def test_a_program_that_changes_its_folder_finds_everything_where_it_began(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    visualization = make(Fleet(), output_dir="pictures")
    other = make(store="other.drmviz", output_dir="pictures")

    monkeypatch.chdir(tmp_path / "elsewhere")
    visualization.collect()
    picture = visualization.create_resource_utilization_heatmap()

    assert (picture.parent, visualization.store) == (tmp_path / "pictures", tmp_path / "pictures" / "history.drmviz")
    assert other.store == tmp_path / "other.drmviz"
    assert cells(visualization) == [[50.0], [50.0]]


@pytest.mark.parametrize("wrong", [7, object(), ["w1"], {"workers": {}}])
def test_anything_else_is_refused_and_what_is_accepted_is_named(wrong: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"DynamicResourceManager.*get_worker_statistics.*source.*path"):
        DRMVisualization(wrong, output_dir=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"update_interval": -1},
        {"update_interval": 0.01},
        {"update_interval": float("nan")},
        {"update_interval": "1"},
        {"data_retention_days": 0},
        {"data_retention_days": float("inf")},
        {"dashboard_port": 65536},
        {"dashboard_port": "8889"},
        {"interactive": "yes"},
        {"output_dir": ""},
        {"output_dir": None},
        {"output_dir": "a\0b"},
        {"output_dir": "~nobody-of-that-name/pictures"},
        {"store": 5},
        {"cloud_provider_manager": object()},
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name_and_nothing_is_made(
    wrong: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match=f"^{next(iter(wrong))} = "):
        DRMVisualization(Fleet(), **{"output_dir": tmp_path / "out", **wrong})

    assert ours() == []
    assert not (tmp_path / "out").exists()


# what goes wrong


def test_a_manager_that_raises_now_and_then_leaves_a_gap_and_a_status(make: Make, clock: SimulatedClock) -> None:
    fleet = Fleet()
    visualization = make(fleet)

    def fail() -> None:
        raise RuntimeError("gone away")

    statuses = []
    for does in (lambda: None, fail, lambda: None):
        fleet.does = does
        visualization.collect()
        statuses.append(str(visualization.status))
        clock.advance(1)

    assert [str(value) for value in cells(visualization)[0]] == ["50.0", "nan", "50.0"]
    assert statuses == ["OK", "DEGRADED: manager: RuntimeError: gone away", "OK"]


def test_a_manager_that_never_answered_is_named_in_the_empty_figure(make: Make) -> None:
    class Broken:
        def get_worker_statistics(self) -> object:
            raise RuntimeError("no database")

    visualization = make(Broken())
    visualization.collect()

    assert "manager: RuntimeError: no database" in notice(visualization)


def test_half_of_an_answer_costs_only_the_other_half(make: Make) -> None:
    class Half:
        def get_worker_statistics(self) -> object:
            return {"workers": {"w1": {"utilization": {"cpu": 0.5, "memory": "much"}}, "w2": None}}

    visualization = make(Half())
    visualization.collect()

    assert str(cells(visualization, metric="cpu")) == "[[50.0], [nan]]"
    assert "utilization.memory" in visualization.statuses["manager"].reason


def test_a_manager_that_blocks_delays_nobody_for_long_and_the_status_says_so(tmp_path: Path, stuck: Stuck) -> None:
    began = time.monotonic()
    visualization = DRMVisualization(Fleet(does=stuck), output_dir=tmp_path, update_interval=0.1)
    constructed = time.monotonic()
    reason = visualization.statuses["manager"].reason
    visualization.create_resource_utilization_heatmap()
    leaving = time.monotonic()
    visualization.cleanup()
    left = time.monotonic()

    assert constructed - began < 3.0
    assert left - leaving < 2.5
    assert "not answered in time" in reason
    assert "stuck in its call" in visualization.statuses["manager"].reason
    stuck.let_go.set()
    eventually(lambda: ours() == [])


def test_what_a_slow_manager_tells_too_late_is_in_the_next_tick(
    make: Make, clock: SimulatedClock, stuck: Stuck
) -> None:
    fleet = Fleet(does=stuck, last_scaling_decision={"action": "scale_up", "count": 1, "timestamp": START_S})
    visualization = make(fleet, update_interval=3600)
    stuck.let_go.set()

    def is_told() -> bool:
        visualization.collect()
        return visualization.status.state == "OK"

    eventually(is_told)
    visualization.cleanup()

    with Store.open(visualization.store) as store:
        assert len(store.read_all().decisions) == 1


def test_a_disk_that_refuses_costs_ticks_and_is_told_and_recording_goes_on_when_it_takes_them_again(
    make: Make, clock: SimulatedClock
) -> None:
    visualization = make(Fleet(workers=("w1",)))
    assert visualization._collection is not None
    connection = visualization._collection._writer._connection
    statuses = []
    for takes_it in (True, True, False, False, True, True):
        connection.exec_trace = (
            None if takes_it else lambda cursor, statement, bindings: "INSERT INTO tick" not in statement
        )
        visualization.collect()
        clock.advance(1)
        statuses.append(str(visualization.statuses["store"]))

    (row,) = cells(visualization)
    assert [str(value) for value in row] == ["50.0", "50.0", "nan", "nan", "50.0", "50.0"]
    assert "2 ticks not written" in statuses[3]
    assert [status for status in statuses if status != "OK"] == statuses[2:4]


def test_a_file_that_somebody_else_writes_is_left_alone_and_the_status_names_the_one_beside_it(make: Make) -> None:
    first, second, third = (make(Fleet(cpu=cpu)) for cpu in (0.25, 0.5, 0.75))
    for visualization in (first, second, third):
        visualization.collect()

    assert [each.store.name for each in (first, second, third)] == [
        "history.drmviz",
        "history-2.drmviz",
        "history-3.drmviz",
    ]
    assert first.status.state == "OK"
    assert f"history.drmviz is being written by process {os.getpid()}" in second.status.reason
    assert "records into history-3.drmviz" in third.statuses["store"].reason
    assert [cells(each)[0] for each in (first, second, third)] == [[25.0], [50.0], [75.0]]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="file/out"):
        DRMVisualization(Fleet(), output_dir=tmp_path / "file" / "out")

    assert ours() == []


# history


@pytest.mark.parametrize("does", ["delete", "move", "replace"])
def test_a_history_that_is_taken_away_meanwhile_is_told_at_the_next_tick(make: Make, tmp_path: Path, does: str) -> None:
    visualization = make(Fleet())
    visualization.collect()
    before = visualization.status.state
    if does == "delete":
        shutil.rmtree(tmp_path / "out")
    else:
        (tmp_path / "out").rename(tmp_path / "moved")
    if does == "replace":
        (tmp_path / "out").mkdir()
        visualization.store.touch()

    visualization.collect()
    while_it_runs = visualization.statuses["store"]
    visualization.cleanup()

    assert before == "OK"
    assert while_it_runs.state == "FAILED"
    assert f"{visualization.store} was deleted, moved or replaced" in while_it_runs.reason
    assert visualization.statuses["store"] == while_it_runs


def test_a_folder_that_is_a_file_holds_no_history_and_takes_no_picture(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    visualization = make()

    assert "nothing is collected" in notice(visualization)
    with pytest.raises(OutputError, match="File exists"):
        visualization.create_resource_dashboard()


def test_providers_that_fail_are_named_where_they_are_missing(make: Make) -> None:
    class Providers:
        @property
        def providers(self) -> list[str]:
            raise RuntimeError("logged out")

    visualization = make(Fleet(), cloud_provider_manager=Providers())
    visualization.collect()

    assert "logged out" in notice(visualization, "cloud_resources")
    assert "logged out" not in notice(visualization)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_neither_writes_into_the_history_of_its_parent_nor_ends_it(tmp_path: Path) -> None:
    program = f"""
import os
from drmviz import DRMVisualization
from drmviz.errors import UsageError

class Fleet:
    def get_worker_statistics(self):
        return {{"workers": {{"w1": {{"utilization": {{"cpu": 0.5}}}}}}}}

visualization = DRMVisualization(Fleet(), output_dir={str(tmp_path)!r}, update_interval=0)
child = os.fork()
if not child:
    try:
        visualization.collect()
    except UsageError:
        visualization.cleanup()
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
visualization.collect()
visualization.cleanup()
print(visualization.status)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, check=True, text=True)

    assert done.stdout == "7\nOK\n"
    with Store.open(tmp_path / "history.drmviz") as store:
        assert store.read().measured_ticks == 1


def test_each_object_adds_a_run_and_draws_all_of_them(make: Make, clock: SimulatedClock) -> None:
    for cpu in (0.25, 0.75):
        with make(Fleet(cpu=cpu, workers=("w1",))) as visualization:
            visualization.collect()
            clock.advance(1)
            visualization.collect()
            clock.advance(2)

    (row,) = cells(visualization)
    assert [str(value) for value in row] == ["25.0", "25.0", "nan", "75.0", "75.0"]


def test_an_object_that_collected_nothing_leaves_no_run(make: Make) -> None:
    with make(Fleet()) as visualization:
        pass

    with Store.open(visualization.store) as store:
        assert store.runs() == []


def test_what_is_older_than_the_retention_is_neither_shown_nor_kept(make: Make, clock: SimulatedClock) -> None:
    visualization = make(Fleet(), data_retention_days=0.5)
    for _ in range(20):
        visualization.collect()
        clock.advance(3600)

    visualization.collect()

    shown = visualization.figure(HEATMAP).data[0].x
    assert (shown[0], shown[-1]) == ("2026-09-21T22:00:00Z", "2026-09-22T10:00:00Z")
    visualization.cleanup()
    with Store.open(visualization.store) as store:
        assert store.read_all().starts_at_s[0] >= clock.wall_s() - 14 * 3600


def test_a_wall_clock_that_is_set_forward_while_it_collects_hides_nothing(make: Make, clock: SimulatedClock) -> None:
    visualization = make(Fleet(), data_retention_days=1)
    visualization.collect()
    clock.advance(1)

    clock.jump(40 * 86_400)
    visualization.collect()

    assert cells(visualization) == [[50.0, 50.0], [50.0, 50.0]]


def test_a_run_that_was_over_before_the_retention_does_not_stretch_the_picture(
    make: Make, clock: SimulatedClock
) -> None:
    with make(Fleet()) as visualization:
        visualization.collect()
    clock.advance(2.5 * 86_400)
    visualization = make(Fleet(cpu=0.25), data_retention_days=2)

    visualization.collect()

    assert cells(visualization) == [[25.0], [25.0]]


def test_figures_of_one_moment_are_read_once(make: Make, clock: SimulatedClock) -> None:
    visualization = make(Fleet())
    visualization.collect()
    history = History(visualization.store)

    first = history.window(read_options({}), Needs(columns=("cpu_ratio",)))
    same = history.window(
        read_options({"theme": "dark", "title": "again"}), Needs(columns=("gpu_ratio",), means=("gpu_reserved_ratio",))
    )
    others = [
        history.window(read_options({"workers": ["w2"]}), Needs(columns=("cpu_ratio",))),
        history.window(read_options({}), Needs(columns=("tasks_running",))),
    ]
    clock.advance(1)
    visualization.collect()
    later = history.window(read_options({}), Needs(columns=("cpu_ratio",)))

    assert same is first
    assert [run.columns for run in (first, *others, later)] == [1, 1, 1, 2]
    assert len(others[0].workers) == 1


def test_what_is_kept_between_figures_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MOST_KEPT_BYTES", 1)
    visualization = make(Fleet())
    visualization.collect()
    history = History(visualization.store)

    first, again = (history.window(read_options({}), Needs(columns=("cpu_ratio",))) for _ in range(2))

    assert again is not first


def test_a_history_that_grows_in_another_hand_is_read_again(make: Make, clock: SimulatedClock) -> None:
    writing = make(Fleet(workers=("w1",)))
    writing.collect()
    reading = make(writing.store)
    at_first = cells(reading)
    clock.advance(1)
    writing.collect()

    assert at_first == [[50.0]]
    assert cells(reading) == [[50.0, 50.0]]


# files


def test_a_file_of_its_own_is_named_by_figure_and_time_and_numbered_where_the_name_is_taken(
    make: Make, tmp_path: Path
) -> None:
    visualization = make(Fleet())

    names = [visualization.create_resource_utilization_heatmap().name for _ in range(3)]

    stamp = datetime.fromtimestamp(START_S, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert names == [f"{HEATMAP}_{stamp}.html", f"{HEATMAP}_{stamp}-2.html", f"{HEATMAP}_{stamp}-3.html"]


def test_two_that_draw_at_the_same_moment_get_two_files(make: Make) -> None:
    visualization = make(Fleet())
    visualization.collect()

    with ThreadPoolExecutor(8) as pool:
        paths = list(
            pool.map(lambda _: visualization.create_resource_utilization_heatmap(interactive=False), range(16))
        )

    assert len(set(paths)) == 16
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a.html", b"<!doctype html>"),
        ("b.PNG", b"\x89PNG"),
        ("c.svg", b"<?xml"),
        ("d.pdf", b"%PDF"),
        ("deep/down/e.json", b"{"),
    ],
)
def test_a_path_decides_by_its_ending_and_its_folder_is_made(
    make: Make, tmp_path: Path, name: str, begins: bytes
) -> None:
    visualization = make(Fleet(), interactive=False)
    visualization.collect()

    path = visualization.create_resource_utilization_heatmap(str(tmp_path / name), interactive=True)

    assert path == tmp_path / name
    assert path.read_bytes().startswith(begins)


def test_without_a_path_interactive_decides(make: Make) -> None:
    assert make(Fleet(), interactive=False).create_resource_utilization_heatmap().suffix == ".png"
    assert make(Fleet(), interactive=True).create_resource_utilization_heatmap().suffix == ".html"
    assert make(Fleet(), interactive=True).create_resource_utilization_heatmap(interactive=False).suffix == ".png"


@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.html.gz", ".html"])
def test_a_path_with_no_known_ending_is_refused_and_the_endings_are_named(
    make: Make, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=r"\.html, \.png, \.svg, \.pdf, \.json"):
        make(Fleet()).create_resource_utilization_heatmap(tmp_path / "new" / name)

    assert not (tmp_path / "new").exists()


def test_a_folder_and_the_history_itself_are_no_place_for_a_picture(make: Make, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    visualization = make(Fleet(), store=tmp_path / "history.json")
    visualization.collect()

    with pytest.raises(OutputError, match="it is a folder"):
        visualization.create_resource_utilization_heatmap(tmp_path / "folder.html")
    with pytest.raises(OutputError, match="recorded history itself"):
        visualization.create_resource_utilization_heatmap(tmp_path / "history.json")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a\0.html", InvalidValueError),
        ("~nobody-of-that-name/a.html", InvalidValueError),
        ("x" * 300 + ".html", OutputError),
        ("loop.html", OutputError),
        ("file/a.html", OutputError),
    ],
)
def test_a_path_that_there_cannot_be_is_an_error_of_ours(
    make: Make, tmp_path: Path, name: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop.html").symlink_to("loop.html")

    with pytest.raises(error):
        make(Fleet()).create_resource_dashboard(name)


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        (
            {"colour": "red"},
            UsageError,
            "'colour' is not an option.*metric, statistic, start, end, workers, title, theme",
        ),
        ({"show_plot": True}, UsageError, "'show_plot' is not an option"),
        ({"metric": "disk"}, InvalidValueError, "cpu, memory, gpu, cpu_ratio"),
        ({"statistic": "median"}, InvalidValueError, "mean, max"),
        ({"theme": "blue"}, InvalidValueError, "light, dark"),
        ({"start": "yesterday"}, InvalidValueError, "ISO 8601"),
        ({"end": True}, InvalidValueError, "epoch seconds"),
        ({"start": START_S, "end": START_S}, InvalidValueError, "end before its start"),
        ({"workers": "w1"}, InvalidValueError, "list of worker ids"),
        ({"workers": []}, InvalidValueError, "at least one"),
        ({"workers": ["nobody"]}, InvalidValueError, "did not live"),
        ({"title": 5}, InvalidValueError, "must be text"),
        ({"width": 10}, InvalidValueError, "from 200 to"),
        ({"height": "tall"}, InvalidValueError, "from 150 to"),
        ({"columns": 0}, InvalidValueError, "from 1 to"),
        ({"interactive": 1}, InvalidValueError, "True or False"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_nothing_is_written(
    make: Make, tmp_path: Path, option: dict[str, Any], error: type[Exception], says: str
) -> None:
    visualization = make(Fleet())
    visualization.collect()
    before = sorted((tmp_path / "out").iterdir())

    with pytest.raises(error, match=says):
        visualization.create_resource_utilization_heatmap(**option)

    assert sorted((tmp_path / "out").iterdir()) == before


def test_a_window_is_given_in_seconds_as_a_datetime_or_as_text(make: Make, clock: SimulatedClock) -> None:
    visualization = make(Fleet(workers=("w1",)))
    for _ in range(4):
        visualization.collect()
        clock.advance(1)
    start, end = datetime.fromtimestamp(START_S + 1, UTC), datetime.fromtimestamp(START_S + 3, UTC)

    windows: tuple[dict[str, Any], ...] = (
        {"start": START_S + 1, "end": START_S + 3},
        {"start": start, "end": end},
        {"start": start.isoformat(), "end": end.isoformat().replace("+00:00", "Z")},
        {"start": start.astimezone().replace(tzinfo=None), "end": end.astimezone().replace(tzinfo=None)},
    )
    for window in windows:
        assert len(visualization.figure(HEATMAP, **window).data[0].x) == 2


def test_a_window_in_which_nothing_was_recorded_is_empty_and_no_error(make: Make) -> None:
    visualization = make(Fleet())
    visualization.collect()

    windows: tuple[dict[str, Any], ...] = ({"start": START_S + 900}, {"start": START_S - 1000, "end": START_S - 900})
    for window in windows:
        figure = visualization.figure(HEATMAP, **window)
        assert not any(trace.type == "heatmap" and len(trace.z) for trace in figure.data)


def test_options_reach_the_figure(make: Make) -> None:
    visualization = make(Fleet())
    visualization.collect()

    figure = visualization.figure(
        HEATMAP, workers=["w2"], title="Night run", width=777, height=444, metric="tasks_running"
    )

    assert (figure.layout.width, figure.layout.height) == (777, 444)
    assert "Night run" in str(figure.layout)
    assert list(figure.data[0].y) == ["w2"]
    assert figure.data[0].z.tolist() == [[1.0]]


def test_a_figure_that_does_not_exist_is_an_error_that_names_those_that_do(make: Make) -> None:
    with pytest.raises(UsageError, match="scaling_history"):
        make(Fleet()).figure("heatmap")


# leaving


def test_cleanup_leaves_no_thread_and_may_be_called_twice_and_figures_go_on(tmp_path: Path) -> None:
    before = threading.enumerate()
    visualization = DRMVisualization(Fleet(), output_dir=tmp_path, update_interval=0.05)
    began = time.monotonic()
    visualization.cleanup()
    visualization.cleanup()
    took_s = time.monotonic() - began

    assert threading.enumerate() == before
    assert took_s < 2.0
    assert not list(tmp_path.glob("*.lock"))
    assert visualization.create_resource_utilization_heatmap().exists()
    with pytest.raises(UsageError, match=r"after cleanup\(\)"):
        visualization.collect()


def test_what_happened_after_the_last_tick_is_recorded_when_it_ends(make: Make) -> None:
    fleet = Fleet()
    visualization = make(fleet, update_interval=3600)
    fleet.last_scaling_decision = {"action": "scale_down", "count": 1}

    visualization.cleanup()

    with Store.open(visualization.store) as store:
        assert [decision.action for decision in store.read_all().decisions] == ["scale_down"]


def test_an_object_that_nobody_holds_any_more_ends_its_collection(tmp_path: Path) -> None:
    visualization = DRMVisualization(Fleet(), output_dir=tmp_path, update_interval=0.05)
    path = visualization.store
    del visualization
    gc.collect()

    eventually(lambda: ours() == [])
    Writer.open(path).close()


def test_a_program_that_forgets_to_clean_up_ends_and_closes_its_run(tmp_path: Path) -> None:
    program = f"""
from drmviz import DRMVisualization

class Fleet:
    def get_worker_statistics(self):
        return {{"workers": {{"w1": {{"utilization": {{"cpu": 0.5}}}}}}}}

visualization = DRMVisualization(Fleet(), output_dir={str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], timeout=60, capture_output=True, check=True)

    assert done.stderr == b""
    with Store.open(tmp_path / "history.drmviz") as store:
        (run,) = store.runs()
    assert run.ended_at_s is not None

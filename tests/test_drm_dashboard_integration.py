"""What was promised to those who put the figures into their own dashboard, as they do it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

from drmviz.errors import InvalidValueError, UsageError
from drmviz.model.status import OK
from drmviz.store import Store
from drmviz.system import SimulatedClock
from drmviz.visualization import DRMVisualization
from dynamic_resource_management_visualization import DRMVisualizationIntegration
from dynamic_resource_manager import DynamicResourceManager
from tests.building import START_S  # 2026-09-21 14:13:20 UTC

FILES = {
    "dashboard": "dashboard.html",
    "resource_heatmap": "resource_utilization_heatmap.html",
    "scaling_history": "scaling_history.html",
    "resource_allocation": "resource_allocation.html",
    "resource_efficiency": "resource_efficiency.html",
    "cloud_resources": "cloud_resources.html",
}
REGISTRY = "visualization_registry.json"


class Measuring:
    """A manager that somebody already has: no class of ours."""

    def __init__(self, **cpu: float) -> None:
        self.cpu = cpu

    def get_worker_statistics(self) -> dict[str, Any]:
        return {
            "workers": {
                worker: {
                    "utilization": {"cpu": cpu, "memory": None, "gpu": None},
                    "tasks": 1,
                    "resources": {
                        "cpu": {"cores": 8, "available_cores": 2},
                        "memory": {"total_mb": 16384, "available_mb": 8192},
                        "gpu": {"devices": 0},
                    },
                }
                for worker, cpu in self.cpu.items()
            }
        }


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(wall=START_S)


@pytest.fixture
def still(tmp_path: Path, clock: SimulatedClock) -> Iterator[DRMVisualizationIntegration]:
    """Does nothing by itself."""
    manager = Measuring(w1=0.5, w2=0.25)
    with DRMVisualizationIntegration(tmp_path / "out", 0, manager, clock=clock) as integration:
        yield integration


def registered(folder: Path) -> dict[str, dict[str, Any]]:
    held: dict[str, dict[str, Any]] = json.loads((folder / REGISTRY).read_bytes())
    return held


def waited_for(condition: Any, seconds: float = 30.0) -> bool:
    """Wait for what a thread does in real time."""
    given_up_at_s = time.monotonic() + seconds
    tick = threading.Event()
    while not condition() and time.monotonic() < given_up_at_s:
        tick.wait(0.01)
    return bool(condition())


def fail(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Break one figure where it is arranged."""
    import drmviz.figures.scaling_history as scaling_history

    def broken(*_: object) -> None:
        raise error

    assert name == "scaling_history"
    monkeypatch.setattr(scaling_history, "arrange", broken)


def test_the_constructor_takes_what_it_always_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = signature(DRMVisualizationIntegration).parameters
    monkeypatch.chdir(tmp_path)
    with DRMVisualizationIntegration() as integration:
        assert integration.output_dir == tmp_path / "drm_visualizations"
        assert integration.statuses == {"registry": OK}

    assert [(name, each.default) for name, each in parameters.items()][:3] == [
        ("output_dir", "./drm_visualizations"),
        ("update_interval", 60),
        ("resource_manager", None),
    ]
    assert list(tmp_path.iterdir()) == [], "with nobody to ask, nothing is written"


def test_an_update_writes_every_figure_under_its_stable_name(still: DRMVisualizationIntegration) -> None:
    folder = still.output_dir

    written = still.update_visualizations()

    assert written == {type_: folder / name for type_, name in FILES.items()}
    assert still.types == tuple(FILES)
    assert all(path.read_bytes().lower().startswith(b"<!doctype html>") for path in written.values())
    assert "w2" in written["resource_heatmap"].read_text(encoding="utf-8")
    assert still.status == OK


def test_the_registry_is_as_promised(still: DRMVisualizationIntegration) -> None:
    still.update_visualizations()

    held = registered(still.output_dir)
    with Store.open(still.output_dir / "history.drmviz") as store:
        (run,) = store.runs()
    assert {type_: entry["path"] for type_, entry in held.items()} == FILES
    for type_, entry in held.items():
        assert entry["type"] == type_
        assert entry["title"]
        assert entry["description"]
        assert datetime.fromisoformat(entry["updated_at"]).utcoffset() is not None
        assert datetime.fromisoformat(entry["updated_at"]).timestamp() == START_S
        assert (entry["run"], entry["options"]) == (run.id, {})
    assert still.get_all_visualizations() == held
    assert still.get_visualization("scaling_history") == held["scaling_history"]


def test_what_is_not_there_is_none(still: DRMVisualizationIntegration) -> None:
    assert still.get_visualization("scaling_history") is None
    still.update_visualizations()
    (still.output_dir / FILES["scaling_history"]).unlink()

    assert still.get_visualization("scaling_history") is None
    assert still.get_visualization("nonsense") is None
    assert set(still.get_all_visualizations()) == set(FILES) - {"scaling_history"}


def test_within_the_interval_nothing_is_drawn_again_unless_forced(tmp_path: Path, clock: SimulatedClock) -> None:
    with DRMVisualizationIntegration(tmp_path, 3600, Measuring(w1=0.5), clock=clock) as integration:
        integration.update_visualizations()

        def times() -> dict[str, int]:
            return {type_: path.stat().st_mtime_ns for type_, path in integration.update_visualizations().items()}

        first = times()
        clock.advance(3599)
        assert times() == first
        (tmp_path / FILES["dashboard"]).unlink()
        mended = times()
        assert {type_ for type_ in FILES if mended[type_] != first[type_]} == {"dashboard"}
        clock.advance(1)
        later = times()
        integration.update_visualizations(force=True)
        forced = times()

    assert all(later[type_] > first[type_] for type_ in set(FILES) - {"dashboard"})
    assert all(forced[type_] > later[type_] for type_ in FILES)


def test_one_figure_that_fails_costs_only_itself_and_keeps_its_last_picture(
    still: DRMVisualizationIntegration, monkeypatch: pytest.MonkeyPatch, clock: SimulatedClock
) -> None:
    still.update_visualizations()
    before = (still.output_dir / FILES["scaling_history"]).read_bytes()
    clock.advance(60)
    with monkeypatch.context() as broken:
        fail(broken, "scaling_history", ZeroDivisionError("a <b> of nothing"))

        written = still.update_visualizations()

    assert set(written) == set(FILES) - {"scaling_history"}
    assert still.statuses["scaling_history"].state == "FAILED"
    assert "ZeroDivisionError: a <b> of nothing" in still.statuses["scaling_history"].reason
    assert (still.output_dir / FILES["scaling_history"]).read_bytes() == before
    held = registered(still.output_dir)
    assert held["scaling_history"]["updated_at"] == "2026-09-21T14:13:20.000+00:00"
    assert held["dashboard"]["updated_at"] == "2026-09-21T14:14:20.000+00:00"
    page = still.page.read_text(encoding="utf-8")
    assert "a &lt;b&gt; of nothing" in page
    assert "Shown as of 2026-09-21 14:13:20 UTC" in page
    assert set(still.update_visualizations()) == set(FILES)
    assert "scaling_history" not in still.statuses


def test_a_link_in_the_place_of_a_figure_is_not_written_through(
    still: DRMVisualizationIntegration, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.html"
    outside.write_text("mine")
    still.output_dir.joinpath(FILES["dashboard"]).symlink_to(outside)

    written = still.update_visualizations()

    assert set(written) == set(FILES) - {"dashboard"}
    assert outside.read_text() == "mine"
    assert "it is a link" in still.statuses["dashboard"].reason


def test_a_damaged_registry_is_rebuilt_and_said(still: DRMVisualizationIntegration) -> None:
    still.update_visualizations()
    (still.output_dir / REGISTRY).write_bytes(b'{"dashboard": ')

    found = still.get_all_visualizations()

    assert {type_: entry["path"] for type_, entry in found.items()} == FILES
    assert still.statuses["registry"].state == "DEGRADED"
    assert "was damaged" in still.status.reason
    (aside,) = still.output_dir.glob(f"{REGISTRY}.corrupt-*")
    assert aside.read_bytes() == b'{"dashboard": '
    still.update_visualizations()
    assert "was damaged" in still.page.read_text(encoding="utf-8")


def test_a_registry_of_a_newer_version_is_left_alone_and_figures_are_still_drawn(
    still: DRMVisualizationIntegration,
) -> None:
    newer = json.dumps({"version": 2, "figures": []})
    (still.output_dir / REGISTRY).write_text(newer)

    written = still.update_visualizations()

    assert set(written) == set(FILES)
    assert (still.output_dir / REGISTRY).read_text() == newer
    assert "format 2" in still.status.reason


# managers


def test_a_manager_can_be_set_and_exchanged_and_the_history_goes_on(tmp_path: Path, clock: SimulatedClock) -> None:
    with DRMVisualizationIntegration(tmp_path, 0, clock=clock) as integration:
        integration.set_resource_manager(Measuring(first=0.5))
        integration.update_visualizations()
        clock.advance(10)
        integration.set_resource_manager(DynamicResourceManager(clock=clock))
        assert integration.status == OK, "the one before has let the history go"
        clock.advance(10)
        integration.set_resource_manager(Measuring(third=0.5))
        written = integration.update_visualizations()

    with Store.open(tmp_path / "history.drmviz") as store:
        ids = [run.id for run in store.runs()]
    assert len(ids) == 2, "one in which nothing was collected is not kept"
    page = written["resource_heatmap"].read_text(encoding="utf-8")
    assert "first" in page
    assert "third" in page
    assert registered(tmp_path)["dashboard"]["run"] == ids[-1]


def test_what_is_no_manager_is_refused_and_the_one_before_stays(still: DRMVisualizationIntegration) -> None:
    with pytest.raises(InvalidValueError, match="get_worker_statistics"):
        still.set_resource_manager(object())

    assert set(still.update_visualizations()) == set(FILES)
    assert still.statuses["manager"] == OK


@pytest.mark.parametrize("interval", [-1, float("nan"), float("inf"), True, "60", 1e9, 0.001])
def test_an_interval_that_makes_no_sense_is_refused(tmp_path: Path, interval: Any) -> None:
    before = set(threading.enumerate())
    with pytest.raises(InvalidValueError, match=r"^update_interval"):
        DRMVisualizationIntegration(tmp_path, interval, Measuring(w1=0.5))

    assert set(threading.enumerate()) == before


# by itself


@pytest.mark.parametrize(("interval", "sampled"), [(3600, 1.0), (0.25, 0.25)])
def test_samples_are_taken_as_often_as_is_drawn_and_at_least_each_second(
    tmp_path: Path, interval: float, sampled: float
) -> None:
    with DRMVisualizationIntegration(tmp_path, interval, Measuring(w1=0.5)) as integration:
        assert waited_for(integration.page.exists), integration.statuses

    with Store.open(tmp_path / "history.drmviz") as store:
        (run,) = store.runs()
    assert run.interval_s == sampled


def test_figures_are_renewed_in_the_background_until_cleanup(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    integration = DRMVisualizationIntegration(tmp_path, 0.05, Measuring(w1=0.5))
    heatmap = tmp_path / FILES["resource_heatmap"]
    assert waited_for(heatmap.exists)
    first_ns = heatmap.stat().st_mtime_ns
    assert waited_for(lambda: heatmap.stat().st_mtime_ns > first_ns), integration.statuses

    leaving_at_s = time.monotonic()
    integration.cleanup()
    integration.cleanup()

    assert time.monotonic() - leaving_at_s < 5
    assert set(threading.enumerate()) == before
    with pytest.raises(UsageError, match="cleaned up"):
        integration.set_resource_manager(Measuring(w2=0.5))
    assert set(integration.update_visualizations()) == set(FILES), "what was recorded can still be drawn"


def test_one_that_nobody_holds_any_more_ends_by_itself(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    integration = DRMVisualizationIntegration(tmp_path, 0.05, Measuring(w1=0.5))
    assert waited_for(integration.page.exists)

    del integration
    gc.collect()

    assert waited_for(lambda: set(threading.enumerate()) == before), threading.enumerate()


def test_an_unexpected_fault_in_the_background_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "scaling_history", RuntimeError("broken"))
    with DRMVisualizationIntegration(tmp_path, 0.05, Measuring(w1=0.5)) as integration:
        assert waited_for(lambda: "scaling_history" in integration.statuses)
        monkeypatch.undo()

        assert waited_for(lambda: (tmp_path / FILES["scaling_history"]).exists()), integration.statuses


PROGRAM = """
import sys
from dynamic_resource_manager import DynamicResourceManager
from dynamic_resource_management_visualization import DRMVisualizationIntegration

if len(sys.argv) > 2:
    manager = DynamicResourceManager()
    manager.register_worker(sys.argv[2], {"cpu": {"cores": 4}})
    manager.record_usage(sys.argv[2], cpu_ratio=0.5)
    integration = DRMVisualizationIntegration(sys.argv[1], 60, manager)
    print(len(integration.update_visualizations(force=True)))
else:
    integration = DRMVisualizationIntegration(sys.argv[1])
    print(sorted(integration.get_all_visualizations()))
    print("cpu-of-before" in integration.get_iframe_html("resource_heatmap"))
"""


def test_a_program_started_again_knows_what_the_one_before_drew(tmp_path: Path) -> None:
    """The first ends without a word of cleanup."""
    said = []
    for arguments in (["cpu-of-before"], []):
        run = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), *arguments]
        done = subprocess.run(run, timeout=100, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        said.append(done.stdout.splitlines())

    assert said == [["6"], [str(sorted(FILES)), "True"]]


# embedding


class Frame(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("type_", FILES)
def test_every_frame_carries_its_whole_page(still: DRMVisualizationIntegration, type_: str) -> None:
    written = still.update_visualizations()

    ((tag, attributes),) = Frame(still.get_iframe_html(type_)).found

    assert tag == "iframe"
    assert attributes["srcdoc"] == written[type_].read_text(encoding="utf-8")
    assert "src" not in attributes
    assert attributes["style"] == "width:100%;height:600px;border:0"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"


def test_a_frame_of_what_was_not_drawn_says_why(
    still: DRMVisualizationIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "It has not been drawn yet" in still.get_iframe_html("scaling_history")
    fail(monkeypatch, "scaling_history", ValueError("<script>alert(1)</script>"))
    still.update_visualizations()

    ((_, attributes),) = Frame(still.get_iframe_html("scaling_history")).found

    inner = attributes["srcdoc"] or ""
    assert "ValueError: &lt;script&gt;" in inner
    assert "script" not in [tag for tag, _ in Frame(inner).found]


@pytest.mark.parametrize("wrong", ["100%;x", '1px" onload="alert(1)', "calc(1px)", -1, True, "", "100", None, "1e3px"])
def test_a_size_that_is_no_length_is_refused(still: DRMVisualizationIntegration, wrong: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^width"):
        still.get_iframe_html("dashboard", wrong)
    with pytest.raises(InvalidValueError, match=r"^height"):
        still.get_iframe_html("dashboard", height=wrong)
    assert "width:50vw;height:300px" in still.get_iframe_html("dashboard", "50vw", 300)


def test_a_type_that_there_is_not_names_those_that_there_are(still: DRMVisualizationIntegration) -> None:
    with pytest.raises(InvalidValueError, match="resource_heatmap, scaling_history"):
        still.get_iframe_html("heatmap")


# as a browser shows it


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Whatever is said on the side, or asked of anybody, is an error."""
    opened = browser.new_page(viewport={"width": 1200, "height": 1000})
    said: list[str] = []

    def note_dialog(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    def note_request(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "about:")):
            said.append(request.url)

    def note_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", note_console)
    opened.on("dialog", note_dialog)
    opened.on("request", note_request)
    yield opened
    opened.close()
    assert said == []


@pytest.mark.browser
def test_embedded_frames_really_show_their_figures(
    still: DRMVisualizationIntegration, page: Page, tmp_path: Path
) -> None:
    still.update_visualizations()
    frames = "".join(still.get_iframe_html(type_) for type_ in FILES)
    host = tmp_path / "host.html"
    host.write_text(f"<!doctype html><meta charset=utf-8><title>mine</title>{frames}", encoding="utf-8")

    page.goto(host.as_uri())

    for place, type_ in enumerate(FILES):
        element = page.locator("iframe").nth(place)
        element.scroll_into_view_if_needed()
        inner = element.content_frame
        inner.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
        box = element.bounding_box()
        assert box is not None
        assert (round(box["width"]), round(box["height"])) == (1184, 600), type_
        assert inner.locator("body").evaluate("() => document.documentElement.scrollWidth <= innerWidth"), type_
        assert inner.locator("body").evaluate("() => self.origin") == "null", "it reaches nothing of its host"


@pytest.mark.browser
def test_the_tabs_open_from_a_file_and_draw_what_is_chosen(still: DRMVisualizationIntegration, page: Page) -> None:
    still.update_visualizations()

    page.goto(still.page.as_uri())

    assert page.locator("#updated").inner_text() == "2026-09-21 14:13:20 UTC"
    tabs = page.get_by_role("tab")
    assert tabs.all_inner_texts() == [
        "Resource dashboard",
        "Resource utilization",
        "Scaling history",
        "Resource allocation",
        "Resource efficiency",
        "Cloud usage",
    ]
    for place in range(len(FILES)):
        tabs.nth(place).click()
        panel = page.get_by_role("tabpanel")
        assert panel.count() == 1
        inner = panel.locator("iframe").content_frame
        inner.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
        assert page.locator("iframe[src]").count() == place + 1, "what nobody looks at is not loaded"
    page.keyboard.press("ArrowRight")
    assert tabs.nth(0).get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowLeft")
    assert tabs.nth(5).get_attribute("aria-selected") == "true"


@pytest.mark.browser
def test_the_page_loads_itself_again_as_chosen_and_keeps_choice_and_tab(
    still: DRMVisualizationIntegration, page: Page, clock: SimulatedClock
) -> None:
    still.update_visualizations()
    page.clock.install(time=0)
    page.goto(still.page.as_uri())
    page.clock.pause_at(3600)
    choice = page.get_by_label("Auto-refresh")
    assert choice.locator("option").all_inner_texts() == ["Off", "30 s", "1 min", "5 min"]
    assert choice.input_value() == "0", "nothing is renewed by itself here"
    page.get_by_role("tab", name="Scaling history").click()
    choice.select_option("30 s")
    clock.advance(60)
    still.update_visualizations()

    page.clock.run_for(29_000)
    assert page.locator("#updated").inner_text() == "2026-09-21 14:13:20 UTC"
    with page.expect_navigation():
        page.clock.run_for(1_000)

    assert page.locator("#updated").inner_text() == "2026-09-21 14:14:20 UTC"
    assert page.get_by_label("Auto-refresh").input_value() == "30"
    assert page.get_by_role("tab", name="Scaling history").get_attribute("aria-selected") == "true"
    page.get_by_label("Auto-refresh").select_option("Off")
    page.reload()
    assert page.get_by_label("Auto-refresh").input_value() == "0"


@pytest.mark.browser
def test_hostile_names_do_nothing_in_a_frame_or_a_tab(
    page: Page, tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = '"></iframe><script>alert(1)</script><img src=x onerror=alert(2)>'
    fail(monkeypatch, "scaling_history", ValueError(name))
    with DRMVisualizationIntegration(tmp_path / "out", 0, Measuring(**{name: 0.5}), clock=clock) as integration:
        integration.update_visualizations()
        host = tmp_path / "host.html"
        frames = "".join(integration.get_iframe_html(type_) for type_ in ("resource_heatmap", "scaling_history"))
        host.write_text(f"<!doctype html><meta charset=utf-8>{frames}", encoding="utf-8")

    page.goto(host.as_uri())
    page.locator("iframe").first.content_frame.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
    assert page.evaluate("document.querySelectorAll('body > *').length") == 2
    page.goto(integration.page.as_uri())
    page.get_by_role("tab", name="Scaling history").click()
    assert name in page.get_by_role("tabpanel").inner_text()


def test_drmvisualization_keeps_its_own_names_in_the_same_folder(still: DRMVisualizationIntegration) -> None:
    still.update_visualizations()
    with DRMVisualization(still.output_dir / "history.drmviz", output_dir=still.output_dir) as visualization:
        written = visualization.create_scaling_history_visualization()

    assert written.name != FILES["scaling_history"]
    assert set(still.get_all_visualizations()) == set(FILES)

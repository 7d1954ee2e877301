"""The served page while the fleet moves: read as its users read it, by its readout, its words and its keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRIC_ROW
from drmviz.model.roster import RosterTracker
from drmviz.model.run import RunHeader
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Writer
from tests.dashboards import serving
from tests.fleets import START_S, KnownFleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
HOSTILE = '"><img src=x onerror="window.hacked=1"><a href=\'javascript:hacked=1\'>\u202e&amp;</a>'
CPU, MEMORY = METRIC_ROW["cpu_ratio"], METRIC_ROW["memory_ratio"]
PATIENCE_MS = 20_000
SOON_S = 4.0
"""The three seconds that are promised, and what a busy machine adds."""


@dataclass
class Watched:
    """A tab, and all that went wrong in it."""

    tab: Any
    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tab.on("console", self._said)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.tab.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.tab.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def open(self, server: DashboardServer, fragment: str = "") -> None:
        self.tab.goto(server.url)
        clean = f"http://127.0.0.1:{server.port}/"
        self.tab.wait_for_url(clean)
        if fragment:
            self.tab.goto(clean + fragment)
            self.tab.reload()
        self.tab.wait_for_selector("#heat-said:not(:empty)", timeout=PATIENCE_MS)

    def await_state(self, name: str) -> None:
        self.tab.wait_for_selector(f"#state[data-state={name}]", timeout=PATIENCE_MS)

    def seconds_until(self, *names: str) -> float:
        """Return how long it takes from now to the first of these states, by the clock of the page itself."""
        began_ms = self.tab.evaluate(
            """(names) => {
              const state = document.getElementById("state");
              const seen = () => { if (names.includes(state.dataset.state)) window.seenAt ??= performance.now(); };
              new MutationObserver(seen).observe(state, { attributes: true });
              return performance.now();
            }""",
            list(names),
        )
        self.tab.wait_for_function("() => window.seenAt", timeout=PATIENCE_MS)
        return float(self.tab.evaluate("window.seenAt") - began_ms) / 1000

    def readout(self, key: str) -> str:
        """Press a key in the heatmap and return what it says of the cell it comes to."""
        self.tab.focus("#heat-canvas")
        self.tab.keyboard.press(key)
        return str(self.tab.inner_text("#heat-aloud"))

    def row(self, columns: int) -> list[str]:
        """Return what the newest cells of the first worker say, newest first."""
        return [self.readout("End"), *(self.readout("ArrowLeft") for _ in range(columns - 1))]

    def await_newest(self, said: str) -> None:
        """Wait until the newest cell of the first worker says so."""
        self.tab.focus("#heat-canvas")
        self.tab.wait_for_function(
            """(said) => {
              const canvas = document.getElementById("heat-canvas");
              canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
              return document.getElementById("heat-aloud").textContent === said;
            }""",
            arg=said,
            timeout=PATIENCE_MS,
        )

    @property
    def text(self) -> str:
        return str(self.tab.inner_text("main"))


@contextmanager
def watched(browser: Browser, *, width: int = 1440, **how: Any) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": width, "height": 900}, **how)
    try:
        yield Watched(context.new_page())
    finally:
        context.close()


@dataclass
class Recorded:
    """A run that is fed by hand, one tick each second."""

    id: str = "0123456789ab"
    kept_s: float = 600.0
    seed: int = 1
    start_s: float = START_S
    missing: float = 0.2

    def __post_init__(self) -> None:
        self.known = KnownFleet(seed=self.seed)
        header = RunHeader(id=self.id, title="live", started_at_s=self.start_s, interval_s=1.0)
        self.hub = Hub(header, kept_s=self.kept_s)
        self.n = 0

    def ticks(self, count: int, workers: Sequence[str] = ("w1", "w2")) -> None:
        for _ in range(count):
            self.hub.add(self.known.tick(self.start_s + self.n, workers, missing=self.missing))
            self.n += 1

    def test(self, name: str, worker: str = "w1") -> None:
        """End a test in the next tick."""
        at_s = self.start_s + self.n
        task = Task(name=name, worker=worker, outcome="passed", started_at_s=at_s - 1, ended_at_s=at_s)
        self.hub.add(replace(self.known.tick(at_s, ["w1", "w2"], missing=self.missing), tasks=(task,)))
        self.n += 1

    def said(self, n: int, worker: str = "w1", *, metric: str = "cpu_ratio", name: str = "CPU") -> str:
        """Return what the readout of that tick must say."""
        value = float(self.known.samples[round((self.start_s + n) * 1e6), worker][METRIC_ROW[metric]])
        said = "not measured" if np.isnan(value) else f"{name} {percent(value)}"
        return f"{worker}, {said}, {moment(self.start_s + n)} UTC"

    def row(self, columns: int) -> list[str]:
        return [self.said(n) for n in range(self.n - 1, self.n - 1 - columns, -1)]


def percent(value: float) -> str:
    value = round(value, 3)
    return f"{value * 100:.1f} %" if 0 < value < 0.00995 else f"{int(value * 100 + 0.5)} %"


def moment(at_s: float) -> str:
    seconds = int(at_s) % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


@pytest.fixture
def run() -> Recorded:
    recorded = Recorded()
    recorded.ticks(5)
    return recorded


def fleet(tmp_path: Path, run: Recorded) -> Fleet:
    return Fleet([tmp_path / "none"], hub=run.hub)


def test_each_tick_becomes_one_column_and_nothing_is_asked_of_anybody_else(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_state("live")
        assert page.row(5) == run.row(5)

        for _ in range(4):
            run.ticks(1)
            page.await_newest(run.said(run.n - 1))

        assert page.row(9) == run.row(9)
        assert page.readout("ArrowLeft") == f"w1, not alive, {moment(START_S - 1)} UTC"
        assert page.readout("ArrowDown") == f"w2, not alive, {moment(START_S - 1)} UTC"
        assert page.wrong == []
        assert page.hosts == {f"127.0.0.1:{server.port}"}


def test_seconds_without_a_tick_are_a_gap_of_who_lived_through_them(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_newest(run.said(4))
        run.n += 3
        run.ticks(1, ["w1", "x1"])
        page.await_newest(run.said(8))

        cells = page.row(5)
        assert cells[1:4] == [f"w1, not measured, {moment(START_S + n)} UTC" for n in (7, 6, 5)]
        assert cells[4] == run.said(4)
        assert page.readout("ArrowDown") == f"w2, {run.said(4, 'w2').partition(', ')[2]}"
        page.readout("ArrowDown")
        assert page.readout("ArrowRight") == f"x1, not alive, {moment(START_S + 5)} UTC"


def test_the_canvas_moves_on_by_one_column(browser: Browser, tmp_path: Path) -> None:
    run = Recorded(missing=0.0)  # hatching does not move
    run.ticks(60)
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_newest(run.said(run.n - 1))
        page.tab.keyboard.press("Escape")
        pixels = """() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
          const canvas = document.getElementById("heat-canvas");
          const box = canvas.getContext("2d").getImageData(0, 26, canvas.width, 1).data;
          const colour = (x) => box[4 * x] * 65536 + box[4 * x + 1] * 256 + box[4 * x + 2];
          done([...Array(canvas.width).keys()].map(colour));
        }, 60)))"""
        before = page.tab.evaluate(pixels)
        run.ticks(1)
        page.await_newest(run.said(run.n - 1))
        page.tab.keyboard.press("Escape")
        after = page.tab.evaluate(pixels)

        def runs(row: list[int]) -> list[int]:
            return [colour for place, colour in enumerate(row) if place == 0 or row[place - 1] != colour]

        assert before != after
        colours_before, colours_after = runs(before), runs(after)
        tail = colours_before[-30:-4]
        text = ",".join(map(str, colours_after))
        assert ",".join(map(str, tail)) in text, "what was painted is still there, one column further left"


def test_a_server_that_comes_back_leaves_no_gap_and_doubles_no_column(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    # Columns of two ticks and more: a tick that is taken twice would change their mean.
    with watched(browser) as page:
        with serving(fleet(tmp_path, run)) as server:
            port = server.port
            page.open(server)
            page.await_newest(run.said(run.n - 1))
        page.await_state("lost")
        assert "Connection lost" in page.tab.inner_text("#state-aloud")
        run.ticks(4)
        with serving(fleet(tmp_path, run), port=port):
            page.await_newest(run.said(run.n - 1))
            run.ticks(3)
            page.await_newest(run.said(run.n - 1))

            assert page.row(12) == run.row(12)
            assert [error for error in page.wrong if "WebSocket" not in error and "ERR_" not in error] == []


def await_wide_mean(page: Watched, run: Recorded) -> None:
    """Wait until the newest cell of an hour says the mean of its ticks, each counted once."""
    newest_s = START_S + run.n - 1
    starts_s = newest_s // 6 * 6  # an hour in 600 columns
    ticks = [
        run.known.samples[round(at_s * 1e6), "w1"][CPU] for at_s in np.arange(max(starts_s, START_S), newest_s + 1)
    ]
    page.tab.focus("#heat-canvas")
    page.tab.wait_for_function(
        """(said) => {
          document.getElementById("heat-canvas").dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
          return document.getElementById("heat-aloud").textContent === said;
        }""",
        arg=f"w1, CPU {percent(float(np.mean(ticks)))}, {moment(starts_s)}–{moment(starts_s + 6)} UTC",
        timeout=PATIENCE_MS,
    )


def test_means_of_wide_columns_take_each_tick_once_across_a_reconnect(browser: Browser, tmp_path: Path) -> None:
    run = Recorded(missing=0.0)
    run.ticks(5)
    with watched(browser) as page:
        with serving(fleet(tmp_path, run)) as server:
            port = server.port
            page.open(server, "#range=3600")
            page.await_state("live")
        page.await_state("lost")
        run.ticks(9)
        with serving(fleet(tmp_path, run), port=port):
            for _ in range(5):
                run.ticks(1)
                await_wide_mean(page, run)


@pytest.mark.parametrize("what", ["doubled", "dropped"])
def test_frames_that_are_doubled_or_dropped_on_the_way_change_nothing(
    browser: Browser, tmp_path: Path, what: str
) -> None:
    run = Recorded(missing=0.0)
    run.ticks(5)
    hit: set[int] = set()

    def proxy(socket: Any) -> None:
        server = socket.connect_to_server()

        def forward(message: str | bytes) -> None:
            sequence = int.from_bytes(message[8:12], "little") if isinstance(message, bytes) else 1
            is_hit = sequence % 3 == 0 and sequence not in hit
            hit.update([sequence] if is_hit else [])
            for _ in range({"doubled": 2, "dropped": 0}[what] if is_hit else 1):
                socket.send(message)

        server.on_message(forward)

    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.tab.route_web_socket(re.compile("/ws"), proxy)
        page.open(server, "#range=3600")
        page.await_state("live")
        while run.n < 14:
            run.ticks(1)
            if what == "doubled" or run.n % 3 != 1:
                await_wide_mean(page, run)
        assert hit >= {6, 9, 12}


def test_another_run_behind_the_same_address_is_never_mixed_with_the_old_one(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    other = Recorded(id="ba9876543210", seed=2, start_s=START_S + 30)
    other.ticks(20, ["w1"])
    with watched(browser) as page:
        with serving(fleet(tmp_path, run)) as server:
            port = server.port
            page.open(server)
            page.await_newest(run.said(run.n - 1))
        page.await_state("lost")
        with serving(fleet(tmp_path, other), port=port):
            page.await_newest(other.said(other.n - 1))

            assert page.row(20) == other.row(20)
            assert page.readout("ArrowLeft").startswith("w1, not alive")


def test_what_nobody_holds_any_more_is_shown_as_missing(browser: Browser, tmp_path: Path) -> None:
    run = Recorded(kept_s=6.0)
    run.ticks(5)
    with watched(browser) as page:
        with serving(fleet(tmp_path, run)) as server:
            port = server.port
            page.open(server)
            page.await_newest(run.said(run.n - 1))
        page.await_state("lost")
        run.ticks(20)
        with serving(fleet(tmp_path, run), port=port):
            page.await_newest(run.said(run.n - 1))

            cells = page.row(12)
            assert cells[:6] == run.row(6)
            assert all("%" not in cell for cell in cells[6:])
            assert [cell.rsplit(", ", 1)[1] for cell in cells] == [
                f"{moment(START_S + run.n - 1 - back)} UTC" for back in range(12)
            ]


def test_silence_is_said_within_three_seconds(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_state("live")
        assert page.seconds_until("stale", "lost") < SOON_S  # lost, where this machine itself is too busy to answer
        page.await_state("stale")

        assert "no new numbers for" in page.tab.inner_text("#state")
        assert page.tab.inner_text("#state-aloud") == "Stale: no new numbers arrive."
        assert page.tab.get_attribute("#state-aloud", "aria-live") == "polite"
        run.ticks(1)
        page.await_state("live")


def test_a_server_that_hangs_is_lost_within_three_seconds(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    hangs = [False]
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.tab.route("**/healthz", lambda _: None)  # nobody answers, and the socket that is open stays open
        page.tab.route_web_socket(
            re.compile("/ws"), lambda socket: socket.close() if hangs[0] else socket.connect_to_server()
        )
        page.open(server)
        page.await_state("live")
        hangs[0] = True
        assert page.seconds_until("lost") < SOON_S

        hangs[0] = False
        page.tab.unroute("**/healthz")
        run.ticks(1)
        page.await_newest(run.said(run.n - 1))


def test_a_server_with_another_token_is_called_by_its_reason(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    with watched(browser) as page:
        with serving(fleet(tmp_path, run)) as server:
            port = server.port
            page.open(server)
            page.await_state("live")
        other = DashboardServer(fleet(tmp_path, run), Serving(port=port), token="ZYXWVUTSRQPONMLKJIHGFEDCBA98")
        other.start()
        try:
            page.await_state("over")
            assert "open the printed address again" in page.tab.inner_text("#state")
        finally:
            other.stop()


def test_what_the_reader_chose_is_remembered(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser, reduced_motion="reduce") as page:
        page.open(server)
        page.await_state("live")
        before = page.tab.get_attribute("html", "data-theme")
        page.tab.select_option("#auto", "300")
        page.tab.click("#theme")
        page.tab.reload()
        page.tab.wait_for_selector("#heat-said:not(:empty)", timeout=PATIENCE_MS)

        assert page.tab.input_value("#auto") == "300"
        assert page.tab.get_attribute("html", "data-theme") == {"light": "dark", "dark": "light"}[before]
        assert page.tab.evaluate("getComputedStyle(document.querySelector('.dot')).animationName") == "none"
        assert page.wrong == []


def test_where_no_websocket_comes_through_the_page_polls(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.tab.route_web_socket(re.compile("/ws"), lambda socket: socket.close())
        page.open(server)
        page.await_state("polling")
        run.ticks(3)
        page.await_newest(run.said(run.n - 1))

        assert page.row(8) == run.row(8)


def test_a_pause_keeps_the_picture_and_what_was_missed_comes_after_it(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_newest(run.said(run.n - 1))
        held = page.row(5)
        page.tab.click("#pause")
        page.await_state("paused")
        with page.tab.expect_event("console", predicate=lambda message: message.text == "seen", timeout=PATIENCE_MS):
            page.tab.evaluate(
                """() => new WebSocket(`ws://${location.host}/ws`).addEventListener("message", (message) => {
                  if (typeof message.data !== "string" && ++window.frames_ === 4) console.log("seen");
                  window.frames_ ??= 1;
                })"""
            )
            for _ in range(20):
                run.ticks(1)
                page.tab.evaluate("() => new Promise((done) => setTimeout(done, 20))")
        assert page.row(5) == held

        page.tab.click("#pause")
        page.await_newest(run.said(run.n - 1))
        assert page.row(run.n) == run.row(run.n)


def test_cards_and_reasons_follow(browser: Browser, tmp_path: Path) -> None:
    tracker = RosterTracker()
    facts = {"scaling_policy": {"scale_up_threshold": 0.8, "scale_down_threshold": 0.3}}
    hub = Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0, facts=facts))

    def tick(n: int, ratio: float, *decisions: ScalingDecision) -> None:
        reading = Reading.unknown([RosterEntry(id="w1")], taken_at_s=START_S + n, decisions=decisions)
        reading["cpu_ratio"] = [ratio]
        hub.add(tracker.observe([reading], at_s=START_S + n, wall_s=START_S + n))

    tick(0, 0.5)
    with serving(Fleet([tmp_path / "none"], hub=hub)) as server, watched(browser) as page:
        page.open(server)
        page.await_state("live")
        assert "No scaling decision was recorded" in page.text
        assert "inside band, 30 pt to scale-up" in page.text

        why = "CPU 90 % over 80 % <b onclick=x>for 60 s</b>"
        tick(1, 0.9, ScalingDecision(action="scale_up", decided_at_s=START_S + 1, count=2, reason=why,
                                     metric="cpu_ratio", value=0.9, threshold=0.8))  # fmt: skip
        page.tab.wait_for_selector("#decisions .feed .t >> text=Add 2 workers", timeout=PATIENCE_MS)

        assert why in page.tab.inner_text("#decisions .feed .w")
        assert page.tab.inner_text("#decisions .next").split("\n")[0] == "Next decision"
        page.tab.wait_for_selector("#kpis >> text=10 pt over", timeout=PATIENCE_MS)
        assert page.tab.locator("#kpis .kpi").count() == 6
        assert page.wrong == []


def test_nothing_yet_becomes_something_by_itself(browser: Browser, tmp_path: Path) -> None:
    run = Recorded()
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.tab.goto(server.url)
        page.tab.wait_for_selector("#nothing:visible", timeout=PATIENCE_MS)
        run.ticks(3)
        page.tab.wait_for_selector("#panel:visible", timeout=PATIENCE_MS)
        page.await_newest(run.said(2))

        assert page.wrong == []


def test_hostile_names_run_nothing_wherever_they_stand(browser: Browser, tmp_path: Path) -> None:
    run = Recorded()
    run.ticks(5, [HOSTILE, "w2"])
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.readout("Home")
        run.ticks(2, [HOSTILE, "w2", HOSTILE + "2"])
        page.tab.wait_for_function("() => document.getElementById('heat-said').textContent.startsWith('3 ')")
        run.test(HOSTILE)
        for tab in ("use", "scaling", "allocation", "efficiency", "cloud", "tests", "overview"):
            page.tab.click(f"#tab-{tab}")
        page.tab.wait_for_selector("#scaling .main-svg >> nth=0", timeout=PATIENCE_MS)
        page.tab.click("#heat-numbers summary")
        page.readout("End")
        page.tab.keyboard.press("Enter")
        page.tab.wait_for_selector("#worker-lives tbody tr", timeout=PATIENCE_MS)

        assert "<img src=x" in page.tab.inner_text("#h-worker")
        assert "\u202e" not in page.tab.inner_text("body")
        assert page.tab.evaluate("window.hacked") is None
        assert page.tab.locator("img").count() == 0
        assert page.wrong == []
        assert page.hosts == {f"127.0.0.1:{server.port}"}


def test_everything_is_reached_by_keyboard_and_the_address_keeps_it(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        tab = page.tab
        for _ in range(60):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.id") == "tab-overview":
                break
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate("document.activeElement.id") == "tab-use"
        assert tab.get_attribute("#tab-use", "aria-selected") == "true"
        assert not tab.is_visible("#kpis")
        reached = set()
        for _ in range(60):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.id || document.activeElement.dataset.value || ''"))
            if "heat-canvas" in reached:
                break
        assert {"memory_ratio", "statistic", "group", "sort", "filter", "heat-canvas"} <= reached
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#worker[open]")
        tab.wait_for_selector("#worker-series .line >> nth=7", timeout=PATIENCE_MS)
        assert tab.inner_text("#h-worker") == "w2"
        assert "worker=w2" in tab.url
        tab.keyboard.press("Escape")
        tab.wait_for_selector("#worker:not([open])", state="attached")
        tab.wait_for_function("location.hash === '#tab=use'")  # a dialog tells of its end after it has closed


def test_workers_are_found_sorted_and_grouped(browser: Browser, tmp_path: Path) -> None:
    run = Recorded(missing=0.0)
    names = ["w1", "w2", "w10", "v3"]
    run.ticks(1, names)
    busy = sorted(names, key=lambda name: -run.known.samples[round(START_S * 1e6), name][CPU])
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:

        def order(count: int) -> list[str]:
            said = [page.readout("End"), *(page.readout("ArrowDown") for _ in range(count - 1))]
            for _ in range(count):
                page.readout("ArrowUp")
            return [cell.partition(",")[0] for cell in said]

        page.open(server)
        page.await_state("live")
        assert order(4) == ["v3", "w1", "w2", "w10"]
        page.tab.select_option("#sort", "now")
        assert order(4) == busy
        page.tab.select_option("#sort", "idle")
        assert order(4) == busy[::-1]
        page.tab.select_option("#sort", "name")
        page.tab.fill("#filter", "W1")
        assert order(2) == ["w1", "w10"]
        assert "2 of 4 workers" in page.tab.inner_text("#heat-said")
        page.tab.fill("#filter", "nobody")
        assert page.tab.inner_text("#heat-none") == "No worker has that in its name."
        page.tab.fill("#filter", "")
        page.tab.click("#tab-cloud")
        run.ticks(2, ["w1"])
        page.tab.click("#tab-use")
        page.tab.fill("#filter", "w1")
        page.await_newest(run.said(2))
        assert page.wrong == []


def test_a_thousand_workers_share_rows_and_say_so(browser: Browser, tmp_path: Path) -> None:
    run = Recorded()
    run.ticks(3, [f"w{number}" for number in range(1000)])
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.await_state("live")

        assert page.tab.inner_text("#heat-said").startswith("1,000 workers, 3 per row, mean of 1 s per cell")
        assert page.readout("End").startswith("w0 and 2 more, CPU ")
        assert page.tab.evaluate("document.getElementById('heat-canvas').clientHeight") < 560
        assert page.wrong == []


def test_a_link_shows_the_same_view(browser: Browser, tmp_path: Path, run: Recorded) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server, "#tab=use&metric=memory_ratio&statistic=max&sort=now&filter=w2&range=900&nonsense=1")

        page.await_state("live")
        assert page.tab.get_attribute("#metric [data-value=memory_ratio]", "aria-pressed") == "true"
        assert page.tab.get_attribute("#range [data-value='900']", "aria-pressed") == "true"
        assert page.tab.input_value("#filter") == "w2"
        assert page.tab.input_value("#statistic") == "max"
        assert "1 of 2 workers, highest value of" in page.tab.inner_text("#heat-said")
        ticks = [run.known.samples[round((START_S + n) * 1e6), "w2"][MEMORY] for n in range(run.n)]
        said = page.readout("End")
        assert re.fullmatch(r"w2, Memory \d+(\.\d)? %, [\d:]+–[\d:]+ UTC|w2, not measured, [\d:]+–[\d:]+ UTC", said)
        newest = [value for value in ticks[-1:] if not np.isnan(value)]
        assert not newest or "%" in said


@pytest.mark.parametrize("width", [390, 820])
def test_no_view_is_wider_than_the_screen(browser: Browser, tmp_path: Path, run: Recorded, width: int) -> None:
    run.test("tests/test_of_a_name_that_is_longer_than_any_phone_is_wide.py::test_0123456789[parameter]")
    run.ticks(3, ["w1", "a-worker-whose-name-is-longer-than-any-phone-is-wide-0123456789"])
    with serving(fleet(tmp_path, run)) as server, watched(browser, width=width, has_touch=True) as page:
        page.open(server)
        for tab in ("overview", "use", "scaling", "allocation", "efficiency", "cloud", "tests"):
            page.tab.click(f"#tab-{tab}")
            page.tab.wait_for_function("(id) => document.getElementById('panel').dataset.tab === id", arg=tab)
            if tab not in ("overview", "use"):
                page.tab.wait_for_selector(f"#{tab} .variant", timeout=PATIENCE_MS)
            assert page.tab.evaluate("document.documentElement.scrollWidth") <= width, tab
        assert page.wrong == []


def test_people_see_the_fleet_before_plotly_comes_and_it_comes_once(
    browser: Browser, tmp_path: Path, run: Recorded
) -> None:
    with serving(fleet(tmp_path, run)) as server, watched(browser) as page:
        page.open(server)
        page.tab.wait_for_selector("#scaling .main-svg >> nth=0", timeout=PATIENCE_MS)
        asked = page.tab.evaluate(
            """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
                performance.getEntriesByType("resource").filter((load) => load.name.includes("plotly"))
                  .map((load) => [load.startTime, load.name])]"""
        )
        painted_ms, loads = asked
        assert len(loads) == 1
        assert loads[0][0] > painted_ms
        assert re.search(r"/static/plotly\.min\.js\?v=[0-9a-f]{16}$", loads[0][1])
        kept = page.tab.evaluate("async (url) => (await fetch(url)).headers.get('cache-control')", loads[0][1])
        assert "immutable" in kept
        assert page.tab.evaluate("document.documentElement.outerHTML.length") < 2_000_000


def test_a_file_that_is_being_written_is_followed_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    known = KnownFleet()
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="live", started_at_s=START_S, interval_s=1.0)
        for n in range(3):
            recording.append(known.tick(START_S + n, ["w1"]))
        with serving(Fleet([tmp_path / "h.drmviz"])) as server, watched(browser) as page:
            page.open(server)
            page.tab.evaluate("window.isTheSame = true")
            recording.append(known.tick(START_S + 3, ["w1", "newcomer"]))
            page.tab.wait_for_function(
                "() => document.getElementById('heat-said').textContent.startsWith('2 workers')", timeout=PATIENCE_MS
            )

            page.tab.wait_for_selector("#kpis .v >> text=/^2/", timeout=PATIENCE_MS)
            assert page.tab.evaluate("window.isTheSame") is True
            assert page.wrong == []
        recording.finish(START_S + 4)

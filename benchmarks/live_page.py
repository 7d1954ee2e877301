"""The live page in a headless Chromium: what an update costs, what blocks, when the fleet and the charts are seen."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rows import Row

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_HERE = Path(__file__).parent
_PATIENCE_MS = 90_000
_STEADY_AFTER = 20
"""Updates: by then every chart has been drawn once."""
UPDATES = 60
_BLOCKS_MS = 50.0


def live_update(workers: int, count: int) -> Row:
    """Milliseconds of one update of the live heatmap, 600 columns, beside the barest canvas with the same cells."""
    del count
    return _update("live_update", workers, target=5.0)


def live_update_5000(workers: int, count: int) -> Row:
    """The same of five times the fleet, at 5000 workers by default."""
    del count
    return _update("live_update_5000", 5 * workers, target=6.0)


def live_react(workers: int, count: int) -> Row:
    """Milliseconds of one update of the live heatmap, beside `Plotly.react` of the rows that the screen shows."""
    del count
    taken = updates(workers)
    return Row(
        name="live_react",
        ours=taken["ours"],
        baseline=taken["react"],
        unit="ms",
        target=0.1,
        baseline_is=f"Plotly.react of {taken['lines']} x {taken['columns']} cells, workers merged as on the screen",
    )


def live_blocked(workers: int, count: int) -> Row:
    """Of 60 updates of the Overview, one each second, those with a task over 50 ms."""
    del count
    lived = watched(workers)
    return Row(
        name="live_blocked",
        ours=float(lived["blocked"]),
        baseline=float(lived["reacts_blocked"]),
        unit="of 60 updates",
        target=1 / UPDATES,
        limit=1.0,
        baseline_is=f"60 updates by Plotly.react of the {workers} x 600 cells in the same page",
    )


def live_sample_to_pixel(workers: int, count: int) -> Row:
    """Milliseconds from the time of a tick to the frame after the one that shows it: p95 of 60, one each second."""
    del count
    lived = watched(workers)
    return Row(
        name="live_sample_to_pixel",
        ours=_p95(lived["seen"]),
        baseline=_p95([age + wait for age, wait in zip(lived["arrived"], lived["polled"], strict=True)]),
        unit="ms, p95",
        target=0.5,
        limit=250.0,
        baseline_is="the same ticks in a page that asks once a second, spread evenly, and paints at once",
    )


def first_fleet(workers: int, count: int) -> Row:
    """Milliseconds until cards and heatmap are seen, nothing cached."""
    del count
    ours, plain = first_paints(workers)
    return Row(
        name="first_fleet",
        ours=ours["fleet_ms"],
        baseline=plain["fleet_ms"],
        unit="ms",
        target=0.3,
        baseline_is="the same page with Plotly in its head, where write_html puts it: all waits until it has run",
    )


def first_charts(workers: int, count: int) -> Row:
    """Milliseconds until a chart is seen: the chart that fares worst beside its baseline."""
    del count
    ours, plain = first_paints(workers)
    charts = {name for name in plain if name != "fleet_ms"}
    if not charts or set(ours) - {"fleet_ms"} != charts:
        raise RuntimeError(f"one page drew {sorted(ours)}, the other {sorted(plain)}")
    worst = max(charts, key=lambda name: ours[name] / plain[name])
    return Row(
        name="first_charts",
        ours=ours[worst],
        baseline=plain[worst],
        unit="ms",
        target=1.1,
        baseline_is=f"{worst.removeprefix('figure-')} in the same page with Plotly in its head",
    )


def _update(name: str, workers: int, *, target: float) -> Row:
    taken = updates(workers)
    return Row(
        name=name,
        ours=taken["ours"],
        baseline=taken["coloured"],
        unit="ms",
        target=target,
        baseline_is=(
            f"{taken['lines']} x {taken['columns']} codes, workers merged as on the screen, coloured by a table into"
            f" one ImageData and put once, unscaled; the put alone takes {taken['put']:.2f} ms"
        ),
    )


def _p95(ages_ms: Sequence[float]) -> float:
    return sorted(ages_ms)[int(0.95 * len(ages_ms))]


@cache
def updates(workers: int) -> dict[str, Any]:
    """Return median milliseconds of each way to draw one more tick, measured in turn in one page; medians of 3 pages.

    Raises:
        RuntimeError: this machine has no Chromium.
    """
    with live_server(workers, interval_s=0) as url, chromium() as browser:
        found = []
        for _ in range(3):
            page = _opened(browser, url)
            page.evaluate((_HERE / "live_page.js").read_text())
            found.append(page.evaluate("drmvizMeasured.updates({ rounds: 40, reacts: 10 })"))
            page.context.close()
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


@cache
def watched(workers: int) -> dict[str, Any]:
    """Watch the Overview for 60 updates once it is steady, then redraw its heatmap 60 times by Plotly.

    Raises:
        RuntimeError: this machine has no Chromium.
    """
    with live_server(workers, interval_s=1) as url, chromium() as browser:
        page = _opened(browser, url)
        page.wait_for_function(f"() => drmvizWatched.seen.length >= {_STEADY_AFTER}", timeout=_PATIENCE_MS)
        began_ms = page.evaluate("drmvizWatched.forgotten()")
        page.wait_for_function(f"() => drmvizWatched.seen.length >= {UPDATES}", timeout=_PATIENCE_MS)
        noted = page.evaluate("drmvizWatched.told()")
        page.evaluate((_HERE / "live_page.js").read_text())
        reacts_blocked = page.evaluate(f"drmvizMeasured.reacts({UPDATES}, {_BLOCKS_MS})")
    # A long task belongs to the second that it lies in: each has one update.
    seconds = {int((task["at_ms"] - began_ms) / 1000) for task in noted["long"] if task["took_ms"] > _BLOCKS_MS}
    arrived = [each["age_ms"] for each in noted["arrived"][:UPDATES]]
    return {
        "blocked": len(seconds),
        "reacts_blocked": reacts_blocked,
        "seen": noted["seen"][:UPDATES],
        "arrived": arrived,
        "polled": [1000 * (place + 0.5) / len(arrived) for place in range(len(arrived))],
        "long": noted["long"],
    }


@cache
def first_paints(workers: int, loads: int = 5) -> tuple[dict[str, float], dict[str, float]]:
    """Return medians of when the fleet and each chart were seen, of our page and of one that waits for Plotly.

    Raises:
        RuntimeError: this machine has no Chromium.
    """
    sides: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    with live_server(workers, interval_s=0) as url, chromium() as browser:
        for load in range(loads + 1):
            for waits, seen in enumerate(sides):
                page = _opened(browser, url, waits_for_plotly=bool(waits))
                page.wait_for_function("() => drmvizWatched.isComplete()", timeout=_PATIENCE_MS)
                noted = page.evaluate("drmvizWatched.told()")
                if load:
                    seen.append({"fleet_ms": noted["fleet_ms"], **noted["charts"]})
                page.context.close()
    ours, plain = ({name: statistics.median(each[name] for each in seen) for name in seen[0]} for seen in sides)
    return ours, plain


@contextmanager
def live_server(workers: int, *, interval_s: float) -> Iterator[str]:
    """Yield the address of a dashboard in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.live_server", str(workers), str(interval_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()
            process.wait(60)


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise RuntimeError("The live page is measured in Chromium, and this machine has none: install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def _opened(browser: Browser, url: str, *, waits_for_plotly: bool | None = None) -> Page:
    """Open the page in a context of its own, with nothing cached, and wait for its heatmap.

    Where it is told whether to wait for Plotly, its answers go through the same hands in both kinds; one that waits
    gets it in its head, and only once. Chromium lets no WebSocket out of a page that came so.
    """
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(path=_HERE / "live_watch.js")
    asked = []

    def document(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        if waits_for_plotly:
            text = text.replace("<head>", '<head><script src="static/plotly.min.js"></script>', 1)
        route.fulfill(response=answer, body=text)

    def plotly(route: Route) -> None:
        asked.append(route.request.url)
        if waits_for_plotly and len(asked) > 1:
            route.fulfill(body="", content_type="text/javascript")
        else:
            route.continue_()

    page.goto(url)
    clean = url.partition("?")[0]
    page.wait_for_url(clean)
    if waits_for_plotly is not None:
        page.goto("about:blank")
        page.route(clean, document)
        page.route("**/static/plotly.min.js*", plotly)
        page.goto(clean)
    page.wait_for_function("() => drmvizWatched.fleet_ms !== null", timeout=_PATIENCE_MS)
    return page

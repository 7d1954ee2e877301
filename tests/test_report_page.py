"""The one-file report: every number, no hostile name, and a page that opens offline on any screen."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from drmviz.model.tasks import Task
from drmviz.report import page
from drmviz.report.behind import slices
from drmviz.report.cards import sparkline
from drmviz.report.charts import _differences
from tests.building import START_S, header, ran, recorded
from tests.test_summary import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MIB = 2**20


def told(text: str) -> str:
    """Return the words of a page, without scripts, styles and pictures."""
    text = re.sub(r"<(script|style|svg|noscript)\b.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def some_run() -> tuple[Run, Run]:
    tasks = [
        ran("t.py::slow", end=4, cpu_s=3.0, memory_bytes=2 * MIB, peak_bytes=100 * MIB),
        ran("t.py::again", start=4, end=5, outcome="failed"),
        ran("t.py::again", start=5, end=6),
        ran("t.py::bad", "gw1", end=6, outcome="failed"),
        ran("t.py::skipped", "gw1", start=6, end=6, outcome="skipped"),
    ]
    run = recorded(
        {"gw0": [0.75] * 8, "gw1": [0.5, None, *[0.5] * 6]},
        more={"memory_ratio": {"gw0": [0.25] * 8, "gw1": [0.25] * 8}},
        tasks=tasks,
        command=["pytest", "-n", "2", "a b"],
        exit_code=1,
        python="3.13.5",
        pytest="9.2.0",
        notes=["the recorder was killed"],
    )
    host = recorded({"h": [0.5] * 8}, kind="host", capacity=WorkerCapacity(cpu_millicores=4000, memory_bytes=2**34))
    return run, host


def test_the_page_tells_what_ran_how_it_went_and_what_to_do() -> None:
    words = told(page.render(*some_run()))

    for part in (
        "exit code 1",
        "pytest -n 2 'a b'",
        "python 3.13.5, pytest 9.2.0",
        "Workers 2 on 4 cores",
        "CPU 63 % 50 % of the machine idle",
        "GPU – not measured",
        "Tests 4 ✕ 1 failed",
        "What to do about it",
        "the recorder was killed",
        "Slowest tests 4 of 4",
        "Failed tests 1 of 4",
        "✓ passed 2 attempts",
        "In five lines",
        "unknown: still being written, or its recorder was killed",
    ):
        assert part in words


def test_the_gpu_card_says_what_was_measured() -> None:
    run = recorded({"a": [0.5, 0.5]}, more={"gpu_ratio": {"a": [0.25, 0.75]}})

    assert "GPU 50 % at most 75 %" in told(page.render(run, None))


class Elements(HTMLParser):
    """Counts elements and checks that they are closed in order."""

    VOID = frozenset({"meta", "input", "link", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.attributes: set[str] = set()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes.update(name for name, _ in attrs)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop() == tag


def elements(text: str) -> Elements:
    found = Elements()
    found.feed(text)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_add_no_element_and_no_attribute(name: str) -> None:
    def run_of(word: str) -> Run:
        tasks = [ran(word, word, outcome="crashed", memory_bytes=1, peak_bytes=2), ran(word + "2", end=0.5)]
        run = recorded({word: [0.5] * 4, "gw0": [0.5] * 4}, tasks=tasks, title=word, notes=[word], command=[word])
        life = replace(run.workers[0].incarnations[0], left_at_s=START_S + 2, why_left="crashed")
        return replace(run, workers=(replace(run.workers[0], incarnations=(life,)), run.workers[1]))

    hostile, harmless = elements(page.render(run_of(name))), elements(page.render(run_of("harmless")))

    assert hostile.counts == harmless.counts
    assert hostile.attributes == harmless.attributes
    words = told(page.render(run_of(name)))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]", words)


@pytest.mark.parametrize(
    "run",
    [
        Run.empty(header()),
        recorded({"gw0": [None]}),
        recorded({"make": [0.5, 0.5]}, kind="process"),
        recorded({"gw0": [0.5]}, tasks=[ran("only")]),
    ],
    ids=["empty", "nothing measured", "processes", "one test"],
)
def test_every_kind_of_run_has_a_page(run: Run) -> None:
    text = page.render(run)

    assert "What to do about it" in text
    assert not re.search(r"(?<!✓ )\bNone\b(?! of)", told(text))
    assert "nan" not in told(text).split()


def test_many_tests_are_capped_and_the_rest_is_counted() -> None:
    tasks = [ran(f"t{i}", start=i / 1000, end=i / 1000 + 0.001) for i in range(2500)]

    text = page.render(recorded({"gw0": [0.5] * 3}, tasks=tasks))

    assert "500 more tests are not listed here; drmviz tests --json has them all." in told(text)
    assert text.count("<tr>") < 2200


def test_the_theme_can_be_fixed_and_nothing_is_loaded_from_elsewhere() -> None:
    text = page.render(*some_run(), theme="dark")

    assert '<html lang="en" data-theme="dark">' in text
    assert not re.search(r"<(?:link|img|iframe|object)\b|<script[^>]*\ssrc=", text)
    assert "default-src 'none'" in text


def test_a_sparkline_leaves_gaps_and_reaches_both_ends() -> None:
    line, area = sparkline(np.array([0.5, np.nan, 1.0, 1.0]))

    assert line == "M0.0 17.5M133.3 3.0L200.0 3.0"
    assert area == "M0.0 34L0.0 17.5L0.0 34ZM133.3 34L133.3 3.0L200.0 3.0L200 34Z"
    assert sparkline(np.array([np.nan, np.nan])) == ("", "")
    assert sparkline(np.array([1.0])) == ("", "")


def test_the_table_behind_the_heatmap_has_means_of_equal_parts() -> None:
    numbers = slices(recorded({"gw0": [0.0, 0.5, None, None]}), "cpu_ratio")

    assert numbers.columns == ("CPU, mean", "from 00:00", "from 00:01", "from 00:02", "from 00:03")
    assert numbers.rows == (("gw0", "0 %", "50 %", "–", "–"),)


def test_only_what_differs_between_the_themes_is_stored_twice() -> None:
    light = {"data": [{"z": [1, 2], "color": "#fff"}], "layout": {"x": 1, "font": {"color": "a"}}}
    dark = {"data": [{"z": [1, 2], "color": "#000"}], "layout": {"x": 1, "font": {"color": "b"}, "bg": "c"}}

    assert list(_differences(light, dark, ())) == [
        [["data", 0, "color"], "#fff", "#000"],
        [["layout", "font", "color"], "a", "b"],
        [["layout", "bg"], None, "c"],
    ]


def opened(browser: Browser, path: Path, *, width: int, scheme: str) -> tuple[Page, list[str]]:
    """Open the file and wait for its pictures; the list fills with whatever should not happen."""
    wrong: list[str] = []
    tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()  # type: ignore[arg-type]
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    ours = (path.as_uri(), "data:", "blob:")
    tab.on("request", lambda request: None if request.url.startswith(ours) else wrong.append(request.url))
    tab.goto(path.as_uri())
    for i in range(tab.locator(".drmviz-figure").count()):
        tab.wait_for_selector(f".drmviz-figure[data-drawn] >> nth={i}", timeout=30_000)
    return tab, wrong


def hostile_run() -> tuple[Run, Run]:
    run, host = some_run()
    more: list[Task] = [ran(name, outcome=name[:50], memory_bytes=5, end=0.1) for name in HOSTILE]
    return replace(run, tasks=(*run.tasks, *more), notes=tuple(HOSTILE)), host


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_offline_on_every_screen(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.render(*hostile_run()), "utf-8")

    tab, wrong = opened(browser, path, width=width, scheme=scheme)

    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert tab.locator("h1").count() == 1
    assert wrong == []
    tab.context.close()


@pytest.mark.browser
def test_the_theme_turns_pictures_too_and_the_table_filters_and_sorts(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.render(*some_run()), "utf-8")
    tab, wrong = opened(browser, path, width=1440, scheme="light")
    ink = "document.querySelector('.drmviz-figure').layout.font.color"
    before = tab.evaluate(ink)

    tab.click("#theme")
    tab.wait_for_timeout(500)
    dark = tab.evaluate(ink)
    tab.click("#theme")
    tab.wait_for_timeout(500)

    assert dark != before
    assert tab.evaluate(ink) == before
    tab.click("#all > summary")
    tab.fill("#filter", "gw1 fail")
    assert tab.locator("#tests tbody tr:visible").count() == 1
    assert tab.inner_text("#shown") == "1 of 4"
    tab.fill("#filter", "")
    tab.click("#tests .sort >> text=Time")
    assert "t.py::bad" in tab.locator("#tests tbody tr").first.inner_text()
    assert wrong == []
    tab.context.close()

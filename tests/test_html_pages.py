"""Written pages as a browser shows them, from a file, with nothing else to reach."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page

from drmviz.figures import FIGURES, load
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.figures.page import bundle_script_html, figure_block_html, loader_script_html
from drmviz.figures.saving import write
from drmviz.model.run import Run
from tests.building import ran, recorded
from tests.contact_sheet import states

pytestmark = pytest.mark.browser
HEATMAP = "resource_utilization_heatmap"
STATES = states()


@dataclass
class Watched:
    """A page, and everything that it did beside showing itself."""

    page: Page
    said: list[str] = field(default_factory=list)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1200, "height": 1400})
    watching = Watched(page)
    page.on("console", lambda message: watching.said.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: watching.said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: _note_dialog(watching, dialog))
    page.on("popup", lambda popup: watching.said.append(f"popup: {popup.url}"))
    page.on("request", lambda request: _note_request(watching, request.url))
    yield watching
    page.close()


def _note_dialog(watching: Watched, dialog: Dialog) -> None:
    watching.said.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _note_request(watching: Watched, url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        watching.said.append(f"request: {url}")


def opened(watched: Watched, path: Path, run: Run, stem: str = HEATMAP, *, theme: ThemeName = "light") -> Page:
    write(stem, run, path, FigureOptions(theme=theme))
    watched.page.goto(path.as_uri())
    watched.page.wait_for_selector("[data-drawn]")
    return watched.page


def full_data(page: Page, expression: str) -> Any:
    return page.evaluate(f"(() => {{ const g = document.getElementById('figure'); return {expression}; }})()")


@pytest.mark.parametrize(
    "state", ["30 workers, gaps and absences", "hostile names", "one tick", "empty", "1000 workers"]
)
@pytest.mark.parametrize("stem", FIGURES)
def test_a_page_opens_from_a_file_without_a_word_a_dialog_or_a_request(
    watched: Watched, tmp_path: Path, stem: str, state: str
) -> None:
    opened(watched, tmp_path / "x.html", STATES[state], stem)

    assert watched.said == []


@pytest.mark.parametrize(("state", "panels"), [("30 workers, gaps and absences", 3), ("no GPU", 2), ("empty", 0)])
def test_there_is_one_drawn_heatmap_for_each_measured_metric(
    watched: Watched, tmp_path: Path, state: str, panels: int
) -> None:
    page = opened(watched, tmp_path / "x.html", STATES[state])

    assert page.locator(".heatmaplayer image").count() == panels


def test_the_numbers_in_the_browser_are_those_of_the_run(watched: Watched, tmp_path: Path) -> None:
    run = recorded({"a": [0.123, None, 0.0], "b": [1.5, 1.0, 0.25]})

    page = opened(watched, tmp_path / "x.html", run)

    rows = full_data(page, "g.data[0].z.map(row => Array.from(row, v => isNaN(v) ? null : Math.round(v * 10) / 10))")
    assert rows == [[12.3, None, 0.0], [150.0, 100.0, 25.0]]


def test_a_cell_begins_where_its_time_begins(watched: Watched, tmp_path: Path) -> None:
    page = opened(watched, tmp_path / "x.html", recorded({"a": [0.5, 0.25]}, width_s=5.0))

    edges = full_data(page, "Array.from(g.calcdata[0][0].x)")
    start = full_data(page, "g._fullLayout.xaxis.r2l(g._fullLayout.xaxis.range[0])")
    assert [edge - start for edge in edges] == [0, 5000, 10000]


def test_one_tick_fills_its_panel(watched: Watched, tmp_path: Path) -> None:
    page = opened(watched, tmp_path / "x.html", recorded({"a": [0.5]}, width_s=5.0))

    edges = full_data(page, "Array.from(g.calcdata[0][0].x)")
    assert edges[1] - edges[0] == 5000


def test_hovering_a_cell_names_worker_value_clock_and_test(watched: Watched, tmp_path: Path) -> None:
    run = recorded({"gw<0>": [0.5, 1.25]}, tasks=[ran("test_a[<b>]", "gw<0>", start=1, end=2)])
    page = opened(watched, tmp_path / "x.html", run)
    box = page.locator(".heatmaplayer image").bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hovertext")

    lines = page.locator(".hovertext tspan.line").all_text_contents()
    assert lines == ["gw<0>", "CPU 125.0 %", "2026-09-21 14:13:21 UTC", "test_a[<b>]"]


def test_nothing_offers_to_upload_the_figure(watched: Watched, tmp_path: Path) -> None:
    page = opened(watched, tmp_path / "x.html", STATES["3 workers"])
    page.mouse.move(600, 100)

    titles = [link.get_attribute("data-title") for link in page.locator(".modebar-btn").all()]

    assert "Download plot as a PNG" in [title.removesuffix(".") for title in titles if title]
    assert not [title for title in titles if title and ("share" in title.lower() or "cloud" in title.lower())]
    assert page.locator(".modebar-btn--logo").count() == 0


@pytest.mark.parametrize(("theme", "surface"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(19, 25, 34)")])
def test_the_page_and_the_figure_wear_the_same_theme(
    watched: Watched, tmp_path: Path, theme: ThemeName, surface: str
) -> None:
    page = opened(watched, tmp_path / "x.html", STATES["one tick"], theme=theme)

    assert page.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor") == surface
    assert page.evaluate("getComputedStyle(document.querySelector('.main-svg')).backgroundColor") == surface


@pytest.mark.parametrize("stem", FIGURES)
def test_a_phone_gets_all_of_the_picture_without_scrolling_sideways(
    watched: Watched, tmp_path: Path, stem: str
) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 800})

    page = opened(watched, tmp_path / "x.html", STATES["hostile names"], stem)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert full_data(page, "g._fullLayout._size.w") > 180


def test_turning_a_phone_gives_the_wide_layout_back(watched: Watched, tmp_path: Path) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 800})
    page = opened(watched, tmp_path / "x.html", STATES["hostile names"])
    slim = full_data(page, "g._fullLayout.margin.l")

    page.set_viewport_size({"width": 1200, "height": 800})
    for _ in range(100):
        if full_data(page, "g._fullLayout.margin.l") > slim:
            break
        page.wait_for_timeout(50)

    assert full_data(page, "g._fullLayout.margin.l") > slim
    assert watched.said == []


def test_several_figures_share_one_bundle_in_one_page(watched: Watched, tmp_path: Path) -> None:
    blocks = []
    for stem in FIGURES:
        module = load(stem)
        numbers = module.arrange(STATES["no GPU"], FigureOptions())
        blocks.append(figure_block_html(stem, module.draw_plotly(numbers, FigureOptions()), module.describe(numbers)))
    page_text = f"<!doctype html><body>{''.join(blocks)}{bundle_script_html()}{loader_script_html()}</body>"
    (tmp_path / "x.html").write_text(page_text, "utf-8")

    watched.page.goto((tmp_path / "x.html").as_uri())
    watched.page.wait_for_selector(".drmviz-figure[data-drawn] >> nth=1")

    assert watched.said == []


def test_gaps_are_hatched_under_the_cells_and_absences_are_dotted(watched: Watched, tmp_path: Path) -> None:
    run = recorded({"a": [0.5, None, 0.5], "b": [0.5, 0.5, None]}, absent={"b": [2]})

    page = opened(watched, tmp_path / "x.html", run)

    assert page.locator(".imagelayer image").count() == 1
    assert page.locator(".shapelayer path").count() == 1
    source = full_data(page, "g.layout.images[0].source")
    assert base64.b64decode(source.partition(",")[2]).startswith(b"\x89PNG")
    assert json.dumps(full_data(page, "[g.layout.shapes[0].x0, g.layout.shapes[0].x1]")) == (
        '["2026-09-21T14:13:22Z", "2026-09-21T14:13:23Z"]'
    )


def test_a_worker_named_like_a_part_of_every_object_is_drawn_too(watched: Watched, tmp_path: Path) -> None:
    page = opened(watched, tmp_path / "x.html", recorded({"__proto__": [0.5], "constructor": [0.25]}))

    assert full_data(page, "g.calcdata[0][0].z.map(row => Array.from(row))") == [[50], [25]]
    assert page.locator(".ytick text").all_text_contents() == ["__proto__", "constructor"]


@pytest.mark.browser
def test_a_width_in_passing_leaves_the_margins_as_they_were(watched: Watched, tmp_path: Path) -> None:
    path = write("resource_utilization_heatmap", states()["3 workers"], tmp_path / "h.html", FigureOptions())
    page = watched.page
    page.goto(path.as_uri())
    page.wait_for_selector(".drmviz-figure[data-drawn]")
    inside = (
        "(() => { const s = document.querySelector('.drmviz-figure')._fullLayout._size; return [s.l, s.r, s.w]; })()"
    )
    before = page.evaluate(inside)

    for width in (90, 150, 1200):  # what a browser passes through when a window is snapped or a page is printed
        page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(600)

    assert page.evaluate(inside) == before
    assert watched.said == []

"""The served page in a real browser: logged in by its address, drawn under its policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drmviz.dashboard.fleet import Fleet
from tests.dashboards import TOKEN, history, serving
from tests.test_dashboard_api import HOSTILE, small_fleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def watched(browser: Browser) -> tuple[Any, list[str]]:
    wrong: list[str] = []
    tab = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    return tab, wrong


@pytest.mark.browser
@pytest.mark.parametrize("prefix", ["", "/team"])
def test_the_printed_address_logs_in_and_every_figure_is_drawn_under_the_policy(
    browser: Browser, tmp_path: Path, prefix: str
) -> None:
    small_fleet(tmp_path / "h.drmviz")
    with serving(Fleet([tmp_path / "h.drmviz"]), url_prefix=prefix) as server:
        tab, wrong = watched(browser)
        tab.goto(server.url)
        tab.wait_for_url(f"http://127.0.0.1:{server.port}{prefix}/")
        tab.wait_for_selector(".drmviz-figure[data-drawn]", timeout=30_000)
        for place in range(tab.locator(".drmviz-figure:visible").count()):
            tab.wait_for_selector(f".drmviz-figure:visible >> nth={place} >> .main-svg >> nth=0", timeout=30_000)

        assert tab.evaluate("getComputedStyle(document.querySelector('.main-svg')).position") == "absolute"
        assert tab.evaluate("document.cookie") == ""
        assert TOKEN not in tab.content()
        assert tab.evaluate("(async () => (await fetch('api/v1/status')).status)()") == 200
        assert HOSTILE.rstrip("\u202e") in tab.inner_text("main") or tab.locator("img").count() == 0
        assert wrong == []
        tab.context.close()


@pytest.mark.browser
def test_a_page_of_somebody_else_reads_nothing(browser: Browser, tmp_path: Path) -> None:
    history(tmp_path / "a.drmviz")
    history(tmp_path / "b.drmviz")
    with serving(Fleet([tmp_path / "a.drmviz"])) as server, serving(Fleet([tmp_path / "b.drmviz"])) as foreign:
        tab = browser.new_context(bypass_csp=True).new_page()
        tab.goto(server.url)
        tab.wait_for_url(f"http://127.0.0.1:{server.port}/")
        tab.goto(f"http://localhost:{foreign.port}/healthz")  # another site: localhost is not 127.0.0.1

        read = tab.evaluate(
            """async (port) => {
              const url = `http://127.0.0.1:${port}/api/v1/status`;
              const fetched = await fetch(url, { credentials: "include" }).then(() => "read", () => "refused");
              const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
              const opened = await new Promise((done) => {
                socket.onopen = () => done("read");
                socket.onerror = () => done("refused");
              });
              return [fetched, opened];
            }""",
            server.port,
        )

        assert read == ["refused", "refused"]
        tab.context.close()

"""A smoke in Firefox: the address logs in, ticks arrive as they happen, every tab is drawn, and nothing is refused."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from drmviz.report.live_page import TABS
from tests.dashboards import serving
from tests.firefox import Tab, firefox, path_of_firefox
from tests.test_dashboard_live_page import Recorded, fleet

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(path_of_firefox() is None, reason="this machine has no firefox"),
]


def await_newest(tab: Tab, said: str) -> None:
    """Wait until the newest cell of the first worker says so."""
    tab.wait_for(
        f"""(() => {{
          const canvas = document.getElementById("heat-canvas");
          canvas.dispatchEvent(new KeyboardEvent("keydown", {{ key: "End" }}));
          return document.getElementById("heat-aloud").textContent === {json.dumps(said)};
        }})()"""
    )


def test_ticks_arrive_and_every_tab_is_drawn_under_the_policy(tmp_path: Path) -> None:
    run = Recorded()
    run.ticks(5)
    with serving(fleet(tmp_path, run)) as server, firefox(tmp_path / "profile") as tab:
        tab.goto(server.url)
        tab.wait_for("location.search === '' && document.getElementById('state')?.dataset.state === 'live'")
        await_newest(tab, run.said(run.n - 1))
        run.ticks(1)
        await_newest(tab, run.said(run.n - 1))

        assert tab.evaluate("document.getElementById('tab-tests').checkVisibility()") is False, "none was recorded"
        for name in [name for name in TABS if name != "tests"]:
            tab.evaluate(f"document.getElementById('tab-{name}').click()")
            tab.wait_for(f"document.getElementById('panel').dataset.tab === '{name}'")
            tab.wait_for(
                "[...document.querySelectorAll('.drmviz-figure')].filter((one) => one.checkVisibility())"
                ".every((one) => one.querySelector('.main-svg') !== null)"
            )
            tab.wait_for("document.getElementById('panel').innerText.trim().length > 10")

        asked = [urlsplit(url) for url in tab.asked]
        assert {url.netloc for url in asked if url.scheme != "data"} == {f"127.0.0.1:{server.port}"}
        assert tab.wrong == []

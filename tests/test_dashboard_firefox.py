"""A smoke in Firefox: the address logs in, every figure is drawn, nothing is refused, nobody else is asked."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from drmviz.dashboard.fleet import Fleet
from tests.dashboards import serving
from tests.firefox import firefox, path_of_firefox
from tests.test_dashboard_api import small_fleet

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(path_of_firefox() is None, reason="this machine has no firefox"),
]


def test_every_figure_is_drawn_under_the_policy(tmp_path: Path) -> None:
    small_fleet(tmp_path / "h.drmviz")
    with serving(Fleet([tmp_path / "h.drmviz"])) as server, firefox(tmp_path / "profile") as tab:
        tab.goto(server.url)
        tab.wait_for("location.search === '' && document.querySelector('.drmviz-figure') !== null")
        count = tab.evaluate("document.querySelectorAll('.drmviz-figure').length")
        for place in range(count):
            tab.evaluate(f"document.querySelectorAll('.drmviz-figure')[{place}].scrollIntoView()")
            shown = f"document.querySelectorAll('.drmviz-figure')[{place}]"
            tab.wait_for(f"!{shown}.checkVisibility() || {shown}.querySelector('.main-svg') !== null")

        assert count > 3
        assert tab.evaluate("getComputedStyle(document.querySelector('.main-svg')).position") == "absolute"
        asked = [urlsplit(url) for url in tab.asked]
        assert {url.netloc for url in asked if url.scheme != "data"} == {f"127.0.0.1:{server.port}"}
        assert tab.wrong == []

"""Behind nginx, which puts everything below another path than the application knows: a browser sees no difference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.sync.client import connect
from websockets.typing import Origin

from drmviz.dashboard.fleet import Fleet
from dynamic_resource_management_visualization import DRMVisualizationIntegration
from tests.dashboards import TOKEN, ask, history, serving
from tests.hosting import hosted
from tests.proxies import NGINX, free_port, nginx, rewriting

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
BEARER = ("Authorization", f"Bearer {TOKEN}")


class Measuring:
    def get_worker_statistics(self) -> dict[str, Any]:
        return {"workers": {"w1": {"utilization": {"cpu": 0.5}, "tasks": 1}}}


@contextmanager
def proxied(
    folder: Path, inner: str, *, host: str = "$http_host", **how: Any
) -> Iterator[tuple[DRMVisualizationIntegration, str]]:
    """Give an integration at `inner` of an application, and where nginx shows it: below another path."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/team/drm"
    how = {name: value.replace("{base}", base) if isinstance(value, str) else value for name, value in how.items()}
    with DRMVisualizationIntegration(folder / "out", 0, Measuring(), controls=True, **how) as integration:
        integration.update_visualizations()
        mounted = integration.asgi_app()
        app = Starlette(routes=[Mount(inner, mounted)]) if inner else mounted
        with (
            hosted(app) as behind,
            nginx(folder / "nginx", port, rewriting("/team/drm", f"http://127.0.0.1:{behind}{inner}", host=host)),
        ):
            yield integration, base


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRMVIZ_TOKEN", TOKEN)


@pytest.mark.parametrize("inner", ["", "/inner/place"])
@pytest.mark.parametrize(
    ("host", "how"), [("$http_host", {}), ("$proxy_host", {"base_url": "{base}"})], ids=["same host", "base_url"]
)
def test_what_a_proxy_puts_below_another_path_works_as_it_is(
    tmp_path: Path, inner: str, host: str, how: dict[str, str]
) -> None:
    with proxied(tmp_path, inner, host=host, **how) as (integration, base):
        port = int(base.rpartition(":")[2].partition("/")[0])
        opened = ask(port, f"/team/drm/?token={TOKEN}")
        cookie = opened.headers["set-cookie"]
        assert "url=./" in opened.body.decode()
        assert "path" not in cookie.lower()
        named = ("Cookie", cookie.partition(";")[0])
        origin = f"http://127.0.0.1:{port}"
        assert ask(port, "/team/drm/", headers=[named]).status == 200
        assert ask(port, "/team/drm/figures/dashboard", headers=[named]).status == 200
        assert ask(port, "/team/drm/api/v1/status", headers=[named]).status == 200
        assert ask(port, "/team/drm/api/v1/status").status == 401
        assert ask(port, "/team/drm/server/stop", method="POST", headers=[named, ("Origin", origin)]).status == 200
        foreign = ("Origin", "http://evil.example")
        assert ask(port, "/team/drm/server/stop", method="POST", headers=[named, foreign]).status == 403
        with connect(f"ws://127.0.0.1:{port}/team/drm/ws", additional_headers=[named], origin=Origin(origin)) as viewer:
            assert orjson.loads(viewer.recv(timeout=10))["workers"][0]["id"] == "w1"
            integration.update_visualizations(force=True)
            while not isinstance(viewer.recv(timeout=10), bytes):
                pass
        if how:
            frame = integration.get_iframe_html("scaling_history")
            found = re.search(r' src="([^"]+)"', frame)
            assert found is not None
            url = found[1].replace("&amp;", "&")
            assert url.startswith(f"{base}/embed/")
            assert ask(port, url.removeprefix(origin)).status == 200


@pytest.mark.browser
def test_a_browser_opens_everything_through_the_proxy(tmp_path: Path, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("response", lambda response: said.append(response.url) if response.status >= 400 else None)
    with proxied(tmp_path, "/inner") as (_, base):
        page.goto(f"{base}/?token={TOKEN}")
        page.wait_for_url(f"{base}/")
        inner = page.get_by_role("tabpanel").locator("iframe").content_frame
        inner.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
        with page.expect_websocket() as opened:
            page.get_by_role("link", name="Live view").click()
        assert opened.value.url.partition("?")[0] == f"{base.replace('http', 'ws', 1)}/ws"
        page.wait_for_selector("#state:not([data-state=connecting])")
        assert page.url == f"{base}/live"
        assert said == []
    context.close()


def test_serve_below_a_prefix_is_shown_by_a_proxy_that_keeps_it(tmp_path: Path) -> None:
    history(tmp_path / "h.drmviz")
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with (
        serving(Fleet([tmp_path / "h.drmviz"]), url_prefix="/team/drm", allowed_hosts=[origin]) as server,
        nginx(tmp_path / "nginx", port, rewriting("/team/drm", f"http://127.0.0.1:{server.port}/team/drm")),
    ):
        cookie = ask(port, f"/team/drm/?token={TOKEN}").headers["set-cookie"]
        assert "Path=/team/drm;" in cookie
        with connect(
            f"ws://127.0.0.1:{port}/team/drm/ws",
            additional_headers=[("Cookie", cookie.partition(";")[0])],
            origin=Origin(origin),
        ) as viewer:
            assert orjson.loads(viewer.recv(timeout=10))["type"] == "snapshot"
        assert ask(port, "/team/drm/metrics", headers=[BEARER]).status == 200

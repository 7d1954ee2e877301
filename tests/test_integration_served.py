"""The integration inside applications of others: below any path, behind any proxy, and nobody gets in who may not."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, WebSocket
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Scope
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from drmviz.dashboard.access import Access
from drmviz.errors import InvalidValueError, ServerError, UsageError
from dynamic_resource_management_visualization import DRMVisualizationIntegration
from tests.dashboards import HANDSHAKE, TOKEN, Reply, ask
from tests.hosting import hosted
from tests.proxies import free_port

BEARER = ("Authorization", f"Bearer {TOKEN}")
TYPES = (
    "dashboard",
    "resource_heatmap",
    "scaling_history",
    "resource_allocation",
    "resource_efficiency",
    "cloud_resources",
)


class Measuring:
    """A manager that somebody already has."""

    def __init__(self, **cpu: float) -> None:
        self.cpu = cpu

    def get_worker_statistics(self) -> dict[str, Any]:
        return {"workers": {name: {"utilization": {"cpu": cpu}, "tasks": 1} for name, cpu in self.cpu.items()}}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRMVIZ_TOKEN", TOKEN)


@pytest.fixture
def still(tmp_path: Path) -> Iterator[DRMVisualizationIntegration]:
    """Does nothing by itself."""
    with DRMVisualizationIntegration(tmp_path / "out", 0, Measuring(w1=0.5, w2=0.25), controls=True) as integration:
        yield integration


def mounted(integration: DRMVisualizationIntegration, at: str = "/team/drm", **how: Any) -> Starlette:
    return Starlette(routes=[Mount(at, integration.asgi_app(**how))])


def read(port: int, path: str, *headers: tuple[str, str], **how: Any) -> Any:
    reply = ask(port, path, headers=headers or [BEARER], **how)
    assert reply.status == 200, reply.body
    return orjson.loads(reply.body)


class Page(HTMLParser):
    """What a page loads and says."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        assert reply.status == 200, reply.body
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.policy = reply.headers["content-security-policy"]
        self.text = reply.body.decode()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str, name: str) -> list[str | None]:
        return [attributes[name] for found, attributes in self.found if found == tag and name in attributes]


# inside other applications


def fastapi_around(integration: DRMVisualizationIntegration) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"mine": "well"}

    @app.websocket("/ws")
    async def own(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"mine: {await websocket.receive_text()}")
        await websocket.close()

    app.mount("/team/drm", integration.asgi_app())
    return app


@pytest.mark.parametrize("around", [fastapi_around, mounted], ids=["FastAPI", "Starlette"])
def test_pages_api_and_live_view_work_below_a_path_of_another_application(
    still: DRMVisualizationIntegration, around: Any
) -> None:
    still.update_visualizations()
    with hosted(around(still)) as port:
        for path in ("/", "/drm-dashboard"):
            page = Page(ask(port, f"/team/drm{path}", headers=[BEARER]))
            assert page.all("iframe", "data-src") == [f"figures/{type_}" for type_ in TYPES]
            assert "Last updated" in page.text
        live = Page(ask(port, "/team/drm/live", headers=[BEARER]))
        assert [src for src in live.all("script", "src") if src and not src.startswith("./static/")] == []
        assert live.all("script", "src")
        loaded = (live.all("script", "src")[0] or "").removeprefix(".")
        assert ask(port, f"/team/drm{loaded}", headers=[BEARER]).status == 200
        now = read(port, "/team/drm/api/v1/snapshot")
        assert [(worker["id"], worker["cpu_ratio"]) for worker in now["workers"]] == [("w1", 0.5), ("w2", 0.25)]
        with look_on(port, "/team/drm/ws") as viewer:
            assert orjson.loads(viewer.recv(timeout=10))["type"] == "snapshot"
            while not isinstance(viewer.recv(timeout=10), bytes):
                pass
            still.update_visualizations(force=True)
            while not isinstance(viewer.recv(timeout=10), bytes):
                pass
        assert ask(port, "/team/drm/healthz").status == 200
        assert ask(port, "/team/drm/api/v1/snapshot").status == 401
        assert ask(port, "/team/drm/nothing", headers=[BEARER]).status == 404
        with pytest.raises(InvalidStatus, match=r"40[13]"), connect(f"ws://127.0.0.1:{port}/team/drm/ws"):
            pass


def test_the_routes_of_the_application_around_it_stay_its_own(still: DRMVisualizationIntegration) -> None:
    with hosted(fastapi_around(still)) as port:
        assert read(port, "/health") == {"mine": "well"}
        with connect(f"ws://127.0.0.1:{port}/ws") as own:
            own.send("hello")
            assert own.recv(timeout=10) == "mine: hello"
        assert ask(port, "/api/v1/snapshot", headers=[BEARER]).status == 404


def look_on(port: int, path: str, **how: Any) -> ClientConnection:
    viewer: ClientConnection = connect(
        f"ws://127.0.0.1:{port}{path}", additional_headers=[BEARER], compression=None, **how
    )
    return viewer


def drain(viewer: ClientConnection) -> None:
    """Take what is sent until it is closed."""
    for _ in range(100):
        viewer.recv(timeout=10)


def test_alone_it_is_an_application_too(still: DRMVisualizationIntegration) -> None:
    with hosted(still.asgi_app(), lifespan="on") as port:
        assert read(port, "/api/v1/status")["status"]["state"] == "OK"
        assert ask(port, "/", headers=[BEARER]).status == 200


def test_two_of_them_in_one_application_keep_apart_who_may_see_which(tmp_path: Path) -> None:
    with (
        DRMVisualizationIntegration(tmp_path / "a", 0, Measuring(a=0.5)) as one,
        DRMVisualizationIntegration(tmp_path / "b", 0, Measuring(b=0.5)) as other,
    ):
        one.update_visualizations()
        other.update_visualizations()
        app = Starlette(routes=[Mount("/a/deeper", one.asgi_app()), Mount("/a", other.asgi_app())])
        with hosted(app) as port:
            found = [read(port, f"{at}/api/v1/snapshot")["workers"][0]["id"] for at in ("/a/deeper", "/a")]

    assert found == ["a", "b"]


def test_a_browser_is_logged_in_by_relative_addresses_alone(still: DRMVisualizationIntegration) -> None:
    """So it does not matter under which path a proxy shows it."""
    with hosted(mounted(still)) as port:
        for path in ("/", "/drm-dashboard", "/live"):
            reply = ask(port, f"/team/drm{path}?token={TOKEN}&a=1%22%3E")
            assert reply.status == 200
            assert f'content="0; url=.{path}?a=1%22%3E"' in reply.body.decode()
            assert TOKEN not in reply.body.decode()
            cookie = reply.headers["set-cookie"]
            assert re.fullmatch(rf"drmviz_{port}=[0-9a-f]{{64}}; HttpOnly; SameSite=Strict", cookie)
        named = ("Cookie", cookie.partition(";")[0])
        assert ask(port, "/team/drm/api/v1/status", headers=[named]).status == 200


def test_the_application_around_it_may_say_who_comes_in(still: DRMVisualizationIntegration) -> None:
    asked: list[str] = []

    async def authorize(scope: Scope) -> bool:
        asked.append(scope["type"])
        return (b"x-user", b"ann") in scope["headers"]

    ann = ("X-User", "ann")
    with hosted(mounted(still, authorize=authorize)) as port:
        same = ("Origin", f"http://127.0.0.1:{port}")
        assert ask(port, "/team/drm/", headers=[ann]).status == 200
        assert ask(port, "/team/drm/api/v1/status", headers=[ann]).status == 200
        assert ask(port, "/team/drm/", headers=[("X-User", "eve")]).status == 403
        assert ask(port, "/team/drm/", headers=[BEARER]).status == 403, "its word is instead of the token"
        assert ask(port, "/team/drm/", headers=[ann], host="evil.example").status == 403
        assert ask(port, "/team/drm/server/stop", method="POST", headers=[ann]).status == 403
        assert ask(port, "/team/drm/server/stop", method="POST", headers=[ann, same]).status == 200
        assert ask(port, "/team/drm/ws", headers=[*HANDSHAKE, ann]).status == 403
        assert ask(port, "/team/drm/ws", headers=[*HANDSHAKE, same]).status == 403
        with connect(f"ws://127.0.0.1:{port}/team/drm/ws", additional_headers=[ann], origin=Origin(same[1])) as viewer:
            assert orjson.loads(viewer.recv(timeout=10))["type"] == "snapshot"
    assert set(asked) == {"http", "websocket"}


@pytest.mark.parametrize("answer", [None, 1, "yes", "", {}], ids=repr)
def test_whatever_is_not_true_lets_nobody_in(still: DRMVisualizationIntegration, answer: Any) -> None:
    with hosted(mounted(still, authorize=lambda scope: answer)) as port:
        assert ask(port, "/team/drm/api/v1/status").status == 403


def test_an_authorization_that_fails_lets_nobody_in(still: DRMVisualizationIntegration) -> None:
    def broken(scope: Scope) -> bool:
        raise KeyError("session")

    with hosted(mounted(still, authorize=broken)) as port:
        assert ask(port, "/team/drm/api/v1/status", headers=[BEARER]).status == 500


def test_names_of_the_server_are_added_by_hand_or_by_its_address(tmp_path: Path) -> None:
    with DRMVisualizationIntegration(tmp_path, 0, base_url="https://ci.example.org:8443/team/drm/") as integration:
        app = mounted(integration, allowed_hosts=["box", "https://front.example.org"])
        with hosted(app) as port:

            def status(host: str, origin: str | None = None) -> int:
                headers = [BEARER, *([("Origin", origin)] if origin else [])]
                return ask(port, "/team/drm/api/v1/status", host=host, headers=headers).status

            assert status("ci.example.org", "https://ci.example.org:8443") == 200
            assert status("box:80") == 200
            assert status("127.0.0.1:1", "https://front.example.org") == 200
            assert status("ci.example.org", "https://ci.example.org") == 403
            refused = ask(port, "/team/drm/healthz", host="evil.example")
            assert refused.status == 403
            assert b"asgi_app(allowed_hosts=...)" in refused.body
            cookie = ask(port, f"/team/drm/?token={TOKEN}", host="ci.example.org").headers["set-cookie"]
            assert cookie.endswith("; Secure")
        with pytest.raises(UsageError, match=r"allowed_hosts '\*'"):
            integration.asgi_app(allowed_hosts=["*"])


# figures, one by one


def test_figures_are_served_one_by_one_in_a_sandbox_and_the_folder_never(still: DRMVisualizationIntegration) -> None:
    written = still.update_visualizations()
    with hosted(mounted(still)) as port:
        for type_ in TYPES:
            reply = ask(port, f"/team/drm/figures/{type_}", headers=[BEARER])
            assert reply.body == written[type_].read_bytes()
            assert reply.headers["content-type"].startswith("text/html")
            policy = reply.headers["content-security-policy"]
            assert "; sandbox allow-scripts allow-downloads;" in policy
            assert "default-src 'none'" in policy
            assert policy.endswith("frame-ancestors 'self'")
            assert "x-frame-options" not in reply.headers
            assert reply.headers["x-content-type-options"] == "nosniff"
        beside = (
            "history.drmviz",
            "visualization_registry.json",
            "dashboard.html",
            "tabs.html",
            "figures/",
            "figures/../history.drmviz",
            "figures/history.drmviz",
            "figures/%2e%2e/history.drmviz",
        )
        for path in beside:
            assert ask(port, f"/team/drm/{path}", headers=[BEARER]).status == 404, path


def test_a_figure_that_another_process_registered_is_served_as_what_it_is(still: DRMVisualizationIntegration) -> None:
    still.update_visualizations()
    path = still.output_dir / "visualization_registry.json"
    held = json.loads(path.read_bytes())
    (still.output_dir / "drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    held["scaling_history"]["path"] = "drawn.svg"
    (still.output_dir / "out.html").symlink_to("/etc/passwd")
    held["cloud_resources"]["path"] = "out.html"
    path.write_text(json.dumps(held))
    with hosted(mounted(still)) as port:
        svg = ask(port, "/team/drm/figures/scaling_history", headers=[BEARER])
        link = ask(port, "/team/drm/figures/cloud_resources", headers=[BEARER])

    assert svg.headers["content-type"] == "image/svg+xml"
    assert "sandbox; frame-ancestors" in svg.headers["content-security-policy"]
    assert "script-src" not in svg.headers["content-security-policy"]
    assert link.status == 500
    assert b"root:" not in link.body


def test_what_was_not_drawn_says_so_in_its_place(still: DRMVisualizationIntegration) -> None:
    with hosted(mounted(still)) as port:
        reply = ask(port, "/team/drm/figures/dashboard", headers=[BEARER])
        page = Page(ask(port, "/team/drm/", headers=[BEARER]))

    assert reply.status == 404
    assert b"It has not been drawn yet" in reply.body
    assert page.all("iframe", "data-src") == []
    assert "Nothing has been drawn yet." in page.text


def test_one_figure_that_fails_costs_only_itself(
    still: DRMVisualizationIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    import drmviz.figures.scaling_history as scaling_history

    def broken(*_: object) -> None:
        raise ZeroDivisionError("<b>of nothing")

    monkeypatch.setattr(scaling_history, "arrange", broken)
    still.update_visualizations()
    with hosted(mounted(still)) as port:
        page = Page(ask(port, "/team/drm/", headers=[BEARER]))
        statuses = {type_: ask(port, f"/team/drm/figures/{type_}", headers=[BEARER]).status for type_ in TYPES}

    assert [type_ for type_, status in statuses.items() if status != 200] == ["scaling_history"]
    assert "ZeroDivisionError: &lt;b&gt;of nothing" in page.text
    assert len(page.all("iframe", "data-src")) == 5


# embedded elsewhere


def embedded(frame: str) -> str:
    found = re.search(r' src="([^"]+)"', frame)
    assert found is not None, frame
    return found[1].replace("&amp;", "&")


def test_a_frame_of_a_page_elsewhere_shows_one_figure_and_nothing_else(tmp_path: Path) -> None:
    origins = ["https://wiki.example.org", "http://localhost:3000"]
    with DRMVisualizationIntegration(
        tmp_path, 0, Measuring(w1=0.5), base_url="https://ci.example.org/team/drm/", embed_origins=origins
    ) as integration:
        written = integration.update_visualizations()
        frame = integration.get_iframe_html("resource_heatmap", height=300)
        url = embedded(frame)
        assert url.startswith("https://ci.example.org/team/drm/embed/resource_heatmap?expires=")
        assert TOKEN not in frame
        assert "srcdoc" not in frame
        assert 'sandbox="allow-scripts allow-downloads"' in frame
        path = url.removeprefix("https://ci.example.org")
        with hosted(mounted(integration)) as port:
            shown = ask(port, path, host="ci.example.org")
            assert shown.body == written["resource_heatmap"].read_bytes()
            policy = shown.headers["content-security-policy"]
            assert policy.endswith("frame-ancestors 'self' https://wiki.example.org http://localhost:3000")
            assert "x-frame-options" not in shown.headers
            assert "cross-origin-resource-policy" not in shown.headers
            assert "set-cookie" not in shown.headers
            wrong = {
                "another figure": path.replace("resource_heatmap", "dashboard"),
                "the figure behind the token": path.replace("/embed/", "/figures/"),
                "the API": path.replace("/embed/resource_heatmap", "/api/v1/status"),
                "a longer time": re.sub(r"expires=(\d+)", lambda m: f"expires={int(m[1]) + 1}", path),
                "no time": re.sub(r"expires=\d+&", "", path),
                "two times": path + "&expires=99999999999",
                "no number": re.sub(r"expires=\d+", "expires=-1", path),
                "another signature": path[:-1] + ("0" if path[-1] != "0" else "1"),
                "two signatures": path + "&signature=0",
                "an empty signature": re.sub(r"signature=.*", "signature=", path),
                "no signature": re.sub(r"&signature=.*", "", path),
                "a name beside it": path + "&more=1",
                "another spelling": path.replace("/embed/", "//embed/"),
            }  # fmt: skip
            statuses = {name: ask(port, each, host="ci.example.org").status for name, each in wrong.items()}
            posted = ask(port, path, host="ci.example.org", method="POST").status

    assert {name for name, status in statuses.items() if status not in (400, 401, 403, 404)} == set()
    assert posted in (403, 405)


def test_a_signed_address_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DRMVisualizationIntegration(tmp_path, 0, Measuring(w1=0.5), base_url="http://127.0.0.1") as integration:
        integration.update_visualizations()
        url = embedded(integration.get_iframe_html("dashboard", valid_s=60))
        now_s = time.time()
        app = integration.asgi_app()
        with hosted(app) as port:
            path = url.removeprefix("http://127.0.0.1")
            assert ask(port, path).status == 200
            monkeypatch.setattr(app._dashboard.app, "_now_s", lambda: now_s + 61)
            expired = ask(port, path)
        for wrong in (0, -1, True, 1.5, 10**12, "60"):
            with pytest.raises(InvalidValueError, match=r"^valid_s"):
                integration.get_iframe_html("dashboard", valid_s=wrong)

    assert expired.status == 403
    assert b"has expired" in expired.body


def test_what_one_process_signed_another_one_with_the_same_token_shows(tmp_path: Path) -> None:
    with (
        DRMVisualizationIntegration(tmp_path, 0, Measuring(w1=0.5), base_url="http://127.0.0.1/drm") as one,
        DRMVisualizationIntegration(tmp_path, base_url="http://127.0.0.1/drm") as other,
    ):
        one.update_visualizations()
        path = embedded(one.get_iframe_html("dashboard")).removeprefix("http://127.0.0.1")
        with hosted(mounted(other, "/drm")) as port:
            assert ask(port, path).status == 200
        foreign = Access(token="x" + TOKEN, port=0).signature("/embed/dashboard", 99_999_999_999)
        with hosted(mounted(other, "/drm")) as port:
            assert ask(port, f"/drm/embed/dashboard?expires=99999999999&signature={foreign}").status == 403


@pytest.mark.parametrize(
    "wrong",
    ["ci.example.org", "ftp://ci.example.org", "https://ci.example.org/a?b", "https://ci.example.org/#a", "https://",
     "https://u:p@ci.example.org", "https://ci.example.org/a b", "https://ci.example.org/\"x", 7, "", "https://[::"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^base_url"):
        DRMVisualizationIntegration(tmp_path, base_url=wrong)


@pytest.mark.parametrize("wrong", ["*", "https://*.example.org", "https://a/b", "a.example.org", "'self'", "null", None,
                                   "https://a; script-src *"])  # fmt: skip
def test_an_origin_that_is_none_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^embed_origins"):
        DRMVisualizationIntegration(tmp_path, embed_origins=[wrong])
    with pytest.raises(InvalidValueError, match=r"^embed_origins"):
        DRMVisualizationIntegration(tmp_path, embed_origins="https://a.example.org")


# the live server


def test_the_live_server_is_started_opened_and_stopped_from_the_page(
    still: DRMVisualizationIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    still.update_visualizations()
    own = free_port()
    monkeypatch.setattr("drmviz.integration.drm_visualization_integration.DEFAULT_PORT", own)
    with hosted(mounted(still)) as port:
        same = ("Origin", f"http://127.0.0.1:{port}")
        cookie = ("Cookie", ask(port, f"/team/drm/?token={TOKEN}").headers["set-cookie"].partition(";")[0])

        def press(what: str, *headers: tuple[str, str], method: str = "POST") -> Reply:
            return ask(port, f"/team/drm/server/{what}", method=method, headers=headers)

        assert press("start", cookie).status == 403, "who sends this is not known"
        assert press("start", cookie, ("Origin", "http://evil.example")).status == 403
        assert press("start", same).status == 401
        assert press("start", cookie, same, method="GET").status == 405
        assert press("open", cookie, same).status == 409
        assert 'data-switch="start"' in Page(ask(port, "/team/drm/", headers=[cookie])).text
        assert orjson.loads(press("start", cookie, same).body) == {"is_running": True, "port": own}
        assert press("start", cookie, same).status == 200
        page = Page(ask(port, "/team/drm/", headers=[cookie]))
        assert page.all("button", "data-switch") == ["open", "stop"]
        opened = press("open", cookie, same)
        there = ("Cookie", opened.headers["set-cookie"].partition(";")[0])
        assert read(own, "/api/v1/snapshot", there)["workers"][0]["id"] == "w1"
        assert TOKEN not in str(opened) + page.text
        assert orjson.loads(press("stop", cookie, same).body) == {"is_running": False, "port": None}
        assert press("stop", cookie, same).status == 200
        with pytest.raises(ConnectionRefusedError):
            ask(own, "/healthz")


def test_without_controls_nobody_starts_or_stops_anything(tmp_path: Path) -> None:
    with DRMVisualizationIntegration(tmp_path, 0, Measuring(w1=0.5)) as integration:
        integration.start_dashboard_server(0)
        with hosted(mounted(integration)) as port:
            for what in ("start", "stop", "open"):
                assert ask(port, f"/team/drm/server/{what}", method="POST", headers=[BEARER]).status == 404
            page = Page(ask(port, "/team/drm/", headers=[BEARER]))
        integration.stop_dashboard_server()

    assert page.all("button", "data-switch") == []
    assert "A live server listens on port" in page.text


def test_a_port_that_is_taken_is_named_on_the_page_and_to_programs(
    still: DRMVisualizationIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, hosted(mounted(still)) as port:
        busy = taken.getsockname()[1]
        monkeypatch.setattr("drmviz.integration.drm_visualization_integration.DEFAULT_PORT", busy)
        reply = ask(port, "/team/drm/server/start", method="POST", headers=[BEARER])
        with pytest.raises(ServerError, match=f"Port {busy} "):
            still.start_dashboard_server()

    assert reply.status == 409
    assert f"Port {busy} of 127.0.0.1 is taken" in reply.body.decode()


def test_the_live_server_shows_the_signed_figures_too(tmp_path: Path) -> None:
    with DRMVisualizationIntegration(tmp_path, 0, Measuring(w1=0.5), base_url="http://127.0.0.1") as integration:
        integration.update_visualizations()
        url = integration.start_dashboard_server(0)
        port = int(url.partition("/?")[0].rpartition(":")[2])
        path = embedded(integration.get_iframe_html("dashboard")).removeprefix("http://127.0.0.1")

        assert url == f"http://127.0.0.1:{port}/?token={TOKEN}"
        assert ask(port, path).status == 200
        assert ask(port, "/figures/dashboard").status == 401
        assert ask(port, "/figures/dashboard", headers=[BEARER]).status == 200
        assert ask(port, "/", headers=[BEARER]).status == 200


# exchanged, cleaned up, dropped


def test_whoever_looks_on_is_shown_the_next_manager_at_the_same_addresses(still: DRMVisualizationIntegration) -> None:
    still.update_visualizations()
    url = still.start_dashboard_server(0)
    own = int(url.partition("/?")[0].rpartition(":")[2])
    with hosted(mounted(still)) as port, look_on(port, "/team/drm/ws") as viewer:
        viewer.recv(timeout=10)

        still.set_resource_manager(Measuring(other=0.75))
        still.update_visualizations()

        with pytest.raises(ConnectionClosed) as closed:
            drain(viewer)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        for where, prefix in ((port, "/team/drm"), (own, "")):
            assert [each["id"] for each in read(where, f"{prefix}/api/v1/snapshot")["workers"]] == ["other"]
        with look_on(port, "/team/drm/ws") as again:
            assert orjson.loads(again.recv(timeout=10))["workers"][0]["id"] == "other"
    assert still.start_dashboard_server(0) == url


def test_after_cleanup_nothing_is_answered_and_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    integration = DRMVisualizationIntegration(tmp_path, 0, Measuring(w1=0.5))
    integration.update_visualizations()
    app = integration.asgi_app()
    integration.start_dashboard_server(0)
    with hosted(Starlette(routes=[Mount("/drm", app)])) as port:
        with look_on(port, "/drm/ws") as viewer:
            viewer.recv(timeout=10)
            read(port, "/drm/api/v1/status")
            began_s = time.monotonic()
            integration.cleanup()
            assert time.monotonic() - began_s < 2.0
            with pytest.raises(ConnectionClosed):
                drain(viewer)
        assert ask(port, "/drm/api/v1/status", headers=[BEARER]).status == 503
        assert ask(port, "/drm/ws", headers=[*HANDSHAKE, BEARER]).status == 403
    assert set(threading.enumerate()) == before
    with pytest.raises(UsageError, match="cleaned up"):
        integration.asgi_app()
    with pytest.raises(UsageError, match="cleaned up"):
        integration.start_dashboard_server(0)


def test_a_weak_token_is_refused_when_somebody_is_to_be_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRMVIZ_TOKEN", "password")
    with DRMVisualizationIntegration(tmp_path) as integration:
        with pytest.raises(UsageError, match="DRMVIZ_TOKEN"):
            integration.asgi_app()
        monkeypatch.delenv("DRMVIZ_TOKEN")
        assert len(integration.token) == 43
        assert integration.token == integration.token


# processes

SERVING = """
import sys, uvicorn
from dynamic_resource_manager import DynamicResourceManager
from dynamic_resource_management_visualization import DRMVisualizationIntegration
from starlette.applications import Starlette
from starlette.routing import Mount

folder, worker, port = sys.argv[1:]
manager = None
if worker:
    manager = DynamicResourceManager()
    manager.register_worker(worker, {"cpu": {"cores": 4}})
    manager.record_usage(worker, cpu_ratio=0.5)
integration = DRMVisualizationIntegration(folder, 60, manager)
if worker:
    assert len(integration.update_visualizations(force=True)) == 6
print("serves", flush=True)
app = Starlette(routes=[Mount("/team/drm", integration.asgi_app())])
uvicorn.run(app, port=int(port), log_config=None, ws="websockets-sansio")
"""


@contextmanager
def process_serving(folder: Path, worker: str, port: int) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-W", "error", "-c", SERVING, str(folder), worker, str(port)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "serves\n", process.communicate()[1]
        deadline_s = time.monotonic() + 20
        while True:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline_s
            with suppress(ConnectionRefusedError):
                ask(port, "/team/drm/healthz")
                break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_processes_that_share_a_folder_show_the_same_figures_also_after_one_was_killed_and_began_again(
    tmp_path: Path,
) -> None:
    draws, looks = free_port(), free_port()
    with process_serving(tmp_path, "first", draws), process_serving(tmp_path, "", looks):
        cookie = ("Cookie", ask(draws, f"/team/drm/?token={TOKEN}").headers["set-cookie"].partition(";")[0])
        for port in (draws, looks):
            assert len(Page(ask(port, "/team/drm/", headers=[BEARER])).all("iframe", "data-src")) == 6
        shown = [ask(port, "/team/drm/figures/resource_heatmap", headers=[BEARER]).body for port in (draws, looks)]
        assert shown[0] == shown[1]
        assert b"first" in shown[0]
    with process_serving(tmp_path, "", looks), process_serving(tmp_path, "second", draws):
        assert ask(draws, "/team/drm/", headers=[cookie]).status == 200, "a session outlives a restart with its token"
        assert [each["id"] for each in read(draws, "/team/drm/api/v1/snapshot")["workers"]] == ["second"]
        assert [each["id"] for each in read(looks, "/team/drm/api/v1/snapshot")["workers"]] == ["second"]
        shown = [ask(port, "/team/drm/figures/resource_heatmap", headers=[BEARER]).body for port in (draws, looks)]
        assert shown[0] == shown[1]
        assert b"second" in shown[1]
    assert set(json.loads((tmp_path / "visualization_registry.json").read_bytes())) == set(TYPES)


# as a browser shows it


@contextmanager
def wiki(frames: list[str]) -> Iterator[int]:
    """Serve a page on another server, which has a strict policy of its own."""

    async def page(request: Request) -> PlainTextResponse:
        policy = "default-src 'none'; frame-src http://127.0.0.1:*; style-src-attr 'unsafe-inline'"
        return PlainTextResponse(
            f"<!doctype html><meta charset=utf-8><title>wiki</title>{''.join(frames)}",
            headers={"content-security-policy": policy},
            media_type="text/html",
        )

    with hosted(Starlette(routes=[Route("/", page)])) as port:
        yield port


@pytest.mark.browser
@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_page_on_another_server_shows_a_figure_where_it_may_and_nothing_where_it_may_not(
    tmp_path: Path, browser: Browser, is_allowed: bool
) -> None:
    port, frames = free_port(), list[str]()
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    with (
        wiki(frames) as elsewhere,
        DRMVisualizationIntegration(
            tmp_path,
            0,
            Measuring(w1=0.5),
            base_url=f"http://127.0.0.1:{port}",
            embed_origins=[f"http://localhost:{elsewhere}"] if is_allowed else ["http://localhost:1"],
        ) as integration,
    ):
        integration.update_visualizations()
        integration.start_dashboard_server(port)
        frames.append(integration.get_iframe_html("resource_heatmap"))
        page.goto(f"http://localhost:{elsewhere}/", wait_until="load")
        if is_allowed:
            inner = page.locator("iframe").content_frame
            inner.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
            assert inner.locator("body").evaluate("() => self.origin") == "null"
            assert refused == []
        else:
            assert page.locator("iframe").content_frame.locator("[data-drawn]").count() == 0
            assert any("frame-ancestors" in text for text in refused), refused
    page.close()


@pytest.mark.browser
def test_in_a_browser_the_tabs_draw_their_figures_and_the_switch_switches(
    still: DRMVisualizationIntegration, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = free_port()
    monkeypatch.setattr("drmviz.integration.drm_visualization_integration.DEFAULT_PORT", own)
    still.update_visualizations()
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    with hosted(mounted(still)) as port:
        page.goto(f"http://127.0.0.1:{port}/team/drm/?token={TOKEN}")
        page.wait_for_url(f"http://127.0.0.1:{port}/team/drm/")
        for name in ("Resource utilization", "Scaling history"):
            page.get_by_role("tab", name=name).click()
            inner = page.get_by_role("tabpanel").locator("iframe").content_frame
            inner.locator("[data-drawn] .main-svg").first.wait_for(state="attached")
            assert inner.locator("body").evaluate("() => self.origin") == "null"
        page.get_by_role("button", name="Start live server").click()
        page.get_by_role("button", name="Open live server").click()
        page.wait_for_url(f"http://127.0.0.1:{own}/")
        page.wait_for_selector("#state:not([data-state=connecting])")
        page.go_back()
        page.get_by_role("button", name="Stop live server").click()
        page.get_by_role("button", name="Start live server").wait_for()
        with page.expect_websocket() as opened:
            page.get_by_role("link", name="Live view").click()
        assert opened.value.url.partition("?")[0] == f"ws://127.0.0.1:{port}/team/drm/ws"
        page.wait_for_selector("#state:not([data-state=connecting])")
        assert said == []
    context.close()

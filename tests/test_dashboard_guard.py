"""Nobody gets anything of a dashboard who may not have it: every route against every abuse, on a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Scope

from drmviz.dashboard.access import Access, chosen_token, hosts_and_origins, parsed_origin
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.guard import Decision, Guard
from drmviz.dashboard.routes import ENDPOINTS, Endpoint
from drmviz.dashboard.server import DashboardServer
from drmviz.errors import UsageError
from drmviz.integration import DRMVisualizationIntegration
from drmviz.integration.kinds import KINDS
from drmviz.integration.routes import Switch, mounted_endpoints
from drmviz.registry import Registry
from tests.dashboards import HANDSHAKE, TOKEN, Reply, ask, history, serving
from tests.hosting import hosted

BEARER = ("Authorization", f"Bearer {TOKEN}")
OPEN = {"/healthz", "/favicon.ico"}
"""What anybody may have; whoever opens another path says so here as well."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    path = tmp_path_factory.mktemp("guard") / "h.drmviz"
    history(path)
    with serving(Fleet([path])) as server:
        yield server


@dataclass(frozen=True)
class Mounted:
    """Where an integration is a part of another application; the prefix of its access is the path that it is at."""

    port: int
    access: Access


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DRMVIZ_TOKEN", TOKEN)
        path = tmp_path_factory.mktemp("mounted") / "history.drmviz"
        history(path)
        with DRMVisualizationIntegration(path.parent, 0, controls=True) as integration:
            integration.update_visualizations()
            app = Starlette(routes=[Mount("/team/drm", integration.asgi_app())])
            with hosted(app) as port:
                yield Mounted(port, Access(token=TOKEN, port=port, prefix="/team/drm"))


@dataclass(frozen=True)
class Attempt:
    """One request; `{port}` in a header is the port of the server."""

    method: str = "GET"
    path: Callable[[str], str] = str
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def on(self, server: DashboardServer | Mounted, endpoint: Endpoint) -> Reply:
        headers = [(name, value.replace("{port}", str(server.port))) for name, value in self.headers]
        if endpoint.decision.kind == "websocket":
            headers = [*HANDSHAKE, *headers]
        path = f"{server.access.prefix}{self.path(endpoint.path)}"
        method = endpoint.decision.methods[0] if self.method == "GET" else self.method
        return ask(server.port, path, method=method, host=self.host, headers=headers, body=self.body)


def cookie(server: DashboardServer | Mounted, value: str | None = None) -> tuple[str, str]:
    return "Cookie", f"{server.access.cookie}={server.access.session if value is None else value}"


SAME = ("Origin", "http://127.0.0.1:{port}")
WITHOUT_A_TOKEN = {
    "nothing": Attempt(),
    "an empty token": Attempt(headers=(("Authorization", "Bearer "),)),
    "a wrong token": Attempt(headers=(("Authorization", "Bearer " + "x" * 32),)),
    "the beginning of the token": Attempt(headers=(("Authorization", f"Bearer {TOKEN[:-1]}"),)),
    "the token and more": Attempt(headers=(("Authorization", f"Bearer {TOKEN}x"),)),
    "two tokens": Attempt(headers=(("Authorization", "Bearer no"), BEARER)),
    "the token as a password": Attempt(headers=(("Authorization", f"Basic {TOKEN}"),)),
    "the token as a cookie": Attempt(headers=(("Cookie", "drmviz_{port}=" + TOKEN),)),
    "a wrong cookie": Attempt(headers=(("Cookie", "drmviz_{port}=" + "0" * 64),)),
    "the token of an address": Attempt(path=lambda path: f"{path}?token={'x' * 32}"),
    "two tokens in the address": Attempt(path=lambda path: f"{path}?token={TOKEN}&token=x"),
    "its own origin": Attempt(headers=(SAME,)),
    "HEAD": Attempt(method="HEAD"),
    "the name in capitals": Attempt(path=lambda path: path.upper() if path != "/" else "/X"),
    "another user agent": Attempt(headers=(("User-Agent", "kube-probe/1.29"),)),
    "a forwarded address": Attempt(headers=(("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1"))),
    "another path in a header": Attempt(headers=(("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz"))),
}
ABUSES = {
    "a foreign host": Attempt(host="evil.example"),
    "a host that begins like ours": Attempt(host="localhost.evil.example"),
    "a host that ends like ours": Attempt(host="evil-127.0.0.1"),
    "a host with a user": Attempt(host="127.0.0.1@evil.example"),
    "two hosts": Attempt(headers=(("Host", "127.0.0.1"),)),
    "a foreign origin": Attempt(headers=(("Origin", "http://evil.example"),)),
    "an origin that is null": Attempt(headers=(("Origin", "null"),)),
    "an origin of another port": Attempt(headers=(("Origin", "http://127.0.0.1:1"),)),
    "an origin of another scheme": Attempt(headers=(("Origin", "https://127.0.0.1:{port}"),)),
    "an origin that begins like ours": Attempt(headers=(("Origin", "http://127.0.0.1:{port}.evil.example"),)),
    "two origins": Attempt(headers=(SAME, ("Origin", "http://evil.example"))),
    "an empty origin": Attempt(headers=(("Origin", ""),)),
    "two slashes": Attempt(path=lambda path: "/" + path),
    "a slash at the end": Attempt(path=lambda path: path + "/" if path != "/" else "//"),
    "two slashes inside": Attempt(path=lambda path: path.replace("/", "//") if path != "/" else "///"),
    "dots": Attempt(path=lambda path: "/x/.." + path),
    "encoded dots": Attempt(path=lambda path: "/%2e%2e" + path),
    "an encoded slash": Attempt(path=lambda path: "/%2f" + path.lstrip("/")),
    "an encoded letter": Attempt(path=lambda path: f"/%{ord(path[1:2] or 'x'):02x}{path[2:]}"),
    "a zero byte": Attempt(path=lambda path: path + "%00"),
    "a backslash": Attempt(path=lambda path: path + "%5c"),
    "a semicolon": Attempt(path=lambda path: path + ";/healthz"),
    "TRACE": Attempt(method="TRACE"),
    "DELETE": Attempt(method="DELETE"),
    "PUT": Attempt(method="PUT", body=b"{}"),
    "PATCH": Attempt(method="PATCH", body=b"{}"),
    "POST": Attempt(method="POST", body=b"{}"),
    "OPTIONS": Attempt(method="OPTIONS"),
    "PROPFIND": Attempt(method="PROPFIND"),
    "a parameter that there is not": Attempt(path=lambda path: f"{path}?nothing=1"),
    "a large body": Attempt(body=b"x" * 70_000),
    "a body of negative length": Attempt(headers=(("Content-Length", "-1"),)),
}
"""All of them by somebody who has the token."""


def each_endpoint() -> list[Endpoint]:
    return list(ENDPOINTS)


def is_of_the_server_around(endpoint: Endpoint, attempt: Attempt) -> bool:
    """Tell whether the server that runs the application around us decides about it: what is no handshake."""
    return endpoint.decision.kind == "websocket" and (attempt.method != "GET" or bool(attempt.body))


NEEDED = {"/api/v1/series": "?worker=w1", "/api/v1/figure": "?name=scaling"}
MOUNTED = mounted_endpoints(Registry(Path("nowhere")), (), tabs=str, switch=cast("Switch", object()))
"""All of them, with the switch."""


@pytest.mark.parametrize("endpoint", each_endpoint(), ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("attempt", WITHOUT_A_TOKEN.values(), ids=WITHOUT_A_TOKEN)
def test_who_has_no_token_gets_nothing_and_is_sent_nowhere(
    server: DashboardServer, endpoint: Endpoint, attempt: Attempt
) -> None:
    check_refusal(server, endpoint, attempt)


@pytest.mark.parametrize("endpoint", MOUNTED, ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("attempt", WITHOUT_A_TOKEN.values(), ids=WITHOUT_A_TOKEN)
def test_who_has_no_token_gets_nothing_of_what_is_mounted_either(
    mounted: Mounted, endpoint: Endpoint, attempt: Attempt
) -> None:
    if not is_of_the_server_around(endpoint, attempt):
        check_refusal(mounted, endpoint, attempt)


def check_refusal(server: DashboardServer | Mounted, endpoint: Endpoint, attempt: Attempt) -> None:
    reply = attempt.on(server, endpoint)

    if endpoint.path in OPEN and attempt.path(endpoint.path).partition("?")[0] == endpoint.path:
        assert reply.status in (200, 400)  # 400: it takes no parameter
        return
    assert reply.status in (401, 403)
    assert "location" not in reply.headers
    assert "set-cookie" not in reply.headers
    assert reply.headers["content-type"] == "application/problem+json"
    if attempt.method != "HEAD":
        assert set(orjson.loads(reply.body)) == {"type", "title", "status", "detail"}
    assert TOKEN not in str(reply)
    assert server.access.session not in str(reply)


@pytest.mark.parametrize("endpoint", each_endpoint(), ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("attempt", ABUSES.values(), ids=ABUSES)
def test_what_is_not_asked_as_it_should_be_is_refused_with_the_token_too(
    server: DashboardServer, endpoint: Endpoint, attempt: Attempt
) -> None:
    check_abuse(server, endpoint, attempt)


@pytest.mark.parametrize("endpoint", MOUNTED, ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize(("name", "attempt"), ABUSES.items(), ids=ABUSES)
def test_what_is_mounted_is_not_given_to_who_does_not_ask_as_he_should(
    mounted: Mounted, endpoint: Endpoint, name: str, attempt: Attempt
) -> None:
    if is_of_the_server_around(endpoint, attempt):
        return
    if name != "POST" or "POST" not in endpoint.decision.methods:
        check_abuse(mounted, endpoint, attempt)


def check_abuse(server: DashboardServer | Mounted, endpoint: Endpoint, attempt: Attempt) -> None:
    reply = replace(attempt, headers=(BEARER, *attempt.headers)).on(server, endpoint)

    assert 400 <= reply.status < 500
    assert "location" not in reply.headers
    assert not any(name.startswith("access-control-") for name in reply.headers)


@pytest.mark.parametrize("endpoint", MOUNTED, ids=lambda endpoint: endpoint.path)
def test_who_has_the_token_or_the_cookie_gets_what_is_mounted(mounted: Mounted, endpoint: Endpoint) -> None:
    if endpoint.decision.kind == "websocket" or "GET" not in endpoint.decision.methods:
        return  # it stays open, or changes something: tests of their own
    path = f"/team/drm{endpoint.path}{NEEDED.get(endpoint.path, '')}"
    for headers in [(BEARER,), (cookie(mounted), ("Origin", f"http://127.0.0.1:{mounted.port}"))]:
        reply = ask(mounted.port, path, headers=headers)

        assert reply.status == 200, reply.body
        assert reply.headers["content-type"].startswith(endpoint.media_type)
        for name in ("content-security-policy", "cache-control", "referrer-policy"):
            assert name in reply.headers
        assert reply.headers["x-content-type-options"] == "nosniff"
        policy = reply.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in policy if endpoint.decision.is_framed else "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy or "; sandbox allow-scripts allow-downloads;" in policy


def test_every_route_of_what_is_mounted_has_a_decision_of_its_own() -> None:
    decided = {endpoint.path: endpoint.decision for endpoint in MOUNTED}

    assert len(decided) == len(MOUNTED)
    assert {path for path, decision in decided.items() if decision.who == "anybody"} == OPEN
    assert {path for path, decision in decided.items() if decision.is_page} == {"/", "/drm-dashboard", "/live"}
    signed = {path for path, decision in decided.items() if decision.who == "signature"}
    assert signed == {f"/embed/{type_}" for type_ in KINDS}
    assert {decision.methods for decision in decided.values()} == {("GET", "HEAD"), ("POST",)}
    switching = {path for path, decision in decided.items() if decision.methods == ("POST",)}
    assert switching == {"/server/start", "/server/stop", "/server/open"}
    framed = {path for path, decision in decided.items() if decision.is_framed}
    assert framed == {"/", "/drm-dashboard", *signed, *(f"/figures/{type_}" for type_ in KINDS)}


@pytest.mark.parametrize("endpoint", each_endpoint(), ids=lambda endpoint: endpoint.path)
def test_who_has_the_token_or_the_cookie_gets_in(server: DashboardServer, endpoint: Endpoint) -> None:
    path = endpoint.path + NEEDED.get(endpoint.path, "")
    ways = [(BEARER,), (cookie(server), ("Origin", f"http://127.0.0.1:{server.port}"))]

    for headers in ways:
        if endpoint.decision.kind == "websocket":
            continue  # it stays open: tests of its own
        reply = ask(server.port, path, headers=headers)

        assert reply.status == 200, reply.body
        assert reply.headers["content-type"].startswith(endpoint.media_type)
        for name in ("content-security-policy", "cache-control", "x-frame-options", "referrer-policy"):
            assert name in reply.headers
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert "server" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        (("Origin", "http://evil.example"),),
        (("Origin", "null"),),
        (("Origin", "http://localhost:{port}"),),
        (),
    ],
    ids=["foreign", "null", "another name of this machine", "none"],
)
def test_a_handshake_with_the_cookie_alone_needs_the_origin_of_the_page(
    server: DashboardServer, headers: tuple[tuple[str, str], ...]
) -> None:
    sent = [(name, value.replace("{port}", str(server.port))) for name, value in headers]

    reply = ask(server.port, "/ws", headers=[*HANDSHAKE, cookie(server), *sent])

    assert reply.status == 403
    assert "sec-websocket-accept" not in reply.headers


def test_the_token_of_the_address_becomes_a_cookie_and_a_clean_address(server: DashboardServer) -> None:
    for path in ("/", "/drm-dashboard"):
        reply = ask(server.port, f"{path}?token={TOKEN}&start=1%22%3E%3Cb")

        assert reply.status == 200
        assert reply.headers["set-cookie"] == (
            f"drmviz_{server.port}={server.access.session}; Path=/; HttpOnly; SameSite=Strict"
        )
        assert f'content="0; url={path}?start=1%22%3E%3Cb"' in reply.body.decode()
        assert TOKEN not in reply.body.decode()
    (name, value) = cookie(server)
    assert ask(server.port, "/api/v1/status", headers=[(name, f"other=1; {value}; drmviz_1=x")]).status == 200
    assert ask(server.port, "/api/v1/status", headers=[(name, f"drmviz_1={server.access.session}")]).status == 401


def test_a_token_in_the_address_of_anything_but_a_page_is_none(server: DashboardServer) -> None:
    assert ask(server.port, f"/api/v1/status?token={TOKEN}").status == 401
    assert ask(server.port, f"/ws?token={TOKEN}", headers=HANDSHAKE).status in (401, 403)


def test_two_dashboards_of_one_machine_do_not_log_each_other_out(server: DashboardServer, tmp_path: Path) -> None:
    history(tmp_path / "other.drmviz")
    with serving(Fleet([tmp_path / "other.drmviz"])) as other:
        jar = {}
        for each in (server, other):
            set_cookie = ask(each.port, f"/?token={TOKEN}").headers["set-cookie"]
            name, _, value = set_cookie.partition(";")[0].partition("=")
            jar[name] = value
        both = ("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items()))

        assert len(jar) == 2
        assert [ask(each.port, "/api/v1/status", headers=[both]).status for each in (server, other)] == [200, 200]


def test_only_what_is_named_here_is_open_and_every_route_has_a_decision() -> None:
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.decision.who == "anybody"} == OPEN
    assert len({endpoint.path for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.decision.is_page} == {"/", "/drm-dashboard"}
    assert not [endpoint.path for endpoint in ENDPOINTS if endpoint.decision.methods != ("GET", "HEAD")]


def test_the_paths_that_were_promised_are_there() -> None:
    api = "snapshot workers heatmap series scaling tasks allocation efficiency cloud figures status openapi.json"
    promised = {"/", "/drm-dashboard", "/ws", "/healthz", "/metrics", *(f"/api/v1/{name}" for name in api.split())}

    assert promised <= {endpoint.path for endpoint in ENDPOINTS}


async def answered(guard: Guard, path: str, *headers: tuple[str, str], method: str = "GET") -> int:
    sent: list[Message] = []
    given = [(b"host", b"localhost"), *((name.lower().encode(), value.encode()) for name, value in headers)]
    scope: Scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": given, "scheme": "http", "server": ("localhost", 80), "root_path": "",
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return int(sent[0]["status"])


def test_a_route_about_which_nothing_was_decided_is_not_there_even_with_the_token() -> None:
    import asyncio

    async def ran(request: Request) -> PlainTextResponse:
        return PlainTextResponse("it ran")

    inner = Starlette(routes=[Route("/decided", ran, methods=["GET", "POST"]), Route("/forgotten", ran)])
    access = Access(token=TOKEN, port=80)
    guard = Guard(inner, access, {"/decided": Decision(who="token", methods=("GET", "POST"))})
    page = ("Cookie", f"drmviz_80={access.session}")

    async def everything() -> list[int]:
        return [
            await answered(guard, "/forgotten"),
            await answered(guard, "/forgotten", BEARER),
            await answered(guard, "/decided", BEARER),
            await answered(guard, "/decided", page, method="POST"),
            await answered(guard, "/decided", page, ("Origin", "http://evil.example"), method="POST"),
            await answered(guard, "/decided", page, ("Origin", "http://localhost"), method="POST"),
            await answered(guard, "/decided", BEARER, method="DELETE"),
        ]

    assert asyncio.run(everything()) == [401, 404, 200, 403, 403, 200, 405]


def test_below_a_prefix_there_is_everything_and_beside_it_nothing(tmp_path: Path) -> None:
    history(tmp_path / "h.drmviz")
    with serving(Fleet([tmp_path / "h.drmviz"]), url_prefix="team/fleet/") as server:
        asked = {
            path: ask(server.port, path, headers=[BEARER]).status
            for path in ("/team/fleet/api/v1/status", "/team/fleet/", "/api/v1/status", "/", "/team/fleet",
                         "/team/fleetapi/v1/status", "/team/fleet/team/fleet/healthz")
        }  # fmt: skip
        opened = ask(server.port, f"/team/fleet/?token={TOKEN}")

        assert server.url == f"http://127.0.0.1:{server.port}/team/fleet/?token={TOKEN}"
        assert list(asked.values()) == [200, 200, 404, 404, 404, 404, 404]
        assert "Path=/team/fleet; HttpOnly" in opened.headers["set-cookie"]
        assert 'url=/team/fleet/"' in opened.body.decode()
        assert b'src="/team/fleet/static/page.js"' in ask(server.port, "/team/fleet/", headers=[BEARER]).body


def test_a_proxy_before_it_is_let_in_by_its_name_and_its_exact_origin(tmp_path: Path) -> None:
    history(tmp_path / "h.drmviz")
    with serving(Fleet([tmp_path / "h.drmviz"]), allowed_hosts=["https://ci.example.org", "box"]) as server:

        def status(host: str, *origin: str) -> int:
            headers = [cookie(server), *(("Origin", each) for each in origin)]
            return ask(server.port, "/api/v1/status", host=host, headers=headers).status

        assert status("ci.example.org", "https://ci.example.org") == 200
        assert status("CI.example.org:443", "https://CI.example.org:443") == 200
        assert status("box:8889") == 200
        assert status("localhost:9000", "http://localhost:9000") == 200  # through a tunnel
        assert status("ci.example.org", "https://ci.example.org.evil.example") == 403
        assert status("ci.example.org", "https://ci.example.org:8443") == 403
        assert status("example.org") == 403
        assert status("xci.example.org") == 403


@pytest.mark.parametrize("text", ["null", "", "http://", "http://a b", "http://a/x", "file://", "http://a:99999999",
                                  "ftp://a", "http://a?b", "http://u@a", "http://a\n"])  # fmt: skip
def test_what_is_no_origin_is_none(text: str) -> None:
    assert parsed_origin(text) is None


def test_origins_are_compared_as_browsers_do() -> None:
    assert parsed_origin("HTTP://LocalHost") == parsed_origin("http://localhost:80")
    assert parsed_origin("http://[::1]:8889") == ("http", "[::1]", 8889)
    assert parsed_origin("https://a") != parsed_origin("http://a:443")


@pytest.mark.parametrize("wrong", ["http://", "a/b", "a b", "*", "*.example.org", "box:80", "", "evil\nhost"])
def test_a_name_that_is_none_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(UsageError, match="--allowed-host"):
        hosts_and_origins("127.0.0.1", [wrong])


def test_tokens_have_at_least_128_bits_and_are_new_each_time() -> None:
    made = {chosen_token({}) for _ in range(100)}

    assert len(made) == 100
    assert all(len(token) == 43 for token in made)
    assert chosen_token({"DRMVIZ_TOKEN": TOKEN}) == TOKEN


@pytest.mark.parametrize("weak", ["password", "a" * 40, "with a space in the middle of it", "ümlaut" * 6, "x/y" * 12])
def test_a_token_that_can_be_guessed_or_does_not_fit_an_address_is_refused_and_not_told(weak: str) -> None:
    with pytest.raises(UsageError, match="DRMVIZ_TOKEN must be at least 22") as caught:
        chosen_token({"DRMVIZ_TOKEN": weak})

    assert weak not in str(caught.value)


def test_nothing_that_is_printed_of_it_tells_the_token() -> None:
    access = Access(token=TOKEN, port=1)

    assert TOKEN not in repr(access)
    assert TOKEN not in access.session
    assert access.session not in repr(access)

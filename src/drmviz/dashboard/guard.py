"""The one layer around the whole application: nothing behind it runs for who may not come in.

Pure ASGI, HTTP and WebSocket alike, and default deny: a path that nobody decided about is not there.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drmviz.dashboard.access import Access
from drmviz.dashboard.problems import problem

MOST_BODY_BYTES = 65_536
LOCKED_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For whatever says nothing else of itself: nothing may be loaded or run."""
_SAFE = ("GET", "HEAD")
_EVERYWHERE = {
    "cache-control": "no-store",
    "content-security-policy": LOCKED_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Set on every answer that does not set them itself."""
_LOG_IN = "Open the address with the token that was printed at the start, or send Authorization: Bearer TOKEN."
_OPENS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>drmviz</title>
<link rel="icon" href="{icon}">
<meta http-equiv="refresh" content="0; url={url}"></head>
<body><p><a href="{url}">Open the dashboard</a></p></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided about one path."""

    who: Literal["anybody", "token"]
    kind: Literal["http", "websocket"] = "http"
    is_page: bool = False
    """Whether `?token=` is exchanged for the session cookie here."""
    writes: bool = False
    """Whether it takes POST as well."""


class Guard:
    """Wraps an application; `decisions` says of each path below the prefix who may have it."""

    def __init__(self, app: ASGIApp, access: Access, decisions: Mapping[str, Decision]) -> None:
        self._app = app
        self._access = access
        self._decisions = dict(decisions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
            return
        root_path = scope.get("root_path", "") + self._access.prefix
        await self._app({**scope, "root_path": root_path}, _limited(receive), _secured(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to who may not come in, None for who may."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return problem(400, "There must be exactly one Host header.")
        if not self._access.is_host(hosts[0]):
            return problem(403, f"This server is not called {hosts[0][:80]!r}. --allowed-host adds a name.")
        decision = self._decision(scope)
        is_bearer = any(value[:7].lower() == "bearer " for value in headers.getlist("authorization"))
        if (refusal := self._foreign(scope, headers, is_bearer=is_bearer)) is not None:
            return refusal
        if decision is None or decision.who != "anybody":
            refusal = self._unknown(scope, headers, decision)
            if refusal is not None:
                return refusal
        return _misused(scope, headers, decision)

    def _decision(self, scope: Scope) -> Decision | None:
        """Return what is decided about exactly this path: no other spelling of it is there."""
        path: str = scope["path"]
        raw = scope.get("raw_path") or path.encode("utf-8", "replace")
        root = scope.get("root_path", "")
        spelled = path.encode("utf-8", "replace")
        if not path.startswith(root + self._access.prefix) or raw not in (spelled, spelled[len(root.encode()) :]):
            return None
        below = path[len(root) + len(self._access.prefix) :]
        decision = self._decisions.get(below)
        return decision if decision is not None and decision.kind == scope["type"] else None

    def _foreign(self, scope: Scope, headers: Headers, *, is_bearer: bool) -> Response | None:
        """Refuse what a page of somebody else sends; who has the token in a header is no page."""
        origins = headers.getlist("origin")
        needs_origin = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if not origins:
            if not needs_origin or is_bearer:
                return None
            return problem(403, "An Origin header is needed here, or Authorization: Bearer TOKEN.")
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        if len(origins) == 1 and self._access.is_origin(origins[0], host=headers["host"], scheme=scheme):
            return None
        return problem(403, "This is sent by a page of another origin. --allowed-host https://NAME adds a proxy's.")

    def _unknown(self, scope: Scope, headers: Headers, decision: Decision | None) -> Response | None:
        """Refuse who shows neither token nor cookie; log in who comes with the token in the address of a page."""
        given = [value[7:].strip() for value in headers.getlist("authorization") if value[:7].lower() == "bearer "]
        if given:
            if len(given) == 1 and self._access.is_token(given[0]):
                return None
            return problem(403, f"This token is not the one of this server. {_LOG_IN}")
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in asked if name == "token"]
        if tokens and decision is not None and decision.is_page and scope.get("method") in _SAFE:
            if len(tokens) == 1 and self._access.is_token(tokens[0]):
                return self._opened(scope, [pair for pair in asked if pair[0] != "token"])
            return problem(403, f"The token in this address is not the one of this server. {_LOG_IN}")
        cookies = _cookies(headers, self._access.cookie)
        if any(self._access.is_session(value) for value in cookies):
            return None
        if cookies:
            return problem(403, f"This session is over: the server was started anew. {_LOG_IN}")
        return problem(401, f"A token is needed. {_LOG_IN}", {"www-authenticate": 'Bearer realm="drmviz"'})

    def _opened(self, scope: Scope, asked: list[tuple[str, str]]) -> Response:
        """Set the cookie, and go on to the clean address by a page.

        After a redirect that another site's link began browsers would not send a strict cookie.
        """
        url = scope["path"] + (f"?{urlencode(asked)}" if asked else "")
        page = _OPENS.format(
            url=html.escape(url, quote=True),
            icon=html.escape(f"{scope.get('root_path', '')}{self._access.prefix}/favicon.ico", quote=True),
        )
        headers = {
            "set-cookie": self._access.set_cookie(),
            "content-security-policy": f"{LOCKED_POLICY}; img-src 'self'",
        }
        return Response(page, 200, headers, media_type="text/html")


def _misused(scope: Scope, headers: Headers, decision: Decision | None) -> Response | None:
    if decision is None:
        return problem(404, "There is nothing here. /api/v1/openapi.json lists what there is.")
    if scope["type"] == "http":
        allowed = (*_SAFE, "POST") if decision.writes else _SAFE
        if scope["method"] not in allowed:
            return problem(405, f"Only {', '.join(allowed)} is answered here.", {"allow": ", ".join(allowed)})
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        return problem(400, "Content-Length must be a number.")
    if int(length) > MOST_BODY_BYTES:
        return problem(413, f"At most {MOST_BODY_BYTES} bytes are taken.")
    return None


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return [value.strip('"') for key, _, value in pairs if key == name]


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer instead of the application; a WebSocket before it is accepted."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await response(scope, receive, _secured(send))


def _limited(receive: Receive) -> Receive:
    """Count what a request without a length sends, and end it where that is too much."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > MOST_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return limited


def _secured(send: Send) -> Send:
    """Add the headers that keep browsers safe to every answer that does not set them itself."""

    async def secured(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            given += [(n.encode(), v.encode()) for n, v in _EVERYWHERE.items() if n.encode() not in names]
            message = {**message, "headers": given}
        await send(message)

    return secured

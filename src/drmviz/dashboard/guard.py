"""The one layer around the whole application: nothing behind it runs for who may not come in.

Pure ASGI, HTTP and WebSocket alike, and default deny: a path that nobody decided about is not there.
"""

from __future__ import annotations

import html
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
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
_UNFRAMED = ("x-frame-options", "cross-origin-resource-policy")
"""What would keep a page out of the frames that its own policy names."""
_LONGEST_NUMBER = 12
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

    who: Literal["anybody", "token", "signature"]
    """`signature`: whoever has the token, or a signed address of this path that has not expired."""
    kind: Literal["http", "websocket"] = "http"
    is_page: bool = False
    """Whether `?token=` is exchanged for the session cookie here."""
    methods: tuple[str, ...] = _SAFE
    is_framed: bool = False
    """Whether other pages may show it in a frame; its own policy then says which."""


Authorize = Callable[[Scope], bool | Awaitable[bool]]
"""Tells of a request, as ASGI describes it, whether who sends it may look on."""


class Guard:
    """Wraps an application; `decisions` says of each path below the prefix who may have it.

    With `authorize` the application around it says who that is, instead of the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        decisions: Mapping[str, Decision],
        *,
        authorize: Authorize | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._access = access
        self._decisions = dict(decisions)
        self._authorize = authorize
        self._now_s = now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        decision = self._decision(scope)
        refusal = await self._refusal(scope, decision)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
            return
        root_path = scope.get("root_path", "") + self._access.prefix
        is_framed = decision is not None and decision.is_framed
        await self._app(
            {**scope, "root_path": root_path}, _limited(receive), _secured(send, without=_UNFRAMED if is_framed else ())
        )

    async def _refusal(self, scope: Scope, decision: Decision | None) -> Response | None:
        """Return the answer to who may not come in, None for who may."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return problem(400, "There must be exactly one Host header.")
        if not self._access.is_host(hosts[0]):
            return problem(403, f"This server is not called {hosts[0][:80]!r}. {self._access.remedy} adds a name.")
        is_bearer = any(value[:7].lower() == "bearer " for value in headers.getlist("authorization"))
        if (refusal := self._foreign(scope, headers, is_bearer=is_bearer)) is not None:
            return refusal
        if decision is None or decision.who != "anybody":
            refusal = await self._unknown(scope, headers, decision)
            if refusal is not None:
                return refusal
        return _misused(scope, headers, decision)

    def _decision(self, scope: Scope) -> Decision | None:
        """Return what is decided about exactly this path: no other spelling of it is there."""
        below = self._below(scope)
        decision = None if below is None else self._decisions.get(below)
        return decision if decision is not None and decision.kind == scope["type"] else None

    def _below(self, scope: Scope) -> str | None:
        """Return the path below the prefix; None where it lies beside it, or is spelled in another way."""
        path: str = scope["path"]
        raw = scope.get("raw_path") or path.encode("utf-8", "replace")
        root = scope.get("root_path", "")
        spelled = path.encode("utf-8", "replace")
        if not path.startswith(root + self._access.prefix) or raw not in (spelled, spelled[len(root.encode()) :]):
            return None
        return path[len(root) + len(self._access.prefix) :]

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
        return problem(
            403, f"This is sent by a page of another origin. {self._access.remedy} https://NAME adds a proxy's."
        )

    async def _unknown(self, scope: Scope, headers: Headers, decision: Decision | None) -> Response | None:
        """Refuse who has no right to this, by whatever it is that gives it."""
        if decision is not None and decision.who == "signature":
            asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            signatures = [value for name, value in asked if name == "signature"]
            if signatures:
                return self._unsigned(self._below(scope) or "", signatures, asked)
        if self._authorize is None:
            return self._unrecognized(scope, headers, decision)
        found = self._authorize(scope)
        if inspect.isawaitable(found):
            found = await found
        return None if found is True else problem(403, "The application that this is a part of does not let you in.")

    def _unsigned(self, path: str, signatures: list[str], asked: list[tuple[str, str]]) -> Response | None:
        """Refuse an address that was not signed here, for this path, or too long ago."""
        expiries = [value for name, value in asked if name == "expires"]
        is_number = len(expiries) == 1 and expiries[0].isascii() and expiries[0].isdigit()
        if len(signatures) == 1 and is_number and len(expiries[0]) <= _LONGEST_NUMBER:
            expires_s = int(expiries[0])
            if self._access.is_signature(signatures[0], path, expires_s):
                if self._now_s() < expires_s:
                    return None
                return problem(403, "This address has expired. Load the page again that shows it.")
        return problem(403, "This address was not made here, or is not whole. Load the page again that shows it.")

    def _unrecognized(self, scope: Scope, headers: Headers, decision: Decision | None) -> Response | None:
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
        cookies = _cookies(headers, self._access.cookie_at(_port(scope)))
        if any(self._access.is_session(value) for value in cookies):
            return None
        if cookies:
            return problem(403, f"This session is over: the server was started anew. {_LOG_IN}")
        return problem(401, f"A token is needed. {_LOG_IN}", {"www-authenticate": 'Bearer realm="drmviz"'})

    def _opened(self, scope: Scope, asked: list[tuple[str, str]]) -> Response:
        """Set the cookie, and go on to the clean address by a page.

        After a redirect that another site's link began browsers would not send a strict cookie.
        """
        root = "." if self._access.is_mounted else f"{scope.get('root_path', '')}{self._access.prefix}"
        url = f"{root}{self._below(scope)}" + (f"?{urlencode(asked)}" if asked else "")
        page = _OPENS.format(url=html.escape(url, quote=True), icon=html.escape(f"{root}/favicon.ico", quote=True))
        headers = {
            "set-cookie": self._access.set_cookie(port=_port(scope), secure=scope["scheme"] == "https"),
            "content-security-policy": f"{LOCKED_POLICY}; img-src 'self'",
        }
        return Response(page, 200, headers, media_type="text/html")


def _misused(scope: Scope, headers: Headers, decision: Decision | None) -> Response | None:
    if decision is None:
        return problem(404, "There is nothing here. /api/v1/openapi.json lists what there is.")
    if scope["type"] == "http":
        allowed = decision.methods
        if scope["method"] not in allowed:
            return problem(405, f"Only {', '.join(allowed)} is answered here.", {"allow": ", ".join(allowed)})
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        return problem(400, "Content-Length must be a number.")
    if int(length) > MOST_BODY_BYTES:
        return problem(413, f"At most {MOST_BODY_BYTES} bytes are taken.")
    return None


def _port(scope: Scope) -> int:
    """Return the port that a request came to; 0 where it came by another way."""
    server = scope.get("server")
    return server[1] or 0 if server else 0


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


def _secured(send: Send, *, without: tuple[str, ...] = ()) -> Send:
    """Add the headers that keep browsers safe to every answer that does not set them itself."""

    async def secured(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given} | {name.encode() for name in without}
            given += [(n.encode(), v.encode()) for n, v in _EVERYWHERE.items() if n.encode() not in names]
            message = {**message, "headers": given}
        await send(message)

    return secured

"""What an integration answers beside a dashboard: tabs, figures one by one, and the switch of the live server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import orjson
from starlette.responses import Response

from drmviz.dashboard import page
from drmviz.dashboard.guard import Decision
from drmviz.dashboard.problems import problem
from drmviz.dashboard.query import Parameter
from drmviz.dashboard.routes import ENDPOINTS, JSON, Dashboard, Endpoint
from drmviz.errors import RegistryError
from drmviz.integration.embedding import SANDBOX, message
from drmviz.integration.kinds import KINDS
from drmviz.registry import Registry

HTML = "text/html"
_FIGURE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:; "
    f"font-src data:; connect-src data:; base-uri 'none'; form-action 'none'; sandbox {SANDBOX}"
)
"""A written figure carries all that it needs in itself; in its sandbox it is of an origin of its own."""
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox"
_PAGES = ("/", "/drm-dashboard")
_LIVE = "/live"
_MEDIA_TYPES = {
    ".html": HTML,
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".json": JSON,
}
_PAGE = Decision(who="token", is_page=True, is_framed=True)
_FRAMED = Decision(who="token", is_framed=True)
_SIGNED = Decision(who="signature", is_framed=True)
_CHANGE = Decision(who="token", methods=("POST",))


class Switch(Protocol):
    """The live server of an integration, as its page sees it."""

    def start_dashboard_server(self, port: int | None = None) -> str:
        """Serve on a port of its own, and return the address."""

    def stop_dashboard_server(self) -> None:
        """End that."""

    def live_cookie(self) -> tuple[int, str] | None:
        """Return the port of the live server and the header that lets a browser in there; None while there is none."""


def tabs_policy(nonce: str, ancestors: Sequence[str]) -> str:
    """Return what the page of tabs may load and run, and who may frame it: this server's own pages, and these."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; frame-src 'self'; "
        f"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {_said(ancestors)}"
    )


def figure_endpoints(registry: Registry, ancestors: Sequence[str]) -> tuple[Endpoint, ...]:
    """Return one path for each figure, and one that a signed address leads to."""
    return (
        *(_figure(f"/figures/{type_}", type_, _FRAMED, (), registry, ancestors) for type_ in KINDS),
        *(_figure(f"/embed/{type_}", type_, _SIGNED, _SIGNATURE, registry, ancestors) for type_ in KINDS),
    )


def mounted_endpoints(
    registry: Registry, ancestors: Sequence[str], *, tabs: Callable[[str], str], switch: Switch | None
) -> tuple[Endpoint, ...]:
    """Return everything that is answered inside another application.

    Args:
        registry: where the figures are found.
        ancestors: origins that may show what is served here in their frames.
        tabs: makes the page of tabs, whose scripts and styles carry this nonce.
        switch: starts and stops the live server; None is nobody may.
    """

    def tabs_page(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        nonce = secrets.token_urlsafe(18)
        return Response(tabs(nonce), 200, {"content-security-policy": tabs_policy(nonce, ancestors)}, media_type=HTML)

    def live_page(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        return page.rendered(dashboard.fleet, dashboard.access.link_prefix)

    return (
        *(Endpoint(path=path, said="The tabs", decision=_PAGE, answer=tabs_page, media_type=HTML) for path in _PAGES),
        Endpoint(path=_LIVE, said="The dashboard", decision=Decision(who="token", is_page=True), answer=live_page,
                 media_type=HTML),
        *(endpoint for endpoint in ENDPOINTS if endpoint.path not in _PAGES),
        *figure_endpoints(registry, ancestors),
        *(() if switch is None else _switching(switch)),
    )  # fmt: skip


def _switching(switch: Switch) -> tuple[Endpoint, ...]:
    def running(headers: Mapping[str, str] | None = None) -> Response:
        found = switch.live_cookie()
        body = {"is_running": found is not None, "port": None if found is None else found[0]}
        return Response(orjson.dumps(body), 200, dict(headers or {}), media_type=JSON)

    def start(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        if switch.live_cookie() is None:
            switch.start_dashboard_server()
        return running()

    def stop(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        switch.stop_dashboard_server()
        return running()

    def open_(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        found = switch.live_cookie()
        if found is None:
            return problem(409, "The live server does not run. Start it first.")
        return running({"set-cookie": found[1]})

    return (
        Endpoint(path="/server/start", said="Start the live server", decision=_CHANGE, answer=start),
        Endpoint(path="/server/stop", said="Stop the live server", decision=_CHANGE, answer=stop),
        Endpoint(path="/server/open", said="Log in at the live server", decision=_CHANGE, answer=open_),
    )


def _figure(
    path: str,
    type_: str,
    decision: Decision,
    parameters: tuple[Parameter, ...],
    registry: Registry,
    ancestors: Sequence[str],
) -> Endpoint:
    def answer(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        title = KINDS[type_].title
        try:
            found = registry.found(type_)
        except RegistryError:
            return _shown(message(title, "Its file is not opened; the status says why."), HTML, 500, ancestors)
        if found is None:
            return _shown(message(title, "It has not been drawn yet."), HTML, 404, ancestors)
        entry, content = found
        media_type = _MEDIA_TYPES[PurePosixPath(entry.path).suffix.lower()]
        return _shown(content, media_type, 200, ancestors)

    said = f"{KINDS[type_].title}, as it was drawn last"
    return Endpoint(path=path, said=said, decision=decision, answer=answer, parameters=parameters, media_type=HTML)


def _shown(content: bytes | str, media_type: str, status: int, ancestors: Sequence[str]) -> Response:
    """Return a file under a policy of its own: it reaches nothing of this server, also where it is opened alone."""
    policy = _FIGURE_POLICY if media_type == HTML else _FILE_POLICY
    headers = {"content-security-policy": f"{policy}; frame-ancestors {_said(ancestors)}"}
    return Response(content, status, headers, media_type=media_type)


def _said(ancestors: Sequence[str]) -> str:
    return " ".join(("'self'", *ancestors))


def _text(name: str, text: str) -> str:
    return text


_SIGNATURE = (
    Parameter(
        name="expires", said="Until when the address is good, epoch seconds", schema={"type": "integer"}, read=_text
    ),
    Parameter(name="signature", said="What was signed", schema={"type": "string"}, read=_text),
)

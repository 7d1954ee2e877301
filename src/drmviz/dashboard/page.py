"""The dashboard as a page that is served: that of the one-file dashboard, under a policy without anything unsafe."""

from __future__ import annotations

import secrets
from importlib.resources import files

from starlette.responses import Response

from drmviz.dashboard.fleet import Fleet
from drmviz.model.metrics import METRICS
from drmviz.report import dashboard


def policy(nonce: str) -> str:
    """Return what the page may load and run: what came with it or from this server."""
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src-elem 'self' 'nonce-{nonce}'; "
        "style-src-attr 'none'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def rendered(fleet: Fleet, prefix: str) -> Response:
    """Draw the fleet as it is now.

    Raises:
        StoreError: the history cannot be read.
    """
    nonce = secrets.token_urlsafe(18)
    run = fleet.read(metrics=dashboard.NEEDS, means=dashboard.MEANS)
    if not any(run.is_measured(metric) for metric in dashboard.NEEDS[:3]):
        run = fleet.read(metrics=METRICS)  # reservations stand in
    text = dashboard.render(run, nonce=nonce, module=f"{prefix}/static/newer.js", icon=f"{prefix}/favicon.ico")
    return Response(text, 200, {"content-security-policy": policy(nonce)}, media_type="text/html")


def file(name: str, media_type: str) -> Response:
    """Return something that pages load."""
    content = files("drmviz.dashboard").joinpath("static", name).read_bytes()
    return Response(content, 200, {"cache-control": "no-cache"}, media_type=media_type)

"""The dashboard as a page that is served: painted at once, then taken over by its scripts, which nothing unsafe may."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import orjson
from markupsafe import Markup
from starlette.responses import Response

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.parts import COLUMNS, window
from drmviz.errors import MissingExtraError
from drmviz.figures.bundle import bundle_key, gzipped_bundle
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.page import loader_script
from drmviz.figures.providers import MOST, look_of
from drmviz.figures.resource_utilization_heatmap import fleet_events
from drmviz.figures.theme import THEMES, hexadecimal, ramp
from drmviz.model.run import Run
from drmviz.report import dashboard, live_page
from drmviz.report.overview import overview

SCRIPT, ICON = "text/javascript", "image/svg+xml"
SCRIPTS = (
    "page.js", "cells.js", "connection.js", "controls.js", "ending.js", "figures.js", "heatmap.js", "margins.js",
    "overview.js", "rows.js", "state.js", "text.js", "worker.js",
)  # fmt: skip
"""The modules of the page; the first one loads the others."""
LIVE_S = 300
"""What is shown at first where more is to come."""
_PLACES = tuple(map(str, range(MOST)))
_FOR_GOOD = {"cache-control": "private, max-age=31536000, immutable"}


def policy(nonce: str) -> str:
    """Return what the page may load and run: what came with it or from this server."""
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src-elem 'self' 'nonce-{nonce}'; "
        "style-src-attr 'none'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def rendered(fleet: Fleet, prefix: str, *, can_end: bool = False) -> Response:
    """Paint the fleet as it is now, without a figure: these come later; with a button to end it where that may be.

    Raises:
        StoreError: the history cannot be read.
    """
    nonce = secrets.token_urlsafe(18)
    is_live = fleet.is_being_written()
    run = window(fleet, {"last": LIVE_S if is_live else None}, columns=COLUMNS)
    facts = _facts(run, is_live=is_live, has_hub=fleet.hub is not None)
    text = live_page.render(run, overview(run), nonce=nonce, facts=facts, prefix=prefix, can_end=can_end)
    return Response(text, 200, {"content-security-policy": policy(nonce)}, media_type="text/html")


def _facts(run: Run, *, is_live: bool, has_hub: bool) -> Markup:
    """Return what the scripts must know beforehand, as JSON that nothing in it can leave."""
    facts: dict[str, Any] = {
        "is_live": is_live,
        "has_hub": has_hub,
        "range_s": LIVE_S if is_live else None,
        "events": [asdict(event) for event in fleet_events(run)],
        "metrics": METRIC_NAMES,
        "ramps": {name: "".join(hexadecimal(rgb)[1:] for rgb in ramp(name).tolist()) for name in THEMES},
        "colours": {name: [look_of(place, _PLACES, name).colour for place in (*_PLACES, None)] for name in THEMES},
        "signs": [look_of(place, _PLACES, "light").sign for place in (*_PLACES, None)],
        "plotly": _plotly_key(),
        "sections": list(dashboard.OUTLINES),
    }
    return Markup(orjson.dumps(facts).replace(b"<", b"\\u003c").decode())


def _plotly_key() -> str | None:
    try:
        return bundle_key()
    except MissingExtraError:
        return None


def file(name: str, media_type: str) -> Response:
    """Return something that pages load."""
    content = files("drmviz.dashboard").joinpath("static", name).read_bytes()
    return Response(content, 200, {"cache-control": "no-cache"}, media_type=media_type)


def drawing() -> Response:
    """Return the script that draws figures in their places: that of written files."""
    return Response(loader_script(), 200, {"cache-control": "no-cache"}, media_type=SCRIPT)


def plotly() -> Response:
    """Return Plotly as the installed package has it; every browser takes gzip.

    Raises:
        MissingExtraError: it is not installed.
    """
    return Response(gzipped_bundle(), 200, {"content-encoding": "gzip", **_FOR_GOOD}, media_type=SCRIPT)

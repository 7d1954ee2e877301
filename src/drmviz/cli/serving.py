"""Options of every verb that serves a page, and the page that is served while something is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from drmviz.cli.saying import say
from drmviz.errors import ServerError, UsageError

if TYPE_CHECKING:
    from drmviz.dashboard.listening import Serving
    from drmviz.recorder.underway import Begun, Underway

Host = Annotated[str, typer.Option(metavar="H", help="The address to serve the page on.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, metavar="N", help="And its port, 0 is any free one [default: 8889].")
]
UrlPrefix = Annotated[str, typer.Option(metavar="/P", help="Serve everything below this path.")]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host", metavar="NAME", help="Another name of this server, or https://NAME of a proxy before it."
    ),
]
Controls = Annotated[bool, typer.Option("--controls", help="Let who has the token end this, not only look on.")]
Certificate = Annotated[Path | None, typer.Option("--ssl-certfile", help="Certificate, PEM.")]
Key = Annotated[Path | None, typer.Option("--ssl-keyfile", help="Its key, PEM.")]
InsecureHttp = Annotated[bool, typer.Option("--insecure-http", help="Let other machines in without TLS.")]
NoDashboard = Annotated[bool, typer.Option("--no-dashboard", help="Serve no page.")]

_DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": None,
    "url_prefix": "",
    "allowed_hosts": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "insecure_http": False,
}
_NAMES = {"allowed_hosts": "--allowed-host"}


def serving_of(**options: Any) -> Serving:
    """Return where a page is served.

    Raises:
        UsageError: options that do not fit together.
    """
    from drmviz.dashboard.listening import DEFAULT_PORT, Serving

    given = {**options, "allowed_hosts": tuple(options["allowed_hosts"] or ())}
    return Serving(**{**given, "port": DEFAULT_PORT if given["port"] is None else given["port"]})


def serving_if(without: str, **options: Any) -> Serving | None:
    """Return where a page is served; None with `without`, the option that says that there is none.

    Raises:
        UsageError: options that do not fit together, or one of a page that there is not.
    """
    if not without:
        return serving_of(**options)
    for name, value in options.items():
        if value != _DEFAULTS[name]:
            option = _NAMES.get(name, "--" + name.replace("_", "-"))
            raise UsageError(f"{option} is about a page, and with {without} there is none. Leave one of them out.")
    return None


@contextmanager
def page_beside(
    serving: Serving | None, *, has_controls: bool, out: TextIO, may_move: bool = False
) -> Iterator[Begun | None]:
    """Hold the port and print the address; give what shows a recording there once it has begun.

    Without `serving` there is no page. With `may_move` another port is taken, and said, where this one is busy.

    Raises:
        ServerError: the port cannot be had.
    """
    if serving is None:
        yield None
        return
    from drmviz.dashboard.doorway import Doorway
    from drmviz.dashboard.fleet import Fleet

    try:
        doorway = Doorway(serving, has_controls=has_controls, tell=say)
    except ServerError:
        if not may_move:
            raise
        say(f"port {serving.port} is taken by another program, so the page has another one")
        doorway = Doorway(replace(serving, port=0), has_controls=has_controls, tell=say)

    def begun(underway: Underway) -> None:
        doorway.open(Fleet([underway.store], hub=underway.hub, statuses=underway.statuses, may_be_missing=True))

    try:
        _print(doorway.url, out)
        yield begun
    finally:
        doorway.close()


def _print(url: str, out: TextIO) -> None:
    try:
        print(url, file=out, flush=True)
    except OSError:  # nobody reads it
        say("the address of the page could not be printed")

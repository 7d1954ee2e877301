"""`drmviz watch`: a source, recorded until somebody ends it."""

from __future__ import annotations

import importlib
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drmviz.cli.arguments import labels_of
from drmviz.cli.ending import asked_to_end
from drmviz.cli.saying import say
from drmviz.cli.serving import (
    AllowedHosts,
    Certificate,
    Controls,
    Host,
    InsecureHttp,
    Key,
    NoDashboard,
    Port,
    UrlPrefix,
    page_beside,
    serving_if,
)
from drmviz.configuration import new_store_path, read_settings
from drmviz.errors import InvalidValueError, UsageError

if TYPE_CHECKING:
    from drmviz.sources.base import Source

_INTERVAL_S = 1.0
_REFUSALS = (
    ImportError,
    SyntaxError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    OSError,
    RuntimeError,
)
"""What a module that is imported, and a constructor, may raise."""


def watch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="local, dask://HOST:PORT, or module:Class of a source of your own.")
    ],
    store: Annotated[
        Path | None, typer.Option(help="File to record into; a new one in the data folder by default.")
    ] = None,
    interval: Annotated[str | None, typer.Option(metavar="S", help="Seconds between two samples [default: 1].")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the run; repeat for more.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_dashboard: NoDashboard = False,
    url_prefix: UrlPrefix = "",
    allowed_host: AllowedHosts = None,
    controls: Controls = False,
    ssl_certfile: Certificate = None,
    ssl_keyfile: Key = None,
    insecure_http: InsecureHttp = False,
) -> None:
    """Record a source until SIGINT or SIGTERM."""
    page = {
        "host": host,
        "port": port,
        "url_prefix": url_prefix,
        "allowed_hosts": allowed_host,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "insecure_http": insecure_http,
    }
    serving = serving_if("--no-dashboard" if no_dashboard else "", **page)
    settings = read_settings(options={"store": store, "interval": interval})
    labels = {**settings.labels, **labels_of(label)}
    with (
        asked_to_end() as is_over,
        page_beside(serving, has_controls=controls, out=sys.stdout) as begun,
    ):
        from drmviz.recorder import watching
        from drmviz.system import SystemClock

        run_id = uuid.uuid4().hex[:12]
        path = settings.store or new_store_path(time.time(), run_id)
        plan = watching.WatchPlan(
            store=path.absolute(),
            title=f"drmviz watch {source}",
            interval_s=settings.interval_s if "interval" in settings.origins else _INTERVAL_S,
            labels=labels,
            run_id=run_id,
        )
        watched = source_of(source)
        say(f"recording {source} into {path}; Ctrl-C ends it")
        done = watching.watch([watched], plan, clock=SystemClock(), wait=is_over.wait, begun=begun, tell=say)
    for remark in done.remarks:
        say(remark)
    workers = f"{done.workers} worker{'' if done.workers == 1 else 's'}"
    print(f"{done.ticks} tick{'' if done.ticks == 1 else 's'}, {workers} at the end: {path}")


def source_of(named: str) -> Source:
    """Return a new source of this name.

    Raises:
        UsageError: there is none.
    """
    if named == "local":
        from drmviz.sources.local_machine import LocalMachineSource

        return LocalMachineSource()
    if named.startswith("dask://"):
        from drmviz.sources.dask import DaskSource

        try:
            return DaskSource(named)
        except InvalidValueError as error:
            raise UsageError(f"SOURCE {named!r} cannot be watched: {error}.") from error
    module_name, separator, class_name = named.partition(":")
    if not separator or "/" in named or not class_name.isidentifier():
        raise UsageError(
            f"SOURCE {named!r} is not one that there is: local, dask://HOST:PORT, or module:Class of a source"
            " of your own."
        )
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: what lies in this folder can be named
    try:
        made = getattr(importlib.import_module(module_name), class_name)()
    except _REFUSALS as error:
        raise UsageError(
            f"SOURCE {named!r} cannot be made ({type(error).__name__}: {error}). It must be a class that takes no "
            "arguments, in a module that can be imported from here."
        ) from error
    if not isinstance(getattr(made, "name", None), str) or not callable(getattr(made, "read", None)):
        raise UsageError(f"SOURCE {named!r} is no source: it needs a name and read(now_s), which returns a Reading.")
    found: Source = made
    return found

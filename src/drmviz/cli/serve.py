"""`drmviz serve`: the dashboard over a recorded history, also while it is being written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drmviz.cli.arguments import Offsets, RunId, Stores, named_stores, offsets_of
from drmviz.cli.ending import asked_to_end
from drmviz.cli.saying import say


def serve(
    stores: Stores = None,
    host: Annotated[str, typer.Option(metavar="H", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 is any free one.")] = 8889,
    url_prefix: Annotated[str, typer.Option(metavar="/P", help="Serve everything below this path.")] = "",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, or https://NAME of a proxy before it."),
    ] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate, PEM.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Let other machines in without TLS.")] = False,
    run_id: RunId = None,
    offset: Offsets = None,
) -> None:
    """Serve the dashboard and the API of a recorded history until SIGINT or SIGTERM."""
    from drmviz.dashboard.fleet import Fleet
    from drmviz.dashboard.listening import Serving
    from drmviz.dashboard.server import DashboardServer

    serving = Serving(
        host=host,
        port=port,
        url_prefix=url_prefix,
        allowed_hosts=allowed_host or (),
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        insecure_http=insecure_http,
    )
    paths = named_stores(stores)
    fleet = Fleet([path.expanduser() for path in paths], run_id=run_id, offsets=offsets_of(offset))
    fleet.read(columns=1, metrics=())  # whoever named a wrong file or run wants to know now
    with asked_to_end() as is_over:
        server = DashboardServer(fleet, serving)
        try:
            print(server.start(), flush=True)
            say(f"serving {', '.join(str(path) for path in paths)}; Ctrl-C ends it")
            is_over.wait()
        finally:
            server.stop()

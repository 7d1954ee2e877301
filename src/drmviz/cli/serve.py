"""`drmviz serve`: the dashboard over a recorded history, also while it is being written."""

from __future__ import annotations

from drmviz.cli.arguments import Offsets, RunId, Stores, named_stores, offsets_of
from drmviz.cli.ending import asked_to_end
from drmviz.cli.saying import say
from drmviz.cli.serving import AllowedHosts, Certificate, Controls, Host, InsecureHttp, Key, Port, UrlPrefix, serving_of


def serve(
    stores: Stores = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    url_prefix: UrlPrefix = "",
    allowed_host: AllowedHosts = None,
    controls: Controls = False,
    ssl_certfile: Certificate = None,
    ssl_keyfile: Key = None,
    insecure_http: InsecureHttp = False,
    run_id: RunId = None,
    offset: Offsets = None,
) -> None:
    """Serve the dashboard and the API of a recorded history until SIGINT or SIGTERM."""
    from drmviz.dashboard.controls import CONTROLS
    from drmviz.dashboard.fleet import Fleet
    from drmviz.dashboard.routes import ENDPOINTS
    from drmviz.dashboard.server import DashboardServer

    serving = serving_of(
        host=host,
        port=port,
        url_prefix=url_prefix,
        allowed_hosts=allowed_host,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        insecure_http=insecure_http,
    )
    paths = named_stores(stores)
    fleet = Fleet([path.expanduser() for path in paths], run_id=run_id, offsets=offsets_of(offset))
    fleet.read(columns=1, metrics=())  # whoever named a wrong file or run wants to know now
    with asked_to_end() as is_over:
        server = DashboardServer(fleet, serving, endpoints=(*ENDPOINTS, *(CONTROLS if controls else ())))
        try:
            print(server.start(), flush=True)
            say(f"serving {', '.join(str(path) for path in paths)}; Ctrl-C ends it")
            is_over.wait()
        finally:
            server.stop()

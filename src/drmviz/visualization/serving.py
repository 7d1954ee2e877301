"""The dashboard server of a `DRMVisualization`: none, or one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from drmviz.errors import UsageError
from drmviz.visualization.collection import Collection

if TYPE_CHECKING:
    from drmviz.dashboard.server import DashboardServer


class Serving:
    """Starts and stops it; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: DashboardServer | None = None
        self._host = ""

    def start(self, store: Path, collection: Collection | None, *, host: str, port: int) -> str:
        """Serve what is recorded there, and what is collected right now; return the address to open.

        Raises:
            InvalidValueError, UsageError: the address makes no sense, or another one is served already.
            ServerError: the port cannot be had.
        """
        from drmviz.dashboard import server as serving  # on first use: most who draw pictures serve nothing
        from drmviz.dashboard.fleet import Fleet

        with self._lock:
            if self._server is not None:
                if host == self._host and port in (0, self._server.port):
                    return self._server.url
                raise UsageError(
                    f"The dashboard is served on port {self._server.port} already. Call stop_dashboard_server() first."
                )
            fleet = Fleet(
                [store],
                hub=None if collection is None else collection.hub,
                statuses=None if collection is None else lambda: collection.statuses,
                may_be_missing=True,
            )
            server = serving.DashboardServer(fleet, serving.Serving(host=host, port=port))
            url = server.start()
            self._server, self._host = server, host
            return url

    def stop(self) -> None:
        """End it, within two seconds."""
        with self._lock:
            server, self._server = self._server, None
            if server is not None:
                server.stop()

    def ask_to_stop(self) -> None:
        """Let it end soon, and wait for nothing: what a destructor calls."""
        server = self._server
        if server is not None:
            server.ask_to_stop()

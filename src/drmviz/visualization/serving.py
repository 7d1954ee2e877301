"""The dashboard server of a `DRMVisualization`: none, or one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Listening
from drmviz.dashboard.listening import Serving as Options
from drmviz.errors import UsageError
from drmviz.visualization.collection import Collection

if TYPE_CHECKING:
    from drmviz.dashboard.access import Access
    from drmviz.dashboard.routes import Endpoint
    from drmviz.dashboard.server import DashboardServer


def fleet_of(store: Path, collection: Collection | None) -> Fleet:
    """Return what a dashboard shows: what is recorded there, and what is collected right now."""
    return Fleet(
        [store],
        hub=None if collection is None else collection.hub,
        statuses=None if collection is None else lambda: collection.statuses,
        may_be_missing=True,
    )


class Serving:
    """Starts and stops it; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: DashboardServer | None = None
        self._host = ""

    @property
    def access(self) -> Access | None:
        """Who is let in; None while nothing is served."""
        server = self._server
        return None if server is None else server.access

    def start(
        self,
        fleet: Fleet,
        *,
        host: str,
        port: int | Listening,
        token: str | None = None,
        more: Sequence[Endpoint] = (),
    ) -> str:
        """Serve it, and return the address to open.

        A port that is held already is let go with the server. `token` lets in; a new one when None. `more` is answered
        beside what every dashboard answers.

        Raises:
            InvalidValueError, UsageError: the address makes no sense, or another one is served already.
            ServerError: the port cannot be had.
        """
        with self._lock:
            if self._server is not None:
                if host == self._host and not isinstance(port, Listening) and port in (0, self._server.port):
                    return self._server.url
                raise UsageError(
                    f"The dashboard is served on port {self._server.port} already. Call stop_dashboard_server() first."
                )
            listening = port if isinstance(port, Listening) else Listening(Options(host=host, port=port), token=token)
            from drmviz.dashboard.routes import ENDPOINTS  # on first use: most who draw pictures serve nothing
            from drmviz.dashboard.server import DashboardServer

            server = DashboardServer(fleet, listening, endpoints=(*ENDPOINTS, *more))
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

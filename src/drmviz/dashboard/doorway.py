"""A page beside something that is more important: until somebody looks at it, it is a port and a thread that sleeps."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Listening, Serving
from drmviz.errors import ServerError

if TYPE_CHECKING:
    from drmviz.dashboard.server import DashboardServer

_LOADING_S = 10.0


class Doorway:
    """Holds a port from the start; loads the server when the first visitor comes, who waits for it."""

    def __init__(
        self, serving: Serving, *, has_controls: bool = False, tell: Callable[[str], None] | None = None
    ) -> None:
        """Bind the port; nothing is answered there yet.

        `tell` gets a line when the page cannot be served after all.

        Raises:
            UsageError: an option makes no sense.
            ServerError: the address cannot be had.
        """
        self._listening = Listening(serving)
        self._has_controls = has_controls
        self._tell = tell
        self._server: DashboardServer | None = None
        self._thread: threading.Thread | None = None
        self._woken, self._wake = os.pipe()
        self._is_closed = False

    @property
    def url(self) -> str:
        """The address to open, token in it."""
        return self._listening.url

    @property
    def has_visitors(self) -> bool:
        """Whether anybody has come yet."""
        return self._server is not None

    def open(self, fleet: Fleet) -> None:
        """Show this one to whoever comes."""
        self._thread = threading.Thread(target=self._attend, args=(fleet,), name="drmviz-doorway", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more, within two seconds; calling it again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        os.write(self._wake, b".")
        if self._thread is not None:
            self._thread.join(_LOADING_S)
        if self._server is not None:
            self._server.stop()
        self._listening.close()
        os.close(self._wake)
        os.close(self._woken)

    def _attend(self, fleet: Fleet) -> None:
        visitor = select.poll()
        visitor.register(self._listening.socket, select.POLLIN)
        visitor.register(self._woken, select.POLLIN)
        visitor.poll()
        if self._is_closed:
            return
        try:
            from drmviz.dashboard.controls import CONTROLS
            from drmviz.dashboard.routes import ENDPOINTS
            from drmviz.dashboard.server import DashboardServer

            endpoints = (*ENDPOINTS, *CONTROLS) if self._has_controls else ENDPOINTS
            self._server = DashboardServer(fleet, self._listening, endpoints=endpoints)
            self._server.start()
        except (ServerError, ImportError) as error:
            if self._tell is not None:
                self._tell(f"the page cannot be served: {error}")

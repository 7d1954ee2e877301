"""The server of a dashboard: it runs in a thread, is held up by nobody, and ends in time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import uvicorn

from drmviz.dashboard.connections import PING_S, HttpConnection, Watch, WebSocketConnection, reset
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Listening, Serving
from drmviz.dashboard.routes import ENDPOINTS, Dashboard, Endpoint
from drmviz.dashboard.viewers import MOST_VIEWERS
from drmviz.errors import ServerError

WS_MAX_BYTES = 65_536
PATIENCE_S = 10.0
"""So long may a client take until its request has come, and take nothing of what is sent to it."""
_MOST_CONNECTIONS = 2_000
_STARTING_S = 10.0
_CUTTING_OFF_S = 0.4
_STOPPING_S = 1.2
_READING_S = 0.3
"""So long is waited for a window of history that is being read: nobody wants it any more."""
_KEEP_ALIVE_S = 15


class DashboardServer:
    """One dashboard on one port. `start` returns when it accepts; any thread may stop it."""

    def __init__(
        self,
        fleet: Fleet,
        serving: Serving | Listening | None = None,
        *,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        most_viewers: int = MOST_VIEWERS,
        endpoints: Sequence[Endpoint] = ENDPOINTS,
    ) -> None:
        """Bind the port, unless one is given that is held already: then `token` is its own.

        Raises:
            UsageError: an option makes no sense.
            ServerError: the address cannot be had.
        """
        self._listening = serving if isinstance(serving, Listening) else Listening(serving, token=token)
        self.access = self._listening.access
        self._dashboard = Dashboard(fleet, self.access, most_viewers=most_viewers, endpoints=endpoints)
        self._server = _Server(self._config(patience_s))
        self._thread = threading.Thread(target=self._run, name="drmviz-dashboard", daemon=True)
        self._lock = threading.Lock()
        self._is_stopped = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens."""
        return self._listening.address

    @property
    def port(self) -> int:
        return self.access.port

    @property
    def url(self) -> str:
        """The address to open, token in it."""
        return self._listening.url

    @property
    def viewers(self) -> int:
        """How many look on."""
        return self._dashboard.viewers.count

    def start(self) -> str:
        """Begin to accept, and return the address to open.

        Raises:
            ServerError: it did not start.
        """
        self._thread.start()
        if not self._server.is_accepting.wait(_STARTING_S) or not self._server.started:
            self.stop()
            raise ServerError(f"The server on port {self.port} did not start within {_STARTING_S:g} s. Try again.")
        return self.url

    def stop(self) -> None:
        """Stop within two seconds; calling it again does nothing."""
        with self._lock:
            if self._is_stopped:
                return
            self._is_stopped = True
            self._server.ask_to_stop()
            if self._thread.is_alive():
                self._thread.join(_STOPPING_S)
            if self._thread.is_alive():
                self._server.cut_off()
                self._thread.join(_CUTTING_OFF_S)
            self._dashboard.close(_READING_S)
            self._listening.close()

    def ask_to_stop(self) -> None:
        """Let it end soon, and wait for nothing."""
        self._server.ask_to_stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
                runner.run(self._server.serve(sockets=[self._listening.socket]))
        finally:
            self._server.is_accepting.set()  # also where it failed: nobody waits for nothing

    def _config(self, patience_s: float) -> _Config:
        tls = self._listening.tls
        return _Config(
            patience_s,
            self._dashboard,
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_max_size=WS_MAX_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            lifespan="off",
            log_config=None,
            access_log=False,  # it would hold the token of the first address
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )


class _Config(uvicorn.Config):
    def __init__(self, patience_s: float, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.patience_s = patience_s


class _Server(uvicorn.Server):
    """Tells when it accepts; leaves signals to whoever owns the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_accepting = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_asked = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.is_accepting.set()

    async def main_loop(self) -> None:
        """Wait to be asked to stop; each second the Date header of the answers is renewed."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._is_asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, cut off whoever takes nothing, and a second later whoever has still not taken all."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Watch) and connection.is_stalled:
                reset(connection.transport)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            reset(connection.transport)

    def ask_to_stop(self) -> None:
        """Let it end soon; any thread may, also before it began and after it ended."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it ended a moment ago
                self._loop.call_soon_threadsafe(self._is_asked.set)

    def cut_off(self) -> None:
        """End every request at once."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()

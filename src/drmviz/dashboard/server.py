"""The server of a dashboard: it runs in a thread, is held up by nobody, and ends in time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Listening, Serving
from drmviz.dashboard.routes import ENDPOINTS, Dashboard, Endpoint
from drmviz.dashboard.viewers import MOST_VIEWERS
from drmviz.errors import ServerError

WS_MAX_BYTES = 65_536
PATIENCE_S = 10.0
"""So long may a client take until its request has come, and take nothing of what is sent to it."""
_MOST_HEAD_BYTES = 65_536
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
            self._server.should_exit = True
            if self._thread.is_alive():
                self._thread.join(_STOPPING_S)
            if self._thread.is_alive():
                self._server.cut_off()
                self._thread.join(_CUTTING_OFF_S)
            self._dashboard.close(_READING_S)
            self._listening.close()

    def ask_to_stop(self) -> None:
        """Let it end soon, and wait for nothing."""
        self._server.should_exit = True

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
            http=_Http,
            ws=_Ws,
            ws_max_size=WS_MAX_BYTES,
            ws_per_message_deflate=False,
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.is_accepting.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, and cut off whoever has still not taken all a second later."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def cut_off(self) -> None:
        """End every request at once."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()


class _Watch:
    """Cuts a connection off whose client takes nothing of what is sent to it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    config: Any  # a _Config
    _stall: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        self._forget_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_stall()
        super().connection_lost(exc)  # type: ignore[misc]

    def _look_again(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.config.patience_s, self._look, waiting)

    def _look(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() >= waited:
            self.transport.abort()
        else:
            self._look_again()

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class _Http(_Watch, HttpToolsProtocol):
    """Ends a connection whose request does not come to its end in time."""

    _late: asyncio.TimerHandle | None = None
    _is_in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_request()

    def data_received(self, data: bytes) -> None:
        self._await_request()
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_request()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.cycle.keep_alive = False  # nothing that follows can be understood

    def on_message_complete(self) -> None:
        self._has_come()
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """Take a handshake for one where it is one: a GET without a body; else it is an ordinary wrong request."""
        is_plain = self.scope["method"] == "GET" and not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in self.headers
        )
        return is_plain and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        self._has_come()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_come()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.config.patience_s, self._end)

    def _has_come(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class _Ws(_Watch, WebSocketsSansIOProtocol):
    """Ends a handshake that does not come to its end in time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.config.patience_s, self._end)

    def _end(self) -> None:
        if not self.handshake_complete and not self.transport.is_closing():
            self.transport.abort()

"""The server of a dashboard: its socket is bound before anything else begins, it runs in a thread, and ends in time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from drmviz.dashboard.access import (
    Access,
    checked_prefix,
    chosen_token,
    hosts_and_origins,
    in_url,
    is_any_address,
    is_loopback,
)
from drmviz.dashboard.connections import PING_S, HttpConnection, Watch, WebSocketConnection, reset
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.routes import Dashboard
from drmviz.dashboard.viewers import MOST_VIEWERS
from drmviz.errors import InvalidValueError, ServerError, UsageError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a dashboard is served; checked before anything is opened."""

    host: str = "127.0.0.1"
    port: int = 8889
    """0 is any free one."""
    url_prefix: str = ""
    allowed_hosts: Sequence[str] = ()
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    insecure_http: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise InvalidValueError("port", self.port, "must be a whole number from 0 (any free one) to 65535")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None) and self.ssl_certfile is None:
            raise UsageError("--ssl-keyfile needs --ssl-certfile, the certificate that belongs to it.")
        if not is_loopback(self.host) and self.ssl_certfile is None and not self.insecure_http:
            raise UsageError(
                f"--host {self.host} is reached from other machines, and without TLS everybody on the way reads the "
                "token. Give --ssl-certfile and --ssl-keyfile, or --insecure-http where something else encrypts."
            )

    def tls(self) -> ssl.SSLContext | None:
        """Return what encrypts, None without a certificate.

        Raises:
            ServerError: it cannot be used.
        """
        if self.ssl_certfile is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except OSError as error:  # ssl.SSLError is one
            raise ServerError(
                f"The certificate {str(self.ssl_certfile)!r} cannot be used: {error.strerror or error}. "
                "Name a PEM file with --ssl-certfile, and its key with --ssl-keyfile."
            ) from error
        return context


class DashboardServer:
    """One dashboard on one port. `start` returns when it accepts; any thread may stop it."""

    def __init__(
        self,
        fleet: Fleet,
        serving: Serving | None = None,
        *,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        most_viewers: int = MOST_VIEWERS,
    ) -> None:
        """Bind the port.

        Raises:
            UsageError: an option makes no sense.
            ServerError: the address cannot be had.
        """
        serving = serving or Serving()
        hosts, origins = hosts_and_origins(serving.host, serving.allowed_hosts)
        prefix = checked_prefix(serving.url_prefix)
        self._tls = serving.tls()
        token = token or chosen_token()
        self._socket = _bound(serving.host, serving.port)
        self._host = serving.host
        self.access = Access(
            token=token, port=self._socket.getsockname()[1], hosts=hosts, origins=origins, prefix=prefix,
            secure=self._tls is not None,
        )  # fmt: skip
        self._dashboard = Dashboard(fleet, self.access, most_viewers=most_viewers)
        self._server = _Server(self._config(patience_s))
        self._thread = threading.Thread(target=self._run, name="drmviz-dashboard", daemon=True)
        self._lock = threading.Lock()
        self._is_stopped = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens."""
        bound = self._socket.getsockname()
        return bound[0], bound[1]

    @property
    def port(self) -> int:
        return self.access.port

    @property
    def url(self) -> str:
        """The address to open, token in it."""
        host = "127.0.0.1" if is_any_address(self._host) else self._host
        scheme = "https" if self.access.secure else "http"
        return f"{scheme}://{in_url(host)}:{self.port}{self.access.prefix}/?token={self.access.token}"

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
            self._socket.close()

    def ask_to_stop(self) -> None:
        """Let it end soon, and wait for nothing."""
        self._server.ask_to_stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
                runner.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._server.is_accepting.set()  # also where it failed: nobody waits for nothing

    def _config(self, patience_s: float) -> _Config:
        tls = self._tls
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


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ServerError: it cannot be had; the message names it.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServerError(
            f"--host {host!r} is no address of this machine ({error.strerror}). Name one, such as 127.0.0.1."
        ) from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ServerError(_why_not(host, port, error)) from error
    listening.setblocking(False)
    return listening


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (f"Port {port} of {host} is taken by another program. Name another one with --port, or --port 0 for any "
                "that is free.")  # fmt: skip
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} may not be used by this user. Name one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Name one with --host, such as 127.0.0.1."
    return f"Port {port} of {host} cannot be used: {os.strerror(error.errno or 0)}. Name another one with --port."

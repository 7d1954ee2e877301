"""The server of a dashboard: its socket is bound before anything else begins, it runs in a thread, and ends in time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from drmviz.dashboard.access import (
    Access,
    checked_prefix,
    chosen_token,
    hosts_and_origins,
    in_url,
    is_any_address,
    is_loopback,
)
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.routes import Dashboard
from drmviz.dashboard.viewers import MOST_VIEWERS
from drmviz.errors import InvalidValueError, ServerError, UsageError

WS_MAX_BYTES = 65_536
PATIENCE_S = 10.0
"""So long may a client take until its request has come, and take nothing of what is sent to it."""
_LEAST_TAKEN_BYTES = 16_384
"""Who takes less than that in the time of its patience drips."""
_MOST_HEAD_BYTES = 65_536
_MOST_CONNECTIONS = 2_000
_STARTING_S = 10.0
_CUTTING_OFF_S = 0.4
_STOPPING_S = 1.2
_READING_S = 0.3
"""So long is waited for a window of history that is being read: nobody wants it any more."""
_KEEP_ALIVE_S = 15
_PING_S = 10.0
"""So often is asked whether a viewer is still there, and so long is its answer waited for."""
_READ_BYTES = 4096
_MOST_WAITING = 64
"""Messages of one viewer that nobody has looked at yet."""
_MOST_FRAGMENTS = 64
_ON_THE_WAY_BYTES = 262_144
"""What the kernel may hold for one viewer: who is slow gets newer frames, who never reads takes little memory."""
_NO_LINGER = struct.pack("ii", 1, 0)


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
            http=_Http,
            ws=_Ws,
            ws_max_size=WS_MAX_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
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
            if isinstance(connection, _Watch) and connection.is_stalled:
                _reset(connection.transport)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            _reset(connection.transport)

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


class _Watch:
    """Cuts a connection off whose client takes nothing, or next to nothing, of what is sent to it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    config: Any  # a _Config
    _stall: asyncio.TimerHandle | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether more waits to be taken than is put on the way at once."""
        return self._stall is not None

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
        if self.transport.get_write_buffer_size() > waited - _LEAST_TAKEN_BYTES:
            _reset(self.transport)
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
            _reset(self.transport)


class _Ws(_Watch, WebSocketsSansIOProtocol):
    """Ends a handshake that does not come to its end in time; writes what is encoded already as it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ON_THE_WAY_BYTES)
        self.loop.call_later(self.config.patience_s, self._end)

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.close_sent and self.initial_response is None:
            raise ClientDisconnected  # uvicorn takes it for an error of the application that the two crossed
        encoded = message.get("drmviz.encoded")
        if encoded is None:
            await super().send(message)
        elif self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        else:
            self.transport.write(encoded)

    def data_received(self, data: bytes) -> None:
        """Read a little at a time: thousands of tiny messages never lie in memory at once."""
        for start in range(0, len(data), _READ_BYTES):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _READ_BYTES])

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; end the connection of who sends a text that is none, which uvicorn logs as its own error."""
        if self.queue.qsize() >= _MOST_WAITING:
            self._refuse(1008, f"{_MOST_WAITING} messages wait already")
        elif self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._refuse(1007, "this text is not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= _MOST_FRAGMENTS:
            self._refuse(1008, f"at most {_MOST_FRAGMENTS} fragments make one message")
        else:
            super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """Let go who answers no ping, unless it lies behind much that is still being taken."""
        if self.is_stalled:
            self.pong_timer = self.loop.call_later(_PING_S, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def handle_ping(self) -> None:
        """Answer, unless the client takes nothing: then only a later one is (RFC 6455, 5.5.3)."""
        output = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(output))

    def _refuse(self, code: int, why: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, why)
            self.handle_parser_exception()

    def _end(self) -> None:
        if not self.handshake_complete and not self.transport.is_closing():
            _reset(self.transport)


def _reset(transport: asyncio.Transport) -> None:
    """End a connection at once, and let the kernel forget what it holds for a client that takes nothing."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _is_text(parts: list[bytes]) -> bool:
    try:
        b"".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True


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

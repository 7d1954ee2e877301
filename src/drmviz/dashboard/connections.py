"""One connection each: who does not finish what it begins, takes nothing, floods or speaks nonsense is let go."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

_LEAST_TAKEN_BYTES = 16_384
"""Who takes less than that in the time of its patience drips."""
_MOST_HEAD_BYTES = 65_536
PING_S = 10.0
"""So often is asked whether a viewer is still there, and so long is its answer waited for."""
_READ_BYTES = 4096
_MOST_WAITING = 64
"""Messages of one viewer that nobody has looked at yet."""
_MOST_FRAGMENTS = 64
_ON_THE_WAY_BYTES = 262_144
"""What the kernel may hold for one viewer: who is slow gets newer frames, who never reads takes little memory."""
_NO_LINGER = struct.pack("ii", 1, 0)


class Watch:
    """Cuts a connection off whose client takes nothing, or next to nothing, of what is sent to it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    config: Any  # with `patience_s`
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
            reset(self.transport)
        else:
            self._look_again()

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class HttpConnection(Watch, HttpToolsProtocol):
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
            reset(self.transport)


class WebSocketConnection(Watch, WebSocketsSansIOProtocol):
    """Ends a handshake that does not come to its end in time; writes what is encoded already as it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ON_THE_WAY_BYTES)
        self.loop.call_later(self.config.patience_s, self._end)

    def shutdown(self) -> None:
        if self.handshake_complete and self.conn.state is not State.OPEN:  # it is leaving: uvicorn would fail at it
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.disconnected or self.transport.is_closing():
            raise ClientDisconnected  # uvicorn takes a message that crosses the end for an error of the application
        encoded = message.get("drmviz.encoded")
        if encoded is None:
            await super().send(message)
        else:
            self.transport.write(encoded)

    def data_received(self, data: bytes) -> None:
        """Read a little at a time: thousands of tiny messages never lie in memory at once."""
        for start in range(0, len(data), _READ_BYTES):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _READ_BYTES])

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; who sends a text that is none is let go, and not logged as an error of this program."""
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
            self.pong_timer = self.loop.call_later(PING_S, self.keepalive_timeout)
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
            reset(self.transport)


def reset(transport: asyncio.Transport) -> None:
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

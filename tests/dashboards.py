"""Dashboards that really listen, and clients that talk to them byte by byte where a library would not."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving
from drmviz.dashboard.server import PATIENCE_S, DashboardServer
from drmviz.dashboard.viewers import MOST_VIEWERS
from tests.fleets import START_S, KnownFleet, written

TOKEN = "0123456789abcdefghijABCDEFGHIJ-_"


def history(path: Path, *, ticks: int = 20, workers: Sequence[str] = ("w1", "w2")) -> KnownFleet:
    """Record a fleet of which every number is known."""
    known = KnownFleet()
    written(path, [known.tick(START_S + i, list(workers)) for i in range(ticks)], title="a <b>run</b>")
    return known


@contextmanager
def serving(
    fleet: Fleet, *, patience_s: float = PATIENCE_S, most_viewers: int = MOST_VIEWERS, **how: object
) -> Iterator[DashboardServer]:
    asked = Serving(**{"port": 0, **how})  # type: ignore[arg-type]
    server = DashboardServer(fleet, asked, token=TOKEN, patience_s=patience_s, most_viewers=most_viewers)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Reply:
    """What came back, read to the end of the connection."""

    status: int
    headers: dict[str, str]
    body: bytes


def raw(port: int, request: bytes, *, patience_s: float = 10.0) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        parts = []
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                parts.append(part)
        except (ConnectionResetError, BrokenPipeError):
            pass
    return b"".join(parts)


def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    host: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Reply:
    """Ask exactly this path: nothing of it is tidied up on the way, as HTTP libraries do."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", "Connection: close"]
    if not any(name.lower() == "connection" for name, _ in headers):
        lines += [f"{name}: {value}" for name, value in headers]
    else:
        lines = lines[:2] + [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    answer = raw(port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    named = (line.partition(":") for line in rest)
    return Reply(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in named}, content)


HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again until it is, for 20 s at most."""
    deadline_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline_s
        select.select([], [], [], 0.01)

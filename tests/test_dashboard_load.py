"""Many viewers, stalled ones and hostile ones: what the server promises of its cost, its memory and its end."""

from __future__ import annotations

import logging
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import fanout
from benchmarks.fanout import Crowd, Served, never_reading, served, settled
from benchmarks.fanout_server import TOKEN as SERVED_TOKEN
from drmviz.dashboard.connections import WebSocketConnection
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub
from drmviz.model.run import RunHeader
from tests.dashboards import HANDSHAKE, TOKEN, ask, history, serving, wait_until
from tests.fleets import START_S, KnownFleet

SLACK = 1.3
MIB = 2**20
BEARER = ("Authorization", f"Bearer {TOKEN}")
MASK = b"\x01\x02\x03\x04"
TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9


# cost


def test_a_frame_costs_no_more_than_so_many_times_a_plain_write_of_it() -> None:
    ours, plain = fanout.run(fanout.cpu_in_turn(("drmviz", 100), ("streams", 100), rounds=5, ticks=20))

    print(f"{ours * 1e6:.1f} us CPU per frame, plain streams {plain * 1e6:.1f}")
    assert ours / plain <= 1.2 * 2.5


def test_who_is_there_is_encoded_once_and_not_for_each_viewer_anew() -> None:
    many, few = fanout.run(fanout.cpu_in_turn(("churn", 60), ("churn", 2), rounds=3, ticks=10))

    assert many * 60 <= SLACK * 10 * few * 2, "30 times the viewers took as much as 30 encodings"


def test_a_viewer_takes_little_memory() -> None:
    ours = fanout.run(fanout.bytes_per_viewer("drmviz", 250))

    print(f"{ours / 1024:.1f} KiB per viewer")
    assert ours <= SLACK * 40 * 1024


async def _beside(stalled: int) -> tuple[int, int, float]:
    """Return what 20 viewers lack of 150 ticks, the bytes that the server grew by, and the seconds it took to end."""
    with served("drmviz") as server:
        crowd = Crowd()
        await settled(server, crowd, 20)
        before = server.state()["rss_bytes"]
        stuck = [never_reading(server.port) for _ in range(stalled)]
        taken = crowd.taken
        for _ in range(150):
            server.tick()
            await crowd.until(crowd.taken + 20)
        grown = server.state()["rss_bytes"] - before
        assert server.state()["viewers"] == 20 + stalled
        lacking = 150 * 20 - (crowd.taken - taken)
        stopped_s = server.stop()
        for each in stuck:
            each.close()
    return lacking, grown, stopped_s


def test_who_never_reads_takes_no_frame_from_the_others_and_does_not_hold_up_the_end() -> None:
    lacking, grown, stopped_s = fanout.run(_beside(stalled=100))

    print(f"grown by {grown / MIB:.1f} MiB, stopped in {stopped_s:.2f} s")
    assert lacking == 0
    assert grown <= 30 * MIB  # the frames on the way to 100 that take none
    assert stopped_s < 2.0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_minute_of_viewers_that_never_read_changes_nothing_for_the_others() -> None:
    found = fanout.run(fanout.beside_stalled(seconds=60.0))

    print(found)
    assert found.share >= 0.98 * found.share_alone
    assert found.after_bytes <= 1.1 * found.before_bytes
    assert found.cut_off >= 10
    assert found.stopped_s < 2.0


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["fanout_cpu", "fanout_churn", "viewer_memory"])
def test_the_rows_of_the_benchmarks_hold(name: str) -> None:
    row = getattr(fanout, name)(0, 0)

    print(row)
    assert row.ratio <= SLACK * row.target, row
    assert row.limit is None or row.ours <= SLACK * row.limit, row


# abuse


def masked(opcode: int, content: bytes, *, is_last: bool = True, size: int | None = None) -> bytes:
    """Return one frame as a client sends it; `size` is what its head says where that is not true."""
    size = len(content) if size is None else size
    first = opcode | (0x80 if is_last else 0)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(content))


def looking_on(port: int, *, token: str = TOKEN) -> socket.socket:
    """Return a connection on which the handshake has been done."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    lines = [f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}", f"Authorization: Bearer {token}"]
    lines += [f"{name}: {value}" for name, value in HANDSHAKE]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return connection


def code_of_close(connection: socket.socket) -> int | None:
    """Read to the end; return the code of the close frame, None where it ended without one."""

    def exactly(count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = connection.recv(min(count - len(content), 1 << 16))
            if not part:
                raise EOFError
            content += part
        return content

    try:
        while True:
            first, size = exactly(2)
            size = {126: lambda: struct.unpack("!H", exactly(2))[0],
                    127: lambda: struct.unpack("!Q", exactly(8))[0]}.get(size, lambda size=size: size)()  # fmt: skip
            content = exactly(size)
            if first & 0x0F == CLOSE:
                return int.from_bytes(content[:2], "big") if content else None
    except (EOFError, ConnectionError):
        return None


@pytest.fixture(scope="module")
def apart() -> Iterator[Served]:
    """A server in a process of its own, whose memory can be looked at."""
    with served("drmviz") as server:
        yield server


def hundred_megabytes(connection: socket.socket) -> None:
    connection.sendall(masked(BINARY, b"", size=100_000_000))
    part = b"x" * 65_536
    for _ in range(100_000_000 // len(part)):
        connection.sendall(part)


def tiny_messages(connection: socket.socket) -> None:
    connection.sendall(masked(TEXT, b'{"after": 9007199254740991}') * 10_000)


def tiny_pings(connection: socket.socket) -> None:
    connection.sendall(masked(PING, b"p" * 125) * 100_000)


def endless_fragments(connection: socket.socket) -> None:
    connection.sendall(masked(TEXT, b"", is_last=False))
    for _ in range(100):
        connection.sendall(masked(0, b"", is_last=False) * 1000)


def nonsense(connection: socket.socket) -> None:
    connection.sendall(masked(TEXT, b"?") * 100_000)


@pytest.mark.parametrize(
    ("abuse", "code"),
    [(hundred_megabytes, 1009), (tiny_messages, 1008), (tiny_pings, None), (endless_fragments, 1008), (nonsense, 1008)],
)
def test_a_flood_moves_no_memory_and_nobody_else(
    apart: Served, abuse: Callable[[socket.socket], None], code: int | None
) -> None:
    for _ in range(3):
        with looking_on(apart.port, token=SERVED_TOKEN) as first:
            first.recv(1 << 20)
    before = apart.state()["rss_bytes"]
    for _ in range(2):
        with looking_on(apart.port, token=SERVED_TOKEN) as connection:
            try:
                abuse(connection)
                if code is None:
                    connection.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass  # cut off in the middle of it
            found = code_of_close(connection)
            assert found in (code, None)  # a reset may overtake the close frame
    grown = apart.state()["rss_bytes"] - before

    print(f"{abuse.__name__}: {grown / MIB:+.2f} MiB")
    assert grown <= 2 * MIB
    with looking_on(apart.port, token=SERVED_TOKEN) as healthy:
        assert healthy.recv(2)[:1] == b"\x81"


MALFORMED = {
    "not masked": (b"\x81\x02{}", 1002),
    "reserved bit": (b"\xc1" + masked(TEXT, b"{}")[1:], 1002),
    "reserved opcode": (masked(0x3, b"{}"), 1002),
    "reserved control opcode": (masked(0xB, b""), 1002),
    "long ping": (masked(PING, b"x" * 126), 1002),
    "ping in fragments": (masked(PING, b"x", is_last=False), 1002),
    "text that is none": (masked(TEXT, b"\xff\xfe"), 1007),
    "text cut in a character": (masked(TEXT, b"\xc3", is_last=False) + masked(0, b"(", is_last=True), 1007),
    "two texts that are none": (masked(TEXT, b"\xff") * 2, 1007),
    "continuation of nothing": (masked(0, b"x"), 1002),
    "message within a message": (masked(TEXT, b"{", is_last=False) + masked(TEXT, b"}"), 1002),
    "close of one byte": (masked(CLOSE, b"\x03"), 1002),
    "close with a reserved code": (masked(CLOSE, b"\x03\xed"), 1002),
    "close whose reason is no text": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "a size beyond 63 bits": (b"\x82\xff" + b"\xff" * 8 + MASK, None),
    "endless fragments": (masked(TEXT, b"", is_last=False) + masked(0, b"", is_last=False) * 1000, 1008),
    "large in fragments": (
        masked(TEXT, b" " * 60_000, is_last=False) + masked(0, b" " * 60_000, is_last=True), 1009),
}  # fmt: skip


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    path = tmp_path_factory.mktemp("load") / "h.drmviz"
    history(path)
    with serving(Fleet([path])) as server:
        yield server


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_frame_ends_its_connection_and_leaves_no_traceback(
    dashboard: DashboardServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, code = MALFORMED[kind]
    for _ in range(3):
        with looking_on(dashboard.port) as connection:
            connection.sendall(sent)
            found = code_of_close(connection)
            assert code is None or found == code

    assert ask(dashboard.port, "/healthz").status == 200
    wait_until(lambda: dashboard.viewers == 0)
    assert tracebacks(caplog) == []


def test_frames_of_chance_leave_no_traceback(dashboard: DashboardServer, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20260321)
    for number in range(200):
        content = chance.randbytes(chance.randrange(1, 200))
        sent = content if number % 2 else masked(chance.randrange(16), content, is_last=chance.random() < 0.5)
        with looking_on(dashboard.port) as connection:
            connection.sendall(sent)
            if number % 3:
                connection.shutdown(socket.SHUT_WR)
                code_of_close(connection)

    assert ask(dashboard.port, "/healthz").status == 200
    wait_until(lambda: dashboard.viewers == 0)
    assert tracebacks(caplog) == []


def test_a_tick_that_crosses_the_end_of_a_viewer_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0))
    known, names = KnownFleet(), [f"w{i}" for i in range(100)]

    def tick() -> None:
        hub.add(known.tick(START_S + hub.ticks, names))

    tick()
    with serving(Fleet([tmp_path / "none"], hub=hub)) as server, never_reading(server.port, token=TOKEN) as stuck:
        wait_until(lambda: server.viewers == 1)
        (connection,) = cast("set[Any]", server._server.server_state.connections)
        assert isinstance(connection, WebSocketConnection)
        while not connection.transport.get_write_buffer_size():
            tick()
            select.select([], [], [], 0.002)
        connection.loop.call_soon_threadsafe(connection.keepalive_timeout)
        wait_until(lambda: connection.transport.is_closing())
        tick()  # something waits for the viewer still, so its end has not come yet
        select.select([], [], [], 0.1)
        stuck.close()
        wait_until(lambda: server.viewers == 0)

    assert tracebacks(caplog) == []


@pytest.mark.long
def test_twenty_connections_that_drip_are_closed_within_25_s(apart: Served) -> None:
    """Four each: letters of a request, of a body, of a handshake; of a frame; and one that reads letter by letter."""
    request = b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    body = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
    upgrade = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Slow: "
    drips = []
    before = apart.state()["rss_bytes"]
    for _ in range(4):
        for begun in (request, body, upgrade):
            connection = socket.create_connection(("127.0.0.1", apart.port))
            connection.sendall(begun)
            drips.append(connection)
        writing = looking_on(apart.port, token=SERVED_TOKEN)
        writing.sendall(masked(TEXT, b"", size=1000))
        drips += [writing, never_reading(apart.port)]
    begun_s = time.monotonic()
    highest = before
    is_open = dict.fromkeys(range(20), True)
    while any(is_open.values()):
        assert time.monotonic() - begun_s < 25, f"still open: {[place for place in is_open if is_open[place]]}"
        apart.tick()
        for place in [place for place in is_open if is_open[place]]:
            is_open[place] = _drip(drips[place], reads_on=place % 5 == 3)
        highest = max(highest, apart.state()["rss_bytes"])
        select.select([], [], [], 0.2)
    print(f"closed after {time.monotonic() - begun_s:.1f} s, {(highest - before) / MIB:+.2f} MiB")

    for each in drips:
        each.close()
    assert highest - before <= 8 * MIB


def _drip(connection: socket.socket, *, reads_on: bool) -> bool:
    """Send a letter and take one; return whether the server still listens."""
    try:
        connection.setblocking(False)
        connection.send(b"x")
        return connection.recv(1 << 20 if reads_on else 1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False

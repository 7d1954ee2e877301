"""What it costs to show one fleet to many viewers: the dashboard beside asyncio streams that write the same frames."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import uvloop

from benchmarks.fanout_server import TOKEN
from benchmarks.rows import Row

VIEWERS = 100
_WAIT_S = 60.0
_PER_S = 20.0
_BINARY, _PING, _PONG = 0x2, 0x9, 0xA
_HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)
Found = TypeVar("Found")


def fanout_cpu(workers: int, count: int) -> Row:
    """CPU microseconds of the server for each frame of 40 kB that one of 100 viewers takes."""
    del workers, count  # the frame decides
    ours, plain = run(cpu_in_turn(("drmviz", VIEWERS), ("streams", VIEWERS), rounds=9, ticks=50))
    return Row(
        name="fanout_cpu",
        ours=ours * 1e6,
        baseline=plain * 1e6,
        unit="CPU us per frame",
        target=2.5,
        baseline_is="asyncio streams on uvloop that write the same frames, encoded once, to 100 sockets",
    )


def fanout_churn(workers: int, count: int) -> Row:
    """CPU milliseconds of the server for a tick in which somebody joins and leaves, 100 viewers against 10."""
    del workers, count
    ours, plain = run(cpu_in_turn(("churn", VIEWERS), ("churn", VIEWERS // 10), rounds=9, ticks=20))
    return Row(
        name="fanout_churn",
        ours=ours * VIEWERS * 1e3,
        baseline=plain * (VIEWERS // 10) * 1e3,
        unit="CPU ms per tick",
        target=10.0,
        baseline_is="the same ticks shown to 10 viewers: who is there must be told once, not to each anew",
    )


def fanout_stalled(workers: int, count: int) -> Row:
    """Ticks for each frame that 90 viewers take beside 10 that never read, against those 90 alone."""
    del workers, count
    found = run(beside_stalled(seconds=60.0))
    return Row(
        name="fanout_stalled",
        ours=1 / found.share,
        baseline=1 / found.share_alone,
        unit="ticks per frame",
        target=1 / 0.98,
        baseline_is=f"the same 90 viewers at {_PER_S:g} ticks/s with nobody stalled",
    )


def fanout_memory(workers: int, count: int) -> Row:
    """Resident MiB of the server after a minute of 10 viewers that never read and come back when they are cut off."""
    del workers, count
    found = run(beside_stalled(seconds=60.0))
    return Row(
        name="fanout_memory",
        ours=found.after_bytes / 2**20,
        baseline=found.before_bytes / 2**20,
        unit="MiB",
        target=1.1,
        baseline_is="the same server with the 90 that read, before the 10 came",
    )


def viewer_memory(workers: int, count: int) -> Row:
    """Resident KiB of the server for each of 1,000 viewers that have all taken a frame."""
    del workers, count
    ours, plain = (run(bytes_per_viewer(side, 1000)) for side in ("drmviz", "streams"))
    return Row(
        name="viewer_memory",
        ours=ours / 1024,
        baseline=plain / 1024,
        unit="KiB per viewer",
        target=10.0,
        limit=40.0,
        baseline_is="asyncio streams on uvloop with as many sockets",
    )


def run(measured: Coroutine[Any, Any, Found]) -> Found:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured)


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port: int = self._answer()["port"]

    def tick(self) -> None:
        self._write("tick\n")

    def state(self) -> dict[str, Any]:
        self._write("state\n")
        return self._answer()

    def stop(self) -> float:
        """Return how many seconds the server took to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        took_s: float = self._answer()["stopped_s"]
        return took_s

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def served(side: str) -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fanout_server", side],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Served(process)
        finally:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
            try:
                process.wait(_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


class Viewer(asyncio.BufferedProtocol):
    """Counts the binary frames that come, and answers pings; it looks at nothing else."""

    _buffer = bytearray(1 << 20)  # one for all: what lies in it is read at once

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._head = b""
        self._is_greeted = False
        self._left = 0
        self._opcode = 0
        self._asked = b""
        self.frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        port = transport.get_extra_info("peername")[1]
        self.transport.write(_HANDSHAKE.format(port=port, token=TOKEN).encode())

    def connection_lost(self, error: Exception | None) -> None:
        self._crowd.lost += 1

    def get_buffer(self, _: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        place = 0
        while place < count:
            if self._left:
                taken = min(self._left, count - place)
                if self._opcode == _PING:
                    self._asked += self._buffer[place : place + taken]
                self._left -= taken
                place += taken
                if not self._left:
                    self._took()
                continue
            self._head += self._buffer[place : place + 1]
            place += 1
            self._read_head()

    def _read_head(self) -> None:
        head = self._head
        if not self._is_greeted:
            if head.endswith(b"\r\n\r\n"):
                assert head.startswith(b"HTTP/1.1 101 "), head
                self._is_greeted, self._head = True, b""
            return
        if len(head) < 2 or len(head) < (size := {126: 4, 127: 10}.get(head[1], 2)):
            return
        self._left = head[1] if size == 2 else int.from_bytes(head[2:], "big")
        self._opcode = head[0] & 0x0F
        self._head = b""

    def _took(self) -> None:
        if self._opcode == _BINARY:
            self.frames += 1
            self._crowd.took_one()
        elif self._opcode == _PING:  # answered with a mask of zeros, which changes nothing
            self.transport.write(bytes((0x80 | _PONG, 0x80 | len(self._asked), 0, 0, 0, 0)) + self._asked)
            self._asked = b""


class Crowd:
    """Viewers in this process; `taken` counts the frames of all of them."""

    def __init__(self) -> None:
        self.viewers: list[Viewer] = []
        self.taken = 0
        self.lost = 0
        self._goal = 0
        self._reached = asyncio.Event()

    async def come(self, port: int, many: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(many):
            _, viewer = await loop.create_connection(lambda: Viewer(self), "127.0.0.1", port)
            self.viewers.append(viewer)

    def leave(self) -> None:
        for viewer in self.viewers:
            viewer.transport.abort()
        self.viewers.clear()

    def took_one(self) -> None:
        self.taken += 1
        if self.taken >= self._goal:
            self._reached.set()

    async def until(self, taken: int) -> None:
        """Wait until so many frames have come.

        Raises:
            TimeoutError: they did not come.
        """
        self._goal = taken
        self._reached.clear()
        if self.taken < taken:
            async with asyncio.timeout(_WAIT_S):
                await self._reached.wait()


async def settled(server: Served, crowd: Crowd, many: int) -> None:
    """Let so many more come, and wait until each has taken a frame and nothing is under way any more."""
    await crowd.come(server.port, many)
    async with asyncio.timeout(_WAIT_S):
        while server.state()["viewers"] < len(crowd.viewers):
            await asyncio.sleep(0.02)
        server.tick()
        before = -1
        while crowd.taken > before or not all(viewer.frames for viewer in crowd.viewers):
            before = crowd.taken
            await asyncio.sleep(0.3)


async def cpu_in_turn(*sides: tuple[str, int], rounds: int, ticks: int) -> list[float]:
    """Return the median CPU seconds of each server for one frame of one viewer, who all take every tick.

    The next tick is sent when everybody has the last one, so nothing is left out and no clock is looked at.
    """
    taken: list[list[float]] = [[] for _ in sides]
    with ExitStack() as open_:
        pairs = []
        for side, many in sides:
            server, crowd = open_.enter_context(served(side)), Crowd()
            open_.callback(crowd.leave)
            await settled(server, crowd, many)
            pairs.append((server, crowd, many))
        for round_ in range(rounds + 1):
            for (server, crowd, many), measured in zip(pairs, taken, strict=True):
                begun_s = server.state()["cpu_s"]
                for _ in range(ticks):
                    server.tick()
                    await crowd.until(crowd.taken + many)
                if round_:
                    measured.append((server.state()["cpu_s"] - begun_s) / (ticks * many))
    return [statistics.median(each) for each in taken]


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideStalled:
    """What 90 viewers had beside 10 that never read."""

    share_alone: float
    """Frames taken of ticks sent, without the 10."""
    share: float
    before_bytes: int
    after_bytes: int
    cut_off: int
    """How many of those that never read the server let go."""
    stopped_s: float


async def beside_stalled(*, seconds: float, healthy: int = 90, stalled: int = 10) -> BesideStalled:
    """Show ticks for so long to viewers of which some never read; who is cut off comes back at once."""
    with served("drmviz") as server:
        crowd = Crowd()
        await settled(server, crowd, healthy)
        alone, _ = await _paced(server, crowd, seconds / 4, [])
        before = server.state()
        stuck = [never_reading(server.port) for _ in range(stalled)]
        share, cut_off = await _paced(server, crowd, seconds, stuck)
        after = server.state()
        if crowd.lost:
            raise RuntimeError(f"{crowd.lost} viewers that read were cut off")
        stopped_s = server.stop()
        for each in stuck:
            each.close()
        crowd.leave()
    return BesideStalled(
        share_alone=alone, share=share, before_bytes=before["rss_bytes"], after_bytes=after["rss_bytes"],
        cut_off=cut_off, stopped_s=stopped_s,
    )  # fmt: skip


async def _paced(server: Served, crowd: Crowd, seconds: float, stuck: list[socket.socket]) -> tuple[float, int]:
    """Return the share of all frames that came, and how many stuck ones were replaced."""
    loop = asyncio.get_running_loop()
    many, before, cut_off = round(seconds * _PER_S), crowd.taken, 0
    begun_s = loop.time()
    for number in range(many):
        server.tick()
        for place, each in enumerate(stuck):
            if _is_over(each):
                each.close()
                stuck[place] = never_reading(server.port)
                cut_off += 1
        await asyncio.sleep(max(0.0, begun_s + (number + 1) / _PER_S - loop.time()))
    await asyncio.sleep(0.5)
    return (crowd.taken - before) / (many * len(crowd.viewers)), cut_off


def never_reading(port: int, *, token: str = TOKEN) -> socket.socket:
    """Return a viewer that takes no byte more than the kernel takes for it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(_HANDSHAKE.format(port=port, token=token).encode())
    return connection


def _is_over(connection: socket.socket) -> bool:
    """Tell whether the server has cut it off: a reset shows without reading what came before it."""
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


async def bytes_per_viewer(side: str, many: int) -> float:
    with served(side) as server:
        crowd = Crowd()
        await settled(server, crowd, 5)
        before = server.state()
        await settled(server, crowd, many - 5)
        after = server.state()
        crowd.leave()
    return float(after["rss_bytes"] - before["rss_bytes"]) / many

"""The serving half of the fan-out benchmarks, in a process of its own so that CPU and memory are the server's alone.

`python -m benchmarks.fanout_server drmviz|churn|streams` prints its port, sends one more tick for each line `tick`,
answers `state` with what it took so far, and ends with its input, saying how long that took.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.fleet import entries, samples, ticks
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.frames import frame
from drmviz.dashboard.listening import Serving
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub, LiveTick
from drmviz.model.roster import RosterTracker
from drmviz.model.run import RunHeader
from drmviz.model.samples import Reading, Tick

TOKEN = "benchmark-benchmark-benchmark-0"
WORKERS = 1_250
"""Times 8 metrics of 4 bytes: frames of 40 kB."""
_HELD = 600
"""Ticks that the hub keeps: it is full before anything is measured."""
_START_S = 1_790_000_000.0
_CHURNED = 260
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def steady(workers: int = WORKERS) -> Iterator[Tick]:
    """Yield ticks without end, one second apart, all of the same workers; their arrays are used again."""
    known = list(ticks(workers, 40, started_at_s=_START_S))
    for number in count():
        like, at_s = known[number % len(known)], _START_S + number
        yield replace(like, at_s=at_s, wall_s=at_s, came=like.came if number == 0 else (), decisions=(), cloud=())


def churning(workers: int = WORKERS) -> Iterator[Tick]:
    """Yield ticks in which one worker joins and one leaves each time."""
    tracker, everybody = RosterTracker(), entries(workers + _CHURNED)
    made = []
    for number, values in enumerate(samples(workers, _CHURNED)):
        at_s = _START_S + number
        reading = Reading(taken_at_s=at_s, entries=everybody[number : number + workers], values=values)
        made.append(tracker.observe([reading], at_s=at_s, wall_s=at_s))
    yield from made


class Dashboard:
    """The server of drmviz over a hub that is fed by hand."""

    def __init__(self, source: Iterator[Tick], *, held: int = _HELD) -> None:
        self._ticks = source
        header = RunHeader(id="0123456789ab", title="fan-out", started_at_s=_START_S, interval_s=1.0)
        self._hub = Hub(header, kept_s=held)
        for _ in range(held):
            self.tick()
        fleet = Fleet([Path(tempfile.gettempdir(), "no-history-here")], hub=self._hub)
        self._server = DashboardServer(fleet, Serving(port=0), token=TOKEN)
        self._server.start()
        self.port = self._server.port

    def tick(self) -> None:
        self._hub.add(next(self._ticks))

    @property
    def viewers(self) -> int:
        return self._server.viewers

    def stop(self) -> None:
        self._server.stop()


class Streams:
    """The least that does it: asyncio streams, each frame encoded once and written to everybody."""

    def __init__(self, source: Iterator[Tick]) -> None:
        self._ticks = source
        self._numbers = count()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._is_up.wait()

    def tick(self) -> None:
        content = frame(LiveTick(next(self._numbers), next(self._ticks)))
        head = struct.pack("!BBH", 0x82, 126, len(content))
        asyncio.run_coroutine_threadsafe(self._write(head + content), self._loop).result()

    @property
    def viewers(self) -> int:
        return len(self._writers)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        await self._end.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        (key,) = [line.partition(b": ")[2] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")]
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
        self._writers.add(writer)
        with suppress(ConnectionError):
            await reader.read()
        self._writers.discard(writer)
        writer.close()

    async def _write(self, content: bytes) -> None:
        for writer in self._writers:
            writer.write(content)
        for writer in self._writers:
            await writer.drain()


SIDES: dict[str, Callable[[], Dashboard | Streams]] = {
    "drmviz": lambda: Dashboard(steady()),
    "churn": lambda: Dashboard(churning(), held=20),
    "streams": lambda: Streams(steady()),
}


def main(side: str) -> None:
    served = SIDES[side]()
    process = psutil.Process()
    _say({"port": served.port})
    for line in sys.stdin:
        if line == "tick\n":
            served.tick()
        else:
            _say({"cpu_s": time.process_time(), "rss_bytes": process.memory_info().rss, "viewers": served.viewers,
                  "files": process.num_fds()})  # fmt: skip
    begun_s = time.monotonic()
    served.stop()
    _say({"stopped_s": time.monotonic() - begun_s})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""A live dashboard in a process of its own: a fleet whose newest 600 ticks are known, and one more each interval.

`python -m benchmarks.live_server WORKERS INTERVAL_S` prints its address and ends with its input; no tick comes at
interval 0. What is taken at a tick goes the way of a recorder: sampled, told to the hub, written to the store.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from benchmarks.fanout_server import TOKEN
from benchmarks.fleet import decision, entries, samples
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.store import Recording, Writer

HELD = 600
_DECIDED_EVERY = 20


class Recorder:
    """Takes ticks of a fleet that neither grows nor shrinks."""

    def __init__(self, hub: Hub, recording: Recording, workers: int) -> None:
        self._hub, self._recording = hub, recording
        self._tracker, self._everybody = RosterTracker(), entries(workers)
        self._values = cycle(list(samples(workers, 120)))
        self._number = 0

    def tick(self, at_s: float) -> None:
        decisions = (decision(self._number // _DECIDED_EVERY, at_s),) if self._number % _DECIDED_EVERY == 10 else ()
        reading = Reading(taken_at_s=at_s, entries=self._everybody, values=next(self._values), decisions=decisions)
        tick = self._tracker.observe([reading], at_s=at_s, wall_s=at_s)
        self._number += 1
        self._hub.add(tick)
        self._recording.append(tick)


def keep_on(tick: Callable[[float], None], interval_s: float, end: threading.Event) -> None:
    """Take a tick at each whole multiple of the interval; its time is read when it is taken, as a recorder does."""
    while not end.wait(interval_s - time.time() % interval_s):
        tick(time.time())


def main(workers: int, interval_s: float) -> None:
    end = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "h.drmviz")
        first_s = float(int(time.time()) - HELD)
        with Writer.open(path) as writer:
            recording = writer.begin(title="live", started_at_s=first_s, interval_s=1.0)
            hub = Hub(recording.header)
            recorder = Recorder(hub, recording, workers)
            for number in range(HELD):
                recorder.tick(first_s + number)
            server = DashboardServer(Fleet([path], hub=hub), Serving(port=0), token=TOKEN)
            server.start()
            ticking = threading.Thread(target=keep_on, args=(recorder.tick, interval_s, end))
            if interval_s:
                ticking.start()
            print(json.dumps({"url": server.url, "port": server.port}), flush=True)
            sys.stdin.read()
            end.set()
            if interval_s:
                ticking.join()
            server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))

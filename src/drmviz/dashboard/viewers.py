"""Who looks on over `/ws`: one sender each, which always sends the newest and waits for nobody but its own viewer."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from drmviz.dashboard import answers, frames
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.frames import Encoded
from drmviz.dashboard.problems import problem, problem_of
from drmviz.dashboard.query import Parameter, read_query
from drmviz.errors import DRMVizError, StoreError
from drmviz.live import Hub, LiveTick
from drmviz.model.metrics import Metric
from drmviz.model.samples import Roster

MOST_VIEWERS = 1000
_CLOSING_S = 10.0
_EVENTS_KEPT = 64
"""Of so many ticks the events are kept as they are sent."""
_POLL_S = 1.0
_NOT_UNDERSTOOD = 1008


class Viewers:
    """Everybody who looks on at one fleet; what is sent to several is encoded once."""

    def __init__(self, fleet: Fleet, threads: Executor, parameters: tuple[Parameter, ...], *,
                 at_most: int = MOST_VIEWERS, poll_s: float = _POLL_S) -> None:  # fmt: skip
        self._fleet = fleet
        self._threads = threads
        self._parameters = parameters
        self._at_most = at_most
        self._poll_s = poll_s
        self._viewers: set[_Viewer] = set()
        self._following: asyncio.Task[None] | None = None
        self._encoded: dict[Metric | None, tuple[int, Encoded]] = {}
        self._events: dict[int, Encoded | None] = {}
        self._roster: tuple[Roster, Encoded] | None = None
        self._snapshot: tuple[object, Encoded] | None = None
        self._snapshot_lock = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many look on."""
        return len(self._viewers)

    async def serve(self, websocket: WebSocket) -> None:
        """Show one viewer what happens until it leaves, is too slow, or says what nobody understands."""
        try:
            asked = read_query(self._parameters, list(websocket.query_params.multi_items()))
        except DRMVizError as error:
            await websocket.send_denial_response(problem_of(error))
            return
        if len(self._viewers) >= self._at_most:
            await websocket.send_denial_response(problem(503, f"{self._at_most} look on already; try again later."))
            return
        hub = self._fleet.hub
        is_ours = asked["run"] is None or (hub is not None and hub.header.id == asked["run"])
        viewer = _Viewer(websocket, metric=asked["metric"], after=asked["after"] if is_ours else None)
        self._viewers.add(viewer)
        try:
            await websocket.accept()
            if self._following is None:
                self._following = asyncio.create_task(self._follow())
            await _until_one_ends(self._send(viewer), viewer.listen())
        except (WebSocketDisconnect, TimeoutError):
            pass  # it went away, or took nothing for too long
        finally:
            self._viewers.discard(viewer)
            if not self._viewers and self._following is not None:
                self._following.cancel()
                self._following = None

    async def _follow(self) -> None:
        """Wake everybody when there is something new, as long as somebody looks on."""
        if self._fleet.hub is not None:
            loop, is_new = asyncio.get_running_loop(), asyncio.Event()

            def tell(_: LiveTick) -> None:
                with suppress(RuntimeError):  # the loop ended a moment ago
                    loop.call_soon_threadsafe(is_new.set)

            forget = self._fleet.hub.tell(tell)
            try:
                while True:
                    await is_new.wait()
                    is_new.clear()
                    self._wake()
            finally:
                forget()
        version = self._fleet.version()
        while True:
            await asyncio.sleep(self._poll_s)
            newest = self._fleet.version()
            if newest != version:
                version = newest
                self._wake()

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.woken.set()

    async def _send(self, viewer: _Viewer) -> None:
        hub = self._fleet.hub
        if hub is None:
            while True:
                await viewer.send(await self._current())
                await viewer.woken.wait()
                viewer.woken.clear()
        held = hub.after(-1)
        sent = held[-1].number if held else -1
        if viewer.asked is not None and held and held[0].number - 1 <= viewer.asked <= sent:
            viewer.woken.set()  # it goes on where it was
        else:
            viewer.asked = None
            await viewer.send(await self._current())
            if held:
                await self._send_frames(viewer, held[-1:], with_events=False)
        while True:
            await viewer.woken.wait()
            viewer.woken.clear()
            sent = await self._send_newest(viewer, hub, sent)

    async def _send_newest(self, viewer: _Viewer, hub: Hub, sent: int) -> int:
        """Send what is new: all events, and of the numbers the newest alone unless more was asked for."""
        asked, viewer.asked = viewer.asked, None
        if asked is not None:
            again = hub.after(asked)
            if again and again[0].number > asked + 1:
                gap = {"type": "gap", "from": asked + 1, "to": again[0].number - 1}
                await viewer.send(Encoded.text(orjson.dumps(gap)))
            await self._send_frames(viewer, again)
            return again[-1].number if again else sent
        new = hub.after(sent)
        if not new:
            return sent
        for live in new[:-1]:
            await self._send_events(viewer, live)
        await self._send_frames(viewer, new[-1:])
        return new[-1].number

    async def _send_frames(self, viewer: _Viewer, ticks: list[LiveTick], *, with_events: bool = True) -> None:
        for live in ticks:
            if with_events:
                await self._send_events(viewer, live)
            if viewer.roster is not live.tick.roster:
                viewer.roster = live.tick.roster
                await viewer.send(self._who(live.tick.roster))
            await viewer.send(self._frame(live, viewer.metric))

    async def _send_events(self, viewer: _Viewer, live: LiveTick) -> None:
        if live.number not in self._events:
            if len(self._events) >= _EVENTS_KEPT:
                self._events.clear()
            happened = frames.events(live)
            said = {"type": "events", "sequence": live.number, "events": happened}
            self._events[live.number] = Encoded.text(orjson.dumps(said)) if happened else None
        if (encoded := self._events[live.number]) is not None:
            await viewer.send(encoded)

    def _who(self, roster: Roster) -> Encoded:
        if self._roster is None or self._roster[0] is not roster:
            self._roster = roster, Encoded.text(orjson.dumps(frames.roster_event(roster)))
        return self._roster[1]

    def _frame(self, live: LiveTick, metric: Metric | None) -> Encoded:
        made = self._encoded.get(metric)
        if made is not None and made[0] == live.number:
            return made[1]
        encoded = Encoded.binary(frames.frame(live, metric))
        if made is None or made[0] < live.number:  # one that catches up takes nothing from the others
            self._encoded[metric] = live.number, encoded
        return encoded

    async def _current(self) -> Encoded:
        """Return the snapshot, made once for everybody who asks at the same time."""
        async with self._snapshot_lock:
            version = self._fleet.version()
            if self._snapshot is None or self._snapshot[0] != version:
                loop = asyncio.get_running_loop()
                self._snapshot = version, await loop.run_in_executor(self._threads, self._made)
            return self._snapshot[1]

    def _made(self) -> Encoded:
        try:
            return Encoded.text(orjson.dumps({"type": "snapshot", **answers.snapshot(self._fleet, {})}))
        except StoreError as error:
            return Encoded.text(orjson.dumps({"type": "problem", "detail": error.reason}))


class _Viewer:
    """One connection; `woken` is its slot: however often it is set, the newest is sent once."""

    def __init__(self, websocket: WebSocket, *, metric: Metric | None, after: int | None) -> None:
        self._websocket = websocket
        self.metric = metric
        self.woken = asyncio.Event()
        self.roster: Roster | None = None
        self.asked = after
        """After which sequence everything is wanted; None where only what is new."""

    async def listen(self) -> None:
        """Take `{"after": N}` until it goes away; close where it says anything else."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            after = _after(message.get("text"))
            if after is None:
                await self._close(_NOT_UNDERSTOOD, 'only {"after": N} is understood')
                return
            self.asked = after
            self.woken.set()

    async def send(self, encoded: Encoded) -> None:
        """Send it when all but a little of what came before is taken; the server lets go who takes nothing."""
        await self._websocket.send(encoded.message)

    async def _close(self, code: int, why: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            async with asyncio.timeout(_CLOSING_S):
                await self._websocket.close(code, why)


def _after(text: str | None) -> int | None:
    try:
        said = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return None
    after = said.get("after") if isinstance(said, dict) and len(said) == 1 else None
    return after if isinstance(after, int) and not isinstance(after, bool) and -1 <= after < 2**53 else None


async def _until_one_ends(*coroutines: Any) -> None:
    """Run them until the first one ends, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

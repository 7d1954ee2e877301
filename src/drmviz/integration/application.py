"""An integration as an application inside another one: always of the history that it records right now."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from drmviz.dashboard.access import Access
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.guard import Authorize
from drmviz.dashboard.problems import problem
from drmviz.dashboard.routes import Dashboard, Endpoint

_CLOSING_S = 0.3
_COME_AGAIN = 1012


class MountedDashboard:
    """What `asgi_app()` returns. It owns no server and no socket; `close()` ends its threads and lets viewers go."""

    def __init__(
        self, fleet: Fleet, access: Access, endpoints: Sequence[Endpoint], *, authorize: Authorize | None = None
    ) -> None:
        self._access = access
        self._endpoints = tuple(endpoints)
        self._authorize = authorize
        self._lock = threading.Lock()
        self._viewers: dict[asyncio.Task[None], asyncio.AbstractEventLoop] = {}
        self._dashboard: Dashboard | None = self._made(fleet)

    def show(self, fleet: Fleet) -> None:
        """Answer from this one from now on; viewers of the one before are asked to come again."""
        fresh = self._made(fleet)
        with self._lock:
            before, self._dashboard = self._dashboard, fresh if self._dashboard is not None else None
        if before is None:
            before = fresh  # it was closed meanwhile
        self._let_go(before)

    def close(self) -> None:
        """Answer nothing any more; calling it again does nothing."""
        with self._lock:
            before, self._dashboard = self._dashboard, None
        if before is not None:
            self._let_go(before)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dashboard = self._dashboard
        if scope["type"] not in ("http", "websocket"):
            return await _lifespan(scope, receive, send)
        if dashboard is None:
            return await _closed(scope, receive, send)
        if scope["type"] == "http":
            return await dashboard(scope, receive, send)
        return await self._watched(dashboard, scope, receive, send)

    async def _watched(self, dashboard: Dashboard, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one viewer, in a task of its own that `show` and `close` may end."""

        async def serve() -> None:
            await dashboard(scope, receive, send)

        viewer = asyncio.create_task(serve())
        with self._lock:
            self._viewers[viewer] = asyncio.get_running_loop()
            if self._dashboard is not dashboard:
                viewer.cancel()
        try:
            await asyncio.wait([viewer])
        finally:
            with self._lock:
                self._viewers.pop(viewer, None)
            viewer.cancel()  # the server does not want this any more
        if viewer.cancelled():
            await send({"type": "websocket.close", "code": _COME_AGAIN, "reason": "another history is shown now"})
        else:
            viewer.result()

    def _let_go(self, dashboard: Dashboard) -> None:
        with self._lock:
            viewers = list(self._viewers.items())
        for viewer, loop in viewers:
            try:
                loop.call_soon_threadsafe(viewer.cancel)
            except RuntimeError:  # its loop has ended, and it with it
                continue
        dashboard.close(_CLOSING_S)

    def _made(self, fleet: Fleet) -> Dashboard:
        return Dashboard(fleet, self._access, endpoints=self._endpoints, authorize=self._authorize)


async def _closed(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _COME_AGAIN})
        return
    await problem(503, "This dashboard was closed.", {"retry-after": "5"})(scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin and end with whatever server runs this alone; the integration is whose it is."""
    if scope["type"] != "lifespan":
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return

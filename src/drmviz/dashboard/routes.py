"""Every path that is answered, in one table: who may have it, what may be asked, and what makes the answer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from drmviz.dashboard import answers, page, parts, prometheus, query
from drmviz.dashboard.access import Access
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.guard import Authorize, Decision, Guard
from drmviz.dashboard.kept import KeptAnswers
from drmviz.dashboard.openapi import document
from drmviz.dashboard.problems import problem, problem_of
from drmviz.dashboard.query import Parameter, read_query
from drmviz.dashboard.viewers import MOST_VIEWERS, Viewers
from drmviz.errors import DRMVizError
from drmviz.report.dashboard import OUTLINES

LOG = logging.getLogger("drmviz.dashboard")
JSON = "application/json"
BINARY = "application/octet-stream"
END_PATH = "/api/v1/end"
"""Answered only where the process that serves may be ended from outside."""
_THREADS = 2
"""So many windows of history are read at once; who asks meanwhile waits."""
_WINDOW = (query.START, query.END)
_OPEN, _TOKEN, _PAGE = Decision(who="anybody"), Decision(who="token"), Decision(who="token", is_page=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path. `answer` runs in a thread; None stands for the WebSocket."""

    path: str
    said: str
    decision: Decision
    answer: Callable[[Dashboard, Mapping[str, Any]], Response] | None
    parameters: tuple[Parameter, ...] = ()
    media_type: str = JSON


@dataclass(slots=True)
class Dashboard:
    """The application of one fleet; `app` is what a server gets, `close()` ends its threads."""

    fleet: Fleet
    access: Access
    most_viewers: int = MOST_VIEWERS
    endpoints: Sequence[Endpoint] = ()
    """What is answered; `ENDPOINTS` when empty."""
    authorize: Authorize | None = None
    """Lets in instead of the token, where the application around it knows who comes."""
    app: ASGIApp = field(init=False)
    viewers: Viewers = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)
    kept: KeptAnswers = field(default_factory=KeptAnswers, init=False)
    _readers: list[threading.Thread] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(
            _THREADS,
            thread_name_prefix="drmviz-dashboard-reader",
            initializer=lambda: self._readers.append(threading.current_thread()),
        )
        self.viewers = Viewers(self.fleet, self._threads, LIVE_PARAMETERS, at_most=self.most_viewers)
        self.endpoints = self.endpoints or ENDPOINTS
        inner = Starlette(routes=[self._route(endpoint) for endpoint in self.endpoints])
        inner.router.redirect_slashes = False
        decisions = {endpoint.path: endpoint.decision for endpoint in self.endpoints}
        self.app = Guard(inner, self.access, decisions, authorize=self.authorize)

    def close(self, patience_s: float) -> None:
        """End the threads that read; one that reads longer than that ends when it has."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        deadline_s = time.monotonic() + patience_s
        for reader in self._readers:
            reader.join(max(0.0, deadline_s - time.monotonic()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def _route(self, endpoint: Endpoint) -> BaseRoute:
        if endpoint.answer is None:
            return WebSocketRoute(endpoint.path, self.viewers.serve)
        return Route(endpoint.path, self._asked(endpoint, endpoint.answer), methods=list(endpoint.decision.methods))

    def _asked(
        self, endpoint: Endpoint, answer: Callable[[Dashboard, Mapping[str, Any]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def asked(request: Request) -> Response:
            try:
                given = read_query(endpoint.parameters, list(request.query_params.multi_items()))
                return await asyncio.get_running_loop().run_in_executor(self._threads, partial(answer, self, given))
            except DRMVizError as error:
                if (response := problem_of(error)).status_code >= 500:
                    LOG.warning("%s: %s", endpoint.path, error)
                return response
            except Exception:  # a boundary: one request
                LOG.exception("%s failed", endpoint.path)
                return problem(500, "This could not be answered; the log of the server says why.")

        return asked


def _json(make: Callable[[Fleet, Mapping[str, Any]], Mapping[str, Any]]) -> Callable[..., Response]:
    def answer(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        content = orjson.dumps(make(dashboard.fleet, given), option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, media_type=JSON)

    return answer


def _shared(make: Callable[[Fleet, Mapping[str, Any]], bytes], media_type: str) -> Callable[..., Response]:
    """Return what makes an answer once for everybody who asks the same of the same state."""

    def answer(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
        fleet = dashboard.fleet
        question = (make, *sorted(given.items()))
        content = dashboard.kept.get(question, fleet.version(), lambda: make(fleet, given))
        return Response(content, media_type=media_type)

    return answer


def _healthy(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
    return Response(b'{"healthy":true}', media_type=JSON)


def _page(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
    can_end = any(endpoint.path == END_PATH for endpoint in dashboard.endpoints)
    return page.rendered(dashboard.fleet, dashboard.access.link_prefix, can_end=can_end)


def _file(name: str, media_type: str) -> Callable[..., Response]:
    return lambda _dashboard, _given: page.file(name, media_type)


def _metrics(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
    return Response(prometheus.exposition(dashboard.fleet), headers={"content-type": prometheus.MEDIA_TYPE})


def _described(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(document(dashboard.endpoints, dashboard.access.api_server)), media_type=JSON)


def _api(name: str, said: str, make: Callable[..., Any], *parameters: Parameter) -> Endpoint:
    return Endpoint(path=f"/api/v1/{name}", said=said, decision=_TOKEN, answer=_json(make), parameters=parameters)


def _part(name: str, said: str, make: Callable[[Fleet, Mapping[str, Any]], bytes], *parameters: Parameter,
          media_type: str = JSON) -> Endpoint:  # fmt: skip
    """Return a part of the page, which everybody who looks on asks for again and again."""
    return Endpoint(
        path=f"/api/v1/{name}", said=said, decision=_TOKEN, answer=_shared(make, media_type), media_type=media_type,
        parameters=(*parameters, query.LAST, *_WINDOW),
    )  # fmt: skip


LIVE_PARAMETERS = (query.metric(), query.AFTER, query.RUN)
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(path="/", said="The dashboard", decision=_PAGE, answer=_page, media_type="text/html"),
    Endpoint(path="/drm-dashboard", said="The dashboard", decision=_PAGE, answer=_page, media_type="text/html"),
    *(Endpoint(path=f"/static/{name}", said="What the page loads", decision=_TOKEN, media_type=page.SCRIPT,
               answer=_file(name, page.SCRIPT)) for name in page.SCRIPTS),
    Endpoint(path="/static/drawing.js", said="What draws figures", decision=_TOKEN, media_type=page.SCRIPT,
             answer=lambda _dashboard, _given: page.drawing()),
    Endpoint(path="/static/plotly.min.js", said="Plotly, compressed", decision=_TOKEN, media_type=page.SCRIPT,
             answer=lambda _dashboard, _given: page.plotly(), parameters=(query.VERSION,)),
    Endpoint(path="/favicon.ico", said="The icon", decision=_OPEN, media_type=page.ICON,
             answer=_file("icon.svg", page.ICON)),
    Endpoint(path="/ws", said="Ticks as they come", decision=Decision(who="token", kind="websocket"), answer=None,
             parameters=LIVE_PARAMETERS),
    Endpoint(path="/healthz", said="Whether the server answers", decision=_OPEN, answer=_healthy),
    Endpoint(path="/metrics", said="What Prometheus scrapes", decision=_TOKEN, answer=_metrics,
             media_type="text/plain"),
    Endpoint(path="/api/v1/openapi.json", said="This description", decision=_TOKEN, answer=_described),
    _api("snapshot", "How the fleet stands: the newest tick", answers.snapshot),
    _api("workers", "Every life of every worker", answers.workers, *_WINDOW),
    _api("runs", "What is recorded", answers.runs),
    _api("heatmap", "One metric, workers x columns", answers.heatmap,
         query.metric(default="cpu_ratio"), query.STATISTIC, *_WINDOW, query.count("columns", answers.COLUMNS)),
    _api("series", "One metric of one worker over time", answers.series,
         query.WORKER, query.metric(default="cpu_ratio"), *_WINDOW, query.count("points", answers.COLUMNS)),
    _api("scaling", "Decisions with their reasons, and who joined and left", answers.scaling, *_WINDOW),
    _api("tasks", "What each test used", answers.tasks, *_WINDOW),
    _api("allocation", "What each worker has, what is reserved and used", answers.allocation, *_WINDOW),
    _api("efficiency", "How much of what was reserved was used", answers.efficiency, *_WINDOW),
    _api("cloud", "What each provider runs and costs", answers.cloud, *_WINDOW),
    _part("overview", "Cards, decisions and what comes next, in words", parts.overview_answer),
    _part("cells", "One metric, workers x columns, in few bytes", parts.cells_answer,
          query.metric(default="cpu_ratio"), query.STATISTIC, query.count("columns", answers.COLUMNS),
          media_type=BINARY),
    _part("figure", "One figure of the dashboard with its numbers", parts.figure_answer,
          query.one_of("name", "which figure", *OUTLINES), query.count("columns", answers.COLUMNS)),
    _api("figures", "Which figures there are", answers.figures),
    _api("status", "How each source and the store are doing", answers.status),
)  # fmt: skip

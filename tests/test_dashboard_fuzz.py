"""Whatever the description of the API allows, and what it does not, is answered as it describes, never by a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.server import DashboardServer
from drmviz.live import Hub
from drmviz.model.run import RunHeader
from tests.dashboards import TOKEN, ask, history, serving
from tests.fleets import START_S, KnownFleet
from tests.test_dashboard_api import HOSTILE, small_fleet

BEARER = ("Authorization", f"Bearer {TOKEN}")
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
WORKERS = ("w1", HOSTILE, "nobody")
FLEETS = ("recorded", "joined", "live", "empty")


@contextmanager
def served(kind: str, folder: Path) -> Iterator[DashboardServer]:
    """Serve one recording, several read as one, a hub, or a hub in which nothing has happened yet."""
    small_fleet(folder / "a.drmviz")
    hub = None
    paths = [folder / "a.drmviz"]
    if kind == "joined":
        history(folder / "b.drmviz")
        paths.append(folder / "b.drmviz")
    elif kind in ("live", "empty"):
        hub = Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0))
        known = KnownFleet()
        for n in range(5 if kind == "live" else 0):
            hub.add(known.tick(START_S + n, ["w1", HOSTILE]))
        paths = [folder / "none.drmviz"]
    with serving(Fleet(paths, hub=hub, may_be_missing=hub is not None)) as server:
        yield server


def described(server: DashboardServer) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(ask(server.port, "/api/v1/openapi.json", headers=[BEARER]).body)
    return document


def ask_everything(server: DashboardServer, *, each: int) -> int:
    """Ask every path so many things; return how many answers there were."""
    schema = schemathesis.openapi.from_dict(described(server))
    schema.config.update(base_url=f"http://127.0.0.1:{server.port}")
    count = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        allowed = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        cases = allowed
        if operation.query:
            cases = allowed | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @seed(20260321)
        @settings(max_examples=each, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=cases, meant=st.booleans(), worker=st.sampled_from(WORKERS), at=st.integers(0, 60))
        def answered(case: Any, meant: bool, worker: str, at: int) -> None:
            nonlocal count
            if meant:  # what is asked of the recording itself, which nothing of chance would hit
                case.query = {**case.query, **({"worker": worker} if "worker" in case.query else {})}
                case.query |= {name: START_S + at / 10 for name in ("start", "end") if name in case.query}
            count += 1
            case.validate_response(case.call(headers=dict([BEARER]), timeout=20), checks=CHECKS)

        answered()
    return count


@pytest.mark.parametrize("kind", ["joined", "empty"])
def test_whatever_is_asked_is_answered_as_described(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as server:
        assert ask_everything(server, each=5) >= 50


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", FLEETS)
def test_two_thousand_questions_are_answered_as_described(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as server:
        assert ask_everything(server, each=110) >= 2000


def undeclared(answer: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Yield the places of an answer that its schema says nothing of."""
    if isinstance(answer, dict):
        rest = schema.get("additionalProperties")
        for name, value in answer.items():
            known = schema.get("properties", {}).get(name, rest)
            if known is None and schema != {"type": "object"}:
                yield f"{where}/{name}"
            elif known:
                yield from undeclared(value, known, f"{where}/{name}")
    elif isinstance(answer, list) and "items" in schema:
        for value in answer:
            yield from undeclared(value, schema["items"], f"{where}/*")


@pytest.mark.parametrize("kind", FLEETS)
def test_every_field_of_every_answer_is_described(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as server:
        paths = described(server)["paths"]
        silent = []
        for path, operations in paths.items():
            ((media_type, content),) = operations["get"]["responses"]["200"]["content"].items()
            asked = "?worker=w1" if path.endswith("/series") else ""
            reply = ask(server.port, f"{path}{asked}", headers=[BEARER])
            if media_type == "application/json" and reply.status == 200:
                silent += [f"{path}{place}" for place in undeclared(orjson.loads(reply.body), content["schema"])]

    assert sorted(set(silent)) == []

"""The description of the API for programs, made from the table of routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from drmviz import __version__
from drmviz.dashboard.schemas import ANSWERS

if TYPE_CHECKING:
    from drmviz.dashboard.routes import Endpoint

_PROBLEM = {
    "description": "What is wrong, and what to do about it",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(endpoints: Iterable[Endpoint], prefix: str = "") -> dict[str, Any]:
    """Return OpenAPI 3.1 of everything that is answered over HTTP."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "drmviz", "version": __version__, "summary": "How a fleet of test workers is used."},
        "servers": [{"url": prefix or "/"}],
        "paths": {
            endpoint.path: {endpoint.decision.methods[0].lower(): _operation(endpoint)}
            for endpoint in endpoints
            if endpoint.decision.kind == "http"
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    is_open = endpoint.decision.who == "anybody"
    schema = ANSWERS.get(endpoint.path.rpartition("/")[2], {"type": "string"})
    return {
        "operationId": endpoint.path.strip("/").replace("/", "_").replace(".", "_") or "page",
        "summary": endpoint.said,
        "security": [] if is_open else [{"token": []}],
        "parameters": [
            {
                "name": parameter.name,
                "in": "query",
                "required": parameter.is_required,
                "description": parameter.said,
                "schema": dict(parameter.schema),
            }
            for parameter in endpoint.parameters
        ],
        "responses": {
            "200": {"description": endpoint.said, "content": {endpoint.media_type: {"schema": schema}}},
            "default": _PROBLEM,
        },
    }

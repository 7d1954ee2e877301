"""Errors as clients get them: `application/problem+json` (RFC 9457), without stack or path of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.responses import Response

from drmviz.errors import (
    DRMVizError,
    InvalidValueError,
    MissingExtraError,
    ServerError,
    StoreDamagedError,
    StoreError,
    UsageError,
)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error; `detail` says what is wrong and what to do about it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type="application/problem+json")


def problem_of(error: DRMVizError) -> Response:
    """Return what a client is told of an error that was raised on purpose."""
    if isinstance(error, StoreDamagedError):
        return problem(500, f"The recorded history is damaged: {error.reason}. Try drmviz doctor on it.")
    if isinstance(error, StoreError):  # its own words name the path of the file
        return problem(503, f"The recorded history cannot be read: {error.reason}.", {"retry-after": "1"})
    if isinstance(error, InvalidValueError | UsageError):
        return problem(400, str(error))
    if isinstance(error, ServerError):
        return problem(409, str(error))
    if isinstance(error, MissingExtraError):
        return problem(501, str(error))
    return problem(500, f"{type(error).__name__}: the log of the server says more.")

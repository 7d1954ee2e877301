"""What may be done from outside where that was asked for with `--controls`: everything else only reads."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from drmviz.dashboard.guard import Decision
from drmviz.dashboard.routes import END_PATH, JSON, Dashboard, Endpoint


def _end(dashboard: Dashboard, given: Mapping[str, Any]) -> Response:
    """Ask this process to end, as an operator at the terminal would."""
    os.kill(os.getpid(), signal.SIGTERM)
    return Response(b'{"is_ending":true}', 202, media_type=JSON)


CONTROLS: tuple[Endpoint, ...] = (
    Endpoint(path=END_PATH, said="End as on SIGTERM: what is recorded is closed, a test command is told",
             decision=Decision(who="token", methods=("POST",)), answer=_end),
)  # fmt: skip

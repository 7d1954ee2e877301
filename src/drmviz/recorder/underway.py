"""A recording that goes on, as those see it who show it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drmviz.live import Hub
from drmviz.model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """Where it is recorded, its last minutes in memory, and how its sources and the store are doing."""

    store: Path
    hub: Hub
    statuses: Callable[[], Mapping[str, Status]]


Begun = Callable[[Underway], None]
"""Is told once that a recording has begun, before its first tick."""

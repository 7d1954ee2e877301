"""What is handed to a `DRMVisualization`, checked: settings, and where the numbers come from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.model.decisions import ScalingPolicy
from drmviz.model.run import Run
from drmviz.sources.base import Source
from drmviz.sources.cloud_inventory import REFRESH_S, CloudSource
from drmviz.sources.resource_manager import ManagerSource
from drmviz.system import Clock, SystemClock

SHORTEST_INTERVAL_S = 0.05
LONGEST_INTERVAL_S = 86_400.0
STORE_NAME = "history.drmviz"
DAY_S = 86_400.0

_ACCEPTED = (
    "must be a DynamicResourceManager, any object with get_worker_statistics(), a source with a name and read(),"
    " or the path of a recorded history"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Raises InvalidValueError where one makes no sense."""

    output_dir: Path
    interactive: bool
    dashboard_port: int
    data_retention_days: float
    update_interval: float

    def __post_init__(self) -> None:
        # absolute: a program that changes its folder later still finds pictures and history in one place
        object.__setattr__(self, "output_dir", checked_path("output_dir", self.output_dir).absolute())
        checked_bool("interactive", self.interactive)
        port = self.dashboard_port
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise InvalidValueError("dashboard_port", port, "must be a whole number from 0 (any free one) to 65535")
        if not _is_number(self.data_retention_days) or not 0 < self.data_retention_days < 1e6:
            raise InvalidValueError(
                "data_retention_days", self.data_retention_days, "must be days, above 0 and below a million"
            )
        seconds = self.update_interval
        if not _is_number(seconds) or (seconds != 0 and not SHORTEST_INTERVAL_S <= seconds <= LONGEST_INTERVAL_S):
            reason = (
                f"must be seconds from {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S:.0f}, or 0 to collect on collect()"
            )
            raise InvalidValueError("update_interval", seconds, reason)

    @property
    def keep_s(self) -> float:
        return self.data_retention_days * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Where the numbers come from; exactly one of `history`, `source` and `manager`, or none of them."""

    history: Path | None = None
    source: Source | None = None
    manager: Any = None
    cloud: Any = None

    @classmethod
    def of(cls, manager: Any, cloud: Any) -> Given:
        """Tell what was handed in.

        Raises:
            InvalidValueError: it is nothing of what can be read.
        """
        # of its class first: a property may fail now and answer later
        if cloud is not None and not (hasattr(type(cloud), "providers") or hasattr(cloud, "providers")):
            raise InvalidValueError(
                "cloud_provider_manager", cloud, "must have `providers`, the names of its providers"
            )
        if manager is None:
            return cls(cloud=cloud)
        if callable(getattr(manager, "get_worker_statistics", None)):  # first: a mock is a path as well
            return cls(manager=manager, cloud=cloud)
        if isinstance(manager, str | os.PathLike):
            if cloud is not None:
                raise InvalidValueError("cloud_provider_manager", cloud, "cannot be asked about a recorded history")
            return cls(history=checked_path("dynamic_resource_manager", manager))
        if isinstance(getattr(manager, "name", None), str) and callable(getattr(manager, "read", None)):
            return cls(source=manager, cloud=cloud)
        raise InvalidValueError("dynamic_resource_manager", manager, _ACCEPTED)

    @property
    def is_collected(self) -> bool:
        return self.manager is not None or self.source is not None or self.cloud is not None

    @property
    def title(self) -> str:
        """What a run of it is called."""
        if self.source is not None:
            return self.source.name
        return "Cloud providers" if self.manager is None else type(self.manager).__name__

    @property
    def clock(self) -> Clock:
        """The clock that it counts by, where it has one of its own."""
        clock = getattr(self.manager if self.source is None else self.source, "clock", None)
        is_clock = all(callable(getattr(type(clock), name, None)) for name in ("wall_s", "monotonic_s"))
        return clock if is_clock else SystemClock()  # type: ignore[return-value]

    def sources(self, *, update_interval: float, recorded: Run | None) -> Sequence[Source]:
        """Return what a collector reads; `recorded` is the history that it is added to."""
        cloud = None
        if self.cloud is not None:
            cloud = CloudSource(self.cloud, refresh_s=REFRESH_S if update_interval else 0.0)
        fleet = self.source
        if self.manager is not None:
            fleet = ManagerSource(self.manager, labels_of=cloud.labels_of if cloud else None, recorded=recorded)
        return [source for source in (fleet, cloud) if source is not None]


def policy_of(sources: Sequence[Source]) -> ScalingPolicy:
    """Return what the fleet is scaled by, where a source says so."""
    for source in sources:
        policy = getattr(source, "policy", None)
        stated = policy() if callable(policy) else None
        if isinstance(stated, ScalingPolicy) and stated.is_known:
            return stated
    return ScalingPolicy()


def checked_path(name: str, given: object) -> Path:
    """Return a path from outside, or raise InvalidValueError."""
    if not isinstance(given, str | os.PathLike) or not str(given):
        raise InvalidValueError(name, given, "must be a path")
    path = os.fsdecode(given)
    if "\0" in path:
        raise InvalidValueError(name, path, "must be a path, and no path holds a zero byte")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~nobody
        raise InvalidValueError(name, path, str(error)) from error


def checked_bool(name: str, given: object) -> None:
    if not isinstance(given, bool):
        raise InvalidValueError(name, given, "must be True or False")


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)

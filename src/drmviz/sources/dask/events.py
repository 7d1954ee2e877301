"""Why workers joined and left, as far as the event log of a Dask scheduler tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from drmviz.model.decisions import FleetChange
from drmviz.sources.dask.workers import Life

ASKED_FOR, LOST = "asked for", "lost"
_ASKING = "retire-workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent:
    """A worker was added to or removed from a scheduler, by its own clock."""

    at_s: float
    address: str
    change: Literal["joined", "left"]
    why: str | None = None


def worker_events(log: Iterable[Any]) -> list[WorkerEvent]:
    """Return what of `Scheduler.get_events("all")`, pairs of a time and a message, concerns workers."""
    found: list[WorkerEvent] = []
    for entry in log:
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            continue
        at_s, message = entry
        if not isinstance(message, Mapping) or not isinstance(at_s, int | float) or not math.isfinite(at_s):
            continue
        address = message.get("worker")
        if not isinstance(address, str) or not address:
            continue
        if message.get("action") == "add-worker":
            found.append(WorkerEvent(at_s=at_s, address=address, change="joined"))
        elif message.get("action") == "remove-worker":
            found.append(WorkerEvent(at_s=at_s, address=address, change="left", why=_cause(message)))
    return found


def _cause(message: Mapping[str, Any]) -> str:
    """Return why a worker was removed; the first words of a stimulus name what did it."""
    is_retired = str(message.get("stimulus_id", "")).startswith(_ASKING)
    return ASKED_FOR if is_retired or message.get("expected") else LOST


def changes_between(
    before: Mapping[str, Life],
    now: Mapping[str, Life],
    events: Sequence[WorkerEvent],
    *,
    since_s: float,
    now_s: float,
    otherwise: str | None = None,
) -> tuple[FleetChange, ...]:
    """Return who left and who joined between two readings, leavers first.

    An event gives the moment, held to the time between the readings (its clock is another machine's), and the cause;
    without one it is `now_s` and `otherwise`.
    """
    last_left = {event.address: event for event in events if event.change == "left"}
    last_joined = {event.address: event for event in events if event.change == "joined"}

    def moment(event: WorkerEvent | None) -> float:
        return now_s if event is None else min(max(event.at_s, since_s), now_s)

    left = [
        FleetChange(
            at_s=moment(event := last_left.get(life.address)),
            worker=worker_id,
            change="left",
            why=otherwise if event is None else event.why,
        )
        for worker_id, life in before.items()
        if worker_id not in now or not now[worker_id].is_same_as(life)
    ]
    gone_at_s = {change.worker: change.at_s for change in left}
    joined = [
        FleetChange(
            at_s=max(moment(last_joined.get(life.address)), gone_at_s.get(worker_id, since_s)),
            worker=worker_id,
            change="joined",
        )
        for worker_id, life in now.items()
        if worker_id not in before or not before[worker_id].is_same_as(life)
    ]
    return (*left, *joined)


class Passers:
    """Workers that came and went between two readings: only the log tells of them, and by their address alone."""

    def __init__(self) -> None:
        self._told: frozenset[str] | None = None

    def new_ones(
        self, events: Sequence[WorkerEvent], known: Iterable[str], *, since_s: float, now_s: float
    ) -> tuple[FleetChange, ...]:
        """Return their joining and leaving; `known` are addresses of readings. The first log tells nothing."""
        joined = {event.address for event in events if event.change == "joined"}
        left = {event.address for event in events if event.change == "left"}
        before = joined | left if self._told is None else self._told
        new = (joined & left).difference(before, known)
        self._told = frozenset(known).union(before & (joined | left), joined & left)
        return tuple(
            FleetChange(
                at_s=min(max(event.at_s, since_s), now_s), worker=event.address, change=event.change, why=event.why
            )
            for event in events
            if event.address in new
        )

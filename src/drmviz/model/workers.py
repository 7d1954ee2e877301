"""Who the columns of a tick stand for: roster entries as a source states them, and their incarnations over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.text import storable

Kind = Literal["worker", "process", "host", "gpu"]
"""A worker executes tests; a process is anything else of the watched tree; a host and a GPU are what they run on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEntry:
    """One thing that a source can see right now.

    The same id with another pid or host is a new incarnation of it.
    """

    id: str
    kind: Kind = "worker"
    parent: str | None = None
    host: str | None = None
    pid: int | None = None
    capacity: WorkerCapacity = UNKNOWN_CAPACITY
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "parent", "host"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, storable(text))

    def is_same_incarnation(self, other: RosterEntry) -> bool:
        return (self.pid, self.host, self.kind) == (other.pid, other.host, other.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """One life of a roster entry; `left_at_s` is None while it lives."""

    number: int
    """Unique in its run, in the order of joining, from 0."""
    ordinal: int
    """1 for the first life of this id, 2 for the second."""
    entry: RosterEntry
    joined_at_s: float
    why_joined: str | None = None
    left_at_s: float | None = None
    why_left: str | None = None

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def capacity(self) -> WorkerCapacity:
        return self.entry.capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One row of a picture: an id and all its lives inside the window, oldest first."""

    id: str
    incarnations: tuple[Incarnation, ...]

    @property
    def latest(self) -> Incarnation:
        return self.incarnations[-1]

    @property
    def kind(self) -> Kind:
        return self.latest.entry.kind

    @property
    def pid(self) -> int | None:
        return self.latest.entry.pid

    @property
    def host(self) -> str | None:
        return self.latest.entry.host

    @property
    def capacity(self) -> WorkerCapacity:
        return self.latest.capacity

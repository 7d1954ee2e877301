"""One of the files that are read as one: what it is called, and its times and names as the others see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.run import RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Incarnation
from drmviz.store.connections import rows_of
from drmviz.store.failures import errors_named
from drmviz.store.schema import microseconds

NumberedRun = tuple[int, RunHeader]
"""A run and its number in its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The runs that are read of one file."""

    connection: apsw.Connection
    path: Path
    runs: tuple[NumberedRun, ...]
    """By their beginning, by the file's own clock; empty where it holds none, or all of them are read elsewhere."""
    is_being_written: bool
    offset_us: int = 0
    """Added to every time of the file."""
    lost: str | None = None
    """What a damaged write-ahead log has cost, in a sentence."""
    name: str = ""
    """Tells its workers from those of other files; empty where it is read alone."""
    ambiguous: frozenset[str] = field(default_factory=frozenset)
    """Ids that begin with the name already and are qualified all the same: without it the rest would be another's."""

    @property
    def newest(self) -> NumberedRun:
        """The run that was begun last, whatever a clock that was set back says of it."""
        return max(self.runs, key=lambda numbered: numbered[0])

    @property
    def stays_as_it_is(self) -> bool:
        return not self.name and not self.offset_us

    def qualified(self, id_: str) -> str:
        """Return `NAME/ID`; the machine's own row is its name, and an id that begins with it stays.

        No two ids of any files become one: names are unique and hold no slash.
        """
        if not self.name or id_ == self.name or (id_.startswith(f"{self.name}/") and id_ not in self.ambiguous):
            return id_
        return f"{self.name}/{id_}"

    def own(self, qualified: str) -> tuple[str, ...]:
        """Return what the file itself may call a worker; nothing where it is one of another file."""
        possible = dict.fromkeys((qualified, qualified.removeprefix(f"{self.name}/")))
        return tuple(id_ for id_ in possible if self.qualified(id_) == qualified)

    def moment_s(self, at_s: float) -> float:
        """Return a time of the file on the common clock."""
        return (microseconds(at_s) + self.offset_us) / 1e6 if self.offset_us else at_s

    def header(self, header: RunHeader) -> RunHeader:
        ended_s = header.ended_at_s
        return replace(
            header,
            started_at_s=self.moment_s(header.started_at_s),
            ended_at_s=None if ended_s is None else self.moment_s(ended_s),
        )

    def life(self, life: Incarnation) -> Incarnation:
        if self.stays_as_it_is:
            return life
        parent = life.entry.parent
        return replace(
            life,
            entry=replace(
                life.entry, id=self.qualified(life.id), parent=None if parent is None else self.qualified(parent)
            ),
            joined_at_s=self.moment_s(life.joined_at_s),
            left_at_s=None if life.left_at_s is None else self.moment_s(life.left_at_s),
        )

    def task(self, task: Task) -> Task:
        return replace(
            task,
            worker=self.qualified(task.worker),
            started_at_s=self.moment_s(task.started_at_s),
            ended_at_s=self.moment_s(task.ended_at_s),
        )

    def decision(self, decision: ScalingDecision) -> ScalingDecision:
        return replace(
            decision,
            decided_at_s=self.moment_s(decision.decided_at_s),
            worker_ids=tuple(self.qualified(worker) for worker in decision.worker_ids),
            host=self.name or None,
        )

    def usage(self, usage: CloudUsage) -> CloudUsage:
        return replace(usage, at_s=self.moment_s(usage.at_s), provider=self.qualified(usage.provider))

    def note(self, sentence: str) -> str:
        return f"{self.name}: {sentence}" if self.name else sentence


def named(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with their names; without one where there is only one."""
    if len(parts) < 2:
        return list(parts)
    hosts = [part.newest[1].host if part.runs else "" for part in parts]
    return [
        replace(part, name=name, ambiguous=_ambiguous(part, name))
        for part, name in zip(parts, names_of([part.path for part in parts], hosts), strict=True)
    ]


def names_of(paths: Sequence[Path], hosts: Sequence[str]) -> list[str]:
    """Return one name for each file: its host where no other file is of that host, else the stem of the file.

    A name that is taken gets -2, -3, ...; hosts come first.
    """
    usual = Counter(hosts)
    is_host = [bool(host) and "/" not in host and usual[host] == 1 for host in hosts]
    taken = {host for host, suits in zip(hosts, is_host, strict=True) if suits}
    names = []
    for path, host, suits in zip(paths, hosts, is_host, strict=True):
        name, number = (host if suits else path.stem), 1
        while not suits and name in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name)
        names.append(name)
    return names


def _ambiguous(part: Part, name: str) -> frozenset[str]:
    prefix = f"{name}/"
    with errors_named(part.path):
        found = rows_of(
            part.connection,
            "SELECT DISTINCT worker FROM incarnation a WHERE substr(worker, 1, ?1) = ?2 AND EXISTS"
            " (SELECT 1 FROM incarnation b WHERE b.worker = substr(a.worker, ?1 + 1))",
            (len(prefix), prefix),
        )
    return frozenset(worker for (worker,) in found)

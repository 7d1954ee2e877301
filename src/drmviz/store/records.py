"""Rows of the tables as the plain data they stand for: headers, incarnations, changes, tests, decisions, providers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from functools import lru_cache
from typing import Any, get_args

import apsw

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Incarnation, Kind, RosterEntry, Worker
from drmviz.store.connections import rows_of
from drmviz.store.schema import NEVER

_DIGITS = re.compile(r"(\d+)")

HEADER_COLUMNS = "id, title, source, host, labels, facts, started_us, interval_us, ended_us"


def header_of(row: tuple[Any, ...]) -> RunHeader:
    run_id, title, source, host, labels, facts, started_us, interval_us, ended_us = row
    return RunHeader(
        id=run_id,
        title=title,
        source=source,
        host=host,
        labels=json.loads(labels),
        facts=json.loads(facts),
        started_at_s=started_us / 1e6,
        interval_s=interval_us / 1e6,
        ended_at_s=None if ended_us is None else ended_us / 1e6,
    )


def incarnations(
    connection: apsw.Connection, run: int, start_us: int, end_us: int, workers: Sequence[str] | None = None
) -> list[Incarnation]:
    """Return who lived in [start, end], by their numbers; only those of these ids where some are given."""
    of_workers = "" if workers is None else f" AND worker IN ({', '.join('?' * len(workers))})"
    sizes: dict[int, tuple[int | None, ...]] = {}
    for number, *capacity in rows_of(
        connection,
        "SELECT incarnation, cpu_millicores, memory_bytes, gpu_count, gpu_memory_bytes FROM resize"
        " WHERE run = ? ORDER BY roster",
        (run,),
    ):
        sizes[number] = tuple(capacity)
    rows = rows_of(
        connection,
        "SELECT number, worker, ordinal, kind, parent, host, pid, labels, cpu_millicores, memory_bytes, gpu_count,"
        " gpu_memory_bytes, joined_us, why_joined, left_us, why_left FROM incarnation"
        f" WHERE run = ? AND left_us >= ? AND joined_us < ?{of_workers} ORDER BY number",
        (run, start_us, end_us, *(workers or ())),
    )
    if sizes:
        rows = [(*row[:8], *sizes[row[0]], *row[12:]) if row[0] in sizes else row for row in rows]
    return [_incarnation(*row) for row in rows]


@lru_cache(maxsize=1 << 14)  # who looks at a history looks again: to make one costs ten times as much as to find it
def _incarnation(
    number: int,
    worker: str,
    ordinal: int,
    kind: Kind,
    parent: str | None,
    host: str | None,
    pid: int | None,
    labels: str,
    cpu_millicores: int | None,
    memory_bytes: int | None,
    gpu_count: int | None,
    gpu_memory_bytes: int | None,
    joined_us: int,
    why_joined: str | None,
    left_us: int,
    why_left: str | None,
) -> Incarnation:
    return Incarnation(
        number=number,
        ordinal=ordinal,
        entry=RosterEntry(
            id=worker,
            kind=kind,
            parent=parent,
            host=host,
            pid=pid,
            capacity=_capacity(cpu_millicores, memory_bytes, gpu_count, gpu_memory_bytes),
            labels=_labels(labels),
        ),
        joined_at_s=joined_us / 1e6,
        why_joined=why_joined,
        left_at_s=None if left_us == NEVER else left_us / 1e6,
        why_left=why_left,
    )


@lru_cache(maxsize=256)  # thousands of workers are of a few kinds
def _capacity(
    cpu_millicores: int | None, memory_bytes: int | None, gpu_count: int | None, gpu_memory_bytes: int | None
) -> WorkerCapacity:
    return WorkerCapacity(
        cpu_millicores=cpu_millicores,
        memory_bytes=memory_bytes,
        gpu_count=gpu_count,
        gpu_memory_bytes=gpu_memory_bytes,
    )


@lru_cache(maxsize=256)
def _labels(written: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(json.loads(written).items()))


def rows_shown(
    incarnations: list[Incarnation], kinds: Sequence[Kind] | None, workers: Sequence[str] | None
) -> tuple[Worker, ...]:
    lives: dict[str, list[Incarnation]] = {}
    for incarnation in incarnations:
        lives.setdefault(incarnation.id, []).append(incarnation)
    everybody = {worker: Worker(id=worker, incarnations=tuple(of)) for worker, of in lives.items()}
    if workers is not None:
        missing = [worker for worker in workers if worker not in everybody]
        if missing:
            have = ", ".join(list(everybody)[:5]) or "none"
            raise InvalidValueError("workers", missing[0], f"did not live in this window; there were {have}")
        return tuple(everybody[worker] for worker in dict.fromkeys(workers))
    kind_of = {id_: worker.kind for id_, worker in everybody.items()}
    if kinds is None:
        there = set(kind_of.values())
        kinds = ("worker",) if "worker" in there else ("process",) if "process" in there else get_args(Kind)
    chosen = sorted((id_ for id_, kind in kind_of.items() if kind in kinds), key=natural_key)
    return tuple(everybody[id_] for id_ in chosen)


@lru_cache(maxsize=1 << 14)
def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which gw2 comes before gw10."""
    parts = _DIGITS.split(name)
    return tuple((1, int(part[:18]), part) if i % 2 else (0, 0, part) for i, part in enumerate(parts))


def changes_of(workers: tuple[Worker, ...], start_us: int, end_us: int) -> tuple[FleetChange, ...]:
    start_s, end_s = start_us / 1e6, end_us / 1e6
    changes: list[tuple[float, int, FleetChange]] = []  # at one instant who leaves makes room for who joins
    for worker in workers:
        for life in worker.incarnations:
            joined_s, left_s = life.joined_at_s, life.left_at_s
            if start_s <= joined_s <= end_s:
                joined = FleetChange(at_s=joined_s, worker=worker.id, change="joined", why=life.why_joined)
                changes.append((joined_s, 1, joined))
            if left_s is not None and start_s <= left_s <= end_s:
                left = FleetChange(at_s=left_s, worker=worker.id, change="left", why=life.why_left)
                changes.append((left_s, 0 if left_s > joined_s else 2, left))
    changes.sort(key=lambda entry: entry[:2])
    return tuple(change for _, _, change in changes)


def tasks_between(
    connection: apsw.Connection, run: int, start_us: int, end_us: int, workers: set[str] | None
) -> tuple[Task, ...]:
    rows = rows_of(
        connection,
        "SELECT name, worker, outcome, started_us, ended_us, pid, cpu_s, memory_bytes, peak_bytes, attempt FROM task"
        " WHERE run = ? AND ended_us >= ? AND started_us < ? ORDER BY started_us, id",
        (run, start_us, end_us),
    )
    return tuple(
        Task(
            name=name,
            worker=worker,
            outcome=outcome,
            started_at_s=started_us / 1e6,
            ended_at_s=ended_us / 1e6,
            pid=pid,
            cpu_s=cpu_s,
            memory_bytes=memory_bytes,
            peak_bytes=peak_bytes,
            attempt=attempt,
        )
        for name, worker, outcome, started_us, ended_us, pid, cpu_s, memory_bytes, peak_bytes, attempt in rows
        if workers is None or worker in workers
    )


def decisions_between(connection: apsw.Connection, run: int, start_us: int, end_us: int) -> tuple[ScalingDecision, ...]:
    rows = rows_of(
        connection,
        "SELECT decided_us, action, count, reason, metric, value, threshold, window_s, cooldown_remaining_s,"
        " worker_ids, worker_type, utilization FROM decision WHERE run = ? AND decided_us >= ? AND decided_us < ?"
        " ORDER BY decided_us, id",
        (run, start_us, end_us),
    )
    return tuple(
        ScalingDecision(
            decided_at_s=row[0] / 1e6,
            action=row[1],
            count=row[2],
            reason=row[3],
            metric=row[4],
            value=row[5],
            threshold=row[6],
            window_s=row[7],
            cooldown_remaining_s=row[8],
            worker_ids=_texts(row[9]),
            worker_type=row[10],
            utilization=row[11],
        )
        for row in rows
    )


@lru_cache(maxsize=256)  # most decisions name nobody
def _texts(written: str) -> tuple[str, ...]:
    return tuple(json.loads(written))


def stated_by(usage: CloudUsage) -> dict[str, Any]:
    """Return what a provider is said to run and cost, as the file keeps it: only what is known."""
    stated = {field.name: getattr(usage, field.name) for field in fields(usage)}
    known = {name: value for name, value in stated.items() if value not in (None, "", ()) and name not in _CLOUD_KEY}
    return known | {"per_hour": str(usage.per_hour)} if usage.per_hour is not None else known


def cloud_between(connection: apsw.Connection, run: int, start_us: int, end_us: int) -> tuple[CloudUsage, ...]:
    """Return what was observed of providers in the window, and what held when it began."""
    rows = rows_of(
        connection,
        "SELECT at_us, provider, stated, id FROM cloud WHERE run = ?1 AND at_us >= ?2 AND at_us < ?3 UNION ALL"
        " SELECT max(at_us), provider, stated, id FROM cloud WHERE run = ?1 AND at_us < ?2 GROUP BY provider"
        " ORDER BY 1, 4",
        (run, start_us, end_us),
    )
    return tuple(_cloud_usage(at_us / 1e6, provider, json.loads(stated)) for at_us, provider, stated, _ in rows)


_CLOUD_KEY = frozenset({"at_s", "provider"})


def _cloud_usage(at_s: float, provider: str, stated: dict[str, Any]) -> CloudUsage:
    known = {field.name for field in fields(CloudUsage)} - _CLOUD_KEY
    values = {name: value for name, value in stated.items() if name in known}
    if "per_hour" in values:
        values["per_hour"] = Decimal(values["per_hour"])
    if "instance_types" in values:
        values["instance_types"] = tuple((str(name), int(number)) for name, number in values["instance_types"])
    return CloudUsage(at_s=at_s, provider=provider, **values)

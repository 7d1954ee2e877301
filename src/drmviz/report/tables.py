"""Tests, runs and scaling decisions as tables for a terminal and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from drmviz.analysis.scaling import Episode, episodes, fleet_changes, fleet_use
from drmviz.analysis.tests import TestRow, TestTable, tests
from drmviz.analysis.utilization import wall_s
from drmviz.figures.scaling_words import after, badge, levels
from drmviz.model.decisions import RECORDING_BEGAN, FleetChange, ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Origin, Run
from drmviz.model.workers import Incarnation
from drmviz.report import wording
from drmviz.report.wording import clean, cut, iso

if TYPE_CHECKING:
    from rich.table import Table

_LONGEST_NAME = 160
_NAMED = 3


def tests_json(run: Run) -> dict[str, Any]:
    """Return each test once, in the order of the starts; unknown is null."""
    return {"tests": [_test(row) for row in tests(run).rows], **_recordings(run)}


def runs_json(runs: Sequence[Run], *, stores: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what is recorded; `stores` names the file of each run."""
    named: Sequence[str | None] = stores or [None] * len(runs)
    return {"runs": [_run(run, store) for run, store in zip(runs, named, strict=True)]}


def tables_of_tests(run: Run, *, top: int = 25) -> list[Table]:
    """Return the slowest tests, the hungriest, and the sums by worker."""
    table = tests(run)
    with_hosts = len(run.origins) > 1
    drawn = [_ranked(f"Slowest tests (of {len(table.rows)})", table.slowest(top), with_hosts=with_hosts)]
    hungriest = table.hungriest(top)
    if hungriest:
        drawn.append(
            _ranked(
                "Hungriest tests: those that raised their process's memory mark most", hungriest, with_hosts=with_hosts
            )
        )
    drawn.append(_by_worker(table))
    return drawn


def runs_table(runs: Sequence[Run], *, stores: Sequence[str] | None = None) -> Table:
    """Return one row for each recorded run, newest first."""
    with_stores = bool(stores)
    table = _table("Recorded runs", "run", "started", ">lasted", ">workers", ">tests", ">failed", "exit", "title")
    with_hosts = len({run.header.host for run in runs}) > 1
    with_kept = any(len(_kept(run).split(",")) > 1 for run in runs)
    if with_kept:
        table.add_column("kept", overflow="fold")
    if with_hosts:
        table.add_column("host", overflow="fold")
    if with_stores:
        table.add_column("store", overflow="fold")
    pairs = zip(runs, stores or [""] * len(runs), strict=True)
    for run, store in sorted(pairs, key=lambda pair: -pair[0].header.started_at_s):
        found = tests(run)
        code = run.header.facts.get("exit_code")
        cells = [
            cut(run.header.id, 14),
            (iso(run.header.started_at_s) or "")[:19].replace("T", " ") + "Z",
            wording.seconds(wall_s(run)),
            str(sum(worker.kind == "worker" for worker in run.workers)),
            str(len(found.rows)),
            str(len(found.bad)),
            "?" if code is None else cut(str(code), 6),
            cut(run.header.title, 60),
        ]
        host = [cut(run.header.host or "?", 40)] if with_hosts else []
        kept = [_kept(run)] if with_kept else []
        _add(table, *cells, *kept, *host, *([clean(store)] if with_stores else []))
    return table


def _kept(run: Run) -> str:
    return wording.kept_said(run.tiers)


def decisions_json(run: Run) -> dict[str, Any]:
    """Return every decision and every fleet change, oldest first; unknown is null."""
    decided = sorted(run.decisions, key=lambda decision: decision.decided_at_s)
    return {
        "decisions": [decision_json(decision) for decision in decided],
        "changes": [
            {"at_s": change.at_s, "worker": change.worker, "change": change.change, "why": change.why}
            for change in run.changes
        ],
        **_recordings(run),
    }


def _recordings(run: Run) -> dict[str, Any]:
    """Return what was read as one, and the offsets; nothing where one store was read as it stands."""
    if not run.origins:
        return {}
    return {"recordings": [_recording(origin) for origin in run.origins], "notes": list(run.notes)}


def _recording(origin: Origin) -> dict[str, Any]:
    return {
        "name": origin.name or None,
        "host": origin.host or None,
        "store": origin.store,
        "runs": list(origin.run_ids),
        "offset_s": origin.offset_s,
        "first_at_s": origin.first_s,
        "end_at_s": origin.end_s,
        "state": origin.state,
        "exit_code": origin.exit_code,
    }


def tables_of_origins(run: Run) -> list[Table]:
    """Return which recordings were read as one, by which clock; nothing where one store was read as it stands."""
    if not run.origins:
        return []
    day = _day(at_s for origin in run.origins for at_s in (origin.first_s, origin.end_s) if at_s is not None)
    table = _table(
        f"{wording.origins_said(run.origins)}, {day or 'times in'} UTC",
        "name",
        "host",
        "first",
        "end",
        ">offset",
        "state",
        "store",
    )
    table.columns[-1].no_wrap, table.columns[-1].overflow = False, "fold"
    for origin in run.origins:
        _add(
            table,
            cut(origin.name or "–", 40),
            cut(origin.host or "?", 40),
            *("–" if at_s is None else _moments(at_s, at_s, day) for at_s in (origin.first_s, origin.end_s)),
            wording.offset(origin.offset_s),
            origin.state,
            clean(origin.store),
        )
    return [table]


def tables_of_decisions(run: Run, *, every: bool = False) -> list[Table]:
    """Return the decisions, those to hold folded unless every one is wanted, and the fleet changes by their reason.

    What followed a decision is looked up in the metrics that the run holds.
    """
    use = {metric: fleet_use(run, metric) for metric, statistic in run.grids if statistic == "mean"}
    found = episodes(run, use)
    if every:
        found = tuple(
            Episode(decisions=(one,), aftermath=episode.aftermath) for episode in found for one in episode.decisions
        )
    drawn = []
    if found:
        drawn.append(_decisions_table(found))
    if run.changes:
        drawn.append(_changes_table(_told_from_the_beginning(run)))
    return drawn


def _told_from_the_beginning(run: Run) -> list[FleetChange]:
    """Return the changes; of who was there at the first tick it says that only the recording began."""
    found = fleet_changes(run)
    of_the_fleet = {id(change) for change in found}
    return [
        replace(change, why=RECORDING_BEGAN)
        if change.change == "joined" and change.why is None and id(change) not in of_the_fleet
        else change
        for change in run.changes
    ]


def print_tables(tables: Sequence[Table], stream: TextIO) -> None:
    """Print tables as wide as the terminal, or as wide as they are where the output is piped."""
    from rich.console import Console

    piped = not stream.isatty()
    console = Console(file=stream, markup=False, highlight=False, emoji=False, width=500 if piped else None)
    for table in tables:
        console.print(table)


def _test(row: TestRow) -> dict[str, Any]:
    task = row.last
    return {
        "nodeid": task.name,
        "outcome": task.outcome,
        "worker": task.worker,
        "pid": task.pid,
        "start_s": task.started_at_s,
        "end_s": task.ended_at_s,
        "duration_s": task.duration_s,
        "cpu_s": task.cpu_s,
        "memory_bytes": task.memory_bytes,
        "peak_bytes": task.peak_bytes,
        "attempts": len(row.attempts),
    }


def decision_json(decision: ScalingDecision) -> dict[str, Any]:
    """Return one decision; unknown is null."""
    return {
        "at_s": decision.decided_at_s,
        "action": decision.action,
        "count": decision.count,
        "reason": decision.reason,
        "metric": decision.metric,
        "value": _finite(decision.value),
        "threshold": _finite(decision.threshold),
        "window_s": _finite(decision.window_s),
        "cooldown_remaining_s": _finite(decision.cooldown_remaining_s),
        "worker_ids": list(decision.worker_ids),
        "worker_type": decision.worker_type,
        "utilization": _finite(decision.utilization),
        **({} if decision.host is None else {"host": decision.host}),
    }


def _finite(value: float | None) -> float | None:
    """Return the number as JSON can hold it."""
    return value if value is not None and math.isfinite(value) else None


def _decisions_table(found: Sequence[Episode]) -> Table:
    day = _day(episode.decisions[place].decided_at_s for episode in found for place in (0, -1))
    title = f"Scaling decisions, {day or 'times in'} UTC"
    with_hosts = any(episode.newest.host for episode in found)
    hosts = ["host"] if with_hosts else []
    table = _table(title, "time", *hosts, ">", "reason → what followed", ">value", ">threshold", wide=2 + len(hosts))
    for episode in found:
        decision, times, then = episode.newest, len(episode.decisions), " · ".join(after(episode.aftermath))
        _add(
            table,
            _moments(episode.since_s, decision.decided_at_s, day),
            *([cut(decision.host or "", 40)] if with_hosts else []),
            badge(decision) + (f" {times:,}×" if times > 1 else ""),
            cut(decision.reason, _LONGEST_NAME) + (f"\n→ {then}" if then else ""),
            *levels(decision),
        )
    return table


def _day(moments_s: Iterable[float]) -> str:
    """Return the day in UTC on which all of this happened; empty where these were several."""
    days = {(iso(at_s) or "")[:10] for at_s in moments_s}
    return days.pop() if len(days) == 1 else ""


def _moments(first_s: float, last_s: float, day: str) -> str:
    """Return a moment or a stretch of time, with the date unless it is of that day."""
    first, last = ((iso(at_s) or "")[:19].replace("T", " ").removeprefix(f"{day} ") for at_s in (first_s, last_s))
    if first == last:
        return first
    return f"{first}–{last}" if day else f"{first} – {last}"


def _changes_table(changes: Sequence[FleetChange]) -> Table:
    """Return how many workers joined and left for each reason."""
    day = _day(change.at_s for change in changes)
    title = f"Fleet changes, {day or 'times in'} UTC"
    table = _table(title, "change", "why", ">workers", "time", "among them", wide=4)
    together: dict[tuple[str, str], list[FleetChange]] = {}
    for change in changes:
        together.setdefault((change.change, change.why or "not known"), []).append(change)
    for (kind, why), alike in sorted(together.items(), key=lambda of: (of[0][0], -len(of[1]), of[0][1])):
        moments = [change.at_s for change in alike]
        names = ", ".join(cut(change.worker, 24) for change in alike[:_NAMED]) + ("…" if len(alike) > _NAMED else "")
        _add(table, kind, cut(why, 40), f"{len(alike):,}", _moments(min(moments), max(moments), day), names)
    return table


def _run(run: Run, store: str | None) -> dict[str, Any]:
    header = run.header
    found = tests(run)
    return {
        "id": header.id,
        "title": header.title,
        "labels": dict(header.labels),
        "started_at": iso(header.started_at_s),
        "ended_at": iso(header.ended_at_s),
        "interval_s": header.interval_s,
        "source": header.source,
        "host": header.host,
        "exit_code": header.facts.get("exit_code"),
        "store": store,
        "offset_s": run.origins[0].offset_s if run.origins else 0.0,
        "tests": dict(found.outcomes),
        "tiers": [
            {
                "tier": reach.tier,
                "bucket_s": reach.bucket_s,
                "first_at": iso(reach.first_s),
                "end_at": iso(reach.end_s),
                "bytes": reach.bytes,
            }
            for reach in run.tiers
        ],
        "notes": list(run.notes),
        "workers": [_worker(life) for worker in run.workers for life in worker.incarnations],
    }


def _worker(life: Incarnation) -> dict[str, Any]:
    return {
        "id": life.id,
        "kind": life.entry.kind,
        "host": life.entry.host,
        "pid": life.entry.pid,
        "incarnation": life.ordinal,
        "joined_at_s": life.joined_at_s,
        "left_at_s": life.left_at_s,
        "why_left": life.why_left,
        "capacity": capacity_json(life.capacity),
    }


def capacity_json(capacity: WorkerCapacity) -> dict[str, Any]:
    return {
        "cpu_cores": capacity.cpu_cores,
        "memory_bytes": capacity.memory_bytes,
        "gpus": capacity.gpu_count,
        "gpu_memory_bytes": capacity.gpu_memory_bytes,
    }


def _ranked(title: str, rows: Sequence[TestRow], *, with_hosts: bool) -> Table:
    table = _table(title, ">time", ">CPU", ">memory", "outcome", "worker", "test")
    for row in rows:
        task = row.last
        again = f" ({len(row.attempts)} attempts)" if len(row.attempts) > 1 else ""
        memory = "?" if task.memory_bytes is None else "+" + wording.size(task.memory_bytes)
        cpu = "?" if task.cpu_s is None else wording.seconds(task.cpu_s)
        _add(
            table,
            wording.seconds(task.duration_s),
            cpu,
            memory,
            cut(task.outcome, 12) + again,
            cut(task.worker, 16 if not with_hosts else 40),
            cut(task.name, _LONGEST_NAME),
        )
    return table


def _by_worker(found: TestTable) -> Table:
    table = _table("By worker", "worker", ">tests", ">failed", ">time", ">CPU")
    for worker in found.by_worker:
        cpu = "?" if worker.cpu_s is None else wording.seconds(worker.cpu_s)
        _add(table, cut(worker.worker, 40), str(worker.tests), str(worker.bad), wording.seconds(worker.seconds), cpu)
    return table


def _table(title: str, *columns: str, wide: int | None = None) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        justify = "right" if column.startswith(">") else "left"
        last = column in ("test", "title") or place == wide
        table.add_column(
            column.lstrip(">"),
            justify=justify,  # type: ignore[arg-type]
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
        )
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells))

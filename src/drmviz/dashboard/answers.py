"""What the API answers: plain data from a window of history, with unknown as null and money as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import numpy as np

from drmviz import __version__
from drmviz.analysis.cost import Money, ProviderCost, cloud_cost
from drmviz.analysis.efficiency import RESOURCES, Allotment, Resource, allotment, total, why_unknown
from drmviz.dashboard.fleet import Fleet
from drmviz.errors import InvalidValueError
from drmviz.figures import FIGURES
from drmviz.model.metrics import METRICS, FloatArray, Statistic
from drmviz.model.run import Run
from drmviz.model.status import OK, Status
from drmviz.report.tables import decisions_json, runs_json, tests_json

Answer = dict[str, Any]
Query = Mapping[str, Any]
COLUMNS = 600
_UNITS: dict[Resource, str] = {"cpu": "cores", "memory": "bytes", "gpu": "devices", "gpu_memory": "bytes"}
_ALLOTTED = tuple(metric for metric in METRICS if metric != "tasks_running")
_LEVELS: tuple[Statistic, ...] = ("mean", "min", "max")


def snapshot(fleet: Fleet, query: Query) -> Answer:
    """Return how the fleet stands: the newest tick of each worker that lives."""
    run = newest_tick(fleet)
    living = [row for row in range(len(run.workers)) if run.columns and run.alive[row, -1]]
    newest = {metric: run.values(metric)[:, -1] if run.columns else np.empty(0) for metric in METRICS}
    return {
        **_about(run),
        "at_s": run.end_s if run.columns else None,
        "sequence": None if fleet.hub is None or fleet.hub.newest is None else fleet.hub.newest.number,
        "is_being_written": fleet.is_being_written(),
        "status": status(fleet, {})["status"],
        "workers": [
            {
                "id": run.workers[row].id,
                "kind": run.workers[row].kind,
                "host": run.workers[row].host,
                **{metric: _number(values[row]) for metric, values in newest.items()},
            }
            for row in living
        ],
        "fleet": {metric: _mean(values[living]) for metric, values in newest.items() if metric != "tasks_running"},
    }


def workers(fleet: Fleet, query: Query) -> Answer:
    """Return every life of every worker, those that left too."""
    run = _events(fleet, query)
    return {**_about(run), "workers": runs_json([run])["runs"][0]["workers"]}


def runs(fleet: Fleet, query: Query) -> Answer:
    """Return what is recorded."""
    found, where = fleet.runs()
    return runs_json(found, stores=where)


def heatmap(fleet: Fleet, query: Query) -> Answer:
    """Return one metric as workers x columns."""
    metric, statistic = query["metric"], query["statistic"]
    run = _read(fleet, query, columns=query["columns"], metrics=(metric,), statistics=(statistic,))
    return {
        "metric": metric,
        "statistic": statistic,
        "workers": [worker.id for worker in run.workers],
        "starts_at_s": run.starts_at_s,
        "width_s": run.width_s,
        "values": _grid(np.where(run.alive, run.values(metric, statistic), np.nan)),
    }


def series(fleet: Fleet, query: Query) -> Answer:
    """Return one metric of one worker over time, with its extremes."""
    metric = query["metric"]
    run = _read(
        fleet, query, columns=query["points"], metrics=(metric,), statistics=_LEVELS, workers=(query["worker"],)
    )
    if not run.workers:  # nobody was there yet, so nobody is unknown to the history
        raise InvalidValueError("worker", query["worker"], "was not there")
    return {
        "worker": query["worker"],
        "metric": metric,
        "starts_at_s": run.starts_at_s,
        "width_s": run.width_s,
        **{level: _row(run.values(metric, level)) for level in _LEVELS},
    }


def scaling(fleet: Fleet, query: Query) -> Answer:
    """Return decisions with their reasons, who joined and left, and what the fleet is scaled by."""
    run = _events(fleet, query)
    return {**decisions_json(run), "policy": run.policy.facts()}


def tasks(fleet: Fleet, query: Query) -> Answer:
    """Return what each test used."""
    return tests_json(_events(fleet, query))


def allocation(fleet: Fleet, query: Query) -> Answer:
    """Return what each worker has, what of it is reserved and what is used; in cores, bytes and devices."""
    return _by_resource(fleet, query, ("capacity", "reserved", "used", "idle", "free"), _allocated)


def efficiency(fleet: Fleet, query: Query) -> Answer:
    """Return how much of what was reserved was used."""
    parts = ("reserved_ratio", "used_ratio", "efficiency_ratio", "wasteful")
    return _by_resource(fleet, query, parts, _compared)


def cloud(fleet: Fleet, query: Query) -> Answer:
    """Return what each provider runs and what that costs; amounts are decimal text."""
    cost = cloud_cost(_read(fleet, query, columns=COLUMNS, metrics=("cpu_ratio",)))
    return {
        "start_s": cost.start_s,
        "end_s": cost.end_s,
        "providers": [_provider(each) for each in cost.providers],
        "per_hour": _amounts(cost.rates_now),
        "spent": _amounts(cost.spent),
    }


def figures(fleet: Fleet, query: Query) -> Answer:
    """Return which figures there are."""
    return {"figures": [{"name": f.stem, "type": f.type, "title": f.title} for f in FIGURES.values()]}


def status(fleet: Fleet, query: Query) -> Answer:
    """Return how each source and the store are doing; `status` is the worst of them."""
    found = fleet.statuses()
    order = ("OK", "DEGRADED", "FAILED")
    worst = max(found.items(), key=lambda each: order.index(each[1].state), default=("", OK))
    said = worst[1] if worst[1].state == "OK" else Status(
        state=worst[1].state, reason=f"{worst[0]}: {worst[1].reason}", since_s=worst[1].since_s
    )  # fmt: skip
    return {
        "status": _status(said),
        "parts": {name: _status(each) for name, each in found.items()},
        "drmviz": __version__,
    }


def _status(of: Status) -> Answer:
    return {"state": of.state, "reason": of.reason or None, "since_s": of.since_s}


def _read(fleet: Fleet, query: Query, **window: Any) -> Run:
    return fleet.read(start_s=query.get("start"), end_s=query.get("end"), **window)


def _events(fleet: Fleet, query: Query) -> Run:
    return _read(fleet, query, columns=1, metrics=("cpu_ratio",))


def newest_tick(fleet: Fleet) -> Run:
    """Return the last interval of the run as one column."""
    whole = fleet.read(columns=1, metrics=())
    if whole.measured_ticks == 0:
        return Run.empty(whole.header)
    width_s = whole.header.interval_s or 1.0
    return fleet.read(start_s=whole.end_s - width_s, end_s=whole.end_s, columns=1, metrics=METRICS)


def _about(run: Run) -> Answer:
    header = run.header
    return {
        "run": {
            "id": header.id,
            "title": header.title,
            "host": header.host,
            "started_at_s": header.started_at_s,
            "ended_at_s": header.ended_at_s,
            "interval_s": header.interval_s,
        },
        "notes": list(run.notes),
    }


def _by_resource(fleet: Fleet, query: Query, parts: tuple[str, ...], summed: Any) -> Answer:
    run = _read(fleet, query, columns=COLUMNS, metrics=(), means=_ALLOTTED)
    found: Answer = {}
    for resource in RESOURCES:
        of = allotment(run, resource)
        if not of.is_known and not np.isfinite(of.capacity).any():
            continue
        columns = {part: getattr(of, part).tolist() for part in parts}
        found[resource] = {
            "unit": _UNITS[resource],
            "workers": [
                {"id": worker.id, **{part: _plain(columns[part][place]) for part in parts}}
                for place, worker in enumerate(of.workers)
            ],
            **summed(of),
        }
    return {"start_s": run.start_s, "end_s": run.end_s, "resources": found}


def _allocated(of: Allotment) -> Answer:
    return {"total": {name: _plain(value) for name, value in asdict(total(of)).items() if name != "compared"}}


def _compared(of: Allotment) -> Answer:
    sums = total(of)
    return {
        "efficiency_ratio": _plain(sums.efficiency_ratio),
        "idle": _plain(sums.idle),
        "unknown": why_unknown(of),
    }


def _provider(each: ProviderCost) -> Answer:
    return {
        "provider": each.provider,
        "workers": each.workers_now,
        "instance_types": dict(each.instance_types),
        "per_hour": _amounts(each.rates_now),
        "spent": _amounts(each.spent),
        "unpriced_s": each.unpriced_s,
        "uncounted_s": each.uncounted_s,
        "problem": each.problem or None,
        "basis_of_count": "labels" if each.is_labelled else "provider",
    }


def _amounts(amounts: Mapping[Money, Decimal]) -> list[Answer]:
    return [
        {"currency": money.currency, "basis": money.basis, "amount": format(amount, "f")}
        for money, amount in amounts.items()
    ]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _mean(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else None


def _row(grid: FloatArray) -> FloatArray:
    return np.ascontiguousarray(grid[0])


def _grid(grid: FloatArray) -> FloatArray:
    return np.ascontiguousarray(grid, dtype=np.float32)

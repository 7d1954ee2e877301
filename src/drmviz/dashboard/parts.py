"""The parts of the page as its scripts renew them: how the fleet stands, and one figure with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from drmviz.dashboard.cells import cells
from drmviz.dashboard.fleet import Fleet
from drmviz.figures.encoding import to_page_json
from drmviz.figures.resource_utilization_heatmap import fleet_events
from drmviz.model.metrics import METRICS
from drmviz.model.run import Run
from drmviz.report import dashboard
from drmviz.report.charts import Chart
from drmviz.report.overview import MEANS, NEEDS, Overview, overview
from drmviz.report.wording import clean, iso, percent

COLUMNS = 300
"""Of a live page: five minutes at a tick each second."""


def window(fleet: Fleet, query: Mapping[str, Any], *, columns: int) -> Run:
    """Read what the dashboard needs of a window, or of its last seconds."""
    last_s = query.get("last")
    start_s = fleet.start_of(last_s, columns) if last_s is not None else query.get("start")
    asked = {"start_s": start_s, "end_s": query.get("end"), "columns": columns}
    run = fleet.read(metrics=NEEDS, means=MEANS, **asked)
    if run.is_empty or any(run.is_measured(metric) for metric in NEEDS[:3]):
        return run
    return fleet.read(metrics=METRICS, **asked)  # reservations stand in


def overview_answer(fleet: Fleet, query: Mapping[str, Any]) -> bytes:
    """Return cards, decisions with their reasons, what comes next, and who came and went, for people to read."""
    number = fleet.newest_number()
    run = window(fleet, query, columns=COLUMNS)
    return orjson.dumps({"sequence": number, **plain(overview(run), run)})


def plain(of: Overview, run: Run) -> dict[str, Any]:
    """Return an overview as the scripts of the page take it."""
    return {
        "run": run.header.id,
        "nothing": of.nothing,
        "lasted": of.lasted,
        "ended": of.ended,
        "ended_at_s": of.ended_at_s,
        "cards": [asdict(card) for card in of.cards],
        "entries": [asdict(entry) | {"at": iso(entry.at_s)} for entry in of.entries],
        "older": of.older,
        "decided": of.decided,
        "next": of.next and asdict(of.next) | {
            "value": percent(of.next.value), "said": of.next.said, "filled": of.next.filled, "ticks": of.next.ticks,
        },
        "seen": of.seen,
        "tests": of.tests,
        "notes": [clean(note) for note in run.notes[:50]],
        "events": [asdict(event) for event in fleet_events(run)],
    }  # fmt: skip


def figure_answer(fleet: Fleet, query: Mapping[str, Any]) -> bytes:
    """Return one figure of the dashboard: each of its pictures with what differs in dark, and its numbers."""
    run = window(fleet, query, columns=query["columns"])
    drawn = dashboard.section(query["name"], run)
    if drawn is None:
        return orjson.dumps({"name": query["name"], "said": "", "variants": []})
    return orjson.dumps(
        {
            "name": query["name"],
            "said": drawn.said,
            "variants": [{"name": variant.name, **_picture(variant.chart)} for variant in drawn.variants],
        }
    )


def cells_answer(fleet: Fleet, query: Mapping[str, Any]) -> bytes:
    return cells(
        fleet, metric=query["metric"], statistic=query["statistic"], columns=query["columns"],
        start_s=query["start"], end_s=query["end"], last_s=query["last"],
    )  # fmt: skip


def _picture(chart: Chart) -> dict[str, Any]:
    return {
        "id": chart.id,
        "description": clean(chart.description),
        "why": clean(chart.why),
        "height": 0 if chart.spec is None else int(chart.spec["layout"].get("height", 450)),
        "spec": None if chart.spec is None else orjson.Fragment(to_page_json(chart.spec)),
        "themes": chart.themes,
        "numbers": asdict(chart.numbers),
    }

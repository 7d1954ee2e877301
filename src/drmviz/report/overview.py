"""How a fleet stands, in words and cards: what the one-file dashboard begins with and the live page renews."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drmviz.analysis.cost import cloud_cost
from drmviz.analysis.scaling import fleet_use
from drmviz.figures.names import count
from drmviz.figures.units import date_and_clock, duration
from drmviz.model.metrics import FloatArray, Metric
from drmviz.model.run import Run
from drmviz.report import feed
from drmviz.report.cards import Card
from drmviz.report.fleet_cards import cards

MEANS: tuple[Metric, ...] = ("memory_reserved_ratio", "gpu_reserved_ratio")
"""Metrics of which the mean over the window is enough where use was measured; else their columns are drawn."""
NEEDS: tuple[Metric, ...] = (
    "cpu_ratio", "memory_ratio", "gpu_ratio", "cpu_reserved_ratio", "tasks_running",
)  # fmt: skip
"""Metrics that the run must hold, their means alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One window of a fleet."""

    nothing: str
    """Why there is nothing at all to see; empty where there is something."""
    lasted: str
    ended_at_s: float
    ended: str
    cards: tuple[Card, ...]
    found: tuple[feed.Entry, ...]
    """Everything that happened, newest first."""
    entries: tuple[feed.Entry, ...]
    """What is shown of it: neighbours that hold are one."""
    older: int
    """How many of those are not shown."""
    decided: str
    next: feed.Next | None
    seen: str
    tests: int
    """How many tests were running in the window."""


def overview(run: Run, use: Mapping[Metric, FloatArray] | None = None) -> Overview:
    """Sum up a window; the run must hold `NEEDS` and the means of `MEANS`.

    `use` holds how busy the fleet was, by metric, where that is known already.
    """
    if use is None:
        use = {metric: fleet_use(run, metric) for metric in (*NEEDS, *MEANS) if run.is_measured(metric)}
    cost = cloud_cost(run)
    lasted_s = cost.end_s - cost.start_s
    nothing = _nothing(run)
    found = feed.entries(run, use)
    shown = feed.folded(found)
    lasted = duration(lasted_s) if lasted_s > 0 else ""
    return Overview(
        nothing=nothing,
        lasted=lasted,
        ended_at_s=cost.end_s,
        ended=date_and_clock(cost.end_s),
        cards=() if nothing else tuple(cards(run, cost, use)),
        found=tuple(found),
        entries=tuple(shown[: feed.MOST_SHOWN]),
        older=max(0, len(shown) - feed.MOST_SHOWN),
        decided=count(len(run.decisions), "decision") + (f" in {lasted}" if lasted else ""),
        next=feed.next_decision(run, use),
        seen=_seen(run),
        tests=len(run.tasks),
    )


def _nothing(run: Run) -> str:
    if not run.is_empty or run.cloud or run.decisions or run.tasks:
        return ""
    if run.measured_ticks:
        return "No worker was seen in this window."
    return "Nothing has been recorded yet. The page fills as soon as a worker has been measured."


def _seen(run: Run) -> str:
    return f"{count(len(run.workers), 'worker')} seen · {count(run.measured_ticks, 'sample')}"

"""Amounts of a resource as people read them, and which resources a picture of reservations shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drmviz.analysis.efficiency import Allotment, Resource, allotment, metrics_of, resource_of
from drmviz.figures.base import FigureOptions
from drmviz.model.metrics import Metric
from drmviz.model.run import Run

USUAL: tuple[Resource, ...] = ("cpu", "memory", "gpu")
NAMES: dict[Resource, str] = {"cpu": "CPU", "memory": "Memory", "gpu": "GPU", "gpu_memory": "GPU memory"}
NO_RESOURCE = "Tasks are counted and not reserved or used up; ask for cpu, memory or gpu."


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a resource is counted in."""

    one: str
    many: str
    size: float = 1.0
    """Of it in what sums count: cores, bytes, devices."""


UNITS: dict[Resource, Unit] = {
    "cpu": Unit(one="core", many="cores"),
    "memory": Unit(one="GiB", many="GiB", size=2**30),
    "gpu": Unit(one="device", many="devices"),
    "gpu_memory": Unit(one="GiB", many="GiB", size=2**30),
}


def amount(value: float | None) -> str:
    """Return "0", "0.31", "7.3", "45" or "1,250": about two digits; "–" where not known."""
    if value is None or math.isnan(value):
        return "–"
    if 0 < value < 0.005:
        return "<0.01"
    if value < 0.995:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:,.0f}"


def counted(value: float, unit: Unit) -> str:
    """Return "1 core", "7.3 cores"."""
    written = amount(value)
    return f"{written} {unit.one if written == '1' else unit.many}"


def needed(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of the resource asked for, or of the usual three."""
    return tuple(metric for resource in _asked(options) for metric in metrics_of(resource))


def allotments(run: Run, options: FigureOptions) -> list[Allotment]:
    """Return the resource asked for, or those of the usual three of which anything is known."""
    found = [allotment(run, resource, statistic=options.statistic) for resource in _asked(options)]
    return found if options.metric else [of for of in found if of.is_known]


def _asked(options: FigureOptions) -> tuple[Resource, ...]:
    if options.metric is None:
        return USUAL
    resource = resource_of(options.metric)
    return () if resource is None else (resource,)

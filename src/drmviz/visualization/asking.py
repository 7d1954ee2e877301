"""What a caller may ask of any figure, checked before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, TypeVar

from drmviz.errors import InvalidValueError, UsageError
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.model.metrics import DRAWN_STATISTICS, METRICS, Metric, Statistic
from drmviz.model.moments import seconds_of

SHORT_METRICS: dict[str, Metric] = {"cpu": "cpu_ratio", "memory": "memory_ratio", "gpu": "gpu_ratio"}
THEMES: tuple[ThemeName, ...] = ("light", "dark")
COLUMNS = 600

_Choice = TypeVar("_Choice", ThemeName, Statistic)

Moment = float | datetime | str
"""Epoch seconds, a datetime, or ISO 8601 text; what names no zone is local time."""


class Options(TypedDict, total=False):
    """Options of every figure; what is left out, or None, is up to the figure."""

    metric: str | None
    """`cpu`, `memory`, `gpu`, or the full name of any metric."""
    statistic: str | None
    """`mean` or `max` of the ticks of a column."""
    start: Moment | None
    end: Moment | None
    """Not included."""
    workers: Iterable[str] | None
    """Only these rows, in this order, never merged."""
    title: str | None
    theme: str | None
    width: int | None
    height: int | None
    """Pixels."""
    columns: int | None
    """At most so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The same, checked: how to draw, and which window of history."""

    options: FigureOptions
    start_s: float | None = None
    end_s: float | None = None
    columns: int = COLUMNS
    workers: tuple[str, ...] | None = None


def read_options(given: Mapping[str, Any]) -> Asked:
    """Check the options of one figure.

    Raises:
        UsageError: there is no such option.
        InvalidValueError: a value is not one of those that there are.
    """
    for name in given:
        if name not in Options.__annotations__:
            raise UsageError(f"{name!r} is not an option of a figure; there are {', '.join(Options.__annotations__)}.")
    said = {name: value for name, value in given.items() if value is not None}
    start_s, end_s = (seconds_of(said[name], name) if name in said else None for name in ("start", "end"))
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise InvalidValueError("end", given["end"], "the window would end before its start")
    title, workers = said.get("title"), _workers(said.get("workers"))
    if title is not None and not isinstance(title, str):
        raise InvalidValueError("title", title, "must be text")
    return Asked(
        options=FigureOptions(
            metric=_metric(said.get("metric")),
            statistic=_one_of(DRAWN_STATISTICS, "statistic", said.get("statistic", "mean")),
            title=title,
            theme=_one_of(THEMES, "theme", said.get("theme", "light")),
            width=_pixels("width", said.get("width"), least=200),
            height=_pixels("height", said.get("height"), least=150),
            workers_named=workers is not None,
        ),
        start_s=start_s,
        end_s=end_s,
        columns=_pixels("columns", said.get("columns"), least=1) or COLUMNS,
        workers=workers,
    )


def _metric(given: object) -> Metric | None:
    if given is None:
        return None
    full = SHORT_METRICS.get(given, given) if isinstance(given, str) else given
    known = next((metric for metric in METRICS if metric == full), None)
    if known is None:
        raise InvalidValueError("metric", given, f"is not one of {', '.join((*SHORT_METRICS, *METRICS))}")
    return known


def _one_of(choices: tuple[_Choice, ...], name: str, given: object) -> _Choice:
    for choice in choices:
        if choice == given:
            return choice
    raise InvalidValueError(name, given, f"is not one of {', '.join(choices)}")


def _pixels(name: str, given: object, *, least: int) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= 20_000:
        raise InvalidValueError(name, given, f"must be a whole number from {least} to 20,000")
    return given


def _workers(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidValueError("workers", given, "must be a list of worker ids")
    workers = tuple(given)
    for worker in workers:
        if not isinstance(worker, str):
            raise InvalidValueError("workers", worker, "is not a worker id: those are text")
    if not workers:
        raise InvalidValueError("workers", workers, "must name at least one; leave it out for all of them")
    return workers

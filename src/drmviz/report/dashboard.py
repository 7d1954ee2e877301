"""The dashboard of a fleet as one file: how it stands, how it got there, why it was scaled and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drmviz.analysis.efficiency import resource_of
from drmviz.analysis.utilization import rows_of
from drmviz.figures import load
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.names import count
from drmviz.figures.providers import providers_of
from drmviz.figures.resource_utilization_heatmap import RESERVED
from drmviz.figures.units import duration
from drmviz.model.metrics import Metric
from drmviz.model.run import Run
from drmviz.report import behind, feed
from drmviz.report.behind import NO_NUMBERS, Numbers
from drmviz.report.charts import Chart, drawn_chart, nothing_drawn, scripts
from drmviz.report.overview import MEANS as MEANS
from drmviz.report.overview import NEEDS as NEEDS
from drmviz.report.overview import Overview, overview
from drmviz.report.templating import template
from drmviz.report.wording import iso

_RATIOS: tuple[Metric, ...] = (*RESERVED, *RESERVED.values())
TITLE = "Resource dashboard"
_FEW_ROWS, _MANY_ROWS, _MERGED_ROWS = 6, 24, 60
"""Of so few workers all metrics of a figure fit below each other; more share a given height, and beyond are merged."""
_SIDE_PX, _CLOUD_PX, _SCALING_PX = 560, 620, 440
_FEW_PROVIDERS = 4
"""Of more, the table needs the room that it takes."""

Behind = Callable[[Run, Metric, Any], Numbers]
"""Makes the table of a metric; the last argument are the numbers of the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the pictures that a section can show."""

    name: str
    """What its switch says; empty where there is nothing to switch."""
    chart: Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One figure of the page."""

    id: str
    title: str
    said: str
    span: str
    """How wide it is: a class of the style sheet."""
    variants: tuple[Variant, ...] = ()


OUTLINES = {
    outline.id: outline
    for outline in (
        Section(id="use", title="Fleet utilization", said="", span="c8"),
        Section(
            id="scaling", title="Utilization and scaling", span="c12",
            said="how busy the fleet was against its thresholds, what was decided, who came and went",
        ),
        Section(id="allocation", title="Allocation", said="most idle first", span="c4"),
        Section(id="efficiency", title="Efficiency", said="used against reserved", span="c4"),
        Section(id="cloud", title="Cloud usage and cost", said="", span="c4"),
        Section(id="tests", title="Tests over time", said="", span="c12"),
    )
}  # fmt: skip
"""Every figure of the page, in its order and before it is drawn."""


def render(run: Run, *, theme: ThemeName | None = None, title: str | None = None) -> str:
    """Return one self-contained HTML page; `theme` fixes what else follows the reader's preference.

    The run must hold the means of `NEEDS`. A figure that cannot be drawn costs only itself.
    """
    run, of = _summed(run)
    sections = {} if of.nothing else {id_: section for id_ in OUTLINES if (section := _section(id_, run, of))}
    return template("dashboard.html.j2").render(
        **told(run, of, theme=theme, title=title),
        sections=sections,
        scripts=scripts([variant.chart for section in sections.values() for variant in section.variants]),
    )


def told(run: Run, of: Overview, *, theme: ThemeName | None = None, title: str | None = None) -> dict[str, Any]:
    """Return what the templates of both pages are given."""
    return {
        "run": run,
        "header": run.header,
        "theme": theme,
        "title": TITLE if title is None else title,
        "name": title or run.header.title or TITLE,
        "iso": iso,
        "of": of,
        "nonce": None,
        "module": None,
        "icon": None,
    }


def section(id_: str, run: Run) -> Section | None:
    """Draw one figure of `OUTLINES` with all its variants; None where there is none to draw."""
    run, of = _summed(run)
    return None if of.nothing else _section(id_, run, of)


def _summed(run: Run) -> tuple[Run, Overview]:
    """Return the run with the means that are needed many times, and its sums."""
    run = replace(run, means={**run.means, **{metric: run.mean_of(metric) for metric in _RATIOS}})
    return run, overview(run)


def _section(id_: str, run: Run, of: Overview) -> Section | None:
    if id_ == "tests" and not run.tasks:
        return None
    rows = len(rows_of(run, "worker", "process"))
    drawn: dict[str, Callable[[], tuple[Variant, ...]]] = {
        "use": lambda: _use_variants(run),
        "scaling": lambda: _variants(
            "scaling_history", run, [], lambda *_: feed.behind(of.found), height=_SCALING_PX
        ),
        "allocation": lambda: _variants(
            "resource_allocation", run, _allotted(run, any), _allotted_behind, height=_allocation_px(rows)
        ),
        "efficiency": lambda: _variants(
            "resource_efficiency", run, _allotted(run, all), _shares_behind, height=_SIDE_PX
        ),
        "cloud": lambda: _variants(
            "cloud_resources", run, [], lambda *given: behind.providers(given[-1]),
            height=_CLOUD_PX if 0 < len(providers_of(run)) <= _FEW_PROVIDERS else None,
        ),
        "tests": lambda: _variants("test_timeline", run, [], lambda *_: behind.ran(run), height=None),
    }  # fmt: skip
    said = {
        "use": f"{count(rows, 'worker')}, {of.lasted or '0 s'}, mean of {duration(run.width_s)} per cell",
        "tests": count(len(run.tasks), "test"),
    }
    outline = OUTLINES[id_]
    return replace(outline, said=said.get(id_, outline.said), variants=drawn[id_]())


def _allocation_px(rows: int) -> int | None:
    """Return a height at which bars have room for their names: the natural one of few, of very many merged ones."""
    if rows <= _MANY_ROWS:
        return None
    return _SIDE_PX if rows <= _MERGED_ROWS else min(_SIDE_PX, 170 + 4 * rows)


def _allotted(run: Run, needed: Callable[[Iterable[bool]], bool]) -> list[Metric]:
    """Return the metrics of which use or reservation is known, or both."""

    def is_known(metric: Metric) -> bool:
        return bool(np.isfinite(run.means.get(metric, np.nan)).any())

    return [used for used, granted in RESERVED.items() if needed(map(is_known, (used, granted)))]


def _allotted_behind(run: Run, metric: Metric, _: object) -> Numbers:
    resource = resource_of(metric)
    return NO_NUMBERS if resource is None else behind.allotted(run, resource)


def _shares_behind(run: Run, metric: Metric, _: object) -> Numbers:
    resource = resource_of(metric)
    return NO_NUMBERS if resource is None else behind.shares(run, resource)


def _use_variants(run: Run) -> tuple[Variant, ...]:
    """Draw the heatmap, arranged once; where there are many workers each metric by itself."""
    stem, options = "resource_utilization_heatmap", FigureOptions(title="")
    try:
        figure = load(stem)
        numbers = figure.arrange(_only_use(run), options)
        panels = [(panel,) for panel in numbers.panels] if len(run.workers) > _FEW_ROWS else [numbers.panels]
        return tuple(
            Variant(
                name="" if len(panels) == 1 else shown[0].name,
                chart=replace(
                    drawn_chart(f"figure-{stem}-{place}", figure, replace(numbers, panels=shown), options),
                    numbers=behind.slices(run, shown[0].metric) if shown else NO_NUMBERS,
                ),
            )
            for place, shown in enumerate(panels or [()])
        )
    except Exception as error:  # noqa: BLE001  a boundary: one figure of a set
        return (_failed(f"figure-{stem}", error),)


def _only_use(run: Run) -> Run:
    """Return the run without the columns that its heatmap does not show, so that they are not sorted either."""
    if not any(run.is_measured(metric) for metric in RESERVED):
        return run
    return replace(run, grids={key: grid for key, grid in run.grids.items() if key[0] in RESERVED})


def _variants(stem: str, run: Run, metrics: list[Metric], table: Behind, *, height: int | None) -> tuple[Variant, ...]:
    """Draw a figure for each metric, or once for all where there is room; what fails says so in its place."""
    together = len(metrics) < 2 or (len(run.workers) <= _FEW_ROWS and height is None)
    found = []
    for metric in [None] if together else metrics:
        options = FigureOptions(title="", metric=metric, height=height)
        name = "" if metric is None else METRIC_NAMES[metric]
        id_ = f"figure-{stem}" + (f"-{metric}" if metric else "")
        try:
            figure = load(stem)
            numbers = figure.arrange(run, options)
            chart = drawn_chart(id_, figure, numbers, options)
            chart = replace(chart, numbers=table(run, metric or (metrics or NEEDS)[0], numbers))
        except Exception as error:  # noqa: BLE001  a boundary: one figure of a set
            found.append(_failed(id_, error, name=name))
            continue
        found.append(Variant(name=name, chart=chart))
    return tuple(found)


def _failed(id_: str, error: Exception, *, name: str = "") -> Variant:
    return Variant(
        name=name, chart=nothing_drawn(id_, f"This figure could not be drawn ({type(error).__name__}: {error}).")
    )

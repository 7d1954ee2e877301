"""The pictures of the page: each once, with what differs between the two themes beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from drmviz.analysis.utilization import rows_of
from drmviz.errors import MissingExtraError
from drmviz.figures import load
from drmviz.figures.base import FigureOptions
from drmviz.figures.encoding import to_page_json
from drmviz.figures.page import bundle_script_html, figure_block_html, loader_script_html
from drmviz.model.metrics import FloatArray
from drmviz.model.run import Run
from drmviz.report import wording

_SLICES = 12
_MOST_ROWS = 300
HEADINGS = {"resource_utilization_heatmap": "Utilization", "test_timeline": "Tests over time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture: its heading, its block, and its numbers as a table."""

    id: str
    title: str
    description: str
    block: Markup
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    drawn: bool = True


def charts(run: Run) -> list[Chart]:
    """Draw the heatmap and the tests, each where it has something to show; without Plotly each says what is missing."""
    has = {"resource_utilization_heatmap": bool(run.workers and run.columns), "test_timeline": bool(run.tasks)}
    return [_chart(stem, run) for stem in HEADINGS if has[stem]]


def scripts(drawn: Sequence[Chart]) -> Markup:
    """Return Plotly and what draws with it; nothing where there is no picture."""
    if not any(chart.drawn for chart in drawn):
        return Markup("")
    return Markup(bundle_script_html() + loader_script_html())


def _chart(stem: str, run: Run) -> Chart:
    columns, rows = _slices(run) if stem == "resource_utilization_heatmap" else ((), ())
    chart = Chart(
        id=f"figure-{stem}", title=HEADINGS[stem], description="", block=Markup(""), columns=columns, rows=rows
    )
    figure = load(stem)
    light = FigureOptions(theme="light", title="")
    numbers = figure.arrange(run, light)
    description = figure.describe(numbers)
    try:
        bundle_script_html()
        spec = figure.draw_plotly(numbers, light)
        dark = figure.draw_plotly(numbers, replace(light, theme="dark"))
    except MissingExtraError as error:
        return replace(chart, drawn=False, block=Markup('<p class="none">{}</p>').format(str(error)))
    differing = list(_differences(json.loads(to_page_json(spec)), json.loads(to_page_json(dark)), ()))
    # Inside a script element only "<" could end it or open another.
    themes = json.dumps(differing, separators=(",", ":")).replace("<", "\\u003c")
    block = figure_block_html(chart.id, spec, description) + (
        f'<script type="application/json" data-themes="{chart.id}">{themes}</script>\n'
    )
    return replace(chart, description=description, block=Markup(block))


def _differences(light: Any, dark: Any, path: tuple[str | int, ...]) -> Iterator[list[Any]]:
    """Yield [path, light, dark] for each part in which the two pictures differ; null stands for "not there"."""
    if light == dark:
        return
    if isinstance(light, dict) and isinstance(dark, dict) and "shape" not in light:
        for name in {**light, **dark}:
            yield from _differences(light.get(name), dark.get(name), (*path, name))
    elif isinstance(light, list) and isinstance(dark, list) and len(light) == len(dark) and _nested(light):
        for i, (one, other) in enumerate(zip(light, dark, strict=True)):
            yield from _differences(one, other, (*path, i))
    else:
        yield [list(path), light, dark]


def _nested(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _slices(run: Run) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the mean CPU of each worker in some equal parts of the window."""
    rows = rows_of(run, "worker", "process")
    grid = run.grids.get(("cpu_ratio", "mean"))
    if grid is None or not rows or not run.columns:
        return (), ()
    edges = np.unique(np.linspace(0, run.columns, _SLICES + 1).round().astype(int))
    starts_s = run.starts_at_s[edges[:-1]] - run.starts_at_s[0]
    heads = ("CPU, mean", *(f"from {wording.elapsed(float(start_s))}" for start_s in starts_s))
    means = _means(grid[rows[:_MOST_ROWS]], edges)
    lines = tuple(
        (run.workers[row].id, *("–" if np.isnan(mean) else f"{mean * 100:.0f} %" for mean in means[i]))
        for i, row in enumerate(rows[:_MOST_ROWS])
    )
    return heads, lines


def _means(grid: FloatArray, edges: np.ndarray[Any, Any]) -> FloatArray:
    """Return float64 of shape (rows, parts), NaN where nothing was measured."""
    measured = np.add.reduceat(np.isfinite(grid).astype(np.float64), edges[:-1], axis=1)
    total = np.add.reduceat(np.nan_to_num(grid).astype(np.float64), edges[:-1], axis=1)
    means = np.full(total.shape, np.nan)
    np.divide(total, measured, out=means, where=measured > 0)
    return means

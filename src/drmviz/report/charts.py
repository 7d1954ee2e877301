"""The pictures of a page: each once, with what differs between the two themes beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from drmviz.errors import MissingExtraError
from drmviz.figures import load
from drmviz.figures.base import CellText, FigureModule, FigureOptions, PlotlySpec
from drmviz.figures.bundle import bundle_path
from drmviz.figures.page import bundle_script_html, figure_block_html, loader_script_html
from drmviz.model.run import Run
from drmviz.report.behind import NO_NUMBERS, Numbers, slices

HEADINGS = {"resource_utilization_heatmap": "Utilization", "test_timeline": "Tests over time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture: its heading, its block, and its numbers as a table."""

    id: str
    title: str
    description: str = ""
    spec: PlotlySpec | None = None
    """In light; None where nothing could be drawn."""
    themes: tuple[list[Any], ...] = ()
    """[path, light, dark] for each part in which the dark one differs."""
    why: str = ""
    """Why there is no picture."""
    numbers: Numbers = NO_NUMBERS

    @property
    def block(self) -> Markup:
        """The picture as a file carries it."""
        if self.spec is None:
            return Markup('<p class="none">{}</p>').format(self.why)
        # Inside a script element only "<" could end it or open another.
        themes = json.dumps(self.themes, separators=(",", ":")).replace("<", "\\u003c")
        return Markup(
            figure_block_html(self.id, self.spec, self.description)
            + f'<script type="application/json" data-themes="{self.id}">{themes}</script>\n'
        )


def charts(run: Run) -> list[Chart]:
    """Draw the heatmap and the tests, each where it has something to show; without Plotly each says what is missing."""
    found = []
    if run.workers and run.columns:
        numbers = slices(run, "cpu_ratio")
        found.append(replace(chart_of("resource_utilization_heatmap", run), numbers=numbers))
    if run.tasks:
        found.append(chart_of("test_timeline", run))
    return [replace(chart, title=HEADINGS[chart.id.removeprefix("figure-")]) for chart in found]


def scripts(drawn: Sequence[Chart]) -> Markup:
    """Return Plotly and what draws with it; nothing where there is no picture."""
    if not any(chart.spec for chart in drawn):
        return Markup("")
    return Markup(bundle_script_html() + loader_script_html())


def chart_of(stem: str, run: Run, options: FigureOptions | None = None) -> Chart:
    """Draw a figure without a title of its own."""
    options = options or FigureOptions(title="")
    figure = load(stem)
    return drawn_chart(f"figure-{stem}", figure, figure.arrange(run, options), options)


def drawn_chart(id_: str, figure: FigureModule, numbers: Any, options: FigureOptions) -> Chart:
    """Draw arranged numbers in both themes; without Plotly the block says what is missing."""
    description = figure.describe(numbers)
    try:
        bundle_path()
    except MissingExtraError as error:
        return replace(nothing_drawn(id_, str(error)), description=description)
    light, dark = (figure.draw_plotly(numbers, replace(options, theme=theme)) for theme in ("light", "dark"))
    return Chart(id=id_, title="", description=description, spec=light, themes=tuple(_differences(light, dark, ())))


def nothing_drawn(id_: str, why: str) -> Chart:
    """Return a chart with words in the place of its picture."""
    return Chart(id=id_, title="", why=why)


def _differences(light: Any, dark: Any, path: tuple[str | int, ...]) -> Iterator[list[Any]]:
    """Yield [path, light, dark] for each part in which the two pictures differ; null stands for "not there"."""
    if light is dark or _is_same(light, dark):
        return
    if isinstance(light, dict) and isinstance(dark, dict):
        for name in {**light, **dark}:
            yield from _differences(light.get(name), dark.get(name), (*path, name))
    elif _nested(light) and _nested(dark) and len(light) == len(dark):
        for i, (one, other) in enumerate(zip(light, dark, strict=True)):
            yield from _differences(one, other, (*path, i))
    else:
        yield [list(path), _plain(light), _plain(dark)]


def _is_same(light: Any, dark: Any) -> bool:
    if isinstance(light, np.ndarray):
        return isinstance(dark, np.ndarray) and np.array_equal(light, dark, equal_nan=True)
    if isinstance(light, CellText):
        return isinstance(dark, CellText) and light.texts == dark.texts and np.array_equal(light.index, dark.index)
    return not isinstance(light, dict) and not _nested(light) and bool(light == dark)


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value that depends on the theme, which no samples do."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _nested(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and isinstance(values[0], dict)

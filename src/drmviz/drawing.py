"""From a recorded history to files: where the store, the figures and the report meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from drmviz.errors import OutputError, UsageError
from drmviz.figures import FIGURES, load
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.figures.saving import FORMATS, write
from drmviz.model.metrics import METRICS
from drmviz.model.run import Run
from drmviz.report import dashboard, page
from drmviz.store import Stores
from drmviz.system import SystemFiles

Histories = str | Path | Sequence[str | Path]
"""The path of a recorded history, or those of several that are read as one."""
DASHBOARD = "dashboard"
COLUMNS = 600
"""Columns of a picture unless asked otherwise: about as many as a screen shows."""


def draw(
    store: Histories,
    *,
    figures: Sequence[str] = ("all",),
    formats: Sequence[str] = ("html",),
    output_dir: str | Path = ".",
    options: FigureOptions | None = None,
    run_id: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    columns: int = COLUMNS,
    workers: Sequence[str] | None = None,
    name: str = "{stem}",
    page_theme: ThemeName | None = None,
    offsets: Mapping[str, float] | None = None,
) -> list[Path]:
    """Draw figures of one recorded run, or of those of many machines as one, and return the files written.

    Args:
        store: path of a recorded history; of several, which are read as one: workers then are `HOST/ID`.
        figures: stems of `drmviz.figures.FIGURES`, or `all` of them; `dashboard` is all of them on one page of HTML.
        formats: of html, png, svg, pdf, json.
        output_dir: where the files go; made when missing.
        options: metric, statistic, title, theme and size.
        run_id: which run; the newest when None.
        start_s: seconds since the epoch; the run's beginning when None.
        end_s: the same, not included; the newest tick when None.
        columns: at most so many.
        workers: only these rows, never merged.
        name: file name without its suffix; `{stem}` stands for the figure.
        page_theme: fixes the theme of the dashboard, which else follows its reader.
        offsets: seconds to be added to every time of a history, by its host, the stem of its file or its path;
            pictures and pages say which. Recorded wall time where nothing is said.

    Raises:
        UsageError: no such figure or format.
        InvalidValueError: no such run, worker or offset.
        StoreError: the history cannot be read.
        OutputError: a file cannot be written.
    """
    stems = list(FIGURES) if "all" in figures else list(dict.fromkeys(figures))
    for unknown in [wanted for wanted in formats if wanted not in FORMATS]:
        raise UsageError(f"{unknown!r} is not a format; there are {', '.join(FORMATS)}.")
    has_dashboard = DASHBOARD in figures
    if has_dashboard and set(formats) != {"html"}:
        raise UsageError("The dashboard is a page: write it with --format html.")
    stems = [stem for stem in stems if stem != DASHBOARD]
    options = options or FigureOptions()
    if workers is not None:
        options = replace(options, workers_named=True)
    folder = Path(output_dir).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, error.strerror or str(error)) from error
    written = []
    with opened(store, offsets) as history:
        for stem in stems:
            module = load(stem)
            needed = module.needs(options)
            read = partial(
                history.read,
                run_id,
                start_s=start_s,
                end_s=end_s,
                columns=columns,
                statistics=(options.statistic,),
                workers=workers,
            )
            run = read(metrics=needed or METRICS[:1], means=module.means(options))
            if needed and not any(run.is_measured(metric, options.statistic) for metric in needed):
                run = read(metrics=METRICS)  # perhaps the figure falls back on something else that is known
            for kind in formats:
                target = folder / f"{name.replace('{stem}', stem)}.{kind}"
                _refuse_the_store_itself(target, store)
                written.append(write(stem, run, target, options))
    if has_dashboard:
        target = folder / f"{name.replace('{stem}', DASHBOARD)}.html"
        asked: dict[str, Any] = {"run_id": run_id, "start_s": start_s, "end_s": end_s, "columns": columns}
        asked |= {"workers": workers, "offsets": offsets}
        written.append(write_dashboard(store, target, **asked, theme=page_theme, title=options.title))
    return written


def opened(store: Histories, offsets: Mapping[str, float] | None = None) -> Stores:
    """Open one history or several as one, for reading.

    Raises:
        InvalidValueError: no history, or an offset of one that is not there.
        StoreError: one of them cannot be read.
    """
    return Stores.open(_paths(store), offsets=offsets)


def _paths(store: Histories) -> Sequence[str | Path]:
    return [store] if isinstance(store, str | Path) else store


def _refuse_the_store_itself(target: Path, store: Histories) -> None:
    if target.resolve() in [Path(path).expanduser().resolve() for path in _paths(store)]:
        raise OutputError(target, "it is the recorded history itself")


def runs_for_report(
    store: Histories, run_id: str | None = None, *, offsets: Mapping[str, float] | None = None
) -> tuple[Run, Run]:
    """Read what summaries and the report need: the workers' run, and the hosts'."""
    with opened(store, offsets) as history:
        workers = history.read(run_id, columns=COLUMNS, statistics=("mean", "max"), tiers=True)
        return workers, history.read(run_id, columns=COLUMNS, kinds=("host",), statistics=("mean", "max"))


def write_report(
    store: Histories, path: str | Path, *, run_id: str | None = None, offsets: Mapping[str, float] | None = None
) -> Path:
    """Write the one-file report of a recorded run, or of several as one, and return its path; see `draw`."""
    target = Path(path).expanduser()
    _refuse_the_store_itself(target, store)
    run, host = runs_for_report(store, run_id, offsets=offsets)
    return _saved(page.render(run, host), target)


def write_dashboard(
    store: Histories,
    path: str | Path,
    *,
    run_id: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    columns: int = COLUMNS,
    workers: Sequence[str] | None = None,
    theme: ThemeName | None = None,
    title: str | None = None,
    offsets: Mapping[str, float] | None = None,
) -> Path:
    """Write the one-file dashboard of a recorded run and return its path; the arguments are those of `draw`.

    `theme` fixes what else follows the reader's preference.
    """
    target = Path(path).expanduser()
    _refuse_the_store_itself(target, store)
    with opened(store, offsets) as history:
        read = partial(history.read, run_id, start_s=start_s, end_s=end_s, columns=columns, workers=workers)
        run = read(metrics=dashboard.NEEDS, means=dashboard.MEANS)
        if not any(run.is_measured(metric) for metric in dashboard.NEEDS[:3]):
            run = read(metrics=METRICS)  # reservations stand in
    return _saved(dashboard.render(run, theme=theme, title=title), target)


def _saved(html: str, target: Path) -> Path:
    try:
        SystemFiles().replace(target, html.encode("utf-8"))
    except OSError as error:
        raise OutputError(target, error.strerror or str(error)) from error
    return target

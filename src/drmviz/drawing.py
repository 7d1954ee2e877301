"""From a recorded history to files: where the store, the figures and the report meet."""

from __future__ import annotations

from collections.abc import Sequence
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
from drmviz.store import Store
from drmviz.system import SystemFiles

DASHBOARD = "dashboard"
COLUMNS = 600
"""Columns of a picture unless asked otherwise: about as many as a screen shows."""


def draw(
    store: str | Path,
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
) -> list[Path]:
    """Draw figures of one recorded run and return the files written.

    Args:
        store: path of a recorded history.
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

    Raises:
        UsageError: no such figure or format.
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
    with Store.open(store) as history:
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
        written.append(write_dashboard(store, target, **asked, workers=workers, theme=page_theme, title=options.title))
    return written


def _refuse_the_store_itself(target: Path, store: str | Path) -> None:
    if target.resolve() == Path(store).expanduser().resolve():
        raise OutputError(target, "it is the recorded history itself")


def runs_for_report(store: str | Path, run_id: str | None = None) -> tuple[Run, Run]:
    """Read what summaries and the report need: the workers' run, and the host's."""
    with Store.open(store) as history:
        workers = history.read(run_id, columns=COLUMNS, statistics=("mean", "max"))
        return workers, history.read(run_id, columns=COLUMNS, kinds=("host",), statistics=("mean", "max"))


def write_report(store: str | Path, path: str | Path, *, run_id: str | None = None) -> Path:
    """Write the one-file report of a recorded run and return its path."""
    target = Path(path).expanduser()
    _refuse_the_store_itself(target, store)
    run, host = runs_for_report(store, run_id)
    return _saved(page.render(run, host), target)


def write_dashboard(
    store: str | Path,
    path: str | Path,
    *,
    run_id: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    columns: int = COLUMNS,
    workers: Sequence[str] | None = None,
    theme: ThemeName | None = None,
    title: str | None = None,
) -> Path:
    """Write the one-file dashboard of a recorded run and return its path; the arguments are those of `draw`.

    `theme` fixes what else follows the reader's preference.
    """
    target = Path(path).expanduser()
    _refuse_the_store_itself(target, store)
    with Store.open(store) as history:
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

"""`drmviz draw`: figures of a recorded run as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drmviz.cli.arguments import Offsets, RunId, Stores, moment_s, named_stores, offsets_of
from drmviz.configuration import read_settings
from drmviz.errors import UsageError

_SHORT = {"cpu": "cpu_ratio", "memory": "memory_ratio", "gpu": "gpu_ratio"}


def draw(
    stores: Stores = None,
    figure: Annotated[list[str] | None, typer.Option(metavar="NAME|all|dashboard", help="Repeat for more.")] = None,
    format_: Annotated[
        list[str] | None, typer.Option("--format", metavar="html|png|svg|pdf|json", help="Repeat for more.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the files go.")] = Path(),
    run_id: RunId = None,
    metric: Annotated[str | None, typer.Option(help="cpu, memory, gpu or a metric's full name.")] = None,
    statistic: Annotated[str, typer.Option(help="mean or max of a column.")] = "mean",
    start: Annotated[str | None, typer.Option(help="ISO 8601 time or epoch seconds.")] = None,
    end: Annotated[str | None, typer.Option(help="The same, not included.")] = None,
    columns: Annotated[int, typer.Option(min=1, max=20_000, help="At most so many columns.")] = 600,
    workers: Annotated[str | None, typer.Option(metavar="ID,ID", help="Only these rows, never merged.")] = None,
    theme: Annotated[str | None, typer.Option(help="light or dark.")] = None,
    title: Annotated[str | None, typer.Option()] = None,
    width: Annotated[int | None, typer.Option(min=200, max=20_000, help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(min=150, max=20_000, help="Pixels.")] = None,
    offset: Offsets = None,
) -> None:
    """Write figures of a run, or all of them on one page: the dashboard; several stores are drawn as one."""
    from drmviz.drawing import draw as draw_files
    from drmviz.figures.base import FigureOptions
    from drmviz.model.metrics import DRAWN_STATISTICS, METRICS

    full = _SHORT.get(metric or "", metric)
    if full is not None and full not in METRICS:
        raise UsageError(f"--metric {metric!r} is not one of cpu, memory, gpu, {', '.join(METRICS)}.")
    if statistic not in DRAWN_STATISTICS:
        raise UsageError(f"--statistic {statistic!r} is not one of {', '.join(DRAWN_STATISTICS)}.")
    named = None if workers is None else [name for name in workers.split(",") if name]
    if named == []:
        raise UsageError(f"--workers {workers!r} names no worker; leave it out for all of them.")
    start_s, end_s = moment_s(start, "--start"), moment_s(end, "--end")
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise UsageError(f"--end {end!r} is not after --start {start!r}.")
    settings = read_settings(options={"theme": theme})
    options = FigureOptions(
        metric=full,
        statistic=statistic,
        title=title,
        theme="dark" if settings.theme == "dark" else "light",
        width=width,
        height=height,
    )
    written = draw_files(
        named_stores(stores),
        figures=figure or ["all"],
        formats=[kind for kinds in format_ or ["html"] for kind in kinds.split(",")],
        output_dir=output_dir,
        options=options,
        run_id=run_id,
        start_s=start_s,
        end_s=end_s,
        columns=columns,
        workers=named,
        page_theme=options.theme if "theme" in settings.origins else None,
        offsets=offsets_of(offset),
    )
    for path in written:
        print(path)

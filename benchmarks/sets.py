"""All pictures of a fleet at once, through the Python API: one read of the store, then six HTML files or five PNGs."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.drawing import matplotlib_alone, plotly_alone, recorded_fleet
from benchmarks.rows import Row, cpu_s, in_turn

_MANY = 10


def all_html(workers: int, count: int) -> Row:
    """CPU seconds for six HTML files, against plotly's own write_html of three matrices alone."""
    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        plain = partial(plotly_alone, grids, Path(folder, "plain.html"))
        taken = in_turn(partial(_draw_all, store, Path(folder), "html"), plain, rounds=3, clock=cpu_s)
    return Row(
        name="all_html",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=6.0,
        limit=1.0,
        baseline_is="plotly write_html of one plain heatmap of the same three matrices in memory",
    )


def all_png(workers: int, count: int) -> Row:
    """CPU seconds for five PNGs, against a fresh imshow figure of three matrices alone."""
    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        plain = partial(matplotlib_alone, grids, Path(folder, "plain.png"))
        taken = in_turn(partial(_draw_all, store, Path(folder), "png"), plain, rounds=3, clock=cpu_s)
    return Row(
        name="all_png",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=5.0,
        limit=2.0,
        baseline_is="one imshow figure of the same three matrices in memory",
    )


def ten_times_html(workers: int, count: int) -> Row:
    """CPU seconds for the six HTML files of ten times as many workers, against the usual number of them."""
    return _ten_times("html", workers, count)


def ten_times_png(workers: int, count: int) -> Row:
    """CPU seconds for the five PNGs of ten times as many workers, against the usual number of them."""
    return _ten_times("png", workers, count)


def _ten_times(kind: str, workers: int, count: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        few.mkdir()
        many.mkdir()
        few_store, _ = recorded_fleet(few, workers, count)
        many_store, _ = recorded_fleet(many, workers * _MANY, count)
        taken = in_turn(
            partial(_draw_all, many_store, many, kind), partial(_draw_all, few_store, few, kind), rounds=3, clock=cpu_s
        )
    return Row(
        name=f"ten_times_{kind}",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=10.0,
        limit={"html": 2.0, "png": 4.0}[kind],
        baseline_is=f"the same files of {workers:,} workers instead of {workers * _MANY:,}",
    )


def _draw_all(store: Path, folder: Path, kind: str) -> None:
    from drmviz import DRMVisualization

    with DRMVisualization(str(store), output_dir=folder) as visualization:
        for number, create in enumerate((
            visualization.create_resource_utilization_heatmap,
            visualization.create_scaling_history_visualization,
            visualization.create_resource_allocation_visualization,
            visualization.create_resource_efficiency_visualization,
            visualization.create_cloud_resource_visualization,
        )):  # fmt: skip
            create(folder / f"{number}.{kind}")
        if kind == "html":
            visualization.create_resource_dashboard(folder / "dashboard.html")

"""Drawing: from a closed store to a file, against the libraries' own way with the same matrices."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.recording import record
from benchmarks.rows import Row, cpu_s, in_turn
from drmviz.drawing import draw
from drmviz.model.metrics import FloatArray, Metric
from drmviz.store import Store

STEM = "resource_utilization_heatmap"
_METRICS: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio")


def heatmap_html(workers: int, count: int) -> Row:
    """CPU seconds for one HTML heatmap (CPU, memory, GPU), against plotly's own write_html of the same samples."""
    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        def ours() -> None:
            draw(store, figures=[STEM], formats=["html"], output_dir=Path(folder))

        taken = in_turn(ours, partial(plotly_alone, grids, Path(folder, "plain.html")), rounds=5, clock=cpu_s)
    return Row(
        name="heatmap_html",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=1.0,
        limit=0.15,
        baseline_is="plotly write_html of the same three matrices in memory",
    )


def heatmap_html_size(workers: int, count: int) -> Row:
    """Megabytes of that file, against plotly's."""
    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)
        (ours,) = draw(store, figures=[STEM], formats=["html"], output_dir=Path(folder))
        plain = Path(folder, "plain.html")
        plotly_alone(grids, plain)
        sizes = ours.stat().st_size / 1e6, plain.stat().st_size / 1e6
    return Row(
        name="heatmap_html_size",
        ours=sizes[0],
        baseline=sizes[1],
        unit="MB",
        target=0.5,
        limit=4.0,
        baseline_is="plotly write_html of the same three matrices",
    )


def heatmap_png(workers: int, count: int) -> Row:
    """CPU seconds for one PNG heatmap, against a fresh imshow figure of the same matrices."""
    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        def ours() -> None:
            draw(store, figures=[STEM], formats=["png"], output_dir=Path(folder))

        taken = in_turn(ours, partial(matplotlib_alone, grids, Path(folder, "plain.png")), rounds=5, clock=cpu_s)
    return Row(
        name="heatmap_png",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=1.5,
        limit=0.5,
        baseline_is="imshow of the same three matrices in memory, new figure",
    )


def plotly_alone(grids: Sequence[FloatArray], path: Path) -> None:
    """Write the matrices as plotly does by itself: the baseline of HTML."""
    import plotly.graph_objects as go

    go.Figure([go.Heatmap(z=grid * 100) for grid in grids]).write_html(path)


def matplotlib_alone(grids: Sequence[FloatArray], path: Path) -> None:
    """Write the matrices as Matplotlib does by itself: the baseline of PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9))
    for axes, grid in zip(figure.subplots(len(grids)), grids, strict=True):
        axes.imshow(grid * 100, aspect="auto", interpolation="nearest", vmin=0, vmax=100)
    figure.savefig(path, dpi=100)


def recorded_fleet(folder: Path, workers: int, count: int) -> tuple[Path, list[FloatArray]]:
    """Record the seeded fleet and return the store, and its CPU, memory and GPU as matrices (workers, ticks)."""
    path = folder / "h.drmviz"
    record(path, workers, count)
    with Store.open(path) as store:
        run = store.read(metrics=_METRICS, columns=count)
    return path, [np.ascontiguousarray(run.values(metric)) for metric in _METRICS]

"""Drawing: from a closed store to a file, against the libraries' own way with the same matrices."""

from __future__ import annotations

import tempfile
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
    import plotly.graph_objects as go

    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        def plotly_alone() -> None:
            go.Figure([go.Heatmap(z=grid * 100) for grid in grids]).write_html(Path(folder, "plain.html"))

        def ours() -> None:
            draw(store, figures=[STEM], formats=["html"], output_dir=Path(folder))

        taken = in_turn(ours, plotly_alone, rounds=5, clock=cpu_s)
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
    import plotly.graph_objects as go

    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)
        (ours,) = draw(store, figures=[STEM], formats=["html"], output_dir=Path(folder))
        plain = Path(folder, "plain.html")
        go.Figure([go.Heatmap(z=grid * 100) for grid in grids]).write_html(plain)
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
    from matplotlib.figure import Figure

    with tempfile.TemporaryDirectory() as folder:
        store, grids = recorded_fleet(Path(folder), workers, count)

        def matplotlib_alone() -> None:
            figure = Figure(figsize=(12, 9))
            for axes, grid in zip(figure.subplots(3), grids, strict=True):
                axes.imshow(grid * 100, aspect="auto", interpolation="nearest", vmin=0, vmax=100)
            figure.savefig(Path(folder, "plain.png"), dpi=100)

        def ours() -> None:
            draw(store, figures=[STEM], formats=["png"], output_dir=Path(folder))

        taken = in_turn(ours, matplotlib_alone, rounds=5, clock=cpu_s)
    return Row(
        name="heatmap_png",
        ours=taken[0],
        baseline=taken[1],
        unit="CPU s",
        target=1.5,
        limit=0.5,
        baseline_is="imshow of the same three matrices in memory, new figure",
    )


def recorded_fleet(folder: Path, workers: int, count: int) -> tuple[Path, list[FloatArray]]:
    """Record the seeded fleet and return the store, and its CPU, memory and GPU as matrices (workers, ticks)."""
    path = folder / "h.drmviz"
    record(path, workers, count)
    with Store.open(path) as store:
        run = store.read(metrics=_METRICS, columns=count)
    return path, [np.ascontiguousarray(run.values(metric)) for metric in _METRICS]

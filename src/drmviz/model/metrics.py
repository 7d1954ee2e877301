"""The eight metrics of a tick, and the statistics that reduce them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Metric = Literal[
    "cpu_ratio",
    "memory_ratio",
    "gpu_ratio",
    "gpu_memory_ratio",
    "cpu_reserved_ratio",
    "memory_reserved_ratio",
    "gpu_reserved_ratio",
    "tasks_running",
]
Statistic = Literal["mean", "min", "max"]

METRICS: tuple[Metric, ...] = get_args(Metric)
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
DRAWN_STATISTICS: tuple[Statistic, ...] = ("mean", "max")
"""What a figure can be asked to show; the lowest is read for curves that keep their extremes."""
METRIC_ROW: dict[str, int] = {metric: row for row, metric in enumerate(METRICS)}

FloatArray = npt.NDArray[np.floating]
"""float32 for samples, float64 for times; NaN means "not known"."""
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.integer]

CAPACITY_OF: dict[Metric, str] = {
    "cpu_ratio": "cpu_millicores",
    "memory_ratio": "memory_bytes",
    "gpu_ratio": "gpu_count",
    "gpu_memory_ratio": "gpu_memory_bytes",
    "cpu_reserved_ratio": "cpu_millicores",
    "memory_reserved_ratio": "memory_bytes",
    "gpu_reserved_ratio": "gpu_count",
}
"""What the ratios are shares of, as `WorkerCapacity` names it."""

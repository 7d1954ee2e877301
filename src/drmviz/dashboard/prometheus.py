"""What Prometheus scrapes: the newest tick and the decisions so far, in base units; unknown is left out, never zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from drmviz import __version__
from drmviz.analysis.cost import cloud_cost
from drmviz.analysis.efficiency import RESOURCES, allotment, total
from drmviz.dashboard.answers import newest_tick
from drmviz.dashboard.fleet import Fleet
from drmviz.model.metrics import METRICS
from drmviz.model.metrics import Metric as MetricName
from drmviz.model.run import Run

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OF_WORKERS: tuple[tuple[MetricName, str, str], ...] = (
    ("cpu_ratio", "drm_worker_cpu_utilization_ratio", "Measured CPU use over capacity"),
    ("memory_ratio", "drm_worker_memory_utilization_ratio", "Measured memory use over capacity"),
    ("gpu_ratio", "drm_gpu_utilization_ratio", "Measured GPU use over capacity"),
    ("gpu_memory_ratio", "drm_gpu_memory_utilization_ratio", "Measured GPU memory use over capacity"),
    ("cpu_reserved_ratio", "drm_worker_cpu_reserved_ratio", "Reserved CPU over capacity"),
    ("memory_reserved_ratio", "drm_worker_memory_reserved_ratio", "Reserved memory over capacity"),
    ("gpu_reserved_ratio", "drm_gpu_reserved_ratio", "Reserved GPUs over capacity"),
    ("tasks_running", "drm_worker_tasks_running", "Tasks that run on the worker"),
)


class FleetCollector(Collector):
    """Makes the metrics of one fleet when they are scraped."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        yield _gauge("drm_build_info", "What serves this", [((__version__,), 1.0)], "version")
        statuses = self._fleet.statuses()
        good = [((name,), float(status.state == "OK")) for name, status in statuses.items()]
        yield _gauge("drm_status_ok", "Whether a source or the store is well", good, "part")
        yield from _of_the_newest_tick(newest_tick(self._fleet))
        yield from _of_the_run(self._fleet.read(columns=1, metrics=(), means=METRICS[:7]))


def exposition(fleet: Fleet) -> bytes:
    """Return the text that is scraped.

    Raises:
        StoreError: the history cannot be read.
    """
    registry = CollectorRegistry()
    registry.register(FleetCollector(fleet))
    return generate_latest(registry)


def _of_the_newest_tick(run: Run) -> Iterator[Metric]:
    living = [row for row in range(len(run.workers)) if run.columns and run.alive[row, -1]]
    by_kind = Counter(run.workers[row].kind for row in living)
    yield _gauge("drm_workers", "Who lives at the newest tick", [((kind,), float(n)) for kind, n in by_kind.items()],
                 "kind")  # fmt: skip
    if not run.columns:
        return
    yield _gauge("drm_newest_tick_timestamp_seconds", "When the newest tick was taken", [((), run.end_s)])
    for metric, name, said in _OF_WORKERS:
        values = run.values(metric)[:, -1]
        yield _gauge(name, said, [((run.workers[row].id,), float(values[row])) for row in living], "worker")
    limits = run.capacities("memory_bytes")
    used = run.values("memory_ratio")[:, -1] * limits
    yield _gauge("drm_worker_memory_limit_bytes", "Memory that the worker has",
                 [((run.workers[row].id,), float(limits[row])) for row in living], "worker")  # fmt: skip
    yield _gauge("drm_worker_memory_usage_bytes", "Memory that the worker uses",
                 [((run.workers[row].id,), float(used[row])) for row in living], "worker")  # fmt: skip


def _of_the_run(run: Run) -> Iterator[Metric]:
    decided = CounterMetricFamily("drm_scaling_decisions", "Scaling decisions of the run", labels=("action",))
    for action, number in sorted(Counter(decision.action for decision in run.decisions).items()):
        decided.add_metric((action,), number)
    yield decided
    changed = CounterMetricFamily("drm_fleet_changes", "Workers that joined or left", labels=("change", "why"))
    for (change, why), number in sorted(Counter((c.change, c.why or "unknown") for c in run.changes).items()):
        changed.add_metric((change, why), number)
    yield changed
    ended = CounterMetricFamily("drm_tasks", "Tests that ended", labels=("outcome",))
    for outcome, number in sorted(Counter(task.outcome for task in run.tasks).items()):
        ended.add_metric((outcome,), number)
    yield ended
    ratios = ((resource, total(allotment(run, resource)).efficiency_ratio) for resource in RESOURCES)
    yield _gauge("drm_efficiency_ratio", "Used over reserved, over the run",
                 [((resource,), ratio) for resource, ratio in ratios if ratio is not None], "resource")  # fmt: skip
    rates = [
        ((each.provider, money.currency or "unknown", money.basis or "unknown"), float(amount))
        for each in cloud_cost(run).providers
        for money, amount in each.rates_now.items()
    ]
    yield _gauge("drm_cost_per_hour", "What an hour costs now", rates, "provider", "currency", "basis")


def _gauge(name: str, said: str, rows: Sequence[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    gauge = GaugeMetricFamily(name, said, labels=labels)
    for values, number in rows:
        if np.isfinite(number):
            gauge.add_metric(values, number)
    return gauge

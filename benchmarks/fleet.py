"""A seeded fleet whose numbers are quantised as sensors quantise them: the input of benchmarks and of some tests."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import Action, ScalingDecision
from drmviz.model.metrics import METRICS, FloatArray
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading, Tick
from drmviz.model.workers import RosterEntry

CAPACITY = WorkerCapacity(cpu_millicores=4000, memory_bytes=16 * 2**30, gpu_count=1, gpu_memory_bytes=24 * 2**30)
_CPU_STEP = 0.01  # 100 clock ticks a second
_GPU_STEP = 0.01  # NVML reports whole percent
_PAGE_RATIO = 2**21 / (16 * 2**30)  # resident memory moves in steps of allocator arenas, here 2 MiB


def samples(workers: int, ticks: int, *, seed: int = 20260321) -> Iterator[FloatArray]:
    """Yield float32 of shape (metrics, workers) tick by tick.

    CPU and GPU follow a slow daily-like wave plus AR(1) noise in steps of one percent, memory drifts in allocator
    steps, reservations and running tasks change now and then and stay in between.
    """
    random = np.random.default_rng(seed)
    level = random.uniform(0.2, 0.8, workers)
    phase = random.uniform(0, 2 * np.pi, workers)
    noise = np.zeros((2, workers))
    memory = random.uniform(0.2, 0.6, (2, workers))
    reserved = np.round(random.uniform(0.25, 1.0, (3, workers)) * 4) / 4
    running = random.integers(0, 5, workers).astype(float)
    for tick in range(ticks):
        noise = 0.9 * noise + random.normal(0, 0.03, (2, workers))
        wave = 0.15 * np.sin(tick / 400 + phase)
        cpu = np.clip(level + wave + noise[0], 0, 1)
        gpu = np.clip(level - wave + noise[1], 0, 1)
        allocates = random.random((2, workers)) < 0.05
        memory = np.clip(memory + np.where(allocates, random.normal(0, 0.01, (2, workers)), 0), 0.05, 0.98)
        changes = random.random(workers) < 0.01
        if changes.any():
            many = int(changes.sum())
            reserved[:, changes] = np.round(random.uniform(0.25, 1.0, (3, many)) * 4) / 4
            running[changes] = random.integers(0, 5, many)
        yield np.stack(
            [
                np.round(cpu / _CPU_STEP) * _CPU_STEP,
                np.round(memory[0] / _PAGE_RATIO) * _PAGE_RATIO,
                np.round(gpu / _GPU_STEP) * _GPU_STEP,
                np.round(memory[1] / _PAGE_RATIO) * _PAGE_RATIO,
                *reserved,
                running,
            ]
        ).astype(np.float32)


ACTIONS: tuple[Action, ...] = ("scale_up", "maintain", "scale_down", "maintain")
_PROVIDERS = ("aws", "gcp", "on-premises")


def entries(workers: int) -> tuple[RosterEntry, ...]:
    return tuple(
        RosterEntry(
            id=f"worker-{i:05d}",
            host=f"host-{i // 64}",
            capacity=CAPACITY,
            labels=(("provider", _PROVIDERS[i * len(_PROVIDERS) // workers]),),
        )
        for i in range(workers)
    )


def decision(number: int, at_s: float) -> ScalingDecision:
    """Return one of up, maintain, down, maintain in turn."""
    action: Action = ACTIONS[number % 4]
    value, threshold = {"scale_up": (0.84, 0.8), "scale_down": (0.24, 0.3)}.get(action, (0.5, 0.8))
    return ScalingDecision(
        action=action, decided_at_s=at_s, count=0 if action == "maintain" else 3, reason=f"CPU {value:.0%} for 90 s",
        metric="cpu_ratio", value=value, threshold=threshold, window_s=90.0, utilization=value,
    )  # fmt: skip


def cloud(workers: int, at_s: float) -> tuple[CloudUsage, ...]:
    many = workers // len(_PROVIDERS)
    return tuple(
        CloudUsage(at_s=at_s, provider=name, workers=many, per_hour=Decimal("0.34") * max(1, many), currency="USD")
        for name in _PROVIDERS
    )


def ticks(workers: int, count: int, *, started_at_s: float, seed: int = 20260321) -> Iterator[Tick]:
    """Yield ticks one second apart, all of them with the same workers; every 20th with a decision."""
    tracker = RosterTracker()
    everybody = entries(workers)
    assert len(METRICS) == 8
    for i, values in enumerate(samples(workers, count, seed=seed)):
        at_s = started_at_s + i
        reading = Reading(
            taken_at_s=at_s,
            entries=everybody,
            values=values,
            decisions=(decision(i // 20, at_s),) if i % 20 == 10 else (),
            cloud=cloud(workers, at_s) if i % 500 == 0 else (),
        )
        yield tracker.observe([reading], at_s=at_s, wall_s=at_s)

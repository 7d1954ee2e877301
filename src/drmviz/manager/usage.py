"""What was measured of one worker, as shares of what it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from drmviz.manager.values import checked_number
from drmviz.model.resources import WorkerCapacity

_PARTS_OF_ONE = 10**12
"""Ratios become whole numbers of these before they are summed, so that a sum does not drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One measurement of one worker; None is not known, more than there is is a fact."""

    cpu_ratio: float | None = None
    memory_bytes: int | None = None
    gpu_ratio: float | None = None
    gpu_memory_bytes: int | None = None


NOT_MEASURED = Usage()


def read_usage(*, cpu_ratio: object, memory_bytes: object, gpu_ratio: object, gpu_memory_bytes: object) -> Usage:
    """Check what was measured, or raise InvalidValueError."""
    return Usage(
        cpu_ratio=None if cpu_ratio is None else float(checked_number("cpu_ratio", cpu_ratio)),
        memory_bytes=None if memory_bytes is None else round(checked_number("memory_bytes", memory_bytes)),
        gpu_ratio=None if gpu_ratio is None else float(checked_number("gpu_ratio", gpu_ratio)),
        gpu_memory_bytes=(
            None if gpu_memory_bytes is None else round(checked_number("gpu_memory_bytes", gpu_memory_bytes))
        ),
    )


class Ratios(NamedTuple):
    """Shares of what a worker or a fleet has; None where that, or what is used of it, is not known."""

    cpu: float | None = None
    memory: float | None = None
    gpu: float | None = None

    @property
    def overall(self) -> float | None:
        """The highest: what binds is the scarcest resource, and a mean would hide it."""
        known = [share for share in self if share is not None]
        return max(known) if known else None

    def as_dict(self) -> dict[str, float | None]:
        return {"cpu": self.cpu, "memory": self.memory, "gpu": self.gpu, "overall": self.overall}


class Weights(NamedTuple):
    """Used and had of each resource as whole numbers; 0 and 0 where one of them is not known."""

    cpu_used: int = 0
    cpu: int = 0
    memory_used: int = 0
    memory: int = 0
    gpu_used: int = 0
    gpu: int = 0

    def plus(self, other: Weights) -> Weights:
        return Weights(*(mine + its for mine, its in zip(self, other, strict=True)))

    def minus(self, other: Weights) -> Weights:
        return Weights(*(mine - its for mine, its in zip(self, other, strict=True)))

    @property
    def ratios(self) -> Ratios:
        """The mean over those that know and have the resource, by how much they have."""
        return Ratios(
            ratio(self.cpu_used, self.cpu), ratio(self.memory_used, self.memory), ratio(self.gpu_used, self.gpu)
        )


def ratio(part: int, whole: int) -> float | None:
    """Return the share, None of nothing."""
    return part / whole if whole else None


def ratios_of(usage: Usage, capacity: WorkerCapacity) -> Ratios:
    """Return what one worker uses; a worker without a GPU has no GPU ratio, whatever was stated."""
    memory = None
    if usage.memory_bytes is not None and capacity.memory_bytes:
        memory = usage.memory_bytes / capacity.memory_bytes
    return Ratios(usage.cpu_ratio, memory, None if capacity.gpu_count == 0 else usage.gpu_ratio)


def weights_of(usage: Usage, capacity: WorkerCapacity) -> Weights:
    """Return what one worker adds to its fleet's sums."""
    cpu = _weighted(usage.cpu_ratio, capacity.cpu_millicores)
    gpu = _weighted(usage.gpu_ratio, capacity.gpu_count)
    if usage.memory_bytes is None or not capacity.memory_bytes:
        return Weights(*cpu, 0, 0, *gpu)
    return Weights(*cpu, usage.memory_bytes, capacity.memory_bytes, *gpu)


def total(weights: Iterable[Weights]) -> Weights:
    """Return the sums of a fleet."""
    return Weights(*(sum(column) for column in zip(*weights, strict=True)))


def _weighted(share: float | None, capacity: int | None) -> tuple[int, int]:
    if share is None or not capacity:
        return 0, 0
    return round(share * capacity * _PARTS_OF_ONE), capacity * _PARTS_OF_ONE

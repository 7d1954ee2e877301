"""All that a scaling decision is made from, as it was at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from drmviz.errors import InvalidValueError
from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.values import MOST, checked_number, checked_seconds
from drmviz.model.decisions import ScalingPolicy

WorkerType = Literal["cpu", "memory", "gpu"]
WORKER_TYPES: tuple[WorkerType, ...] = ("cpu", "memory", "gpu")
"""In the order of `Ratios`."""

ROUNDING = 1e-9
"""Ten workers at 7 % for a target of 70 % are one worker, whatever the last bit of a float says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """What a fleet is scaled by; refuses what contradicts itself."""

    target_utilization: float = 0.7
    scale_up_threshold: float = 0.8
    scale_down_threshold: float = 0.3
    evaluation_window_s: float = 300.0
    scale_up_cooldown_s: float = 300.0
    scale_down_cooldown_s: float = 600.0
    min_workers: int = 1
    max_workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("target_utilization", "scale_up_threshold", "scale_down_threshold"):
            checked_number(name, getattr(self, name))
        if not 0 < self.scale_down_threshold < self.target_utilization:
            reason = f"must lie above 0 and below target_utilization = {self.target_utilization}"
            raise InvalidValueError("scale_down_threshold", self.scale_down_threshold, reason)
        if not self.target_utilization < self.scale_up_threshold <= 1:
            reason = f"must lie above target_utilization = {self.target_utilization} and not above 1"
            raise InvalidValueError("scale_up_threshold", self.scale_up_threshold, reason)
        checked_seconds("evaluation_window", self.evaluation_window_s)
        checked_number("scale_up_cooldown", self.scale_up_cooldown_s)
        checked_number("scale_down_cooldown", self.scale_down_cooldown_s)
        _check_count("min_workers", self.min_workers)
        if self.max_workers is not None:
            _check_count("max_workers", self.max_workers)
            if self.max_workers < max(1, self.min_workers):
                reason = f"must be at least 1 and at least min_workers = {self.min_workers}"
                raise InvalidValueError("max_workers", self.max_workers, reason)

    @property
    def policy(self) -> ScalingPolicy:
        """The same as a run keeps it."""
        return ScalingPolicy(
            target_utilization=self.target_utilization,
            scale_up_threshold=self.scale_up_threshold,
            scale_down_threshold=self.scale_down_threshold,
            evaluation_window_s=self.evaluation_window_s,
            scale_up_cooldown_s=self.scale_up_cooldown_s,
            scale_down_cooldown_s=self.scale_down_cooldown_s,
            min_workers=self.min_workers,
            max_workers=self.max_workers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """How busy one resource of the fleet is."""

    resource: WorkerType
    value: float
    """0..1 and above: its mean over `window_s`."""
    window_s: float
    """How much history lies behind the value."""
    is_measured: bool = True
    """Whether this is use; what is reserved stands in where nothing is measured."""
    workers: int
    """How many workers have this resource."""

    @property
    def metric(self) -> str:
        return f"{self.resource}_ratio" if self.is_measured else f"{self.resource}_reserved_ratio"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWorker:
    """A worker that holds no reservation."""

    id: str
    used: float
    """The highest known share of what it has."""
    room: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """What was asked for within the window, was refused, and waits."""

    requests: int = 0
    """Those that find no room beside each other now, and would on a fleet of more workers."""
    workers: int = 0
    """How many empty workers would hold them."""
    worker_type: WorkerType = "cpu"
    waiting_s: float = 0.0
    """Since when the first of them waits."""
    placeable: int = 0
    """Those that would find room now."""
    oversize: int = 0
    """Those that are larger than any worker there is: more of the same would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """A fleet at the moment of a decision."""

    decided_at_s: float
    """Seconds since the epoch."""
    workers: int
    signals: tuple[Signal, ...] = ()
    unmeasured: tuple[str, ...] = ()
    """Workers whose use of CPU is not known now."""
    idle: tuple[IdleWorker, ...] = ()
    room: Amounts = NOTHING
    """What all workers together have."""
    reserved: Amounts = NOTHING
    unplaced: Unplaced = field(default_factory=Unplaced)
    up_remaining_s: float = 0.0
    """Until the fleet may grow again."""
    down_remaining_s: float = 0.0
    awaited: int = 0
    """Workers that were asked for to reach the minimum, a short while ago, and have not joined yet."""

    @property
    def highest(self) -> Signal | None:
        """The busiest resource; of equals the measured one, then by name of the resource."""
        return max(self.signals, key=lambda each: (each.value, each.is_measured), default=None)


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST:
        raise InvalidValueError(name, value, "must be a whole number, 0 or more, as a fleet can have it")

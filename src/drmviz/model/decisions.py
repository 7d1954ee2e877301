"""Intent and fact: scaling decisions, and what the fleet then did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["scale_up", "scale_down", "maintain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDecision:
    """What was decided and why; `maintain` is a decision too."""

    action: Action
    decided_at_s: float
    count: int = 0
    reason: str = ""
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    window_s: float | None = None
    cooldown_remaining_s: float | None = None
    worker_ids: tuple[str, ...] = ()
    worker_type: str | None = None
    utilization: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChange:
    """A worker joined or left, and why: asked for, idle, lost, crashed, reclaimed, finished; None is not known."""

    at_s: float
    worker: str
    change: Literal["joined", "left"]
    why: str | None = None

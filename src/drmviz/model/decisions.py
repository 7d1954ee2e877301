"""Intent and fact: scaling decisions, and what the fleet then did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Action = Literal["scale_up", "scale_down", "maintain"]

FINISHED, RECORDING_BEGAN, RECORDING_ENDED = "finished", "recording began", "recording ended"
"""Reasons of joining and leaving that say nothing of the fleet."""


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
    host: str | None = None
    """Name of the recording that it is of, where several are read as one; see `model.run.Origin`."""

    @property
    def said(self) -> str:
        """The reason, after the name of the recording where there are several."""
        return self.said_or("")

    def said_or(self, otherwise: str) -> str:
        """Return the same with other words where no reason was given."""
        reason = self.reason or otherwise
        return f"{self.host}: {reason}" if self.host and reason else reason


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChange:
    """A worker joined or left, and why: asked for, idle, lost, crashed, reclaimed, finished; None is not known."""

    at_s: float
    worker: str
    change: Literal["joined", "left"]
    why: str | None = None

    @property
    def is_of_the_fleet(self) -> bool:
        """Whether the fleet itself changed: not where a run was over, or only its recording began or ended."""
        return self.why not in (FINISHED, RECORDING_BEGAN, RECORDING_ENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """What a fleet is scaled by; None where a manager does not say. Ratios 0..1, seconds."""

    target_utilization: float | None = None
    scale_up_threshold: float | None = None
    scale_down_threshold: float | None = None
    evaluation_window_s: float | None = None
    scale_up_cooldown_s: float | None = None
    scale_down_cooldown_s: float | None = None
    min_workers: int | None = None
    max_workers: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything at all is stated."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def facts(self) -> dict[str, float | int]:
        """Return what is stated, as the facts of a run hold it."""
        stated = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in stated.items() if value is not None}

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> ScalingPolicy:
        """Take what makes sense of a mapping; everything else is not known."""
        known = {
            field.name: value
            for field in fields(cls)
            if isinstance(value := stated.get(field.name), int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value >= 0
        }
        return cls(**known)  # type: ignore[arg-type]

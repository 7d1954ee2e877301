"""How long a fleet stays as it is after it was scaled."""

from __future__ import annotations

from dataclasses import dataclass

from drmviz.manager.fleet_view import ScalingRules
from drmviz.manager.policy import WORKERS
from drmviz.model.decisions import ScalingDecision


@dataclass(slots=True)
class _Scaling:
    decision: ScalingDecision
    at_s: float
    joined: int = 0
    """Workers that joined since."""


class Cooldown:
    """The last decision that changes the fleet, on the monotonic clock; growing and shrinking both wait for it."""

    def __init__(self, rules: ScalingRules) -> None:
        self._rules = rules
        self._last: _Scaling | None = None
        self._before: _Scaling | None = None

    @property
    def last_at_s(self) -> float:
        """When the fleet was last scaled; minus infinity for never."""
        return float("-inf") if self._last is None else self._last.at_s

    def start(self, decision: ScalingDecision, now_s: float) -> None:
        self._before, self._last = self._last, _Scaling(decision, now_s)

    def cancel(self, decision: ScalingDecision) -> bool:
        """Take back the last start, if it was this decision's: what held before it holds again."""
        if self._last is None or self._last.decision != decision:
            return False
        self._last, self._before = self._before, None
        return True

    def up_remaining_s(self, now_s: float) -> float:
        """Return how long the fleet may not grow yet."""
        return max(0.0, self.last_at_s + self._rules.scale_up_cooldown_s - now_s)

    def down_remaining_s(self, now_s: float) -> float:
        """Return how long the fleet may not shrink yet."""
        return max(0.0, self.last_at_s + self._rules.scale_down_cooldown_s - now_s)

    def joined(self) -> None:
        """Count a worker that joined."""
        if self._last is not None:
            self._last.joined += 1

    def awaited(self, now_s: float) -> int:
        """Return how many workers are on their way because the fleet was below its minimum."""
        last = self._last
        if last is None or last.decision.metric != WORKERS or not self.up_remaining_s(now_s):
            return 0
        return max(0, last.decision.count - last.joined)

    def asked_to_leave(self, worker_id: str) -> bool:
        """Tell whether the last scaling named this worker as one to go."""
        last = self._last
        return last is not None and last.decision.action == "scale_down" and worker_id in last.decision.worker_ids

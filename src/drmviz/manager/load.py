"""How busy a fleet was over the last minutes: its measured use and its reservations as steps in time.

Both cost the same whether the fleet is small or large: a change of one worker changes a sum.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from drmviz.manager.amounts import Amounts
from drmviz.manager.history import Mean, StepHistory
from drmviz.manager.usage import NOT_MEASURED, Ratios, Usage, Weights, ratio, weights_of
from drmviz.model.resources import WorkerCapacity


class RatioHistories:
    """The steps of CPU, memory and GPU."""

    def __init__(self, window_s: float) -> None:
        self._histories = [StepHistory(window_s) for _ in Ratios._fields]

    def set(self, ratios: Ratios, at_s: float) -> None:
        for history, value in zip(self._histories, ratios, strict=True):
            history.set(value, at_s)

    def means(self, now_s: float, *, since_s: float) -> tuple[Mean | None, ...]:
        """Return what each was on average, None for one of which nothing is known now."""
        return tuple(history.mean(now_s, since_s=since_s) for history in self._histories)


class ReservedLoad:
    """The share of the fleet that is reserved."""

    def __init__(self, window_s: float) -> None:
        self._histories = RatioHistories(window_s)

    def set(self, reserved: Amounts, room: Amounts, at_s: float) -> None:
        self._histories.set(reserved_ratios(reserved, room), at_s)

    def means(self, now_s: float, *, since_s: float) -> tuple[Mean | None, ...]:
        return self._histories.means(now_s, since_s=since_s)


class _Measured(NamedTuple):
    at_s: float
    usage: Usage
    weights: Weights


class MeasuredLoad:
    """What was last measured of each worker, for as long as that says something, and what follows for the fleet."""

    def __init__(self, window_s: float, *, stale_after_s: float) -> None:
        self._histories = RatioHistories(window_s)
        self._stale_after_s = stale_after_s
        self._fresh: OrderedDict[str, _Measured] = OrderedDict()  # the oldest first
        self._sum = Weights()

    def record(self, worker_id: str, usage: Usage, capacity: WorkerCapacity, at_s: float) -> None:
        """Replace what is known of a worker."""
        self.settle(at_s)
        weights = weights_of(usage, capacity)
        before = self._fresh.pop(worker_id, None)
        self._fresh[worker_id] = _Measured(at_s, usage, weights)
        self._replace(before.weights if before else Weights(), weights, at_s)

    def resize(self, worker_id: str, capacity: WorkerCapacity, at_s: float) -> None:
        """Count what is known of a worker against another capacity."""
        self.settle(at_s)
        known = self._fresh.get(worker_id)
        if known is not None:
            weights = weights_of(known.usage, capacity)
            self._fresh[worker_id] = known._replace(weights=weights)
            self._replace(known.weights, weights, at_s)

    def forget(self, worker_id: str, at_s: float) -> None:
        """Know nothing of a worker any more."""
        self.settle(at_s)
        known = self._fresh.pop(worker_id, None)
        if known is not None:
            self._replace(known.weights, Weights(), at_s)

    def settle(self, now_s: float) -> None:
        """Drop what has become stale, each at the moment when it did."""
        while self._fresh:
            worker_id, oldest = next(iter(self._fresh.items()))
            stale_at_s = oldest.at_s + self._stale_after_s
            if stale_at_s > now_s:
                return
            del self._fresh[worker_id]
            self._replace(oldest.weights, Weights(), stale_at_s)

    def usage(self, worker_id: str) -> Usage:
        """Return what is known of a worker, as of the last `settle`."""
        known = self._fresh.get(worker_id)
        return NOT_MEASURED if known is None else known.usage

    def means(self, now_s: float, *, since_s: float) -> tuple[Mean | None, ...]:
        return self._histories.means(now_s, since_s=since_s)

    def _replace(self, before: Weights, after: Weights, at_s: float) -> None:
        if before != after:
            self._sum = self._sum.plus(after).minus(before)
            self._histories.set(self._sum.ratios, at_s)


def reserved_ratios(reserved: Amounts, room: Amounts) -> Ratios:
    """Return how much is reserved; of GPUs their number or their memory, whichever is scarcer."""
    of_gpus = (ratio(reserved.gpu_count, room.gpu_count), ratio(reserved.gpu_memory_bytes, room.gpu_memory_bytes))
    return Ratios(
        cpu=ratio(reserved.cpu_millicores, room.cpu_millicores),
        memory=ratio(reserved.memory_bytes, room.memory_bytes),
        gpu=max((share for share in of_gpus if share is not None), default=None),
    )

"""Whether a fleet grows, shrinks or stays: a pure function of what was known at one moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from drmviz.manager.amounts import Amounts
from drmviz.manager.fleet_view import ROUNDING, WORKER_TYPES, FleetView, IdleWorker, ScalingRules, Signal, WorkerType
from drmviz.manager.sentences import lasting, names, percent, requests, seconds, state_of, verb, workers
from drmviz.model.decisions import Action, ScalingDecision

WORKERS = "workers"
UNPLACED = "requests_unplaced"
"""Metrics of decisions that no ratio led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What is the case, as a decision states it."""

    view: FleetView
    metric: str
    value: float
    threshold: float
    window_s: float = 0.0
    cooldown_remaining_s: float
    state: str
    """The same in words: the first half of the reason."""

    def decide(
        self,
        action: Action,
        reason: str,
        *,
        count: int = 0,
        worker_ids: tuple[str, ...] = (),
        worker_type: WorkerType | None = None,
    ) -> ScalingDecision:
        highest = self.view.highest
        return ScalingDecision(
            action=action,
            decided_at_s=self.view.decided_at_s,
            count=count,
            reason=self.state + reason,
            metric=self.metric,
            value=self.value,
            threshold=self.threshold,
            window_s=self.window_s,
            cooldown_remaining_s=self.cooldown_remaining_s,
            worker_ids=worker_ids,
            worker_type=worker_type,
            utilization=None if highest is None else highest.value,
        )


def decide(view: FleetView, rules: ScalingRules) -> ScalingDecision:
    """Return what to do now, with the value, the threshold and the reason that led to it.

    The minimum comes first and waits for no cooldown; then what speaks for more workers; fewer only where
    everything speaks for it.
    """
    return _below_minimum(view, rules) or _grow(view, rules) or _shrink(view, rules) or _stay(view, rules)


def _below_minimum(view: FleetView, rules: ScalingRules) -> ScalingDecision | None:
    missing = rules.min_workers - view.workers
    if missing <= 0:
        return None
    finding = _Finding(
        view=view,
        metric=WORKERS,
        value=view.workers,
        threshold=rules.min_workers,
        cooldown_remaining_s=view.up_remaining_s,
        state=f"{view.workers} of at least {workers(rules.min_workers)}",
    )
    if missing <= view.awaited:
        return finding.decide("maintain", ": those that were asked for have not joined yet")
    count = missing - view.awaited
    return finding.decide(
        "scale_up", f": {workers(count, more=True)} {verb(count, 'make')} up the minimum", count=count
    )


@dataclass(frozen=True, slots=True)
class _Wish:
    """More workers, and what they are wished for."""

    count: int
    worker_type: WorkerType
    finding: _Finding
    effect: Callable[[int], str]
    """What so many of them achieve."""


def _grow(view: FleetView, rules: ScalingRules) -> ScalingDecision | None:
    wishes = [wish for wish in (_wish_of_load(view, rules), _wish_of_requests(view)) if wish is not None]
    if not wishes:
        return None
    wish = max(wishes, key=lambda each: each.count)
    finding = wish.finding
    allowed = wish.count if rules.max_workers is None else rules.max_workers - view.workers
    if allowed <= 0:
        return finding.decide("maintain", f", but the fleet is at its limit of {workers(rules.max_workers or 0)}")
    if view.up_remaining_s > 0:
        return finding.decide("maintain", f", but the fleet may not grow for another {seconds(view.up_remaining_s)}")
    count = min(wish.count, allowed)
    reason = f": {workers(count, more=True)} {wish.effect(count)}"
    return finding.decide("scale_up", reason, count=count, worker_type=wish.worker_type)


def _wish_of_load(view: FleetView, rules: ScalingRules) -> _Wish | None:
    signal = view.highest
    if signal is None or signal.value < rules.scale_up_threshold:
        return None
    needed = math.ceil(signal.workers * signal.value / rules.target_utilization - ROUNDING)
    return _Wish(
        min(max(1, needed - signal.workers), signal.workers),
        signal.resource,
        _finding_of(signal, view, rules.scale_up_threshold, "over", view.up_remaining_s),
        lambda count: (
            f"{verb(count, 'bring')} it to {percent(signal.value * signal.workers / (signal.workers + count))}"
        ),
    )


def _wish_of_requests(view: FleetView) -> _Wish | None:
    waiting = view.unplaced
    if not waiting.requests:
        return None
    finding = _Finding(
        view=view,
        metric=UNPLACED,
        value=waiting.requests,
        threshold=1,
        window_s=waiting.waiting_s,
        cooldown_remaining_s=view.up_remaining_s,
        state=f"{requests(waiting.requests)} without room{lasting(waiting.waiting_s)}",
    )
    return _Wish(
        min(max(1, waiting.workers), max(1, view.workers)),
        waiting.worker_type,
        finding,
        lambda count: f"{verb(count, 'hold')} {'them' if count >= waiting.workers else 'some of them'}",
    )


def _shrink(view: FleetView, rules: ScalingRules) -> ScalingDecision | None:
    signal = view.highest
    if signal is None or signal.value > rules.scale_down_threshold:
        return None
    finding = _finding_of(signal, view, rules.scale_down_threshold, "under", view.down_remaining_s)
    obstacle = _obstacle(view, rules)
    if obstacle is not None:
        return finding.decide("maintain", f", but {obstacle}")
    most = min(view.workers - rules.min_workers, max(1, view.workers // 2))
    leaving = _dispensable(view, rules, most)
    if not leaving:
        target = percent(rules.target_utilization)
        return finding.decide("maintain", f", but fewer workers could not carry it at {target}")
    ids = tuple(worker.id for worker in leaving)
    left = view.room
    for worker in leaving:
        left = left.minus(worker.room)
    index = WORKER_TYPES.index(signal.resource)
    reason = f": {workers(len(ids))} fewer ({names(ids)})"
    if signal.value and left[index]:
        reason += f" {verb(len(ids), 'bring')} it to {percent(signal.value * view.room[index] / left[index])}"
    return finding.decide("scale_down", reason, count=len(ids), worker_ids=ids)


def _obstacle(view: FleetView, rules: ScalingRules) -> str | None:
    """Say what forbids to do with fewer workers although all are little used; None where nothing does."""
    if view.unmeasured:
        return f"what {names(view.unmeasured)} {'use' if len(view.unmeasured) > 1 else 'uses'} is not known"
    if view.workers <= rules.min_workers:
        return f"the fleet is at its minimum of {workers(rules.min_workers)}"
    if view.unplaced.placeable:
        return f"{requests(view.unplaced.placeable)} that found no room may come again"
    if view.down_remaining_s > 0:
        return f"the fleet may not shrink for another {seconds(view.down_remaining_s)}"
    return None if view.idle else "every worker holds reservations"


def _dispensable(view: FleetView, rules: ScalingRules, most: int) -> list[IdleWorker]:
    """Return the least used workers without which the others carry all that is used and reserved at the target."""
    carried = [float(amount) for amount in view.reserved]
    for signal in view.signals:
        index = WORKER_TYPES.index(signal.resource)
        carried[index] = max(carried[index], signal.value * view.room[index])
    left, leaving = view.room, list[IdleWorker]()
    for worker in sorted(view.idle, key=lambda each: (each.used, each.id)):
        without = left.minus(worker.room)
        if len(leaving) < most and _carries(without, carried, rules.target_utilization):
            left = without
            leaving.append(worker)
    return leaving


def _carries(room: Amounts, carried: list[float], target: float) -> bool:
    return all(amount <= has * target * (1 + ROUNDING) for amount, has in zip(carried, room, strict=True))


def _stay(view: FleetView, rules: ScalingRules) -> ScalingDecision:
    signal = view.highest
    remaining_s = max(view.up_remaining_s, view.down_remaining_s)
    oversize = view.unplaced.oversize
    too_large = f"; {requests(oversize)} larger than any worker there is" if oversize else ""
    if signal is None:
        finding = _Finding(
            view=view,
            metric=WORKERS,
            value=view.workers,
            threshold=rules.min_workers,
            cooldown_remaining_s=remaining_s,
            state=f"{workers(view.workers)}, of which nothing is known"
            if view.workers
            else "No workers, and none asked for",
        )
        return finding.decide("maintain", too_large)
    low, high = rules.scale_down_threshold, rules.scale_up_threshold
    is_nearer_to_low = signal.value - low < high - signal.value
    threshold, relation = (low, "over") if is_nearer_to_low else (high, "under")
    finding = _finding_of(signal, view, threshold, relation, remaining_s)
    return finding.decide("maintain", f": nothing to change{too_large}")


def _finding_of(
    signal: Signal, view: FleetView, threshold: float, relation: str, cooldown_remaining_s: float
) -> _Finding:
    return _Finding(
        view=view,
        metric=signal.metric,
        value=signal.value,
        threshold=threshold,
        window_s=signal.window_s,
        cooldown_remaining_s=cooldown_remaining_s,
        state=state_of(signal, threshold, relation),
    )

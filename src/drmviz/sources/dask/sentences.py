"""Decisions about a Dask cluster, with their numbers in words."""

from __future__ import annotations

from collections.abc import Sequence

from drmviz.manager.sentences import workers
from drmviz.model.decisions import Action, ScalingDecision
from drmviz.sources.dask.workers import Load

WANTED = "workers_wanted"
"""Metric of decisions that the load of a scheduler led to: its value is how many workers it has work for."""


def tasks_of(load: Load) -> str:
    """Say what there is to do: "3 tasks running, 40 waiting"."""
    if load.running is None and load.queued is None:
        return "nothing known of its tasks" if load.workers else "no workers"
    waiting = [number for number in (load.ready, load.queued) if number is not None]
    at_least = "" if load.queued is not None else " on workers"
    running = load.running or 0
    return f"{running} task{'' if running == 1 else 's'} running, {sum(waiting)} waiting{at_least}"


def evidence_of(load: Load) -> str:
    """Say what a decision rests on besides its own number."""
    said = [tasks_of(load)]
    if load.cpu_ratio is not None:
        said.append(f"CPU {load.cpu_ratio * 100:.0f} %")
    if load.memory_bytes is not None:
        parts = [
            f"{_mib(number)} {name}"
            for name, number in (
                ("managed", load.managed_bytes),
                ("unmanaged", load.unmanaged_bytes),
                ("spilled", load.spilled_bytes),
            )
            if number is not None
        ]
        said.append(f"memory {_mib(load.memory_bytes)} MiB ({', '.join(parts)})")
    return "; ".join(said)


def wish_of(desired: int, load: Load, *, decided_at_s: float) -> ScalingDecision:
    """Return what a scheduler's load asks for; whether anybody scales the cluster by it is not seen from outside."""
    more = desired - load.workers
    action: Action = "scale_up" if more > 0 else "scale_down" if more < 0 else "maintain"
    verb = {"scale_up": "asks for", "scale_down": "needs only", "maintain": "is carried by"}[action]
    return ScalingDecision(
        action=action,
        decided_at_s=decided_at_s,
        count=abs(more),
        reason=(
            f"The scheduler's load {verb} {workers(desired)}, {load.workers} {is_or_are(load.workers)} there"
            f" ({evidence_of(load)}); who scales the cluster is not seen from outside"
        ),
        metric=WANTED,
        value=desired,
        threshold=load.workers,
        utilization=load.cpu_ratio,
    )


def adaptive_decision(
    *,
    wanted: int,
    target: int,
    planned: int,
    status: str,
    leaving: Sequence[str],
    load: Load,
    decided_at_s: float,
    wait_s: float,
    remaining_s: float | None,
) -> ScalingDecision:
    """Return one evaluation of Dask's Adaptive.

    `wanted` is what the load asks for, `target` the same within minimum and maximum, `planned` what there is or is
    being started; `status` is Adaptive's own word: up, down or same. `wait_s` is how long fewer must be wanted before
    anybody is let go, `remaining_s` what of it is left.
    """
    asked = f"{workers(wanted)} wanted"
    if target != wanted:
        asked += f", {'limited' if target < wanted else 'raised'} to {target} by the {_bound(target, wanted)}"
    state = f"{asked}, {planned} {is_or_are(planned)} planned ({evidence_of(load)})"
    action: Action = "maintain"
    count = 0
    window_s = 0.0
    if status == "up":
        action, count = "scale_up", target - planned
        said = f"{state}: {workers(count, more=True)}"
    elif status == "down":
        action, count, window_s = "scale_down", len(leaving), wait_s
        said = f"{state} for {wait_s:g} s: {workers(count)} fewer ({', '.join(leaving[:3])})"
    elif target < planned and remaining_s is not None:
        said = f"{state}, but workers are let go only after {wait_s:g} s of it, {remaining_s:g} s from now"
        window_s = wait_s
    elif target < planned:
        said = f"{state}, but none of them can be let go"
    else:
        said = f"{state}: nothing to change"
    return ScalingDecision(
        action=action,
        decided_at_s=decided_at_s,
        count=count,
        reason=said,
        metric=WANTED,
        value=wanted,
        threshold=planned,
        window_s=window_s,
        cooldown_remaining_s=remaining_s or 0.0,
        worker_ids=tuple(leaving),
        utilization=load.cpu_ratio,
    )


def is_or_are(count: int) -> str:
    return "is" if count == 1 else "are"


def _bound(target: int, wanted: int) -> str:
    return "maximum" if target < wanted else "minimum"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f}"

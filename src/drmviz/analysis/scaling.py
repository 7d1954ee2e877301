"""Why a fleet grew or shrank: what was decided (intent), who then joined or left (fact), how busy and large it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from drmviz.analysis.recordings import recordings
from drmviz.analysis.utilization import rows_of, series
from drmviz.model.decisions import RECORDING_ENDED, FleetChange, ScalingDecision
from drmviz.model.metrics import METRICS, FloatArray, Metric, Statistic
from drmviz.model.run import Run

LOST = frozenset({"lost", "crashed", "reclaimed", "killed"})
"""Reasons of leaving that nobody wished for."""
LATER_S = 180.0
"""How long after a decision its metric is looked at again."""
USUAL_COOLDOWN_S = 300.0
"""How long a decision is watched where the run does not state a cooldown."""
USED: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio", "gpu_memory_ratio")
_AT_ONE_INSTANT_S = 1e-3
_NAMED: dict[str, Metric] = {metric: metric for metric in METRICS if metric != "tasks_running"}
_NAMED |= {f"{metric.removesuffix('_ratio')}{end}": metric for metric in USED for end in ("", "_utilization")}
_OVERALL = frozenset({"overall", "utilization", "overall_utilization"})
_VARIES = re.compile(r"\d[\d.,]*|\b(?:over|under|at|cpu|memory|gpu)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSize:
    """How many workers lived from each moment on, up to the next one; exact, whatever the columns are."""

    at_s: FloatArray
    """float64, shape (steps,), ascending: the window's start, each change, the window's end."""
    workers: FloatArray
    """float64 whole numbers, shape (steps,); NaN where nothing was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What can be read after a decision to scale: facts, which need not be its doing."""

    change: Literal["joined", "left"]
    asked: int
    happened: int
    """How many of those asked for joined or left."""
    took_s: float | None
    """Until the last of them did; None where nobody did."""
    watched_s: float
    """How long was looked: up to the cooldown, the next such decision or the end of the recording or window."""
    is_whole: bool
    """Whether that was the whole cooldown."""
    metric: Metric | None = None
    later_s: float | None = None
    """How much later its metric was looked at again; None where that is not known."""
    later_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One decision to scale, or a run of decisions to hold for one reason, oldest first."""

    decisions: tuple[ScalingDecision, ...]
    aftermath: Aftermath | None = None

    @property
    def newest(self) -> ScalingDecision:
        return self.decisions[-1]

    @property
    def since_s(self) -> float:
        return self.decisions[0].decided_at_s


def metric_of(decision: ScalingDecision) -> Metric | None:
    """Return the metric that a decision names, as a run knows it; None for a queue, a price or no name at all."""
    return _NAMED.get(decision.metric.lower()) if decision.metric else None


def is_ratio(decision: ScalingDecision) -> bool:
    """Tell whether value and threshold of a decision are shares of what the fleet has."""
    return metric_of(decision) is not None or (decision.metric or "").lower() in _OVERALL


def leading_metric(decisions: Iterable[ScalingDecision]) -> Metric | None:
    """Return the metric that most decisions name, those to scale before those to hold."""
    named = [(decision.action != "maintain", metric_of(decision)) for decision in decisions]
    for acting in (True, False):
        counts = Counter(metric for acts, metric in named if metric is not None and acts is acting)
        if counts:
            return counts.most_common(1)[0][0]
    return None


def fleet_use(run: Run, metric: Metric, *, statistic: Statistic = "mean") -> FloatArray:
    """Return a metric of the whole fleet: float64, shape (columns,), NaN where nobody was measured.

    Ratios are weighted by what each worker has; running tasks are added up.
    """
    if metric != "tasks_running":
        return series(run, metric, statistic=statistic)
    rows = rows_of(run, "worker", "process")
    grid = np.where(run.alive[rows], run.values(metric, statistic)[rows], np.nan)
    known = np.isfinite(grid)
    total: FloatArray = np.where(known, grid, 0).sum(axis=0, dtype=np.float64)
    total[~known.any(axis=0)] = np.nan
    return total


def fleet_size(run: Run) -> FleetSize:
    """Return how many workers lived when; nobody knows where only the recording ended."""
    start_s, end_s = _bounds(run)
    lives = [life for row in rows_of(run, "worker", "process") for life in run.workers[row].incarnations]
    joined_s = np.array([life.joined_at_s for life in lives], dtype=np.float64)
    left_s = np.array([np.inf if life.left_at_s is None else life.left_at_s for life in lives], dtype=np.float64)
    ended_s = [life.left_at_s or np.inf for life in lives if life.why_left == RECORDING_ENDED]
    here = (joined_s < end_s) & (left_s > start_s)
    joined_s, left_s = np.maximum(joined_s[here], start_s), left_s[here]
    left_s = left_s[left_s < end_s]
    begun_s = min(max(run.header.started_at_s, start_s), end_s)  # a first column may begin before the first tick
    moments, place = np.unique(np.concatenate([[start_s, begun_s], joined_s, left_s]), return_inverse=True)
    steps = np.bincount(place[2:], weights=np.repeat([1.0, -1.0], [len(joined_s), len(left_s)]), minlength=len(moments))
    workers = np.cumsum(steps, dtype=np.float64)
    workers[(workers == 0) & (np.isin(moments, ended_s) | (moments < begun_s))] = np.nan
    stayed = (workers[1:] == workers[:-1]) | (np.isnan(workers[1:]) & np.isnan(workers[:-1]))
    moved = np.concatenate([[True], ~stayed])
    moments, workers = moments[moved], workers[moved]
    return FleetSize(at_s=np.append(moments, end_s), workers=np.append(workers, workers[-1]))


def fleet_changes(run: Run) -> tuple[FleetChange, ...]:
    """Return who joined and left, oldest first, without those who were there when the recording began."""
    first_tick_s = run.header.started_at_s + max(run.header.interval_s, _AT_ONE_INSTANT_S)
    fleet = {run.workers[row].id for row in rows_of(run, "worker", "process")}
    changes = (
        change
        for change in run.changes
        if change.is_of_the_fleet
        and change.worker in fleet
        and not (change.change == "joined" and change.at_s < first_tick_s)
    )
    return tuple(sorted(changes, key=lambda change: change.at_s))


def episodes(run: Run, use: Mapping[Metric, FloatArray] | None = None) -> tuple[Episode, ...]:
    """Return the decisions, oldest first, each to scale with what followed, those to hold folded by their reason.

    Args:
        run: the window.
        use: how busy the fleet was, by metric, as `fleet_use` returns it; what is not there is not looked up.

    Where several recordings were read as one, what followed a decision is looked up in its own.
    """
    if len(run.origins) < 2:
        return _episodes(run, use)
    parts = recordings(run)
    found: list[Episode] = []
    for host in dict.fromkeys(decision.host for decision in run.decisions):
        own = parts.get(host or "")
        if own is None:  # nothing else of it lies in the window
            alone = replace(run, decisions=tuple(each for each in run.decisions if each.host == host), changes=())
            found += _episodes(alone, None)
        else:
            found += _episodes(own, {metric: fleet_use(own, metric) for metric in use or {}})
    return tuple(sorted(found, key=lambda episode: (episode.newest.decided_at_s, episode.since_s)))


def _episodes(run: Run, use: Mapping[Metric, FloatArray] | None) -> tuple[Episode, ...]:
    watch = _Watch(run, use or {})
    found: list[Episode] = []
    held: list[ScalingDecision] = []
    for decision in sorted(run.decisions, key=lambda decision: decision.decided_at_s):
        if held and not _is_same_hold(held[-1], decision):
            found.append(Episode(decisions=tuple(held)))
            held = []
        if decision.action == "maintain":
            held.append(decision)
        else:
            found.append(Episode(decisions=(decision,), aftermath=watch.aftermath(decision)))
    if held:
        found.append(Episode(decisions=tuple(held)))
    return tuple(found)


def _bounds(run: Run) -> tuple[float, float]:
    """Return where the columns begin and end."""
    if not run.columns:
        return run.start_s, run.end_s
    return float(run.starts_at_s[0]), float(run.starts_at_s[-1]) + run.width_s


def _is_same_hold(one: ScalingDecision, other: ScalingDecision) -> bool:
    return other.action == "maintain" and (
        one.reason == other.reason or _without_numbers(one.reason) == _without_numbers(other.reason)
    )


@lru_cache(maxsize=4096)
def _without_numbers(reason: str) -> str:
    return _VARIES.sub("#", reason)


class _Watch:
    """Looks up what followed a decision."""

    def __init__(self, run: Run, use: Mapping[Metric, FloatArray]) -> None:
        self._run = run
        self._use = use
        self._begin_s, self._end_s = _bounds(run)
        self._changes = fleet_changes(run)
        self._changed_s = np.array([change.at_s for change in self._changes], dtype=np.float64)
        lives = (life for worker in run.workers for life in worker.incarnations)
        ended_s = {life.left_at_s for life in lives if life.left_at_s is not None and life.why_left == RECORDING_ENDED}
        self._ended_s = np.array(sorted(ended_s), dtype=np.float64)
        self._decided_s = {
            action: np.sort([each.decided_at_s for each in run.decisions if each.action == action])
            for action in ("scale_up", "scale_down")
        }

    def aftermath(self, decision: ScalingDecision) -> Aftermath:
        at_s, up = decision.decided_at_s, decision.action == "scale_up"
        watched_s, is_whole = self._watched(decision)
        edges = np.array([at_s - _AT_ONE_INSTANT_S, at_s + watched_s])
        first, end = np.searchsorted(self._changed_s, edges).tolist()
        fits = _joined if up else _left_as_wished(decision)
        happened_s = [change.at_s for change in self._changes[first:end] if fits(change)][: decision.count or None]
        if at_s < self._begin_s and not 0 < decision.count <= len(happened_s):
            happened_s = []  # the others may have come or gone before anybody looked
        metric = metric_of(decision)
        later = None if metric is None else _later(self._run, at_s, self._use.get(metric))
        return Aftermath(
            change="joined" if up else "left",
            asked=decision.count,
            happened=len(happened_s),
            took_s=max(0.0, happened_s[-1] - at_s) if happened_s else None,
            watched_s=watched_s,
            is_whole=is_whole,
            metric=metric,
            later_s=None if later is None else LATER_S,
            later_ratio=later,
        )

    def _watched(self, decision: ScalingDecision) -> tuple[float, bool]:
        """Return for how long is looked, and whether that is the whole cooldown."""
        policy, at_s = self._run.policy, decision.decided_at_s
        cooldown_s = policy.scale_up_cooldown_s if decision.action == "scale_up" else policy.scale_down_cooldown_s
        decided_s = self._decided_s[decision.action]
        following_s = decided_s[np.searchsorted(decided_s, at_s, side="right") :][:1].tolist()
        whole_s: float = cooldown_s or USUAL_COOLDOWN_S
        unseen_s = self._ended_s[np.searchsorted(self._ended_s, at_s, side="left") :][:1].tolist()
        watched_s = max(0.0, min(at_s + whole_s, self._end_s, *following_s, *unseen_s) - at_s)
        return watched_s, at_s >= self._begin_s and watched_s >= whole_s - _AT_ONE_INSTANT_S


def _joined(change: FleetChange) -> bool:
    return change.change == "joined"


def _left_as_wished(decision: ScalingDecision) -> Callable[[FleetChange], bool]:
    named = frozenset(decision.worker_ids)
    return lambda change: change.change == "left" and change.why not in LOST and (not named or change.worker in named)


def _later(run: Run, at_s: float, values: FloatArray | None) -> float | None:
    """Return the value a while after a moment; None where it is not known or lies in the same column."""
    if values is None or not run.columns:
        return None
    then, later = np.searchsorted(run.starts_at_s, [at_s, at_s + LATER_S], side="right") - 1
    if then < 0 or later == then or at_s + LATER_S >= _bounds(run)[1] or not np.isfinite(values[later]):
        return None
    return float(values[later])

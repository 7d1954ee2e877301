"""What was decided about the fleet and whom it lost, newest first, and what the next decision depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from drmviz.analysis.scaling import (
    LOST,
    Episode,
    episodes,
    fleet_changes,
    leading_metric,
    metric_of,
)
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.scaling_words import after, badge, based_on, heading, stretch
from drmviz.figures.units import duration
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import FloatArray, Metric
from drmviz.model.run import Run
from drmviz.report.behind import MOST_ROWS, Numbers
from drmviz.report.wording import clean, count, cut, percent

MOST_SHOWN = 40
_TONES = {"scale_up": "up", "scale_down": "down", "maintain": "hold"}
_TOGETHER_S = 60.0
"""Workers that were lost within so long of each other are told as one loss."""
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened."""

    at_s: float
    badge: str
    tone: str
    """up, down, hold or bad; the badge says it too."""
    heading: str
    sentence: str
    then: str
    """What followed; empty where that is not known."""
    when: str
    since_s: float
    """When it began; `at_s` is when it ended."""
    times: int = 1
    """How many decisions to hold this stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What the next decision depends on; ratios, None where not known."""

    name: str
    value: float | None
    up: float | None
    down: float | None
    cooldown: str
    """In words; empty where nothing is known of it."""

    @property
    def said(self) -> str:
        """Return "hold between 30 % and 80 %"."""
        if self.up is not None and self.down is not None:
            return f"hold between {percent(self.down)} and {percent(self.up)}"
        if self.up is not None:
            return f"scale up at {percent(self.up)}"
        return "" if self.down is None else f"scale down at {percent(self.down)}"

    @property
    def filled(self) -> str | None:
        """How far a bar of 100 reaches; None where the value is not known."""
        return None if self.value is None else _of_bar(self.value)

    @property
    def ticks(self) -> tuple[str, ...]:
        """Where the thresholds lie on it."""
        return tuple(_of_bar(level) for level in (self.down, self.up) if level is not None)


def entries(run: Run, use: Mapping[Metric, FloatArray]) -> list[Entry]:
    """Return decisions, those to hold folded by their reason, and losses; newest first.

    `use` holds how busy the fleet was, by metric, for what followed.
    """
    start_s, end_s = _window(run)
    found = [_decided(episode, start_s, end_s) for episode in episodes(run, use)]
    found += _lost(run, start_s, end_s)
    return sorted(found, key=lambda entry: -entry.at_s)


def folded(found: Sequence[Entry]) -> list[Entry]:
    """Return the entries with neighbours that hold as one, whatever each held for: the newest says why."""
    shown: list[Entry] = []
    for entry in found:
        newer = shown[-1] if shown else None
        if newer is None or newer.tone != "hold" or entry.tone != "hold":
            shown.append(entry)
            continue
        times = newer.times + entry.times
        when = f"{entry.when.partition('–')[0]}–{newer.when.rpartition('–')[2]}"
        shown[-1] = replace(newer, heading=f"Held {times:,} times", times=times, since_s=entry.since_s, when=when)
    return shown


def behind(found: Sequence[Entry]) -> Numbers:
    """Return the entries as a table."""
    return Numbers(
        columns=("Time, UTC", "", "what", "why", "what followed"),
        rows=tuple((entry.when, entry.badge, entry.heading, entry.sentence, entry.then) for entry in found[:MOST_ROWS]),
        more=f"and {len(found) - MOST_ROWS:,} older ones" if len(found) > MOST_ROWS else "",
    )


def next_decision(run: Run, use: Mapping[Metric, FloatArray]) -> Next | None:
    """Return what is known of the next decision; None where neither a policy nor a decision is, or of many fleets."""
    if len(run.origins) > 1:
        return None
    policy = run.policy
    newest = max(run.decisions, key=lambda decision: decision.decided_at_s, default=None)
    if newest is None and not policy.is_known:
        return None
    metric = (metric_of(newest) if newest else None) or leading_metric(run.decisions) or "cpu_ratio"
    values = use.get(metric, np.empty(0))
    known = values[np.isfinite(values)]
    return Next(
        name=METRIC_NAMES[metric],
        value=float(known[-1]) if known.size else None,
        up=policy.scale_up_threshold,
        down=policy.scale_down_threshold,
        cooldown=_cooldown(run, newest),
    )


def _of_bar(ratio: float) -> str:
    return f"{min(ratio * 100, 100):.2f}"


def _window(run: Run) -> tuple[float, float]:
    if not run.columns:
        return run.start_s, run.end_s
    return float(run.starts_at_s[0]), float(run.starts_at_s[-1]) + run.width_s


def _decided(episode: Episode, start_s: float, end_s: float) -> Entry:
    decision = episode.newest
    return Entry(
        at_s=decision.decided_at_s,
        badge=badge(decision),
        tone=_TONES[decision.action],
        heading=heading(episode),
        sentence=cut(decision.said_or(based_on(decision) or "no reason was given"), 240),
        then=" · ".join(after(episode.aftermath)),
        when=stretch(episode.since_s, decision.decided_at_s, start_s, end_s),
        since_s=episode.since_s,
        times=len(episode.decisions),
    )


def _lost(run: Run, start_s: float, end_s: float) -> list[Entry]:
    """Return the workers that nobody wished away, those lost for one reason within a minute together."""
    losses = [change for change in fleet_changes(run) if change.change == "left" and change.why in LOST]
    return [
        _loss(list(group), start_s, end_s)
        for _, group in groupby(losses, key=lambda change: (change.why, change.at_s // _TOGETHER_S))
    ]


def _loss(group: list[FleetChange], start_s: float, end_s: float) -> Entry:
    names = ", ".join(cut(change.worker, 40) for change in group[:_NAMED])
    more = f" and {len(group) - _NAMED:,} more" if len(group) > _NAMED else ""
    why = {"reclaimed": ": reclaimed by the provider", "lost": ""}.get(
        group[0].why or "", f": {clean(group[0].why or '')}"
    )
    return Entry(
        at_s=group[-1].at_s,
        badge=f"−{len(group):,}",
        tone="bad",
        heading=f"Lost {count(len(group), 'worker')}",
        sentence=f"{names}{more}{why}",
        then="",
        when=stretch(group[0].at_s, group[-1].at_s, start_s, end_s),
        since_s=group[0].at_s,
    )


def _cooldown(run: Run, newest: ScalingDecision | None) -> str:
    """Return how much of the cooldown is left at the end of the window, as the newest decision and the policy say."""
    if newest is None:
        return ""
    policy, (_, end_s) = run.policy, _window(run)
    stated_s = newest.cooldown_remaining_s
    if newest.action == "scale_up":
        stated_s = policy.scale_up_cooldown_s if policy.scale_up_cooldown_s is not None else stated_s
    elif newest.action == "scale_down":
        stated_s = policy.scale_down_cooldown_s if policy.scale_down_cooldown_s is not None else stated_s
    if stated_s is None:
        return ""
    left_s = stated_s - max(0.0, end_s - newest.decided_at_s)
    return f"{duration(left_s)} left" if left_s >= 1 else "over"

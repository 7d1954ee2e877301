"""Scaling decisions and fleet changes in words, as hover texts and lists show them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drmviz.analysis.scaling import Aftermath, Episode, is_ratio, metric_of
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.names import count, drawn
from drmviz.figures.scaling import KIND_NAMES, KINDS, Fate, Item
from drmviz.figures.scaling_places import wrapped
from drmviz.figures.units import clock, date_and_clock, duration, percent
from drmviz.model.decisions import FleetChange, ScalingDecision

_DAY_S = 86400
_MOST_NAMED = 6
_MOST_LISTED = 6
_HOVER_LETTERS, _HOVER_LINES = 72, 4


def moment(at_s: float, start_s: float, end_s: float) -> str:
    """Return the time of day in UTC, with its date where the window does not tell it."""
    if start_s <= at_s <= end_s and end_s - start_s < _DAY_S:
        return clock(at_s)
    return clock(at_s) if at_s // _DAY_S == start_s // _DAY_S == end_s // _DAY_S else date_and_clock(at_s)[:-4]


def stretch(first_s: float, last_s: float, start_s: float, end_s: float) -> str:
    """Return "14:13:20–14:15:01", or one moment where it is none."""
    first, last = moment(first_s, start_s, end_s), moment(last_s, start_s, end_s)
    return first if first == last else f"{first}–{last}"


def badge(decision: ScalingDecision) -> str:
    """Return "+3", "−2" or "="; without a number where none was stated."""
    if decision.action == "maintain":
        return "="
    sign = "+" if decision.action == "scale_up" else "−"
    return f"{sign}{decision.count:,}" if decision.count else sign


def label(decisions: Sequence[ScalingDecision]) -> str:
    """Return what stands beside a mark: "+3", and "+14 (5)" for five decisions; nothing beside one to hold."""
    if decisions[0].action == "maintain":
        return ""
    total = sum(decision.count for decision in decisions)
    sign = "+" if decisions[0].action == "scale_up" else "−"
    text = f"{sign}{total:,}" if total else ""
    return f"{text} ({len(decisions)})".strip() if len(decisions) > 1 else text


def heading(episode: Episode) -> str:
    """Return what was decided, in a few words."""
    decision = episode.newest
    if decision.action == "maintain":
        return f"Held {len(episode.decisions):,} times" if len(episode.decisions) > 1 else "Hold"
    verb = "Add" if decision.action == "scale_up" else "Remove"
    return f"{verb} {count(decision.count, 'worker')}" if decision.count else f"{verb} workers"


def based_on(decision: ScalingDecision) -> str:
    """Return "CPU 86 %, threshold 80 %, over 1 min 30 s"; what is not known is left out."""
    metric = metric_of(decision)
    name = METRIC_NAMES[metric] if metric else drawn(decision.metric or "", limit=40).replace("_", " ")
    value, threshold = levels(decision)
    window_s = _finite(decision.window_s)
    parts = [
        f"{name} {value}".strip() if value else name,
        f"threshold {threshold}" if threshold else "",
        f"over {duration(window_s)}" if window_s else "",
    ]
    return ", ".join(part for part in parts if part)


def levels(decision: ScalingDecision) -> tuple[str, str]:
    """Return value and threshold in words; empty where not known."""
    return _level(decision, decision.value, beside=decision.threshold), _level(decision, decision.threshold)


def after(aftermath: Aftermath | None) -> tuple[str, ...]:
    """Return "3 joined within 1 min 10 s" and "CPU 59 % 3 min later", as far as that is known.

    That nobody came is said only where somebody would have had the whole cooldown to come.
    """
    if aftermath is None:
        return ()
    parts = []
    if aftermath.happened or aftermath.is_whole:
        of = f" of {aftermath.asked:,}" if aftermath.happened < aftermath.asked else ""
        within_s = aftermath.watched_s if aftermath.took_s is None or of else aftermath.took_s
        within = f"within {duration(within_s)}" if within_s >= 1 else "at once"
        parts.append(f"{aftermath.happened or 'none'}{of} {aftermath.change} {within}")
    if aftermath.metric and aftermath.later_ratio is not None and aftermath.later_s is not None:
        level = percent(aftermath.later_ratio * 100)
        parts.append(f"{METRIC_NAMES[aftermath.metric]} {level} {duration(aftermath.later_s)} later")
    return tuple(parts)


def decision_hover(episode: Episode, *, start_s: float, end_s: float) -> tuple[str, ...]:
    """Return all that is known of a decision, line by line."""
    decision = episode.newest
    when = stretch(episode.since_s, decision.decided_at_s, start_s, end_s)
    left_s, utilization = _finite(decision.cooldown_remaining_s), _finite(decision.utilization)
    lines = [
        f"{when} UTC · {heading(episode)}",
        *wrapped(decision.said, letters=_HOVER_LETTERS, lines=_HOVER_LINES),
        based_on(decision),
        "" if left_s is None else f"cooldown {duration(left_s)} left" if left_s > 0 else "no cooldown left",
        f"utilization {percent(utilization * 100)}" if utilization is not None else "",
        f"type {drawn(decision.worker_type, limit=40)}" if decision.worker_type else "",
        f"workers {_names(decision.worker_ids)}" if decision.worker_ids else "",
        " · ".join(after(episode.aftermath)),
    ]
    return tuple(line for line in lines if line)


def gathered_hover(decisions: Sequence[ScalingDecision], *, start_s: float, end_s: float) -> tuple[str, ...]:
    """Return what several decisions of one kind say together, the first few one by one."""
    kind = KIND_NAMES[KINDS[decisions[0].action]]
    when = stretch(decisions[0].decided_at_s, decisions[-1].decided_at_s, start_s, end_s)
    total = sum(decision.count for decision in decisions)
    change = f", {badge(decisions[0])[0]}{count(total, 'worker')} in all" if total else ""
    lines = [f"{when} UTC · {len(decisions):,} decisions to {kind}{change}"]
    for decision in decisions[:_MOST_LISTED]:
        reason = " ".join(wrapped(decision.said, letters=_HOVER_LETTERS, lines=1))
        lines.append(f"{moment(decision.decided_at_s, start_s, end_s)} {badge(decision)} {reason}".strip())
    more = len(decisions) - _MOST_LISTED
    return (*lines, f"and {more:,} more") if more > 0 else tuple(lines)


def changes_hover(fate: Fate, changes: Sequence[FleetChange], *, start_s: float, end_s: float) -> tuple[str, ...]:
    """Return who joined or left, when and why."""
    whys = dict.fromkeys(change.why for change in changes if change.why)
    shown = ", ".join(drawn(why, limit=40) for why in list(whys)[:3])
    return (
        f"{stretch(changes[0].at_s, changes[-1].at_s, start_s, end_s)} UTC · {count(len(changes), 'worker')} {fate}",
        _names([change.worker for change in changes]),
        f"why: {shown}" if shown else "why is not known",
    )


def item(episode: Episode, *, start_s: float, end_s: float) -> Item:
    """Return the entry of the list for a decision, or for a run of them to hold."""
    decision = episode.newest
    reason = decision.said_or(based_on(decision) or "no reason was given")
    return Item(
        kind=KINDS[decision.action],
        badge=badge(decision),
        heading=heading(episode),
        when=stretch(episode.since_s, decision.decided_at_s, start_s, end_s),
        reason=reason,
        after=after(episode.aftermath),
        decisions=len(episode.decisions),
    )


def _level(decision: ScalingDecision, level: float | None, *, beside: float | None = None) -> str:
    """Write a value or threshold, exactly enough to tell it from another one that it differs from."""
    if level is None or not math.isfinite(level):
        return ""
    if not is_ratio(decision):
        return f"{level:,.6g}"
    if beside is None or level == beside:
        return percent(level * 100)
    digits = next((n for n in (0, 1, 2) if f"{level * 100:.{n}f}" != f"{beside * 100:.{n}f}"), 3)
    return f"{level * 100:.{digits}f} %"


def _finite(number: float | None) -> float | None:
    """Return a number that a source stated, unless it makes no sense: below zero, infinite or none."""
    return number if number is not None and 0 <= number < math.inf else None


def _names(workers: Sequence[str]) -> str:
    shown = ", ".join(drawn(worker, limit=40) for worker in workers[:_MOST_NAMED])
    more = len(workers) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown

"""Decisions, fleet changes and thresholds: where each stands, and which are gathered because they would collide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from drmviz.analysis.scaling import LOST, Episode, fleet_changes, is_ratio, metric_of
from drmviz.figures.scaling import FATES, Fact, Fate, Line, Mark, Threshold, Told
from drmviz.figures.scaling_words import changes_hover, decision_hover, gathered_hover, label
from drmviz.figures.units import percent
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import FloatArray, Metric
from drmviz.model.run import Run

_MOST_MARKS, _MOST_FACTS = 25, 40
"""Of one kind, across the window."""
_MOST_TOLD = 500
"""From more decisions on, those to hold are told by runs of equal ones."""
_MOST_NAMED = 20
_CLEAR = 9.0
"""Percent between a text and the next line that leave it in peace."""


def tell(
    run: Run, found: Sequence[Episode], lines: Sequence[Line], *, start_s: float, end_s: float
) -> tuple[Told, ...]:
    """Return the decisions, oldest first, with the place of each: never outside of the window."""
    parts = list(found) if len(run.decisions) > _MOST_TOLD else [one for episode in found for one in _apart(episode)]
    if not parts or end_s <= start_s:
        return ()
    decided_s = np.array([part.newest.decided_at_s for part in parts])
    drawn_s = np.clip(decided_s, start_s, end_s).tolist()
    on_line = _on_line(run, decided_s, lines).tolist()
    levels = [_level(part.newest, lines, level) for part, level in zip(parts, on_line, strict=True)]
    keys = [(part.newest.action, level is None) for part, level in zip(parts, levels, strict=True)]
    groups = [
        group
        for key in dict.fromkeys(keys)
        for group in gathered(
            [place for place, of in enumerate(keys) if of == key], drawn_s, apart_s=(end_s - start_s) / _MOST_MARKS
        )
    ]
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    return tuple(
        Told(
            decision=part.newest,
            times=len(part.decisions),
            at_s=drawn_s[place],
            level=levels[place],
            label=label([part.newest]),
            hover=decision_hover(part, start_s=start_s, end_s=end_s),
            mark=group_of[place],
        )
        for place, part in enumerate(parts)
    )


def marks(told: Sequence[Told], *, start_s: float, end_s: float) -> tuple[Mark, ...]:
    """Return what is drawn of the decisions, oldest first."""
    groups: dict[int, list[Told]] = {}
    for each in told:
        groups.setdefault(each.mark, []).append(each)
    made = [_mark(group, start_s, end_s) for group in groups.values()]
    return tuple(sorted(made, key=lambda mark: mark.at_s))


def facts(run: Run, *, start_s: float, end_s: float) -> tuple[Fact, ...]:
    """Return who joined, left and was lost, gathered where marks would collide, oldest first."""
    changes = [change for change in fleet_changes(run) if start_s <= change.at_s <= end_s]
    found = []
    for fate in FATES:
        of_fate = [change for change in changes if _fate(change) == fate]
        moments = [change.at_s for change in of_fate]
        for group in gathered(range(len(of_fate)), moments, apart_s=(end_s - start_s) / _MOST_FACTS):
            members = [of_fate[place] for place in group]
            found.append(
                Fact(
                    fate=fate,
                    at_s=members[0].at_s,
                    number=len(members),
                    hover=changes_hover(fate, members, start_s=start_s, end_s=end_s),
                    workers=tuple(member.worker for member in members[:_MOST_NAMED]),
                    whys=tuple(dict.fromkeys(member.why for member in members if member.why)),
                )
            )
    return tuple(sorted(found, key=lambda fact: fact.at_s))


def thresholds(
    run: Run, lines: tuple[Line, ...], told: tuple[Told, ...], *, start_s: float, end_s: float
) -> tuple[Threshold, ...]:
    """Return what is known of the policy; each text stands where there is room for it."""
    policy = run.policy
    stated: tuple[tuple[Literal["up", "target", "down"], float | None, str, bool], ...] = (
        ("up", policy.scale_up_threshold, "scale up at", True),
        ("target", policy.target_utilization, "aims at", False),
        ("down", policy.scale_down_threshold, "scale down at", False),
    )
    found = []
    for name, ratio, words, above in stated:
        if ratio is not None:
            level = ratio * 100
            found.append(
                Threshold(
                    name=name,
                    percent=level,
                    text=f"{words} {percent(level)}",
                    is_text_above=above,
                    text_at=_emptiest(level + (5 if above else -5), lines, told, start_s=start_s, end_s=end_s),
                )
            )
    return tuple(found)


def _emptiest(level: float, lines: tuple[Line, ...], told: tuple[Told, ...], *, start_s: float, end_s: float) -> float:
    """Return where across the plot nothing is near to a level, or farthest from it; the ends are liked best."""

    def clearance(at: float) -> float:
        near = [
            float(np.nanmin(np.abs(part - level), initial=np.inf))
            for line in lines
            if (
                part := line.values[round(len(line.values) * max(0.0, at - 0.09)) :][: max(1, len(line.values) // 9)]
            ).size
        ]
        near += [
            abs(each.level + (4 if each.kind == "up" else -4) - level)
            for each in told
            if each.level is not None
            and abs((each.at_s - start_s) / (end_s - start_s) - min(max(at, 0.05), 0.95)) < 0.09
        ]
        return min([*near, _CLEAR])

    return max((1.0, 0.0, 0.5, 0.25, 0.75), key=clearance)


def _apart(episode: Episode) -> list[Episode]:
    return [Episode(decisions=(decision,), aftermath=episode.aftermath) for decision in episode.decisions]


def gathered(places: Iterable[int], moments: Sequence[float], *, apart_s: float) -> list[list[int]]:
    """Return the places, which are in the order of their moments, in groups that begin at least so far apart."""
    groups: list[list[int]] = []
    for place in places:
        if groups and moments[place] < moments[groups[-1][0]] + apart_s:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _mark(together: list[Told], start_s: float, end_s: float) -> Mark:
    """Return one mark, which stands where the middle one of these decisions does."""
    middle = together[len(together) // 2]
    decisions = [each.decision for each in together]
    hover = gathered_hover(decisions, start_s=start_s, end_s=end_s) if len(together) > 1 else middle.hover
    return Mark(
        kind=middle.kind,
        number=len(together),
        at_s=middle.at_s,
        level=middle.level,
        label=label(decisions),
        hover=hover,
    )


def _on_line(run: Run, moments_s: FloatArray, lines: Sequence[Line]) -> FloatArray:
    """Return where the first line is at these moments; NaN outside of the window and where it is not known."""
    if not lines:
        return np.full(moments_s.shape, np.nan)
    values, middles_s = lines[0].values, run.starts_at_s + run.width_s / 2
    column = np.floor((moments_s - run.starts_at_s[0]) / run.width_s).astype(np.int64)
    inside = (column >= 0) & (column < run.columns)
    between = np.interp(moments_s, middles_s, values)
    own = values[np.clip(column, 0, run.columns - 1)]
    return np.where(inside, np.where(np.isfinite(between), between, own), np.nan)


def _level(decision: ScalingDecision, lines: Sequence[Line], on_line: float) -> float | None:
    """Return the value a decision was based on where the first line shows just that, else the line's own."""
    value = _percent(decision.value) if is_ratio(decision) else None
    if value is not None and lines and _resource(metric_of(decision)) == _resource(lines[0].metric):
        return value
    if on_line == on_line:
        return on_line
    if lines and lines[0].metric == "tasks_running":
        return None
    return _percent(decision.utilization) if value is None else value


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None or not math.isfinite(ratio) else ratio * 100


def _resource(metric: Metric | None) -> str | None:
    return metric.removesuffix("_ratio").removesuffix("_reserved") if metric else None


def _fate(change: FleetChange) -> Fate:
    return "joined" if change.change == "joined" else "lost" if change.why in LOST else "left"

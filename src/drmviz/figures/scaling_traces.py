"""The traces of the Plotly figure of a scaling history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from drmviz.figures.names import escaped
from drmviz.figures.scaling import (
    DECIDED,
    KIND_NAMES,
    Fate,
    Kind,
    Line,
    Mark,
    ScalingHistory,
    Told,
    fate_colour,
    kind_colour,
    line_colour,
)
from drmviz.figures.scaling_places import fact_numbers
from drmviz.figures.theme import Theme
from drmviz.figures.units import iso
from drmviz.model.metrics import FloatArray

_SYMBOLS: dict[Kind, str] = {"up": "triangle-up", "down": "triangle-down", "hold": "line-ns-open"}
_SIZES: dict[Kind, int] = {"up": 13, "down": 13, "hold": 9}
_FATE_SYMBOLS: dict[Fate, str] = {"joined": "triangle-up", "left": "triangle-down", "lost": "x"}
_DASHES = ("solid", "6px,3px", "2px,3px")


def traces(history: ScalingHistory, theme: Theme) -> list[dict[str, Any]]:
    """Return a trace for each line, then `workers`, `fleet changes` and `decisions`, then marks of other places."""
    made = [_line(history, line, number, theme) for number, line in enumerate(history.lines)]
    made += [_size(history, theme), _facts(history, theme), _decisions(history, theme)]
    placed = [mark for mark in history.marks if mark.level is not None]
    unplaced = [mark for mark in history.marks if mark.level is None]
    if history.is_crowded:
        made.append(_marks("decisions together", "y", placed, [mark.level for mark in placed], theme))
    if unplaced:
        row = history.rows.index(DECIDED)
        made.append(_marks("decisions without a value", "y2", unplaced, [row] * len(unplaced), theme))
    return made


def _known(values: FloatArray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _line(history: ScalingHistory, line: Line, number: int, theme: Theme) -> dict[str, Any]:
    """Return one line; a column to which no line leads gets a dot."""
    colour, starts = line_colour(number, theme), iso(history.starts_at_s)
    unit = "%{y:.1f} %" if history.unit else "%{y:.1f} tasks"
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "lines", "name": line.name, "xaxis": "x", "yaxis": "y",
        "x": starts, "y": _known(line.values), "connectgaps": False,
        "xperiod": history.width_s * 1000, "xperiod0": starts[0], "xperiodalignment": "middle",
        "line": {"color": colour, "width": 2.2 if number == 0 else 1.4, "dash": _DASHES[min(number, 2)]},
        "hovertemplate": f"<b>{escaped(line.name)}</b> {unit}<br>%{{x}}<extra></extra>",
    }  # fmt: skip
    if line.single.any():
        sizes = np.where(line.single, 5, 0).tolist()
        trace |= {"mode": "lines+markers", "marker": {"size": sizes, "color": colour, "opacity": 1}}
    return trace


def _size(history: ScalingHistory, theme: Theme) -> dict[str, Any]:
    workers = [None if number is None else int(number) for number in _known(history.size.workers)]
    return {
        "type": "scatter", "mode": "lines", "name": "workers", "xaxis": "x", "yaxis": "y3",
        "x": iso(history.size.at_s), "y": workers, "connectgaps": False, "fill": "tozeroy",
        "line": {"color": theme.ink_faint, "width": 1.4, "shape": "hv"}, "fillcolor": theme.track,
        "hovertemplate": "<b>%{y:,d}</b> workers<br>from %{x} on<extra></extra>",
    }  # fmt: skip


def _facts(history: ScalingHistory, theme: Theme) -> dict[str, Any]:
    rows, facts = history.rows, history.facts
    return {
        "type": "scatter", "mode": "markers+text", "name": "fleet changes", "xaxis": "x", "yaxis": "y2",
        "x": iso(np.array([fact.at_s for fact in facts])), "y": [rows.index(fact.fate) for fact in facts],
        "text": fact_numbers(history), "textposition": "middle right",
        "textfont": {"size": 10, "color": theme.ink_soft},
        "marker": {
            "symbol": [_FATE_SYMBOLS[fact.fate] for fact in facts], "size": 9, "opacity": 1,
            "color": [fate_colour(fact.fate, theme) for fact in facts], "line": {"color": theme.surface, "width": 1},
        },
        "customdata": [[fact.fate, fact.number, list(fact.workers), list(fact.whys)] for fact in facts],
        "hovertext": [_hover(fact.hover) for fact in facts], "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }  # fmt: skip


def _decisions(history: ScalingHistory, theme: Theme) -> dict[str, Any]:
    """Return every decision; where some share a mark they are only there to be read, and the marks have their own."""
    told = history.told
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "name": "decisions", "xaxis": "x", "yaxis": "y",
        "x": iso(np.array([each.at_s for each in told])), "y": [each.level for each in told],
        "text": [each.label or KIND_NAMES[each.kind] for each in told],
        "customdata": [_fields(each) for each in told],
    }  # fmt: skip
    if history.is_crowded:
        return trace | {"marker": {"size": 0, "opacity": 0}, "hoverinfo": "skip"}
    return trace | {
        "marker": _marker([each.kind for each in told], theme), "cliponaxis": False,
        "hovertext": [_hover(each.hover) for each in told], "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def _fields(told: Told) -> list[Any]:
    decision = told.decision
    return [
        decision.action, decision.count, decision.said, decision.metric, decision.value, decision.threshold,
        decision.window_s, decision.cooldown_remaining_s, list(decision.worker_ids), decision.worker_type,
        decision.utilization, iso(np.array([decision.decided_at_s]))[0], told.times,
    ]  # fmt: skip


def _marks(name: str, axis: str, marks: Sequence[Mark], levels: Sequence[float | None], theme: Theme) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "xaxis": "x", "yaxis": axis,
        "x": iso(np.array([mark.at_s for mark in marks])), "y": list(levels), "text": [mark.label for mark in marks],
        "marker": _marker([mark.kind for mark in marks], theme),
        "hovertext": [_hover(mark.hover) for mark in marks], "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }  # fmt: skip


def _marker(kinds: Sequence[Kind], theme: Theme) -> dict[str, Any]:
    return {
        "symbol": [_SYMBOLS[kind] for kind in kinds], "size": [_SIZES[kind] for kind in kinds], "opacity": 1,
        "color": [kind_colour(kind, theme) for kind in kinds], "line": {"color": theme.surface, "width": 1.5},
    }  # fmt: skip


def _hover(lines: tuple[str, ...]) -> str:
    first, *rest = (escaped(line) for line in lines)
    return "<br>".join([f"<b>{first}</b>", *rest])

"""The cards of a fleet: how large and busy it is now, what lies idle, and what an hour of it costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drmviz.analysis.cost import MONTH_H, CloudCost
from drmviz.analysis.scaling import fleet_size
from drmviz.analysis.utilization import capacities, rows_of
from drmviz.figures.cloud_words import NO_PRICE, NOT_STATED, amount, basis_of, by_currency, money, named, rough
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.resource_utilization_heatmap import RESERVED
from drmviz.figures.units import clock, duration
from drmviz.model.metrics import FloatArray, Metric
from drmviz.model.run import Run
from drmviz.report.cards import Card, with_line
from drmviz.report.wording import NOT_MEASURED, count, cut, percent

_ROWS_AT_ONCE = 256
_MOST_CURRENCIES = 2


def cards(run: Run, cost: CloudCost, use: Mapping[Metric, FloatArray]) -> list[Card]:
    """Return the six cards of a dashboard; `use` holds how busy the fleet was, by metric."""
    lasted_s = cost.end_s - cost.start_s
    return [
        _workers(run, lasted_s),
        _level(run, "cpu_ratio", use),
        _level(run, "memory_ratio", use),
        _level(run, "gpu_ratio", use),
        _idle(run),
        _cost(cost) if cost.currencies else _tasks(run, use),
    ]


def _workers(run: Run, lasted_s: float) -> Card:
    size = fleet_size(run)
    rows = rows_of(run, "worker", "process")
    label = "Processes" if rows and run.workers[rows[0]].kind == "process" else "Workers"
    known = size.workers[np.isfinite(size.workers)]
    if not known.size:
        return Card(label=label, value="–", detail="nothing was recorded")
    most = run.policy.max_workers
    unit = "" if most is None else f"of {most:,} max"
    if np.isnan(size.workers[-1]):
        return Card(label=label, value="–", unit=unit, detail="not known at the end")
    change = int(size.workers[-1] - known[0])
    lead = f"{'▲' if change > 0 else '▼'} {abs(change):,}" if change else ""
    card = Card(
        label=label,
        value=f"{size.workers[-1]:,.0f}",
        unit=unit,
        lead=lead,
        tone="up" if change > 0 else "down" if change else "",
        detail=f"in {duration(lasted_s)}" if change else f"as {duration(lasted_s)} ago",
    )
    ends_s = np.append(run.starts_at_s[1:], run.starts_at_s[-1:] + run.width_s)
    then = np.searchsorted(size.at_s, ends_s, side="left") - 1
    return with_line(card, size.workers[np.maximum(then, 0)], stepped=True)


def _level(run: Run, metric: Metric, use: Mapping[Metric, FloatArray]) -> Card:
    """Return how much of a resource is used now, or reserved where use was nowhere measured."""
    name = METRIC_NAMES[metric]
    if metric == "gpu_ratio" and run.workers and all(worker.capacity.gpu_count == 0 for worker in run.workers):
        return Card(label=name, value="–", detail="no worker has one")
    shown = metric if metric in use else RESERVED[metric]
    if shown not in use:
        return Card(label=name, value="–", detail=NOT_MEASURED)
    name, values = METRIC_NAMES[shown], use[shown]
    newest = int(np.flatnonzero(np.isfinite(values))[-1])
    now = float(values[newest])
    threshold = run.policy.scale_up_threshold
    lead, detail = _against(run, now)
    if newest < len(values) - 1:
        lead, detail = "", f"at {clock(float(run.starts_at_s[newest]))}, {NOT_MEASURED} since"
    elif not detail:
        highest = int(np.nanargmax(values))
        detail = f"highest {percent(float(values[highest]))} at {clock(float(run.starts_at_s[highest]))}"
    card = Card(
        label=name,
        value=percent(now).removesuffix(" %"),
        unit="%",
        lead=lead,
        tone="bad" if lead else "",
        detail=detail,
    )
    return with_line(card, values, level=threshold)


def _against(run: Run, now: float) -> tuple[str, str]:
    """Return where a load lies between the thresholds, what stands out of it first; nothing where none is known."""
    up, down = run.policy.scale_up_threshold, run.policy.scale_down_threshold
    if up is None:
        return "", ""
    if now >= up:
        return f"{round((now - up) * 100)} pt over", f"scale-up at {percent(up)}"
    if down is not None and now <= down:
        return "", f"{round((down - now) * 100)} pt under scale-down at {percent(down)}"
    return "", f"{'inside band, ' if down is not None else ''}{round((up - now) * 100)} pt to scale-up"


def _idle(run: Run) -> Card:
    """Return the share of the reserved cores that is not used."""
    label = "Idle reservations"
    reserved, idle, is_sized = _reserved_and_idle(run)
    if not np.isfinite(reserved).any():
        is_reserved = run.is_measured("cpu_reserved_ratio")
        why = f"use of CPU {NOT_MEASURED}" if is_reserved else "nothing is known to be reserved"
        return Card(label=label, value="–", detail=why)
    share = np.divide(idle, reserved, out=np.full(run.columns, np.nan), where=reserved > 0)
    known = np.flatnonzero(np.isfinite(share))
    if not known.size:
        return Card(label=label, value="–", detail="nothing is reserved")
    newest = int(known[-1])
    mean = float(np.nansum(idle) / np.nansum(reserved))
    of = f"of {reserved[newest]:,.0f} reserved cores" if is_sized else "of reserved CPU"
    card = Card(
        label=label,
        value=percent(float(share[newest])).removesuffix(" %"),
        unit="%",
        detail=f"{of}; {percent(mean)} on average",
    )
    return with_line(card, share)


def _reserved_and_idle(run: Run) -> tuple[FloatArray, FloatArray, bool]:
    """Return cores over the columns, NaN where nobody's use and reservation are both known, and whether it is cores.

    Where no capacity is known, workers count alike.
    """
    rows = rows_of(run, "worker", "process")
    reserved, idle, counted = np.zeros(run.columns), np.zeros(run.columns), np.zeros(run.columns, dtype=np.bool_)
    stated = capacities(run, rows, "cpu_millicores") / 1000
    is_sized = bool(np.isfinite(stated).any())
    weights = np.nan_to_num(stated) if is_sized else np.ones(len(rows))
    granted, used = run.values("cpu_reserved_ratio"), run.values("cpu_ratio")
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first : first + _ROWS_AT_ONCE]
        surplus = granted[part] - used[part]
        both = np.isfinite(surplus) & run.alive[part]
        weight = weights[first : first + _ROWS_AT_ONCE]
        reserved += weight @ np.where(both, granted[part], 0.0)
        idle += weight @ np.where(both, np.maximum(surplus, 0.0), 0.0)
        counted |= both.any(axis=0)
    return np.where(counted, reserved, np.nan), np.where(counted, idle, np.nan), is_sized


def _cost(cost: CloudCost) -> Card:
    """Return what an hour costs now, in the currency of most providers; others are named, never added."""
    rates = by_currency(cost.rates_now)
    unpriced = [each for each in cost.providers if not each.is_priced_now]
    if not rates:
        return with_line(Card(label="Cost", value="–", detail=f"{NO_PRICE} now"), cost.rate(cost.currencies[0]))
    first = max(rates, key=lambda currency: sum(currency in by_currency(each.rates_now) for each in cost.providers))
    kinds = [kind for kind in cost.rates_now if kind.currency == first]
    parts = [f"about {rough(rates[first] * MONTH_H)} per month, {basis_of(kinds)}"]
    others = [money(value, currency) for currency, value in rates.items() if currency != first]
    parts += [f"and {other}" for other in others[:_MOST_CURRENCIES]]
    if len(others) > _MOST_CURRENCIES:
        parts.append(f"and in {count(len(others) - _MOST_CURRENCIES, 'more currency', 'more currencies')}")
    if unpriced:
        whose = cut(unpriced[0].provider, 24) if len(unpriced) == 1 else count(len(unpriced), "provider")
        parts.append(f"{NO_PRICE} of {whose}")
    card = Card(
        label="Cost" if first else f"Cost, {NOT_STATED}",
        value=f"{'≥ ' if unpriced else ''}{amount(rates[first])}",
        unit=f"{named(first)} per hour".strip(),
        detail="; ".join(parts),
    )
    return with_line(card, cost.rate(first), stepped=True)


def _tasks(run: Run, use: Mapping[Metric, FloatArray]) -> Card:
    if "tasks_running" not in use:
        return Card(label="Tasks running", value="–", detail="not recorded, and no cost is known")
    values = use["tasks_running"]
    known = np.flatnonzero(np.isfinite(values))
    highest = int(np.nanargmax(values))
    card = Card(
        label="Tasks running",
        value=f"{values[known[-1]]:,.0f}",
        detail=f"at most {values[highest]:,.0f}, at {clock(float(run.starts_at_s[highest]))}",
    )
    return with_line(card, values)

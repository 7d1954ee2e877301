"""What runs where, and what it costs: workers and money of each provider over time, and how things stand at the end."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from drmviz.analysis.cost import CloudCost, ProviderCost, cloud_cost
from drmviz.analysis.utilization import rows_of
from drmviz.figures import cloud_plotly
from drmviz.figures.base import FigureOptions, PlotlySpec
from drmviz.figures.cloud import Band, CloudResources, Panel, Source, Unknown
from drmviz.figures.cloud_table import LEAST_UNKNOWN_S, Part, counted, table
from drmviz.figures.cloud_words import NO_PRICE, NOT_STATED, amount, by_currency, named, rate, total_spent
from drmviz.figures.emptiness import why_nobody
from drmviz.figures.names import count, drawn
from drmviz.figures.providers import MOST, provider_of, providers_of
from drmviz.figures.theme import THEMES
from drmviz.figures.units import clock, date_and_clock, duration
from drmviz.model.metrics import BoolArray, FloatArray, Metric
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_PROVIDER = (
    "No cloud provider is known. Hand a cloud_provider_manager to DRMVisualization, "
    "or give workers a provider label, and a price_per_hour where it is known."
)
_MOST_CURRENCIES = 3
_MOST_GAPS = 20
_DAY_S = 86400
_MOST_REMARKS = 4
_NAME_LETTERS, _WHY_LETTERS = 40, 160


def needs(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics to read: none, providers and labels are part of every run."""
    return ()


def means(options: FigureOptions) -> tuple[Metric, ...]:
    """Name the metrics of which the mean over the window is enough: none."""
    return ()


def arrange(run: Run, options: FigureOptions) -> CloudResources:
    """Stack providers over time, the largest few one by one and all others as one."""
    cost, providers = cloud_cost(run), providers_of(run)
    title = "Cloud usage" if options.title is None else options.title
    if not cost.providers or not run.columns:
        return CloudResources(
            title=title, subtitle=drawn(run.header.title), providers=providers, starts_at_s=run.starts_at_s,
            width_s=run.width_s, notice=_notice(run),
        )  # fmt: skip
    parts = _parts(cost, providers)
    currencies = cost.currencies
    panels = [_workers(run, cost, parts), *(_money(run, cost, parts, each) for each in currencies[:_MOST_CURRENCIES])]
    told = table(cost, parts)
    return CloudResources(
        title=title,
        subtitle=_subtitle(run, cost),
        providers=providers,
        starts_at_s=run.starts_at_s,
        width_s=run.width_s,
        panels=tuple(panels),
        heads=told.heads,
        rows=told.rows,
        shares=told.shares,
        remarks=tuple(_remarks(run, cost)),
    )


def draw_plotly(numbers: CloudResources, options: FigureOptions) -> PlotlySpec:
    """Return one stepped layer for each provider in each panel; all else is layout."""
    return cloud_plotly.draw(numbers, options, THEMES[options.theme])


def draw_matplotlib(numbers: CloudResources, options: FigureOptions) -> Figure:
    """Return the same picture for files that do not move."""
    from drmviz.figures import cloud_matplotlib  # Matplotlib is loaded by those who draw with it

    return cloud_matplotlib.draw(numbers, options, THEMES[options.theme])


def describe(numbers: CloudResources) -> str:
    """Say in one sentence what the picture shows."""
    if numbers.notice:
        return f"Cloud usage without numbers: {numbers.notice.rstrip('.')}."
    sums = "; ".join(panel.said for panel in numbers.panels)
    each = "; ".join(
        f"{drawn(row.source.label, limit=_NAME_LETTERS)} {row.workers} workers, {row.per_hour} per hour"
        for row in numbers.rows
        if row.source is not None
    )
    return f"Workers and cost by provider of {numbers.subtitle}: {sums}; at the end {each}."


def _parts(cost: CloudCost, providers: tuple[str, ...]) -> list[Part]:
    """Return what is shown one by one, most workers at the end first, then all others together."""
    by_name = {each.provider: each for each in cost.providers}
    named_ones = [by_name[name] for name in providers if name in by_name]
    alone = named_ones if len(named_ones) <= MOST + 1 else named_ones[:MOST]
    together = named_ones[len(alone) :]
    alone = sorted(alone, key=lambda each: (-(each.workers_now or 0), named_ones.index(each)))
    parts = [(Source(providers=(each.provider,), label=each.provider), [each]) for each in alone]
    if together:
        names = tuple(each.provider for each in together)
        parts.append((Source(providers=names, label=f"{len(names)} others"), together))
    return parts


def _workers(run: Run, cost: CloudCost, parts: Sequence[Part]) -> Panel:
    bands = [
        Band(source=source, values=_sum([each.workers for each in of]), now=counted([each.workers_now for each in of]))
        for source, of in parts
    ]
    unknown = {each.provider: np.isnan(each.workers) for each in cost.providers}
    nobody = [each for each in cost.providers if each.workers_now is None]
    total = sum(each.workers_now or 0 for each in cost.providers)
    said = f"{count(total, 'worker')} at the end"
    if nobody:
        whose = "their number is" if len(nobody) == len(cost.providers) else f"the number of {_names(nobody)} is"
        said = f"{said}, {whose} not known" if total else f"{whose} not known"
    return Panel(
        name="Workers",
        unit="",
        said=said,
        suffix="workers",
        is_money=False,
        bands=tuple(bands),
        unknown=_any_unknown(unknown, run.columns),
        gaps=_gaps(run, cost, unknown, "workers"),
    )


def _money(run: Run, cost: CloudCost, parts: Sequence[Part], currency: str | None) -> Panel:
    bands = []
    for source, of in parts:
        rates = [each.per_hour[currency] for each in of if currency in each.per_hour]
        if not rates:
            continue
        now = [by_currency(each.rates_now)[currency] for each in of if currency in by_currency(each.rates_now)]
        idle = all(each.workers_now == 0 for each in of)
        written = amount(sum(now, Decimal())) if now or idle else "–"
        bands.append(Band(source=source, values=_sum(rates), now=written))
    unknown = {each.provider: each.unpriced for each in cost.providers if currency in each.per_hour}
    if currency in by_currency(cost.rates_now):
        said = rate(currency, cost.rates_now)
    elif all(each.is_priced_now for each in cost.providers if currency in each.per_hour):
        said = f"nothing at the end costs {named(currency) or 'anything'}"
    else:
        said = "not known at the end"
    missing = [each for each in cost.providers if not each.is_priced_now]
    if missing:
        said += f", {NO_PRICE} of {_names(missing)}"
    return Panel(
        name="Cost per hour",
        unit=named(currency),
        said=said,
        suffix="per hour" if len(cost.currencies) == 1 else f"{named(currency) or NOT_STATED} per hour",
        is_money=True,
        bands=tuple(bands),
        unknown=_any_unknown(unknown, run.columns),
        gaps=_gaps(run, cost, unknown, "price"),
    )


def _sum(values: Sequence[FloatArray]) -> FloatArray:
    """Add up what is known; NaN where nothing is."""
    known = np.isfinite(values)
    total: FloatArray = np.where(known, values, 0.0).sum(axis=0)
    total[~known.any(axis=0)] = np.nan
    return total


def _names(of: Sequence[ProviderCost]) -> str:
    names = [drawn(each.provider, limit=24) for each in of[:3]]
    more = len(of) - len(names)
    return ", ".join([*names, f"{more} more"] if more else names)


def _any_unknown(unknown: dict[str, BoolArray], columns: int) -> BoolArray:
    """Return where somebody is not known who is known at other times; everywhere, where nobody ever is."""
    ever = [gaps for gaps in unknown.values() if not gaps.all()]
    if not ever:
        return np.ones(columns, dtype=np.bool_)
    found: BoolArray = np.logical_or.reduce(ever)
    return found


def _gaps(run: Run, cost: CloudCost, unknown: dict[str, BoolArray], what: str) -> tuple[Unknown, ...]:
    """Return the stretches of `_any_unknown` provider by provider, with the reason of each."""
    edges_s = np.append(run.starts_at_s, run.starts_at_s[-1] + run.width_s)
    start_s, end_s = float(edges_s[0]), float(edges_s[-1])
    found = []
    for each in cost.providers:
        gaps = unknown.get(each.provider)
        if gaps is None or (gaps.all() and not all(other.all() for other in unknown.values())):
            continue
        turns = np.flatnonzero(np.diff(gaps, prepend=False, append=False))
        for first, end in zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True):
            when = _stretch(float(edges_s[first]), float(edges_s[end]), with_day=end_s - start_s >= _DAY_S)
            why = f": {drawn(each.problem, limit=_WHY_LETTERS)}" if each.problem else ""
            text = f"{drawn(each.provider, limit=_NAME_LETTERS)}: {what} not known, {when}{why}"
            found.append(Unknown(start_s=float(edges_s[first]), end_s=float(edges_s[end]), text=text))
    return tuple(sorted(found, key=lambda gap: gap.start_s)[:_MOST_GAPS])


def _stretch(first_s: float, end_s: float, *, with_day: bool) -> str:
    """Return "14:13:20–14:15:01 UTC", with its days where the clock alone does not tell when that is."""
    if with_day:
        return f"{date_and_clock(first_s).removesuffix(' UTC')} – {date_and_clock(end_s)}"
    return f"{clock(first_s)}–{clock(end_s)} UTC"


def _subtitle(run: Run, cost: CloudCost) -> str:
    many = count(len(cost.providers), "provider")
    span = duration(cost.end_s - cost.start_s)
    parts = [drawn(run.header.title), many, span, f"from {date_and_clock(cost.start_s)}"]
    return " · ".join(part for part in parts if part)


def _remarks(run: Run, cost: CloudCost) -> list[str]:
    """Return what was spent, what is missing from the sums and why, and where all of it comes from."""
    lasted_s = cost.end_s - cost.start_s
    remarks = []
    if cost.spent:
        missing = any(each.unpriced_s >= LEAST_UNKNOWN_S for each in cost.providers)
        more = "; what ran at unknown prices is not in it" if missing else ""
        remarks.append(f"Spent in {duration(lasted_s)}: {total_spent(cost.spent)}{more}.")
    lacking = [each for each in cost.providers if max(each.unpriced_s, each.uncounted_s) >= LEAST_UNKNOWN_S]
    remarks += [_lacking(each, lasted_s) for each in lacking[:_MOST_REMARKS]]
    if len(lacking) > _MOST_REMARKS:
        remarks.append(f"The same goes for {count(len(lacking) - _MOST_REMARKS, 'more provider')}.")
    if any(each.is_labelled for each in cost.providers):
        which = "" if all(each.is_labelled for each in cost.providers) else f" of {_names(_labelled(cost))}"
        remarks.append(f"Numbers{which} come from labels of workers: no cloud_provider_manager told of it.")
        homeless = sum(
            provider_of(run.workers[row].latest.entry.labels) is None for row in rows_of(run, "worker", "process")
        )
        if homeless:
            has = "is" if homeless == 1 else "are"
            remarks.append(f"{count(homeless, 'worker')} without a provider label {has} in none of them.")
    if len(cost.currencies) > _MOST_CURRENCIES:
        remarks.append(f"{len(cost.currencies)} currencies: the first {_MOST_CURRENCIES} are drawn.")
    return remarks


def _labelled(cost: CloudCost) -> list[ProviderCost]:
    return [each for each in cost.providers if each.is_labelled]


def _lacking(each: ProviderCost, lasted_s: float) -> str:
    missing: dict[str, list[str]] = {}
    for name, seconds in (("workers", each.uncounted_s), ("price", each.unpriced_s)):
        if seconds >= LEAST_UNKNOWN_S:
            when = "" if seconds >= lasted_s - LEAST_UNKNOWN_S else f" for {duration(seconds)}"
            missing.setdefault(when, []).append(name)
    said = ", ".join(f"{' and '.join(names)} not known{when}" for when, names in missing.items())
    why = f": {drawn(each.problem, limit=_WHY_LETTERS).rstrip('.')}" if each.problem else ""
    return f"{drawn(each.provider, limit=_NAME_LETTERS)}: {said}{why}."


def _notice(run: Run) -> str:
    if run.measured_ticks or run.workers:
        return " ".join((NO_PROVIDER, *run.notes))
    return " ".join((why_nobody(run), *run.notes))

"""The one-file report: what ran, how busy it was, what to do about it, and every number behind it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from drmviz.analysis.study import Study, study
from drmviz.analysis.tests import CUT_SHORT
from drmviz.analysis.utilization import rows_of, series
from drmviz.model.metrics import FloatArray, Metric, Statistic
from drmviz.model.run import Run
from drmviz.model.tasks import OUTCOMES
from drmviz.report import wording
from drmviz.report.cards import Card, with_line
from drmviz.report.charts import Chart, charts, scripts
from drmviz.report.summary import summarize
from drmviz.report.templating import template
from drmviz.report.wording import NOT_MEASURED, count, percent

NEEDS: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio", "gpu_memory_ratio", "tasks_running")
STATISTICS: tuple[Statistic, ...] = ("mean", "max")
MOST_TESTS = 2000
MOST_DEPARTURES = 200
TOP = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A worker that left before its time."""

    worker: str
    at_s: float
    """Seconds after the start of the run."""
    why: str


def render(run: Run, host_run: Run | None = None, *, theme: Literal["light", "dark"] | None = None) -> str:
    """Return one self-contained HTML page; `theme` fixes what else follows the reader's preference."""
    sums = study(run, host_run)
    drawn = charts(run)
    return template("report.html.j2").render(
        run=run,
        header=run.header,
        theme=theme,
        sums=sums,
        table=sums.table,
        advice=sums.advice,
        summary=summarize(run, host_run, sums=sums),
        cards=_cards(run, sums),
        facts=_facts(run, sums),
        charts=drawn,
        scripts=scripts(drawn),
        nonce=None,
        module=None,
        icon=None,
        slowest=sums.table.slowest(TOP),
        hungriest=sums.table.hungriest(TOP),
        all_tests=sums.table.rows[:MOST_TESTS],
        more_tests=max(0, len(sums.table.rows) - MOST_TESTS),
        departures=_departures(run)[:MOST_DEPARTURES],
        outcomes=_outcomes(sums),
        start_s=run.header.started_at_s,
        top=TOP,
    )


def _cards(run: Run, sums: Study) -> list[Card]:
    use, tail = sums.use, sums.table.tail
    rows = rows_of(run, "worker", "process")
    alive = run.alive[rows].sum(axis=0).astype(np.float64) if rows else np.empty(0)
    who = "Processes" if use.kind == "process" else "Workers"
    return [
        with_line(Card(label=who, value=str(len(use.workers)), detail=_beside_cores(sums)), alive),
        _level_card("CPU", use.cpu.mean_ratio, _cpu_detail(sums), series(run, "cpu_ratio")),
        _level_card("Memory", use.memory.mean_ratio, _memory_detail(sums), series(run, "memory_ratio")),
        _level_card("GPU", use.gpu.mean_ratio, f"at most {percent(use.gpu.max_ratio)}", series(run, "gpu_ratio")),
        Card(label="Tests", value=str(len(sums.table.rows)), detail=_tests_detail(sums))
        if sums.table.rows
        else Card(label="Tests", value="–", detail="none recorded"),
        Card(label="Tail", value="–", detail="no tests were recorded")
        if tail is None
        else Card(
            label="Tail",
            value=f"{tail.seconds:.1f}",
            unit="s",
            detail=f"{wording.seconds(tail.idle_worker_s)} of workers idle in it",
        ),
    ]


def _level_card(label: str, ratio: float | None, detail: str, values: FloatArray) -> Card:
    if ratio is None:
        return Card(label=label, value="–", detail=NOT_MEASURED)
    return with_line(Card(label=label, value=percent(ratio).removesuffix(" %"), unit="%", detail=detail), values)


def _beside_cores(sums: Study) -> str:
    if sums.host.cores is None:
        return "cores of the machine unknown"
    return f"on {count(round(sums.host.cores), 'core')}"


def _cpu_detail(sums: Study) -> str:
    idle = sums.host.idle_ratio
    if idle is not None:
        return f"{percent(idle)} of the machine idle"
    used = sums.use.cpu_core_s
    return "" if used is None else f"{used:.0f} core-seconds used"


def _memory_detail(sums: Study) -> str:
    peak = sums.table.peak
    if peak is not None:
        return f"highest {wording.size(peak.bytes)} in {wording.cut(peak.worker, 12)}"
    highest = sums.use.memory.max_ratio
    return "" if highest is None else f"highest worker {percent(highest)}"


def _tests_detail(sums: Study) -> str:
    bad = len(sums.table.bad)
    if not bad:
        return f"✓ none failed, {wording.seconds(sums.table.total_s)} in all"
    return f"✕ {bad} failed, {wording.seconds(sums.table.total_s)} in all"


def _facts(run: Run, sums: Study) -> list[tuple[str, str]]:
    header = run.header
    command = header.facts.get("command")
    words: Sequence[Any] = command if isinstance(command, list | tuple) else []
    code = header.facts.get("exit_code")
    ended = wording.iso(header.ended_at_s)
    found = [
        ("Command", shlex.join(str(word) for word in words) if words else str(command or header.title)),
        ("Hosts" if len(run.origins) > 1 else "Host", header.host or "unknown"),
        ("Clock", wording.origins_said(run.origins) if run.origins else ""),
        ("Started", wording.iso(header.started_at_s) or ""),
        ("Ended", ended or "unknown: still being written, or its recorder was killed"),
        ("Took", wording.seconds(sums.wall_s)),
        ("Exit code", "unknown" if code is None else str(code)),
        ("Startup", f"{wording.seconds(sums.table.startup_s)} before the first test" if sums.table.rows else ""),
        ("Versions", ", ".join(_versions(run))),
        ("Labels", ", ".join(f"{key}={value}" for key, value in header.labels.items())),
        ("Sampled", f"every {header.interval_s:g} s" if header.interval_s else "on demand"),
        ("Kept", wording.kept_said(run.tiers) if run.tiers else ""),
        ("Run", header.id),
    ]
    return [(label, wording.cut(text, 1000)) for label, text in found if text]


def _versions(run: Run) -> list[str]:
    facts = run.header.facts
    return [f"{name} {facts[name]}" for name in ("python", "pytest", "xdist", "drmviz") if facts.get(name)]


def _departures(run: Run) -> list[Departure]:
    early = [
        Departure(worker=worker.id, at_s=life.left_at_s - run.header.started_at_s, why=life.why_left or "not known")
        for worker in run.workers
        for life in worker.incarnations
        if life.left_at_s is not None and (life.why_left in CUT_SHORT or life is not worker.latest)
    ]
    return sorted(early, key=lambda departure: departure.at_s)


def _outcomes(sums: Study) -> list[tuple[str, int]]:
    known = sums.table.outcomes
    return [
        (outcome, known[outcome]) for outcome in (*OUTCOMES, *sorted(set(known) - set(OUTCOMES))) if outcome in known
    ]


__all__ = ["NEEDS", "STATISTICS", "Chart", "render"]

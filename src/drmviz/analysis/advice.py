"""One piece of measured advice: of all that could be changed, what would save most seconds."""

from __future__ import annotations

from dataclasses import dataclass

from drmviz.analysis.host import HostIdle
from drmviz.analysis.schedule import Schedule, longest_first, schedule
from drmviz.analysis.tests import TestTable
from drmviz.analysis.utilization import Utilization

NEAR_LIMIT_RATIO = 0.9
WAITING_RATIO = 0.5
LEAST_S = 1.0
LEAST_RATIO = 0.03
"""A saving below both a second and 3 % of the run is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to change, a sentence without its full stop; `saves_s` is None where the measurements promise nothing."""

    kind: str
    """tail, split, workers, waiting, memory, startup, nothing or unknown."""
    sentence: str
    saves_s: float | None = None
    why: str = ""
    """The arithmetic."""
    test: str | None = None
    """The test it is about; its name may be hostile text."""


def advise(use: Utilization, table: TestTable, host: HostIdle, *, wall_s: float, took_part: bool = False) -> Advice:
    """Return the advice with the largest measured saving; a danger goes before any saving.

    `took_part` says that our pytest plugin was there, so that no test means that none ran.
    """
    plan = schedule(table)
    if plan is None and took_part:
        return Advice(kind="unknown", sentence="None: pytest ran no test", why="There is no schedule to improve.")
    if plan is None:
        return Advice(
            kind="unknown",
            sentence="Install drmviz where the tests run: without its pytest plugin no test can be told from another",
            why="No test was recorded, so there is no schedule to improve.",
        )
    danger = _memory(use, table, host)
    if danger is not None:
        return danger
    found = [
        advice
        for advice in (_tail(table, plan), _split(table, plan), _workers(use, table, host, plan=plan))
        if advice is not None and (advice.saves_s or 0.0) >= max(LEAST_S, LEAST_RATIO * wall_s)
    ]
    best = max(found, key=lambda advice: advice.saves_s or 0.0, default=None)
    startup = _startup(table, wall_s=wall_s)
    if startup is not None and (best is None or (best.saves_s or 0.0) < (table.startup_s or 0.0) / 2):
        return startup
    return best or _nothing(use, table, plan)


def _memory(use: Utilization, table: TestTable, host: HostIdle) -> Advice | None:
    whose, ratio = "the machine's", host.memory_max_ratio
    if ratio is None:
        peaks = [worker.memory_peak_ratio for worker in use.workers if worker.memory_peak_ratio is not None]
        whose, ratio = "the workers'", sum(peaks) / len(peaks) if peaks else None
    if ratio is None or ratio < NEAR_LIMIT_RATIO:
        return None
    ran = len([worker for worker in table.by_worker if worker.tests])
    fewer = f"fewer workers (-n {ran - 1}) or less memory per test" if ran > 1 else "less memory per test"
    mark = f"the highest of one process is {_gib(table.peak.bytes)}" if table.peak else "marks of processes are unknown"
    return Advice(
        kind="memory",
        sentence=f"Use {fewer}: memory was close to its limit",
        why=f"At the highest, {_percent(ratio)} of {whose} memory was in use; {mark}.",
        test=table.peak.test if table.peak else None,
    )


def _tail(table: TestTable, plan: Schedule) -> Advice | None:
    tail = table.tail
    if tail is None or not tail.tests or plan.workers < 2:
        return None
    saves_s = min(tail.seconds, plan.span_s - plan.expected_s(plan.workers))
    longest = tail.tests[0]
    return Advice(
        kind="tail",
        sentence=f"Start the longest tests first, one ran {_seconds(longest.duration_s)} at the end",
        saves_s=saves_s,
        why=f"The tests took {_seconds(plan.span_s)} on {plan.workers} workers, {_seconds(tail.seconds)} of it after"
        f" the first worker had run out. The same tests, longest first, fit into"
        f" {_seconds(plan.expected_s(plan.workers))} ({_seconds(plan.between_s)} between tests included).",
        test=longest.name,
    )


def _split(table: TestTable, plan: Schedule) -> Advice | None:
    """One test so long that the others are through before it is, whatever the order."""
    if plan.workers < 2 or table.tail is None:
        return None
    longest = max(table.rows, key=lambda row: sum(task.duration_s for task in row.attempts))
    longest_s, rest = plan.durations_s[0], plan.durations_s[1:]
    halves_s = longest_first((*rest, longest_s / 2, longest_s / 2), plan.workers) + plan.between_s
    if longest_s < longest_first(plan.durations_s, plan.workers):
        return None
    return Advice(
        kind="split",
        sentence=f"Split the longest test, it alone takes {_seconds(longest_s)}",
        saves_s=min(table.tail.seconds, plan.span_s - halves_s),
        why=f"All other tests fit into {_seconds(longest_first(rest, plan.workers))} on {plan.workers} workers. In two"
        f" halves, longest first, everything fits into {_seconds(halves_s)} instead of {_seconds(plan.span_s)}.",
        test=longest.last.name,
    )


def _workers(use: Utilization, table: TestTable, host: HostIdle, *, plan: Schedule) -> Advice | None:
    """More workers: onto free cores, or beyond the cores where tests wait more than they compute."""
    if host.cores is None or table.total_s <= 0:
        return None
    per_worker = table.cpu_s / table.total_s if table.cpu_s is not None else use.cpu.mean_ratio
    if per_worker is None:
        return None
    free_cores = max(1.0, host.cores - (host.others_cores or 0.0))
    waiting = per_worker < WAITING_RATIO
    most = int(free_cores / max(per_worker, 0.25)) if waiting else int(free_cores)
    fits, room = _fitting(use, table, host)
    most = min(most, fits, len(plan.durations_s))
    if most <= plan.workers:
        return None
    best_s = plan.expected_s(most)
    count = next(n for n in range(plan.workers + 1, most + 1) if plan.expected_s(n) <= best_s * 1.05)
    # Both laid out alike, so that a better order is not sold as the gain of more workers.
    now_s, expected_s = min(plan.span_s, plan.expected_s(plan.workers)), plan.expected_s(count)
    idle = (
        f"tests used {_percent(per_worker)} of a core, so they mostly waited"
        if waiting and count > free_cores
        else f"{free_cores:.0f} of {host.cores:.0f} cores are free for workers"
    )
    return Advice(
        kind="waiting" if waiting and count > free_cores else "workers",
        sentence=f"Use -n {count}: {idle}",
        saves_s=now_s - expected_s,
        why=f"{_seconds(table.total_s)} of tests, longest first, take {_seconds(expected_s)} on {count} workers and"
        f" {_seconds(now_s)} on {plan.workers}; the longest alone takes {_seconds(plan.durations_s[0])},"
        f" and {_seconds(table.startup_s or 0.0)} before the first test stay. CPU per worker"
        f" {_percent(per_worker)} of a core. {room}",
    )


def _fitting(use: Utilization, table: TestTable, host: HostIdle) -> tuple[int, str]:
    """Return how many workers fit into memory, and the arithmetic of it."""
    peaks = [worker.memory_peak_bytes for worker in use.workers if worker.memory_peak_bytes is not None]
    per_worker = float(table.peak.bytes) if table.peak else max(peaks, default=0.0)
    if host.memory_bytes is None or per_worker <= 0:
        return 1_000_000, "Memory was not measured: watch it."
    fits = int(host.memory_bytes * NEAR_LIMIT_RATIO / per_worker)
    return fits, f"Memory: at most {_gib(per_worker)} per worker of {_gib(host.memory_bytes)}, so {fits} fit."


def _startup(table: TestTable, *, wall_s: float) -> Advice | None:
    startup_s = table.startup_s
    if startup_s is None or startup_s < 2 * LEAST_S or startup_s < wall_s / 2:
        return None
    return Advice(
        kind="startup",
        sentence=f"Make starting faster: {_seconds(startup_s)} of {_seconds(wall_s)} went by before the first test",
        why=f"{_percent(startup_s / wall_s)} of the run is imports and collection, not tests; name the folders to"
        " collect, and look for slow imports with python -X importtime.",
    )


def _nothing(use: Utilization, table: TestTable, plan: Schedule) -> Advice:
    ran = "" if use.testing_ratio is None else f"workers ran tests {_percent(use.testing_ratio)} of the time"
    tail = f"the tail is {_seconds(table.tail.seconds)}" if table.tail and plan.workers > 1 else ""
    numbers = ", ".join(part for part in (ran, tail) if part)
    return Advice(
        kind="nothing",
        sentence=f"Nothing worth changing: {numbers}" if numbers else "Nothing worth changing",
        why=f"No change of order or number of workers saves at least {_seconds(LEAST_S)} and {_percent(LEAST_RATIO)}"
        f" of the run; the tests took {_seconds(plan.span_s)} on {plan.workers} worker"
        f"{'' if plan.workers == 1 else 's'}.",
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

"""Everything that summaries and pages say about one run, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from drmviz.analysis.advice import Advice, advise
from drmviz.analysis.host import HostIdle, host_idle
from drmviz.analysis.recordings import recordings
from drmviz.analysis.tests import TestTable, tests
from drmviz.analysis.utilization import Utilization, busy, wall_s
from drmviz.model.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The sums of one run."""

    wall_s: float
    use: Utilization
    table: TestTable
    host: HostIdle
    advice: Advice


def study(run: Run, host_run: Run | None = None) -> Study:
    """Compute all sums of a run whose rows are workers (or processes), and of its hosts."""
    parts = recordings(run)
    if parts:
        hosts = {} if host_run is None else recordings(host_run)
        advice = _best({name: study(part, hosts.get(name)).advice for name, part in parts.items()})
        return Study(wall_s=wall_s(run), use=busy(run), table=tests(run), host=host_idle(host_run, run), advice=advice)
    use, table, host, lasted_s = busy(run), tests(run), host_idle(host_run, run), wall_s(run)
    advice = advise(use, table, host, wall_s=lasted_s, took_part="pytest" in run.header.facts)
    return Study(wall_s=lasted_s, use=use, table=table, host=host, advice=advice)


_IN_TURN = ("unknown", "nothing", "startup")
"""Advice that gives way to any other, the least first."""


def _best(advice: Mapping[str, Advice]) -> Advice:
    """Return what would help one of several recordings most, and which: no test moves from one to another."""

    def worth(name: str) -> tuple[bool, int, float]:
        given = advice[name]
        turn = _IN_TURN.index(given.kind) if given.kind in _IN_TURN else len(_IN_TURN)
        return given.kind == "memory", turn, given.saves_s or 0.0

    name = max(advice, key=worth)
    best = advice[name]
    if best.kind == "nothing":
        return replace(best, sentence=f"Nothing worth changing in any of {len(advice)} recordings")
    return best if best.kind == "unknown" else replace(best, sentence=f"{name}: {best.sentence}")

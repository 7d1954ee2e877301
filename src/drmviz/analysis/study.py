"""Everything that summaries and pages say about one run, computed once."""

from __future__ import annotations

from dataclasses import dataclass

from drmviz.analysis.advice import Advice, advise
from drmviz.analysis.host import HostIdle, host_idle
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
    use, table, host, lasted_s = busy(run), tests(run), host_idle(host_run, run), wall_s(run)
    advice = advise(use, table, host, wall_s=lasted_s, took_part="pytest" in run.header.facts)
    return Study(wall_s=lasted_s, use=use, table=table, host=host, advice=advice)

"""One outcome per test from the reports of its phases, in pytest's own names; standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CRASHED_WHEN = "???"
"""What xdist writes into the report of a test that took its worker with it."""


@dataclass(slots=True)
class _Phases:
    outcome: str | None = None
    is_rerun: bool = False


@dataclass(slots=True)
class Outcomes:
    """Follows the reports of all workers; tells each attempt's outcome once: `rerun` until it is final."""

    _open: dict[tuple[str, str], _Phases] = field(default_factory=dict)
    _crashes: dict[str, int] = field(default_factory=dict)

    def follow(self, worker: str, report: Any) -> str | None:
        """Return the outcome if this report ends an attempt at a test, else None."""
        if hasattr(report, "context"):  # a subtest: a part of its test, not one more
            return None
        key = (worker, report.nodeid)
        if report.when == CRASHED_WHEN:
            self._open.pop(key, None)
            if report.outcome == "rerun":  # it will be given to another worker
                self._crashes[report.nodeid] = self._crashes.get(report.nodeid, 0) + 1
                return None
            return "crashed"
        phases = self._open.get(key)
        if phases is None or report.when == "setup":
            phases = self._open[key] = _Phases()
        if report.outcome == "rerun":
            phases.is_rerun = True
        elif report.when == "setup":
            phases.outcome = None if report.outcome == "passed" else _setup_outcome(report)
        elif report.when == "call":
            phases.outcome = _call_outcome(report)
        elif report.outcome == "failed" and phases.outcome != "failed":
            phases.outcome = "error"
        if report.when != "teardown":
            return None
        del self._open[key]
        return "rerun" if phases.is_rerun else phases.outcome or "passed"

    def crashes(self, nodeid: str) -> int:
        """Return how many attempts at this test ended with their worker and were made again."""
        return self._crashes.get(nodeid, 0)


def _setup_outcome(report: Any) -> str:
    if report.outcome == "failed":
        return "error"
    return "xfailed" if hasattr(report, "wasxfail") else "skipped"


def _call_outcome(report: Any) -> str:
    expected_to_fail = hasattr(report, "wasxfail")
    if report.outcome == "skipped":
        return "xfailed" if expected_to_fail else "skipped"
    if report.outcome == "passed":
        return "xpassed" if expected_to_fail else "passed"
    return "failed"

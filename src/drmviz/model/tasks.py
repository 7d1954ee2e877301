"""What a worker executed: one test, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = ("passed", "failed", "error", "crashed", "skipped", "xfailed", "xpassed", "rerun")
"""Outcomes as pytest names them.

`error` is a failure in setup or teardown, `crashed` took its worker with it, `rerun` is an attempt that failed and was
made again.
"""

BAD_OUTCOMES = frozenset({"failed", "error", "crashed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One test on one worker; None where a figure is not known."""

    name: str
    """Exactly pytest's node id."""
    worker: str
    outcome: str
    started_at_s: float
    ended_at_s: float
    pid: int | None = None
    cpu_s: float | None = None
    """CPU seconds of the process and its finished children over setup, call and teardown."""
    memory_bytes: int | None = None
    """Rise of the process's high-water mark during the test; 0 where it did not rise."""
    peak_bytes: int | None = None
    """The process's high-water mark when the test ended."""
    attempt: int = 1
    """2 and more for a rerun."""

    @property
    def duration_s(self) -> float:
        return max(0.0, self.ended_at_s - self.started_at_s)

"""What is known of a run while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["alive", "left", "crashed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProgress:
    """One worker right now."""

    id: str
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    test: str | None = None
    state: State = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The run right now; None is not known."""

    elapsed_s: float
    tests_done: int = 0
    tests_failed: int = 0
    tests_running: int = 0
    tests_total: int | None = None
    workers: tuple[WorkerProgress, ...] = ()
    statuses: tuple[str, ...] = ()
    """What is not OK, in words."""

    @property
    def alive(self) -> tuple[WorkerProgress, ...]:
        return tuple(worker for worker in self.workers if worker.state == "alive")

    def mean(self, name: Literal["cpu_ratio", "memory_ratio"]) -> float | None:
        """Return the mean of living workers that were measured."""
        known = [value for worker in self.alive if (value := getattr(worker, name)) is not None]
        return sum(known) / len(known) if known else None

"""The workers of a pytest run, with xdist or without; where our plugin is missing, the processes of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drmviz.machine.processes import GroupUse, group_processes, is_running, read_processes
from drmviz.machine.rows import Machine, Row, ratio, reading_of
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry
from drmviz.sources.pytest_fleet import Fleet, Progress, TestWorker
from drmviz.sources.spool_tail import Tail
from drmviz.system import Clock, SystemClock


class PytestXdistSource:
    """Reads what test processes told a spool, and measures them from outside."""

    name = "pytest"

    def __init__(
        self,
        spool_path: str | Path,
        root_pid: int,
        *,
        clock: Clock | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._tail = Tail(Path(spool_path))
        self._root_pid = root_pid
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._machine = machine if machine is not None else Machine()
        self._fleet = Fleet()
        self._read_s: float | None = None
        self._was_abandoned = False

    @property
    def claimed(self) -> bool:
        """Whether our pytest plugin took part; without it only processes are known."""
        return self._fleet.claimed

    @property
    def has_ended(self) -> bool:
        """Whether pytest said that it is over."""
        return self._fleet.has_ended

    @property
    def was_abandoned(self) -> bool:
        """Whether pytest went away without saying so: killed, or unable to write to its spool."""
        return self._was_abandoned

    @property
    def exit_status(self) -> int | None:
        """The exit status of pytest, once it is known."""
        return self._fleet.exit_status

    @property
    def session(self) -> dict[str, Any]:
        """What pytest said of itself: pid, host, workers, rootdir, args, pytest, xdist."""
        return dict(self._fleet.session)

    @property
    def progress(self) -> Progress:
        return self._fleet.progress

    @property
    def running(self) -> dict[str, str]:
        """The test that each worker is at."""
        return {worker.id: worker.running for worker in self._fleet.workers.values() if worker.running is not None}

    @property
    def outcomes(self) -> dict[str, int]:
        """How many tests ended in which way."""
        return dict(self._fleet.outcomes)

    @property
    def hooks_s(self) -> float:
        """CPU seconds that our hooks took in test processes that have ended."""
        return self._fleet.hooks_s

    @property
    def problems(self) -> tuple[str, ...]:
        """What the user should be told: hooks of ours that failed, lines that could not be read."""
        refused = self._tail.bad_lines + self._fleet.refused
        lines = [f"{refused} events of the spool made no sense"] if refused else []
        lines += ["the spool was deleted while tests ran"] if self._tail.is_missing else []
        return (*self._fleet.problems, *lines)

    def read(self, now_s: float) -> Reading:
        at_s = self._clock.monotonic_s()
        machine = self._machine
        self._fleet.follow(self._tail.read(), ahead_s=now_s - at_s)
        if self._fleet.claimed and not self._fleet.has_ended and not self._controller_lives():
            self._fleet.follow(self._tail.read(), ahead_s=now_s - at_s)  # what it wrote just before it was gone
            if not self._fleet.has_ended:
                self._was_abandoned = True
                self._fleet.abandon(at_s)
        tasks, changes, gone = self._fleet.take()
        workers = list(self._fleet.workers.values())
        heads = {w.id: w.pid for w in workers if w.pid is not None and w.host == machine.name}
        processes = read_processes(self._root_pid, heads.values())
        groups = group_processes(processes, heads)
        gpus = machine.gpu_rows()
        rows = [machine.host_row(at_s), *gpus]
        rows += [self._worker_row(worker, groups.get(worker.id), at_s) for worker in workers]
        # Who came and left between two reads is described once more, or nothing but its id would be known.
        rows += [Row(entry=self._entry(worker)) for worker in gone if worker.id not in self._fleet.workers]
        of_workers = frozenset[int]().union(*(group.pids for group in groups.values()))
        others = [use for pid, use in processes.items() if pid not in of_workers]
        always = frozenset({self._root_pid, self._fleet.session.get("pid", self._root_pid)})
        rows += machine.process_rows(others, at_s, always=always)
        machine.rates.turn()
        machine.forget_entries(row.entry for row in rows)
        self._read_s = at_s
        return reading_of(rows, taken_at_s=now_s, changes=changes, tasks=tasks)

    def _controller_lives(self) -> bool:
        """Tell whether the pytest that claimed the spool is there; True also where it is on another machine."""
        pid, host = self._fleet.session.get("pid"), self._fleet.session.get("host")
        return pid is None or host != self._machine.name or is_running(pid)

    def close(self) -> None:
        """Let go of the GPU driver."""
        self._machine.close()

    def _worker_row(self, worker: TestWorker, group: GroupUse | None, at_s: float) -> Row:
        entry = self._entry(worker)
        metrics: dict[str, float | None] = {
            "cpu_reserved_ratio": self._reserved_ratio(worker, at_s),
            "tasks_running": float(worker.running is not None),
        }
        if group is not None:
            metrics |= self._machine.gpu_metrics(group.pids)
            metrics["cpu_ratio"] = self._machine.rates.of((worker.id, worker.pid), at_s, group.cpu_s)
            metrics["memory_ratio"] = ratio(group.memory_bytes, entry.capacity.memory_bytes)
        elif worker.samples:
            metrics["cpu_ratio"] = _sampled_cpu_ratio(worker)
        return Row(entry=entry, metrics=metrics)

    def _reserved_ratio(self, worker: TestWorker, at_s: float) -> float:
        """Return for how much of the time since the last read a test had the core."""
        is_running = worker.running is not None
        busy_s = worker.take_busy_s(at_s)
        since_s = worker.joined_s if self._read_s is None else max(self._read_s, worker.joined_s)
        if at_s <= since_s:
            return float(is_running)
        return min(1.0, busy_s / (at_s - since_s))

    def _entry(self, worker: TestWorker) -> RosterEntry:
        is_here = worker.host == self._machine.name
        memory_bytes = self._machine.limits.memory_bytes if is_here else None
        if memory_bytes is not None:
            memory_bytes //= max(1, self._fleet.session.get("workers", 0))
        return self._machine.entry(worker.id, "worker", pid=worker.pid, host=worker.host, memory_bytes=memory_bytes)


def _sampled_cpu_ratio(worker: TestWorker) -> float | None:
    """Return the cores in use between the last two samples of a worker elsewhere, each pair once."""
    if len(worker.samples) < 2:
        return None
    (before_s, before_cpu_s, _), (at_s, cpu_s, _) = worker.samples
    worker.samples = worker.samples[-1:]
    if cpu_s is None or before_cpu_s is None or at_s <= before_s or cpu_s < before_cpu_s:
        return None
    return (cpu_s - before_cpu_s) / (at_s - before_s)

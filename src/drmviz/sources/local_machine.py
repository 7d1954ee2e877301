"""This machine as a fleet of one, or the processes below one of its processes."""

from __future__ import annotations

from drmviz.errors import SourceUnavailableError
from drmviz.machine.processes import read_processes
from drmviz.machine.rows import Machine, reading_of
from drmviz.model.samples import Reading
from drmviz.system import Clock, SystemClock


class LocalMachineSource:
    """Reads the CPU, memory and GPUs of this machine; with `root_pid`, every process from there on too."""

    name = "local"

    def __init__(
        self, root_pid: int | None = None, *, clock: Clock | None = None, machine: Machine | None = None
    ) -> None:
        self._root_pid = root_pid
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._machine = machine if machine is not None else Machine()

    def read(self, now_s: float) -> Reading:
        at_s = self._clock.monotonic_s()
        gpus = self._machine.gpu_rows()
        if self._root_pid is None:
            rows = [self._machine.host_row(at_s, kind="worker"), *gpus]
        else:
            processes = read_processes(self._root_pid)
            if not processes:
                reason = f"process {self._root_pid} has ended"
                raise SourceUnavailableError(self.name, reason, remedy="Name a process that is running.")
            below = self._machine.process_rows(processes.values(), at_s, always=frozenset({self._root_pid}))
            rows = [self._machine.host_row(at_s), *gpus, *below]
        self._machine.rates.turn()
        self._machine.forget_entries(row.entry for row in rows)
        return reading_of(rows, taken_at_s=now_s)

    def close(self) -> None:
        """Let go of the GPU driver."""
        self._machine.close()

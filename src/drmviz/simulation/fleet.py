"""The simulated fleet: tests arrive, reserve, run and end; workers join, crash and are reclaimed; a manager scales."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.manager import DynamicResourceManager
from drmviz.model.decisions import RECORDING_BEGAN, ScalingDecision
from drmviz.model.tasks import Task
from drmviz.simulation.incidents import Incident, Incidents
from drmviz.simulation.load import Load
from drmviz.simulation.machines import RACK, MachineType, first_machines, next_machine
from drmviz.simulation.meters import Meters
from drmviz.simulation.runner import Runner
from drmviz.system import Clock, SystemClock

EVALUATION_S = 5
"""How often the manager is asked whether the fleet should grow or shrink."""
_FIRST_EVALUATION_S = 30
STALE_AFTER_S = 5.0
"""How long a measurement serves: every worker is measured each second."""
MOST_WORKERS = 10_000
_UNSEEN_S = (18.0, 50.0)
_SETTLED_S = 60
"""So long have the tests that a fleet begins with been using what they use."""
_ROUNDING_S = 1e-6
_OWN_CRASHES = 0.6
"""Of all crashes: ours are older machines."""
_SMALL = 200
"""Workers of a fleet that is small."""
_WASTEFUL = 1 / 10
"""Of all workers, besides one of our own."""


@dataclass(slots=True, kw_only=True)
class SimulatedWorker:
    """One machine of the fleet while it is up."""

    id: str
    number: int
    machine: MachineType
    slot: int
    """Where its numbers stand in the arrays of the meters."""
    launched_at_s: float
    is_wasteful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boot:
    ready_s: float
    number: int
    worker_id: str
    machine: MachineType
    is_wasteful: bool
    why: str = "asked for"


class SimulatedFleet:
    """Workers, tests and providers that follow a clock; somebody calls `advance` each second or so.

    The same seed, advanced at the same moments, is the same history. Thread-safe.
    """

    def __init__(self, workers: int = 20, *, seed: int = 0, clock: Clock | None = None) -> None:
        """Begin now, by that clock, with so many workers that are in the middle of their work.

        Raises:
            InvalidValueError: `workers` is not a whole number from 1 to 10,000, or `seed` is negative.
        """
        _check("workers", workers, 1, MOST_WORKERS)
        _check("seed", seed, 0, 2**63 - 1)
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._began_at_s, self._began_s = self._clock.wall_s(), self._clock.monotonic_s()
        self._elapsed_s = 0.0
        self._second = 0
        """The last whole second that was lived through."""
        self._lock = threading.RLock()
        self.manager = DynamicResourceManager(
            evaluation_window=60,
            scale_up_cooldown=60,
            scale_down_cooldown=120,
            min_workers=max(1, workers // 2),
            max_workers=2 * workers,
            clock=self._clock,
            stale_after_s=STALE_AFTER_S,
        )
        first = first_machines(workers)
        self.racks = first.count(RACK)
        """How many machines of our own there are, up or not."""
        self.most_workers = 2 * workers
        self._random = np.random.default_rng((seed, 3))
        self._incidents = Incidents(self._random, workers=workers)
        self._meters = Meters(workers, self._random)
        self._runner = Runner(
            self.manager,
            self._meters,
            Load(seed=seed, cpu_cores=sum(m.cpu_cores for m in first), gpus=sum(m.gpus for m in first)),
            self._random,
            began_at_s=self._began_at_s,
        )
        self._workers: dict[str, SimulatedWorker] = {}
        self._booting: list[_Boot] = []
        self._parked: list[SimulatedWorker] = []
        self._last_number = 0
        self._digits = max(2, len(str(3 * workers)))
        wasteful = {int(self._random.integers(self.racks))}  # the racks stand first in `first`, and stay longest
        wasteful.update(self._random.permutation(workers)[: round(workers * _WASTEFUL)].tolist())
        for i, machine in enumerate(first):
            self._join(self._boot(machine, after_s=0.0, is_wasteful=i in wasteful), why=RECORDING_BEGAN)
        self._runner.begin()
        self._measure(_SETTLED_S)

    @property
    def now_s(self) -> float:
        """Seconds since the epoch as of the last `advance`: the wall time of the beginning plus monotonic seconds."""
        return self._began_at_s + self._elapsed_s

    @property
    def workers(self) -> tuple[SimulatedWorker, ...]:
        """Those that are up, in the order of joining."""
        with self._lock:
            return tuple(self._workers.values())

    @property
    def booting(self) -> int:
        """How many machines were asked for and are not up yet."""
        return len(self._booting)

    @property
    def waiting(self) -> int:
        """How many tests find no room."""
        return self._runner.waiting

    @property
    def tests_ended(self) -> int:
        return self._runner.ended_since(0)[1]

    def tasks_since(self, n: int) -> tuple[tuple[Task, ...], int]:
        """Return the tests that ended after the first `n`, and what to ask with next time."""
        with self._lock:
            return self._runner.ended_since(n)

    def advance(self) -> None:
        """Catch up with the clock; what began in the middle of a second waits for its end."""
        with self._lock:
            elapsed_s = self._clock.monotonic_s() - self._began_s
            seconds = range(self._second + 1, math.floor(elapsed_s + _ROUNDING_S) + 1)
            if seconds:
                self._elapsed_s, self._second = elapsed_s, seconds[-1]
                self._live_through(seconds)

    def _live_through(self, seconds: range) -> None:
        self._runner.end_tests(self._elapsed_s)
        for incident in self._incidents.due(self._second):
            self._suffer(incident)
        for boot in [boot for boot in self._booting if boot.ready_s <= self._elapsed_s]:
            self._booting.remove(boot)
            self._join(boot, why=boot.why)
        self._runner.start_tests(seconds, self._elapsed_s)
        self._measure(len(seconds))
        if self._second >= _FIRST_EVALUATION_S and any(second % EVALUATION_S == 0 for second in seconds):
            self._follow(self.manager.evaluate_scaling())

    def _join(self, boot: _Boot, *, why: str) -> None:
        machine = boot.machine
        slot = self._meters.take(machine, is_wasteful=boot.is_wasteful)
        self._runner.worker_ids[slot] = boot.worker_id
        worker = SimulatedWorker(
            id=boot.worker_id,
            number=boot.number,
            machine=machine,
            slot=slot,
            launched_at_s=self.now_s,
            is_wasteful=boot.is_wasteful,
        )
        self._workers[worker.id] = worker
        self.manager.register_worker(worker.id, machine.resources, labels=machine.labels(boot.number), why=why)

    def _leave(self, worker: SimulatedWorker, why: str) -> None:
        self.manager.deregister_worker(worker.id, why=why)
        self._runner.lose(worker.slot, self._elapsed_s)
        self._meters.give_back(worker.slot)
        del self._workers[worker.id]

    def _boot(self, machine: MachineType, *, after_s: float, is_wasteful: bool) -> _Boot:
        self._last_number += 1
        return _Boot(
            ready_s=self._elapsed_s + after_s,
            number=self._last_number,
            worker_id=f"{machine.name}-{self._last_number:0{self._digits}d}",
            machine=machine,
            is_wasteful=is_wasteful,
        )

    def _measure(self, seconds: int) -> None:
        """Tell the manager what the meters show; of a worker that is out of sight nothing is told.

        Each worker tells each second, in a large fleet every other second.
        """
        measured = self._meters.read(self._second, seconds)
        cpu, gpu = measured.cpu_ratio.tolist(), measured.gpu_ratio.tolist()
        memory = measured.memory_bytes.astype(np.int64).tolist()
        gpu_memory = measured.gpu_memory_bytes.astype(np.int64).tolist()
        seen = measured.is_seen.tolist()
        turns = 1 if len(self._workers) <= _SMALL or not self._second else 2
        for worker in self._workers.values():
            slot = worker.slot
            if seen[slot] and (worker.number + self._second) % turns == 0:
                has_gpu = worker.machine.gpus > 0
                self.manager.record_usage(
                    worker.id,
                    cpu_ratio=cpu[slot],
                    memory_bytes=memory[slot],
                    gpu_ratio=gpu[slot] if has_gpu else None,
                    gpu_memory_bytes=gpu_memory[slot] if has_gpu else None,
                )

    def _follow(self, decision: ScalingDecision) -> None:
        """Do what was decided: rent machines that take their time to boot, or let idle ones go."""
        if decision.action == "scale_up":
            room = self.most_workers - len(self._workers) - len(self._booting)  # the manager cannot see who boots
            self._booting += [self._more(decision.worker_type) for _ in range(min(decision.count, room))]
        elif decision.action == "scale_down":
            for worker_id in decision.worker_ids:
                worker = self._workers.get(worker_id)
                if worker is not None and self._runner.is_idle(worker.slot):
                    self._leave(worker, "idle")
                    if worker.machine is RACK:
                        self._parked.append(worker)

    def _more(self, worker_type: str | None) -> _Boot:
        """Return a machine of our own that was switched off, where there is one that will do, else a rented one."""
        if self._parked and worker_type in (None, "cpu"):
            return self._boot_again(self._parked.pop(0), why="asked for")
        machine = next_machine(self._last_number + 1, worker_type)
        return self._boot(machine, after_s=self._boot_s(machine), is_wasteful=self._random.random() < _WASTEFUL)

    def _boot_again(self, worker: SimulatedWorker, *, why: str) -> _Boot:
        return _Boot(
            ready_s=self._elapsed_s + self._boot_s(worker.machine),
            number=worker.number,
            worker_id=worker.id,
            machine=worker.machine,
            is_wasteful=worker.is_wasteful,
            why=why,
        )

    def _boot_s(self, machine: MachineType) -> float:
        return machine.boot_s * self._random.uniform(0.8, 1.5)

    def _suffer(self, incident: Incident) -> None:
        """Lose a worker, or the sight of some; one of our own machines comes back under its name after a while."""
        if incident == "unseen":
            self._lose_sight()
            return
        may_go = [
            worker
            for worker in self._workers.values()
            if (worker.machine.is_spot if incident == "reclaimed" else not worker.machine.gpus)
        ]
        own = [worker for worker in may_go if worker.machine is RACK]
        if own and self._random.random() < _OWN_CRASHES:
            may_go = own
        if may_go and len(self._workers) > 1:
            worker = may_go[int(self._random.integers(len(may_go)))]
            self._leave(worker, incident)
            if worker.machine is RACK:
                self._booting.append(self._boot_again(worker, why="repaired"))

    def _lose_sight(self) -> None:
        """Let some workers, neighbours all of them, go unmeasured for a while."""
        workers = list(self._workers.values())
        if workers:
            first = int(self._random.integers(len(workers)))
            slots = [worker.slot for worker in workers[first : first + max(1, len(workers) // 40)]]
            self._meters.lose_sight(slots, self._second + self._random.uniform(*_UNSEEN_S))


def _check(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValueError(name, value, f"must be a whole number from {least} to {most:,}")

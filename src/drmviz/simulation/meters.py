"""What the workers really use, as arrays with one slot for each: the sums of their tests, and what meters show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from drmviz.model.metrics import BoolArray, FloatArray
from drmviz.simulation.load import Arrival
from drmviz.simulation.machines import MachineType

_IDLE_CORES = 0.06
_IDLE_MEMORY = 0.03
"""What a machine takes for itself, of its memory."""
_SWING = 0.07
"""How far the use of a busy worker swings around what its tests ask for."""
_KEPT, _FRESH = 0.82, 0.57
"""A swing lasts for some five seconds and has a spread of one."""
_MEMORY_FOLLOWS = 0.35
"""By which share of what is missing the memory of a worker grows or shrinks each second."""
_USUAL = (0.8, 1.03)
"""What tests use on a worker, as a share of what they usually do: no two machines are alike."""
_WASTEFUL = 0.33
"""The same on a worker that keeps tests waiting, and so wastes what they reserve."""


class Measured(NamedTuple):
    """What the meters of all slots show; float64, shape (slots,)."""

    cpu_ratio: FloatArray
    memory_bytes: FloatArray
    gpu_ratio: FloatArray
    gpu_memory_bytes: FloatArray
    is_seen: BoolArray


class Meters:
    """The slots; one is taken by a worker while it is up and given to another one after that."""

    def __init__(self, slots: int, random: np.random.Generator) -> None:
        self._random = random
        self._unused = list(range(slots))[::-1]
        self.cores, self.memory, self.gpu_memory = np.zeros(slots), np.zeros(slots), np.zeros(slots)
        """What the worker has, in cores and bytes; 0 where no worker is."""
        self.free_cores, self.free_memory, self.free_gpus = np.zeros(slots), np.zeros(slots), np.zeros(slots)
        """What of it is not reserved."""
        self._used_cores, self._used_memory, self._used_gpu = np.zeros(slots), np.zeros(slots), np.zeros(slots)
        self._shown_memory, self._swing, self._unseen_until = np.zeros(slots), np.zeros(slots), np.zeros(slots)
        self._thrift = np.ones(slots)

    def take(self, machine: MachineType, *, is_wasteful: bool) -> int:
        """Give a worker of that type a slot and return it."""
        if not self._unused:
            self._double()
        slot = self._unused.pop()
        self.cores[slot] = self.free_cores[slot] = machine.cpu_cores
        self.memory[slot] = self.free_memory[slot] = machine.memory_bytes
        self.gpu_memory[slot] = machine.gpu_memory_bytes
        self.free_gpus[slot] = machine.gpus
        self._swing[slot] = self._unseen_until[slot] = 0.0
        self._thrift[slot] = _WASTEFUL if is_wasteful else self._random.uniform(*_USUAL)
        self._shown_memory[slot] = _IDLE_MEMORY * machine.memory_bytes
        return slot

    def give_back(self, slot: int) -> None:
        """Empty a slot whose worker is gone."""
        for array in self._arrays():
            array[slot] = 0.0
        self._unused.append(slot)

    def add(self, slot: int, test: Arrival, sign: int = 1) -> None:
        """Let a test begin there; with `sign` -1, end."""
        kind, thrift = test.kind, self._thrift[slot] * sign
        self.free_cores[slot] -= sign * kind.cpu_cores
        self.free_memory[slot] -= sign * kind.memory_bytes
        self.free_gpus[slot] -= sign * kind.gpus
        self._used_cores[slot] += kind.cpu_cores * test.cpu_use * thrift
        self._used_memory[slot] += kind.memory_bytes * test.memory_use * thrift
        self._used_gpu[slot] += kind.gpus * test.gpu_use * thrift

    def lose_sight(self, slots: Iterable[int], until_second: float) -> None:
        """Let nobody know what these workers use, for a while."""
        self._unseen_until[list(slots)] = until_second

    def thrift(self, slot: int) -> float:
        """Return what tests use there of what they usually use."""
        return float(self._thrift[slot])

    def read(self, second: int, seconds: int) -> Measured:
        """Let so many seconds pass, until that one, and read all meters."""
        self._swing = _KEPT * self._swing + _FRESH * self._random.standard_normal(len(self.cores))
        steps = 1 + _SWING * self._swing
        wanted = self._used_memory + _IDLE_MEMORY * self.memory
        self._shown_memory += (1 - (1 - _MEMORY_FOLLOWS) ** seconds) * (wanted - self._shown_memory)
        cores = np.maximum(self._used_cores * steps, 0.0) + _IDLE_CORES * np.abs(self._swing)
        gpu = np.clip(self._used_gpu * steps, 0.0, 1.0)
        return Measured(
            cpu_ratio=np.minimum(np.divide(cores, self.cores, out=np.zeros_like(cores), where=self.cores > 0), 1.0),
            memory_bytes=np.minimum(self._shown_memory, self.memory),
            gpu_ratio=gpu,
            gpu_memory_bytes=np.minimum(0.02 + 0.7 * gpu, 1.0) * self.gpu_memory,
            is_seen=self._unseen_until <= second,
        )

    def _arrays(self) -> list[FloatArray]:
        return [value for value in vars(self).values() if isinstance(value, np.ndarray)]

    def _double(self) -> None:
        slots = len(self.cores)
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray):
                setattr(self, name, np.concatenate([value, np.zeros_like(value)]))
        self._unused.extend(range(2 * slots - 1, slots - 1, -1))

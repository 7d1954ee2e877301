"""How much of each resource, in whole units: what a worker has, what a task asks for, what is taken."""

from __future__ import annotations

import math
from typing import NamedTuple

from drmviz.model.resources import WorkerCapacity


class Amounts(NamedTuple):
    """Whole units only, so that what is taken and given back any number of times ends where it began."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    gpu_count: int = 0
    gpu_memory_bytes: int = 0

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3])

    def minus(self, other: Amounts) -> Amounts:
        return Amounts(self[0] - other[0], self[1] - other[1], self[2] - other[2], self[3] - other[3])

    def fits(self, room: Amounts) -> bool:
        return self[0] <= room[0] and self[1] <= room[1] and self[2] <= room[2] and self[3] <= room[3]

    def largest_share(self, whole: Amounts) -> float:
        """Return the share of its scarcest resource that this takes of `whole`; infinite where there is none of it."""
        shares = (
            part / all_of_it if all_of_it else math.inf for part, all_of_it in zip(self, whole, strict=True) if part
        )
        return max(shares, default=0.0)

    @classmethod
    def of(cls, capacity: WorkerCapacity) -> Amounts:
        """Take what can be granted of a capacity: nothing of what is not known."""
        return cls(
            capacity.cpu_millicores or 0,
            capacity.memory_bytes or 0,
            capacity.gpu_count or 0,
            capacity.gpu_memory_bytes or 0,
        )


NOTHING = Amounts()

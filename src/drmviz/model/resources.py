"""What one worker, host or GPU has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drmviz.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCapacity:
    """Capacity of one roster entry; None means "not known", never zero."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    gpu_count: int | None = None
    gpu_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("cpu_millicores", "memory_bytes", "gpu_count", "gpu_memory_bytes"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidValueError(name, value, "must be a whole number or None")
            if value < 0 or (value == 0 and name in ("cpu_millicores", "memory_bytes")):
                raise InvalidValueError(name, value, "must be positive; None says that it is not known")
            if value >= 2**63:
                raise InvalidValueError(name, value, "is more than any machine has")

    @property
    def cpu_cores(self) -> float | None:
        """Cores as people count them; None when not known."""
        return None if self.cpu_millicores is None else self.cpu_millicores / 1000

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> WorkerCapacity:
        """Build from `{"cpu_cores", "memory_bytes", "gpus", "gpu_memory_bytes"}`, each of them optional.

        Raises:
            InvalidValueError: a key is not one of these, or a value is not a sensible number.
        """
        known = {"cpu_cores", "memory_bytes", "gpus", "gpu_memory_bytes"}
        for key in stated:
            if key not in known:
                raise InvalidValueError("capacity", key, f"is not one of {', '.join(sorted(known))}")
        cores = stated.get("cpu_cores")
        if cores is not None and (isinstance(cores, bool) or not isinstance(cores, int | float) or not 0 < cores < 1e9):
            raise InvalidValueError("cpu_cores", cores, "must be a positive number of cores or None")
        return cls(
            cpu_millicores=None if cores is None else max(1, round(cores * 1000)),
            memory_bytes=stated.get("memory_bytes"),
            gpu_count=stated.get("gpus"),
            gpu_memory_bytes=stated.get("gpu_memory_bytes"),
        )


UNKNOWN_CAPACITY = WorkerCapacity()

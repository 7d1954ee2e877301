"""What can be rented or stands in the cellar: machine types, their prices, and which of them a fleet begins with."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

AWS, ON_PREMISES = "aws", "on-premises"
PROVIDERS = (AWS, ON_PREMISES)
CURRENCY = "USD"
_MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineType:
    """One kind of worker."""

    name: str
    """Ids of its workers begin with it."""
    provider: str
    instance_type: str
    region: str
    zones: tuple[str, ...]
    cpu_cores: int
    memory_gib: int
    price_per_hour: Decimal
    gpus: int = 0
    gpu_memory_gib: int = 0
    """Of each GPU."""
    is_spot: bool = False
    boot_s: float = 30.0

    @property
    def memory_bytes(self) -> int:
        return self.memory_gib * 2**30

    @property
    def gpu_memory_bytes(self) -> int:
        """Of all its GPUs together."""
        return self.gpus * self.gpu_memory_gib * 2**30

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """What it has, in the shape in which managers take it; memory in MiB."""
        return {
            "cpu": {"cores": self.cpu_cores},
            "memory": {"total_mb": self.memory_gib * _MIB_PER_GIB},
            "gpu": {"devices": self.gpus, "memory_mb": self.gpus * self.gpu_memory_gib * _MIB_PER_GIB},
        }

    def zone(self, number: int) -> str:
        return self.zones[number % len(self.zones)]

    def labels(self, number: int) -> dict[str, str]:
        """Return where its worker of that number runs and what it costs."""
        return {
            "provider": self.provider,
            "region": self.region,
            "zone": self.zone(number),
            "instance_type": self.instance_type,
            "spot": "yes" if self.is_spot else "no",
            "price_per_hour": str(self.price_per_hour),
            "currency": CURRENCY,
        }


_AWS_ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

RACK = MachineType(
    name="rack", provider=ON_PREMISES, instance_type="rack-16", region="cellar", zones=("row-1", "row-2"),
    cpu_cores=16, memory_gib=64, price_per_hour=Decimal("0.21"), boot_s=75.0,
)  # fmt: skip
GENERAL = MachineType(
    name="aws", provider=AWS, instance_type="m7i.2xlarge", region="eu-central-1", zones=_AWS_ZONES,
    cpu_cores=8, memory_gib=32, price_per_hour=Decimal("0.4830"), boot_s=24.0,
)  # fmt: skip
SPOT = MachineType(
    name="spot", provider=AWS, instance_type="c7i.2xlarge", region="eu-central-1", zones=_AWS_ZONES,
    cpu_cores=8, memory_gib=16, price_per_hour=Decimal("0.1570"), is_spot=True, boot_s=19.0,
)  # fmt: skip
MEMORY = MachineType(
    name="mem", provider=AWS, instance_type="r7i.2xlarge", region="eu-central-1", zones=_AWS_ZONES,
    cpu_cores=8, memory_gib=64, price_per_hour=Decimal("0.6384"), boot_s=26.0,
)  # fmt: skip
GPU = MachineType(
    name="gpu", provider=AWS, instance_type="g6.2xlarge", region="eu-central-1", zones=_AWS_ZONES,
    cpu_cores=8, memory_gib=32, gpus=1, gpu_memory_gib=24, price_per_hour=Decimal("1.2220"), boot_s=38.0,
)  # fmt: skip
MACHINE_TYPES = (RACK, GENERAL, SPOT, MEMORY, GPU)


def first_machines(workers: int) -> list[MachineType]:
    """Return what a fleet of that size begins with: some of it owned, some rented, one in eight with a GPU."""
    gpus = workers // 8 or (1 if workers >= 4 else 0)
    racks = max(1, round(workers * 0.3))
    rented = workers - gpus - racks
    return [RACK] * racks + [GENERAL] * (rented - rented // 2) + [SPOT] * (rented // 2) + [GPU] * gpus


def next_machine(number: int, worker_type: str | None) -> MachineType:
    """Return what the worker of that number is rented as, when one more of that type is asked for."""
    if worker_type in ("gpu", "memory"):
        return GPU if worker_type == "gpu" else MEMORY
    return GENERAL if number % 3 == 0 else SPOT

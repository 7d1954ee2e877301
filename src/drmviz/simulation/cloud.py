"""The providers of a simulated fleet, asked as one asks a real cloud: who runs, what it costs, what is left."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage, CostBasis
from drmviz.simulation.fleet import SimulatedFleet, SimulatedWorker
from drmviz.simulation.machines import CURRENCY, GENERAL, ON_PREMISES, PROVIDERS, RACK, MachineType

_MIB = 2**20
_BASES: dict[str, CostBasis] = {provider: "effective" if provider == ON_PREMISES else "list" for provider in PROVIDERS}
"""Rented machines at list prices; our own at what they cost us, power and all."""


class SimulatedCloud:
    """What a simulated fleet rents and owns."""

    providers = PROVIDERS

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._fleet = fleet
        self._began_at_s = fleet.now_s

    def get_available_resources(self, provider: str) -> dict[str, int]:
        """Return what the provider could still give; memory in MiB."""
        machine, workers = self._left(provider)
        return {
            "workers": workers,
            "cpu_cores": workers * machine.cpu_cores,
            "memory_mb": workers * machine.memory_bytes // _MIB,
            "gpus": 0,
        }

    def get_active_workers(self, provider: str) -> list[dict[str, Any]]:
        """Return the workers that are up, with where they run and what each costs per hour."""
        return [_stated(worker) for worker in self._workers(provider)]

    def get_cost_estimate(self, provider: str) -> dict[str, Any]:
        """Return what the workers of a provider cost each hour."""
        _check(provider)
        return {
            "per_hour": self._per_hour(provider),
            "currency": CURRENCY,
            "basis": _BASES[provider],
            "priced_at": _iso(self._began_at_s),
        }

    def usage(self, provider: str, *, at_s: float) -> CloudUsage:
        """Return the same as one observation of that moment."""
        workers = self._workers(provider)
        machine, left = self._left(provider)
        per_hour = self._per_hour(provider)
        return CloudUsage(
            at_s=at_s,
            provider=provider,
            workers=len(workers),
            per_hour=per_hour or None,
            currency=CURRENCY,
            basis=_BASES[provider],
            priced_at_s=self._began_at_s,
            instance_types=tuple(sorted(Counter(worker.machine.instance_type for worker in workers).items())),
            cpu_cores=left * machine.cpu_cores,
            memory_bytes=left * machine.memory_bytes,
            gpus=0,
        )

    def _workers(self, provider: str) -> list[SimulatedWorker]:
        _check(provider)
        return [worker for worker in self._fleet.workers if worker.machine.provider == provider]

    def _per_hour(self, provider: str) -> Decimal:
        return sum((worker.machine.price_per_hour for worker in self._workers(provider)), Decimal(0))

    def _left(self, provider: str) -> tuple[MachineType, int]:
        """Return what kind of machine is left, and how many of it."""
        up = len(self._workers(provider))
        if provider == ON_PREMISES:
            return RACK, max(0, self._fleet.racks - up)
        return GENERAL, max(0, self._fleet.most_workers - up)


def _stated(worker: SimulatedWorker) -> dict[str, Any]:
    machine = worker.machine
    return {
        "worker_id": worker.id,
        "instance_type": machine.instance_type,
        "region": machine.region,
        "zone": machine.zone(worker.number),
        "spot": machine.is_spot,
        "launched_at": _iso(worker.launched_at_s),
        "price_per_hour": machine.price_per_hour,
        "currency": CURRENCY,
    }


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def _check(provider: str) -> None:
    if provider not in PROVIDERS:
        raise InvalidValueError("provider", provider, f"is not one of {', '.join(PROVIDERS)}")

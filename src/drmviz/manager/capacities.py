"""What workers have and tasks ask for, read from the shapes that people write into whole units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from drmviz.errors import InvalidValueError
from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.values import checked_amount, checked_name, checked_seconds
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity

MIB = 2**20


class _Resource(NamedTuple):
    field: str
    """Of `WorkerCapacity` and `Amounts`."""
    flat: str
    """Its name in a flat shape and in requirements."""
    part: str
    key: str
    """Where it stands in the nested shape."""
    units: int


_RESOURCES = (
    _Resource("cpu_millicores", "cpu_cores", "cpu", "cores", 1000),
    _Resource("memory_bytes", "memory_mb", "memory", "total_mb", MIB),
    _Resource("gpu_count", "gpus", "gpu", "devices", 1),
    _Resource("gpu_memory_bytes", "gpu_memory_mb", "gpu", "memory_mb", MIB),
)
_PARTS = {part: [each for each in _RESOURCES if each.part == part] for part in ("cpu", "memory", "gpu")}
_ASKABLE = {*(resource.flat for resource in _RESOURCES), "worker_id", "ttl_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one task asks for."""

    amounts: Amounts
    worker_id: str | None = None
    """The only worker that will do; None where any will."""
    ttl_s: float | None = None
    """How long it holds what it gets; None is until it gives it back."""


def read_capacity(resources: object, *, before: WorkerCapacity = UNKNOWN_CAPACITY) -> WorkerCapacity:
    """Read what a worker has; what is not mentioned stays as it was before, what is None is not known.

    Taken are a `WorkerCapacity` (which replaces everything), `{"cpu": {"cores"}, "memory": {"total_mb"}, "gpu":
    {"devices", "memory_mb"}}`, the flat `{"cpu_cores", "memory_mb", "gpus", "gpu_memory_mb"}`, and either of them
    once more under `"resources"`. Memory is in MiB, of a worker's GPUs together; `devices` may be a list of them.
    Other keys are not looked at.

    Raises:
        InvalidValueError: a value makes no sense, or nothing of a mapping has a name that is known.
    """
    if isinstance(resources, WorkerCapacity):
        return resources
    if not isinstance(resources, Mapping):
        raise InvalidValueError("resources", resources, 'must be a mapping such as {"cpu": {"cores": 8}}')
    inner = resources.get("resources")
    shape = inner if isinstance(inner, Mapping) else resources
    stated = _nested(shape)
    for resource in _RESOURCES:
        if resource.flat in shape:
            if resource.field in stated:
                raise InvalidValueError("resources", shape, f"state {resource.flat} and {resource.part} at once")
            stated[resource.field] = _amount(resource, resource.flat, shape[resource.flat])
    if shape and not stated and not any(part in shape for part in _PARTS):
        known = ", ".join([*_PARTS, *(resource.flat for resource in _RESOURCES)])
        raise InvalidValueError("resources", dict(shape), f"name nothing that is known: {known}")
    return replace(before, **stated)


def read_demand(requirements: object) -> Demand:
    """Read what a task asks for: `cpu_cores`, `memory_mb` (MiB), `gpus`, `gpu_memory_mb`, `worker_id`, `ttl_s`.

    Raises:
        InvalidValueError: a key is none of these, a value makes no sense, or nothing is asked for.
    """
    if not isinstance(requirements, Mapping):
        raise InvalidValueError("requirements", requirements, 'must be a mapping such as {"cpu_cores": 1}')
    for key in requirements:
        if key not in _ASKABLE:
            raise InvalidValueError("requirements", key, f"is not one of {', '.join(sorted(_ASKABLE))}")
    amounts = Amounts(
        *(
            0
            if (asked := requirements.get(resource.flat)) is None
            else checked_amount(resource.flat, asked, units=resource.units)
            for resource in _RESOURCES
        )
    )
    if amounts == NOTHING:
        raise InvalidValueError("requirements", dict(requirements), "ask for nothing: name an amount above zero")
    worker_id, ttl_s = requirements.get("worker_id"), requirements.get("ttl_s")
    return Demand(
        amounts=amounts,
        worker_id=None if worker_id is None else checked_name("worker_id", worker_id),
        ttl_s=None if ttl_s is None else checked_seconds("ttl_s", ttl_s),
    )


def name_of(index: int) -> str:
    """Return how requirements call the amount at this place."""
    return _RESOURCES[index].flat


def in_their_units(index: int, amount: int) -> float:
    """Return an amount as requirements count it: cores, MiB."""
    return whole_or_not(amount, _RESOURCES[index].units)


def whole_or_not(amount: int, units: int) -> float:
    """Divide, without a fraction where there is none."""
    return amount // units if amount % units == 0 else amount / units


def _nested(shape: Mapping[str, Any]) -> dict[str, int | None]:
    stated: dict[str, int | None] = {}
    for part, resources in _PARTS.items():
        if part not in shape:
            continue
        inside = shape[part]
        if inside is None:
            stated.update((resource.field, None) for resource in resources)
            continue
        keys = [resource.key for resource in resources]
        if not isinstance(inside, Mapping) or (inside and not any(key in inside for key in keys)):
            raise InvalidValueError(part, inside, f"must be a mapping with {' and '.join(keys)}, or None")
        for resource in resources:
            if resource.key in inside:
                stated[resource.field] = _amount(resource, f"{part}.{resource.key}", inside[resource.key])
    return stated


def _amount(resource: _Resource, name: str, value: Any) -> int | None:
    if value is None:
        return None
    if resource.key == "devices" and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return len(value)
    amount = checked_amount(name, value, units=resource.units)
    if not amount and resource.part != "gpu":
        raise InvalidValueError(name, value, "must be positive; None says that it is not known")
    return amount

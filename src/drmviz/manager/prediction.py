"""What tasks used, kind by kind, and what the next one of a kind will need, with how sure."""

from __future__ import annotations

import math
import statistics
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.manager.values import checked_amount, checked_name, checked_number

_NUMBERS = ("cpu_cores", "memory_mb", "gpus", "gpu_memory_mb", "duration_s")
_KIND_NAMES = ("kind", "type", "name")
_PER_KIND = 200
_MOST_KINDS = 10_000
_MOST_EXECUTIONS = 200_000
_HALF_SURE = 4
"""So many executions that agree make a prediction half sure."""


class Executions:
    """The last 200 executions of each of many names; of too many the names that were quiet longest are forgotten."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, array[float]] = OrderedDict()  # flat: the numbers of one execution, then the next
        self._count = 0

    def add(self, name: str, numbers: list[float]) -> None:
        rows = self._rows.setdefault(name, array("d"))
        self._rows.move_to_end(name)
        rows.extend(numbers)
        self._count += 1
        if len(rows) > _PER_KIND * len(_NUMBERS):
            del rows[: len(_NUMBERS)]
            self._count -= 1
        while len(self._rows) > _MOST_KINDS or self._count > _MOST_EXECUTIONS:
            _, forgotten = self._rows.popitem(last=False)
            self._count -= len(forgotten) // len(_NUMBERS)

    def of(self, name: str) -> list[array[float]]:
        """Return one array for each number, NaN where an execution did not tell; none at all for an unknown name."""
        rows = self._rows.get(name)
        return [] if rows is None else [rows[column :: len(_NUMBERS)] for column in range(len(_NUMBERS))]


class Predictor:
    """Predicts from executions of the same kind, else from those of its parent (`path::class`)."""

    def __init__(self) -> None:
        self._kinds = Executions()
        self._parents = Executions()

    def record(self, kind: str, numbers: list[float]) -> None:
        """Remember one execution, as `read_execution` read it."""
        self._kinds.add(kind, numbers)
        parent = _parent_of(kind)
        if parent:
            self._parents.add(parent, numbers)

    def predict(self, kind: str) -> dict[str, Any]:
        """Return `cpu_cores`, `memory_mb`, `gpus`, `gpu_memory_mb`, `duration_s` and how they were found.

        Each number is the 95th percentile of what was told (of fewer than 20 the highest), None where nothing was.
        `confidence` is samples / (samples + 4) / (1 + spread), half of it where only the parent is known; the spread
        is the standard deviation over the mean, of the number for which that is largest.
        """
        columns, basis = self._kinds.of(kind), "kind"
        if not columns:
            columns, basis = self._parents.of(_parent_of(kind)), "parent"
        known = [sorted(value for value in column if not math.isnan(value)) for column in columns]
        if not any(known):
            return {**dict.fromkeys(_NUMBERS), "predicted": False, "samples": 0, "confidence": 0.0, "basis": "none"}
        estimates: dict[str, Any] = {
            name: values[math.ceil(0.95 * len(values)) - 1] if values else None
            for name, values in zip(_NUMBERS, known, strict=True)
        }
        if estimates["gpus"] is not None:
            estimates["gpus"] = int(estimates["gpus"])
        samples = len(columns[0])
        sureness = samples / (samples + _HALF_SURE) / (1 + max(map(_spread, known)))
        confidence = sureness if basis == "kind" else sureness / 2
        return {**estimates, "predicted": True, "samples": samples, "confidence": confidence, "basis": basis}


def read_execution(task_id: str, execution: object) -> tuple[str, list[float]]:
    """Return the kind of an execution, and its numbers with NaN for what is not told; other keys are not looked at.

    Raises:
        InvalidValueError: a number of it makes no sense.
    """
    if not isinstance(execution, Mapping):
        raise InvalidValueError("execution", execution, 'must be a mapping such as {"duration_s": 1.5}')
    for name in ("succeeded", "success"):
        if not isinstance(execution.get(name), bool | None):
            raise InvalidValueError(name, execution[name], "must be True, False or None")
    numbers = [math.nan if (told := execution.get(name)) is None else checked_number(name, told) for name in _NUMBERS]
    if execution.get("gpus") is not None:
        checked_amount("gpus", execution["gpus"])
    if execution.get("succeeded", execution.get("success")) is False:
        numbers[_NUMBERS.index("duration_s")] = math.nan  # how long it takes to fail says nothing of the next one
    return _kind_in(execution) or _kind_of(task_id), numbers


def read_task(task: object) -> str:
    """Return the kind of a task: its id, or a mapping that states its kind, type, name, task_id or id."""
    if isinstance(task, Mapping):
        kind = _kind_in(task)
        if kind is not None:
            return kind
        named = next((task[name] for name in ("task_id", "id") if task.get(name) is not None), None)
        if named is None:
            raise InvalidValueError("task", dict(task), "must state its kind, type, name or task_id")
        return _kind_of(checked_name("task_id", named))
    return _kind_of(checked_name("task", task))


def _kind_in(stated: Mapping[str, Any]) -> str | None:
    for name in _KIND_NAMES:
        if stated.get(name) is not None:
            return checked_name(name, stated[name])
    return None


def _kind_of(task_id: str) -> str:
    """Cut the parameters off: `a.py::test_b[1-x]` is an execution of `a.py::test_b`."""
    path, separator, name = task_id.partition("::") if "::" in task_id else ("", "", task_id)
    kind, bracket, _ = name.partition("[")
    return path + separator + kind if bracket and kind and name.endswith("]") else task_id


def _parent_of(kind: str) -> str:
    return kind.rpartition("::")[0]


def _spread(values: list[float]) -> float:
    mean = statistics.fmean(values) if values else 0.0
    return statistics.pstdev(values, mean) / mean if mean else 0.0

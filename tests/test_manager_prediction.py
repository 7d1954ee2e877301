"""What the next execution of a task needs: from its own kind, else from its class, else nothing."""

from __future__ import annotations

from typing import Any

import pytest

from drmviz.errors import InvalidValueError
from drmviz.manager import DynamicResourceManager
from drmviz.manager.prediction import Executions

NOTHING = {
    "cpu_cores": None,
    "memory_mb": None,
    "gpus": None,
    "gpu_memory_mb": None,
    "duration_s": None,
    "predicted": False,
    "samples": 0,
    "confidence": 0.0,
    "basis": "none",
}


@pytest.fixture
def manager() -> DynamicResourceManager:
    return DynamicResourceManager()


def test_nothing_is_predicted_of_what_was_never_seen(manager: DynamicResourceManager) -> None:
    manager.record_task_execution("a.py::test_x", {})

    assert manager.predict_resource_needs("b.py::test_y") == NOTHING
    assert manager.predict_resource_needs("a.py::test_x") == NOTHING  # seen, and nothing was told of it


def test_executions_with_other_parameters_are_of_the_same_kind(manager: DynamicResourceManager) -> None:
    manager.record_task_execution("a.py::T::test_x[1-a::b[2]]", {"cpu_cores": 1, "memory_mb": 100, "gpus": 1})
    manager.record_task_execution("a.py::T::test_x[2]", {"cpu_cores": 1, "memory_mb": 100, "gpus": 1, "else": "?"})

    predicted = manager.predict_resource_needs("a.py::T::test_x[3]")

    assert predicted == {
        "cpu_cores": 1,
        "memory_mb": 100,
        "gpus": 1,
        "gpu_memory_mb": None,
        "duration_s": None,
        "predicted": True,
        "samples": 2,
        "confidence": pytest.approx(2 / 6),
        "basis": "kind",
    }
    assert isinstance(predicted["gpus"], int)
    assert manager.predict_resource_needs({"task_id": "a.py::T::test_x[4]"}) == predicted
    assert manager.predict_resource_needs({"kind": "a.py::T::test_x", "task_id": "other"}) == predicted


@pytest.mark.parametrize("key", ["kind", "type", "name"])
def test_a_kind_may_be_stated(manager: DynamicResourceManager, key: str) -> None:
    manager.record_task_execution("7", {key: "browser", "memory_mb": 512})

    assert manager.predict_resource_needs({key: "browser"})["memory_mb"] == 512
    assert manager.predict_resource_needs("browser")["memory_mb"] == 512
    assert manager.predict_resource_needs("7") == NOTHING


def test_an_unknown_test_is_predicted_from_its_class_with_half_the_confidence(manager: DynamicResourceManager) -> None:
    manager.record_task_execution("a.py::T::test_x", {"duration_s": 2})
    manager.record_task_execution("a.py::T::test_y", {"duration_s": 2})

    predicted = manager.predict_resource_needs("a.py::T::test_new")

    assert (predicted["duration_s"], predicted["samples"], predicted["basis"]) == (2, 2, "parent")
    assert predicted["confidence"] == pytest.approx(2 / 6 / 2)
    assert manager.predict_resource_needs("a.py::U::test_new") == NOTHING


def test_an_estimate_is_one_that_nineteen_of_twenty_stay_below(manager: DynamicResourceManager) -> None:
    for i in range(20):
        manager.record_task_execution("t", {"memory_mb": i})
    of_twenty = manager.predict_resource_needs("t")["memory_mb"]
    for i in range(20, 100):
        manager.record_task_execution("t", {"memory_mb": i})
    of_hundred = manager.predict_resource_needs("t")["memory_mb"]
    for _ in range(200):
        manager.record_task_execution("t", {"memory_mb": 7})
    at_last = manager.predict_resource_needs("t")

    assert (of_twenty, of_hundred) == (18, 94)
    assert (at_last["memory_mb"], at_last["samples"]) == (7, 200)


def test_confidence_grows_with_samples_and_falls_with_spread(manager: DynamicResourceManager) -> None:
    for i in range(36):
        manager.record_task_execution("steady", {"memory_mb": 100, "cpu_cores": 2})
        manager.record_task_execution("mixed", {"memory_mb": 50 if i % 2 else 150, "cpu_cores": 2})

    assert manager.predict_resource_needs("steady")["confidence"] == pytest.approx(0.9)
    assert manager.predict_resource_needs("mixed")["confidence"] == pytest.approx(0.9 / 1.5)


def test_how_long_a_failure_took_says_nothing_of_the_next_one(manager: DynamicResourceManager) -> None:
    manager.record_task_execution("t", {"duration_s": 10, "memory_mb": 100, "succeeded": True})
    manager.record_task_execution("t", {"duration_s": 99, "memory_mb": 900, "success": False})

    predicted = manager.predict_resource_needs("t")

    assert (predicted["duration_s"], predicted["memory_mb"]) == (10, 900)


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        (None, "execution = None: must be a mapping"),
        ({"duration_s": "1"}, "duration_s = '1': must be a number"),
        ({"cpu_cores": float("nan")}, "cpu_cores = nan"),
        ({"memory_mb": -1}, "memory_mb = -1: must not be negative"),
        ({"gpus": 0.5}, "gpus = 0.5: must be a whole number"),
        ({"succeeded": 1}, "succeeded = 1: must be True, False or None"),
        ({"kind": 7}, "kind = 7: must be text"),
    ],
)
def test_an_execution_that_makes_no_sense_is_refused_and_not_remembered(
    manager: DynamicResourceManager, execution: Any, said: str
) -> None:
    with pytest.raises(InvalidValueError, match=said):
        manager.record_task_execution("t", execution)

    assert manager.predict_resource_needs("t") == NOTHING


@pytest.mark.parametrize("task", [None, 7, "", {}, {"cpu_cores": 1}, {"task_id": 7}])
def test_a_task_must_say_what_it_is(manager: DynamicResourceManager, task: Any) -> None:
    with pytest.raises(InvalidValueError):
        manager.predict_resource_needs(task)


def test_of_very_many_kinds_those_that_were_quiet_longest_are_forgotten() -> None:
    executions = Executions()
    for i in range(10_001):
        executions.add(f"kind {i}", [1.0, 1.0, 0.0, 0.0, 1.0])
        executions.add("often", [float(i), 1.0, 0.0, 0.0, 1.0])

    assert executions.of("kind 0") == executions.of("kind 1") == []
    assert executions.of("kind 2") != []
    assert [len(column) for column in executions.of("often")] == [200] * 5
    assert executions._count == 9_999 + 200

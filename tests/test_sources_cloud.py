"""Providers as a source: what one of them cannot tell costs only what needs it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from drmviz.errors import SourceUnavailableError
from drmviz.model.cloud import CloudUsage
from drmviz.sources.cloud_inventory import CloudSource

NOW_S = 1_790_000_000.0
ACTIVE: list[dict[str, Any]] = [
    {"worker_id": "w1", "instance_type": "m6i.large", "region": "eu-central-1", "zone": "eu-central-1a", "spot": True,
     "price_per_hour": "0.10", "currency": "USD"},
    {"worker_id": "w2", "instance_type": "m6i.large", "region": "eu-central-1", "zone": None, "spot": False,
     "price_per_hour": 0.2, "currency": "usd"},
]  # fmt: skip


@dataclass
class Providers:
    """Answers what it is told to; an exception is raised."""

    providers: Any = ("aws",)
    available: Any = field(default_factory=lambda: {"workers": 3, "cpu_cores": 16, "memory_mb": 1024, "gpus": 2})
    active: Any = field(default_factory=lambda: list(ACTIVE))
    cost: Any = field(
        default_factory=lambda: {
            "per_hour": 0.3,
            "currency": "USD",
            "basis": "list",
            "priced_at": "2026-09-01T00:00:00Z",
        }
    )
    asked: int = 0

    def get_available_resources(self, provider: str) -> Any:
        self.asked += 1
        return answered(self.available)

    def get_active_workers(self, provider: str) -> Any:
        return answered(self.active)

    def get_cost_estimate(self, provider: str) -> Any:
        return answered(self.cost)


class WithoutPrices:
    """The first two methods only."""

    providers = ("aws",)

    def __init__(self, active: Any) -> None:
        self.active = active

    def get_available_resources(self, provider: str) -> Any:
        return None

    def get_active_workers(self, provider: str) -> Any:
        return self.active


def answered(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value() if isinstance(value, Callable) else value  # type: ignore[arg-type]


def usage_of(manager: object) -> CloudUsage:
    (usage,) = CloudSource(manager).read(NOW_S).cloud
    return usage


def test_what_a_provider_runs_costs_and_could_still_give() -> None:
    assert usage_of(Providers()) == CloudUsage(
        at_s=NOW_S,
        provider="aws",
        workers=2,
        per_hour=Decimal("0.3"),
        currency="USD",
        basis="list",
        priced_at_s=datetime(2026, 9, 1, tzinfo=UTC).timestamp(),
        instance_types=(("m6i.large", 2),),
        cpu_cores=16.0,
        memory_bytes=2**30,
        gpus=2,
    )


def test_it_tells_only_what_changed() -> None:
    manager = Providers()
    source = CloudSource(manager, refresh_s=0)
    first, same = source.read(NOW_S), source.read(NOW_S + 1)
    manager.active = ACTIVE[:1]

    other = source.read(NOW_S + 2)

    assert [len(reading.cloud) for reading in (first, same, other)] == [1, 0, 1]
    assert (other.cloud[0].at_s, other.cloud[0].workers) == (NOW_S + 2, 1)


def test_providers_are_asked_at_most_so_often() -> None:
    manager = Providers()
    source = CloudSource(manager, refresh_s=30)

    for second in (0, 1, 29, 30, 31, 59.5, 60):
        source.read(NOW_S + second)

    assert manager.asked == 3


def test_a_provider_that_is_not_listed_any_more_is_told_once() -> None:
    manager = Providers(providers=["aws", "gcp"])
    source = CloudSource(manager, refresh_s=0)
    source.read(NOW_S)
    manager.providers = {"aws": object()}

    told = [source.read(NOW_S + second).cloud for second in (1, 2)]

    assert [(usage.provider, usage.workers, usage.per_hour) for usage in told[0]] == [("gcp", None, None)]
    assert told[1] == ()


@pytest.mark.parametrize(
    ("failing", "unknown"),
    [
        ("available", {"cpu_cores", "memory_bytes", "gpus"}),
        ("active", {"workers", "instance_types"}),
        ("cost", {"per_hour", "currency", "basis", "priced_at_s"}),
    ],
)
def test_a_method_that_fails_costs_only_what_needs_it(failing: str, unknown: set[str]) -> None:
    whole = usage_of(Providers())
    manager = Providers()
    setattr(manager, failing, TimeoutError("no route"))

    reading = CloudSource(manager).read(NOW_S)

    (usage,) = reading.cloud
    lost = {name for name in CloudUsage.__slots__ if getattr(usage, name) != getattr(whole, name)} - {"problem"}
    assert lost == unknown
    assert "(TimeoutError: no route)" in usage.problem
    assert reading.rejected == [f"aws: {usage.problem}"]


def test_trouble_is_told_until_the_provider_was_asked_again() -> None:
    manager = Providers(cost=TimeoutError("no route"))
    source = CloudSource(manager, refresh_s=30)
    told = [bool(source.read(NOW_S + second).rejected) for second in (0, 1)]
    manager.cost = 0.5

    told += [bool(source.read(NOW_S + second).rejected) for second in (29, 30)]

    assert told == [True, True, True, False]


def test_one_failing_provider_leaves_the_others_alone() -> None:
    manager = Providers(providers=["aws", "gcp"])
    manager.get_cost_estimate = lambda provider: 1 / 0 if provider == "aws" else 2  # type: ignore[method-assign]

    aws, gcp = CloudSource(manager).read(NOW_S).cloud

    assert (aws.per_hour, gcp.per_hour) == (None, Decimal(2))
    assert (aws.workers, gcp.workers) == (2, 2)


def test_a_bare_number_is_a_price_of_unknown_currency() -> None:
    usage = usage_of(Providers(cost=0.35))

    assert (usage.per_hour, usage.currency, usage.basis) == (Decimal("0.35"), None, None)


@pytest.mark.parametrize("price", [0, 0.0, -1, math.nan, math.inf, None, True, "free", "", "0.00"])
def test_no_price_above_zero_is_an_unknown_price(price: Any) -> None:
    bare, stated = usage_of(Providers(cost=price)), usage_of(Providers(cost={"per_hour": price, "currency": "EUR"}))

    assert (bare.per_hour, stated.per_hour) == (None, None)
    assert bare.problem == stated.problem == "no price above zero is stated"


@pytest.mark.parametrize(("price", "exact"), [(0.1, "0.1"), ("0.10", "0.10"), (Decimal("1.005"), "1.005"), (3, "3")])
def test_money_is_as_exact_as_it_was_stated(price: Any, exact: str) -> None:
    assert str(usage_of(Providers(cost={"per_hour": price})).per_hour) == exact


def test_details_of_a_price_that_make_no_sense_are_told() -> None:
    usage = usage_of(Providers(cost={"per_hour": 1, "currency": 7, "basis": "guessed", "priced_at": "soon"}))

    assert (usage.per_hour, usage.currency, usage.basis, usage.priced_at_s) == (Decimal(1), None, None, None)
    assert "guessed" in usage.problem
    assert "soon" in usage.problem


def test_without_a_cost_method_the_prices_of_all_workers_are_added_up() -> None:
    usage = usage_of(WithoutPrices(ACTIVE))

    assert (str(usage.per_hour), usage.currency, usage.basis) == ("0.30", "USD", None)
    assert usage.problem == ""


@pytest.mark.parametrize(
    "active",
    [
        [ACTIVE[0], {"worker_id": "w2"}],
        [ACTIVE[0], ACTIVE[1] | {"currency": "EUR"}],
        [],
    ],
)
def test_a_sum_that_would_not_be_the_whole_is_not_made(active: Any) -> None:
    usage = usage_of(WithoutPrices(active))

    assert (usage.workers, usage.per_hour) == (len(active), None)
    assert usage.problem == "there is no get_cost_estimate"


@pytest.mark.parametrize(
    ("active", "count"),
    [(["w1", "w2"], 2), ({"w1": {}, "w2": None}, 2), (("w1",), 1), ([object(), 5], 2), (7, None), (None, None)],
)
def test_workers_are_counted_in_whatever_list_they_come(active: Any, count: int | None) -> None:
    assert usage_of(Providers(active=active)).workers == count


@pytest.mark.parametrize("wrong", [{"cpu_cores": "many"}, {"gpus": -1}, {"memory_mb": math.inf}, {"cpu_cores": True}])
def test_resources_that_make_no_sense_are_unknown_and_told(wrong: dict[str, Any]) -> None:
    reading = CloudSource(Providers(available=wrong)).read(NOW_S)

    (usage,) = reading.cloud
    assert (usage.cpu_cores, usage.memory_bytes, usage.gpus) == (None, None, None)
    assert "makes no sense" in reading.rejected[0]


def test_amounts_may_be_any_numbers() -> None:
    usage = usage_of(Providers(available={"cpu_cores": Decimal("2.5"), "memory_mb": np.int64(2), "gpus": np.int8(1)}))

    assert (usage.cpu_cores, usage.memory_bytes, usage.gpus) == (2.5, 2 * 2**20, 1)


def test_providers_may_be_a_method() -> None:
    reading = CloudSource(Providers(providers=lambda: ["aws", "gcp"])).read(NOW_S)

    assert [usage.provider for usage in reading.cloud] == ["aws", "gcp"]


@pytest.mark.parametrize("providers", [None, "aws", 7])
def test_no_list_of_providers_is_an_error_that_says_what_it_must_be(providers: Any) -> None:
    with pytest.raises(SourceUnavailableError, match="no list of names"):
        CloudSource(Providers(providers=providers)).read(NOW_S)


def test_where_each_worker_runs_and_what_it_costs_are_its_labels() -> None:
    source = CloudSource(Providers())
    source.read(NOW_S)

    assert source.labels_of("w1") == {
        "provider": "aws",
        "region": "eu-central-1",
        "zone": "eu-central-1a",
        "instance_type": "m6i.large",
        "spot": "yes",
        "price_per_hour": "0.10",
        "currency": "USD",
    }
    assert source.labels_of("w2")["spot"] == "no"
    assert "zone" not in source.labels_of("w2")
    assert source.labels_of("somebody else") == {}


def test_who_asks_for_labels_before_the_first_answer_waits_for_it() -> None:
    source = CloudSource(Providers())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(source.labels_of, "w1")
        source.read(NOW_S)

        assert asked.result()["provider"] == "aws"


def test_nobody_waits_long_or_twice_for_a_provider_that_hangs() -> None:
    source = CloudSource(Providers())
    began = time.monotonic()
    labels = [source.labels_of(worker) for worker in ("w1", "w2", "w3")]

    assert labels == [{}, {}, {}]
    assert time.monotonic() - began < 1.4

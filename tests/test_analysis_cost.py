"""What runs at each provider and what it costs: exact money, unknown never free, currencies never added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.cost import Money, ProviderCost, cloud_cost
from drmviz.model.cloud import CloudUsage, CostBasis
from drmviz.model.decisions import RECORDING_ENDED
from drmviz.model.run import Run
from tests.building import START_S, recorded

USD_LIST = Money("USD", "list")


def told(
    at_s: float,
    workers: int | None,
    per_hour: str | None = None,
    *,
    provider: str = "aws",
    currency: str | None = "USD",
    basis: CostBasis | None = "list",
    problem: str = "",
    types: tuple[tuple[str, int], ...] = (),
) -> CloudUsage:
    """Return an answer so many seconds after the start of the run."""
    return CloudUsage(
        at_s=START_S + at_s, provider=provider, workers=workers,
        per_hour=None if per_hour is None else Decimal(per_hour), currency=currency, basis=basis,
        problem=problem, instance_types=types,
    )  # fmt: skip


def run_of(*cloud: CloudUsage, seconds: int = 6) -> Run:
    return recorded({"gw0": [0.5] * seconds}, cloud=cloud)


def labelled(
    labels: Mapping[str, Mapping[str, str]], *, absent: Mapping[str, Sequence[int]] | None = None, seconds: int = 6
) -> Run:
    return recorded({worker: [0.5] * seconds for worker in labels}, labels=labels, absent=absent)


def only(run: Run) -> ProviderCost:
    (found,) = cloud_cost(run).providers
    return found


def priced(price: str | None, provider: str = "aws", currency: str = "USD", **more: str) -> dict[str, str]:
    return {"provider": provider, "currency": currency, **({} if price is None else {"price_per_hour": price}), **more}


def test_a_provider_holds_from_one_answer_to_its_next_also_from_before_the_window() -> None:
    run = run_of(told(-100, 2, "1.00"), told(3, 3, "1.50", types=(("b", 1), ("a", 2))))

    aws = only(run)

    np.testing.assert_array_equal(aws.workers, [2, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(aws.per_hour["USD"], [1, 1, 1, 1.5, 1.5, 1.5])
    assert aws.spent == {USD_LIST: Decimal("7.50") / 3600}
    assert (aws.workers_now, aws.rates_now) == (3, {USD_LIST: Decimal("1.50")})
    assert aws.instance_types == (("a", 2), ("b", 1))
    assert (aws.unpriced_s, aws.uncounted_s, aws.problem, aws.is_labelled) == (0.0, 0.0, "", False)


def test_an_answer_that_failed_is_unknown_and_named_never_zero() -> None:
    aws = only(run_of(told(0, 2, "3.60"), told(2, None, problem="TimeoutError"), told(5, 1, "3.60")))

    np.testing.assert_array_equal(aws.workers, [2, 2, np.nan, np.nan, np.nan, 1])
    np.testing.assert_array_equal(aws.per_hour["USD"], [3.6, 3.6, np.nan, np.nan, np.nan, 3.6])
    np.testing.assert_array_equal(aws.unpriced, [False, False, True, True, True, False])
    assert aws.spent == {USD_LIST: Decimal("0.003")}
    assert (aws.unpriced_s, aws.uncounted_s, aws.problem) == (3.0, 3.0, "TimeoutError")


def test_workers_without_a_stated_price_are_counted_and_not_priced() -> None:
    cost = cloud_cost(run_of(told(0, 4, problem="no price above zero is stated")))

    (aws,) = cost.providers
    assert (aws.workers_now, aws.rates_now, aws.is_priced_now, aws.unpriced_s) == (4, {}, False, 6.0)
    assert (cost.currencies, cost.spent, cost.rates_now, cost.workers_now) == ((), {}, {}, 4)


def test_nothing_that_runs_costs_nothing() -> None:
    aws = only(run_of(told(0, 0), told(2, 1, "7.20")))

    np.testing.assert_array_equal(aws.per_hour["USD"], [0, 0, 7.2, 7.2, 7.2, 7.2])
    assert (aws.spent, aws.unpriced_s) == ({USD_LIST: Decimal("0.008")}, 0.0)


def test_until_a_first_answer_nothing_is_known() -> None:
    aws = only(run_of(told(2, 1, "3.60")))

    np.testing.assert_array_equal(aws.workers, [np.nan, np.nan, 1, 1, 1, 1])
    assert (aws.unpriced_s, aws.uncounted_s) == (2.0, 2.0)


def test_money_follows_the_moment_of_a_change_and_columns_what_held_at_their_end() -> None:
    aws = only(run_of(told(0, 1, "3600"), told(2.25, 2, "7200")))

    np.testing.assert_array_equal(aws.workers, [1, 1, 2, 2, 2, 2])
    assert aws.spent == {USD_LIST: Decimal("9.75")}  # 2.25 s at 1 a second, 3.75 s at 2


def test_an_answer_at_the_end_of_the_window_is_not_of_it() -> None:
    assert only(run_of(told(0, 1, "1"), told(6, 5, "5"))).workers_now == 1


def test_currencies_and_kinds_of_prices_are_kept_apart() -> None:
    cost = cloud_cost(
        run_of(
            told(0, 1, "1.00"),
            told(0, 2, "2.00", provider="gcp", basis="contracted"),
            told(0, 3, "5.00", provider="ovh", currency="EUR"),
            told(0, 4, "9.00", provider="own", currency=None, basis=None),
        )
    )

    assert cost.currencies == ("EUR", "USD", None)
    assert cost.rates_now == {
        Money("EUR", "list"): Decimal("5.00"),
        Money("USD", "contracted"): Decimal("2.00"),
        Money("USD", "list"): Decimal("1.00"),
        Money(None, None): Decimal("9.00"),
    }
    np.testing.assert_array_equal(cost.rate("USD"), [3.0] * 6)
    np.testing.assert_array_equal(cost.rate("EUR"), [5.0] * 6)
    assert cost.workers_now == 10


def test_a_provider_that_changes_its_currency_is_in_both_for_its_time() -> None:
    aws = only(run_of(told(0, 1, "3600"), told(4, 1, "3600", currency="EUR")))

    np.testing.assert_array_equal(aws.per_hour["USD"], [3600, 3600, 3600, 3600, np.nan, np.nan])
    np.testing.assert_array_equal(aws.per_hour["EUR"], [np.nan, np.nan, np.nan, np.nan, 3600, 3600])
    assert aws.spent == {USD_LIST: Decimal(4), Money("EUR", "list"): Decimal(2)}
    assert aws.unpriced_s == 0.0


def test_the_number_of_all_workers_is_known_only_where_each_provider_s_is() -> None:
    assert cloud_cost(run_of(told(0, 1), told(0, None, provider="gcp"))).workers_now is None


def test_a_run_that_ended_costs_no_longer() -> None:
    run = run_of(told(0, 1, "3600"), told(5, 9, "3600"))
    ended = replace(run, header=replace(run.header, ended_at_s=START_S + 4.5))

    cost = cloud_cost(ended)

    assert cost.end_s == START_S + 4.5
    assert cost.spent == {USD_LIST: Decimal("4.5")}
    assert cost.workers_now == 1


def test_labels_of_workers_count_where_no_cloud_was_asked() -> None:
    labels = {
        "a": priced("0.50", instance_type="m7i"),
        "b": priced("0.25", instance_type="c7i"),
        "c": priced("0.25", instance_type="c7i"),
        "nowhere": {},
    }

    aws = only(labelled(labels, absent={"c": range(2)}))

    np.testing.assert_array_equal(aws.workers, [2, 2, 3, 3, 3, 3])
    np.testing.assert_array_equal(aws.per_hour["USD"], [0.75, 0.75, 1, 1, 1, 1])
    assert aws.spent == {Money("USD", None): Decimal("5.50") / 3600}
    assert aws.instance_types == (("c7i", 2), ("m7i", 1))
    assert aws.is_labelled


@pytest.mark.parametrize("price", [None, "0", "-1", "NaN", "free", "Infinity"])
def test_one_worker_without_a_price_makes_its_provider_s_price_unknown_while_it_lives(price: str | None) -> None:
    aws = only(labelled({"a": priced("3600"), "b": priced(price)}, absent={"b": range(4, 6)}))

    np.testing.assert_array_equal(aws.workers, [2, 2, 2, 2, 1, 1])
    np.testing.assert_array_equal(aws.per_hour["USD"], [np.nan] * 4 + [3600, 3600])
    assert aws.spent == {Money("USD", None): Decimal(2)}
    assert (aws.unpriced_s, aws.problem) == (4.0, "1 of 2 workers carry no price")


def test_prices_of_one_provider_in_two_currencies_are_not_added_up() -> None:
    aws = only(labelled({"a": priced("1"), "b": priced("1", currency="EUR")}))

    assert (aws.rates_now, aws.spent) == ({}, {})
    assert aws.problem == "its workers are priced in several currencies"


def test_a_provider_of_which_nobody_is_left_costs_nothing_any_more() -> None:
    found = cloud_cost(labelled({"a": priced("3600"), "b": priced("1", "gcp")}, absent={"a": range(3, 6)}))

    aws, gcp = found.providers
    np.testing.assert_array_equal(aws.workers, [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(aws.per_hour["USD"], [3600, 3600, 3600, 0, 0, 0])
    assert (aws.spent, aws.unpriced_s, aws.is_priced_now) == ({Money("USD", None): Decimal(3)}, 0.0, True)
    assert gcp.workers_now == 1


def test_what_a_cloud_told_goes_before_labels() -> None:
    run = labelled({"a": priced("1"), "b": priced("1", "gcp")})

    aws, gcp = cloud_cost(replace(run, cloud=(told(0, 7, "70"),))).providers

    assert (aws.workers_now, aws.is_labelled, gcp.workers_now, gcp.is_labelled) == (7, False, 1, True)


def test_where_a_recording_paused_nobody_knows_what_ran() -> None:
    run = labelled({"a": priced("3600"), "b": priced("3600")}, absent={"a": range(2, 6), "b": range(4)})
    a, b = run.workers
    life = replace(a.latest, left_at_s=START_S + 2, why_left=RECORDING_ENDED)

    aws = only(replace(run, workers=(replace(a, incarnations=(life,)), b)))

    np.testing.assert_array_equal(aws.workers, [1, 1, np.nan, np.nan, 1, 1])
    assert (aws.spent, aws.unpriced_s) == ({Money("USD", None): Decimal(4)}, 2.0)


def test_nobody_who_names_a_provider_is_no_provider() -> None:
    cost = cloud_cost(recorded({"gw0": [0.5]}))

    assert (cost.providers, cost.currencies, cost.workers_now) == ((), (), None)
    assert cloud_cost(Run.empty(recorded({}).header)).providers == ()


Step = tuple[int, int | None, Decimal | None, str]
steps = st.lists(
    st.tuples(
        st.integers(-20, 70),
        st.none() | st.integers(0, 9),
        st.none() | st.decimals("0.0001", "500", places=4),
        st.sampled_from(["USD", "EUR"]),
    ),
    min_size=1,
    max_size=8,
)


@given(steps, st.integers(1, 59))
def test_the_cost_of_a_window_is_that_of_its_two_parts(told_steps: list[Step], cut_s: int) -> None:
    cloud = [
        CloudUsage(at_s=START_S + at_s, provider="aws", workers=workers, per_hour=price, currency=currency)
        for at_s, workers, price, currency in told_steps
    ]
    run = recorded({"gw0": [0.5] * 60}, cloud=sorted(cloud, key=lambda usage: usage.at_s))
    header = replace(run.header, started_at_s=START_S - 1000)
    whole = replace(run, header=header)
    parts = [
        cloud_cost(replace(whole, end_s=START_S + cut_s)),
        cloud_cost(replace(whole, start_s=START_S + cut_s)),
    ]

    cost = cloud_cost(whole)

    for money in {*cost.spent, *parts[0].spent, *parts[1].spent}:
        together = sum((part.spent.get(money, Decimal()) for part in parts), Decimal())
        assert abs(cost.spent[money] - together) < Decimal("1e-20")
    (aws,) = cost.providers
    lost_s = sum(part.providers[0].unpriced_s for part in parts)
    assert aws.unpriced_s == pytest.approx(lost_s)
    assert (np.isfinite(aws.workers) & (aws.workers < 0)).sum() == 0

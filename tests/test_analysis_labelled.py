"""What providers ran and cost, as labels of workers tell of it: who lived where when, to the second."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from drmviz.analysis.cost import ProviderCost, cloud_cost
from drmviz.figures.base import FigureOptions
from drmviz.figures.cloud_resources import arrange
from drmviz.figures.providers import providers_of
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FINISHED, RECORDING_ENDED
from drmviz.model.run import Run
from tests.building import START_S, recorded

Life = tuple[float, float | None, str | None, str, str]
"""When it began and left, why it left, the provider, and the price of an hour."""


def living(*lives: Life, columns: int = 20, width_s: float = 10.0) -> Run:
    """Return a run of one worker that lived several times."""
    run = recorded({"a": [0.5] * columns}, width_s=width_s)
    (worker,) = run.workers
    told = []
    for ordinal, (began, left, why, provider, price) in enumerate(lives, start=1):
        labels = (("currency", "USD"), ("price_per_hour", price), ("provider", provider))
        told.append(
            replace(
                worker.latest,
                ordinal=ordinal,
                entry=replace(worker.latest.entry, labels=labels),
                joined_at_s=START_S + began,
                left_at_s=None if left is None else START_S + left,
                why_left=why,
            )
        )
    return replace(run, workers=(replace(worker, incarnations=tuple(told)),))


def costs(run: Run) -> dict[str, ProviderCost]:
    return {each.provider: each for each in cloud_cost(run).providers}


def spent(of: ProviderCost) -> Decimal:
    return sum(of.spent.values(), Decimal())


def test_each_life_costs_what_its_own_labels_say() -> None:
    run = living((0, 50, "idle", "aws", "3600"), (60, None, None, "gcp", "7200"))

    found = costs(run)

    assert {name: (spent(of), of.workers_now) for name, of in found.items()} == {
        "aws": (Decimal(50), 0),
        "gcp": (Decimal(280), 1),
    }
    assert providers_of(run) == ("aws", "gcp")
    assert [row.source.label for row in arrange(run, FigureOptions()).rows if row.source] == ["gcp", "aws"]


@pytest.mark.parametrize("columns", [1, 7, 200])
def test_a_gap_between_two_lives_costs_nothing_however_wide_the_columns_are(columns: int) -> None:
    run = living(
        (0, 50, "idle", "aws", "3600"), (60, None, None, "aws", "3600"), columns=columns, width_s=200 / columns
    )

    assert spent(costs(run)["aws"]) == Decimal(190)


@pytest.mark.parametrize("columns", [1, 20])
def test_what_nobody_recorded_is_not_known_and_has_no_price(columns: int) -> None:
    ended = (0, 50, RECORDING_ENDED, "aws", "3600")
    run = living(ended, columns=columns, width_s=200 / columns)  # a second run, in which nobody lived
    run = replace(run, header=replace(run.header, interval_s=1.0))

    aws = costs(run)["aws"]

    assert (spent(aws), aws.unpriced_s, aws.workers_now) == (Decimal(50), 150.0, None)


def test_who_lived_until_the_work_was_over_is_there_at_the_end() -> None:
    aws = costs(living((0, 195, FINISHED, "aws", "3600")))["aws"]

    assert (aws.workers_now, spent(aws)) == (1, Decimal(200))
    np.testing.assert_array_equal(aws.workers, np.ones(20))


def usage(at_s: float, provider: str = "aws", **more: object) -> CloudUsage:
    return CloudUsage(at_s=START_S + at_s, provider=provider, **more)  # type: ignore[arg-type]


def test_a_currency_in_which_nothing_costs_any_more_is_not_called_unknown() -> None:
    run = recorded(
        {"a": [0.5] * 4},
        cloud=[
            usage(0, workers=2, per_hour=Decimal(8), currency="USD"),
            usage(2, workers=0),
            usage(0, "hetzner", workers=1, per_hour=Decimal(1), currency="EUR"),
        ],
    )

    said = {panel.unit: panel.said for panel in arrange(run, FigureOptions()).panels}

    assert said["USD"] == "nothing at the end costs USD"
    assert said["EUR"].startswith("EUR 1.00 per hour")


def test_a_price_that_is_unknown_for_longer_than_the_number_of_workers_says_so() -> None:
    run = recorded(
        {"a": [0.5] * 100},
        cloud=[usage(0, problem="no answer"), usage(10, workers=2), usage(40, workers=2, per_hour=Decimal(8))],
    )

    remarks = arrange(run, FigureOptions()).remarks

    assert "aws: workers not known for 10 s, price not known for 40 s: no answer." in remarks


def test_a_gap_of_days_is_told_with_its_days() -> None:
    run = recorded({"a": [0.5] * 10}, width_s=86400.0, cloud=[usage(0), usage(3 * 86400, workers=2)])

    workers, *_ = arrange(run, FigureOptions()).panels

    assert [gap.text for gap in workers.gaps] == ["aws: workers not known, 2026-09-21 14:13 – 2026-09-24 14:13 UTC"]

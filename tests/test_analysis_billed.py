"""Charges and the workers that lived on what was charged: ends exclusive, and every part of a charge is somewhere."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.billed import Part, allocate, billed_by_worker, homes_of
from drmviz.cloud import import_bills
from drmviz.cloud.exporting import plain, write_allocation
from drmviz.model.charges import NOT_STATED, Amounts, Charge, added
from drmviz.model.run import Run
from tests.building import START_S, recorded

SECONDS = 10
START_US = round(START_S * 1e6)


def charge(begin_s: float, end_s: float, billed: str = "1.00", resource: str = "i-1", **more: str) -> Charge:
    """Return a charge from so many seconds after the start of the run."""
    return Charge(
        provider=more.get("provider", "AWS"), account="1", resource_id=resource, currency=more.get("currency", "USD"),
        start_us=START_US + round(begin_s * 1e6), end_us=START_US + round(end_s * 1e6),
        amounts=Amounts(Decimal(billed), Decimal(billed) / 2, Decimal(billed) * 2, None),
        period_start_us=START_US, period_end_us=START_US + 10**12,
    )  # fmt: skip


def run_of(lives: Mapping[str, tuple[float, float]], labels: Mapping[str, Mapping[str, str]] | None = None) -> Run:
    """Return a run of ten seconds whose workers live from and to those seconds of it."""
    run = recorded({worker: [0.5] * SECONDS for worker in lives}, labels=labels)
    workers = []
    for worker in run.workers:
        begin_s, end_s = lives[worker.id]
        (life,) = worker.incarnations
        lived = replace(life, joined_at_s=START_S + begin_s, left_at_s=START_S + end_s)
        workers.append(replace(worker, incarnations=(lived,)))
    return replace(run, workers=tuple(workers))


def parts_of(run: Run, *charges: Charge) -> list[Part]:
    return list(allocate(run, charges, homes_of(run, [each.resource_id for each in charges])))


def told(parts: list[Part]) -> list[tuple[str | None, str | None, Decimal | None]]:
    return [(part.worker, part.left, part.amounts.billed_cost) for part in parts]


def test_a_charge_is_the_workers_for_the_time_that_it_lived_and_the_rest_is_told() -> None:
    run = run_of({"i-1": (2, 6)})

    parts = parts_of(run, charge(0, 8))

    assert told(parts) == [("i-1", None, Decimal("0.5")), (None, "nobody there", Decimal("0.5"))]
    assert [part.ratio for part in parts] == [Fraction(1, 2), Fraction(1, 2)]
    assert parts[0].amounts == Amounts(Decimal("0.5"), Decimal("0.25"), Decimal("1"), None)


def test_ends_are_exclusive_on_both_sides() -> None:
    run = run_of({"i-1": (2, 4), "i-2": (4, 6)})

    assert told(parts_of(run, charge(4, 6))) == [(None, "nobody there", Decimal("1.00"))]
    assert told(parts_of(run, charge(4, 6, resource="i-2"))) == [("i-2", None, Decimal("1.00"))]
    assert told(parts_of(run, charge(0, 2))) == [(None, "nobody there", Decimal("1.00"))]


def test_workers_that_share_a_machine_share_evenly_what_it_cost_while_they_lived_together() -> None:
    at_home = {"instance_id": "i-1"}
    run = run_of({"gw0": (0, 9), "gw1": (0, 6), "gw2": (0, 3)}, labels=dict.fromkeys(("gw0", "gw1", "gw2"), at_home))

    parts = parts_of(run, charge(0, 9, "9.00"))

    assert told(parts) == [
        ("gw0", None, Decimal("5.5")), ("gw1", None, Decimal("2.5")), ("gw2", None, Decimal("1")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "resource",
    [
        "i-1", "I-1", "arn:aws:ec2:eu-central-1:123456789012:instance/i-1",
        "/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/I-1",
        "//compute.googleapis.com/projects/p/zones/z/instances/i-1",
    ],
)  # fmt: skip
def test_a_worker_is_found_by_the_whole_id_or_the_last_part_of_it(resource: str) -> None:
    assert told(parts_of(run_of({"i-1": (0, 9)}), charge(0, 9, resource=resource)))[0][0] == "i-1"


def test_a_name_that_several_resources_end_with_joins_none_and_a_label_of_the_whole_id_does() -> None:
    here, there = "/subscriptions/1/vm-1", "/subscriptions/2/vm-1"

    unclear = homes_of(run_of({"vm-1": (0, 9)}), [here, there])
    labelled = homes_of(run_of({"w": (0, 9)}, labels={"w": {"resource_id": there}}), [here, there])

    assert (unclear.workers, unclear.ambiguous) == ({}, ("vm-1",))
    assert {resource: [worker.id for worker in workers] for resource, workers in labelled.workers.items()} == {
        there: ["w"]
    }


def test_shares_keep_currencies_and_providers_apart() -> None:
    run = run_of({"i-1": (0, 9)})

    charges = charge(0, 9), charge(0, 9, "2.00"), charge(0, 9, "4.00", currency="EUR"), charge(0, 9, resource="db")

    shares = billed_by_worker(parts_of(run, *charges))

    assert [(each.worker, each.left, each.currency, each.amounts.billed_cost, each.charges) for each in shares] == [
        ("i-1", None, "EUR", Decimal("4.00"), 1), ("i-1", None, "USD", Decimal("3.00"), 2),
        (None, "another resource", "USD", Decimal("1.00"), 1),
    ]  # fmt: skip


MOMENTS = st.floats(-3, SECONDS + 3, allow_nan=False).map(lambda moment: round(moment, 3))
SPANS = st.tuples(MOMENTS, MOMENTS).filter(lambda span: span[0] < span[1])
CHARGED = st.lists(
    st.builds(
        lambda span, billed, resource: charge(span[0], span[1], str(billed), resource),
        SPANS, st.decimals(-1000, 1000, places=7), st.sampled_from(["i-1", "i-2", "db"]),
    ),
    max_size=6,
)  # fmt: skip


@given(lives=st.lists(SPANS, min_size=1, max_size=5), charges=CHARGED)
def test_the_parts_of_a_charge_are_all_of_it_and_no_part_is_larger(
    lives: list[tuple[float, float]], charges: list[Charge]
) -> None:
    run = run_of(
        {f"gw{number}": span for number, span in enumerate(lives)},
        labels={f"gw{number}": {"instance_id": f"i-{number % 2 + 1}"} for number in range(len(lives))},
    )

    for each in charges:
        parts = parts_of(run, each)

        assert added(part.amounts for part in parts) == each.amounts
        assert sum(part.ratio for part in parts) == 1
        assert all(0 < part.ratio <= 1 for part in parts)
        billed = each.amounts.billed_cost or Decimal(0)
        assert all(abs(part.amounts.billed_cost or Decimal(0)) <= abs(billed) for part in parts)
    shares = billed_by_worker(part for each in charges for part in parts_of(run, each))
    whole = added(each.amounts for each in charges)
    assert added(share.amounts for share in shares) == (whole if charges else NOT_STATED)


@given(charges=CHARGED)
def test_what_is_written_as_focus_columns_imports_again_with_the_same_sums(
    charges: list[Charge], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("focus")
    parts = parts_of(run_of({"i-1": (0, 4), "i-2": (3, 9)}), *charges)
    stream = io.StringIO()

    count = write_allocation(
        ((part.charge, part.worker, part.left, part.ratio, part.amounts) for part in parts), stream, run_id="run-1"
    )
    Path(folder, "a.csv").write_text(stream.getvalue(), encoding="utf-8")
    report = import_bills(folder / "charges.sqlite3", [folder / "a.csv"], now_s=START_S)

    assert report.taken == count == len(parts)
    assert not report.files[0].unread
    whole = added(each.amounts for each in charges)
    assert added(total.amounts for total in report.totals) == whole


def test_an_amount_is_written_with_all_of_its_digits_and_without_an_exponent() -> None:
    written = [plain(Decimal(text)) for text in ("1.2E-7", "1E+3", "-0.00", "12.50", "100", "0")]

    assert written == ["0.00000012", "1000", "0", "12.5", "100", "0"]

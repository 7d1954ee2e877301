"""`drmviz cost`: bills in, money out, by programs and by people; each mistake is one line."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

from drmviz.cloud.columns import COSTS
from tests.commands import Bench
from tests.fleets import START_S, KnownFleet, written
from tests.test_cloud_focus import bill, row

KINDS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")


def costs(*amounts: str) -> dict[str, str]:
    return dict(zip(COSTS, amounts, strict=True))


def two_providers(folder: Path) -> Path:
    return bill(
        folder / "september.csv",
        row(**costs("1.10", "1.00", "2.00", "")),
        row(**costs("0.20", "0.10", "0.40", "")),
        row(BillingCurrency="EUR", **costs("5", "4", "6", "5.5")),
        row(ProviderName="Microsoft", ServiceName="Virtual Machines", **costs("-0.001", "0", "0", "0")),
    )


def test_the_same_file_imported_twice_counts_once_and_rows_are_by_provider_and_currency(bench: Bench) -> None:
    path = two_providers(bench.folder)

    first = bench.drmviz("cost", "import", str(path))
    again = bench.drmviz("cost", "import", str(path))
    shown = bench.drmviz("cost", "--by", "provider", "--json")

    assert (first.returncode, again.returncode, shown.returncode) == (0, 0, 0), again.stderr
    assert "replaced, as it was" in again.stdout
    assert "replaced" not in first.stdout
    rows = json.loads(shown.stdout)["rows"]
    assert [{key: each[key] for key in ("provider", "currency", *KINDS)} for each in rows] == [
        {"provider": "AWS", "currency": "EUR", "billed_cost": "5", "effective_cost": "4", "list_cost": "6",
         "contracted_cost": "5.5"},
        {"provider": "AWS", "currency": "USD", "billed_cost": "1.3", "effective_cost": "1.1", "list_cost": "2.4",
         "contracted_cost": None},
        {"provider": "Microsoft", "currency": "USD", "billed_cost": "-0.001", "effective_cost": "0", "list_cost": "0",
         "contracted_cost": "0"},
    ]  # fmt: skip


def test_the_table_says_what_is_not_stated_and_what_is_less_than_a_cent(bench: Bench) -> None:
    bench.drmviz("cost", "import", str(two_providers(bench.folder)))

    shown = bench.drmviz("cost")
    by_service = bench.drmviz("cost", "--by", "service")

    assert [line.split() for line in shown.stdout.splitlines() if "AWS" in line or "Microsoft" in line] == [
        ["AWS", "EUR", "5.00", "4.00", "6.00", "5.50", "1"],
        ["AWS", "USD", "1.30", "1.10", "2.40", "not", "stated", "2"],
        ["Microsoft", "USD", ">-0.01", "0.00", "0.00", "0.00", "1"],
    ]
    assert "Virtual Machines" in by_service.stdout


def test_an_import_tells_in_json_what_it_did(bench: Bench) -> None:
    path = bill(bench.folder / "a.csv", row(), row(BilledCost="x"))

    told = json.loads(bench.drmviz("cost", "import", "--json", str(path)).stdout)

    (file,) = told["files"]
    assert (file["rows"], file["taken"]) == (2, 1)
    assert file["skipped"] == [{"reason": "BilledCost is not a decimal number", "rows": 1, "first": "line 3"}]
    assert told["rows"][0]["billed_cost"] == "1"


def test_charges_of_a_run_by_worker_and_as_focus_columns(bench: Bench) -> None:
    fleet = KnownFleet()
    written(bench.folder / "h.drmviz", [fleet.tick(START_S + second, ["i-1", "i-2"]) for second in range(120)])
    hour = {"ChargePeriodStart": "2026-09-21T14:00:00Z", "ChargePeriodEnd": "2026-09-21T15:00:00Z"}
    charged = bill(
        bench.folder / "a.csv", row(**hour, BilledCost="36.00"), row(**hour, ResourceId="arn:aws:rds:x:1:db/one"),
        row(ChargePeriodStart="2026-09-22", ChargePeriodEnd="2026-09-23"),
    )  # fmt: skip
    bench.drmviz("cost", "import", str(charged))

    shown = bench.drmviz("cost", "h.drmviz", "--by", "worker", "--json", "--focus", "ours.csv")

    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)["rows"]
    mine, other, nobody = rows
    assert (mine["worker"], mine["unallocated"], mine["charges"]) == ("i-1", None, 1)
    assert abs(Decimal(mine["billed_cost"]) - Decimal("1.2")) < Decimal("0.02")  # two minutes of an hour
    assert (other["worker"], other["unallocated"], other["billed_cost"]) == (None, "another resource", "1")
    assert nobody["unallocated"] == "nobody there"
    assert Decimal(mine["billed_cost"]) + Decimal(nobody["billed_cost"]) == 36
    with (bench.folder / "ours.csv").open(encoding="utf-8", newline="") as file:
        written_rows = list(csv.DictReader(file))
    assert [each["x_Worker"] for each in written_rows] == ["i-1", "", ""]
    assert sum(Decimal(each["BilledCost"]) for each in written_rows) == 37


def test_mistakes_are_one_line_each(bench: Bench) -> None:
    path = two_providers(bench.folder)
    cut = bench.folder / "cut.csv"
    cut.write_bytes(path.read_bytes()[:-40])
    written(bench.folder / "h.drmviz", [KnownFleet().tick(START_S, ["a"])])

    said = {
        "nothing yet": bench.drmviz("cost", "--by", "worker", "h.drmviz"),
        "cut": bench.drmviz("cost", "import", str(cut)),
        "not there": bench.drmviz("cost", "import", "nothing.csv"),
        "a run for whole bills": bench.drmviz("cost", "h.drmviz", "--by", "provider"),
    }

    assert {name: done.returncode for name, done in said.items()} == {
        "nothing yet": 1, "cut": 1, "not there": 1, "a run for whole bills": 2,
    }  # fmt: skip
    for done in said.values():
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert json.loads(bench.drmviz("cost", "--json").stdout) == {"rows": []}
    assert bench.drmviz("cost", "--by", "test").returncode == 2


def test_without_a_bill_it_says_how_to_import_one(bench: Bench) -> None:
    shown = bench.drmviz("cost")

    assert (shown.returncode, shown.stdout) == (
        0,
        "No bill was imported yet. Import one with: drmviz cost import FILE\n",
    )

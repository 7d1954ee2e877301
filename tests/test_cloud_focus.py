"""Billing files in FOCUS: all or nothing, to the last digit, and what is wrong with one in a line."""

from __future__ import annotations

import csv
import gzip
import io
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drmviz.cloud import ChargeFile, ImportReport, import_bills
from drmviz.cloud.columns import COSTS
from drmviz.cloud.reporting import Total
from drmviz.errors import BillingFileError, MissingExtraError, StoreError
from drmviz.model.charges import Amounts

DATA = Path(os.environ.get("DRMVIZ_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SAMPLE = DATA / "focus" / "focus_sample.csv"
NOW_S = 1_790_000_000.0
HEADER = (
    "ProviderName", "BillingAccountId", "BillingPeriodStart", "BillingPeriodEnd", "BillingCurrency", "ChargeCategory",
    "SubAccountId", "ServiceName", "RegionId", "ChargePeriodStart", "ChargePeriodEnd", "ResourceId", *COSTS,
    "ListUnitPrice",
)  # fmt: skip


def row(**stated: str) -> list[str]:
    """Return a charge of an hour, 1.00 billed, with what is stated instead."""
    usual = {
        "ProviderName": "AWS", "BillingAccountId": "1", "BillingPeriodStart": "2026-09-01T00:00:00Z",
        "BillingPeriodEnd": "2026-10-01T00:00:00Z", "BillingCurrency": "USD", "ChargeCategory": "Usage",
        "ChargePeriodStart": "2026-09-21T14:00:00Z", "ChargePeriodEnd": "2026-09-21T15:00:00Z", "ResourceId": "i-1",
        **dict.fromkeys(COSTS, "1.00"), "ListUnitPrice": "1.00",
    }  # fmt: skip
    return [{**usual, **stated}.get(name, "") for name in HEADER]


def bill(path: Path, *rows: Sequence[str], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def imported(folder: Path, *files: Path) -> ImportReport:
    return import_bills(folder / "charges.sqlite3", files, now_s=NOW_S)


def kept(folder: Path) -> Amounts | None:
    """Return the sum of what is kept, None where nothing is."""
    with ChargeFile(folder / "charges.sqlite3", write=True) as file:
        sums = file.sums()
        charged = list(file.charges(0, 1e11))
        rows = [file.connection.execute(f"SELECT count(*) FROM {table}").get for table in ("kind", "charge")]
    assert rows == [len(sums), len(charged)], "rows of no bill are left"
    total = None
    for each in sums:
        total = each.amounts if total is None else total.plus(each.amounts)
    assert sums or not charged
    return total


def by_csv_and_decimal(path: Path) -> dict[tuple[str, str], dict[str, Decimal]]:
    """Return what a script of ten lines makes of a file: sums by provider and currency."""
    sums: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            for cost in COSTS:
                if line[cost] not in ("", "NULL"):
                    sums[line["ProviderName"], line["BillingCurrency"]][cost] += Decimal(line[cost])
    return sums


def assert_totals(totals: Sequence[Total], expected: Mapping[tuple[str, str], Mapping[str, Decimal]]) -> None:
    assert {(total.provider, total.currency) for total in totals} == set(expected)
    for total in totals:
        stated = {cost: amount for cost, amount in zip(COSTS, total.amounts, strict=True) if amount is not None}
        assert stated == dict(expected[total.provider, total.currency])


def sample() -> Path:
    if not SAMPLE.exists():
        pytest.skip("the sample of the FOCUS project is not on this machine")
    return SAMPLE.resolve()


def test_the_sample_of_the_focus_project_imports_whole_and_to_the_last_digit(tmp_path: Path) -> None:
    report = imported(tmp_path, sample())

    assert [(file.rows, file.taken, file.skipped, file.unread) for file in report.files] == [(500, 500, {}, ("Id",))]
    assert_totals(report.totals, by_csv_and_decimal(sample()))
    assert len(report.totals) == 3
    oracle = next(total for total in report.totals if total.provider == "Oracle")
    assert (oracle.amounts.contracted_cost, oracle.unstated) == (None, (0, 0, 0, 4))


def test_the_same_in_parquet_packed_in_a_folder_and_in_another_order_of_columns(tmp_path: Path) -> None:
    table = pa.csv.read_csv(sample(), convert_options=pa.csv.ConvertOptions(strings_can_be_null=True))
    folder = tmp_path / "export" / "BILLING_PERIOD=2024-09"
    folder.mkdir(parents=True)
    pq.write_table(table.select(sorted(table.column_names, reverse=True)), folder / "1.snappy.parquet")
    (folder / "manifest.json").write_text("{}")

    of_parquet = imported(tmp_path, tmp_path / "export")
    (tmp_path / "1.csv.gz").write_bytes(gzip.compress(sample().read_bytes()))
    of_gzip = imported(tmp_path, tmp_path / "1.csv.gz")

    assert_totals(of_gzip.totals, by_csv_and_decimal(sample()))
    for ours, exact in zip(of_parquet.totals, of_gzip.totals, strict=True):  # Arrow read amounts as floats
        for mine, its in zip(ours.amounts, exact.amounts, strict=True):
            assert (mine is None) == (its is None)
            assert mine is None or its is None or abs(mine - its) < Decimal("1e-12")
    assert [(path.name, why) for path, why in of_parquet.left_out] == [
        ("manifest.json", "not .csv, .csv.gz or .parquet")
    ]
    assert len(of_gzip.restated) == 4


def test_parquet_of_decimals_and_moments_is_exact(tmp_path: Path) -> None:
    of_csv = imported(tmp_path, bill(tmp_path / "a.csv", row(BilledCost="0.10"), row(BilledCost="0.200000000001")))
    texts = dict(
        zip(HEADER, zip(*[row(BilledCost="0.10"), row(BilledCost="0.200000000001")], strict=True), strict=True)
    )
    columns = {}
    for name, values in texts.items():
        if name in COSTS:
            columns[name] = pa.array([Decimal(value) for value in values], pa.decimal128(30, 15))
        elif name.endswith(("Start", "End")):
            columns[name] = pa.array(values).cast(pa.timestamp("us", tz="UTC"))
        else:
            columns[name] = pa.array(values)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")

    of_parquet = imported(tmp_path, tmp_path / "a.parquet")

    assert of_parquet.totals == of_csv.totals
    assert of_parquet.totals[0].amounts.billed_cost == Decimal("0.300000000001")
    assert [each.is_the_same for each in of_parquet.restated] == [True]


AMOUNTS = st.one_of(
    st.decimals(-1000, 1000, places=12), st.decimals(-1000, 1000, places=2), st.just(Decimal("1E-9")), st.none()
)
CHARGES = st.lists(
    st.tuples(
        st.sampled_from(["AWS", "Microsoft", "Oracle"]), st.sampled_from(["USD", "EUR"]), st.sampled_from(["1", "2"]),
        st.sampled_from(["i-1", "i-2", ""]), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS,
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(charges=CHARGES, cuts=st.integers(1, 3))
def test_totals_are_those_of_csv_and_decimal_and_charges_add_up_to_them(
    charges: list[tuple[str, str, str, str, *tuple[Decimal | None, ...]]],
    cuts: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("bills")
    rows = [
        row(ProviderName=provider, BillingCurrency=currency, BillingAccountId=account, ResourceId=resource,
            **{cost: "" if amount is None else str(amount) for cost, amount in zip(COSTS, amounts, strict=True)})
        for provider, currency, account, resource, *amounts in charges
    ]  # fmt: skip
    whole = bill(folder / "whole.csv", *rows)
    parts = [  # two parts with the same content would be one part and its copy
        bill(folder / f"{place}.csv", *[[*each, str(place)] for each in rows[place::cuts]], header=[*HEADER, "x_Part"])
        for place in range(cuts)
    ]

    report = imported(folder, *parts)

    expected = {(c[0], c[1]): defaultdict[str, Decimal](Decimal) for c in charges} | by_csv_and_decimal(whole)
    assert_totals(report.totals, expected)
    with ChargeFile(folder / "charges.sqlite3") as file:
        kept_charges, sums = list(file.charges(0, 1e11)), file.sums()
    assert sum(each.charges for each in sums) == len(charges)
    for place in range(len(COSTS)):
        of_resources = [Decimal(c[4 + place] or 0) for c in charges if c[3]]
        assert sum((each.amounts[place] or Decimal(0) for each in kept_charges), Decimal(0)) == sum(
            of_resources, Decimal(0)
        )


def test_a_restated_period_replaces_that_of_its_provider_and_account_alone(tmp_path: Path) -> None:
    first = bill(
        tmp_path / "1.csv", row(BilledCost="5.00"), row(BilledCost="7.00", BillingAccountId="2"),
        row(BilledCost="11.00", ProviderName="Oracle"), row(BilledCost="13.00", BillingPeriodStart="2026-08-01"),
    )  # fmt: skip
    again = bill(tmp_path / "2.csv", row(BilledCost="4.50"), row(BilledCost="0.25"))

    imported(tmp_path, first)
    report = imported(tmp_path, again)

    (restated,) = report.restated
    assert (restated.provider, restated.account) == ("AWS", "1")
    assert [(total.charges, total.amounts.billed_cost) for total in restated.before] == [(1, Decimal("5.00"))]
    assert [(total.charges, total.amounts.billed_cost) for total in restated.after] == [(2, Decimal("4.75"))]
    total = kept(tmp_path)
    assert total is not None
    assert total.billed_cost == Decimal("4.75") + 7 + 11 + 13
    with ChargeFile(tmp_path / "charges.sqlite3") as file:
        assert len(list(file.charges(0, 1e11))) == 5


def test_a_file_named_twice_or_copied_counts_once_and_parts_of_a_period_are_added_up(tmp_path: Path) -> None:
    one = bill(tmp_path / "1.csv", row(BilledCost="5.00"))
    (tmp_path / "copy.csv").write_bytes(one.read_bytes())
    two = bill(tmp_path / "2.csv", row(BilledCost="7.25"))

    report = imported(tmp_path, one, one, tmp_path / "copy.csv", two)

    assert report.totals[0].amounts.billed_cost == Decimal("12.25")
    assert [why for _, why in report.left_out] == ["the same content as 1.csv"] * 2
    assert report.notes == ["2 files hold parts of AWS account 1, the billing period of 2026-09-01: they were added up"]


def test_rows_that_cannot_be_used_are_counted_by_reason_with_the_place_of_the_first(tmp_path: Path) -> None:
    path = bill(
        tmp_path / "a.csv", row(), row(BilledCost="1,5"), row(BilledCost="NaN"), row(ListCost="1_000"),
        row(ListCost="1E+400"), row(ChargePeriodStart="yesterday"), row(ChargePeriodEnd="NULL"), row(ProviderName=""),
        list(HEADER), [], row(ChargeCategory="Credit", BilledCost="-0.25", ListUnitPrice="-1"),
    )  # fmt: skip

    report = imported(tmp_path, path)

    (file,) = report.files
    assert (file.rows, file.taken) == (10, 2)
    assert {reason: (skipped.rows, skipped.first) for reason, skipped in file.skipped.items()} == {
        "BilledCost is not a decimal number": (2, "line 3"),
        "ListCost is not a decimal number": (1, "line 5"),
        "ListCost is no amount of money": (1, "line 6"),
        "a period is no ISO 8601 time": (2, "line 7"),
        "a period is not stated": (1, "line 8"),
        "ProviderName is not stated": (1, "line 9"),
    }
    assert report.totals[0].amounts.billed_cost == Decimal("0.75")


def test_a_cost_that_is_not_stated_is_unknown_and_the_others_count(tmp_path: Path) -> None:
    path = bill(
        tmp_path / "a.csv", row(ContractedCost="NULL", ListCost=""), row(ListCost="2.00", ContractedCost="null")
    )

    report = imported(tmp_path, path)

    assert report.totals[0].amounts == Amounts(Decimal("2.00"), Decimal("2.00"), Decimal("2.00"), None)
    assert report.totals[0].unstated == (0, 0, 1, 2)


def test_a_charge_that_ends_as_it_begins_is_in_the_sums_and_no_workers(tmp_path: Path) -> None:
    path = bill(tmp_path / "a.csv", row(ChargeCategory="Purchase", ChargePeriodEnd="2026-09-21T14:00:00Z"))

    report = imported(tmp_path, path)

    assert report.files[0].instants == 1
    assert report.totals[0].amounts.billed_cost == Decimal("1.00")
    with ChargeFile(tmp_path / "charges.sqlite3") as file:
        assert list(file.charges(0, 1e11)) == []


def test_charges_of_a_window_are_those_that_overlap_it_ends_exclusive(tmp_path: Path) -> None:
    imported(tmp_path, bill(tmp_path / "a.csv", row()))
    begin_s = 1_789_999_200.0  # 2026-09-21T14:00:00Z

    with ChargeFile(tmp_path / "charges.sqlite3") as file:
        (charge,) = file.charges(begin_s, begin_s + 1)
        assert (charge.start_us, charge.end_us) == (round(begin_s * 1e6), round((begin_s + 3600) * 1e6))
        assert list(file.charges(begin_s - 10, begin_s)) == []
        assert list(file.charges(begin_s + 3600, begin_s + 3700)) == []
        assert list(file.resources(begin_s + 3599, begin_s + 3700)) == ["i-1"]


def test_an_instance_type_is_read_from_the_details_of_the_price(tmp_path: Path) -> None:
    details = '{"InstanceType": "m7i.2xlarge", "CoreCount": 8}'
    path = bill(tmp_path / "a.csv", [*row(), details], header=[*HEADER, "SkuPriceDetails"])

    imported(tmp_path, path)

    with ChargeFile(tmp_path / "charges.sqlite3") as file:
        assert [each.instance_type for each in file.sums()] == ["m7i.2xlarge"]


GOOD = io.StringIO(newline="")
csv.writer(GOOD).writerows([HEADER, row(), row(BilledCost="3.00"), row(BilledCost="0.50")])
GOOD_BYTES = GOOD.getvalue().encode()
BAD_FILES = {
    "in UTF-16": (GOOD.getvalue().encode("utf-16"), "it is in UTF-16"),
    "in UTF-16 without its mark": (GOOD.getvalue().encode("utf-16-le"), "it is in UTF-16"),
    "not in UTF-8": (GOOD_BYTES.replace(b"AWS", "Größe".encode("latin-1")), "it is not in UTF-8"),
    "cut in a row": (GOOD_BYTES[: GOOD_BYTES.rindex(b"2026")], "line 4 has 11 columns where the header has 17"),
    "cut in a quoted column": (GOOD_BYTES + b'"AWS', "it is cut off or not quoted"),
    "divided by semicolons": (GOOD_BYTES.replace(b",", b";"), "divided by semicolons"),
    "divided by tabs": (GOOD_BYTES.replace(b",", b"\t"), "divided by tabs"),
    "without a column": (GOOD_BYTES.replace(b"ListCost", b"Price"), "it has no column ListCost"),
    "with a column twice": (GOOD_BYTES.replace(b"RegionId", b"BilledCost"), "two columns BilledCost"),
    "in an unknown currency": (GOOD_BYTES[:-4] + GOOD_BYTES[-4:].replace(b"\r\n", b"\r\n") + GOOD_BYTES.splitlines(
        keepends=True)[1].replace(b"USD", b"XQX"), "line 5 is billed in 'XQX'"),
    "with a negative price": (GOOD_BYTES.replace(b"0.50,1.00,1.00,1.00,1.00", b"0.50,1.00,1.00,1.00,-1.00"),
                              "line 4 has a ListUnitPrice of -1.00"),
    "empty": (b"", "it is empty"),
    "an archive": (b"PK\x03\x04rest", "ZIP archive"),
    "cut gzip": (gzip.compress(GOOD_BYTES)[:-20], "gzip packing ends too early"),
    "cut Parquet": (b"PAR1" + b"\x15\x04" * 50, "no whole Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line_and_nothing_of_the_import_is_kept(name: str, tmp_path: Path) -> None:
    content, reason = BAD_FILES[name]
    before = bill(tmp_path / "before.csv", row(BilledCost="9.00"))
    imported(tmp_path, before)
    good = bill(tmp_path / "good.csv", row(BillingAccountId="7"), row(BilledCost="8.00"))
    bad = tmp_path / "bad.csv"
    bad.write_bytes(content)

    with pytest.raises(BillingFileError, match="Billing file") as raised:
        imported(tmp_path, good, bad)

    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(bad) in str(raised.value)
    total = kept(tmp_path)
    assert total is not None
    assert total.billed_cost == Decimal("9.00")


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, len(GOOD_BYTES) - 1))
def test_a_file_cut_anywhere_is_refused_said_to_be_open_or_whole_rows(
    length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "cut.csv").write_bytes(GOOD_BYTES[:length])

    try:
        report = imported(folder, folder / "cut.csv")
    except BillingFileError:
        assert kept(folder) is None
        return

    is_between_rows = GOOD_BYTES[:length].endswith((b"\n", b"\r"))
    assert is_between_rows == (not any("cut off" in note for note in report.files[0].notes))
    assert report.files[0].rows == len(GOOD_BYTES[:length].splitlines()) - 1


def test_a_path_that_is_not_there_a_folder_without_bills_and_another_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BillingFileError, match="no such file or folder"):
        imported(tmp_path, tmp_path / "nothing.csv")
    with pytest.raises(BillingFileError, match=r"the folder holds no \.csv"):
        imported(tmp_path, tmp_path / "empty")
    (tmp_path / "charges.sqlite3").write_bytes(b"not a database at all, but somebody's notes" * 40)
    with pytest.raises(StoreError, match="no file of charges"):
        imported(tmp_path, bill(tmp_path / "a.csv", row()))


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" * 3)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'drmviz\[parquet\]'"):
        imported(tmp_path, tmp_path / "a.parquet")


def test_two_imports_at_once_wait_for_each_other_or_say_so(tmp_path: Path) -> None:
    path = bill(tmp_path / "a.csv", row())
    imported(tmp_path, path)
    with (
        ChargeFile(tmp_path / "charges.sqlite3", write=True) as mine,
        ChargeFile(tmp_path / "charges.sqlite3", write=True) as other,
    ):
        other.connection.set_busy_timeout(0)
        with mine.at_once(), pytest.raises(StoreError, match="another process imports"), other.at_once():
            pass


def test_an_import_that_is_killed_leaves_what_was_there(tmp_path: Path) -> None:
    imported(tmp_path, bill(tmp_path / "before.csv", row(BilledCost="9.00")))
    bill(tmp_path / "long.csv", *[row(ResourceId=f"i-{number}" * 20) for number in range(60_000)])
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom drmviz.cloud import import_bills, importing\n"
        "importing._Import._replace = lambda self: os.kill(os.getpid(), 9)\n"
        "import_bills(Path(sys.argv[1]), [Path(sys.argv[2])], now_s=1.0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "charges.sqlite3"), str(tmp_path / "long.csv")],
        check=False, env=os.environ,
    )  # fmt: skip

    assert done.returncode == -9
    total = kept(tmp_path)
    assert total is not None
    assert total.billed_cost == Decimal("9.00")

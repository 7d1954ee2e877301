"""Importing bills: every file once, row by row, all or nothing; a period that is restated replaces what was there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path
from typing import NamedTuple

from drmviz.cloud.charge_file import ChargeFile, totals_of
from drmviz.cloud.columns import COSTS, KIND, LIST_PRICE, amount_of, instance_type_of, moment_us, name_of
from drmviz.cloud.currencies import CURRENCIES
from drmviz.cloud.files import Reading, Row, billing_files
from drmviz.cloud.reporting import FileReport, ImportReport, Restated, day
from drmviz.model.charges import EXACT
from drmviz.model.text import storable

_KIND_COLUMNS = 10
_PLACES = range(len(COSTS))
_CATEGORY = KIND.index("ChargeCategory")
_PRICED = ("Usage", "Purchase")
_MOST_KINDS = 20_000
"""So many kinds are added up in memory; then they are written, and counted anew."""
_MOST_TEXTS = 50_000
_BATCH = 5_000
_ADD_CHARGES = "INSERT INTO charge VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_KINDS = f"INSERT INTO kind VALUES ({', '.join('?' * 17)})"


class _BillKey(NamedTuple):
    provider: str
    account: str
    period_start_us: int


@dataclass(slots=True)
class _Bill:
    """One billing period of one account."""

    number: int
    period_end_us: int
    files: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Kind:
    """Charges that differ in nothing but time, resource and amounts, and their sums."""

    number: int
    bill: int
    names: tuple[str | None, ...]
    """Currency, category, sub-account, service, region, instance type."""
    charges: int = 0
    sums: list[Decimal | None] = field(default_factory=lambda: [None] * len(COSTS))
    unstated: list[int] = field(default_factory=lambda: [0] * len(COSTS))

    def as_row(self) -> tuple[object, ...]:
        sums = [None if amount is None else str(amount) for amount in self.sums]
        return (self.number, self.bill, *self.names, self.charges, *sums, *self.unstated)


class _Skip(Exception):  # noqa: N818  not an error of the program: a row that is left out, with the reason
    """A row that cannot be used."""


class _Moments(dict[str, int]):
    """Moments by their text, in microseconds since the epoch."""

    def __missing__(self, text: str) -> int:
        try:
            moment = moment_us(text)
        except ValueError as error:
            raise _Skip(f"a period {error}") from error
        if moment is None:
            raise _Skip("a period is not stated")
        if len(self) >= _MOST_TEXTS:
            self.clear()
        self[text] = moment
        return moment


def import_bills(path: Path, bills: Sequence[Path], *, now_s: float) -> ImportReport:
    """Import FOCUS files, all that are named or none.

    A billing period of an account that they hold replaces what earlier imports said of it; so name all parts of a
    period together. A file named twice, or copied, counts once.

    Args:
        path: the file of charges.
        bills: FOCUS 1.0 to 1.2 in CSV or Parquet, packed by gzip or not, or folders of them.
        now_s: when this is, seconds since the epoch.

    Raises:
        BillingFileError: one of them is not whole, no FOCUS file, or holds what no bill may; nothing was kept.
        StoreError: the file of charges cannot be written.
        MissingExtraError: one is in Parquet and pyarrow is not installed.
    """
    found, left_out = billing_files(bills)
    with ChargeFile(path, write=True) as file, file.at_once(), localcontext(EXACT):
        return _Import(file, round(now_s * 1e6)).of(found, left_out)


class _Import:
    """One import inside its transaction."""

    def __init__(self, file: ChargeFile, now_us: int) -> None:
        self._connection = file.connection
        self._file = file
        self._now_us = now_us
        self._first_bill = 1 + (self._connection.execute("SELECT max(id) FROM bill").get or 0)
        self._next_kind = self._first_kind = 1 + (self._connection.execute("SELECT max(id) FROM kind").get or 0)
        self._bills: dict[_BillKey, _Bill] = {}
        self._kinds: dict[Row, _Kind] = {}
        self._moments = _Moments()

    def of(self, paths: Sequence[Path], left_out: list[tuple[Path, str]]) -> ImportReport:
        report = ImportReport(left_out=left_out)
        for path in paths:
            report.files.append(self._read(path))
        self._write_kinds()
        self._write_bills()
        for key, bill in self._bills.items():
            if len(bill.files) > 1:
                report.notes.append(
                    f"{len(bill.files)} files hold parts of {key.provider} account {key.account}, the billing period "
                    f"of {day(key.period_start_us)}: they were added up"
                )
        report.restated = self._replace()
        report.totals = totals_of(self._file.sums("kind.id >= ?", self._first_kind))
        return report

    def _read(self, path: Path) -> FileReport:
        report = FileReport(path=path)
        reading = Reading(path)
        waiting: list[tuple[object, ...]] = []
        self._write_kinds()  # every file is noted at the bills that it holds parts of
        for row in reading.rows():
            report.rows += 1
            try:
                charge = self._take(row, reading, report)
            except _Skip as reason:
                report.skip(str(reason), reading.what)
                continue
            report.taken += 1
            if charge is not None:
                waiting.append(charge)
                if len(waiting) == _BATCH:
                    self._connection.executemany(_ADD_CHARGES, waiting)
                    waiting.clear()
        self._connection.executemany(_ADD_CHARGES, waiting)
        report.unread, report.notes = reading.unread, [*report.notes, *reading.notes]
        if not report.rows:
            report.notes.append("has no row below its header")
        return report

    def _take(self, row: Row, reading: Reading, report: FileReport) -> tuple[object, ...] | None:
        """Add a row to its kind; return what is to be written of it by itself, None where the sums say it all."""
        start, end, resource, *texts, list_price = row[_KIND_COLUMNS:]
        if list_price[:1] == "-" and row[_CATEGORY] in _PRICED:
            _refuse_negative(list_price, reading)
        start_us, end_us = self._moments[start], self._moments[end]
        try:
            its = [amount_of(text) for text in texts]
        except ValueError:
            raise _skipped_amount(texts) from None
        kind = self._kinds.get(row[:_KIND_COLUMNS])
        if kind is None:
            kind = self._new_kind(row[:_KIND_COLUMNS], reading)
        kind.charges += 1
        sums = kind.sums
        for place in _PLACES:
            amount = its[place]
            if amount is None:
                kind.unstated[place] += 1
            elif amount:
                before = sums[place]
                sums[place] = amount if before is None else before + amount
            elif sums[place] is None:
                sums[place] = amount
        if start_us >= end_us:
            report.instants += 1
            return None
        named = name_of(resource)
        if named is None or not any(its):
            return None
        stated = [text if amount is not None else None for text, amount in zip(texts, its, strict=True)]
        return kind.number, named, start_us, end_us, *stated

    def _new_kind(self, texts: Row, reading: Reading) -> _Kind:
        provider, account, start, end, currency, category, sub_account, service, region, details = texts
        if provider == KIND[0] and currency == KIND[4]:
            raise _Skip("it repeats the header")
        for column, text in zip(KIND, texts, strict=False):
            if name_of(text) is None:
                raise _Skip(f"{column} is not stated")
        code = currency.strip().upper()
        if code not in CURRENCIES:
            raise reading.error(
                f"{reading.what} is billed in {currency.strip()[:20]!r}, which is no currency of ISO 4217",
                "Ask the provider for a bill in money.",
            )
        key = _BillKey(storable(provider.strip()), storable(account.strip()), self._moments[start])
        end_us = self._moments[end]
        bill = self._bills.get(key)
        if bill is None:
            bill = self._bills[key] = _Bill(self._first_bill + len(self._bills), end_us)
        bill.period_end_us = max(bill.period_end_us, end_us)
        bill.files[reading.path.name] = None
        named = [name_of(text) for text in (category, sub_account, service, region)]
        names = [code, *named, instance_type_of(details)]
        if len(self._kinds) >= _MOST_KINDS:
            self._write_kinds()
        kind = self._kinds[texts] = _Kind(
            self._next_kind, bill.number, tuple(None if name is None else storable(name) for name in names)
        )
        self._next_kind += 1
        return kind

    def _write_kinds(self) -> None:
        self._connection.executemany(_ADD_KINDS, [kind.as_row() for kind in self._kinds.values()])
        self._kinds.clear()

    def _write_bills(self) -> None:
        self._connection.executemany(
            "INSERT INTO bill VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (bill.number, *key, bill.period_end_us, self._now_us, json.dumps([storable(n) for n in bill.files]))
                for key, bill in self._bills.items()
            ],
        )

    def _replace(self) -> list[Restated]:
        """Take away what earlier imports said of the same periods, and tell of it."""
        restated, gone = [], []
        for key, bill in self._bills.items():
            earlier = [
                number
                for (number,) in self._connection.execute(
                    "SELECT id FROM bill WHERE provider = ? AND account = ? AND period_start_us = ? AND id < ?",
                    (*key, self._first_bill),
                )
            ]
            if earlier:
                (old,) = earlier
                before, after = self._file.sums("bill.id = ?", old), self._file.sums("bill.id = ?", bill.number)
                restated.append(
                    Restated(**key._asdict(), before=tuple(totals_of(before)), after=tuple(totals_of(after)))
                )
                gone.append(old)
        if gone:
            self._connection.execute("CREATE TEMP TABLE gone (bill INTEGER PRIMARY KEY)")
            self._connection.executemany("INSERT INTO gone VALUES (?)", [(number,) for number in gone])
            self._connection.execute(
                "DELETE FROM charge WHERE kind IN (SELECT id FROM kind WHERE bill IN (SELECT bill FROM gone));"
                "DELETE FROM kind WHERE bill IN (SELECT bill FROM gone);"
                "DELETE FROM bill WHERE id IN (SELECT bill FROM gone);"
                "DROP TABLE temp.gone"
            )
        return restated


def _refuse_negative(text: str, reading: Reading) -> None:
    try:
        price = amount_of(text)
    except ValueError:
        return
    if price is not None and price < 0:
        raise reading.error(
            f"{reading.what} has a {LIST_PRICE} of {text.strip()}, and what is used or bought has no negative price",
            "Credits and refunds are negative costs: ask the provider for a correction.",
        )


def _skipped_amount(texts: Sequence[str]) -> _Skip:
    """Return what says which of the costs is no amount."""
    for column, text in zip(COSTS, texts, strict=True):
        try:
            amount_of(text)
        except ValueError as error:
            return _Skip(f"{column} {error}")
    raise AssertionError(f"all of {texts} are amounts")

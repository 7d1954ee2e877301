"""The file that imported charges lie in, beside the recorded runs: one SQLite file, replaced period by period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import apsw

from drmviz.cloud.reporting import Total
from drmviz.errors import StoreError
from drmviz.model.charges import Amounts, Charge, ChargeSum, added

_APPLICATION_ID = 0x44524D63  # "DRMc"
_VERSION = 1
_BUSY_MS = 5000
_CACHE_KIB, _PAGE_BYTES = 8 << 10, 16 << 10
_TABLES = """
CREATE TABLE bill (
  id INTEGER PRIMARY KEY, provider TEXT NOT NULL, account TEXT NOT NULL, period_start_us INTEGER NOT NULL,
  period_end_us INTEGER NOT NULL, imported_at_us INTEGER NOT NULL, files TEXT NOT NULL
) STRICT;
CREATE TABLE kind (
  id INTEGER PRIMARY KEY, bill INTEGER NOT NULL, currency TEXT NOT NULL, category TEXT NOT NULL, sub_account TEXT,
  service TEXT, region TEXT, instance_type TEXT, charges INTEGER NOT NULL, billed TEXT, effective TEXT, listed TEXT,
  contracted TEXT, billed_unstated INTEGER NOT NULL, effective_unstated INTEGER NOT NULL,
  list_unstated INTEGER NOT NULL, contracted_unstated INTEGER NOT NULL
) STRICT;
CREATE TABLE charge (
  kind INTEGER NOT NULL, resource TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, billed TEXT,
  effective TEXT, listed TEXT, contracted TEXT
) STRICT;
"""
_SUMS = """
SELECT bill.provider, bill.account, currency, category, billed, effective, listed, contracted, charges, billed_unstated,
  effective_unstated, list_unstated, contracted_unstated, sub_account, service, region, instance_type
FROM kind JOIN bill ON bill.id = kind.bill WHERE {where} ORDER BY kind.id
"""
_CHARGES = """
SELECT bill.provider, bill.account, resource, start_us, end_us, currency, charge.billed, charge.effective,
  charge.listed, charge.contracted, category, service, region, instance_type,
  bill.period_start_us, bill.period_end_us
FROM charge JOIN kind ON kind.id = charge.kind JOIN bill ON bill.id = kind.bill
WHERE start_us < ? AND end_us > ? ORDER BY charge.rowid
"""


class ChargeFile:
    """Charges by provider, account and billing period; use it as a context manager.

    Args:
        path: the file; it is made by the first import.
        write: whether something is to be imported.

    Raises:
        StoreError: it is something else, newer than this program, or cannot be opened.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = path
        try:
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.exists():
                raise StoreError(path, "no bill was imported yet", remedy="Import one with: drmviz cost import FILE")
            flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if write else 0)
            self.connection = apsw.Connection(str(path), flags=flags if write else apsw.SQLITE_OPEN_READONLY)
        except (OSError, apsw.Error) as error:
            raise self._error(error) from error
        try:
            self.connection.set_busy_timeout(_BUSY_MS)
            self.connection.execute(f"PRAGMA cache_size={-_CACHE_KIB}")
            if write and self.connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
                self.connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
                with self.connection:
                    self.connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                    self.connection.execute(_TABLES)
                    self.connection.execute(f"PRAGMA user_version={_VERSION}")
            self._check_ours()
        except apsw.Error as error:
            self.connection.close()
            raise self._error(error) from error
        except StoreError:
            self.connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Keep all that is written inside, or, where anything is raised, nothing of it.

        Raises:
            StoreError: the disk refuses it, or somebody else imports.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise self._error(error) from error

    def sums(self, where: str = "?", *values: int) -> list[ChargeSum]:
        """Return charges by kind, all or those of a condition; a kind may come in several parts, which add up."""
        return [
            ChargeSum(
                provider=row[0], account=row[1], currency=row[2], category=row[3], amounts=_amounts(row[4:8]),
                charges=row[8], unstated=row[9:13], sub_account=row[13], service=row[14], region=row[15],
                instance_type=row[16],
            )
            for row in self._rows(_SUMS.format(where=where), values or (1,))
        ]  # fmt: skip

    def charges(self, start_s: float, end_s: float) -> Iterator[Charge]:
        """Yield the charges of resources that overlap a window, whose end is exclusive as theirs is.

        Charges that name no resource, and those of nothing but zeros, are in `sums` alone.
        """
        for row in self._rows(_CHARGES, (round(end_s * 1e6), round(start_s * 1e6))):
            yield Charge(
                provider=row[0], account=row[1], resource_id=row[2], start_us=row[3], end_us=row[4], currency=row[5],
                amounts=_amounts(row[6:10]), category=row[10], service=row[11], region=row[12], instance_type=row[13],
                period_start_us=row[14], period_end_us=row[15],
            )  # fmt: skip

    def resources(self, start_s: float, end_s: float) -> Iterator[str]:
        """Yield the id of each resource that is charged in a window, once."""
        asked = "SELECT DISTINCT resource FROM charge WHERE start_us < ? AND end_us > ?"
        for row in self._rows(asked, (round(end_s * 1e6), round(start_s * 1e6))):
            yield row[0]

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self.connection.execute(statement, values)
        except apsw.Error as error:
            raise self._error(error) from error

    def _check_ours(self) -> None:
        if self.connection.execute("PRAGMA application_id").get != _APPLICATION_ID:
            raise StoreError(self.path, "it is no file of charges", remedy="Name another file with --charges.")
        version = self.connection.execute("PRAGMA user_version").get
        if version != _VERSION:
            raise StoreError(
                self.path, f"its format is {version}, this drmviz reads {_VERSION}",
                remedy="Upgrade with: pip install -U drmviz",
            )  # fmt: skip

    def _error(self, error: OSError | apsw.Error) -> StoreError:
        if isinstance(error, apsw.BusyError):
            return StoreError(self.path, "another process imports a bill into it", remedy="Wait until it ends.")
        if isinstance(error, apsw.NotADBError | apsw.CorruptError):
            return StoreError(
                self.path, f"it is no file of charges, or damaged ({error})",
                remedy="Move it away and import the bills again.",
            )  # fmt: skip
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return StoreError(self.path, f"it cannot be used ({reason})", remedy="Name another file with --charges.")


def totals_of(sums: Iterable[ChargeSum]) -> list[Total]:
    """Return the charges by provider and currency, by name."""
    found: dict[tuple[str, str], Total] = {}
    for each in sums:
        key = (each.provider, each.currency)
        total = found.setdefault(key, Total(provider=each.provider, currency=each.currency))
        total.charges += each.charges
        total.amounts = added((total.amounts, each.amounts))
        first, second, third, fourth = (a + b for a, b in zip(total.unstated, each.unstated, strict=True))
        total.unstated = (first, second, third, fourth)
    return [found[key] for key in sorted(found)]


def _amounts(texts: Iterable[str | None]) -> Amounts:
    return Amounts(*(None if text is None else Decimal(text) for text in texts))

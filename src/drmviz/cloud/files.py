"""Reading billing files row by row, whatever they are packed in; only the columns that are asked for come out."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

from drmviz.cloud.columns import MANDATORY, READ
from drmviz.errors import BillingFileError, MissingExtraError

_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ENDINGS = (".csv", ".csv.gz", ".parquet", ".parq", ".gz")
_BATCH_ROWS = 8192
_WHOLE = "Get the whole file again from the provider; nothing of this import was kept."
_AS_FOCUS = "Export it as FOCUS 1.0, 1.1 or 1.2, in CSV with commas or in Parquet."

_OF_FOCUS = """
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd
    BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription
    ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId
    CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType
    CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceId
    InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
    PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName
    RegionId RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId
    SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
_NAMED = frozenset(_OF_FOCUS.split())
"""The columns of FOCUS 1.2, which has all of 1.0 and 1.1."""

Row = tuple[str, ...]
"""The texts of the columns in `columns.READ`."""


@dataclass(slots=True)
class Reading:
    """One file while it is read: rows come out, and what is worth saying of the file gathers."""

    path: Path
    place: int = 0
    """Line of a CSV file, row of a Parquet file, from 1: that of the row that came last."""
    unread: tuple[str, ...] = ()
    """Columns that are neither read nor named by FOCUS nor marked by `x_`; known once the first row is out."""
    notes: list[str] = field(default_factory=list)

    @property
    def what(self) -> str:
        return f"{'row' if self.path.suffix in ('.parquet', '.parq') else 'line'} {self.place:,}"

    def error(self, reason: str, remedy: str) -> BillingFileError:
        return BillingFileError(self.path, reason, remedy=remedy)

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            BillingFileError: it is no whole FOCUS file, or cannot be read.
            MissingExtraError: it is Parquet, and pyarrow is not installed.
        """
        try:
            with self.path.open("rb") as file:
                first = file.read(4)
                file.seek(0)
                if first == _PARQUET:
                    yield from self._of_parquet(file)
                elif first[:2] == _GZIP:
                    with gzip.open(file) as unpacked:
                        yield from self._of_csv(unpacked)  # type: ignore[arg-type]  # it reads like any other
                else:
                    yield from self._of_csv(file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self.error(
                f"its gzip packing ends too early or is damaged, near {self.what} ({error})", _WHOLE
            ) from error
        except OSError as error:
            raise self.error(
                f"it cannot be read ({error.strerror or error})", "Check the path and its rights."
            ) from error

    def _of_csv(self, file: IO[bytes]) -> Iterator[Row]:
        first = file.read(4)
        file.seek(0)
        if not first:
            raise self.error("it is empty", _WHOLE)
        if first[:2] in _UTF_16 or b"\x00" in first:
            raise self.error("it is in UTF-16", "Save it in UTF-8, such as with: iconv -f UTF-16 -t UTF-8")
        if first == _ZIP:
            raise self.error("it is a ZIP archive", "Unpack it first.")
        watched = _LastByte(file)
        text = io.TextIOWrapper(io.BufferedReader(watched, 1 << 18), encoding="utf-8-sig", newline="")
        lines = csv.reader(text, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            width = len(header)
            places = self._places(header)
            picked = itemgetter(*(places.get(name, width) for name in READ))  # one more: nothing, for what it lacks
            for row in lines:
                if len(row) != width:
                    if row:
                        self.place = lines.line_num
                        raise self._wrong_width(len(row), width)
                    continue  # an empty line
                self.place = lines.line_num
                row.append("")
                yield picked(row)
        except UnicodeDecodeError as error:
            raise self.error(
                f"it is not in UTF-8, near {self.what} (byte 0x{error.object[error.start]:02x})", "Save it in UTF-8."
            ) from error
        except csv.Error as error:
            self.place = lines.line_num
            raise self.error(f"it is cut off or not quoted as CSV is, at {self.what} ({error})", _WHOLE) from error
        if watched.last not in (b"\n", b"\r"):
            self.notes.append("ends without a line break: it may have been cut off inside its last column")

    def _wrong_width(self, found: int, width: int) -> BillingFileError:
        return self.error(
            f"{self.what} has {found} columns where the header has {width}: it is cut off there, or not quoted", _WHOLE
        )

    def _places(self, header: Sequence[str]) -> dict[str, int]:
        if len(header) == 1 and len(MANDATORY) > 1:
            for delimiter, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
                if delimiter in header[0]:
                    raise self.error(f"its columns are divided by {called}, not by commas", _AS_FOCUS)
        places: dict[str, int] = {}
        for place, name in enumerate(header):
            if name in places and name in READ:
                raise self.error(f"it has two columns {name}", _AS_FOCUS)
            places.setdefault(name, place)
        missing = [name for name in MANDATORY if name not in places]
        if missing:
            raise self.error(f"it has no column {', '.join(missing[:4])}{' and more' * (len(missing) > 4)}", _AS_FOCUS)
        self.unread = tuple(name for name in places if not name.startswith("x_") and name not in _NAMED)
        return {name: places[name] for name in READ if name in places}

    def _of_parquet(self, file: IO[bytes]) -> Iterator[Row]:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtraError(f"Reading {self.path.name!r}", "pyarrow", extra="parquet") from error
        try:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            places = self._places(parquet.schema_arrow.names)
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=list(places)):
                columns = {name: _texts(batch.column(name)) for name in places}
                nothing = [""] * batch.num_rows
                for row in zip(*(columns.get(name, nothing) for name in READ), strict=True):
                    self.place += 1
                    yield row
        except (pa.ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise self.error(f"it is no whole Parquet file, after {self.what} ({reason})", _WHOLE) from error


class _LastByte(io.RawIOBase):
    """Hands a file on and remembers its last byte."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        got = self._file.read(len(buffer))
        buffer[: len(got)] = got
        if got:
            self.last = got[-1:]
        return len(got)


def _texts(column: Any) -> list[str]:
    """Return a Parquet column as a CSV file would write it."""
    values = column.to_pylist()
    return ["" if value is None else value if isinstance(value, str) else _text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, dict | list):  # a map comes as pairs
        import json

        return json.dumps(value if isinstance(value, dict) else dict(value), default=str)
    return str(value)


def billing_files(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return the files to read, those of folders by name, and what of the folders is left out and why.

    Raises:
        BillingFileError: a path is not there, or a folder holds no billing file.
    """
    found: list[Path] = []
    left: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            named = [each for each in inside if each.name.lower().endswith(_ENDINGS) and not each.name.startswith(".")]
            if not named:
                raise BillingFileError(
                    path, "the folder holds no .csv, .csv.gz or .parquet", remedy="Name another folder."
                )
            left += [(each, "not .csv, .csv.gz or .parquet") for each in inside if each not in set(named)]
            found += named
        elif path.exists():
            found.append(path)
        else:
            raise BillingFileError(path, "there is no such file or folder", remedy="Check the path.")
    return _without_copies(found, left), left


def _without_copies(found: Sequence[Path], left: list[tuple[Path, str]]) -> list[Path]:
    """Leave out files with the content of another one, which count once."""
    by_size: dict[int, list[Path]] = {}
    kept = []
    for path in found:
        try:
            alike = by_size.setdefault(path.stat().st_size, [])
            copy = next((other for other in alike if other.samefile(path) or _digest(other) == _digest(path)), None)
        except OSError as error:
            raise BillingFileError(
                path, f"it cannot be read ({error.strerror})", remedy="Check the path and its rights."
            ) from error
        if copy is None:
            alike.append(path)
            kept.append(path)
        else:
            left.append((path, f"the same content as {copy.name}"))
    return kept


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()

"""What an import did: rows taken and left out with the reason, periods replaced, totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from drmviz.model.charges import NOT_STATED, Amounts


@dataclass(slots=True)
class Skipped:
    """Rows left out for one reason."""

    rows: int
    first: str
    """Where the first of them is, such as `line 12`."""


@dataclass(slots=True, kw_only=True)
class FileReport:
    """One file that was read."""

    path: Path
    rows: int = 0
    """All rows below the header, empty lines not counted."""
    taken: int = 0
    skipped: dict[str, Skipped] = field(default_factory=dict)
    """By reason."""
    unread: tuple[str, ...] = ()
    """Columns that FOCUS 1.2 does not name and that are not marked by `x_`."""
    instants: int = 0
    """How many of those taken end as they begin, or before: they are in the sums, and no worker's."""
    notes: list[str] = field(default_factory=list)

    def skip(self, reason: str, where: str) -> None:
        known = self.skipped.get(reason)
        if known is None:
            self.skipped[reason] = Skipped(1, where)
        else:
            known.rows += 1


@dataclass(slots=True, kw_only=True)
class Total:
    """The charges of a provider in one currency."""

    provider: str
    currency: str
    charges: int = 0
    amounts: Amounts = NOT_STATED
    unstated: tuple[int, int, int, int] = (0, 0, 0, 0)
    """How many charges do not state it, by kind of cost in the order of `Amounts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restated:
    """A billing period of one account that was there before and is replaced."""

    provider: str
    account: str
    period_start_us: int
    before: tuple[Total, ...]
    """By currency."""
    after: tuple[Total, ...]

    @property
    def is_the_same(self) -> bool:
        return self.before == self.after


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """One import, which was kept whole."""

    files: list[FileReport] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """Files that were not read, and why."""
    restated: list[Restated] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)
    """What was imported, by provider and currency."""
    notes: list[str] = field(default_factory=list)
    """What holds of files together."""

    @property
    def taken(self) -> int:
        return sum(each.taken for each in self.files)


def day(moment_us: int) -> str:
    """Return the day of a moment in UTC, such as 2024-09-01."""
    return datetime.fromtimestamp(moment_us / 1e6, UTC).strftime("%Y-%m-%d")

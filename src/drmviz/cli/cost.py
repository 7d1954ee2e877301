"""`drmviz cost`: bills of cloud providers in, and what they say, by provider, instance type, service or worker."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from drmviz.cli.arguments import AsJson, Offsets, RunId, Stores, named_stores, offsets_of
from drmviz.cli.saying import say
from drmviz.configuration import charges_path
from drmviz.errors import OutputError, UsageError

if TYPE_CHECKING:
    from drmviz.analysis.billed import Part
    from drmviz.cloud import ImportReport

By = Literal["provider", "instance-type", "service", "worker"]
_FIELDS = {
    "provider": ("provider",),
    "instance-type": ("provider", "instance_type"),
    "service": ("provider", "service"),
}
_NO_BILL = "No bill was imported yet. Import one with: drmviz cost import FILE"
_MOST_AMBIGUOUS = 5

Charges = Annotated[
    Path | None,
    typer.Option("--charges", metavar="FILE", help="Where imported bills are kept; in the data folder by default."),
]


class _ShowUnlessNamed(TyperGroup):
    """`drmviz cost --by service` is `drmviz cost show --by service`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ShowUnlessNamed, rich_markup_mode=None, help="Bills of cloud providers: import them, and what they say."
)


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="FOCUS 1.0 to 1.2, CSV or Parquet, gzip or not, or folders of them."),
    ],
    charges: Charges = None,
    as_json: AsJson = False,
) -> None:
    """Import bills, all or none; a billing period replaces what was imported of it before, for that account."""
    from drmviz.cloud import import_bills

    report = import_bills(charges or charges_path(), [path.expanduser() for path in files], now_s=time.time())
    if as_json:
        json.dump(_report_json(report), sys.stdout)
        print()
        return
    _tell(report)


@app.command("show")
def show(
    stores: Stores = None,
    by: Annotated[
        By, typer.Option("--by", help="What the rows are; worker joins the bill to a recorded run.")
    ] = "provider",
    run_id: RunId = None,
    offset: Offsets = None,
    charges: Charges = None,
    focus: Annotated[
        Path | None,
        typer.Option(
            "--focus", metavar="FILE", help="With --by worker: write the allocation as FOCUS columns; - for stdout."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what imported bills say: billed, effective, list and contracted cost, each by itself, in each currency."""
    from drmviz.cloud import ChargeFile
    from drmviz.report.money import sums_json, sums_table
    from drmviz.report.tables import print_tables

    path = charges or charges_path()
    if by == "worker":
        _by_worker(path, stores, run_id, offset, focus, as_json=as_json)
        return
    if stores or run_id or offset or focus:
        raise UsageError(f"--by {by} sums up whole bills and reads no recorded run. Use --by worker with it.")
    sums = []
    if path.exists():
        with ChargeFile(path) as file:
            sums = file.sums()
    if as_json:
        json.dump(sums_json(sums, _FIELDS[by]), sys.stdout)
        print()
    elif sums:
        print_tables([sums_table(sums, _FIELDS[by], title=f"Charges by {by.replace('-', ' ')}")], sys.stdout)
    else:
        print(_NO_BILL)


def _by_worker(
    path: Path,
    stores: list[Path] | None,
    run_id: str | None,
    offset: list[str] | None,
    focus: Path | None,
    *,
    as_json: bool,
) -> None:
    from drmviz.analysis.billed import allocate, billed_by_worker, homes_of
    from drmviz.cloud import ChargeFile
    from drmviz.report.money import shares_json, shares_table
    from drmviz.report.tables import print_tables
    from drmviz.store import Stores as Histories

    with ChargeFile(path) as file, Histories.open(named_stores(stores), offsets=offsets_of(offset)) as histories:
        run = histories.read(run_id, metrics=("cpu_ratio",), columns=1)
        homes = homes_of(run, file.resources(run.start_s, run.end_s))

        def parts() -> Sequence[Part] | Any:
            return allocate(run, file.charges(run.start_s, run.end_s), homes)

        if focus is not None:
            _write_focus(parts(), focus, run.header.id)
            if str(focus) == "-":
                return
        shares = billed_by_worker(parts())
    if as_json:
        json.dump(shares_json(shares), sys.stdout)
        print()
        return
    if not any(share.worker for share in shares):
        print("No charge in the time of this run names a resource that one of its workers ran on.")
    for name in homes.ambiguous[:_MOST_AMBIGUOUS]:
        say(f"Several resources of the bill end with {name!r}: label that worker with resource_id to join it.")
    if shares:
        print_tables([shares_table(shares, title="Charges by worker")], sys.stdout)


def _write_focus(parts: Any, to: Path, run_id: str) -> None:
    from drmviz.cloud.exporting import write_allocation

    rows = ((part.charge, part.worker, part.left, part.ratio, part.amounts) for part in parts)
    if str(to) == "-":
        write_allocation(rows, sys.stdout, run_id=run_id)
        return
    try:
        with to.expanduser().open("w", encoding="utf-8", newline="") as stream:
            write_allocation(rows, stream, run_id=run_id)
    except OSError as error:
        raise OutputError(to, str(error.strerror), remedy="Name a writable place with --focus.") from error


def _tell(report: ImportReport) -> None:
    from drmviz.cloud.reporting import day
    from drmviz.report.money import totals_table
    from drmviz.report.tables import print_tables
    from drmviz.report.wording import clean

    for file in report.files:
        print(clean(f"{file.path}: {file.taken:,} of {file.rows:,} rows"))
        for reason, skipped in file.skipped.items():
            print(clean(f"  skipped {skipped.rows:,}: {reason} (first at {skipped.first})"))
        if file.unread:
            print(clean(f"  not read, for FOCUS names no such column: {', '.join(file.unread)}"))
        if file.instants:
            print(f"  {file.instants:,} end as they begin, so they are in the sums and no worker's")
        for note in file.notes:
            print(clean(f"  {note}"))
    for path, why in report.left_out:
        print(clean(f"{path}: left out, {why}"))
    for each in report.restated:
        said = "as it was" if each.is_the_same else f"{_said(each.before)} before, {_said(each.after)} now"
        print(clean(f"{each.provider} account {each.account}, bill of {day(each.period_start_us)}: replaced, {said}"))
    for note in report.notes:
        print(clean(note))
    if report.totals:
        print_tables([totals_table(report.totals)], sys.stdout)


def _said(totals: Sequence[Any]) -> str:
    from drmviz.report.money import money

    return " and ".join(
        f"{total.charges:,} charges, {money(total.amounts.billed_cost)} {total.currency} billed" for total in totals
    )


def _report_json(report: ImportReport) -> dict[str, Any]:
    from drmviz.cloud.reporting import day
    from drmviz.report.money import amounts_json

    return {
        "files": [
            {
                "path": str(file.path), "rows": file.rows, "taken": file.taken,
                "skipped": [{"reason": why, "rows": n.rows, "first": n.first} for why, n in file.skipped.items()],
                "columns_not_read": list(file.unread), "notes": file.notes,
            }
            for file in report.files
        ],
        "left_out": [{"path": str(path), "reason": why} for path, why in report.left_out],
        "restated": [
            {"provider": each.provider, "account": each.account, "billing_period_start": day(each.period_start_us)}
            for each in report.restated
        ],
        "notes": report.notes,
        "rows": [
            {"provider": t.provider, "currency": t.currency, **amounts_json(t.amounts), "charges": t.charges}
            for t in report.totals
        ],
    }  # fmt: skip

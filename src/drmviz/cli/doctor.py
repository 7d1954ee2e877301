"""`drmviz doctor`: what works on this machine, and what a store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drmviz.cli.arguments import AsJson

if TYPE_CHECKING:
    from drmviz.doctor import Finding

_SIGNS = {"ok": "ok     ", "note": "note   ", "missing": "missing", "wrong": "WRONG  "}


def doctor(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[STORE] [TO]", help="Verify every checksum of this store too."),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Write a new file, TO or NAME.repaired.drmviz, of everything that is whole.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what works here and what a store holds, and bring back what is whole of a damaged one."""
    from drmviz.doctor import Finding, examine_machine, examine_store, repair_store
    from drmviz.errors import StoreError, UsageError

    if repair:
        if not stores or len(stores) > 2:
            raise UsageError("--repair takes a store and, if you like, the new file: drmviz doctor STORE --repair [TO]")
        target, lost = repair_store(stores[0], stores[1] if len(stores) == 2 else None)
        _tell(lost, as_json=as_json, repaired=str(target))
        return
    findings = examine_machine()
    for store in stores or ():
        try:
            findings += examine_store(store)
        except StoreError as error:
            findings.append(Finding(about=str(store), state="wrong", sentence=error.reason))
    _tell(findings, as_json=as_json)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _tell(findings: list[Finding], *, as_json: bool, **more: str) -> None:
    from drmviz.report.wording import clean

    if as_json:
        print(json.dumps({"findings": [finding.as_json() for finding in findings], **more}))
        return
    for finding in findings:
        print(f"{_SIGNS[finding.state]}  {clean(finding.about)}: {clean(finding.sentence)}")

"""`drmviz doctor`: what works on this machine, and what a store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from drmviz.cli.arguments import AsJson

_SIGNS = {"ok": "ok     ", "missing": "missing", "wrong": "WRONG  "}


def doctor(
    stores: Annotated[list[Path] | None, typer.Argument(metavar="[STORE]", help="Look into this store too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what works here and what a store holds."""
    from drmviz.doctor import Finding, examine_machine, examine_store
    from drmviz.errors import StoreError
    from drmviz.report.wording import clean

    findings = examine_machine()
    for store in stores or ():
        try:
            findings += examine_store(store)
        except StoreError as error:
            findings.append(Finding(about=str(store), state="wrong", sentence=error.reason))
    if as_json:
        print(json.dumps({"findings": [finding.as_json() for finding in findings]}))
    else:
        for finding in findings:
            print(f"{_SIGNS[finding.state]}  {clean(finding.about)}: {clean(finding.sentence)}")
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)

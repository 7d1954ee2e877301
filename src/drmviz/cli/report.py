"""`drmviz report`: the one-file report of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drmviz.cli.arguments import Offsets, RunId, Stores, named_stores, offsets_of


def report(
    stores: Stores = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html")] = Path("drmviz-report.html"),
    run_id: RunId = None,
    offset: Offsets = None,
) -> None:
    """Write the one-file HTML report of a run, or of several stores as one."""
    from drmviz.drawing import write_report

    print(write_report(named_stores(stores), output, run_id=run_id, offsets=offsets_of(offset)))

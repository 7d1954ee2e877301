"""`drmviz report`: the one-file report of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drmviz.cli.arguments import RunId, Stores, one_store


def report(
    stores: Stores = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html")] = Path("drmviz-report.html"),
    run_id: RunId = None,
) -> None:
    """Write the one-file HTML report of a run."""
    from drmviz.drawing import write_report

    print(write_report(one_store(stores), output, run_id=run_id))

"""`drmviz decisions`: why the fleet grew or shrank."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from drmviz.cli.arguments import AsJson, Offsets, RunId, Stores, named_stores, offsets_of
from drmviz.cli.saying import say

_NONE = (
    "Nothing decided about the fleet's size in this run. Decisions are recorded where a resource manager is read: "
    "DRMVisualization(manager) in Python, or the simulated one of drmviz demo."
)


def decisions(
    stores: Stores = None,
    run_id: RunId = None,
    every: Annotated[bool, typer.Option("--all", help="List each decision to hold, not runs of them.")] = False,
    offset: Offsets = None,
    as_json: AsJson = False,
) -> None:
    """List scaling decisions with their reasons, and who then joined and left."""
    from drmviz.report.tables import decisions_json, print_tables, tables_of_decisions, tables_of_origins
    from drmviz.store import Stores

    with Stores.open(named_stores(stores), offsets=offsets_of(offset)) as histories:
        if as_json:
            run = histories.read(run_id, metrics=("cpu_ratio",), columns=1)
        else:
            run = histories.read(run_id, metrics=("cpu_ratio", "memory_ratio", "gpu_ratio"))
    if as_json:
        json.dump(decisions_json(run), sys.stdout, ensure_ascii=True, allow_nan=False)
        print()
        return
    print_tables(tables_of_origins(run), sys.stdout)
    for note in run.notes if stores and len(stores) > 1 else ():
        say(note)
    if not run.decisions:
        print("No scaling decision was made in this run." if run.policy.is_known else _NONE)
    print_tables(tables_of_decisions(run, every=every), sys.stdout)

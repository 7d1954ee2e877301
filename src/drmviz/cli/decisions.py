"""`drmviz decisions`: why the fleet grew or shrank."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from drmviz.cli.arguments import AsJson, RunId, Stores, one_store

_NONE = (
    "Nothing decided about the fleet's size in this run. Decisions are recorded where a resource manager is read: "
    "DRMVisualization(manager) in Python, or the simulated one of drmviz demo."
)


def decisions(
    stores: Stores = None,
    run_id: RunId = None,
    every: Annotated[bool, typer.Option("--all", help="List each decision to hold, not runs of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List scaling decisions with their reasons, and who then joined and left."""
    from drmviz.report.tables import decisions_json, print_tables, tables_of_decisions
    from drmviz.store import Store

    with Store.open(one_store(stores)) as store:
        if as_json:
            run = store.read(run_id, metrics=("cpu_ratio",), columns=1)
        else:
            run = store.read(run_id, metrics=("cpu_ratio", "memory_ratio", "gpu_ratio"))
    if as_json:
        json.dump(decisions_json(run), sys.stdout, ensure_ascii=True, allow_nan=False)
        print()
        return
    if not run.decisions:
        print("No scaling decision was made in this run." if run.policy.is_known else _NONE)
    print_tables(tables_of_decisions(run, every=every), sys.stdout)

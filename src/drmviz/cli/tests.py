"""`drmviz tests`: use per test."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from drmviz.cli.arguments import AsJson, RunId, Stores, one_store


def tests(
    stores: Stores = None,
    run_id: RunId = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the slowest and hungriest.")] = 25,
    as_json: AsJson = False,
) -> None:
    """List what each test used, the slowest and hungriest first."""
    from drmviz.report.tables import print_tables, tables_of_tests, tests_json
    from drmviz.store import Store

    with Store.open(one_store(stores)) as store:
        run = store.read(run_id, metrics=("cpu_ratio",), columns=1)
    if as_json:
        json.dump(tests_json(run), sys.stdout, ensure_ascii=True, allow_nan=False)
        print()
    elif not run.tasks:
        print("No tests were recorded in this run.")
    else:
        print_tables(tables_of_tests(run, top=top), sys.stdout)

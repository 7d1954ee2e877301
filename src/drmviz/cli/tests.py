"""`drmviz tests`: use per test."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from drmviz.cli.arguments import AsJson, Offsets, RunId, Stores, named_stores, offsets_of
from drmviz.cli.saying import say


def tests(
    stores: Stores = None,
    run_id: RunId = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the slowest and hungriest.")] = 25,
    offset: Offsets = None,
    as_json: AsJson = False,
) -> None:
    """List what each test used, the slowest and hungriest first."""
    from drmviz.report.tables import print_tables, tables_of_origins, tables_of_tests, tests_json
    from drmviz.store import Stores

    with Stores.open(named_stores(stores), offsets=offsets_of(offset)) as histories:
        run = histories.read(run_id, metrics=("cpu_ratio",), columns=1)
    if as_json:
        json.dump(tests_json(run), sys.stdout, ensure_ascii=True, allow_nan=False)
        print()
        return
    print_tables(tables_of_origins(run), sys.stdout)
    for note in run.notes if stores and len(stores) > 1 else ():
        say(note)
    if not run.tasks:
        print("No tests were recorded in this run.")
    else:
        print_tables(tables_of_tests(run, top=top), sys.stdout)

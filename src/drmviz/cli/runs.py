"""`drmviz runs`: what is recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drmviz.cli.arguments import AsJson, Offsets, Stores, offsets_of
from drmviz.cli.saying import say
from drmviz.configuration import read_settings, recorded_stores, runs_folder
from drmviz.errors import StoreError

if TYPE_CHECKING:
    from drmviz.model.run import Run


def runs(stores: Stores = None, offset: Offsets = None, as_json: AsJson = False) -> None:
    """List what is recorded, in a store or in the data folder."""
    from drmviz.report.tables import print_tables, runs_json, runs_table
    from drmviz.store import Store
    from drmviz.store import Stores as Histories

    configured = read_settings().store
    paths = stores or sorted({*recorded_stores(), *([configured] if configured and configured.exists() else [])})
    offsets = offsets_of(offset)
    moved: dict[Path, float] = {}
    if offsets and paths:
        with Histories.open(paths, offsets=offsets) as histories:
            moved = dict(zip(histories.paths, histories.offsets_s, strict=True))
    found: list[Run] = []
    where: list[str] = []
    for path in dict.fromkeys(paths):
        try:
            own = {str(path.expanduser()): moved.get(path.expanduser(), 0.0)}
            with Store.open(path) as store, Histories.open([path], offsets=own) as history:
                if store.lost:
                    say(f"Store {str(path)!r}: {store.lost}")
                for header in store.runs():
                    found.append(history.read(header.id, metrics=("cpu_ratio",), columns=1, tiers=True))
                    where.append(str(path))
        except StoreError as error:
            if stores:
                raise
            say(str(error))
    if as_json:
        json.dump(runs_json(found, stores=where), sys.stdout, ensure_ascii=True, allow_nan=False)
        print()
    elif found:
        print_tables([runs_table(found, stores=where)], sys.stdout)
    else:
        print(f"Nothing is recorded in {runs_folder()} yet. Record a run with: drmviz run -- COMMAND")

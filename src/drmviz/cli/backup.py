"""`drmviz backup`: a copy of a history while it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backup(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A recorded history; its writer goes on.")],
    to: Annotated[Path, typer.Argument(metavar="TO", help="The new file, or a folder for it.")],
) -> None:
    """Copy a history as it is at this moment, also while it is written."""
    from drmviz.store import back_up

    print(back_up(store, to))

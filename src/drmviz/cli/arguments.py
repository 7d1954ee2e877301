"""Arguments that several verbs share, and how their text becomes values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from drmviz.configuration import newest_store, read_settings
from drmviz.errors import UsageError
from drmviz.model.text import storable

Stores = Annotated[
    list[Path] | None, typer.Argument(metavar="[STORE]", help="A recorded history; the newest one when left out.")
]
RunId = Annotated[
    str | None, typer.Option("--run", metavar="ID", help="Which run of the store; its newest by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_LATEST_S = 1e11


def one_store(stores: list[Path] | None) -> Path:
    """Return the store that was named, else the configured one, else the newest."""
    if stores and len(stores) > 1:
        raise UsageError("Only one STORE can be read at a time for now; name them one after the other.")
    if stores:
        return stores[0]
    return read_settings().store or newest_store()


def moment_s(text: str | None, option: str) -> float | None:
    """Return epoch seconds of an ISO 8601 time (UTC where it names no zone) or of a plain number."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise UsageError(f"{option} {text!r} is neither an ISO 8601 time nor a number of epoch seconds.") from error
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds < _LATEST_S:
        raise UsageError(f"{option} {text!r} lies before 1970 or after the year 5000.")
    return seconds


def labels_of(pairs: list[str] | None) -> dict[str, str]:
    """Return `key=value` pairs as a dictionary."""
    labels = {}
    for pair in pairs or ():
        key, separator, value = pair.partition("=")
        if not key or not separator:
            raise UsageError(f"--label {pair!r} is not of the form key=value.")
        labels[storable(key)] = storable(value)
    return labels

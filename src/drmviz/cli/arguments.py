"""Arguments that several verbs share, and how their text becomes values."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path
from typing import Annotated

import typer

from drmviz.configuration import newest_store, read_settings
from drmviz.errors import UsageError
from drmviz.model.text import storable

Stores = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="A recorded history, or several, which are read as one; the newest one when left out.",
    ),
]
Offsets = Annotated[
    list[str] | None,
    typer.Option(
        "--offset",
        metavar="HOST=S",
        help="Seconds to add to every time of a store, named by its host, file name or path; repeat for more.",
    ),
]
RunId = Annotated[
    str | None, typer.Option("--run", metavar="ID", help="Which run; the newest of each store by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_LATEST_S = 1e11


def named_stores(stores: list[Path] | None) -> list[Path]:
    """Return the stores that were named, else the configured one, else the newest."""
    return stores or [read_settings().store or newest_store()]


def offsets_of(pairs: list[str] | None) -> dict[str, float]:
    """Return `HOST=SECONDS` pairs as a dictionary."""
    offsets: dict[str, float] = {}
    for pair in pairs or ():
        host, separator, text = pair.rpartition("=")
        try:
            seconds = float(text)
        except ValueError:
            seconds = nan
        if not host or not separator or not isfinite(seconds):
            raise UsageError(f"--offset {pair!r} is not of the form HOST=SECONDS, such as ci-2=-3600 or ci-2=0.25.")
        if host in offsets:
            raise UsageError(f"--offset {pair!r} is the second one for {host!r}; give it one.")
        offsets[host] = seconds
    return offsets


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

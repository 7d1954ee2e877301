"""Where a file goes: where it was asked for, or under a name of its own that nobody else has."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from drmviz.errors import OutputError, UsageError
from drmviz.figures.saving import FORMATS, save_bytes
from drmviz.visualization.given import checked_path


def asked_path(output_path: object, *, never: Path, formats: tuple[str, ...] = FORMATS) -> Path:
    """Return where somebody wants a file; `never` is the recorded history itself.

    Raises:
        UsageError: its name ends in none of the formats.
        InvalidValueError: it is no path.
        OutputError: it is a folder, the history, or nothing that there can be.
    """
    path = checked_path("output_path", output_path)
    try:
        is_folder, is_history = path.is_dir(), path.resolve() == never.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise OutputError(path, getattr(error, "strerror", None) or str(error)) from error
    if is_folder:
        raise OutputError(path, "it is a folder; name a file in it")
    if kind_of(path) not in formats:
        endings = ", ".join(f".{known}" for known in formats)
        raise UsageError(f"Cannot write {path.name!r}: the name must end in one of {endings}.")
    if is_history:
        raise OutputError(path, "it is the recorded history itself")
    return path


def kind_of(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def save_new(content: bytes, folder: Path, name: str, kind: str) -> Path:
    """Write `<name>.<kind>`, or `<name>-2.<kind>` and so on where that is taken, and return what it became.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        path = _taken(folder, name, kind)
    except OSError as error:
        raise OutputError(folder / f"{name}.{kind}", error.strerror or str(error)) from error
    try:
        save_bytes(content, path)
    except OutputError:
        path.unlink(missing_ok=True)
        raise
    return path


def _taken(folder: Path, name: str, kind: str) -> Path:
    """Make an empty file under the first name that is free: two that ask at once get two names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = folder / (f"{name}.{kind}" if number == 1 else f"{name}-{number}.{kind}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("there is always a next number")


def stamped(stem: str, at_s: float) -> str:
    """Return the stem with a time in UTC, as file names carry it."""
    return f"{stem}_{datetime.fromtimestamp(at_s, UTC):%Y%m%dT%H%M%SZ}"

"""Which runs of which files are read, each of them once, and what is added to the times of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from drmviz.errors import InvalidValueError
from drmviz.store.clock import times_of
from drmviz.store.connections import rows_of
from drmviz.store.failures import errors_named
from drmviz.store.frames import DamagedFrameError
from drmviz.store.parts import NumberedRun, Part, names_of
from drmviz.store.records import HEADER_COLUMNS, header_of
from drmviz.store.schema import microseconds, sequence_of, tick_id

_MOST_S = 1e10
"""No offset is larger: more than three hundred years."""


def every_run(connection: apsw.Connection) -> list[NumberedRun]:
    """Return all runs of a file by their beginning."""
    return _runs(connection, "ORDER BY started_us, number")


def newest_run(connection: apsw.Connection) -> list[NumberedRun]:
    """Return the run that was begun last; empty where there is none."""
    return _runs(connection, "ORDER BY number DESC LIMIT 1")


def runs_called(connection: apsw.Connection, beginning: str) -> list[NumberedRun]:
    """Return the runs whose ids begin like that."""
    return _runs(connection, "WHERE substr(id, 1, ?) = ? ORDER BY started_us, number", len(beginning), beginning)


def _runs(connection: apsw.Connection, which: str, *values: Any) -> list[NumberedRun]:
    rows = rows_of(connection, f"SELECT number, {HEADER_COLUMNS} FROM run {which}", values)
    return [(row[0], header_of(row[1:])) for row in rows]


def ticks_held(connection: apsw.Connection, run: int) -> int:
    """Return how many ticks of a run the file holds; what was forgotten does not count."""
    blocks = rows_of(
        connection,
        "SELECT first_sequence, sealed, ticks, times FROM block WHERE run = ? AND tiers ORDER BY number",
        (run,),
    )
    if not blocks:
        return 0
    ((newest,),) = rows_of(
        connection, "SELECT max(id) FROM tick WHERE id >= ? AND id < ?", (tick_id(run, 0), tick_id(run + 1, 0))
    )
    first_sequence, sealed, held, times = blocks[-1]
    if not sealed and newest is not None:
        return sequence_of(newest) + 1 - int(blocks[0][0])
    if sealed and held is None:
        try:
            held = times_of(times, first_sequence).shape[1]
        except DamagedFrameError:
            held = 0  # how many they were is not known
    return int(first_sequence) + int(held or 0) - int(blocks[0][0])


def counted_once(parts: Sequence[Part]) -> tuple[list[Part], list[str]]:
    """Return the parts without the runs that another one holds too, and what is to be said of it.

    Of copies of one run that with most ticks is read, of equal ones a finished one, then the first.
    """
    holders: dict[str, list[tuple[int, int]]] = {}
    for place, part in enumerate(parts):
        for number, header in part.runs:
            holders.setdefault(header.id, []).append((place, number))
    notes: list[str] = []
    dropped: set[tuple[int, int]] = set()
    for run_id, held_by in holders.items():
        if len(held_by) == 1:
            continue

        def worth(holder: tuple[int, int]) -> tuple[int, bool, int]:
            place, number = holder
            is_finished = dict(parts[place].runs)[number].ended_at_s is not None
            with errors_named(parts[place].path):
                return ticks_held(parts[place].connection, number), is_finished, -place

        best = max(held_by, key=worth)
        dropped.update(holder for holder in held_by if holder != best)
        others = ", ".join(str(parts[place].path) for place, number in held_by if (place, number) != best)
        notes.append(f"run {run_id} is counted once, from {parts[best[0]].path}: {others} holds it too")
    kept = [
        replace(part, runs=tuple(run for run in part.runs if (place, run[0]) not in dropped))
        for place, part in enumerate(parts)
    ]
    emptied = [bool(part.runs) and not left.runs for part, left in zip(parts, kept, strict=True)]
    return [part for part, is_empty in zip(kept, emptied, strict=True) if not is_empty], notes


def offsets_us(offsets: Mapping[str, float], files: Sequence[tuple[Path, apsw.Connection]]) -> list[int]:
    """Return what is added to the times of each file, in microseconds.

    Args:
        offsets: seconds by the name of a file as `names_of` gives it, its path, its host, or the stem of its name; a
            host stands for all files of that host.
        files: what is read.

    Raises:
        InvalidValueError: no such file, several of them, two offsets for one, or a number that is none.
    """
    if not offsets:
        return [0] * len(files)
    newest = []
    for path, connection in files:
        with errors_named(path):
            newest.append(newest_run(connection))
    hosts = [found[0][1].host if found else "" for found in newest]
    paths = [path for path, _ in files]
    names = names_of(paths, hosts)
    chosen: dict[int, tuple[str, int]] = {}
    for key, seconds in offsets.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) <= _MOST_S:
            raise InvalidValueError("offset", seconds, f"of {key} must be a number of seconds, such as -3600 or 0.25")
        for place in _places(key, names, hosts, paths):
            if place in chosen:
                reason = f"{paths[place]} is given another offset as {chosen[place][0]!r}; give it one"
                raise InvalidValueError("offset", key, reason)
            chosen[place] = key, microseconds(seconds)
    return [chosen[place][1] if place in chosen else 0 for place in range(len(files))]


def _places(key: str, names: Sequence[str], hosts: Sequence[str], paths: Sequence[Path]) -> list[int]:
    of_host = [place for place, host in enumerate(hosts) if host and key == host]
    if of_host:
        return of_host
    for found in (
        [place for place, name in enumerate(names) if key == name],
        [place for place, path in enumerate(paths) if key == str(path)],
        [place for place, path in enumerate(paths) if key in (path.name, path.stem)],
    ):
        if len(found) > 1:
            have = ", ".join(names[place] for place in found)
            raise InvalidValueError("offset", key, f"is what several files are called; they are told apart as {have}")
        if found:
            return found
    have = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise InvalidValueError("offset", key, f"is no host and no file of those that are read; there are {have}")

"""Gathers a window of several runs, of one file or of many, as if it were one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drmviz.model.cloud import CloudUsage
from drmviz.model.run import Origin, RecordingState, RunHeader, TierReach
from drmviz.model.workers import Incarnation, Worker
from drmviz.store.assembling import Asked, Gathered, resized_of
from drmviz.store.failures import errors_named
from drmviz.store.fetching import Fetched, fetch
from drmviz.store.parts import Part
from drmviz.store.reach import reaches, reaches_together
from drmviz.store.records import natural_key, rows_shown
from drmviz.store.schema import TIERS_US
from drmviz.store.spans import Span, lives_in
from drmviz.store.windows import Window, finest_kept, is_whole

_KILLED = "its recorder ended without closing the run: what was acknowledged is here, the end is missing"
_PROCESSES = "no worker was seen in this window, what is shown of it are its {kinds}"
_SPLIT = (
    "of a part of it only buckets of {seconds} s are kept, which with this offset are shown up to {seconds} s early"
)
_LAG_US = 60_000_000
"""Who is still recorded, and whose newest tick is no older than this, is taken to live on until the window ends."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What several runs have in a window."""

    header: RunHeader
    gathered: Gathered | None
    """None where nothing was ever measured."""
    origins: tuple[Origin, ...]
    notes: tuple[str, ...]
    tiers: tuple[TierReach, ...] = ()


def joined(parts: Sequence[Part], asked: Asked) -> Joined:
    """Fetch a window of the runs of these parts; each file is in a read transaction already."""
    spans: list[Span] = []
    for part in parts:
        with errors_named(part.path):
            found = (Span.of(part, run, header) for run, header in part.runs)
            spans += [span for span in found if span is not None]
    origins = tuple(_origin(part, spans) for part in parts)
    if len(parts) == 1 and parts[0].stays_as_it_is:
        origins = ()
    header = _header(parts, spans)
    notes = [part.note("it holds no run yet") for part in parts if not part.runs]
    if not spans:
        notes += [part.note(part.lost) for part in parts if part.lost]
        return Joined(header, None, origins, tuple(notes))
    gathered, more = _gathered(parts, spans, header, asked)
    return Joined(header, gathered, origins, (*notes, *more), _tiers(parts) if asked.tiers else ())


def _tiers(parts: Sequence[Part]) -> tuple[TierReach, ...]:
    found: list[tuple[TierReach, int]] = []
    for part in parts:
        with errors_named(part.path):
            found += [(each, part.offset_us) for run, _ in part.runs for each in reaches(part.connection, run)]
    return reaches_together(found)


def _gathered(parts: Sequence[Part], spans: list[Span], header: RunHeader, asked: Asked) -> tuple[Gathered, list[str]]:
    window = Window.over(spans, asked.start_s, asked.end_s, at_most=asked.columns)
    last_us = max(span.end_us for span in spans)
    alone = sum(len(part.runs) for part in parts) == 1
    spans = [span for span in spans if window.touches(span)] or spans[-1:]
    over = [_is_over(span, last_us, among=len(parts)) for span in spans]
    columns = window.columns
    lives = lives_in(spans, over, columns.first_us, columns.end_us, alone=alone, workers=asked.workers)
    shown, notes = _shown(parts, spans, lives, asked)
    row_by_id = {worker.id: row for row, worker in enumerate(shown)}
    found = []
    for span, of_run in zip(spans, lives, strict=True):
        row_of = {n: row_by_id[life.id] for n, life in of_run.items() if life.id in row_by_id}
        fetched = _fetched(span, window, row_of, asked)
        fetched.resized = resized_of(shown, of_run.items())
        if span.header.ended_at_s is None and not (span.is_newest and span.part.is_being_written):
            fetched.notes.append(span.part.note(_KILLED))
        if span.part.lost and span.run == span.part.newest[0]:
            fetched.notes.append(span.part.note(span.part.lost))
        found.append(fetched)
    told = [{usage.provider for usage in fetched.cloud} for fetched in found]
    for span, is_over, fetched, providers in zip(spans, over, found, told, strict=True):
        if is_over:
            going_on = (names for other, names in zip(spans, told, strict=True) if other.goes_on_after(span))
            fetched.cloud += _unseen_after(span, providers.difference(*going_on))
    return Gathered(header, window, shown, found), notes


def _is_over(span: Span, last_us: int, *, among: int) -> bool:
    """Tell whether nothing is known of a run after its end although the recording as a whole may go on."""
    if not span.is_newest:
        return True
    if among == 1:
        return False
    allowed_us = _LAG_US if span.part.is_being_written and span.header.ended_at_s is None else 0
    return last_us - span.end_us > allowed_us


def _shown(
    parts: Sequence[Part], spans: Sequence[Span], lives: Sequence[dict[int, Incarnation]], asked: Asked
) -> tuple[tuple[Worker, ...], list[str]]:
    """Return the rows, and what is to be said of a file of which they are no workers while others have some."""
    if asked.workers is not None or len(parts) == 1:
        everybody = [life for of_run in lives for life in of_run.values()]
        return rows_shown(everybody, asked.kinds, asked.workers), []
    shown: list[Worker] = []
    kinds_of: dict[str, set[str]] = {}
    for part in parts:
        its = [life for span, of_run in zip(spans, lives, strict=True) if span.part is part for life in of_run.values()]
        rows = rows_shown(its, asked.kinds, None)
        shown += rows
        kinds_of[part.name] = {worker.kind for worker in rows}
    has_workers = asked.kinds is None and any("worker" in kinds for kinds in kinds_of.values())
    notes = [
        f"{name}: {_PROCESSES.format(kinds='processes' if kinds == {'process'} else 'other entries')}"
        for name, kinds in kinds_of.items()
        if has_workers and kinds and "worker" not in kinds
    ]
    return tuple(sorted(shown, key=lambda worker: natural_key(worker.id))), notes


def _fetched(span: Span, window: Window, row_of: dict[int, int], asked: Asked) -> Fetched:
    """Return what the run has in the window, on the common clock and with the names that all files share."""
    part = span.part
    own = None
    if asked.workers is not None:
        own = [id_ for worker in asked.workers for id_ in part.own(worker)]
    local = window.moved(-part.offset_us)
    with errors_named(part.path):
        found = fetch(part.connection, span, local, (*asked.metrics, *asked.means), asked.statistics, row_of, own)
        kept_us = TIERS_US[finest_kept(span, window.columns)] if part.offset_us else 0
    if part.stays_as_it_is:
        return found
    if not is_whole(part.offset_us, kept_us):
        found.notes.append(_SPLIT.format(seconds=kept_us // 1_000_000))
    found.name = part.name
    found.pieces = [replace(piece, at_us=piece.at_us + part.offset_us) for piece in found.pieces]
    found.decisions = tuple(part.decision(decision) for decision in found.decisions)
    found.tasks = tuple(part.task(task) for task in found.tasks)
    found.cloud = tuple(part.usage(usage) for usage in found.cloud)
    found.notes = [part.note(sentence) for sentence in found.notes]
    return found


def _unseen_after(span: Span, providers: Iterable[str]) -> tuple[CloudUsage, ...]:
    """Return that nothing is known of these providers from the end of a run on."""
    return tuple(
        CloudUsage(at_s=span.end_us / 1e6, provider=provider, problem="nothing was recorded")
        for provider in sorted(providers)
    )


def _origin(part: Part, spans: Sequence[Span]) -> Origin:
    its = [span for span in spans if span.part is part]
    newest = part.newest[1] if part.runs else None
    state: RecordingState = "cut off"
    if not its:
        state = "empty"
    elif newest is not None and newest.ended_at_s is not None:
        state = "finished"
    elif part.is_being_written:
        state = "being written"
    return Origin(
        name=part.name,
        store=str(part.path),
        host="" if newest is None else newest.host,
        run_ids=tuple(header.id for _, header in part.runs),
        offset_s=part.offset_us / 1e6,
        first_s=min((span.first_us for span in its), default=0) / 1e6 if its else None,
        end_s=max((span.end_us for span in its), default=0) / 1e6 if its else None,
        state=state,
        exit_code=None if newest is None else newest.facts.get("exit_code"),
    )


def _header(parts: Sequence[Part], spans: Sequence[Span]) -> RunHeader:
    """Return the newest header of one file, or what those of several have in common, from first to last."""
    newest = [part.header(part.newest[1]) for part in parts if part.runs]
    started_s = min(part.moment_s(header.started_at_s) for part in parts for _, header in part.runs)
    header = newest[0] if len(newest) == 1 else _in_common(newest)
    if len(parts) > 1 or not parts[0].stays_as_it_is:
        header = replace(header, title=_title(header.title, parts))
    if any(each.ended_at_s is None for each in newest):
        return replace(header, started_at_s=started_s, ended_at_s=None)
    ends_s = [span.end_us / 1e6 if span.header.ended_at_s is None else span.header.ended_at_s for span in spans]
    ended_s = max([*ends_s, *(each.ended_at_s for each in newest if each.ended_at_s is not None)])
    return replace(header, started_at_s=started_s, ended_at_s=ended_s)


_VERSIONS = frozenset({"python", "pytest", "xdist", "drmviz"})


def _in_common(headers: Sequence[RunHeader]) -> RunHeader:
    """Return what all of them say; of versions all there are."""
    first = headers[0]
    facts: dict[str, Any] = {}
    for key in dict.fromkeys(key for header in headers for key in header.facts):
        stated = [header.facts[key] for header in headers if key in header.facts]
        if len(stated) == len(headers) and all(value == stated[0] for value in stated):
            facts[key] = stated[0]
        elif key in _VERSIONS:
            facts[key] = ", ".join(sorted({str(value) for value in stated}, key=natural_key))
    return RunHeader(
        id=", ".join(header.id for header in headers),
        title=_same([header.title for header in headers]),
        started_at_s=first.started_at_s,
        interval_s=max(header.interval_s for header in headers),
        source=_same([header.source for header in headers]),
        host=", ".join(dict.fromkeys(header.host for header in headers if header.host)),
        labels={
            key: value
            for key, value in first.labels.items()
            if all(header.labels.get(key) == value for header in headers)
        },
        facts=facts,
    )


def _same(texts: Sequence[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else ""


_TITLE_LETTERS = 64
"""As many as pictures draw of a title."""


def _title(common: str, parts: Sequence[Part]) -> str:
    """Say how many recordings these are and whose times were moved: the title is what every picture shows."""
    moved = [part for part in parts if part.offset_us]
    many = f"{len(parts)} recordings" if len(parts) > 1 else ""
    if not moved:
        clock = "recorded wall time"
    elif len(parts) == 1:
        clock = f"offset {parts[0].offset_us / 1e6:+.6g} s"
    else:
        clock = "offset " + ", ".join(f"{part.name} {part.offset_us / 1e6:+.6g} s" for part in moved)
        if len(many) + len(clock) + 2 > _TITLE_LETTERS:
            clock = f"{len(moved)} of them with an offset"
    said = ", ".join(text for text in (many, clock) if text)
    room = _TITLE_LETTERS - len(said) - 2
    if not common or room < min(len(common), 12):
        return said
    return f"{said}: {common}" if len(common) <= room else f"{said}: {common[: room - 1]}…"

"""Sources recorded until somebody says that it is over."""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drmviz import __version__
from drmviz.collector import Collector
from drmviz.errors import StoreError
from drmviz.live import Hub
from drmviz.recorder.news import StoreNews
from drmviz.recorder.underway import Begun, Underway
from drmviz.sources.base import Source
from drmviz.store import Writer
from drmviz.system import Clock

_PATIENCE_S = 1.5
_CLOSING_S = 1.0

Wait = Callable[[float], bool]
"""Lets so many seconds pass and tells whether it is to be over."""
Tell = Callable[[str], None]
"""Takes a line for the person at the terminal, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """What is recorded, and where it goes."""

    store: Path
    title: str
    interval_s: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of it."""

    store: Path
    ticks: int
    workers: int
    """How many there were at the end."""
    remarks: tuple[str, ...] = ()


def watch(
    sources: Sequence[Source],
    plan: WatchPlan,
    *,
    clock: Clock,
    wait: Wait,
    begun: Begun | None = None,
    tell: Tell | None = None,
) -> Watched:
    """Record until `wait` says that it is over; the file is closed in any case.

    `tell` gets one line whenever the disk begins to refuse ticks or takes them again.

    Raises:
        StoreError: the store cannot be written.
    """
    unfinished: list[str] = []
    with Writer.open(plan.store) as writer:
        started_at_s, started_monotonic_s = clock.wall_s(), clock.monotonic_s()
        recording = writer.begin(
            title=plan.title,
            started_at_s=started_at_s,
            interval_s=plan.interval_s,
            source=", ".join(source.name for source in sources),
            host=socket.gethostname(),
            labels=plan.labels,
            facts={"drmviz": __version__, "python": platform.python_version()},
            run_id=plan.run_id,
        )
        hub = None if begun is None else Hub(recording.header)
        collector = Collector(
            sources,
            recording,
            clock=clock,
            started_at_s=started_at_s,
            started_monotonic_s=started_monotonic_s,
            interval_s=plan.interval_s,
            patience_s=min(plan.interval_s * 0.8, _PATIENCE_S),
            listeners=() if hub is None else (hub.add,),
        )
        news, workers = StoreNews(collector), 0
        try:
            if begun is not None and hub is not None:
                begun(Underway(store=writer.path, hub=hub, statuses=lambda: collector.statuses))
            is_over = False
            while not is_over:
                tick = collector.tick()
                workers = sum(life.entry.kind == "worker" for life in tick.roster.incarnations)
                if tell is not None and (line := news.line()) is not None:
                    tell(line)
                is_over = wait(collector.seconds_to_next_tick())
        finally:
            statuses = collector.statuses
            stuck = collector.close(_CLOSING_S)
            try:
                recording.finish(collector.now_s())
            except StoreError as error:
                unfinished.append(str(error))
        said = writer.close()
    remarks = [f"{name}: {status}" for name, status in statuses.items() if status.state != "OK"]
    remarks += [f"{name}: its last call has not returned" for name in stuck]
    remarks += [f"store: {loss}" for loss in collector.losses()]
    return Watched(
        store=writer.path,
        ticks=recording.ticks,
        workers=workers,
        remarks=(*remarks, *unfinished, *([said] if said else [])),
    )

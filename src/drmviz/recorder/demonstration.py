"""A simulated fleet, recorded by the same loop and into the same kind of file as a real one."""

from __future__ import annotations

import platform
import shlex
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drmviz import __version__
from drmviz.collector import Collector
from drmviz.errors import StoreError
from drmviz.live import Hub
from drmviz.recorder.news import StoreNews
from drmviz.recorder.underway import Begun, Underway
from drmviz.simulation import SimulatedFleet
from drmviz.sources.simulated_fleet import SimulatedFleetSource
from drmviz.store import Writer
from drmviz.system import Clock

_ROUNDING_S = 1e-6
_PATIENCE_S = 60.0
"""How long a tick waits for the fleet: it computes, and nothing of it is remote."""

Wait = Callable[[float], bool]
"""Lets so many seconds pass and tells whether it is to be over."""
Show = Callable[[SimulatedFleet], None]
Tell = Callable[[str], None]
"""Takes a line for the person at the terminal, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What is to be shown, and where it goes."""

    store: Path
    workers: int = 20
    duration_s: float = 1200.0
    interval_s: float = 1.0
    seed: int = 7
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrated:
    """What came of it."""

    store: Path
    run_id: str
    ticks: int
    workers: int
    """How many there were at the end."""
    tests: int
    remarks: tuple[str, ...] = ()


def demonstrate(
    plan: Demonstration,
    *,
    clock: Clock,
    wait: Wait,
    show: Show | None = None,
    tell: Tell | None = None,
    begun: Begun | None = None,
) -> Demonstrated:
    """Record a fleet that begins now, until its time is over or `wait` says so; the file is closed in any case.

    `tell` gets one line whenever the disk begins to refuse ticks or takes them again.

    Raises:
        InvalidValueError: there is no such fleet; nothing was recorded.
        StoreError: the store cannot be written.
    """
    fleet = SimulatedFleet(plan.workers, seed=plan.seed, clock=clock)
    started_at_s, started_monotonic_s = clock.wall_s(), clock.monotonic_s()
    source = SimulatedFleetSource(fleet)
    with Writer.open(plan.store) as writer:
        recording = writer.begin(
            title=shlex.join(["drmviz", "demo", "--workers", str(plan.workers), "--seed", str(plan.seed)]),
            started_at_s=started_at_s,
            interval_s=plan.interval_s,
            source=source.name,
            host=socket.gethostname(),
            labels=plan.labels,
            facts={
                "drmviz": __version__,
                "python": platform.python_version(),
                "scaling_policy": source.policy().facts(),
                "seed": plan.seed,
            },
            run_id=plan.run_id,
        )
        hub = None if begun is None else Hub(recording.header)
        collector = Collector(
            [source],
            recording,
            clock=clock,
            started_at_s=started_at_s,
            started_monotonic_s=started_monotonic_s,
            interval_s=plan.interval_s,
            patience_s=_PATIENCE_S,
            listeners=() if hub is None else (hub.add,),
        )
        news = StoreNews(collector)
        unfinished: list[str] = []
        ends_at_s = started_at_s + plan.duration_s
        try:
            if begun is not None and hub is not None:
                begun(Underway(store=writer.path, hub=hub, statuses=lambda: collector.statuses))
            is_over = False
            while not is_over:
                collector.tick()
                if tell is not None and (line := news.line()) is not None:
                    tell(line)
                if show is not None:
                    show(fleet)
                next_at_s = min(collector.now_s() + collector.seconds_to_next_tick(), ends_at_s)
                is_over = (
                    _pass_the_time(fleet, collector, next_at_s, wait) or collector.now_s() >= ends_at_s - _ROUNDING_S
                )
        finally:
            statuses = collector.statuses
            collector.close()
            try:
                recording.finish(collector.now_s())
            except StoreError as error:
                unfinished.append(str(error))
        said = writer.close()
    remarks = [f"{name}: {status}" for name, status in statuses.items() if status.state != "OK"]
    remarks += [f"store: {loss}" for loss in collector.losses()]
    return Demonstrated(
        store=writer.path,
        run_id=plan.run_id,
        ticks=recording.ticks,
        workers=len(fleet.workers),
        tests=fleet.tests_ended,
        remarks=(*remarks, *unfinished, *([said] if said else [])),
    )


def _pass_the_time(fleet: SimulatedFleet, collector: Collector, until_s: float, wait: Wait) -> bool:
    """Wait until then, the fleet living each second however seldom it is recorded; tell whether it is to be over."""
    while (left_s := until_s - collector.now_s()) > _ROUNDING_S:
        if wait(min(left_s, 1.0)):
            return True
        if left_s > 1.0:
            fleet.advance()
    return False

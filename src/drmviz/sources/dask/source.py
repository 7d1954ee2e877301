"""A Dask cluster that somebody runs, watched from outside."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.samples import Reading
from drmviz.sources.dask.events import LOST, Passers, changes_between, worker_events
from drmviz.sources.dask.link import Answer, SchedulerLink, address_of
from drmviz.sources.dask.sentences import wish_of
from drmviz.sources.dask.workers import Life, Load, WorkersReader
from drmviz.system import Clock, SystemClock


class DaskSource:
    """Reads all workers of a Dask scheduler, who came and went and why, and how many workers it has work for.

    It needs nothing but the address: it owns no worker, starts none, and is no client whose leaving ends anything.
    """

    name = "dask"

    def __init__(
        self,
        scheduler: Any,
        *,
        security: Any = None,
        looks_inside: bool = False,
        tells_wishes: bool = True,
        patience_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        """`scheduler` is an address (`dask://HOST:PORT`, `tcp://`, `tls://`), or a synchronous Client or cluster.

        `looks_inside` runs a function of ours in the scheduler at each reading, which tells how many tasks are queued
        there; without it that is not known. `tells_wishes` turns each change of the number of workers that it has
        work for into a scaling decision.

        Raises:
            InvalidValueError: it is none of these, or an asynchronous one.
            MissingExtraError: distributed is not installed.
        """
        address, security = _reached(scheduler, security)
        self._link = SchedulerLink(
            address,
            clock=SystemClock() if clock is None else clock,
            security=security,
            looks_inside=looks_inside,
            patience_s=patience_s,
        )
        weakref.finalize(self, self._link.close)  # who watches until the end of a process seldom closes
        self._tells_wishes = tells_wishes
        self._workers = WorkersReader()
        self._passers = Passers()
        self._scheduler_id: str | None = None
        self._read_at_s = 0.0
        self._wish: ScalingDecision | None = None

    @property
    def address(self) -> str:
        return self._link.address

    @property
    def load(self) -> Load:
        """What all workers together did at the last reading."""
        return self._workers.load

    def read(self, now_s: float) -> Reading:
        before, before_id = self._workers.lives, self._scheduler_id
        known = None if before_id is None else frozenset(life.address for life in before.values())
        answer = self._link.ask(known)
        reading = self._workers.read(answer.workers, taken_at_s=now_s)
        if answer.backlog is not None:
            waiting = answer.backlog.queued + answer.backlog.unrunnable
            self._workers.load = replace(self._workers.load, queued=waiting)
        changes = self._changes(before, answer, now_s)
        self._scheduler_id, self._read_at_s = answer.scheduler_id, now_s
        return replace(reading, changes=changes, decisions=self._wishes(answer, now_s))

    def _changes(self, before: Mapping[str, Life], answer: Answer, now_s: float) -> tuple[FleetChange, ...]:
        """Return who came and went since the last reading; all that are gone with their scheduler are lost."""
        if answer.events is None:
            return ()
        now, since_s = self._workers.lives, self._read_at_s
        events = worker_events(answer.events)
        addresses = {life.address for life in (*before.values(), *now.values())}
        passing = self._passers.new_ones(events, addresses, since_s=since_s, now_s=now_s)
        if self._scheduler_id is None:
            return ()
        otherwise = None if answer.scheduler_id == self._scheduler_id else LOST
        return (*changes_between(before, now, events, since_s=since_s, now_s=now_s, otherwise=otherwise), *passing)

    def close(self) -> None:
        """Hang up; the next reading connects again."""
        self._link.close()

    def _wishes(self, answer: Answer, now_s: float) -> tuple[ScalingDecision, ...]:
        """Return the wish of the scheduler if it is another one than the last."""
        if not self._tells_wishes or answer.desired is None:
            return ()
        wish = wish_of(answer.desired, self.load, decided_at_s=now_s)
        if self._wish is not None and _is_about_the_same(wish, self._wish):
            return ()
        self._wish = wish
        return (wish,)


def _is_about_the_same(wish: ScalingDecision, last: ScalingDecision) -> bool:
    """Tell whether it leads to the same, for less than twice and more than half as many: no load is quite still."""
    wanted, before = wish.value or 0.0, last.value or 0.0
    is_near = before / 2 < wanted < before * 2 or wanted == before
    return wish.action == last.action and (is_near or wish.action == "maintain")


def _reached(scheduler: Any, security: Any) -> tuple[str, Any]:
    """Return the address and the credentials by which a scheduler is reached."""
    if isinstance(scheduler, str):
        return address_of(scheduler), security
    if getattr(scheduler, "asynchronous", False):
        raise InvalidValueError(
            "scheduler",
            scheduler,
            "is asynchronous: its connections belong to an event loop that is not ours. Hand in its address instead,"
            " as DaskSource(client.scheduler.address)",
        )
    address = getattr(getattr(scheduler, "scheduler", None), "address", None) or getattr(
        scheduler, "scheduler_address", None
    )
    return address_of(address if address else scheduler), security or getattr(scheduler, "security", None)

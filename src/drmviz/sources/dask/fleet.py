"""A Dask cluster of one's own: watched, and scaled by Dask or by a DynamicResourceManager, with every decision told."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.manager import DynamicResourceManager
from drmviz.model.decisions import FleetChange, ScalingDecision, ScalingPolicy
from drmviz.model.samples import Reading
from drmviz.sources.dask.carrying import ManagedWorkers
from drmviz.sources.dask.events import ASKED_FOR, LOST
from drmviz.sources.dask.source import DaskSource
from drmviz.system import Clock, SystemClock

_MOST_DECISIONS = 100_000
"""Decisions that wait to be read; of more, the last. A day of evaluations, one a second."""


class DaskFleet:
    """A source like `DaskSource`, for who owns the cluster: it knows who decides, and can let decisions be carried out.

    `adapt()` lets Dask decide, `follow(manager)` a manager; the last one called counts.
    """

    name = "dask"

    def __init__(self, cluster: Any, *, clock: Clock | None = None) -> None:
        """`cluster` is a synchronous cluster of Dask, such as a `LocalCluster`.

        Raises:
            InvalidValueError: it is none, or an asynchronous one.
            MissingExtraError: distributed is not installed.
        """
        if not callable(getattr(cluster, "adapt", None)) or not hasattr(cluster, "scheduler_address"):
            raise InvalidValueError(
                "cluster", cluster, "must be a Dask cluster, such as LocalCluster(); for an address take DaskSource"
            )
        self.clock: Clock = SystemClock() if clock is None else clock
        self._cluster = cluster
        self._source = DaskSource(cluster, looks_inside=True, clock=self.clock)
        self._decisions: deque[ScalingDecision] = deque(maxlen=_MOST_DECISIONS)
        self._lock = threading.Lock()
        self._awaited = 0
        self._adaptive: Any = None
        self._carried: ManagedWorkers | None = None
        self._policy = ScalingPolicy()

    @property
    def address(self) -> str:
        return self._source.address

    def adapt(self, **options: Any) -> Any:
        """Let Dask scale the cluster by its own rules, as `cluster.adapt(**options)`; return its Adaptive."""
        from drmviz.sources.dask.adaptive import recording

        self._adaptive = self._cluster.adapt(Adaptive=recording(self._tell, self.clock), **options)
        self._policy = _policy_of(self._adaptive)
        return self._adaptive

    def follow(self, manager: DynamicResourceManager, *, interval: Any = "1s") -> Any:
        """Let `manager` decide and Dask carry it out, evaluated every `interval`; return the Adaptive that does it.

        The workers are registered with the manager under their ids here; it needs no other registration.

        Raises:
            InvalidValueError: it is no DynamicResourceManager.
        """
        if not isinstance(manager, DynamicResourceManager):
            raise InvalidValueError("manager", manager, "must be a DynamicResourceManager")
        from drmviz.sources.dask.adaptive import managed

        if self._carried is None or self._carried.manager is not manager:
            self._carried = ManagedWorkers(manager)  # kept: the manager knows these workers when it is followed again
        most = math.inf if manager.max_workers is None else manager.max_workers
        self._adaptive = self._cluster.adapt(
            Adaptive=managed(self._carried, self._tell, self.clock),
            interval=interval,
            minimum=manager.min_workers,
            maximum=most,
        )
        self._policy = manager.policy
        return self._adaptive

    def policy(self) -> ScalingPolicy:
        """Return what the cluster is scaled by, as far as it is known."""
        return self._policy

    def read(self, now_s: float) -> Reading:
        reading = self._source.read(now_s)
        with self._lock:
            decided = tuple(self._decisions)
            self._decisions.clear()
        if self._adaptive is None:  # nobody decides: what the load asks for is all there is
            decided = reading.decisions
        return replace(reading, decisions=decided, changes=tuple(self._explained(reading.changes)))

    def close(self) -> None:
        """Stop deciding and hang up; the cluster stays as it is."""
        adaptive, self._adaptive = self._adaptive, None
        if adaptive is not None:
            self._cluster.loop.add_callback(adaptive.stop, reason="closed")
        self._source.close()

    def _tell(self, decision: ScalingDecision) -> None:
        with self._lock:
            self._decisions.append(decision)
            if decision.action == "scale_up":
                self._awaited += decision.count

    def _explained(self, changes: Iterable[FleetChange]) -> Iterable[FleetChange]:
        """Add what only an owner knows: who was awaited, and who is missing because nobody wants it any more."""
        planned = {str(name) for name in getattr(self._cluster, "worker_spec", ())}
        for change in changes:
            if change.change == "joined" and self._awaited > 0:
                self._awaited -= 1
                yield replace(change, why=ASKED_FOR)
            elif change.why == LOST and planned and change.worker not in planned:
                yield replace(change, why=ASKED_FOR)
            else:
                yield change


def _policy_of(adaptive: Any) -> ScalingPolicy:
    stated = {"min_workers": adaptive.minimum, "max_workers": adaptive.maximum}
    return ScalingPolicy.of({name: value for name, value in stated.items() if value != math.inf})

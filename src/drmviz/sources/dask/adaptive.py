"""Dask's own Adaptive, made to say what it decides and why; and one that a DynamicResourceManager decides for.

Importing this needs distributed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from distributed import Adaptive

from drmviz.errors import ManagerClosedError
from drmviz.model.decisions import ScalingDecision
from drmviz.model.samples import Reading
from drmviz.sources.dask.carrying import ManagedWorkers
from drmviz.sources.dask.link import asked
from drmviz.sources.dask.sentences import adaptive_decision
from drmviz.sources.dask.workers import WorkersReader
from drmviz.system import Clock

Teller = Callable[[ScalingDecision], None]


async def _looked(remote: Any, workers: WorkersReader, now_s: float) -> Reading:
    answer = await asked(remote, frozenset(life.address for life in workers.lives.values()), looks_inside=True)
    reading = workers.read(answer.workers, taken_at_s=now_s)
    if answer.backlog is not None:
        workers.load = replace(workers.load, queued=answer.backlog.queued + answer.backlog.unrunnable)
    return reading


class RecordingAdaptive(Adaptive):
    """Decides as Dask's Adaptive does, and tells each evaluation, those that change nothing included."""

    tell: Teller
    clock: Clock

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._seen = WorkersReader()
        self._wanted = 0
        super().__init__(*arguments, **options)

    async def target(self) -> int:
        self._wanted = int(await super().target())
        return self._wanted

    async def recommendations(self, target: int) -> dict[str, Any]:
        recommended: dict[str, Any] = await super().recommendations(target)
        planned = len(self.plan)
        now_s = self.clock.wall_s()
        await _looked(self.scheduler, self._seen, now_s)
        interval_s = float(self.interval or 0.0)
        waited = max(self.close_counts.values(), default=0)
        self.tell(
            adaptive_decision(
                wanted=self._wanted,
                target=target,
                planned=planned,
                status=recommended["status"],
                leaving=[str(name) for name in recommended.get("workers", ())],
                load=self._seen.load,
                decided_at_s=now_s,
                wait_s=self.wait_count * interval_s,
                remaining_s=(self.wait_count - waited) * interval_s if waited else None,
            )
        )
        return recommended


class ManagedAdaptive(Adaptive):
    """Carries out what a DynamicResourceManager decides; what Dask would do plays no part.

    At each evaluation the manager is told who is there, what they use, which threads tasks hold and how many tasks
    wait for one.
    """

    tell: Teller
    clock: Clock
    carried: ManagedWorkers

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._seen = WorkersReader()
        self._decision: ScalingDecision | None = None
        super().__init__(*arguments, **options)

    async def target(self) -> int:
        return len(self.plan)

    async def recommendations(self, target: int) -> dict[str, Any]:
        if len(self.plan) != len(self.requested):
            await self.cluster
        self._decision = None
        reading = await _looked(self.scheduler, self._seen, self.clock.wall_s())
        try:
            self.carried.follow(self._seen.lives, reading, self._seen.load)
            decision = self.carried.manager.evaluate_scaling()
        except ManagerClosedError:
            self.stop(reason="its manager was closed")
            return {"status": "same"}
        self.tell(decision)
        if not decision.count:
            return {"status": "same"}
        self._decision = decision
        if decision.action == "scale_up":
            return {"status": "up", "n": max(len(self.plan), decision.count + len(self._seen.lives))}
        names = self.carried.names_of(decision, self._seen.lives)
        if not names:
            self._give_up("none of these workers is one of the cluster")
            return {"status": "same"}
        return {"status": "down", "workers": names}

    async def scale_up(self, n: int) -> None:
        try:
            await super().scale_up(n)
        except BaseException as error:
            self._give_up(f"the cluster could not start them ({type(error).__name__}: {error})"[:200])
            raise

    async def scale_down(self, workers: Any) -> None:
        try:
            await super().scale_down(workers)
        except BaseException as error:
            self._give_up(f"the cluster could not retire them ({type(error).__name__}: {error})"[:200])
            raise

    def _give_up(self, why: str) -> None:
        """Tell the manager that its decision was not carried out, so that its cooldown is lifted."""
        decision, self._decision = self._decision, None
        if decision is not None:
            self.tell(self.carried.manager.cancel_scaling(decision, why=why))


def recording(tell: Teller, clock: Clock) -> type[RecordingAdaptive]:
    """Return a class for `cluster.adapt(Adaptive=...)`, which keeps its options for the next one: so none is added."""
    return type("RecordingAdaptive", (RecordingAdaptive,), {"tell": staticmethod(tell), "clock": clock})


def managed(carried: ManagedWorkers, tell: Teller, clock: Clock) -> type[ManagedAdaptive]:
    """Return a class for `cluster.adapt(Adaptive=...)` that the manager of these workers decides for."""
    return type("ManagedAdaptive", (ManagedAdaptive,), {"tell": staticmethod(tell), "clock": clock, "carried": carried})

"""The manager: who is there, who holds what, how busy it all is, and whether the fleet should grow or shrink."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Literal

from drmviz.errors import InvalidValueError, ManagerClosedError
from drmviz.manager.capacities import Demand, read_capacity, read_demand
from drmviz.manager.fleet import Fleet
from drmviz.manager.fleet_view import ScalingRules
from drmviz.manager.numbered_log import NumberedLog
from drmviz.manager.prediction import Predictor, read_execution, read_task
from drmviz.manager.replay import Event
from drmviz.manager.reservations import Reservation
from drmviz.manager.scaling import Scaling
from drmviz.manager.snapshot import FleetSnapshot
from drmviz.manager.usage import read_usage
from drmviz.manager.values import checked_labels, checked_name, checked_seconds
from drmviz.model.decisions import FleetChange, ScalingDecision, ScalingPolicy
from drmviz.model.resources import WorkerCapacity
from drmviz.system import Clock, SystemClock

Resources = WorkerCapacity | Mapping[str, Any]


class DynamicResourceManager:
    """Grants what workers have to tasks, and says when the fleet is too small or too large; it starts nothing itself.

    Every method may be called from any thread. There is no thread of its own: what is due by the clock is done when
    somebody calls. Wrong input raises an error that names it, and then nothing is changed. Leaving it as a context
    manager is `cleanup()`.
    """

    def __init__(
        self,
        target_utilization: float = 0.7,
        scale_up_threshold: float = 0.8,
        scale_down_threshold: float = 0.3,
        evaluation_window: float = 300,
        scale_up_cooldown: float = 300,
        scale_down_cooldown: float = 600,
        *,
        min_workers: int = 1,
        max_workers: int | None = None,
        clock: Clock | None = None,
        stale_after_s: float | None = None,
        keep_log: bool = False,
    ) -> None:
        """Thresholds are ratios, 0 < down < target < up <= 1; window and cooldowns are seconds.

        `stale_after_s` is how long a measurement says something: half the window, at least 30 s, when None.
        `keep_log` keeps every change for `log()`, without a bound.
        """
        self._rules = ScalingRules(
            target_utilization=target_utilization,
            scale_up_threshold=scale_up_threshold,
            scale_down_threshold=scale_down_threshold,
            evaluation_window_s=evaluation_window,
            scale_up_cooldown_s=scale_up_cooldown,
            scale_down_cooldown_s=scale_down_cooldown,
            min_workers=min_workers,
            max_workers=max_workers,
        )
        stale_after_s = max(evaluation_window / 2, 30.0) if stale_after_s is None else stale_after_s
        self._clock = SystemClock() if clock is None else clock
        self._fleet = Fleet(
            self._clock,
            window_s=evaluation_window,
            stale_after_s=checked_seconds("stale_after_s", stale_after_s),
            keep_log=keep_log,
        )
        self._scaling = Scaling(self._rules, self._fleet)
        self._predictor = Predictor()
        self._changes = NumberedLog[FleetChange]()
        self._is_closed = False
        self._lock: AbstractContextManager[Any] = threading.Lock()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def policy(self) -> ScalingPolicy:
        """All that it was made with, as a run keeps it."""
        return self._rules.policy

    @property
    def target_utilization(self) -> float:
        return self._rules.target_utilization

    @property
    def scale_up_threshold(self) -> float:
        return self._rules.scale_up_threshold

    @property
    def scale_down_threshold(self) -> float:
        return self._rules.scale_down_threshold

    @property
    def min_workers(self) -> int:
        return self._rules.min_workers

    @property
    def max_workers(self) -> int | None:
        return self._rules.max_workers

    def register_worker(
        self,
        worker_id: str,
        resources: Resources,
        *,
        labels: Mapping[str, str] | None = None,
        why: str | None = None,
    ) -> None:
        """Add a worker of `{"cpu": {"cores"}, "memory": {"total_mb"}, "gpu": {"devices", "memory_mb"}}`, or a capacity.

        What is left out is not known, and never granted. `labels` say where it runs.

        Raises:
            DuplicateWorkerError: a worker of this id is there.
        """
        worker_id, capacity = checked_name("worker_id", worker_id), read_capacity(resources)
        marks = checked_labels(labels)
        why = _checked_why(why)
        with self._lock:
            now_s = self._enter("register_worker()")
            self._fleet.join(worker_id, capacity, marks or (), now_s=now_s)
            self._scaling.cooldown.joined()
            self._log_change(worker_id, "joined", why)

    def update_worker_resources(
        self, worker_id: str, resources: Resources, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Give a worker another capacity: what a mapping leaves out stays, what is None is not known any more.

        Raises:
            UnknownWorkerError: there is no such worker.
            InvalidValueError: more than that is reserved of it.
        """
        worker_id, marks = checked_name("worker_id", worker_id), checked_labels(labels)
        with self._lock:
            now_s = self._enter("update_worker_resources()")
            worker = self._fleet.ledger.worker(worker_id)
            capacity = read_capacity(resources, before=worker.capacity)
            self._fleet.change(worker, capacity, worker.labels if marks is None else marks, now_s=now_s)

    def deregister_worker(self, worker_id: str, *, why: str | None = None) -> tuple[Reservation, ...]:
        """Take a worker out and return what was reserved of it: that is lost.

        `why` is "asked for" by default where the last scaling decision named this worker.

        Raises:
            UnknownWorkerError: there is no such worker.
        """
        worker_id, why = checked_name("worker_id", worker_id), _checked_why(why)
        with self._lock:
            now_s = self._enter("deregister_worker()")
            worker = self._fleet.ledger.worker(worker_id)
            if why is None and self._scaling.cooldown.asked_to_leave(worker_id):
                why = "asked for"
            lost = self._fleet.leave(worker, why=why, now_s=now_s)
            self._log_change(worker_id, "left", why)
            return lost

    def reserve_resources(self, task_id: str, requirements: Mapping[str, Any]) -> str | None:
        """Reserve `cpu_cores`, `memory_mb`, `gpus` and `gpu_memory_mb` of one worker and return the reservation's id.

        None exactly when no worker has room. It goes where it fits best, or to `worker_id`; after `ttl_s` it expires
        unless it was renewed. A task may hold several.

        Raises:
            InvalidValueError: a requirement makes no sense, or nothing is asked for.
            UnknownWorkerError: the named worker is not there.
        """
        request = checked_name("task_id", task_id), read_demand(requirements)
        granted = self._reserve([request], "reserve_resources()")
        return None if granted is None else granted[0]

    def reserve_many(self, requests: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[str, ...] | None:
        """Reserve for several (task id, requirements) at once: for all of them, or None and for none.

        They are placed largest first, each where it fits best; other orders are not tried.

        Raises:
            InvalidValueError: as `reserve_resources`, or there is no request.
        """
        asked = [_checked_request(request) for request in requests]
        if not asked:
            raise InvalidValueError("requests", asked, "must be at least one")
        return self._reserve(asked, "reserve_many()")

    def _reserve(self, asked: list[tuple[str, Demand]], doing: str) -> tuple[str, ...] | None:
        with self._lock:
            now_s = self._enter(doing)
            granted = self._fleet.reserve(asked, now_s=now_s)
            self._scaling.asked(asked, is_granted=granted is not None, now_s=now_s)
            return None if granted is None else tuple(reservation.id for reservation in granted)

    def renew_reservation(self, reservation_id: str, ttl_s: float | None) -> bool:
        """Let an active reservation hold for `ttl_s` from now on, None until it is released; False for any other."""
        reservation_id = checked_name("reservation_id", reservation_id)
        ttl_s = None if ttl_s is None else checked_seconds("ttl_s", ttl_s)
        with self._lock:
            self._enter("renew_reservation()")
            return self._fleet.ledger.renew(reservation_id, ttl_s)

    def release_resources(self, reservation_id: str) -> bool:
        """Give back what an active reservation holds; False for one that is not active."""
        reservation_id = checked_name("reservation_id", reservation_id)
        with self._lock:
            now_s = self._enter("release_resources()")
            return self._fleet.release(reservation_id, now_s=now_s)

    def reservation(self, reservation_id: str) -> Reservation:
        """Return how a reservation stands: an active one, or one of the last 10,000 that ended.

        Raises:
            UnknownReservationError: it was never granted, or ended long ago.
        """
        reservation_id = checked_name("reservation_id", reservation_id)
        with self._lock:
            self._fleet.settle()
            return self._fleet.ledger.reservation(reservation_id)

    def record_usage(
        self,
        worker_id: str,
        *,
        cpu_ratio: float | None = None,
        memory_bytes: float | None = None,
        gpu_ratio: float | None = None,
        gpu_memory_bytes: float | None = None,
    ) -> None:
        """Say what was measured of a worker: ratios of all its cores and of all its GPUs, above 1 where that is so.

        Each call is one whole measurement: what it leaves out is not known any more.

        Raises:
            UnknownWorkerError: there is no such worker.
        """
        worker_id = checked_name("worker_id", worker_id)
        usage = read_usage(
            cpu_ratio=cpu_ratio, memory_bytes=memory_bytes, gpu_ratio=gpu_ratio, gpu_memory_bytes=gpu_memory_bytes
        )
        with self._lock:
            now_s = self._enter("record_usage()")
            self._fleet.record(worker_id, usage, now_s=now_s)

    def record_task_execution(self, task_id: str, execution: Mapping[str, Any]) -> None:
        """Remember one execution: `cpu_cores`, `memory_mb`, `gpus`, `gpu_memory_mb`, `duration_s`, `succeeded`.

        `kind` (or `type`, `name`) says what it is an execution of: the task id without its [parameters] by default.
        """
        kind, numbers = read_execution(checked_name("task_id", task_id), execution)
        with self._lock:
            self._enter("record_task_execution()")
            self._predictor.record(kind, numbers)

    def predict_resource_needs(self, task: str | Mapping[str, Any]) -> dict[str, Any]:
        """Return what the next execution of a task's kind will need, and how sure that is; see `Predictor.predict`."""
        kind = read_task(task)
        with self._lock:
            return self._predictor.predict(kind)

    def evaluate_scaling(self) -> ScalingDecision:
        """Decide whether the fleet should grow, shrink or stay, and log it; carrying it out is somebody else's.

        A decision with a count starts a cooldown; who could not carry it out says so with `cancel_scaling`.
        """
        with self._lock:
            now_s = self._enter("evaluate_scaling()")
            return self._scaling.evaluate(now_s=now_s, wall_s=self._clock.wall_s())

    def cancel_scaling(self, decision: ScalingDecision, *, why: str) -> ScalingDecision:
        """Say that the last scaling could not be carried out: its cooldown is lifted, and what is returned is logged.

        Raises:
            InvalidValueError: it is not the decision that last scaled the fleet.
        """
        why = checked_name("why", why)
        with self._lock:
            now_s = self._enter("cancel_scaling()")
            return self._scaling.cancel(decision, why=why, now_s=now_s, wall_s=self._clock.wall_s())

    @property
    def last_scaling_decision(self) -> ScalingDecision | None:
        with self._lock:
            return self._scaling.decisions.last

    @property
    def decisions(self) -> tuple[ScalingDecision, ...]:
        """The last 10,000, oldest first."""
        with self._lock:
            return self._scaling.decisions.all()

    def decisions_since(self, number: int) -> tuple[tuple[ScalingDecision, ...], int]:
        """Return the decisions from this number on (the first is 0), and the number to ask with next time."""
        with self._lock:
            return self._scaling.decisions.since(number)

    def changes_since(self, number: int) -> tuple[tuple[FleetChange, ...], int]:
        """Return who joined and left from this number on, and the number to ask with next time."""
        with self._lock:
            return self._changes.since(number)

    def tick(self) -> None:
        """Do what is due by the clock: expire reservations, drop stale measurements. Every other call does it too."""
        with self._lock:
            self._fleet.settle()

    def snapshot(self) -> FleetSnapshot:
        """Return the whole fleet as it is at this moment."""
        with self._lock:
            self._fleet.settle()
            return self._fleet.snapshot()

    def get_worker_statistics(self) -> dict[str, Any]:
        """Return the whole fleet as fresh plain dictionaries; see `FleetSnapshot.statistics`."""
        return self.snapshot().statistics()

    def get_worker_utilization(self, worker_id: str | None = None) -> dict[str, Any]:
        """Return the measured `{"cpu", "memory", "gpu", "overall"}` of a worker; `overall` is the highest of them.

        Without an id: `{"workers": {id: ...}, "overall": ...}`; the fleet's are means by capacity over the workers
        that have and know the resource.

        Raises:
            UnknownWorkerError: there is no such worker.
        """
        if worker_id is not None:
            worker_id = checked_name("worker_id", worker_id)
            with self._lock:
                self._fleet.settle()
                return self._fleet.snapshot_of(worker_id).utilization.as_dict()
        fleet = self.snapshot()
        return {
            "workers": {worker.id: worker.utilization.as_dict() for worker in fleet.workers},
            "overall": fleet.utilization.as_dict(),
        }

    def log(self) -> tuple[Event, ...]:
        """Return every change of workers and reservations, of which `replay` rebuilds them; none without `keep_log`."""
        with self._lock:
            self._fleet.settle()
            return tuple(self._fleet.ledger.events)

    def cleanup(self) -> None:
        """Close the manager: from now on it can be asked, and changed no more."""
        with self._lock:
            self._is_closed = True

    def __enter__(self) -> DynamicResourceManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()

    def _enter(self, doing: str) -> float:
        """Begin a change: refuse it when closed, do what is due, and return the monotonic time."""
        if self._is_closed:
            raise ManagerClosedError(doing)
        return self._fleet.settle()

    def _log_change(self, worker_id: str, change: Literal["joined", "left"], why: str | None) -> None:
        self._changes.append(FleetChange(at_s=self._clock.wall_s(), worker=worker_id, change=change, why=why))


def _checked_request(request: object) -> tuple[str, Demand]:
    if not isinstance(request, tuple | list) or len(request) != 2:
        raise InvalidValueError("requests", request, "must be pairs of a task id and its requirements")
    return checked_name("task_id", request[0]), read_demand(request[1])


def _checked_why(why: str | None) -> str | None:
    return None if why is None else checked_name("why", why)

"""Decides on a fleet again and again: what waits, what was decided before, and what follows now."""

from __future__ import annotations

from dataclasses import replace

from drmviz.errors import InvalidValueError
from drmviz.manager.amounts import Amounts
from drmviz.manager.capacities import Demand
from drmviz.manager.cooldown import Cooldown
from drmviz.manager.fleet import Fleet
from drmviz.manager.fleet_view import WORKER_TYPES, FleetView, IdleWorker, ScalingRules, Signal
from drmviz.manager.ledger import BookedWorker
from drmviz.manager.numbered_log import NumberedLog
from drmviz.manager.policy import decide
from drmviz.manager.sentences import given_up
from drmviz.manager.usage import ratios_of
from drmviz.manager.waiting import WaitingRequests
from drmviz.model.decisions import ScalingDecision


class Scaling:
    """The memory that a policy needs; the policy itself has none. It takes no lock."""

    def __init__(self, rules: ScalingRules, fleet: Fleet) -> None:
        self._rules = rules
        self._fleet = fleet
        self._waiting = WaitingRequests(rules.evaluation_window_s)
        self.cooldown = Cooldown(rules)
        self.decisions = NumberedLog[ScalingDecision]()

    def asked(self, requests: list[tuple[str, Demand]], *, is_granted: bool, now_s: float) -> None:
        """Take note of what was asked for and whether there was room."""
        for task_id, demand in requests:
            if is_granted:
                self._waiting.serve(task_id)
            elif demand.worker_id is None:  # more workers would not help who wants that one
                self._waiting.refuse(task_id, demand.amounts, now_s)

    def evaluate(self, *, now_s: float, wall_s: float) -> ScalingDecision:
        """Decide and log; a decision that changes the fleet starts the cooldown."""
        decision = decide(self.view(now_s=now_s, wall_s=wall_s), self._rules)
        if decision.count:
            self.cooldown.start(decision, now_s)
        self.decisions.append(decision)
        return decision

    def cancel(self, decision: ScalingDecision, *, why: str, now_s: float, wall_s: float) -> ScalingDecision:
        """Lift the cooldown that a decision started and log that it was given up, or raise InvalidValueError."""
        if not self.cooldown.cancel(decision):
            raise InvalidValueError("decision", decision, "is not the one that last scaled the fleet")
        entry = replace(
            decision,
            action="maintain",
            decided_at_s=wall_s,
            count=0,
            reason=given_up(decision, why),
            cooldown_remaining_s=self.cooldown.up_remaining_s(now_s),
            worker_ids=(),
            worker_type=None,
        )
        self.decisions.append(entry)
        return entry

    def view(self, *, now_s: float, wall_s: float) -> FleetView:
        """Return all that the policy sees of this moment."""
        ledger, measured = self._fleet.ledger, self._fleet.measured
        workers = ledger.workers.values()
        return FleetView(
            decided_at_s=wall_s,
            workers=len(workers),
            signals=self._signals(now_s),
            unmeasured=tuple(worker.id for worker in workers if measured.usage(worker.id).cpu_ratio is None),
            idle=tuple(self._idle(worker) for worker in workers if not worker.reservations),
            room=ledger.room,
            reserved=ledger.reserved,
            unplaced=self._waiting.view(now_s, rooms=(worker.room for worker in workers), find=ledger.find_room),
            up_remaining_s=self.cooldown.up_remaining_s(now_s),
            down_remaining_s=self.cooldown.down_remaining_s(now_s),
            awaited=self.cooldown.awaited(now_s),
        )

    def _signals(self, now_s: float) -> tuple[Signal, ...]:
        """Return how busy each resource is since the fleet was last scaled; what was before has led to that."""
        since_s = self.cooldown.last_at_s
        used = self._fleet.measured.means(now_s, since_s=since_s)
        held = self._fleet.reserved.means(now_s, since_s=since_s)
        signals = []
        for index, resource in enumerate(WORKER_TYPES):
            mean = used[index] or held[index]
            if mean is not None:
                workers = sum(_has(worker.room, index) for worker in self._fleet.ledger.workers.values())
                is_measured = used[index] is not None
                signals.append(
                    Signal(
                        resource=resource,
                        value=mean.value,
                        window_s=mean.known_s,
                        is_measured=is_measured,
                        workers=workers,
                    )
                )
        return tuple(signals)

    def _idle(self, worker: BookedWorker) -> IdleWorker:
        used = ratios_of(self._fleet.measured.usage(worker.id), worker.capacity).overall
        return IdleWorker(id=worker.id, used=used or 0.0, room=worker.room)


def _has(room: Amounts, index: int) -> bool:
    return bool(room[index] or (WORKER_TYPES[index] == "gpu" and room.gpu_memory_bytes))

"""What a task holds of one worker, and how that ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drmviz.manager.amounts import Amounts

State = Literal["active", "released", "expired", "lost"]
"""Given back, over by its own time, or gone with its worker; whatever has ended stays as it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One grant; ids are never used again."""

    id: str
    task_id: str
    worker_id: str
    amounts: Amounts
    reserved_at_s: float
    """Seconds since the epoch."""
    ttl_s: float | None = None
    """How long it was granted for, counted from its granting or its last renewal; None is until it is given back."""
    expires_at_monotonic_s: float | None = None
    """The moment from which it is expired; the wall clock has no say in it."""
    state: State = "active"
    ended_at_s: float | None = None
    """Seconds since the epoch; for an expired one the moment of expiry, however late it was noticed."""
    why: str | None = None
    """Why it ended, where that is more than its state says."""

"""What a cloud provider runs for the fleet and charges for it, from one observation to its next."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from drmviz.errors import InvalidValueError
from drmviz.model.text import storable

CostBasis = Literal["list", "contracted", "effective", "billed"]
COST_BASES: tuple[CostBasis, ...] = get_args(CostBasis)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudUsage:
    """One provider as it was from `at_s` on; None means "not known", never zero."""

    at_s: float
    provider: str
    workers: int | None = None
    per_hour: Decimal | None = None
    """What it costs each hour, in `currency`; a price of zero is not known, not free."""
    currency: str | None = None
    basis: CostBasis | None = None
    """Which kind of price: list, contracted, effective or billed; None where nobody said."""
    priced_at_s: float | None = None
    instance_types: tuple[tuple[str, int], ...] = ()
    """Workers by instance type, by name; empty where not known."""
    cpu_cores: float | None = None
    """What the provider can still give, as it states it."""
    memory_bytes: int | None = None
    gpus: int | None = None
    problem: str = ""
    """Why something is not known, in words; empty when everything was answered."""

    def __post_init__(self) -> None:
        if not self.provider:
            raise InvalidValueError("provider", self.provider, "must have a name")
        object.__setattr__(self, "provider", storable(self.provider))
        if self.workers is not None and (isinstance(self.workers, bool) or self.workers < 0):
            raise InvalidValueError("workers", self.workers, "must be 0 or more, or None")
        if self.per_hour is not None and not (self.per_hour.is_finite() and self.per_hour > 0):
            raise InvalidValueError("per_hour", self.per_hour, "must be a positive amount, or None where not known")
        if self.basis is not None and self.basis not in COST_BASES:
            raise InvalidValueError("basis", self.basis, f"is not one of {', '.join(COST_BASES)}")

    def says_the_same_as(self, other: CloudUsage | None) -> bool:
        """Tell whether both state the same facts, whenever they were observed."""
        return other is not None and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__ if name != "at_s"
        )

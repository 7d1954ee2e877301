"""How well a source, the store or a page is doing; the same one is shown everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """OK, or what is wrong since when."""

    state: Literal["OK", "DEGRADED", "FAILED"] = "OK"
    reason: str = ""
    since_s: float | None = None

    def __str__(self) -> str:
        return self.state if self.state == "OK" else f"{self.state}: {self.reason}"


OK = Status()

"""The contract of a source."""

from __future__ import annotations

from typing import Protocol

from drmviz.model.samples import Reading


class Source(Protocol):
    """Reads the workers of one engine. The collector owns the clock and the loop."""

    name: str

    def read(self, now_s: float) -> Reading:
        """Return what is known of every live worker at wall time `now_s`, or raise SourceUnavailableError."""

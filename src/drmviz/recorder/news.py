"""What the person at the terminal is told of the disk while a recording goes on: each change once."""

from __future__ import annotations

from drmviz.collector import Collector
from drmviz.model.status import OK


class StoreNews:
    """Looks at the store of a collector after each tick."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._was = OK
        self._unwritten = 0
        self._skipped = 0

    def line(self) -> str | None:
        """Return what changed since the last call: it became worse, or well again; None when nothing did."""
        collector = self._collector
        status = collector.statuses["store"]
        changed = status.state != self._was.state
        self._was = status
        if not changed:
            return None
        if status != OK:
            return f"recording is degraded: {status.reason}"
        unwritten, skipped = collector.unwritten_ticks - self._unwritten, collector.skipped_ticks - self._skipped
        self._unwritten, self._skipped = collector.unwritten_ticks, collector.skipped_ticks
        cost = [
            *([f"{unwritten} tick{'s' if unwritten > 1 else ''} could not be written"] if unwritten else []),
            *([f"{skipped} could not be taken"] if skipped else []),
        ]
        return f"recording goes on; {', '.join(cost) or 'nothing was lost'}"

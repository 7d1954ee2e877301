"""Reads the events that test processes append to a spool; standard library only, as they import it too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = "events.jsonl"

Event = dict[str, Any]


@dataclass(slots=True)
class Tail:
    """Reads what was appended since the last time; a line that is not whole yet waits."""

    path: Path
    """The spool, not its file."""
    offset: int = 0
    bad_lines: int = 0
    """Lines that are no event; each is skipped."""
    is_missing: bool = False
    """The file could not be read the last time."""

    def read(self) -> list[Event]:
        """Return the events of all whole lines that are new."""
        try:
            with (self.path / EVENTS).open("rb") as file:
                file.seek(self.offset)
                fresh = file.read()
        except OSError:
            self.is_missing = True
            return []
        self.is_missing = False
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [event for line in whole.split(b"\n")[:-1] if (event := self._parsed(line)) is not None]

    def _parsed(self, line: bytes) -> Event | None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
        self.bad_lines += 1
        return None

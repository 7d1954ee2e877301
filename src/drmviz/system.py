"""Time and the disk, as protocols that are given to whoever needs them, and the real ones."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall for labels, the monotonic one for order and durations."""

    def wall_s(self) -> float:
        """Return seconds since the epoch."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back; the same zero in every process of this machine."""

    def wait_s(self, seconds: float) -> None:
        """Let that much monotonic time pass."""


class SystemClock:
    """The clocks of this machine."""

    def wall_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait_s(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


@dataclass(slots=True)
class SimulatedClock:
    """A clock that moves only when told, as fast as the caller likes."""

    wall: float = 1_700_000_000.0
    monotonic: float = 0.0

    def wall_s(self) -> float:
        return self.wall

    def monotonic_s(self) -> float:
        return self.monotonic

    def wait_s(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self.wall += seconds
        self.monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an administrator or NTP would."""
        self.wall += seconds


class Files(Protocol):
    """The part of the disk that is not the store: small files that are read or replaced whole."""

    def read_bytes(self, path: Path) -> bytes:
        """Return the whole file, or raise OSError."""

    def replace(self, path: Path, content: bytes) -> None:
        """Write the file so that a reader sees the old content or the new one, never a half."""


class SystemFiles:
    """The disk of this machine."""

    def read_bytes(self, path: Path) -> bytes:
        return path.read_bytes()

    def replace(self, path: Path, content: bytes) -> None:
        path = path.resolve()  # a link stays a link to the new content
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
            path.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{time.monotonic_ns():x}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

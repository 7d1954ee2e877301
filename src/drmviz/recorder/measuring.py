"""What one test costs its process: CPU seconds and the rise of its high-water mark; standard library only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from drmviz.recorder.spool import KERNEL

try:
    import resource
except ImportError:  # not on Windows; the plugin must stay importable there
    _getrusage = None
else:
    _getrusage = resource.getrusage


def cpu_seconds() -> float | None:
    """Return user and system time of this process and of the children it has waited for."""
    if _getrusage is None:
        return None
    own = _getrusage(resource.RUSAGE_SELF)
    children = _getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def high_water_bytes() -> int | None:
    """Return the most memory this process ever held; ru_maxrss would be inherited over exec."""
    return _status_bytes(b"\nVmHWM:")


def resident_bytes() -> int | None:
    """Return the memory that this process holds now."""
    return _status_bytes(b"\nVmRSS:")


def _status_bytes(key: bytes) -> int | None:
    try:
        descriptor = KERNEL.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = KERNEL.read(descriptor, 8192)
    finally:
        KERNEL.close(descriptor)
    found = content.find(key)
    if found < 0:
        return None
    return int(content[found + len(key) :].split(None, 1)[0]) * 1024


@dataclass(slots=True)
class TestMeter:
    """Measures tests that run one after the other in this process."""

    __test__ = False  # pytest must not collect it

    _pid: int = 0
    _start: float = 0.0
    _cpu_s: float | None = None
    _peak_bytes: int | None = None
    _attempt: int = 0

    def begin(self) -> float:
        """Start measuring a test and return the monotonic time."""
        self._pid = KERNEL.getpid()
        if self._attempt == 0 and self._peak_bytes is None:
            self._peak_bytes = high_water_bytes()
        self._attempt = 1
        self._cpu_s = cpu_seconds()
        self._start = KERNEL.monotonic()
        return self._start

    def end_attempt(self) -> dict[str, Any]:
        """Return the facts of the attempt that ends now; a rerun starts where they end."""
        pid, now, cpu_s, peak_bytes = KERNEL.getpid(), KERNEL.monotonic(), cpu_seconds(), high_water_bytes()
        forked = pid != self._pid  # a test that another plugin runs in a child; its CPU time counts from zero
        before_s = 0.0 if forked else self._cpu_s
        risen = None
        if not forked and peak_bytes is not None and self._peak_bytes is not None:
            risen = max(0, peak_bytes - self._peak_bytes)
        facts = {
            "pid": pid,
            "start": self._start,
            "end": now,
            "cpu_s": None if cpu_s is None or before_s is None else max(0.0, cpu_s - before_s),
            "memory_bytes": risen,
            "peak_bytes": peak_bytes,
            "attempt": self._attempt,
        }
        self._start, self._cpu_s, self._peak_bytes = now, cpu_s, peak_bytes
        self._attempt += 1
        return facts

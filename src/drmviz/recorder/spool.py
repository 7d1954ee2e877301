"""The private folder through which test processes tell the recorder what happens: one file of JSON lines."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drmviz.sources.spool_tail import EVENTS

ENVIRONMENT_VARIABLE = "DRMVIZ_SPOOL"
"""Names a spool that the first pytest controller may claim."""

TOKEN = "token"
CLAIM = "claim"
SUMMARY = "summary.txt"
"""What the recorder leaves for pytest's own reporter to print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The calls that run inside test processes, bound before any test can replace them in `os` or `time`."""

    open: Callable[..., int] = os.open
    read: Callable[[int, int], bytes] = os.read
    write: Callable[[int, bytes], int] = os.write
    close: Callable[[int], None] = os.close
    getpid: Callable[[], int] = os.getpid
    monotonic: Callable[[], float] = time.monotonic
    thread_time: Callable[[], float] = time.thread_time
    sleep: Callable[[float], None] = time.sleep
    dumps: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


KERNEL = Kernel()


def create(parent: str | None = None) -> str:
    """Make a spool that only this user can read, and return its path."""
    path = tempfile.mkdtemp(prefix="drmviz-", dir=parent)
    _write_new(os.path.join(path, TOKEN), secrets.token_hex(16).encode("ascii"))
    _write_new(os.path.join(path, EVENTS), b"")
    return path


def claim(path: str) -> bool:
    """Make this process the one whose tests are recorded; False when another one is."""
    try:
        _write_new(os.path.join(path, CLAIM), str(KERNEL.getpid()).encode("ascii"))
    except FileExistsError:
        return False
    return True


def release(path: str) -> None:
    """Let the next pytest of the same command claim the spool."""
    try:
        os.unlink(os.path.join(path, CLAIM))
    except FileNotFoundError:
        return


def remove(path: str) -> None:
    """Delete a spool and everything in it; one that is gone already is fine."""
    shutil.rmtree(path, ignore_errors=True)


def read_token(path: str) -> str | None:
    """Return what proves that a folder of this name is the same folder; None when it cannot be read."""
    try:
        return (Path(path) / TOKEN).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def append(path: str, event: Mapping[str, Any]) -> None:
    """Write one line with one call and keep nothing open, because a test may close every descriptor it finds."""
    line = KERNEL.dumps(event).encode("ascii") + b"\n"
    descriptor = KERNEL.open(f"{path}/{EVENTS}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        written = KERNEL.write(descriptor, line)
    finally:
        KERNEL.close(descriptor)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes fitted into {path}/{EVENTS}")


def _write_new(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)

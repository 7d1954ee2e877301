"""One writer per store: a lock file that dies with its process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from weakref import WeakSet

from drmviz.errors import StoreBusyError, StoreError

_TRIES, _PAUSE_S = 10, 0.01


def lock_path(store: Path) -> Path:
    return store.with_name(store.name + ".lock")


class WriterLock:
    """Held from construction to `release`; the kernel drops it when the process dies."""

    def __init__(self, store: Path) -> None:
        self._path = lock_path(store)
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise _refused(store, error) from error
            try:
                _lock(descriptor)
            except BlockingIOError as error:
                os.close(descriptor)
                raise StoreBusyError(store, pid=holder(store)) from error
            except OSError as error:
                os.close(descriptor)
                raise _refused(store, error) from error
            # Between open and flock the previous holder may have removed the file: then this lock guards nothing.
            try:
                still_there = os.stat(self._path).st_ino == os.fstat(descriptor).st_ino
            except FileNotFoundError:
                still_there = False
            if still_there:
                break
            os.close(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        except OSError as error:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)
            raise _refused(store, error) from error
        self._descriptor = descriptor
        _HELD.add(self)

    def release(self) -> None:
        """Let the next writer in; calling it again does nothing."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            self.let_go()

    def let_go(self) -> None:
        """Close this process's share of the lock: what a forked child does, or it would hold on for its parent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_HELD = WeakSet[WriterLock]()


def _let_go_in_child() -> None:
    for lock in list(_HELD):
        lock.let_go()


os.register_at_fork(after_in_child=_let_go_in_child)


def _lock(descriptor: int) -> None:
    """Take the lock; who only looks whether somebody writes holds it for an instant, which is waited for."""
    for _ in range(_TRIES - 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refused(store: Path, error: OSError) -> StoreError:
    return StoreError(
        store, f"its folder cannot be written ({error.strerror})", remedy="Name another place with --store."
    )


def holder(store: Path) -> int | None:
    """Return the pid inside the lock file, None where there is none."""
    try:
        return int(lock_path(store).read_text() or 0) or None
    except (OSError, ValueError):
        return None


def is_being_written(store: Path) -> bool:
    """Tell whether a living process holds the lock of this store; True also where that cannot be found out."""
    try:
        descriptor = os.open(lock_path(store), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False

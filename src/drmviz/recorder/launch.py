"""Starts the command that is recorded, passes signals on to it, and tells its exit code."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Self

from drmviz.errors import DRMVizError

_LEFT_TO_THE_CHILD = (signal.SIGINT, signal.SIGQUIT)
"""The terminal sends these to everyone in the foreground; the command decides what they mean."""
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)

Handler = signal.Handlers | int | None | object


class CommandNotStartedError(DRMVizError):
    """The command could not be started; the exit code is the one `env` would end with."""

    def __init__(self, command: str, reason: str, *, exit_code: int) -> None:
        super().__init__(f"Cannot start {command!r}: {reason}. Check the name after `--`.")
        self.command = command
        self.exit_code = exit_code


class Command:
    """A child with our own stdin, stdout and stderr; a context manager, because it takes over signals meanwhile."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start it; `environment` is added to ours.

        Raises:
            CommandNotStartedError: it does not exist (127), or cannot be executed (126).
        """
        self._before: dict[signal.Signals, Handler] = {}
        self._take_signals()
        try:
            self._process = subprocess.Popen(list(command), env={**os.environ, **(environment or {})}, close_fds=False)
        except OSError as error:
            self._give_signals_back()
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            reason = "no such command" if missing else (error.strerror or str(error)).lower()
            raise CommandNotStartedError(command[0], reason, exit_code=127 if missing else 126) from error
        self._descriptor = _pidfd(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_signals_back()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code, 128 + n when signal n ended it, or None when it still runs after that time."""
        if self._descriptor is not None:
            watch = select.poll()
            watch.register(self._descriptor, select.POLLIN)
            watch.poll(None if timeout_s is None else max(0, math.ceil(timeout_s * 1000)))
            code = self._process.wait() if timeout_s is None else self._process.poll()
        else:
            try:
                code = self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
        return code if code is None or code >= 0 else 128 - code

    def _take_signals(self) -> None:
        """Handlers, not SIG_IGN, because an ignored signal stays ignored in the child; one ignored already stays so."""
        for number in (*_LEFT_TO_THE_CHILD, *_FORWARDED):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            handler = self._forward if number in _FORWARDED else _do_nothing
            try:
                self._before[number] = signal.signal(number, handler)
            except ValueError:  # only the main thread may; elsewhere the caller's handlers stay
                return

    def _forward(self, number: int, frame: FrameType | None) -> None:
        process = getattr(self, "_process", None)
        if process is not None and process.returncode is None:
            process.send_signal(number)

    def _give_signals_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned is what it takes
        self._before.clear()


def _do_nothing(number: int, frame: FrameType | None) -> None:
    return


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None on kernels without it."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None

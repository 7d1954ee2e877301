"""How verbs that go on by themselves are ended."""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Ending:
    """Whether somebody asked for the end, and a way to wait for it.

    The request comes from a signal handler, which runs amid whatever the main thread was doing. A handler
    must take no lock that thread may hold: `threading.Event.set` waits for ever when the signal finds the
    thread inside `threading.Event.wait`. A byte on a socket needs none.
    """

    def __init__(self) -> None:
        self._asked = False
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)

    def ask(self) -> None:
        """Ask for the end; may be called in a signal handler, and more than once."""
        if not self._asked:
            self._asked = True
            with suppress(BlockingIOError):
                self._theirs.send(b"\0")

    def is_set(self) -> bool:
        """Tell whether the end was asked for."""
        return self._asked

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True once the end was asked for, False when it was not within so many seconds."""
        if not self._asked:
            self._selector.select(timeout_s)
        return self._asked

    def close(self) -> None:
        """Give the sockets back."""
        self._selector.close()
        self._ours.close()
        self._theirs.close()


@contextmanager
def asked_to_end() -> Iterator[Ending]:
    """Give what SIGINT and SIGTERM ask for the end, so that whoever waits for it closes what is open."""
    ending = Ending()
    before = {number: signal.signal(number, lambda *_: ending.ask()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ending.close()

"""The line to one Dask scheduler: opened when it is needed, given up when it fails, tried again after a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from drmviz.errors import InvalidValueError, MissingExtraError, SourceUnavailableError
from drmviz.system import Clock

_SCHEMES = {"": "tcp", "dask": "tcp", "tcp": "tcp", "tls": "tls"}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What only the scheduler itself knows of its tasks."""

    queued: int
    """Tasks that wait for a thread of any worker."""
    unrunnable: int
    """Tasks that no worker can run."""
    occupancy_s: float
    """Seconds that it expects all tasks on workers to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scheduler said at one moment."""

    scheduler_id: str
    workers: Mapping[str, Mapping[str, Any]]
    """By address; see `Scheduler.identity`."""
    desired: int | None
    """How many workers it has work for, `Scheduler.adaptive_target`; None where it does not say."""
    backlog: Backlog | None
    events: tuple[Any, ...] | None
    """Its event log, None where no worker came or went."""


def address_of(named: object) -> str:
    """Return `tcp://HOST:PORT` or `tls://HOST:PORT` of an address; `dask://` is `tcp://`.

    Raises:
        InvalidValueError: it is none.
    """
    if isinstance(named, str) and named.startswith("inproc://"):
        return named
    reason = "must be the address of a Dask scheduler, such as dask://127.0.0.1:8786"
    if not isinstance(named, str):
        raise InvalidValueError("address", named, reason)
    try:
        parts = urlsplit(named if "://" in named else f"//{named}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidValueError("address", named, f"{reason} ({error})") from error
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise InvalidValueError("address", named, reason)
    if not port:
        raise InvalidValueError("address", named, f"{reason}: it names no port, which is 8786 unless told otherwise")
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class SchedulerLink:
    """Asks a scheduler over one connection of its own; it is no client of it and keeps nothing alive there.

    Not for two threads at once. A call takes at most about `patience_s`.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        security: Any = None,
        looks_inside: bool = False,
        patience_s: float = 5.0,
    ) -> None:
        """`looks_inside` lets a function of ours run in the scheduler, which tells what is queued there."""
        try:
            import distributed.core  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("Reading a Dask scheduler", "distributed", extra="dask") from error
        self.address = address
        self._clock = clock
        self._security = security
        self._looks_inside = looks_inside
        self._patience_s = patience_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._remote: Any = None
        self._pause_s = _FIRST_PAUSE_S
        self._next_try_s: float | None = None
        self._reason = ""

    def ask(self, known: frozenset[str] | None) -> Answer:
        """Return what the scheduler says; its event log too where its workers are others than those `known`.

        Raises:
            SourceUnavailableError: it cannot be reached, or did not answer in time.
        """
        now_s = self._clock.monotonic_s()
        if self._next_try_s is not None and now_s < self._next_try_s:
            raise self._unavailable()
        loop = self._loop = self._loop or asyncio.new_event_loop()
        try:
            answer = loop.run_until_complete(asyncio.wait_for(self._ask(known), self._patience_s))
        except (OSError, RuntimeError) as error:  # those of distributed are OSErrors; a closed loop is the other
            self._reason = self._reason_of(error)
            self._give_up()
            raise self._unavailable() from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._reason = f"it answers as no Dask scheduler does ({type(error).__name__}: {error})"
            self._give_up()
            raise self._unavailable() from error
        self._pause_s, self._next_try_s = _FIRST_PAUSE_S, None
        return answer

    def close(self) -> None:
        """Hang up; where a call is under way in another thread, it is left to end."""
        loop = self._loop
        if loop is None or loop.is_running():
            return
        self._hang_up()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        self._loop = None

    async def _ask(self, known: frozenset[str] | None) -> Answer:
        if self._remote is None:
            self._remote = await self._opened()
        return await asked(self._remote, known, looks_inside=self._looks_inside)

    async def _opened(self) -> Any:
        from distributed.core import rpc
        from distributed.security import Security

        parts = urlsplit(self.address)
        if parts.scheme in ("tcp", "tls"):  # Dask tries a refused port again until its patience ends; this says so now
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        security = self._security if self._security is not None else Security()
        arguments = security.get_connection_args("client")
        return rpc(self.address, timeout=self._patience_s, connection_args=arguments)

    def _give_up(self) -> None:
        self._hang_up()
        self._next_try_s = self._clock.monotonic_s() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _hang_up(self) -> None:
        remote, self._remote = self._remote, None
        if remote is None or self._loop is None:
            return

        async def hang_up() -> None:
            with contextlib.suppress(OSError, RuntimeError):
                await remote.close_rpc()

        self._loop.run_until_complete(hang_up())

    def _reason_of(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"it did not answer within {self._patience_s:g} s"
        if isinstance(error, ConnectionRefusedError):
            return "nobody listens there (connection refused)"
        if isinstance(error, socket.gaierror):
            return f"no such host ({error.strerror})"
        return f"the connection was lost ({type(error).__name__}: {error})"[:300]

    def _unavailable(self) -> SourceUnavailableError:
        return SourceUnavailableError(
            "dask",
            f"scheduler {self.address}: {self._reason}",
            remedy="It is tried again every few seconds; see that the scheduler runs and this address is its own.",
        )


async def asked(remote: Any, known: frozenset[str] | None, *, looks_inside: bool) -> Answer:
    """Return what a scheduler says through an rpc to it."""
    identity = await remote.identity(n_workers=-1)  # older ones tell of five workers unless asked for all
    workers = identity["workers"]
    desired = await _unless_refused(remote.adaptive_target())
    events = None
    if known != workers.keys():
        events = tuple(await _unless_refused(remote.events(topic="all")) or ())
    return Answer(
        scheduler_id=str(identity["id"]),
        workers=workers,
        desired=desired if isinstance(desired, int) and desired >= 0 else None,
        backlog=await backlog_of(remote) if looks_inside else None,
        events=events,
    )


async def backlog_of(remote: Any) -> Backlog | None:
    """Return what is queued in the scheduler, None where it runs no function of ours or is another version of Dask."""
    from distributed.protocol.pickle import dumps

    asking = remote.run_function(function=dumps(_look()), args=dumps(()), kwargs=dumps({}), wait=True)
    answer = await _unless_refused(asking)
    found = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(found, tuple | list) or len(found) != 3:
        return None
    queued, unrunnable, occupancy_s = found
    return Backlog(queued=int(queued), unrunnable=int(unrunnable), occupancy_s=float(occupancy_s))


async def _unless_refused(asking: Awaitable[Any]) -> Any:
    """Return the answer, None where a scheduler is told to answer no such question (`blocked-handlers`)."""
    try:
        return await asking
    except ValueError:  # what it raises here, and raises for nothing else that is asked
        return None


def _look() -> Callable[..., Any]:
    """Return a function that pickles whole: a scheduler need not have this package."""

    def look(dask_scheduler):  # type: ignore[no-untyped-def]
        return (len(dask_scheduler.queued), len(dask_scheduler.unrunnable), dask_scheduler.total_occupancy)

    look.__module__ = "__main__"
    return look

"""What drmviz raises on purpose: each error names the thing, the reason and the remedy, and carries an exit code."""

from __future__ import annotations

from reprlib import Repr


class DRMVizError(Exception):
    """Base of every error that is raised on purpose; the command line prints it as one line."""

    exit_code = 1


class InvalidValueError(DRMVizError, ValueError):
    """A value that was handed in makes no sense; nothing was changed."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"{name} = {_short(value)}: {reason}")
        self.name = name
        self.value = value


class UnknownWorkerError(InvalidValueError):
    """A worker is named that is not registered."""

    def __init__(self, worker_id: str) -> None:
        super().__init__("worker_id", worker_id, "no such worker is registered; register_worker() adds it")
        self.worker_id = worker_id


class DuplicateWorkerError(InvalidValueError):
    """A worker is registered that is there already."""

    def __init__(self, worker_id: str) -> None:
        reason = "is registered already; deregister it first, or change it with update_worker_resources()"
        super().__init__("worker_id", worker_id, reason)
        self.worker_id = worker_id


class UnknownReservationError(InvalidValueError):
    """A reservation is asked for that was never granted, or ended too long ago to be remembered."""

    def __init__(self, reservation_id: str, *, remembered: int) -> None:
        reason = f"was never granted, or ended before the last {remembered:,} that are remembered"
        super().__init__("reservation_id", reservation_id, reason)
        self.reservation_id = reservation_id


class ManagerClosedError(DRMVizError):
    """A manager is asked to change something after its cleanup()."""

    def __init__(self, doing: str) -> None:
        super().__init__(f"{doing} after cleanup(): this manager is closed. Make a new DynamicResourceManager.")


class UsageError(DRMVizError):
    """The command line or a setting was used wrongly."""

    exit_code = 2


class StoreError(DRMVizError):
    """A recorded history cannot be read or written."""

    def __init__(self, path: object, reason: str, *, remedy: str) -> None:
        super().__init__(f"Store {str(path)!r}: {reason}. {remedy}")
        self.path = path
        self.reason = reason


class StoreBusyError(StoreError):
    """Another process writes this store."""

    def __init__(
        self, path: object, *, pid: int | None, remedy: str = "Wait until it ends, or name another file with --store."
    ) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(path, f"{holder} is writing it", remedy=remedy)
        self.pid = pid


class StoreDamagedError(StoreError):
    """A part of a store does not match its checksum."""


class BillingFileError(DRMVizError):
    """A billing file cannot be imported; nothing of the import it belongs to was kept."""

    def __init__(self, path: object, reason: str, *, remedy: str) -> None:
        super().__init__(f"Billing file {str(path)!r}: {reason}. {remedy}")
        self.path = path
        self.reason = reason


class SourceUnavailableError(DRMVizError):
    """An engine cannot be read; the message ends with what to do about it."""

    def __init__(self, source: str, reason: str, *, remedy: str) -> None:
        super().__init__(f"Source {source!r} is unavailable: {reason}. {remedy}")
        self.source = source


class MissingExtraError(DRMVizError):
    """An optional package is needed for what was asked."""

    def __init__(self, doing: str, package: str, *, extra: str | None = None) -> None:
        install = f"drmviz[{extra}]" if extra else package
        super().__init__(f"{doing} needs {package}. Install it with: pip install '{install}'")
        self.package = package


class OutputError(DRMVizError):
    """A file cannot be written where it was asked for."""

    def __init__(
        self, path: object, reason: str, *, remedy: str = "Name a writable place with --output-dir or -o."
    ) -> None:
        super().__init__(f"Cannot write {str(path)!r}: {reason}. {remedy}")
        self.path = path


class ServerError(DRMVizError):
    """A dashboard cannot be served where it was asked for."""


class RegistryError(DRMVizError):
    """The registry of written figures cannot be read or changed, or names a file that is not to be opened."""

    def __init__(self, path: object, reason: str, *, remedy: str) -> None:
        super().__init__(f"Registry {str(path)!r}: {reason}. {remedy}")
        self.path = path
        self.reason = reason


_REPR = Repr()
_REPR.maxother = 10_000


def _short(value: object, *, limit: int = 80) -> str:
    text = _REPR.repr_instance(value, 0)  # whatever somebody's __repr__ raises, the error that names it comes out
    return text if len(text) <= limit else text[: limit - 1] + "…"

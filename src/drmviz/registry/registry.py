"""The registry file of a folder: changed under a lock, replaced whole, and rebuilt when it is damaged."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from drmviz.errors import InvalidValueError, RegistryError
from drmviz.figures.names import count as count_of
from drmviz.figures.saving import FORMATS
from drmviz.model.status import OK, Status
from drmviz.registry.entries import MOST_BYTES, VERSION, Document, Entry, parse, written
from drmviz.system import Clock, SystemClock

REGISTRY_NAME = "visualization_registry.json"
_PATIENCE_S = 10.0
_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A figure that is found again by the name of its file: `stem` with one of the suffixes of figures."""

    title: str
    description: str
    stem: str


class Registry:
    """Which figures a folder holds, in `visualization_registry.json`; for any number of threads and processes.

    A change takes the lock of a file beside it, reads, and replaces the whole file: a reader needs no lock. A damaged
    file is put aside as `.corrupt-<UTC>`, never deleted, and written anew from its sound entries and from the figures
    that lie in the folder. A file of a newer version is read and never changed. No figure is ever touched.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, Known] | None = None,
        *,
        clock: Clock | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Touch nothing yet.

        Args:
            folder: where the figures lie.
            known: the figures that a rebuild looks for, by type.
            clock: for the times in status and in names of files.
            patience_s: how long a change waits for those of others.
        """
        self.folder = folder.absolute()
        self.path = self.folder / REGISTRY_NAME
        self._known = dict(known or {})
        self._clock = clock or SystemClock()
        self._patience_s = patience_s
        self._rebuilt = OK
        self._problem = OK

    @property
    def status(self) -> Status:
        """What keeps it from being read or changed now, else what was rebuilt since this object was made."""
        return self._rebuilt if self._problem == OK else self._problem

    def read(self) -> dict[str, Entry]:
        """Return the entries, by type; rebuilds a damaged file on the way.

        Never raises: of a file that cannot be read, or not be rebuilt, `status` says why, and what is known of the
        folder is returned.
        """
        try:
            document = self._document()
            if document.damage:
                with self._locked():
                    document = self._sound_document()
        except RegistryError as error:
            self._problem = self._since(self._problem, "FAILED", str(error))
            return self._found_in_folder()
        return dict(document.entries)

    def record(self, *entries: Entry) -> None:
        """Put these in, each instead of the one of its type; every other one stays.

        Raises:
            RegistryError: the file is of a newer version, locked for too long, or cannot be written.
            InvalidValueError: there is more than a registry may hold.
        """
        with self._locked():
            document = self._sound_document()
            if document.is_newer:
                raise RegistryError(self.path, self._problem.reason, remedy="Upgrade drmviz, or use another folder.")
            self._replace({**document.raw, **{entry.type: entry.as_json() for entry in entries}})

    def file(self, type_: str) -> Path | None:
        """Return where a figure lies; None where there is none of that type, or its file is gone.

        Raises:
            RegistryError: a link leads there, or it is no file.
        """
        entry = self.read().get(type_)
        if entry is None:
            return None
        try:
            os.close(self._open(entry))
        except FileNotFoundError:
            return None
        return self.folder / entry.path

    def has_file(self, entry: Entry) -> bool:
        """Tell whether the file of an entry is there and may be opened."""
        try:
            os.close(self._open(entry))
        except (FileNotFoundError, RegistryError):
            return False
        return True

    def content(self, type_: str) -> bytes | None:
        """Return the bytes of a figure, as `file` its path."""
        found = self.found(type_)
        return None if found is None else found[1]

    def found(self, type_: str) -> tuple[Entry, bytes] | None:
        """Return what is said of a figure, and its bytes, as `file` its path."""
        entry = self.read().get(type_)
        if entry is None:
            return None
        try:
            descriptor = self._open(entry)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return entry, file.read()

    # the file

    def _document(self) -> Document:
        """Read the file as it is; of one that is not there, what lies in the folder."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            found = self._found_in_folder()
            return Document(entries=found, raw=_raw(found))
        except OSError as error:
            if self.path.is_symlink() or self.path.is_socket():
                return Document(damage=("it is no plain file",))
            raise self._refused("cannot be read", error) from error
        try:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode):
                return Document(damage=("it is no plain file",))
            if seen.st_size > MOST_BYTES:
                return Document(damage=(f"it has {seen.st_size:,} bytes, a registry at most {MOST_BYTES:,}",))
            with open(descriptor, "rb", closefd=False) as file:
                document = parse(file.read(MOST_BYTES + 1))
        except OSError as error:
            raise self._refused("cannot be read", error) from error
        finally:
            os.close(descriptor)
        if document.is_newer:
            reason = (
                f"{REGISTRY_NAME} was written by a newer drmviz (format {document.version}, this one knows {VERSION}):"
                " it is read and not changed"
            )
            self._problem = self._since(self._problem, "DEGRADED", reason)
        elif not document.damage:
            self._problem = OK
        return document

    def _sound_document(self) -> Document:
        """Return the file; what is damaged is put aside and rebuilt first. The lock must be held."""
        document = self._document()
        if not document.damage:
            return document
        found = {**self._found_in_folder(), **document.entries}
        raw = {**_raw(found), **document.raw}
        aside = self._put_aside()
        self._replace(raw)
        shown = "; ".join(document.damage[:3]) + ("; …" if len(document.damage) > 3 else "")
        reason = (
            f"{REGISTRY_NAME} was damaged: {shown}; it is kept as {aside.name} and was rebuilt with"
            f" {count_of(len(found), 'figure')}"
        )
        self._rebuilt, self._problem = self._since(OK, "DEGRADED", reason), OK
        return Document(entries=found, raw=raw)

    def _put_aside(self) -> Path:
        stamp = f"{datetime.fromtimestamp(self._clock.wall_s(), UTC):%Y%m%dT%H%M%SZ}"
        for number in count(1):
            suffix = f".corrupt-{stamp}" + ("" if number == 1 else f"-{number}")
            aside = self.path.with_name(REGISTRY_NAME + suffix)
            try:
                os.link(self.path, aside, follow_symlinks=False)  # the damaged one stays until it is replaced
            except FileExistsError:
                continue
            except OSError:  # a folder, or a filesystem without links
                if os.path.lexists(aside):
                    continue
                try:
                    os.rename(self.path, aside)
                except OSError as error:
                    raise self._refused("is damaged and cannot be put aside", error) from error
            return aside
        raise AssertionError("there is always a next number")

    def _replace(self, raw: Mapping[str, Any]) -> None:
        content = written(raw)
        for left in self.folder.glob(f".{REGISTRY_NAME}.*.partial"):  # of one that was killed: the lock is held
            left.unlink(missing_ok=True)
        partial = self.folder / f".{REGISTRY_NAME}.{os.getpid()}.partial"
        try:
            try:
                with open(partial, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(self.path)
            finally:
                partial.unlink(missing_ok=True)
            self._keep_the_name()
        except OSError as error:
            raise self._refused("cannot be written", error) from error

    def _keep_the_name(self) -> None:
        """Let the new name outlive a loss of power."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # some filesystems sync no folders; the file itself is whole in any case
                os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.folder / f".{REGISTRY_NAME}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._refused("cannot be locked", error) from error
        try:
            self._lock(descriptor)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a fork has inherited the descriptor
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        given_up_at_s = time.monotonic() + self._patience_s  # other processes keep to no simulated clock
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= given_up_at_s:
                    reason = f"another process has held its lock for {self._patience_s:g} s"
                    remedy = "Find who holds it with: lslocks. It is free again as soon as that process ends."
                    raise RegistryError(self.path, reason, remedy=remedy) from error
                time.sleep(_PAUSE_S)
            except OSError as error:
                raise self._refused("cannot be locked", error) from error
            else:
                return

    # the folder

    def _found_in_folder(self) -> dict[str, Entry]:
        """Return the known figures that lie there, the newest of each type; of which run is not known."""
        found = {}
        for type_, known in self._known.items():
            files = []
            for kind in FORMATS:
                path = self.folder / f"{known.stem}.{kind}"
                try:
                    seen = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(seen.st_mode):
                    files.append((seen.st_mtime, path.name))
            if not files:
                continue
            changed_at_s, name = max(files)
            try:
                found[type_] = Entry(
                    type=type_,
                    title=known.title,
                    description=known.description,
                    path=name,
                    updated_at_s=changed_at_s,
                )
            except InvalidValueError:
                continue  # a file of the year 30,000
        return found

    def _open(self, entry: Entry) -> int:
        """Open a figure for reading: below the folder, through no link, and a plain file.

        Raises:
            FileNotFoundError: there is none.
            RegistryError: it is none that is to be opened.
        """
        *folders, name = PurePosixPath(entry.path).parts
        try:
            at = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for each in folders:
                    deeper = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                    os.close(at)
                    at = deeper
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._not_opened(entry, error.strerror or str(error)) from error
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise self._not_opened(entry, "it is no plain file")

    def _not_opened(self, entry: Entry, reason: str) -> RegistryError:
        return RegistryError(
            self.path,
            f"the file {entry.path!r} of {entry.type!r} is not opened ({reason})",
            remedy="Figures are plain files below this folder; links are not followed.",
        )

    def _refused(self, what: str, error: OSError) -> RegistryError:
        return RegistryError(
            self.path, f"it {what} ({error.strerror or error})", remedy="Look at its folder, or use another one."
        )

    def _since(self, before: Status, state: Literal["DEGRADED", "FAILED"], reason: str) -> Status:
        if (before.state, before.reason) == (state, reason):
            return before
        return Status(state=state, reason=reason, since_s=self._clock.wall_s())


def _raw(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {type_: entry.as_json() for type_, entry in entries.items()}

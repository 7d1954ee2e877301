"""The one writer of a store: it holds the lock, begins runs, and packs old blocks in between ticks."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from drmviz.errors import StoreError
from drmviz.model.run import RunHeader
from drmviz.model.text import storable
from drmviz.store.connections import damaged, keep_damaged_log, open_for_writing, rows_of
from drmviz.store.lock import WriterLock
from drmviz.store.recording import CLOSING_S, Recording, as_json
from drmviz.store.retention import Retention, forget
from drmviz.store.schema import microseconds
from drmviz.store.sealing import seal

SEALING_S = 0.05

_DONE = object()
_FORGETTING_EVERY_S = 60.0
_USUAL = Retention()


class Writer:
    """Holds the lock of one store; several runs may be written into it, one after the other."""

    def __init__(self, path: Path, retention: Retention) -> None:
        self.path = path
        self._retention = retention
        self._lock = WriterLock(path)
        self._created = not path.exists() or path.stat().st_size == 0
        self._closed = False
        self._sealing_problem: str | None = None
        self._checkpoint_problem: str | None = None
        self._forgetting: Iterator[None] | None = None
        self._forgetting_problem: str | None = None
        self._forgot_at_s = float("-inf")
        self._unsealed: deque[tuple[int, int]] = deque()
        self._sealing: Iterator[None] | None = None
        try:
            self._untold_loss = keep_damaged_log(path)
            self._connection = open_for_writing(path)
            try:
                self._tell_loss()
                self._forget_half_sealed()
            except apsw.Error as error:
                self._connection.close()
                if isinstance(error, apsw.CorruptError):
                    raise damaged(path, error) from error
                raise StoreError(
                    path,
                    f"it cannot be taken up again ({error})",
                    remedy="`drmviz doctor` says what can be read of it.",
                ) from error
        except BaseException:
            self._lock.release()
            raise

    @property
    def problem(self) -> str | None:
        """What the disk refused although every tick was written, in words; None while all is well."""
        return self._sealing_problem or self._checkpoint_problem or self._forgetting_problem

    @property
    def owes_checkpoint(self) -> bool:
        """Whether the last checkpoint failed: it is tried again before the next tick."""
        return self._checkpoint_problem is not None

    @classmethod
    def open(cls, path: str | Path, *, retention: Retention = _USUAL) -> Writer:
        """Open or create a store; what is recorded into it is kept as long as `retention` says.

        Raises:
            StoreBusyError: another process writes it; the error names its pid.
            StoreError: the file is something else, or its folder cannot be written.
        """
        named = path
        try:
            path = Path(path).expanduser().resolve()  # two names of one file are one lock
        except (OSError, RuntimeError) as error:  # links that lead in a circle, a home that nobody has
            raise StoreError(named, f"there is no such place ({error})", remedy="Name another with --store.") from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                path, f"its folder cannot be made ({error.strerror})", remedy="Name another place with --store."
            ) from error
        return cls(path, retention)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell_loss(self) -> None:
        """Note in the newest run, or else in the next, what a damaged log has cost, and begin a new log."""
        if self._untold_loss is None:
            return
        with self._connection:
            self._connection.execute(
                "INSERT INTO note (run, at_us, sentence) SELECT number, coalesce((SELECT max(at_us) FROM tick"
                " WHERE id >= number << 40 AND id < (number + 1) << 40), started_us), ?"
                " FROM run ORDER BY number DESC LIMIT 1",
                (self._untold_loss,),
            )
            is_told = self._connection.changes() > 0
        if is_told:
            self._untold_loss = None
        try:  # what is left of the old log behind the damage would pass for damage once more
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:  # a reader looks at it; the log goes away when this writer closes
            self.checkpoint()

    def _forget_half_sealed(self) -> None:
        """Throw away what a killed writer had packed of blocks without their mark, and queue those blocks again."""
        self._forget_chunks_without_their_mark()
        with self._connection:
            self._connection.execute(
                "DELETE FROM tick WHERE EXISTS"
                " (SELECT 1 FROM block b WHERE b.run = tick.id >> 40 AND b.number = tick.block AND b.sealed)"
            )
        self._unsealed.extend(
            (run, block)
            for run, block in rows_of(
                self._connection, "SELECT run, number FROM block WHERE NOT sealed ORDER BY run, number"
            )
        )

    def _forget_chunks_without_their_mark(self) -> None:
        with self._connection:
            self._connection.execute(
                "DELETE FROM chunk WHERE (run, block) IN (SELECT run, number FROM block WHERE NOT sealed)"
            )

    def begin(
        self,
        *,
        title: str,
        started_at_s: float,
        interval_s: float,
        source: str = "",
        host: str = "",
        labels: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Recording:
        """Begin a run; `started_at_s` is the wall time that its axis starts from."""
        header = RunHeader(
            id=run_id or uuid.uuid4().hex[:12],
            title=storable(title),
            started_at_s=started_at_s,
            interval_s=interval_s,
            source=source,
            host=host,
            labels=dict(labels or {}),
            facts=dict(facts or {}),
        )
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO run (id, title, source, host, labels, facts, started_us, interval_us)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        header.id,
                        header.title,
                        storable(header.source),
                        storable(header.host),
                        as_json(header.labels),
                        as_json(header.facts),
                        microseconds(started_at_s),
                        microseconds(interval_s),
                    ),
                )
                number = self._connection.last_insert_rowid()
        except apsw.Error as error:
            raise self.refusal("a run cannot be begun", error) from error
        recording = Recording(self, self._connection, number, header)
        if self._untold_loss is not None:
            recording.note(started_at_s, self._untold_loss)
            self._untold_loss = None
        return recording

    def advance_sealing(self, budget_s: float = SEALING_S) -> bool:
        """Pack finished blocks for at most `budget_s`; return whether anything is left to do.

        What the disk refuses is told by `problem`, costs no tick, and is tried again later from the block's beginning.
        """
        if self._sealing is None and not self._unsealed:
            return False
        deadline = time.perf_counter() + budget_s
        sealing = self._sealing or seal(self._connection, *self._unsealed[0])
        self._sealing = None  # a slice that fails is rolled back: what its generator believes to be written is not
        try:
            with self._connection:
                is_done = False
                while not is_done and time.perf_counter() < deadline:
                    is_done = next(sealing, _DONE) is _DONE
        except apsw.Error as error:
            self.leave_transaction()
            self._sealing_problem = f"old ticks cannot be packed ({error})"
            self._unsealed.rotate(-1)  # one block that resists must not keep the others waiting
            return True
        self._sealing_problem = None
        if is_done:
            self._unsealed.popleft()
        else:
            self._sealing = sealing
        return bool(self._unsealed)

    def advance_forgetting(self, now_s: float, budget_s: float = SEALING_S) -> bool:
        """Forget what is older or larger than is to be kept, for at most `budget_s`; return whether any of it is left.

        Every minute the whole file is looked through. What the disk refuses is told by `problem` and tried again.
        """
        if self._forgetting is None:
            if now_s - self._forgot_at_s < _FORGETTING_EVERY_S:
                return False
            self._forgetting = forget(self._connection, now_s, self._retention)
        deadline = time.perf_counter() + budget_s
        try:
            while next(self._forgetting, _DONE) is not _DONE:
                if time.perf_counter() >= deadline:
                    return True
        except apsw.Error as error:
            self.leave_transaction()
            self._forgetting_problem = f"old history cannot be forgotten ({error})"
        else:
            self._forgetting_problem = None
        self._forgetting = None
        self._forgot_at_s = now_s
        return False

    def refusal(self, what: str, error: Exception) -> StoreError:
        """Return the error that says what the disk refused, after taking back what was half done."""
        self.leave_transaction()
        if isinstance(error, apsw.FullError):
            self.checkpoint()  # then the next write may begin the log anew, in the room that it has
        remedy = "Free some space" if isinstance(error, apsw.FullError) else "See what is wrong with the disk"
        return StoreError(self.path, f"{what} ({error})", remedy=f"{remedy}, or name another place with --store.")

    def leave_transaction(self) -> None:
        """Take back what is left of a transaction whose beginning or end itself failed."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def queue_for_sealing(self, run: int, block: int) -> None:
        """Say that no tick will be added to this block any more."""
        self._unsealed.append((run, block))

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the file, as far as readers allow it at once."""
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            self._checkpoint_problem = f"the write-ahead log cannot be moved into the file ({error})"
        else:
            self._checkpoint_problem = None

    def close(self) -> str | None:
        """Leave one file behind; calling it again does nothing. Blocks that are not sealed stay hot, and as readable.

        Returns:
            What could not be done because a reader held on, None where all is well. The next writer finishes it.
        """
        if self._closed:
            return None
        self._closed = True
        said: str | None = None
        try:
            if self._sealing is not None:
                self._sealing = None
                self._forget_chunks_without_their_mark()
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            self._connection.set_busy_timeout(int(CLOSING_S * 1000))
            self._connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        except apsw.BusyError:
            self.checkpoint()
            said = f"a reader still holds {self.path}; its -wal file stays until the next writer closes it"
        except apsw.Error as error:
            said = f"{self.path} could not be closed into one file ({error}); the next writer finishes it"
        finally:
            self._connection.close()
            self._lock.release()
        return said

    def abandon(self) -> None:
        """Close, and remove the file if this writer made it and no run is in it."""
        is_empty = self._created and not rows_of(self._connection, "SELECT 1 FROM run LIMIT 1")
        self.close()
        if is_empty:
            self.path.unlink(missing_ok=True)

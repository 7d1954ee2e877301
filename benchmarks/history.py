"""Long histories for benchmarks, sealed block by block without waiting for a disk, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import apsw
import numpy as np
import platformdirs

import drmviz.store
from benchmarks import fleet
from drmviz.errors import StoreError
from drmviz.model.metrics import METRIC_ROW, METRICS, FloatArray, Metric
from drmviz.model.roster import RosterTracker
from drmviz.model.run import RunHeader
from drmviz.model.samples import Reading, Tick
from drmviz.model.workers import RosterEntry
from drmviz.store.connections import ReadConnection, open_for_writing, rows_of
from drmviz.store.frames import framed, unframed
from drmviz.store.recording import Recording
from drmviz.store.schema import BLOCK_US, SCHEMA_VERSION, TIERS_US, microseconds
from drmviz.store.sealing import seal

DAY_S = 86_400
BEGAN_S = 20_718.0 * DAY_S
"""Midnight, so that blocks and columns of a whole day begin with it."""
METRIC: Metric = "cpu_ratio"
"""The one whose raw numbers lie beside the file."""
MONTH_DAYS = 30
_DECISION_EVERY_S = 600
_MODULES = (
    "bodies",
    "chunks",
    "connections",
    "counted",
    "pages",
    "recording",
    "rollups",
    "rosters",
    "schema",
    "sealing",
    "shelving",
)


class Unhurried:
    """What a recording needs of its writer where nobody waits for a tick: blocks are queued, nothing is packed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: list[tuple[int, int]] = []

    @property
    def problem(self) -> str | None:
        return None

    @property
    def owes_checkpoint(self) -> bool:
        return False

    def advance_sealing(self, budget_s: float = 0) -> bool:
        return False

    def advance_forgetting(self, now_s: float, budget_s: float = 0) -> bool:
        return False

    def queue_for_sealing(self, run: int, block: int) -> None:
        self.blocks.append((run, block))

    def checkpoint(self) -> None:
        """Blocks move into the file one by one, each when it is sealed."""

    def refusal(self, what: str, error: Exception) -> StoreError:
        return StoreError(self.path, f"{what} ({error})", remedy="Free some space.")


def record(path: Path, ticks: Iterable[Tick], *, sealed: Callable[[int, list[float]], None] | None = None) -> None:
    """Record and seal a run, one transaction for the ticks of each block and one for its chunks.

    `sealed` is called after each block with its number, and the CPU seconds of each step of its sealing.
    """
    connection = open_for_writing(path)
    unhurried = Unhurried(path)
    header = RunHeader(id="benchmark", title="benchmark", started_at_s=BEGAN_S, interval_s=1, source="", host="h")
    connection.execute(
        "INSERT INTO run (id, title, source, host, labels, facts, started_us, interval_us) VALUES"
        " (?, ?, '', 'h', '{}', '{}', ?, 1000000)",
        (header.id, header.title, microseconds(BEGAN_S)),
    )
    recording = Recording(unhurried, connection, 1, header)
    end_s = BEGAN_S
    for block, of_block in groupby(ticks, key=lambda tick: microseconds(tick.at_s) // BLOCK_US):
        with connection:
            for tick in of_block:
                recording.append(tick, seal=False)
                end_s = tick.at_s + 1
        steps_s, begun_s = [], time.process_time()
        with connection:
            for _ in seal(connection, 1, block):
                steps_s.append(time.process_time() - begun_s)
                begun_s = time.process_time()
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if sealed is not None:
            sealed(block, steps_s)
    recording.finish(end_s)
    connection.execute("PRAGMA incremental_vacuum").fetchall()  # as a writer that closes; hot ticks took those pages
    connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    connection.close()


def steady(workers: int, count: int) -> Iterator[Tick]:
    """Yield ticks one second apart of a fleet that nobody joins or leaves; a decision every ten minutes."""
    tracker = RosterTracker()
    everybody = fleet.entries(workers)
    for i, values in enumerate(fleet.samples(workers, count)):
        at_s = BEGAN_S + i
        decisions = (fleet.decision(i // _DECISION_EVERY_S, at_s),) if i % _DECISION_EVERY_S == 300 else ()
        reading = Reading(taken_at_s=at_s, entries=everybody, values=values, decisions=decisions)
        yield tracker.observe([reading], at_s=at_s, wall_s=at_s)


def churning(workers: int, count: int, *, leave_each_s: int) -> Iterator[Tick]:
    """Yield the same, but every second the so many oldest workers leave and as many come that were never seen."""
    tracker = RosterTracker()
    seen = fleet.entries(workers)
    alive = list(range(workers))
    for i, values in enumerate(fleet.samples(workers, count)):
        at_s = BEGAN_S + i
        if i and leave_each_s:
            alive = [*alive[leave_each_s:], *range(alive[-1] + 1, alive[-1] + 1 + leave_each_s)]
        entries = seen if not leave_each_s else tuple(map(_entry, alive))
        yield tracker.observe([Reading(taken_at_s=at_s, entries=entries, values=values)], at_s=at_s, wall_s=at_s)


@cache
def _entry(number: int) -> RosterEntry:
    return RosterEntry(id=f"worker-{number:07d}", host=f"host-{number % 64}", capacity=fleet.CAPACITY)


class History:
    """A seeded history in the cache: a store, and the raw numbers of one metric."""

    def __init__(self, workers: int, count: int) -> None:
        self.workers, self.ticks = workers, count
        self.folder = cache_folder() / f"{workers}x{count}-{_fingerprint()}"
        self.path = self.folder / "h.drmviz"
        self.numbers_path = self.folder / f"{METRIC}.npy"
        if not (self.folder / "complete").exists():
            self._build()

    @property
    def end_s(self) -> float:
        return BEGAN_S + self.ticks

    def numbers(self) -> FloatArray:
        """Return float32 of shape (workers, ticks)."""
        loaded: FloatArray = np.load(self.numbers_path)
        return loaded

    def _build(self) -> None:
        for older in cache_folder().glob(f"{self.workers}x{self.ticks}-*"):
            shutil.rmtree(older)
        self.folder.mkdir(parents=True)
        numbers = np.empty((self.ticks, self.workers), dtype=np.float32)

        def kept() -> Iterator[Tick]:
            for i, tick in enumerate(steady(self.workers, self.ticks)):
                numbers[i] = tick.values[METRIC_ROW[METRIC]]
                yield tick

        record(self.path, kept())
        np.save(self.numbers_path, np.ascontiguousarray(numbers.T))
        (self.folder / "complete").touch()

    def blocks_of_samples(self) -> Iterator[FloatArray]:
        """Yield the samples of ten minutes after ten minutes, float32 of shape (metrics, workers, ticks)."""
        together: list[FloatArray] = []
        for values in fleet.samples(self.workers, self.ticks):
            together.append(values)
            if len(together) == BLOCK_US // 1_000_000:
                yield np.stack(together, axis=2)
                together = []
        if together:
            yield np.stack(together, axis=2)

    def built(self, name: str, build: Callable[[Path], None]) -> Path:
        """Return a file beside the store, built by the first who asks for it."""
        path = self.folder / name
        if not path.exists():
            unfinished = self.folder / f"unfinished-{name}"
            unfinished.unlink(missing_ok=True)
            build(unfinished)
            os.replace(unfinished, path)
        return path

    def month(self) -> Path:
        """Return a store of thirty such days, one after the other, of which one metric by minutes is left."""
        return self.built("month.drmviz", self._build_month)

    def _build_month(self, path: Path) -> None:
        connection = open_for_writing(path)
        reading = ReadConnection(self.path)
        day_of = reading.connection
        with connection:
            for table in ("run", "incarnation"):
                rows = rows_of(day_of, f"SELECT * FROM {table}")
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
            connection.execute("UPDATE run SET ended_us = ended_us + ?", (microseconds((MONTH_DAYS - 1) * DAY_S),))
        columns = ", ".join(name for _, name, *_ in rows_of(connection, "PRAGMA table_info(block)"))
        chunks = rows_of(
            day_of,
            "SELECT block, tier, metric, statistic, slot, first_tick, packed, lowest, highest FROM chunk"
            " WHERE tier >= 2 AND metric = ? ORDER BY tier, statistic, block",
            (METRIC_ROW[METRIC],),
        )
        blocks = rows_of(day_of, f"SELECT {columns} FROM block")
        names = columns.split(", ")
        for day in range(MONTH_DAYS):
            later_us = microseconds(day * DAY_S)
            with connection:
                for row in blocks:
                    block = dict(zip(names, row, strict=True))
                    block["number"] += later_us // BLOCK_US
                    block["first_sequence"] += day * DAY_S
                    block |= {"times": None, "tiers": 0b1100, "raw_bytes": None, "ten_seconds_bytes": None}
                    block["first_us"] += later_us
                    block["last_us"] += later_us
                    connection.execute(
                        f"INSERT INTO block ({columns}) VALUES ({', '.join('?' * len(names))})", tuple(block.values())
                    )
                for number, tier, metric, statistic, slot, first, packed, lowest, highest in chunks:
                    moved = first + later_us // TIERS_US[tier]
                    connection.execute(
                        "INSERT INTO chunk (run, block, tier, metric, statistic, slot, first_tick, packed, lowest,"
                        " highest) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            number + later_us // BLOCK_US, tier, metric, statistic, slot, moved,
                            framed(moved, unframed(packed, sequence=first)), lowest, highest,
                        ),
                    )  # fmt: skip
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        reading.close()
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        connection.close()


@cache
def history(workers: int, count: int) -> History:
    """Return it from the cache; a day of 1000 workers takes minutes to build."""
    return History(workers, count)


def cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("drmviz-benchmarks"))


def _fingerprint() -> str:
    """Return a hash of what decides how the file looks: format and builder."""
    told = hashlib.sha256(f"{SCHEMA_VERSION} {len(METRICS)}".encode())
    store = Path(drmviz.store.__file__).parent
    for path in (Path(__file__), Path(fleet.__file__), *(store / f"{name}.py" for name in _MODULES)):
        told.update(path.read_bytes())
    return told.hexdigest()[:12]

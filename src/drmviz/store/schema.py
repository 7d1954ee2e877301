"""The tables of a store, their version, and what marks a file as ours."""

from __future__ import annotations

from functools import cache

APPLICATION_ID = 0x44524D56  # "DRMV"
SCHEMA_VERSION = 3
PAGE_BYTES = 8192
BLOCK_US = 600_000_000
"""A block is ten minutes of the epoch, so that every bucket of every tier lies inside one block."""
RAW_TIER = 0
TIERS_US = (0, 10_000_000, 60_000_000, 600_000_000)
"""Width of the buckets of each tier; the raw one has ticks."""
NEVER = 2**62
"""Roster number or time of something that has not ended."""
_RUN_SHIFT = 40


@cache
def tiers_in(mask: int) -> tuple[int, ...]:
    """Return the tiers whose bits are set, finest first."""
    return tuple(tier for tier in range(len(TIERS_US)) if mask >> tier & 1)


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def tick_id(run: int, sequence: int) -> int:
    """Return the row id of a tick: ticks of a run lie together, in their order."""
    return (run << _RUN_SHIFT) | sequence


def sequence_of(row_id: int) -> int:
    return row_id & ((1 << _RUN_SHIFT) - 1)


_TABLES = """
CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  source TEXT NOT NULL,
  host TEXT NOT NULL,
  labels TEXT NOT NULL,          -- JSON object
  facts TEXT NOT NULL,           -- JSON object
  started_us INTEGER NOT NULL,   -- wall clock at the start; every time of the run is this plus monotonic time since
  interval_us INTEGER NOT NULL,  -- 0: ticks come when somebody asks
  ended_us INTEGER               -- NULL: being written, or its recorder was killed
);
CREATE TABLE incarnation (
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  worker TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  kind TEXT NOT NULL,
  parent TEXT, host TEXT, pid INTEGER,
  labels TEXT NOT NULL,          -- JSON object
  cpu_millicores INTEGER, memory_bytes INTEGER, gpu_count INTEGER, gpu_memory_bytes INTEGER,
  joined_us INTEGER NOT NULL, why_joined TEXT,
  left_us INTEGER NOT NULL, why_left TEXT,
  joined_roster INTEGER NOT NULL, left_roster INTEGER NOT NULL,  -- a column in rosters joined <= r < left
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE INDEX incarnation_by_leaving ON incarnation (run, left_us);
CREATE TABLE resize (            -- the capacity of an incarnation from a roster on
  run INTEGER NOT NULL, incarnation INTEGER NOT NULL, roster INTEGER NOT NULL,
  cpu_millicores INTEGER, memory_bytes INTEGER, gpu_count INTEGER, gpu_memory_bytes INTEGER,
  PRIMARY KEY (run, incarnation, roster)
) WITHOUT ROWID;
CREATE TABLE tick (              -- hot: not yet sealed
  id INTEGER PRIMARY KEY,        -- run << 40 | sequence
  block INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  wall_us INTEGER NOT NULL,
  roster INTEGER NOT NULL,
  samples BLOB NOT NULL          -- framed float32 (metrics, incarnations of the roster)
);
CREATE TABLE block (
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,       -- epoch seconds // 600
  first_sequence INTEGER NOT NULL,
  sealed INTEGER NOT NULL DEFAULT 0,
  times BLOB,                    -- framed int64 (2, ticks): at_us and wall_us; goes with the raw tier
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL, block INTEGER NOT NULL, tier INTEGER NOT NULL,
  metric INTEGER NOT NULL, statistic INTEGER NOT NULL, slot INTEGER NOT NULL,
  first_tick INTEGER NOT NULL,   -- sequence of its first tick; of a rollup the number of its first bucket since 1970
  packed BLOB NOT NULL
);
CREATE UNIQUE INDEX chunk_place ON chunk (run, tier, metric, statistic, block, slot);
CREATE TABLE task (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  name TEXT NOT NULL, worker TEXT NOT NULL, outcome TEXT NOT NULL,
  started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,
  pid INTEGER, cpu_s REAL, memory_bytes INTEGER, peak_bytes INTEGER, attempt INTEGER NOT NULL
);
CREATE INDEX task_by_end ON task (run, ended_us);
CREATE TABLE decision (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  decided_us INTEGER NOT NULL,
  action TEXT NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
  metric TEXT, value REAL, threshold REAL, window_s REAL, cooldown_remaining_s REAL,
  worker_ids TEXT NOT NULL,      -- JSON array
  worker_type TEXT, utilization REAL
);
CREATE INDEX decision_by_time ON decision (run, decided_us);
CREATE TABLE note (              -- what readers must be told: damage met while sealing, ticks that could not be written
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL, at_us INTEGER NOT NULL, sentence TEXT NOT NULL
);
"""

CLOUD_TABLE = """
CREATE TABLE IF NOT EXISTS cloud (  -- a provider from a moment on, until its next row
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  provider TEXT NOT NULL,
  stated TEXT NOT NULL           -- JSON object: workers, price, instance types, what is still to be had
);
CREATE INDEX IF NOT EXISTS cloud_by_time ON cloud (run, at_us);
"""

BYTES_OF = ("raw_bytes", "ten_seconds_bytes", "minute_bytes", "ten_minutes_bytes")
"""The column of a block that tells how large its chunks of a tier are; NULL where there are none."""
BLOCK_COLUMNS = {
    "tiers": "INTEGER NOT NULL DEFAULT 1",
    "ticks": "INTEGER",
    "first_us": "INTEGER",
    "last_us": "INTEGER",
    **dict.fromkeys(BYTES_OF, "INTEGER"),
}
"""Of a sealed block: bits of the tiers that can be read, and of how many ticks it was made; NULL where its times say
it. A tier that has bytes but no bit is being forgotten."""
CHUNK_COLUMNS = {"lowest": "INTEGER", "highest": "INTEGER"}
"""The numbers of its incarnations lie between these; NULL where only the BLOB says it."""

CLOCK_TABLE = """
CREATE TABLE IF NOT EXISTS clock (  -- from a tick on, the wall clock is that far ahead of the axis
  run INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  drift_us INTEGER NOT NULL,
  PRIMARY KEY (run, at_us)
) WITHOUT ROWID;
"""

_TIERS = (
    "".join(f"ALTER TABLE block ADD COLUMN {name} {kind};\n" for name, kind in BLOCK_COLUMNS.items())
    + "".join(f"ALTER TABLE chunk ADD COLUMN {name} {kind};\n" for name, kind in CHUNK_COLUMNS.items())
    + """
DROP INDEX chunk_place;
CREATE UNIQUE INDEX chunk_place ON chunk (run, tier, metric, statistic, block, slot, lowest, highest);
CREATE INDEX incarnation_by_roster ON incarnation (run, left_roster);
"""
    + CLOCK_TABLE
)
_SIZES = """
UPDATE block SET raw_bytes = of_chunks.bytes
  FROM (SELECT run, block, sum(length(packed)) AS bytes FROM chunk GROUP BY run, block) AS of_chunks
  WHERE block.run = of_chunks.run AND block.number = of_chunks.block;
"""

UPGRADES: dict[int, str] = {1: CLOUD_TABLE, 2: _TIERS + _SIZES}
"""What turns a file of that version into one of the next."""

TABLES = _TABLES + CLOUD_TABLE + _TIERS
"""Everything that a new file is made of."""

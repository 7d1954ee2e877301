"""The tables of a store, their version, and what marks a file as ours."""

from __future__ import annotations

APPLICATION_ID = 0x44524D56  # "DRMV"
SCHEMA_VERSION = 2
PAGE_BYTES = 8192
BLOCK_US = 600_000_000
"""A block is ten minutes of the epoch, so that every bucket of every tier lies inside one block."""
NEVER = 2**62
"""Roster number or time of something that has not ended."""
_RUN_SHIFT = 40


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
  times BLOB,                    -- framed int64 (2, ticks): at_us and wall_us
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL, block INTEGER NOT NULL, tier INTEGER NOT NULL,
  metric INTEGER NOT NULL, statistic INTEGER NOT NULL, slot INTEGER NOT NULL,
  first_tick INTEGER NOT NULL,   -- sequence of its first tick
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

UPGRADES: dict[int, str] = {1: CLOUD_TABLE}
"""What turns a file of that version into one of the next."""

TABLES = _TABLES + CLOUD_TABLE
"""Everything that a new file is made of."""

"""What of a store is whole and what is lost, by run and block."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from drmviz.store.schema import BLOCK_US, TIERS_US

EVENTS = {
    "incarnation": "lives of workers",
    "task": "tests",
    "decision": "scaling decisions",
    "cloud": "statements of providers",
}
"""What the rows of a table are called; those of others are counted by block or not at all."""


@dataclass(slots=True)
class Block:
    """Ten minutes of one run: what is there of it, and what should be."""

    run: int
    number: int
    first_sequence: int = 0
    is_known: bool = True
    """Whether its own row is there, with the times of its ticks where it is sealed."""
    is_sealed: bool = False
    tiers: int = -1
    """Bits of the tiers that it has; all of them where nobody can say."""
    ticks: int = 0
    """Ticks it has; of a sealed block, as its times say."""
    last_sequence: int = -1
    pieces: int = 0
    """Chunks that are whole."""
    listed: int = 0
    """Chunks that the index of all chunks names."""
    broken: int = 0
    """Chunks or ticks that are there and are not what was written."""
    missing_ticks: int = 0
    is_doubtful: bool = False
    """Whether pages are lost beside it of which nobody can say what they held."""
    at_us: tuple[int, int] | None = None
    """When its first and last tick were, where that is known."""
    pages: set[int] = field(default_factory=set)
    why: str = ""

    def has_tier(self, tier: int) -> bool:
        """Tell whether chunks of this tier belong to it."""
        return 0 <= tier < len(TIERS_US) and bool(self.tiers >> tier & 1)

    @property
    def lost_pieces(self) -> int:
        """How many chunks or ticks are known to be lost."""
        if self.is_sealed:
            return max(self.listed - self.pieces, self.broken)
        return max(self.missing_ticks, self.broken)

    @property
    def is_whole(self) -> bool:
        return self.is_known and not self.lost_pieces and not self.is_doubtful


@dataclass(slots=True)
class Rows:
    """How many rows of a table are there."""

    whole: int = 0
    refused: int = 0
    """Rows that make no sense, or whose rest is lost."""
    lost: dict[int, int] = field(default_factory=dict)
    """Rows that an index names and that are not there, counted by run."""
    pages: set[int] = field(default_factory=set)
    """Damaged pages, each with an unknown number of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A block that is not whole; seconds since the epoch."""

    run_id: str
    start_s: float
    end_s: float
    is_lost: bool
    """Whether nothing of it can be shown; otherwise some of its pieces are gone."""
    lost_pieces: int
    """How many are known to be; 0 where that is not known."""
    pages: tuple[int, ...]
    why: str


@dataclass(slots=True)
class Account:
    """What was found in a store."""

    path: Path
    size_bytes: int
    version: int | None
    """Format of the file; None where its header is lost."""
    has_checksums: bool
    """Whether its pages carry checksums."""
    pages: int = 0
    log_commits: int = 0
    """Commits that stand in the `-wal` beside it."""
    log_loss: str | None = None
    """What of that `-wal` is lost, in a sentence; None where nothing is, and while somebody writes it."""
    run_ids: dict[int, str] = field(default_factory=dict)
    lost_headers: set[int] = field(default_factory=set)
    """Runs whose title, labels and beginning are lost."""
    blocks: dict[tuple[int, int], Block] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    index_pages: set[int] = field(default_factory=set)
    """Damaged pages that hold nothing which is not also elsewhere."""
    strangers: dict[int, int] = field(default_factory=dict)
    """Incarnations that samples name and of which no row is left, counted by run."""

    @property
    def whole_blocks(self) -> int:
        return sum(block.is_whole for block in self.blocks.values())

    @property
    def is_whole(self) -> bool:
        """Whether nothing at all is damaged; what a repaired file says that it lost before is no damage of it."""
        return (
            self.version is not None
            and self.whole_blocks == len(self.blocks)
            and self.log_loss is None
            and not self.lost_headers
            and not self.index_pages
            and not any(rows.refused or rows.lost or rows.pages for rows in self.rows.values())
        )

    def losses(self) -> list[Loss]:
        """Return the blocks that are not whole, in the order of runs and time."""
        return [self._loss(block) for _, block in sorted(self.blocks.items()) if not block.is_whole]

    def _loss(self, block: Block) -> Loss:
        start_us, end_us = block.number * BLOCK_US, (block.number + 1) * BLOCK_US
        if block.at_us is not None:
            start_us, end_us = block.at_us
        return Loss(
            run_id=self.run_ids.get(block.run, f"number {block.run}"),
            start_s=start_us / 1e6,
            end_s=end_us / 1e6,
            is_lost=not block.is_known or not (block.pieces or block.ticks),
            lost_pieces=block.lost_pieces,
            pages=tuple(sorted(block.pages)),
            why=block.why,
        )

"""What a write-ahead log that was left behind holds, and what is lost where a place of it is damaged.

SQLite takes such a log up to the last commit before the first frame that does not match, and says nothing of the rest.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from drmviz.model.metrics import BoolArray
from drmviz.store.lock import is_being_written
from drmviz.store.pages import CONTENT_BYTES
from drmviz.store.schema import PAGE_BYTES

_Words = npt.NDArray[np.uint32]

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_FRAME_BYTES = _FRAME_HEADER_BYTES + PAGE_BYTES
_MAGIC = 0x377F0682  # the lowest bit tells the byte order of the checksums
_FORMAT = 3_007_000
_FRAMES_AT_ONCE = 256
_WORD = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WalContent:
    """What is in a `-wal`; commits are mostly ticks, one each."""

    header_is_whole: bool
    frames: int
    """How many there are from its beginning that match: SQLite takes them up to the last commit among them."""
    commits: int
    """How many it takes."""
    commits_lost: int
    """How many lie at the damaged place and after it, and belong to this log."""
    damaged_frame: int | None
    """The first one that does not match although it belongs to this log, from 0; None where nothing is lost."""

    @property
    def loss(self) -> str | None:
        """What is lost, in a sentence; None where nothing is: a log that merely stops is what a kill leaves."""
        if not self.commits_lost:
            return None
        many = f"{self.commits_lost} commits" if self.commits_lost > 1 else "1 commit"
        about = f"about {self.commits_lost} ticks" if self.commits_lost > 1 else "about one tick"
        if not self.header_is_whole:
            return f"the header of its -wal is damaged: {many} ({about}) in it are lost"
        where = f"frame {self.damaged_frame} of its -wal is damaged"
        if self.commits_lost == 1:
            return f"{where}, or was cut off before it was acknowledged: 1 commit ({about}) is lost"
        return f"{where}: {many} ({about}) from there on are lost"


def wal_path(store: Path) -> Path:
    return store.with_name(store.name + "-wal")


def left_behind(store: Path) -> WalContent | None:
    """Return what is in the `-wal` of a store that nobody writes; None where there is none, or somebody writes.

    Raises:
        OSError: it cannot be read.
    """
    if is_being_written(store):
        return None
    try:
        before = wal_path(store).stat()
        content = examine(store)
        after = wal_path(store).stat()
    except FileNotFoundError:  # also when its writer took it away meanwhile
        return None
    if is_being_written(store) or (before.st_ino, before.st_size, before.st_mtime_ns) != (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    ):
        return None
    return content


def examine(store: Path) -> WalContent | None:
    """Return what is in the `-wal` of a store, None where it is empty or of another page size than ours.

    Raises:
        OSError: it cannot be read.
    """
    with wal_path(store).open("rb") as file:
        head = _Header.of(file.read(_HEADER_BYTES))
        if head is None:
            return None
        frames = _Frames.read(file, head)
    damaged = frames.whole if head.is_whole else 0
    # Frames of an earlier log may lie behind ours: they have other salts, and do not follow from our last one.
    ours = frames.ours[damaged:].copy()
    ours[:1] |= frames.follows[damaged : damaged + 1]
    behind = np.flatnonzero(ours)
    end = damaged + int(behind[-1]) + 1 if len(behind) else damaged
    lost = int(np.count_nonzero(frames.commits[damaged:end]))
    if lost and not head.is_whole and _are_in_the_file(store, frames.numbers[:end]):
        lost = 0  # cut off while the log was begun anew: everything in it had been moved into the file
    return WalContent(
        header_is_whole=head.is_whole,
        frames=damaged,
        commits=int(np.count_nonzero(frames.commits[:damaged])),
        commits_lost=lost,
        damaged_frame=damaged if lost else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The pages that SQLite takes from a write-ahead log: whole commits, up to the first frame that does not match."""

    offset_of: dict[int, int]
    """Where in the log the newest content of a page stands, by its number."""
    pages: int
    """How many the database has after the last commit; 0 where there is none."""
    commits: int


def committed(log: BinaryIO) -> Committed:
    """Return what SQLite takes of a log; nothing where its header is damaged or of another page size than ours.

    Raises:
        OSError: it cannot be read.
    """
    log.seek(0)
    head = _Header.of(log.read(_HEADER_BYTES))
    if head is None or not head.is_whole:
        return Committed(offset_of={}, pages=0, commits=0)
    frames = _Frames.read(log, head)
    ends = np.flatnonzero(frames.commits[: frames.whole])
    pages = int(frames.sizes[ends[-1]]) if len(ends) else 0
    numbers = frames.numbers[: ends[-1] + 1 if len(ends) else 0].tolist()
    first = _HEADER_BYTES + _FRAME_HEADER_BYTES
    offset_of = {number: first + frame * _FRAME_BYTES for frame, number in enumerate(numbers) if number <= pages}
    return Committed(offset_of=offset_of, pages=pages, commits=len(ends))


def set_aside(store: Path) -> Path:
    """Copy the `-wal` of a store to the next free `-wal.damaged-N` beside it, durably, and return where.

    Raises:
        OSError: the copy cannot be written.
    """
    number = 1
    while True:
        to = store.with_name(f"{store.name}-wal.damaged-{number}")
        try:
            copy = to.open("xb")
        except FileExistsError:
            number += 1
            continue
        try:
            with copy, wal_path(store).open("rb") as damaged:
                shutil.copyfileobj(damaged, copy)
                copy.flush()
                os.fsync(copy.fileno())
        except OSError:
            to.unlink()  # half a copy would pass for all of it
            raise
        return to


@dataclass(frozen=True, slots=True)
class _Header:
    is_whole: bool
    order: str
    """Of the words that checksums are made of, as NumPy writes it."""
    salts: bytes
    checksum: tuple[int, int]

    @classmethod
    def of(cls, head: bytes) -> _Header | None:
        magic, version, page_bytes = (int.from_bytes(head[at : at + 4], "big") for at in (0, 4, 8))
        is_known = magic & ~1 == _MAGIC
        order = (">" if magic & 1 else "<") if is_known else ("<" if sys.byteorder == "little" else ">")
        if len(head) < _HEADER_BYTES:
            return None
        words = np.frombuffer(head[:24], dtype=f"{order}u4").astype(np.uint32)
        sums = _advanced((0, 0), words)
        stored = int.from_bytes(head[24:28], "big"), int.from_bytes(head[28:32], "big")
        is_whole = is_known and version == _FORMAT and sums == stored
        if is_whole and page_bytes != PAGE_BYTES:
            return None
        return cls(is_whole, order, head[16:24], stored)


@dataclass(frozen=True, slots=True)
class _Frames:
    """What is known of each frame; arrays of shape (frames,)."""

    numbers: npt.NDArray[np.uint32]
    """Of the pages."""
    sizes: npt.NDArray[np.uint32]
    """Pages of the database after the commit that it ends; 0 where it ends none."""
    ours: BoolArray
    """Its salts are those of the header; of the first frame, where the header is damaged."""
    follows: BoolArray
    """Its checksum is what follows from its content and the checksum that stands in the frame before."""

    @property
    def whole(self) -> int:
        """How many there are from the beginning that match."""
        broken = np.flatnonzero(~(self.follows & self.ours & (self.numbers != 0)))
        return int(broken[0]) if len(broken) else len(self.numbers)

    @property
    def commits(self) -> BoolArray:
        """Whether it ends a commit."""
        ends: BoolArray = self.sizes != 0
        return ends

    @classmethod
    def read(cls, file: BinaryIO, header: _Header) -> _Frames:
        parts = []
        before = np.array([header.checksum], dtype=np.uint32)
        salts = np.frombuffer(header.salts, dtype=">u4") if header.is_whole else None
        while len(raw := file.read(_FRAMES_AT_ONCE * _FRAME_BYTES)) >= _FRAME_BYTES:
            frames = np.frombuffer(raw[: len(raw) // _FRAME_BYTES * _FRAME_BYTES], dtype=np.uint8)
            frames = frames.reshape(-1, _FRAME_BYTES)
            heads = np.ascontiguousarray(frames[:, :_FRAME_HEADER_BYTES]).view(">u4").astype(np.uint32)
            content = np.concatenate((frames[:, :8], frames[:, _FRAME_HEADER_BYTES:]), axis=1)
            words = content.view(f"{header.order}u4").astype(np.uint32)
            stored = heads[:, 4:6]
            weights, power = _checksum_of(words.shape[1] // 2)
            follows = words @ weights + np.concatenate((before, stored[:-1])) @ power == stored
            salts = heads[0, 2:4] if salts is None else salts
            ours = (heads[:, 2:4] == salts).all(axis=1)
            parts.append((heads[:, 0], heads[:, 1], ours, follows.all(axis=1)))
            before = stored[-1:]
        if not parts:
            none, nothing = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.bool_)
            return cls(none, none, nothing, nothing)
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@lru_cache(maxsize=4)
def _checksum_of(pairs: int) -> tuple[_Words, _Words]:
    """Return the checksum of so many pairs of words as the linear map that it is, modulo 2**32.

    A pair (x, y) turns (a, b) into (a + b + x, a + 2b + x + y). Word by word that takes Python 0.5 s for each MB.

    Returns:
        What the words count, shape (2 * pairs, 2), and what the checksum before them counts, shape (2, 2).
    """
    weights = np.empty((2 * pairs, 2), dtype=np.uint32)
    power = [[1, 0], [0, 1]]  # of the step, from the last pair to the first
    for i in reversed(range(pairs)):
        for column, (a, b) in enumerate(power):
            weights[2 * i, column] = (a + b) & _WORD
            weights[2 * i + 1, column] = b
        power = [[(a + b) & _WORD, (a + 2 * b) & _WORD] for a, b in power]
    return weights, np.array(power, dtype=np.uint32).T


def _advanced(before: tuple[int, int], words: _Words) -> tuple[int, int]:
    weights, power = _checksum_of(len(words) // 2)
    first, second = words @ weights + np.array(before, dtype=np.uint32) @ power
    return int(first), int(second)


def _are_in_the_file(store: Path, numbers: npt.NDArray[np.uint32]) -> bool:
    """Tell whether the newest content of each page in the log is what the file has."""
    newest = {number: frame for frame, number in enumerate(numbers.tolist())}
    with wal_path(store).open("rb") as log, store.open("rb") as main:
        for number, frame in newest.items():
            log.seek(_HEADER_BYTES + frame * _FRAME_BYTES + _FRAME_HEADER_BYTES)
            main.seek((number - 1) * PAGE_BYTES)
            if log.read(CONTENT_BYTES) != main.read(CONTENT_BYTES):
                return False
    return True

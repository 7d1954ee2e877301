"""Takes every row of a store that can be trusted, table by table, and accounts for what cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from drmviz.model.metrics import IntArray
from drmviz.store.chunks import checked, members_of, place_of
from drmviz.store.clock import times_of
from drmviz.store.frames import DamagedFrameError
from drmviz.store.repairing.account import Account, Block, Rows
from drmviz.store.repairing.meeting import Meeting
from drmviz.store.repairing.neighbours import Neighbours
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.repairing.tables import tables_of
from drmviz.store.repairing.trees import Forest, Gap
from drmviz.store.repairing.trial import Row
from drmviz.store.rosters import Rosters
from drmviz.store.schema import BLOCK_US, RAW_TIER, TIERS_US, sequence_of, tick_id
from drmviz.store.sealing import samples_of

Keep = Callable[[str, Mapping[str, Any]], None]
"""What is done with each row that is whole: (table, values by column)."""

_NOBODY = np.array([-1])
"""Behind the numbers of all incarnations of a run: where one that is not among them is found."""
_DONE_APART = ("run", "incarnation", "resize", "block", "chunk", "tick")


def take_whole_rows(pages: PageFile, keep: Keep) -> Account:
    """Hand every whole row to `keep` and return what is there and what is lost."""
    work = _Taking(pages, keep)
    try:
        return work.account_of_all()
    finally:
        work.close()


class _Taking:
    def __init__(self, pages: PageFile, keep: Keep) -> None:
        tables, is_stated = tables_of(pages)
        self._pages = pages
        self._keep = keep
        self._forest = Forest(pages, tables)
        self._account = Account(
            path=pages.path,
            size_bytes=pages.size_bytes,
            version=pages.header_number(60) if is_stated else None,
            has_checksums=pages.has_checksums,
            pages=pages.count,
            log_commits=pages.log.commits,
            log_loss=pages.log_loss,
            rows={table.name: Rows() for table in tables if table.name == table.of},
        )
        self._met = Meeting(pages, self._forest, self._account)
        self._rosters: dict[int, Rosters] = {}
        self._numbers: dict[int, IntArray] = {}
        self._strangers: dict[int, set[int]] = {}
        self._whole: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._is_every_run_known = True

    def close(self) -> None:
        self._met.close()

    def account_of_all(self) -> Account:
        for tree in self._forest.trees.values():
            is_rows = tree.table.name in self._account.rows
            into = self._account.rows[tree.table.name].pages if is_rows else self._account.index_pages
            into.update(gap.page for gap in tree.gaps)
            self._account.index_pages.update(tree.bypassed)
        self._take_runs()
        self._take_lives()
        self._take_blocks()
        self._take_chunks()
        self._take_ticks()
        for table in self._account.rows:
            if table not in _DONE_APART:
                for row in self._of_known_runs(table):
                    self._kept(table, row)
                self._count_lost(table)
        self._make_up_for_lost_rows()
        self._find_missing_ticks()
        self._account.strangers = {run: len(numbers) for run, numbers in self._strangers.items()}
        return self._account

    def _of_known_runs(self, table: str) -> Iterator[Row]:
        for row in self._met.readable_rows(table):
            if self._is_of_a_run(row["run"]):
                yield row
            else:
                self._account.rows[table].refused += 1

    def _is_of_a_run(self, run: int) -> bool:
        return run in self._account.run_ids

    def _kept(self, table: str, row: Row) -> None:
        self._keep(table, row)
        self._account.rows[table].whole += 1
        if "run" in row:
            self._whole[table][row["run"]] += 1

    def _count_lost(self, table: str) -> None:
        """Count the rows of each run that an index of the table names beyond those that are whole."""
        seen = self._account.rows[table]
        if not seen.pages and not seen.refused:
            return
        for tree in self._forest.trees.values():
            if tree.table.of == table and tree.table.name != table:
                listed = Counter(row["run"] for row, _ in self._met.rows(tree.table.name))
                lost = listed - self._whole[table]
                seen.lost.update({run: count for run, count in lost.items() if self._is_of_a_run(run)})
                if not seen.lost and not seen.refused and not tree.gaps:
                    self._account.index_pages |= seen.pages  # none of the damaged pages held rows
                    seen.pages.clear()

    # Runs, and who took part in them.

    def _take_runs(self) -> None:
        for row in self._met.readable_rows("run"):
            self._account.run_ids[row["number"]] = row["id"]
            self._kept("run", row)
        for tree in self._forest.trees.values():  # its id stands in an index of its own
            if tree.table.of == "run" and tree.table.name != "run":
                for row, _ in self._met.rows(tree.table.name):
                    if row["rowid"] not in self._account.run_ids:
                        self._account.run_ids[row["rowid"]] = row["id"]
                        self._account.lost_headers.add(row["rowid"])
                self._is_every_run_known = not tree.gaps

    def _known_run(self, run: int) -> bool:
        """Tell whether such a run exists; where both places that name all runs are lost, a block will do."""
        if run in self._account.run_ids:
            return True
        if self._is_every_run_known or not self._account.rows["run"].pages or not 0 < run < 1 << 22:
            return False
        self._account.run_ids[run] = f"recovered-{run}"
        self._account.lost_headers.add(run)
        return True

    def _take_lives(self) -> None:
        lives: dict[int, list[tuple[int, int, int]]] = {}
        for row in self._met.readable_rows("incarnation"):
            if self._known_run(row["run"]):
                lives.setdefault(row["run"], []).append((row["number"], row["joined_roster"], row["left_roster"]))
                self._kept("incarnation", row)
            else:
                self._account.rows["incarnation"].refused += 1
        self._count_lost("incarnation")
        for row in self._of_known_runs("resize"):
            self._kept("resize", row)
        for run, of_run in lives.items():
            table = np.array(of_run, dtype=np.int64)
            _, first = np.unique(table[:, 0], return_index=True)
            self._numbers[run] = np.append(table[first, 0], _NOBODY)
            self._rosters[run] = Rosters(table[first, 0], table[first, 1], table[first, 2])

    # Blocks: their own rows, then the chunks of sealed ones and the ticks of the others.

    def _take_blocks(self) -> None:
        for row, cell in self._met.rows("block"):
            run, number = row["run"], row["number"]
            if not self._known_run(run):
                self._account.rows["block"].refused += 1
                continue
            block = Block(run=run, number=number, first_sequence=row.get("first_sequence", 0))
            if cell.broken_at:
                block.is_known, block.is_sealed, block.why = False, True, "the times of its ticks are lost"
                block.pages.add(cell.broken_at)
            else:
                self._check_times(block, row)
            self._account.blocks.setdefault((run, number), block)
            if block.is_known and block.is_sealed:
                self._kept("block", {**row, "sealed": 1})

    def _check_times(self, block: Block, row: Row) -> None:
        times = row.get("times")
        block.tiers = row.get("tiers", 1 << RAW_TIER)
        if times is None:
            block.is_sealed = bool(row["sealed"])
            if block.is_sealed and not self._has_only_rollups(block, row):
                block.is_known, block.why = False, "the times of its ticks are lost"
            return
        block.is_sealed = True
        try:
            stamps = times_of(times, block.first_sequence)
            if not stamps.size or (stamps[0] // BLOCK_US != block.number).any():
                raise DamagedFrameError("they are those of another block")
            if not block.tiers & 1 << RAW_TIER or block.tiers >> len(TIERS_US):
                raise DamagedFrameError("its tiers are none that there are")
        except ValueError as error:
            block.is_known, block.why = False, f"the times of its ticks are damaged: {error}"
            return
        block.ticks = stamps.shape[1]
        block.last_sequence = block.first_sequence + block.ticks - 1
        block.at_us = (int(stamps[0, 0]), int(stamps[0, -1]))

    def _has_only_rollups(self, block: Block, row: Row) -> bool:
        """Tell whether the samples of a block were forgotten, and what its row says instead makes sense."""
        ticks, first_us, last_us = row.get("ticks"), row.get("first_us"), row.get("last_us")
        if not 0 < block.tiers < 1 << len(TIERS_US) or block.tiers & 1 << RAW_TIER or not ticks:
            return False
        if first_us is None or last_us is None or {first_us // BLOCK_US, last_us // BLOCK_US} != {block.number}:
            return False
        block.ticks, block.at_us = ticks, (first_us, last_us)
        block.last_sequence = block.first_sequence + ticks - 1
        return True

    def _take_chunks(self) -> None:
        neighbours = Neighbours(self._forest.trees["chunk"].gaps)
        seen = self._account.rows["chunk"]
        for row, cell in self._met.rows("chunk"):
            place = (row.get("run"), row.get("block"))
            block = self._account.blocks.get(place)  # type: ignore[arg-type]
            if block is None or not block.is_sealed:
                continue  # of a block whose row is lost: the index says so; of one being sealed: begun anew anyway
            neighbours.saw(row["id"], block)
            if not block.is_known or not block.has_tier(row.get("tier", RAW_TIER)):
                continue  # of a tier that is being forgotten
            why = f"page {cell.broken_at} is damaged" if cell.broken_at else self._fault_of_chunk(block, row)
            if why:
                seen.refused += 1
                block.broken += 1
                block.why = block.why or why
                block.pages.update({cell.broken_at} - {0})
            else:
                block.pieces += 1
                self._kept("chunk", row)
        self._compare_with_index(neighbours)

    def _fault_of_chunk(self, block: Block, row: Row) -> str:
        try:
            payload = checked(row["packed"], first_tick=row["first_tick"])
        except DamagedFrameError as error:
            return str(error)
        if place_of(payload) != (row["tier"], row["metric"], row["statistic"]):
            return "a piece says that it is another one"
        tier, first = row["tier"], row["first_tick"]
        if tier == RAW_TIER and not block.first_sequence <= first <= block.last_sequence:
            return "a piece is one of another block"
        if tier != RAW_TIER and first * TIERS_US[tier] // BLOCK_US != block.number:
            return "a piece is one of another block"
        members = members_of(payload)
        if {row.get("lowest"), row.get("highest")} - {None, int(members.min()), int(members.max())}:
            return "a piece says that it is one of other workers"
        known = self._numbers.get(block.run, _NOBODY)
        unknown = members[known[np.searchsorted(known[:-1], members)] != members]
        if unknown.size:
            self._strangers.setdefault(block.run, set()).update(unknown.tolist())
        return ""

    def _compare_with_index(self, neighbours: Neighbours) -> None:
        """Find out which chunks should be there."""
        index = self._forest.trees.get("chunk_place")
        gaps = self._forest.trees["chunk"].gaps
        blocks_gaps = self._forest.trees["block"].gaps
        if not gaps and not blocks_gaps and not self._account.rows["chunk"].refused:
            return
        for row, _ in self._met.rows("chunk_place"):
            if not self._is_of_a_run(row["run"]):
                continue
            place = (row["run"], row["block"])
            block = self._account.blocks.get(place)
            if block is None:
                block = Block(run=place[0], number=place[1], is_known=False, is_sealed=True, why="its row is lost")
                block.pages.update(gap.page for gap in blocks_gaps if gap.holds(place))
                self._account.blocks[place] = block
            block.listed += block.has_tier(row["tier"])
            if gaps and (page := neighbours.page_of(row["rowid"])):
                block.pages.add(page)
        if gaps and (index is None or index.gaps or index.found):
            for first, last, gap in neighbours.around():
                for place, block in self._account.blocks.items():
                    if block.is_sealed and (first is None or first <= place) and (last is None or place <= last):
                        block.is_doubtful = True
                        block.pages.add(gap.page)
                        block.why = block.why or gap.why

    def _take_ticks(self) -> None:
        seen = self._account.rows["tick"]
        for row, cell in self._met.rows("tick"):
            run, sequence = row["id"] >> 40, sequence_of(row["id"])
            if not self._known_run(run) or "block" not in row:
                seen.refused += 1
                continue
            place = (run, row["block"])
            block = self._account.blocks.get(place)
            if block is not None and block.is_known and block.is_sealed:
                continue  # packed already, and about to be deleted
            if block is None or block.is_sealed:
                if cell.broken_at or self._fault_of_tick(run, row):
                    seen.refused += 1
                    continue
                block = Block(run=run, number=row["block"], first_sequence=sequence, why="its row is lost")
                self._account.blocks[place] = block
            why = f"page {cell.broken_at} is damaged" if cell.broken_at else self._fault_of_tick(run, row)
            if why:
                seen.refused += 1
                block.broken += 1
                block.why = block.why or why
                block.pages.update({cell.broken_at} - {0})
                continue
            block.ticks += 1
            block.first_sequence = min(block.first_sequence, sequence)
            block.last_sequence = max(block.last_sequence, sequence)
            first, last = block.at_us or (row["at_us"], row["at_us"])
            block.at_us = (min(first, row["at_us"]), max(last, row["at_us"]))
            self._kept("tick", row)

    def _fault_of_tick(self, run: int, row: Row) -> str:
        if row["at_us"] // BLOCK_US != row["block"]:
            return "a tick has the time of another block"
        members = self._rosters[run].members(row["roster"]) if run in self._rosters else ()
        try:
            samples_of(row["samples"], sequence=sequence_of(row["id"]), incarnations=len(members))
        except DamagedFrameError as error:
            return str(error)
        return ""

    # What can be told of rows that are not there.

    def _make_up_for_lost_rows(self) -> None:
        """Keep a row for each block that has ticks, also where its own is lost, and a header for each run."""
        for block in self._account.blocks.values():
            if not block.is_sealed and block.ticks:
                row = {"run": block.run, "number": block.number, "first_sequence": block.first_sequence, "sealed": 0}
                self._kept("block", row)
        for run in sorted(self._account.lost_headers):
            known = [b.at_us[0] for b in self._account.blocks.values() if b.run == run and b.is_known and b.at_us]
            if known:
                header = {"number": run, "id": self._account.run_ids[run], "title": "(its header is lost)"}
                told = {"source": "", "host": "", "labels": "{}", "facts": "{}", "interval_us": 0}
                self._keep("run", header | told | {"started_us": min(known)})

    def _find_missing_ticks(self) -> None:
        """Find the gaps in the sequence of ticks that are not packed yet."""
        gaps = self._forest.trees["tick"].gaps
        if not gaps and not self._account.rows["tick"].refused:
            return  # what is missing was lost before: this file is a repaired one
        ordered = [block for _, block in sorted(self._account.blocks.items())]
        for block, following in pairwise([*ordered, None]):
            if block is None or block.is_sealed:
                continue
            is_last = following is None or following.run != block.run
            end = block.last_sequence if is_last or following is None else following.first_sequence - 1
            block.missing_ticks = max(0, end - block.first_sequence + 1 - block.ticks)
            for gap in gaps:
                if _overlaps(gap, block.run, block.first_sequence, None if is_last else end):
                    block.pages.add(gap.page)
                    block.why = block.why or gap.why
                    block.is_doubtful |= is_last and not block.missing_ticks


def _overlaps(gap: Gap, run: int, first: int, last: int | None) -> bool:
    """Tell whether ticks of a run from one sequence to another, or to its end, may have stood in a lost page."""
    after = -1 if gap.after is None else gap.after[0]
    starts, ends = tick_id(run, first), tick_id(run + 1, 0) - 1 if last is None else tick_id(run, last)
    return after < ends and (gap.upto is None or gap.upto[0] >= starts)

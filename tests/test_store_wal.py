"""A damaged write-ahead log that was left behind costs what lies behind the damage: counted and named."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from drmviz.errors import StoreDamagedError
from drmviz.model.metrics import METRICS
from drmviz.model.run import Run
from drmviz.store import Store, Writer
from drmviz.store.schema import PAGE_BYTES
from drmviz.store.wal import examine, left_behind, set_aside, wal_path
from tests.commands import Bench
from tests.fleets import START_S, KnownFleet

WORKERS = ["a", "b"]
FRAME_BYTES = 24 + PAGE_BYTES


@dataclass(frozen=True)
class Left:
    """What a killed writer left: the file and its log, as bytes, and what it had written."""

    folder: Path
    fleet: KnownFleet
    ticks: int
    main: bytes
    log: bytes

    def commits(self) -> list[int]:
        """Return the frames, from 0, that end a commit."""
        heads = [self.log[at : at + 8] for at in range(32, len(self.log), FRAME_BYTES)]
        return [i for i, head in enumerate(heads) if head[4:8] != b"\0\0\0\0"]

    def put(self, log: bytes) -> Path:
        """Lay the file down with that log, and nothing else, and return its path."""
        path = self.folder / "copy.drmviz"
        for left in self.folder.glob("copy.drmviz*"):
            left.unlink()
        path.write_bytes(self.main)
        wal_path(path).write_bytes(log)
        return path


def left_by_a_killed_writer(folder: Path, *, ticks: int, checkpoint_after: int | None = None) -> Left:
    path = folder / "h.drmviz"
    fleet = KnownFleet()
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
    if not checkpoint_after:
        writer._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for n in range(ticks):
        recording.append(fleet.tick(START_S + n, WORKERS, missing=0))
        if n + 1 == checkpoint_after:
            writer.checkpoint()
    main, log = path.read_bytes(), wal_path(path).read_bytes()
    writer.close()
    return Left(folder, fleet, ticks, main, log)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left_by_a_killed_writer(tmp_path_factory.mktemp("left"), ticks=3)


def read(path: Path) -> Run:
    with Store.open(path) as store:
        return store.read(columns=10_000)


def assert_prefix(run: Run, fleet: KnownFleet) -> None:
    """Every number is what was written, from the first tick on without a hole."""
    if not run.measured_ticks:
        return
    np.testing.assert_array_equal(run.starts_at_s, START_S + np.arange(run.measured_ticks))
    for metric in METRICS:
        for row, worker in enumerate(run.workers):
            written = [fleet.samples[round(at_s * 1e6), worker.id][METRICS.index(metric)] for at_s in run.starts_at_s]
            np.testing.assert_array_equal(run.values(metric)[row], written)


def losses(notes: Sequence[str]) -> list[str]:
    return [note for note in notes if "-wal" in note]


def flipped(log: bytes, place: int, bit: int) -> bytes:
    return log[:place] + bytes([log[place] ^ 1 << bit]) + log[place + 1 :]


def test_a_log_that_nothing_happened_to_is_no_loss(left: Left) -> None:
    path = left.put(left.log)

    content = examine(path)
    run = read(path)

    assert content is not None
    assert (content.commits, content.commits_lost, content.loss) == (3, 0, None)
    assert content.frames == (len(left.log) - 32) // FRAME_BYTES
    assert run.measured_ticks == 3
    assert_prefix(run, left.fleet)
    assert losses(run.notes) == []


def test_where_our_count_ends_is_where_the_engine_ends(left: Left) -> None:
    """SQLite says how many frames it took; we say the same, wherever a byte is wrong."""
    for place in range(32 + 17, len(left.log), FRAME_BYTES // 3):
        path = left.put(flipped(left.log, place, 3))
        content = examine(path)
        connection = apsw.Connection(str(path))
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # until then it has not looked
        taken = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[0]
        connection.close()

        assert content is not None
        ends = [frame + 1 for frame in left.commits() if frame < content.frames]
        assert taken == (ends[-1] if ends else 0), place
        assert content.commits == len(ends)


def damaged_at_random(left: Left, count: int) -> Iterator[tuple[str, bytes, int | None]]:
    """Yield what was done, the log after it, and how many commits are lost to damage; None where the log just ends."""
    seeded = random.Random(7)
    for n in range(count):
        place = seeded.randrange(len(left.log))
        if n % 2:
            yield f"cut at {place}", left.log[:place], None
        else:
            yield flip(left, place, seeded.randrange(8))


def flip(left: Left, place: int, bit: int) -> tuple[str, bytes, int]:
    frame = max(0, (place - 32) // FRAME_BYTES)
    return f"bit {bit} of {place}", flipped(left.log, place, bit), sum(1 for end in left.commits() if end >= frame)


def assert_told(left: Left, damaged: Iterator[tuple[str, bytes, int | None]]) -> None:
    for what, log, lost in damaged:
        path = left.put(log)
        run = read(path)
        assert_prefix(run, left.fleet)
        named = losses(run.notes)
        if lost is None:
            whole = sum(1 for end in left.commits() if 32 + (end + 1) * FRAME_BYTES <= len(log))
            assert (run.measured_ticks, named) == (whole, []), what
        else:
            assert run.measured_ticks == left.ticks - lost, what
            (said,) = named
            # Of the damaged frame itself we may take the end of a commit for none, or the other way round.
            assert any(f"{n} commit" in said for n in (lost - 1, lost, lost + 1)), (what, said)


def test_a_log_cut_or_flipped_at_500_places_gives_an_exact_prefix_and_names_what_is_lost(left: Left) -> None:
    assert_told(left, damaged_at_random(left, 500))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_log_flipped_at_every_byte_gives_an_exact_prefix_and_names_what_is_lost(left: Left) -> None:
    assert_told(left, (flip(left, place, place % 8) for place in range(len(left.log))))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_log_cut_at_every_byte_gives_an_exact_prefix(left: Left) -> None:
    assert_told(left, ((f"cut at {n}", left.log[:n], None) for n in range(len(left.log))))


def test_the_next_writer_keeps_the_damaged_log_notes_the_loss_once_and_goes_on(left: Left) -> None:
    place = 32 + (left.commits()[0] + 1) * FRAME_BYTES + 5000
    log = flipped(left.log, place, 2)
    path = left.put(log)

    for round_ in range(2):
        with Writer.open(path) as writer:
            began_s = START_S + 60 * (1 + round_)
            recording = writer.begin(title=f"more {round_}", started_at_s=began_s, interval_s=1)
            recording.append(KnownFleet().tick(began_s, WORKERS))
            recording.finish(began_s + 1)

    kept = path.with_name("copy.drmviz-wal.damaged-1")
    assert kept.read_bytes() == log
    assert sorted(file.name for file in path.parent.glob("copy.drmviz*")) == [path.name, kept.name]
    with Store.open(path) as store:
        first, *others = [store.read(header.id) for header in store.runs()]
    (said,) = losses(first.notes)
    assert "2 commits (about 2 ticks) from there on are lost" in said
    assert said.endswith("the log is kept as copy.drmviz-wal.damaged-1")
    assert [losses(run.notes) for run in others] == [[], []]
    assert first.measured_ticks == 1
    assert_prefix(first, left.fleet)


def test_a_writer_that_dies_again_does_not_name_the_same_loss_twice(tmp_path: Path) -> None:
    left = left_by_a_killed_writer(tmp_path, ticks=40)  # what it writes does not reach to the end of the old log
    path = left.put(flipped(left.log, 32 + (left.commits()[0] + 1) * FRAME_BYTES + 70, 2))
    writer = Writer.open(path)
    writer.begin(title="more", started_at_s=START_S + 60, interval_s=1)
    main, log = path.read_bytes(), wal_path(path).read_bytes()
    writer.close()
    again = replace(left, main=main).put(log)

    with Store.open(again) as store:
        newest, oldest = store.read(), store.read(store.runs()[0].id)
        assert store.lost is None

    assert losses(newest.notes) == []
    assert len(losses(oldest.notes)) == 1


# No file may grow beyond so many bytes: the copy of the log fails in its middle, as on a full disk.
OPENS_WITH_LITTLE_SPACE = """
import resource, sys
from drmviz.store import Writer
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
Writer.open(sys.argv[1])
"""


def test_a_damaged_log_that_cannot_be_kept_is_not_written_over(left: Left) -> None:
    log = flipped(left.log, len(left.log) - 7, 2)
    path = left.put(log)

    done = subprocess.run(
        [sys.executable, "-c", OPENS_WITH_LITTLE_SPACE, str(path), str(len(log) // 2)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "StoreError" in done.stderr
    assert "its damaged -wal cannot be kept aside (File too large)" in done.stderr
    assert wal_path(path).read_bytes() == log
    assert path.read_bytes() == left.main
    assert sorted(file.name for file in path.parent.glob("copy*")) == [path.name, wal_path(path).name]


def test_copies_of_damaged_logs_never_replace_each_other(left: Left) -> None:
    path = left.put(b"first")
    one = set_aside(path)
    wal_path(path).write_bytes(b"second")
    two = set_aside(path)

    assert (one.name, one.read_bytes()) == ("copy.drmviz-wal.damaged-1", b"first")
    assert (two.name, two.read_bytes()) == ("copy.drmviz-wal.damaged-2", b"second")


@pytest.mark.parametrize("place", [0, 4, 9, 13, 17, 22, 25, 31])
def test_a_damaged_header_costs_the_whole_log_and_is_said(left: Left, place: int) -> None:
    path = left.put(flipped(left.log, place, 1))

    run = read(path)

    assert run.measured_ticks == 0
    assert losses(run.notes) == ["the header of its -wal is damaged: 3 commits (about 3 ticks) in it are lost"]


def test_a_damaged_header_of_a_log_that_is_in_the_file_costs_nothing(tmp_path: Path) -> None:
    left = left_by_a_killed_writer(tmp_path, ticks=3, checkpoint_after=3)
    path = left.put(flipped(left.log, 25, 1))

    run = read(path)

    assert run.measured_ticks == 3
    assert_prefix(run, left.fleet)
    assert losses(run.notes) == []


def test_frames_of_an_earlier_log_behind_ours_are_no_loss(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    before = left_by_a_killed_writer(tmp_path / "before", ticks=3)
    left = left_by_a_killed_writer(tmp_path, ticks=3, checkpoint_after=2)  # the third begins the log anew
    path = left.put(left.log + before.log[len(left.log) :])

    content = examine(path)

    assert content is not None
    assert (content.frames, content.commits, content.loss) == (1, 1, None)
    assert len(before.log) > len(left.log)


def test_a_last_commit_of_which_only_the_salts_are_damaged_is_named(left: Left) -> None:
    last = left.commits()[-1]
    assert last == (len(left.log) - 32) // FRAME_BYTES - 1
    path = left.put(flipped(left.log, 32 + last * FRAME_BYTES + 9, 4))

    run = read(path)

    assert run.measured_ticks == 2
    (said,) = losses(run.notes)
    assert said.startswith(f"frame {last} of its -wal is damaged, or was cut off before it was acknowledged: 1 commit")


def test_a_file_with_tables_whose_runs_are_lost_says_why_it_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        writer._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        writer.begin(title="t", started_at_s=START_S, interval_s=1)
        writer.begin(title="u", started_at_s=START_S, interval_s=1)
        main, log = path.read_bytes(), wal_path(path).read_bytes()
    left = Left(tmp_path, KnownFleet(), 0, main, flipped(log, 32 + 40, 1))
    copy = left.put(left.log)

    with Store.open(copy) as store:
        for ask in (store.runs, store.read):
            with pytest.raises(StoreDamagedError, match=r"it is damaged .frame 0 of its -wal is damaged: 2 commits"):
                ask()


def test_while_somebody_writes_nothing_is_said_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        recording.append(KnownFleet().tick(START_S, WORKERS))
        with wal_path(path).open("r+b") as log:
            log.seek(40)
            log.write(b"\xff\xff")

        assert left_behind(path) is None
        with Store.open(path) as store:
            assert store.lost is None


def test_a_history_whose_beginning_is_lost_is_named_by_every_command(bench: Bench) -> None:
    left = left_by_a_killed_writer(bench.folder, ticks=2, checkpoint_after=100)
    path = left.put(flipped(left.log, 32 + 30, 1))  # the first frame: not even a table is left

    for command in ("runs", "report", "doctor", "draw"):
        done = bench.drmviz(command, path.name)
        said = done.stdout + done.stderr
        assert done.returncode == 1, command
        assert "frame 0 of its -wal is damaged" in said
        assert "commits (about" in said
        assert "Traceback" not in said
    with pytest.raises(StoreDamagedError):
        Store.open(path)
    with Writer.open(path) as writer:
        recording = writer.begin(title="anew", started_at_s=START_S + 60, interval_s=1)
        recording.append(left.fleet.tick(START_S + 60, WORKERS))
    assert "kept as copy.drmviz-wal.damaged-1" in losses(read(path).notes)[0]


def test_the_list_of_runs_and_the_doctor_name_what_a_log_has_lost(bench: Bench) -> None:
    left = left_by_a_killed_writer(bench.folder, ticks=3)
    path = left.put(flipped(left.log, len(left.log) - 2 * FRAME_BYTES, 1))

    runs = bench.drmviz("runs", path.name)
    doctor = bench.drmviz("doctor", path.name)

    assert runs.returncode == 0
    assert "of its -wal is damaged" in runs.stderr
    assert doctor.returncode == 1
    assert "of its -wal is damaged" in doctor.stdout

"""One file per history: one writer, many readers, and one clear line where it is something else."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drmviz.errors import StoreBusyError, StoreError
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Store, Writer, connections
from drmviz.store.chunks import Chunk, checked, decode, encode
from drmviz.store.frames import DamagedFrameError, framed, unframed
from drmviz.store.pages import connect
from drmviz.store.repairing import examine
from tests.fleets import START_S, KnownFleet, altered, written


def test_what_happened_beside_the_samples_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    decision = ScalingDecision(
        action="scale_up",
        decided_at_s=START_S + 1,
        count=3,
        reason="cpu 0.84 >= 0.80",
        metric="cpu_ratio",
        value=0.84,
        threshold=0.8,
        window_s=90.0,
        cooldown_remaining_s=0.0,
        worker_ids=("a",),
        worker_type="gpu",
        utilization=0.84,
    )
    test = Task(
        name="t.py::test[\u202e</script>🦄]",
        worker="a",
        outcome="passed",
        started_at_s=START_S,
        ended_at_s=START_S + 1,
        pid=7,
        cpu_s=0.5,
        memory_bytes=0,
        peak_bytes=None,
        attempt=2,
    )
    tracker = RosterTracker()
    small = RosterEntry(id="a", host="h", pid=7, labels=(("zone", "b"),), capacity=WorkerCapacity(cpu_millicores=1000))
    big = replace(small, capacity=WorkerCapacity(cpu_millicores=2000))
    brief = FleetChange(at_s=START_S + 1.2, worker="brief", change="joined", why="asked for")
    gone = FleetChange(at_s=START_S + 1.4, worker="brief", change="left", why="crashed")
    readings = [
        Reading.unknown([small], taken_at_s=START_S, decisions=[decision], tasks=[test]),
        Reading.unknown([big], taken_at_s=START_S + 1),
        Reading.unknown([big], taken_at_s=START_S + 2, changes=[brief, gone]),
        Reading.unknown([], taken_at_s=START_S + 3),
    ]

    written(path, [tracker.observe([r], at_s=r.taken_at_s, wall_s=r.taken_at_s) for r in readings])
    with Store.open(path) as store:
        run = store.read()

    assert run.decisions == (decision,)
    assert run.tasks == (test,)
    assert [(c.worker, c.change, c.why) for c in run.changes] == [
        ("a", "joined", None),
        ("brief", "joined", "asked for"),
        ("brief", "left", "crashed"),
        ("a", "left", None),
    ]
    a = run.workers[0]
    assert (a.id, a.pid, a.host, a.capacity.cpu_cores, a.latest.entry.labels) == ("a", 7, "h", 2.0, (("zone", "b"),))
    assert a.latest.left_at_s == START_S + 3


def test_the_same_id_with_another_pid_is_a_new_incarnation_in_the_same_row(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    written(path, [fleet.tick(START_S + s, ["a"], incarnation=s // 5, missing=0) for s in range(10)])

    with Store.open(path) as store:
        run = store.read(metrics=["cpu_ratio"])

    assert [worker.id for worker in run.workers] == ["a"]
    assert [(life.ordinal, life.entry.pid) for life in run.workers[0].incarnations] == [(1, 1000), (2, 1001)]
    assert np.isfinite(run.values("cpu_ratio")).all()


def test_a_closed_store_is_one_file_and_a_second_run_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, ["a"])], title="first")
    written(path, [KnownFleet().tick(START_S + 50, ["b"])], title="second")

    with Store.open(path) as store:
        titles = [header.title for header in store.runs()]
        newest = store.read()
        first = store.read(store.runs()[0].id[:8])

    assert os.listdir(tmp_path) == ["h.drmviz"]
    assert titles == ["first", "second"]
    assert [worker.id for worker in newest.workers] == ["b"]
    assert [worker.id for worker in first.workers] == ["a"]


def test_a_reader_that_holds_on_does_not_keep_the_writer_from_closing(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
    recording.append(KnownFleet().tick(START_S, ["a"]))

    with Store.open(path) as store:
        store.read()
        said = writer.close()
        still = store.read()

    assert said is not None
    assert "a reader still holds" in said
    assert [worker.id for worker in still.workers] == ["a"]
    written(path, [KnownFleet().tick(START_S + 50, ["b"])])
    assert os.listdir(tmp_path) == ["h.drmviz"]


def test_two_writers_of_one_file_are_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path), pytest.raises(StoreBusyError, match=f"process {os.getpid()} is writing it"):
        Writer.open(path)

    Writer.open(path).close()  # the lock is free again


def test_a_lock_left_by_a_dead_process_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    program = f"import os; from drmviz.store import Writer; Writer.open({str(path)!r}); os.kill(os.getpid(), 9)"
    died = subprocess.run([sys.executable, "-c", program], check=False)

    Writer.open(path).close()

    assert died.returncode == -9


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not a drmviz store: it is empty"),
        (b"hello, this is text, not a database at all" * 100, "it is not a drmviz store"),
        (b"SQLite format 3\x00" + b"\xff" * 4000, "it is not a drmviz store|it is damaged"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_is_not_a_store_is_one_clear_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "other.drmviz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StoreError, match=reason) as caught:
        Store.open(path)

    assert "\n" not in str(caught.value)
    assert content is None or path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE mine (x)")
    theirs.close()
    before = path.read_bytes()

    for door in (Store.open, Writer.open):
        with pytest.raises(StoreError, match="another program's SQLite file"):
            door(path)

    assert path.read_bytes() == before


def test_what_a_recorder_ended_as_it_began_leaves_is_told_as_such_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.drmviz"
    with monkeypatch.context() as patch:
        patch.setattr(connections, "TABLES", "SELECT no_more")
        with pytest.raises(StoreError):
            connections.open_for_writing(path)
    assert path.stat().st_size

    with pytest.raises(StoreError, match=r"nothing is recorded in it: its recorder was ended as it began\. "):
        Store.open(path)
    with pytest.raises(StoreError, match=r"nothing is recorded in it"):
        examine(path)
    Writer.open(path).close()
    with Store.open(path) as store:
        assert not store.runs()


@pytest.mark.parametrize("content", [b"x", b"my notes\n" * 56])
def test_a_short_file_that_is_no_store_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(StoreError, match="it is not a drmviz store"):
        Writer.open(path)

    assert path.read_bytes() == content
    Writer.open(tmp_path / "other").close()


def test_links_that_lead_in_a_circle_are_no_place(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with pytest.raises(StoreError, match="there is no such place"):
        Writer.open(tmp_path / "a")


def test_a_store_of_a_newer_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, ["a"])])
    with altered(path) as newer:
        newer.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match=r"newer drmviz \(format 99.*pip install -U drmviz"):
        Store.open(path)


READ_AS_NOBODY = """
import os, sys
import drmviz.model.run
from drmviz.store import Store  # first: another user may not read the installed packages
os.setgid(65534); os.setuid(65534)
with Store.open(sys.argv[1]) as store:
    print([w.id for w in store.read().workers], os.listdir(os.path.dirname(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
@pytest.mark.parametrize("state", ["closed", "left by a killed writer", "closed but in WAL mode"])
def test_a_store_in_a_place_that_cannot_be_written_is_read(tmp_path: Path, state: str) -> None:
    folder = Path("/var/tmp") / f"drmviz-ro-{os.getpid()}-{state[:6].strip()}-{len(state)}"
    folder.mkdir(mode=0o755)
    path = folder / "h.drmviz"
    try:
        if state == "left by a killed writer":
            program = (
                "import os, sys; from tests.fleets import *; w = Writer.open(sys.argv[1]);"
                "r = w.begin(title='t', started_at_s=START_S, interval_s=1);"
                "r.append(KnownFleet().tick(START_S, ['a'])); os.kill(os.getpid(), 9)"
            )
            subprocess.run([sys.executable, "-c", program, str(path)], check=False, cwd=Path(__file__).parents[1])
            assert path.with_name("h.drmviz-wal").exists()
        else:
            written(path, [KnownFleet().tick(START_S, ["a"])])
            if state == "closed but in WAL mode":
                other = connect(str(path))
                other.execute("PRAGMA journal_mode=WAL")
                other.close()
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)

        done = subprocess.run(
            [sys.executable, "-c", READ_AS_NOBODY, str(path)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TMPDIR": "/tmp"},
        )
    finally:
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    assert "['a']" in done.stdout, done.stderr


@settings(max_examples=60, deadline=None)
@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 64), st.integers(1, 50)),
        elements=st.floats(0, 8, width=32) | st.just(np.nan),
    ),
    first=st.integers(0, 2**31),
)
def test_a_chunk_is_what_was_packed_and_any_flipped_bit_is_seen(values: np.ndarray, first: int) -> None:
    chunk = Chunk(
        metric=3,
        statistic=0,
        tier=0,
        members=np.arange(len(values), dtype=np.uint32) * 7,
        first_tick=first,
        values=values,
    )
    blob = encode(chunk)
    back = decode(checked(blob, first_tick=first), first_tick=first)

    np.testing.assert_array_equal(back.values, values)
    np.testing.assert_array_equal(back.members, chunk.members)
    assert (back.metric, back.statistic, back.tier) == (3, 0, 0)
    for place in range(0, len(blob), max(1, len(blob) // 40)):
        damaged = bytearray(blob)
        damaged[place] ^= 1 << (place % 8)
        with pytest.raises(DamagedFrameError):
            checked(bytes(damaged), first_tick=first)


def test_a_frame_that_was_cut_or_put_elsewhere_is_refused() -> None:
    blob = framed(7, b"payload")

    assert bytes(unframed(blob, sequence=7)) == b"payload"
    with pytest.raises(DamagedFrameError, match="number 7 where 8 belongs"):
        unframed(blob, sequence=8)
    for length in range(len(blob)):
        with pytest.raises(DamagedFrameError):
            unframed(blob[:length], sequence=7)


def test_a_damaged_chunk_leaves_a_gap_and_a_note_never_a_wrong_number(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    written(path, [fleet.tick(START_S + s, ["a"], missing=0) for s in range(20)])
    with altered(path) as sabotage:
        (blob,) = next(sabotage.execute("SELECT packed FROM chunk WHERE metric = 0"))
        flipped = blob[:-1] + bytes([blob[-1] ^ 1])
        sabotage.execute("UPDATE chunk SET packed = ? WHERE metric = 0", (flipped,))

    with Store.open(path) as store:
        run = store.read(metrics=["cpu_ratio", "memory_ratio"])

    assert np.isnan(run.values("cpu_ratio")).all()
    assert np.isfinite(run.values("memory_ratio")).all()
    assert any("damaged and left out" in note for note in run.notes)


def test_two_names_of_one_file_are_one_lock(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    (tmp_path / "other.drmviz").symlink_to(path)
    with Writer.open(path), pytest.raises(StoreBusyError):
        Writer.open(tmp_path / "other.drmviz")


def test_looking_whether_somebody_writes_keeps_nobody_from_writing(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    looks = f"from drmviz.store.lock import is_being_written; from pathlib import Path; p = Path({str(path)!r})\n"
    (tmp_path / "h.drmviz.lock").write_text("99999")
    looker = subprocess.Popen(
        [sys.executable, "-c", f"{looks}print(1, flush=True)\nwhile True: is_being_written(p)"], stdout=subprocess.PIPE
    )
    try:
        assert looker.stdout is not None
        looker.stdout.readline()
        for _ in range(300):
            Writer.open(path).close()
            (tmp_path / "h.drmviz.lock").write_text("99999")
    finally:
        looker.kill()
        looker.communicate()


def test_a_tick_after_the_end_or_before_the_last_one_is_refused_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        recording.append(fleet.tick(START_S + 400, ["a"]))
        with pytest.raises(StoreError, match="lies before the one before it"):
            recording.append(fleet.tick(START_S, ["a"]))
        recording.finish(START_S + 400)
        with pytest.raises(StoreError, match="this run is finished"):
            recording.append(fleet.tick(START_S + 401, ["a"]))
    with Store.open(path) as store:
        assert store.read().measured_ticks == 1


def test_a_store_that_was_made_for_a_run_that_never_began_is_removed(tmp_path: Path) -> None:
    new, old = tmp_path / "new.drmviz", tmp_path / "old.drmviz"
    written(old, [KnownFleet().tick(START_S, ["a"])])
    for path in (new, old):
        Writer.open(path).abandon()

    assert os.listdir(tmp_path) == ["old.drmviz"]


def test_an_exact_id_is_found_although_another_one_begins_with_it(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        for run_id in ("abc", "abcdef"):
            recording = writer.begin(title=run_id, started_at_s=START_S, interval_s=1, run_id=run_id)
            recording.append(KnownFleet().tick(START_S, ["a"]))
            recording.finish(START_S)
        with pytest.raises(StoreError, match="a run cannot be begun"):
            writer.begin(title="again", started_at_s=START_S, interval_s=1, run_id="abc")
    with Store.open(path) as store:
        assert store.read("abc").header.title == "abc"
        assert store.read("abcd").header.title == "abcdef"

"""What was acknowledged is there after a kill, and readers never meet an error while somebody writes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from drmviz.store import Store
from tests.fleets import START_S

ROOT = Path(__file__).parents[1]

# Writes ticks of 50 workers as fast as it can, over many block borders, and says each sequence once it is durable.
WRITER = """
import sys
import numpy as np
import pytest
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry
from drmviz.store import Writer
path, start, step = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
writer = Writer.open(path)
recording = writer.begin(title="t", started_at_s=start, interval_s=step)
tracker = RosterTracker()
entries = tuple(RosterEntry(id=f"w{i}") for i in range(50))
for n in range(int(sys.argv[4])):
    values = np.full((8, 50), (n % 97) / 97, dtype=np.float32)
    tick = tracker.observe([Reading(taken_at_s=0, entries=entries, values=values)], at_s=start + n * step, wall_s=0)
    print(recording.append(tick), flush=True)
recording.finish(start + n * step)
writer.close()
"""


def writer(path: Path, ticks: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(START_S), "10", str(ticks)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def assert_all_there(path: Path, acknowledged: int) -> None:
    with Store.open(path) as store:
        run = store.read(columns=1_000_000, metrics=["cpu_ratio"], statistics=("max",))
    assert run.measured_ticks in (acknowledged, acknowledged + 1), "one more may be durable than was said"
    expected = (np.arange(run.measured_ticks) % 97 / 97).astype(np.float32)
    np.testing.assert_array_equal(run.values("cpu_ratio", "max"), np.broadcast_to(expected, (50, run.measured_ticks)))


def test_a_writer_killed_twenty_times_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    seeded = random.Random(20)
    for round_ in range(20):
        path = tmp_path / f"{round_}.drmviz"
        process = writer(path, 100_000)
        assert process.stdout is not None
        stop_after = seeded.randint(1, 900)  # 60 ticks fill a block: kills land before, in and after sealing
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line) + 1
            if acknowledged >= stop_after:
                break
        process.kill()
        for line in process.stdout:
            acknowledged = int(line) + 1
        process.stdout.close()
        process.wait()

        assert_all_there(path, acknowledged)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_hundred_kills_at_any_moment_lose_nothing_acknowledged_and_the_same_file_goes_on(tmp_path: Path) -> None:
    seeded = random.Random(100)
    path = tmp_path / "h.drmviz"
    acknowledged: list[int] = []
    for _ in range(100):
        process = writer(path, 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):  # a moment in a write, a sync, a slice of sealing, a checkpoint
            process.wait(seeded.uniform(0.0, 0.3))
        process.kill()
        acknowledged.append(1 + sum(1 for _ in process.stdout))
        process.stdout.close()
        process.wait()

    with Store.open(path) as store:
        runs = store.runs()
        assert len(runs) == 100, "each of them could begin"
        for header, count in zip(runs, acknowledged, strict=True):
            run = store.read(header.id, columns=1_000_000, metrics=["cpu_ratio"], statistics=("max",))
            assert run.measured_ticks in (count, count + 1)
            expected = (np.arange(run.measured_ticks) % 97 / 97).astype(np.float32)
            np.testing.assert_array_equal(
                run.values("cpu_ratio", "max"), np.broadcast_to(expected, (50, run.measured_ticks))
            )


def test_the_next_writer_of_a_killed_file_packs_what_was_left_and_changes_no_number(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    process = writer(path, 100_000)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 500:
            break
    process.kill()
    acknowledged = 501 + sum(1 for _ in process.stdout)
    process.stdout.close()
    process.wait()

    second = writer(path, 3)
    second.communicate()
    with Store.open(path) as store:
        first_run = store.runs()[0]
        unsealed = store._connection.execute("SELECT count(*) FROM block WHERE NOT sealed").get
        run = store.read(first_run.id, columns=1_000_000, metrics=["cpu_ratio"], statistics=("max",))

    assert unsealed == 0
    assert run.measured_ticks in (acknowledged, acknowledged + 1)
    expected = (np.arange(run.measured_ticks) % 97 / 97).astype(np.float32)
    np.testing.assert_array_equal(run.values("cpu_ratio", "max")[0], expected)
    assert any("ended without closing" in note for note in run.notes)


def test_a_thousand_reads_beside_the_writer_meet_no_error(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    process = writer(path, 1_000_000)
    assert process.stdout is not None
    process.stdout.readline()
    seen, reads = 0, 0
    deadline = time.monotonic() + 90
    try:
        while reads < 1000 and time.monotonic() < deadline:
            with Store.open(path) as store:  # opened anew each time: that is what a second process does
                for _ in range(10):
                    run = store.read(columns=50, metrics=["cpu_ratio"], start_s=START_S)
                    assert run.measured_ticks >= seen
                    seen = run.measured_ticks
                    reads += 1
            while process.stdout.readline() and reads < 3:
                pass
    finally:
        process.kill()
        process.stdout.close()
        process.wait()

    assert reads == 1000
    assert seen > 1

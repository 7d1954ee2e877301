"""A disk that is full, broken, slow or not to be written is a status in words; what was acknowledged stays exact."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from drmviz.collector import Collector
from drmviz.errors import StoreError
from drmviz.live import Hub
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.run import RunHeader
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.workers import RosterEntry
from drmviz.store import Recording, Store, Writer
from drmviz.system import SimulatedClock
from tests.disks import Disk, Kind, disk
from tests.fleets import START_S, KnownFleet

INTERVAL_S = 10.0  # sixty ticks to a block
ROOT = Path(__file__).parents[1]


@pytest.fixture
def failing() -> Iterator[Disk]:
    with disk() as made:
        yield made


@dataclass
class KnownSource:
    """Workers that come and go, a test and a decision each tick; remembers every sample by its time."""

    workers: int = 40
    name: str = "known"
    samples: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(5)

    def read(self, now_s: float) -> Reading:
        n = round((now_s - START_S) / INTERVAL_S)
        entries = tuple(RosterEntry(id=f"w{i}") for i in range(self.workers))
        values = self._random.random((len(METRICS), self.workers)).astype(np.float32)
        self.samples[n] = values
        return Reading(
            taken_at_s=now_s,
            entries=(*entries, RosterEntry(id=f"once-{n // 3}")),
            values=np.concatenate([values, np.zeros((len(METRICS), 1), dtype=np.float32)], axis=1),
            tasks=(Task(name=f"t{n}", worker="w0", outcome="passed", started_at_s=now_s - 1, ended_at_s=now_s),),
            decisions=(ScalingDecision(action="maintain", decided_at_s=now_s, count=0, reason=f"d{n}"),),
        )


@dataclass
class Bench:
    """A recording of a known source on a clock that is told to move."""

    path: Path
    source: KnownSource = field(default_factory=KnownSource)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(wall=START_S))
    states: list[str] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    """Which ticks the disk refused, by their place on the axis."""

    def __post_init__(self) -> None:
        self.writer = Writer.open(self.path)
        self.recording: Recording = self.writer.begin(title="t", started_at_s=START_S, interval_s=INTERVAL_S)
        self.hub = Hub(RunHeader(id="h", title="t", started_at_s=START_S, interval_s=INTERVAL_S))
        self.collector = Collector(
            [self.source],
            self.recording,
            clock=self.clock,
            started_at_s=START_S,
            interval_s=INTERVAL_S,
            patience_s=60,
            listeners=[self.hub.add],
        )

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            before = self.recording.ticks
            tick = self.collector.tick()
            if self.recording.ticks == before:
                self.lost.append(round((tick.at_s - START_S) / INTERVAL_S))
            self.states.append(self.collector.statuses["store"].state)
            self.clock.advance(self.collector.seconds_to_next_tick())

    def close(self) -> str | None:
        assert self.collector.close() == []
        self.recording.finish(self.collector.now_s())
        return self.writer.close()

    def assert_exact(self) -> None:
        """All that was acknowledged is there with its numbers, nothing else is, and every event is."""
        taken = sorted(self.source.samples)
        with Store.open(self.path) as store:
            run = store.read(columns=100_000, statistics=("max",), workers=[f"w{i}" for i in range(40)])
            there = store.read(columns=100_000).measured_ticks
        written = [n for n in taken if n not in self.lost]
        assert there == run.measured_ticks == len(written) == self.recording.ticks
        columns = np.round((run.starts_at_s - START_S) / INTERVAL_S).astype(int)
        for row, metric in enumerate(METRICS):
            expected = np.full((40, len(columns)), np.nan, dtype=np.float32)
            for n in written:
                expected[:, np.flatnonzero(columns == n)[0]] = self.source.samples[n][row]
            np.testing.assert_array_equal(run.values(metric, "max"), expected)
        up_to = [n for n in taken if n <= max(written)]
        with Store.open(self.path) as store:
            everything = store.read(columns=10)
        assert [task.name for task in everything.tasks] == [f"t{n}" for n in up_to]
        assert [decision.reason for decision in everything.decisions] == [f"d{n}" for n in up_to]
        once = {worker.id for worker in everything.workers if worker.id.startswith("once")}
        assert once == {f"once-{n // 3}" for n in up_to}
        unwritten = sum(1 for n in self.lost if n < max(written))
        told = sum(int(note.split()[0]) for note in everything.notes if "could not be written" in note)
        assert told == unwritten


def test_a_disk_that_fills_up_is_a_status_with_the_reason_and_the_hub_goes_on(tmp_path: Path, failing: Disk) -> None:
    bench = Bench(tmp_path / "h.drmviz")
    bench.tick(5)
    failing.capacity_bytes = failing.used_bytes
    bench.tick(4)
    status = bench.collector.statuses["store"]
    held = bench.hub.read(columns=1000, statistics=("max",), workers=["w0"]).values("cpu_ratio", "max")[0]
    failing.capacity_bytes = None
    bench.tick()
    resumed = bench.collector.statuses["store"]
    bench.tick(3)
    bench.close()

    assert bench.states == ["OK"] * 5 + ["DEGRADED"] * 4 + ["OK"] * 4
    assert "full" in status.reason
    assert "4 ticks not written" in status.reason
    assert "Free some space" in status.reason
    assert status.since_s == START_S + 50
    np.testing.assert_array_equal(held, [bench.source.samples[n][0, 0] for n in range(9)])
    assert resumed.state == "OK", "it resumes with the first tick that there is room for"
    assert bench.collector.unwritten_ticks == 4
    assert bench.lost == [5, 6, 7, 8]
    bench.assert_exact()


def test_a_write_ahead_log_that_cannot_grow_is_moved_into_the_file_and_begun_anew(
    tmp_path: Path, failing: Disk
) -> None:
    bench = Bench(tmp_path / "h.drmviz")
    failing.longest_wal_bytes = 1_000_000

    bench.tick(50)
    bench.close()

    assert 1 <= len(bench.lost) <= 5, "one tick meets the end of the log, the next one begins it anew"
    bench.assert_exact()


@pytest.mark.parametrize("what", ["fails_to_write", "fails_to_sync"])
@pytest.mark.parametrize("kind", ["wal", "main"])
def test_a_disk_that_fails_now_and_then_costs_only_the_ticks_that_it_refused(
    tmp_path: Path, failing: Disk, what: str, kind: Kind
) -> None:
    seeded = random.Random(f"{what} {kind}")
    bench = Bench(tmp_path / "h.drmviz")
    share = 0.1 if kind == "wal" else 0.5  # the file itself is written and synced only now and then
    setattr(failing, what, lambda of: of == kind and seeded.random() < share)

    bench.tick(400)
    setattr(failing, what, lambda of: False)
    bench.tick()
    bench.close()

    assert failing.refused >= (3 if kind == "main" else 30)
    assert len(bench.lost) == bench.collector.unwritten_ticks
    assert bench.lost if kind == "wal" else not bench.lost
    assert "DEGRADED" in bench.states
    assert bench.states[-1] == "OK"
    bench.assert_exact()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_failures_of_every_kind_lose_nothing_acknowledged(tmp_path: Path, failing: Disk, seed: int) -> None:
    seeded = random.Random(seed)
    bench = Bench(tmp_path / "h.drmviz")

    def fails(of: Kind) -> bool:
        return seeded.random() < 0.04

    failing.fails_to_write = failing.fails_to_sync = failing.fails_to_read = fails
    while failing.refused < 100:
        bench.tick()
    failing.fails_to_write = failing.fails_to_sync = failing.fails_to_read = lambda of: False
    bench.tick()
    bench.close()

    assert len(bench.lost) == bench.collector.unwritten_ticks > 0
    bench.assert_exact()


def fill_a_mebibyte(bench: Bench) -> None:
    """Record until nothing fits any more."""
    while bench.collector.statuses["store"].state == "OK":
        bench.tick()
        assert len(bench.states) < 2000, "a mebibyte should be full by now"


def test_a_disk_of_one_mebibyte_filled_freed_and_continued_loses_nothing_acknowledged(
    tmp_path: Path, failing: Disk
) -> None:
    failing.capacity_bytes = 2**20
    bench = Bench(tmp_path / "h.drmviz")

    fill_a_mebibyte(bench)
    acknowledged = bench.recording.ticks
    bench.tick(20)
    failing.capacity_bytes = 4 * 2**20
    bench.tick()
    is_recording_again = bench.states[-1] == "OK"
    bench.tick(10)
    bench.close()

    assert acknowledged > 10
    assert is_recording_again
    bench.assert_exact()


def test_a_slow_disk_skips_ticks_that_it_has_no_time_for_and_says_how_many(tmp_path: Path, failing: Disk) -> None:
    bench = Bench(tmp_path / "h.drmviz")
    bench.tick(3)

    failing.before_sync = lambda kind: bench.clock.advance(25)
    bench.tick(2)
    status = bench.collector.statuses["store"]
    failing.before_sync = lambda kind: None
    bench.tick(3)
    bench.close()
    with Store.open(bench.path) as store:
        notes = store.read(columns=10).notes

    places = sorted(bench.source.samples)
    assert places == [0, 1, 2, 3, 6, 9, 10, 11], "ticks stay on the grid, each one as soon as the disk is done"
    assert bench.states == ["OK"] * 3 + ["DEGRADED"] * 2 + ["OK"] * 3
    assert "took 25.0 s to write a tick, one is due every 10 s: 4 ticks not taken" in status.reason
    assert [note.split(" before ")[0] for note in notes] == ["4 ticks"]
    assert "up to 25.0 s" in notes[0]
    assert bench.collector.skipped_ticks == 4
    bench.assert_exact()


def test_no_tick_waits_for_more_than_a_few_syncs_also_while_old_ticks_are_packed(tmp_path: Path, failing: Disk) -> None:
    bench = Bench(tmp_path / "h.drmviz")
    failing.before_sync = lambda kind: bench.clock.advance(1.5)
    waited_s: list[float] = []

    for _ in range(200):
        begun_s = bench.clock.monotonic_s()
        bench.collector.tick()
        waited_s.append(bench.clock.monotonic_s() - begun_s)
        bench.clock.advance(bench.collector.seconds_to_next_tick())
    bench.close()

    assert min(waited_s) == 1.5, "one sync makes a tick durable"
    assert max(waited_s) <= 5 * 1.5, "its own, a slice of sealing, and a checkpoint now and then"
    assert sorted(bench.source.samples) == list(range(200)), "so none was skipped"
    assert bench.collector.skipped_ticks == 0
    bench.assert_exact()


def test_a_disk_that_fails_when_a_run_begins_is_one_error_and_leaves_no_lock(tmp_path: Path, failing: Disk) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        failing.fails_to_write = lambda of: True
        with pytest.raises(StoreError, match=r"a run cannot be begun \(disk I/O error\)"):
            writer.begin(title="t", started_at_s=START_S, interval_s=1)
        failing.fails_to_write = lambda of: False
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        recording.append(KnownFleet().tick(START_S, ["a"]))

    assert not (tmp_path / "h.drmviz.lock").exists()
    with Store.open(path) as store:
        assert len(store.runs()) == 1


@pytest.mark.parametrize("what", ["fails_to_write", "fails_to_sync", "fails_to_read"])
def test_a_disk_that_fails_when_a_store_is_made_is_one_error_and_leaves_no_lock(
    tmp_path: Path, failing: Disk, what: str
) -> None:
    path = tmp_path / "h.drmviz"
    setattr(failing, what, lambda of: True)

    with pytest.raises(StoreError, match="it cannot be opened"):
        Writer.open(path)
    setattr(failing, what, lambda of: False)
    with Writer.open(path) as writer:
        writer.begin(title="t", started_at_s=START_S, interval_s=1).append(KnownFleet().tick(START_S, ["a"]))

    with Store.open(path) as store:
        assert store.read().measured_ticks == 1


def real_mebibyte(folder: Path) -> None:
    """Fill a real disk of 1 MiB, free some of it, and go on: run by the test below inside a namespace of its own."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(300_000))
    bench = Bench(folder / "h.drmviz")
    while bench.collector.statuses["store"].state == "OK":
        bench.tick()
    acknowledged = bench.recording.ticks
    bench.tick(20)
    ballast.unlink()
    bench.tick()
    assert bench.states[-1] == "OK", bench.collector.statuses["store"]
    bench.tick(2)
    bench.close()
    bench.assert_exact()
    print(f"{acknowledged} acknowledged, {len(bench.lost)} refused, {bench.recording.ticks} there")


def in_namespace(folder: Path, *, mount: str, then: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command where `folder` is another file system; skips where this machine does not allow that."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount a file system (unshare -Urm)")
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f'{mount} && exec "$@"', "sh", *then],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        env={**os.environ, "FOLDER": str(folder), "DRMVIZ_HOME": str(folder.parent / "home")},
    )


def test_a_real_disk_of_one_mebibyte_filled_freed_and_continued_loses_nothing_acknowledged(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from tests.test_store_disks import real_mebibyte as fill;"
    done = in_namespace(
        tmp_path / "small",
        mount='mount -t tmpfs -o size=1m tmpfs "$FOLDER"',
        then=(sys.executable, "-c", f"{program} fill(Path(sys.argv[1]))", str(tmp_path / "small")),
    )

    assert done.returncode == 0, done.stderr
    acknowledged, refused = int(done.stdout.split()[0]), int(done.stdout.split()[2])
    assert acknowledged > 5
    assert refused >= 20


@pytest.mark.parametrize("command", [("run", "--", sys.executable, "-c", "pass"), ("demo", "--headless")])
@pytest.mark.parametrize("place", ["read-only", "unwritable"])
def test_a_place_that_cannot_be_written_is_one_line_and_not_a_traceback(
    tmp_path: Path, place: str, command: tuple[str, ...]
) -> None:
    folder = tmp_path / "there"
    arguments = (command[0], "--store", str(folder / "h.drmviz"), *command[1:])
    drmviz = (sys.executable, "-m", "drmviz", *arguments)
    if place == "read-only":
        done = in_namespace(folder, mount='mount -t tmpfs -o ro tmpfs "$FOLDER"', then=drmviz)
    else:
        folder.mkdir(mode=0o555)
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                pytest.skip("root may write everywhere, and there is no setpriv to give that up")
            drmviz = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *drmviz)
        done = subprocess.run(
            drmviz, capture_output=True, text=True, timeout=100, env={**os.environ, "DRMVIZ_HOME": str(tmp_path)}
        )

    assert done.returncode == (125 if command[0] == "run" else 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "its folder cannot be written (" in done.stderr.splitlines()[-1]
    assert "Name another place with --store." in done.stderr.splitlines()[-1]


def test_demo_tells_once_that_the_disk_is_full_and_counts_at_the_end_what_it_did_not_take(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    demo = ("demo", "--headless", "--duration", "600", "--store", str(folder / "h.drmviz"))
    done = in_namespace(
        folder,
        mount='mount -t tmpfs -o size=1m tmpfs "$FOLDER"',
        then=(sys.executable, "-m", "drmviz", *demo),
    )

    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    told = [line for line in lines if "recording is degraded" in line]
    assert len(told) == 1
    assert "full" in told[0]
    (counted,) = [line for line in lines if "ticks could not be written, the last" in line]
    ticks = int(done.stdout.split()[0])
    assert ticks + int(counted.removeprefix("drmviz: store: ").split()[0]) == 600
    assert "Traceback" not in done.stderr


def test_run_on_a_disk_that_stays_full_ends_as_its_command_does_and_counts_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    run = ("run", "--store", str(folder / "h.drmviz"), "--no-report", "--interval", "0.1")
    listing = 'python=$1; shift; "$@" && exec "$python" -m drmviz runs --json "$FOLDER/h.drmviz"'
    done = in_namespace(
        folder,
        mount='mount -t tmpfs -o size=4m tmpfs "$FOLDER"',
        then=(
            *("sh", "-c", listing, "sh", sys.executable),
            *(sys.executable, "-m", "drmviz", *run, "--", sys.executable, "-c", HOG.replace("path.unlink()", "")),
        ),
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (counted,) = [line for line in done.stderr.splitlines() if "store: " in line and " the last " in line]
    assert int(counted.partition("store: ")[2].split()[0]) >= 5
    assert "with all that happened in them" in counted
    assert "note      Store" in done.stderr, "what became of the closing of the run"
    assert sys.executable in done.stdout, "what was written before is still there"


# Fills the disk that it is recorded to, and makes room again once the recorder has met that.
HOG = """
import os, time
from pathlib import Path
path = Path(os.environ["FOLDER"], "hog")
with path.open("wb", buffering=0) as hog:
    try:
        while True:
            hog.write(bytes(512))
    except OSError:
        pass
time.sleep(1.0)
path.unlink()
time.sleep(0.5)
"""


def test_run_tells_once_that_the_disk_is_full_and_once_that_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    run = ("run", "--store", str(folder / "h.drmviz"), "--no-report", "--interval", "0.1")
    done = in_namespace(
        folder,
        mount='mount -t tmpfs -o size=4m tmpfs "$FOLDER"',
        then=(sys.executable, "-m", "drmviz", *run, "--", sys.executable, "-c", HOG),
    )

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("drmviz: recording ")]
    assert [line.split()[2] for line in told] == ["into", "is", "goes"], done.stderr
    assert "ticks could not be written" in told[2]
    lost = int(told[2].partition(";")[2].split()[0])
    assert lost >= 3
    assert f"store: {lost} ticks could not be written" in done.stderr


def test_a_disk_that_cannot_be_read_is_one_error_that_names_the_file(tmp_path: Path, failing: Disk) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1)
        for n in range(200):
            recording.append(fleet.tick(START_S + n, [f"w{i}" for i in range(50)]))

    with Store.open(path) as store:
        failing.fails_to_read = lambda of: of == "main"
        with pytest.raises(StoreError, match=r"h\.drmviz': it cannot be read \(disk I/O error\)"):
            store.read()
        failing.fails_to_read = lambda of: False
        assert store.read().measured_ticks == 200

"""Writing: a durable tick, the size of the closed file, and the memory that recording takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import apsw
import numpy as np

from benchmarks.fleet import ticks
from benchmarks.history import record as record_sealed
from benchmarks.history import steady
from benchmarks.rows import Row, cpu_s, in_turn, wall_s
from drmviz.model.run import Run
from drmviz.store import Store, Writer
from drmviz.store.schema import APPLICATION_ID, BLOCK_US, PAGE_BYTES, SCHEMA_VERSION, TABLES
from drmviz.store.writer import SEALING_S

STARTED_S = 1_790_000_000.0


def durable_tick(workers: int, count: int) -> Row:
    """One tick on the disk, against appending the same bytes with a checksum and fdatasync."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        plenty = list(ticks(workers, min(count, 60) + 1, started_at_s=STARTED_S))
        ours = iter(plenty)
        raw = iter(plenty)
        descriptor = os.open(Path(folder, "raw"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        writer = Writer.open(Path(folder, "h.drmviz"))
        recording = writer.begin(title="benchmark", started_at_s=STARTED_S, interval_s=1)

        def append_raw() -> None:
            samples = next(raw).values.tobytes()
            os.write(descriptor, zlib.crc32(samples).to_bytes(4, "little") + samples)
            os.fdatasync(descriptor)

        taken = in_turn(lambda: recording.append(next(ours)), append_raw, rounds=len(plenty) - 1, clock=wall_s)
        os.close(descriptor)
        writer.close()
    return Row(
        name="durable_tick",
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms",
        target=3.0,
        baseline_is="append, crc32 and fdatasync of the same bytes",
    )


def closed_file(workers: int, count: int) -> Row:
    """Bytes per worker and tick of the closed file, against eight float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "h.drmviz")
        record(path, workers, count)
        each = path.stat().st_size / (workers * count)
    return Row(
        name="closed_file",
        ours=each,
        baseline=32.0,
        unit="bytes per worker-tick",
        target=12 / 32,
        limit=12.0,
        baseline_is="eight float32",
    )


def checked_pages(workers: int, count: int) -> Row:
    """CPU of reading a whole run with a checksum on every page, against the same file without."""
    with tempfile.TemporaryDirectory() as folder:
        checked, plain = Path(folder, "h.drmviz"), Path(folder, "plain.drmviz")
        record(checked, workers, count)
        _copy_without_checksums(checked, plain)

        def read(path: Path) -> Callable[[], object]:
            def whole() -> Run:
                with Store.open(path) as store:
                    return store.read()

            return whole

        taken = in_turn(read(checked), read(plain), rounds=15, clock=cpu_s)
    return Row(
        name="checked_pages",
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms CPU",
        target=1.15,
        baseline_is="the same file without checksums of pages",
    )


def _copy_without_checksums(checked: Path, plain: Path) -> None:
    copy = apsw.Connection(str(plain))
    copy.execute(f"PRAGMA page_size={PAGE_BYTES}; PRAGMA auto_vacuum=INCREMENTAL")
    copy.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}")
    copy.execute(TABLES)
    copy.execute("ATTACH ? AS checked", (str(checked),))
    for (table,) in copy.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        copy.execute(f"INSERT INTO main.{table} SELECT * FROM checked.{table}")
    copy.close()


def recording_memory(workers: int, count: int) -> Row:
    """Growth of resident memory while recording, against what the samples themselves take."""
    with tempfile.TemporaryDirectory() as folder:
        program = (
            "import json, sys; from pathlib import Path; from benchmarks.recording import growth_bytes;"
            "print(json.dumps(growth_bytes(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(Path(folder, "h.drmviz")), str(workers), str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
    return Row(
        name="recording_memory",
        ours=json.loads(done.stdout) / 1e6,
        baseline=workers * count * 32 / 1e6,
        unit="MB",
        target=50 / 32,
        limit=50.0,
        baseline_is="the samples as float32",
    )


def record(path: Path, workers: int, count: int) -> None:
    """Record a whole run and close it."""
    with Writer.open(path) as writer:
        recording = writer.begin(title="benchmark", started_at_s=STARTED_S, interval_s=1)
        for tick in ticks(workers, count, started_at_s=STARTED_S):
            recording.append(tick)
        recording.finish(STARTED_S + count)


def growth_bytes(path: Path, workers: int, count: int) -> int:
    """Return how far resident memory rose above where it stood after the third tick."""
    highest = begun = 0
    with Writer.open(path) as writer:
        recording = writer.begin(title="benchmark", started_at_s=STARTED_S, interval_s=1)
        for i, tick in enumerate(ticks(workers, count, started_at_s=STARTED_S)):
            recording.append(tick)
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            begun = resident if i == 2 else begun
            highest = max(highest, resident)
        recording.finish(STARTED_S + count)
    return highest - begun


def steady_memory(workers: int, count: int) -> Row:
    """Slope of resident memory from the second block to the last while recording, against all that was recorded."""
    told = steadily(workers, count)
    return Row(
        name="steady_memory",
        ours=told["slope_bytes_per_block"] / 1e6,
        baseline=workers * 600 * 32 / 1e6,
        unit="MB per block of 600 s",
        target=0.02,
        baseline_is="the samples of a block as float32",
    )


def sealing_delay(workers: int, count: int) -> Row:
    """The longest that a tick waited for old ones to be packed, against what one slice of it may take."""
    told = steadily(workers, count)
    return Row(
        name="sealing_delay",
        ours=told["sealing_longest_cpu_ms"],
        baseline=SEALING_S * 1e3,
        unit="ms of CPU",
        target=2.0,
        limit=100.0,
        baseline_is="the budget of a slice",
    )


_MANY = 10


def sealing_step(workers: int, count: int) -> Row:
    """The longest step of packing ten minutes of ten times the workers: no tick waits for longer than one too many."""
    del count
    longest_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        ten_minutes = steady(_MANY * workers, BLOCK_US // 1_000_000)
        record_sealed(Path(folder, "h.drmviz"), ten_minutes, sealed=lambda _, steps_s: longest_s.append(max(steps_s)))
    return Row(
        name="sealing_step",
        ours=longest_s[0] * 1e3,
        baseline=SEALING_S * 1e3,
        unit="ms of CPU",
        target=1.0,
        baseline_is=f"the budget of a slice; {_MANY * workers} workers",
    )


@cache
def steadily(workers: int, count: int) -> dict[str, float]:
    """Record in a process of its own on a clock that is not waited for, every tick synced to a real disk.

    Returns:
        slope_bytes_per_block, and in milliseconds what appending (with its sync, and every 60th with a checkpoint) and
        packing took: *_median_ms, *_longest_ms, sealing_longest_cpu_ms.
    """
    with tempfile.TemporaryDirectory(dir=".") as folder:
        program = (
            "import json, sys; from pathlib import Path; from benchmarks.recording import measured_steadily;"
            "print(json.dumps(measured_steadily(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(Path(folder, "h.drmviz")), str(workers), str(count)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def measured_steadily(path: Path, workers: int, count: int) -> dict[str, float]:
    appending, sealing, sealing_cpu, resident = (np.zeros(count) for _ in range(4))
    with Writer.open(path) as writer:
        recording = writer.begin(title="benchmark", started_at_s=STARTED_S, interval_s=1)
        for i, tick in enumerate(ticks(workers, count, started_at_s=STARTED_S)):
            begun_s = time.perf_counter()
            recording.append(tick, seal=False)
            appended_s, cpu_s = time.perf_counter(), time.thread_time()
            writer.advance_sealing()
            appending[i] = appended_s - begun_s
            sealing[i], sealing_cpu[i] = time.perf_counter() - appended_s, time.thread_time() - cpu_s
            resident[i] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        recording.finish(STARTED_S + count)
    blocks = (STARTED_S + np.arange(count)) // 600 - STARTED_S // 600
    # The middle of a block, as packing takes some memory for a while and gives it back.
    usual = [float(np.median(resident[blocks == block])) for block in np.unique(blocks)]
    slope = (usual[-1] - usual[1]) / (len(usual) - 2) if len(usual) > 2 else float("nan")
    return {
        "slope_bytes_per_block": slope,
        "resident_begun_bytes": float(resident[min(2, count - 1)]),
        **{f"resident_block_{block}_bytes": of for block, of in enumerate(usual)},
        "resident_highest_bytes": float(resident.max()),
        "append_median_ms": float(np.median(appending) * 1e3),
        "append_longest_ms": float(appending.max() * 1e3),
        "sealing_median_ms": float(np.median(sealing[sealing > 1e-4]) * 1e3) if (sealing > 1e-4).any() else 0.0,
        "sealing_longest_ms": float(sealing.max() * 1e3),
        "sealing_longest_cpu_ms": float(sealing_cpu.max() * 1e3),
        "sealing_slices": float((sealing > 1e-4).sum()),
    }

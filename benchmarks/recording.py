"""Writing: a durable tick, the size of the closed file, and the memory that recording takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from benchmarks.fleet import ticks
from benchmarks.rows import Row, in_turn, wall_s
from drmviz.store import Writer

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

"""Reading a day, an hour of it, one worker and a month, and what the day takes on the disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.history import BEGAN_S, DAY_S, METRIC, MONTH_DAYS, History, history
from benchmarks.rows import Row, in_turn
from drmviz.model.metrics import METRIC_ROW, METRICS, STATISTICS, FloatArray
from drmviz.store import Store
from drmviz.store.chunks import checked
from drmviz.store.connections import ReadConnection, rows_of
from drmviz.store.schema import BLOCK_US, RAW_TIER, microseconds

ROUNDS = 7
COLUMNS = 600
CURVE_COLUMNS = 2000
_CURVE_WORKER = 500
_BUCKET_S = 10


def cpu_of_all_threads_s() -> float:
    """Return the CPU seconds of this process, those in the kernel and of every thread included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def day_heatmap(workers: int, count: int) -> Row:
    """A heatmap of everything, one metric, against one NumPy pass over the same numbers in memory."""
    del count
    return _heatmap_row("day_heatmap", history(workers, DAY_S))


def _heatmap_row(name: str, day: History) -> Row:
    numbers = day.numbers()
    with Store.open(day.path) as store:
        width = round(_assert_exact(store, numbers))

        def pass_over() -> FloatArray:
            means: FloatArray = numbers.reshape(day.workers, -1, width).mean(axis=2)
            return means

        taken = in_turn(
            lambda: store.read(columns=COLUMNS, metrics=[METRIC]), pass_over, rounds=ROUNDS, clock=cpu_of_all_threads_s
        )
    return Row(
        name=name,
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms of CPU",
        target=2.0,
        baseline_is=f"numpy.mean of {day.workers} x {day.ticks} float32 in memory to the same columns",
    )


def _assert_exact(store: Store, numbers: FloatArray) -> float:
    """Refuse to measure a picture that is not the one of the samples; return the width of its columns in seconds."""
    run = store.read(columns=COLUMNS, metrics=[METRIC], statistics=STATISTICS)
    width = round(run.width_s)
    groups = numbers.reshape(len(numbers), -1, width)
    np.testing.assert_array_equal(run.values(METRIC, "min"), groups.min(axis=2))
    np.testing.assert_array_equal(run.values(METRIC, "max"), groups.max(axis=2))
    np.testing.assert_allclose(run.values(METRIC, "mean"), groups.mean(axis=2, dtype=np.float64), rtol=3e-7)
    return run.width_s


def _packed_part(payload: memoryview) -> memoryview:
    """Return what is packed of a checked chunk: it begins where a frame of zstd does."""
    return payload[bytes(payload[:1024]).index(zstandard.FRAME_HEADER) :]


def last_hour_heatmap(workers: int, count: int) -> Row:
    """A heatmap of the last hour, from samples, against fetching, verifying and unpacking the BLOBs it is made of."""
    del count
    day = history(workers, DAY_S)
    reading = ReadConnection(day.path)
    first = (microseconds(day.end_s) // BLOCK_US) - 6

    def blobs() -> int:
        unpacked = 0
        for first_tick, packed in rows_of(
            reading.connection,
            "SELECT first_tick, packed FROM chunk WHERE run = 1 AND tier = ? AND metric = ? AND statistic = 0"
            " AND block >= ?",
            (RAW_TIER, METRIC_ROW[METRIC], first),
        ):
            payload = checked(packed, first_tick=first_tick)
            unpacked += len(zstandard.ZstdDecompressor().decompress(_packed_part(payload)))
        return unpacked

    with Store.open(day.path) as store:

        def heatmap() -> None:
            store.read(columns=COLUMNS, metrics=[METRIC], start_s=day.end_s - 3600, end_s=day.end_s)

        taken = in_turn(heatmap, blobs, rounds=ROUNDS, clock=cpu_of_all_threads_s)
    reading.close()
    return Row(
        name="last_hour_heatmap",
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms of CPU",
        target=2.0,
        baseline_is="the same chunks fetched, verified and unpacked, bytes left shuffled",
    )


def day_curve(workers: int, count: int) -> Row:
    """Lowest, mean and highest of one worker over a day, against DuckDB on its own table of the same buckets."""
    del count
    day = history(workers, DAY_S)
    database = duckdb.connect(str(day.built("rollup.duckdb", _rollup_table(day))), read_only=True)
    database.execute("SET threads=1")
    worker = min(_CURVE_WORKER, workers - 1)
    with Store.open(day.path) as store:

        def curve() -> None:
            store.read(columns=CURVE_COLUMNS, metrics=[METRIC], statistics=STATISTICS, workers=[f"worker-{worker:05d}"])

        width = round(
            store.read(columns=CURVE_COLUMNS, metrics=[METRIC], workers=[f"worker-{worker:05d}"]).width_s
        ) // _BUCKET_S  # fmt: skip

        def query() -> None:
            database.execute(
                "SELECT bucket // ? AS pixel, min(lowest), sum(mean * count) / sum(count), max(highest) FROM rollup"
                " WHERE worker = ? GROUP BY pixel ORDER BY pixel",
                (width, worker),
            ).fetchnumpy()

        taken = in_turn(curve, query, rounds=4 * ROUNDS, clock=cpu_of_all_threads_s)
    database.close()
    return Row(
        name="day_curve",
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms of CPU",
        target=1.5,
        baseline_is="DuckDB, one thread, warm, its own table of min, mean, max by 10 s",
    )


def _rollup_table(day: History) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        numbers = day.numbers().reshape(day.workers, -1, _BUCKET_S)
        buckets = numbers.shape[1]
        first = int(BEGAN_S) // _BUCKET_S
        rollup = pa.table(  # by its name in the statement below
            {
                "worker": np.repeat(np.arange(day.workers, dtype=np.int32), buckets),
                "bucket": np.tile(first + np.arange(buckets, dtype=np.int64), day.workers),
                "lowest": numbers.min(axis=2).ravel(),
                "mean": numbers.mean(axis=2).ravel(),
                "highest": numbers.max(axis=2).ravel(),
                "count": np.full(day.workers * buckets, _BUCKET_S, dtype=np.int32),
            }
        )
        database = duckdb.connect(str(path))
        database.register("of_numpy", rollup)
        database.execute("CREATE TABLE rollup AS SELECT * FROM of_numpy ORDER BY worker, bucket")
        database.close()

    return build


def day_size(workers: int, count: int) -> Row:
    """The file with all tiers, against Parquet of the samples alone."""
    del count
    return _size_row("day_size", history(workers, DAY_S))


def hours_size(workers: int, count: int) -> Row:
    """The same of one hour, small enough to be built within a test."""
    del count
    return _size_row("hours_size", history(workers, 3600))


def _size_row(name: str, day: History) -> Row:
    sizes = {
        order: day.built(f"{order}.parquet", _parquet(day, by_worker=order == "by-worker")).stat().st_size
        for order in ("by-worker", "by-tick")
    }
    smaller = min(sizes, key=lambda order: sizes[order])
    each = 1 / (day.workers * day.ticks)
    return Row(
        name=name,
        ours=day.path.stat().st_size * each,
        baseline=sizes[smaller] * each,
        unit="bytes per worker-tick",
        target=1.4,
        baseline_is=f"Parquet, zstd, a row group every ten minutes, rows {smaller}, of the samples alone",
    )


def _parquet(day: History, *, by_worker: bool) -> Callable[[Path], None]:
    """Rows (at_us, worker, eight metrics), a row group for each block, in the order given."""

    def build(path: Path) -> None:
        schema = pa.schema(
            [("at_us", pa.int64()), ("worker", pa.int32()), *((metric, pa.float32()) for metric in METRICS)]
        )
        at_us = microseconds(BEGAN_S)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for samples in day.blocks_of_samples():
                moments = at_us + np.arange(samples.shape[2], dtype=np.int64) * 1_000_000
                everybody = np.arange(day.workers, dtype=np.int32)
                at, worker = np.meshgrid(moments, everybody)  # shape (workers, ticks)
                columns = [at, worker, *samples]
                ordered = [(column if by_worker else column.T).ravel() for column in columns]
                writer.write_table(pa.table(ordered, schema=schema), row_group_size=samples[0].size)
                at_us = int(moments[-1]) + 1_000_000

    return build


def month_heatmap(workers: int, count: int) -> Row:
    """A heatmap of thirty days of which minutes are left, against as many NumPy passes over a day in memory."""
    del count
    day = history(workers, DAY_S)
    numbers = day.numbers()
    with Store.open(day.month()) as store:
        width = round(store.read(columns=COLUMNS, metrics=[METRIC]).width_s)

        def passes() -> None:
            for _ in range(MONTH_DAYS):
                numbers.reshape(day.workers, -1, width).mean(axis=2)

        taken = in_turn(
            lambda: store.read(columns=COLUMNS, metrics=[METRIC]), passes, rounds=5, clock=cpu_of_all_threads_s
        )
    return Row(
        name="month_heatmap",
        ours=taken[0] * 1e3,
        baseline=taken[1] * 1e3,
        unit="ms of CPU",
        target=2.0,
        baseline_is=f"{MONTH_DAYS} passes of numpy.mean over a day of float32 in memory",
    )

"""Reading a day, an hour of it, one worker and a month, and what the day takes on the disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import cache
from pathlib import Path

import apsw
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.history import BEGAN_S, DAY_S, METRIC, MONTH_DAYS, History, history
from benchmarks.rows import Row, in_turn
from drmviz.model.metrics import METRIC_ROW, METRICS, STATISTICS, FloatArray
from drmviz.model.run import Run
from drmviz.store import Store
from drmviz.store.chunks import checked, told_by, values_of
from drmviz.store.connections import ReadConnection, rows_of
from drmviz.store.frames import framed, unframed
from drmviz.store.schema import BLOCK_US, RAW_TIER, microseconds

ROUNDS = 7
COLUMNS = 600
CURVE_COLUMNS = 2000
HOUR_S = 3600
_LAST_HOUR_WIDTH_S = 6.0
_CURVE_WORKER = 500
_BUCKET_S = 10
_BLOCK_BUCKETS = BLOCK_US // 1_000_000 // _BUCKET_S


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
    """A heatmap of the last hour, from samples, against fetching, verifying and unpacking the BLOBs it is made of.

    The baseline does less: it makes no numbers of the bytes, no columns of the numbers and no rows of workers.
    """

    def unpacked(chunks: list[memoryview]) -> None:
        for payload in chunks:
            zstandard.ZstdDecompressor().decompress(_packed_part(payload))

    del count
    is_ = "the same chunks fetched, verified and unpacked, bytes left shuffled: no numbers, no columns, no rows"
    return _against_chunks("last_hour_heatmap", history(workers, DAY_S), unpacked, is_)


def last_hour_averaged(workers: int, count: int) -> Row:
    """The same heatmap against making its numbers of the same chunks and of them, with NumPy, its columns."""
    del count
    columns = HOUR_S // round(_LAST_HOUR_WIDTH_S)

    def averaged(chunks: list[memoryview]) -> None:
        by_members: dict[bytes, list[memoryview]] = {}
        for payload in chunks:
            by_members.setdefault(told_by(payload).members, []).append(payload)
        for its in by_members.values():
            numbers = values_of(its)
            numbers.reshape(len(numbers), columns, -1).mean(axis=2)

    is_ = "the same chunks fetched, verified and made into numbers, and numpy.mean of each column; no rows"
    return _against_chunks("last_hour_averaged", history(workers, DAY_S), averaged, is_)


def last_hour_of_ticks(workers: int, count: int) -> Row:
    """The same heatmap against reading it from a plain table with a BLOB for each tick, as it would be unsealed.

    The baseline fetches every BLOB, verifies its checksum, takes the metric out of it and averages the columns.
    """
    del count
    day = history(workers, DAY_S)
    columns = HOUR_S // round(_LAST_HOUR_WIDTH_S)
    place = METRIC_ROW[METRIC]
    table = apsw.Connection(str(day.built("last-hour-by-tick.sqlite", _tick_table(day))))

    def of_ticks() -> FloatArray:
        rows = rows_of(table, "SELECT number, samples FROM tick ORDER BY number")
        ticks = [np.frombuffer(unframed(samples, sequence=number), dtype="<f4") for number, samples in rows]
        stacked = np.stack([tick[place * workers : (place + 1) * workers] for tick in ticks])
        means: FloatArray = stacked.reshape(columns, -1, workers).mean(axis=1)
        return means

    with Store.open(day.path) as store:
        heatmap = _last_hour(store, day)
        np.testing.assert_allclose(heatmap().values(METRIC, "mean"), of_ticks().T, rtol=3e-6)
        taken = in_turn(heatmap, of_ticks, rounds=ROUNDS, clock=cpu_of_all_threads_s)
    table.close()
    return _last_hour_row(
        "last_hour_of_ticks", taken, "a table with a BLOB a tick: each fetched, verified, its metric averaged; no rows"
    )


def _last_hour(store: Store, day: History) -> Callable[[], Run]:
    def heatmap() -> Run:
        return store.read(columns=COLUMNS, metrics=[METRIC], start_s=day.end_s - HOUR_S, end_s=day.end_s)

    assert heatmap().width_s == _LAST_HOUR_WIDTH_S
    return heatmap


def _tick_table(day: History) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        with Store.open(day.path) as store:
            run = store.read(columns=HOUR_S, start_s=day.end_s - HOUR_S, end_s=day.end_s)
        values = np.stack([run.values(metric, "mean") for metric in METRICS]).astype("<f4")
        table = apsw.Connection(str(path))
        with table:
            table.execute("CREATE TABLE tick (number INTEGER PRIMARY KEY, samples BLOB NOT NULL)")
            for i in range(HOUR_S):
                samples = np.ascontiguousarray(values[:, :, i]).tobytes()
                table.execute("INSERT INTO tick VALUES (?, ?)", (i, framed(i, samples)))
        table.close()

    return build


def _against_chunks(name: str, day: History, worked_on: Callable[[list[memoryview]], None], baseline_is: str) -> Row:
    reading = ReadConnection(day.path)
    first = (microseconds(day.end_s) // BLOCK_US) - 6

    def baseline() -> None:
        rows = rows_of(
            reading.connection,
            "SELECT first_tick, packed FROM chunk WHERE run = 1 AND tier = ? AND metric = ? AND statistic = 0"
            " AND block >= ? ORDER BY block",
            (RAW_TIER, METRIC_ROW[METRIC], first),
        )
        worked_on([checked(packed, first_tick=first_tick) for first_tick, packed in rows])

    with Store.open(day.path) as store:
        taken = in_turn(_last_hour(store, day), baseline, rounds=ROUNDS, clock=cpu_of_all_threads_s)
    reading.close()
    return _last_hour_row(name, taken, baseline_is)


def _last_hour_row(name: str, taken: tuple[float, float], baseline_is: str) -> Row:
    return Row(
        name=name, ours=taken[0] * 1e3, baseline=taken[1] * 1e3, unit="ms of CPU", target=2.0, baseline_is=baseline_is
    )  # fmt: skip


def day_curve(workers: int, count: int) -> Row:
    """Lowest, mean and highest of one worker over a day, against DuckDB on its own table of the same buckets.

    Both were asked before. DuckDB reads the buckets of this worker, which lie side by side in a table made for this
    question; of a history, which is written as time goes by, chunks of sixty-four workers are unpacked.
    """
    del count
    day = history(workers, DAY_S)
    with _duckdb(day) as database, Store.open(day.path) as store:
        taken = in_turn(
            lambda: _curve(store, workers), _query(database, day.path, workers), rounds=4 * ROUNDS,
            clock=cpu_of_all_threads_s,
        )  # fmt: skip
    return _curve_row("day_curve", taken, "DuckDB, one thread, warm, its own table of min, mean, max by 10 s")


def day_curve_as_written(workers: int, count: int) -> Row:
    """The same curve, against such a table that grew as a recording does: ten minutes of all workers after another."""
    del count
    day = history(workers, DAY_S)
    with _duckdb(day, as_written=True) as database, Store.open(day.path) as store:
        taken = in_turn(
            lambda: _curve(store, workers), _query(database, day.path, workers), rounds=4 * ROUNDS,
            clock=cpu_of_all_threads_s,
        )  # fmt: skip
    return _curve_row("day_curve_as_written", taken, "DuckDB, one thread, warm, such a table filled block by block")


def first_day_curve(workers: int, count: int) -> Row:
    """The same curve of a file that is opened, asked once and closed, as a command or a script does; so is DuckDB's."""
    del count
    day = history(workers, DAY_S)

    def ours() -> None:
        with Store.open(day.path) as store:
            _curve(store, workers)

    def theirs() -> None:
        with _duckdb(day) as database:
            _query(database, day.path, workers)()

    taken = in_turn(ours, theirs, rounds=4 * ROUNDS, clock=cpu_of_all_threads_s)
    return _curve_row("first_day_curve", taken, "DuckDB opened, one thread, asked once and closed, the same table")


def _duckdb(day: History, *, as_written: bool = False) -> duckdb.DuckDBPyConnection:
    name = "rollup-as-written.duckdb" if as_written else "rollup.duckdb"
    path = str(day.built(name, _rollup_table(day, as_written=as_written)))
    return duckdb.connect(path, read_only=True, config={"threads": 1})


def _curve(store: Store, workers: int) -> Run:
    asked = [f"worker-{min(_CURVE_WORKER, workers - 1):05d}"]
    return store.read(columns=CURVE_COLUMNS, metrics=[METRIC], statistics=STATISTICS, workers=asked)


@cache
def _curve_width(path: Path, workers: int) -> int:
    """Return how many buckets a column of the curve has."""
    with Store.open(path) as store:
        return round(_curve(store, workers).width_s) // _BUCKET_S


def _query(database: duckdb.DuckDBPyConnection, path: Path, workers: int) -> Callable[[], object]:
    width = _curve_width(path, workers)
    return lambda: database.execute(
        "SELECT bucket // ? AS pixel, min(lowest), sum(mean * count) / sum(count), max(highest) FROM rollup"
        " WHERE worker = ? GROUP BY pixel ORDER BY pixel",
        (width, min(_CURVE_WORKER, workers - 1)),
    ).fetchnumpy()


def _curve_row(name: str, taken: tuple[float, float], baseline_is: str) -> Row:
    return Row(
        name=name, ours=taken[0] * 1e3, baseline=taken[1] * 1e3, unit="ms of CPU", target=1.5, baseline_is=baseline_is
    )  # fmt: skip


def _rollup_table(day: History, *, as_written: bool) -> Callable[[Path], None]:
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
        all_or_none = 0 if as_written else len(rollup)
        database = duckdb.connect(str(path))
        database.register("of_numpy", rollup)
        database.execute("CREATE TABLE rollup AS SELECT * FROM of_numpy ORDER BY worker, bucket LIMIT ?", [all_or_none])
        for block in range(first, first + buckets, _BLOCK_BUCKETS) if as_written else ():
            database.execute(
                "INSERT INTO rollup SELECT * FROM of_numpy WHERE bucket >= ? AND bucket < ? ORDER BY worker, bucket",
                [block, block + _BLOCK_BUCKETS],
            )
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

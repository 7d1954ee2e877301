"""Asking an engine how its workers do, beside the engine's own call for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.rows import Row, cpu_s, in_turn
from drmviz.sources.dask import DaskSource

WORKERS = 200
_ROUNDS = 40


def dask_poll(_workers: int, _ticks: int) -> Row:
    """Read a real scheduler with 200 simulated workers: twice the CPU of its client's own call at most."""
    from distributed import Client

    with _scheduler() as address, Client(address, timeout=30, set_as_default=False) as client:
        client.run_on_scheduler(_simulating(), count=WORKERS)
        source = DaskSource(address)
        at_s = time.time()
        if len(source.read(at_s).entries) != WORKERS:
            raise AssertionError("not all workers were read")
        ours, baseline = in_turn(
            lambda: source.read(at_s),
            lambda: client.scheduler_info(n_workers=-1),
            rounds=_ROUNDS,
            clock=cpu_s,
        )
        source.close()
    return Row(
        name="dask_poll",
        ours=ours * 1e3,
        baseline=baseline * 1e3,
        baseline_is="Client.scheduler_info of as many workers",
        unit="ms CPU/poll",
        target=2.0,
    )


@contextmanager
def _scheduler() -> Iterator[str]:
    """Start a scheduler in a process of its own, so that only who asks is measured."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dask",
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--dashboard-address",
            "127.0.0.1:0",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _simulating() -> Callable[..., None]:
    """Return a function that puts workers into a scheduler which nobody runs; it pickles whole."""

    def simulate(dask_scheduler: Any, count: int) -> None:
        from distributed.core import Status
        from distributed.scheduler import WorkerState

        for number in range(count):
            address = f"tcp://10.0.0.{number}:1000"
            worker = WorkerState(
                address=address,
                status=Status.running,
                pid=number,
                nthreads=2,
                memory_limit=2**30,
                name=f"worker-{number}",
                local_directory=f"/tmp/worker-{number}",
                services={"dashboard": 8787},
                versions={},
                nanny="tcp://10.0.0.1:2000",
                extra={},
                server_id=str(number),
                scheduler=dask_scheduler,
            )
            worker.metrics = {
                "task_counts": {"executing": 2, "ready": 5, "memory": 100},
                "bandwidth": {"total": 100_000_000, "workers": {}, "types": {}},
                "managed_bytes": 10**8,
                "spilled_bytes": {"memory": 10**7, "disk": 10**7},
                "transfer": {"incoming_bytes": 0, "incoming_count": 0, "outgoing_bytes": 0, "outgoing_count": 0},
                "event_loop_interval": 0.02,
                "cpu": 150.5,
                "memory": 3 * 10**8,
                "time": 1.0,
                "host_net_io": {"read_bps": 10.0, "write_bps": 10.0},
                "host_disk_io": {"read_bps": 10.0, "write_bps": 10.0},
                "num_fds": 30,
            }
            dask_scheduler.workers[address] = worker

    simulate.__module__ = "__main__"
    return simulate

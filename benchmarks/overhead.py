"""What being recorded costs: the recorder's and the hooks' CPU, by their own timers, against the suite's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import Row
from drmviz.store import Store

SUITE = "networkx.algorithms"  # about a minute of CPU, written by others, carried by its wheel


def recorder_overhead(workers: int, count: int, *, suite: str = SUITE) -> Row:
    """CPU seconds of recorder and hooks for one real suite on two xdist workers, drawing aside."""
    del workers, count  # the suite decides
    facts = recorded_facts(suite)
    return Row(
        name="recorder_overhead",
        ours=facts["recorder_cpu_s"] + facts["hooks_cpu_s"],
        baseline=facts["suite_cpu_s"],
        unit="CPU s",
        target=0.02,
        baseline_is=f"pytest -n 2 --pyargs {suite}, by the kernel's account",
    )


def recorded_facts(suite: str) -> dict[str, float]:
    """Record a suite and return what its run says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "h.drmviz")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--pyargs", suite]
        done = subprocess.run(
            [sys.executable, "-m", "drmviz", "run", "--store", str(store), "--no-report", "--", *command],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "DRMVIZ_HOME": folder},
        )
        if done.returncode != 0:
            raise RuntimeError(f"the suite failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        with Store.open(store) as history:
            return dict(history.runs()[-1].facts)

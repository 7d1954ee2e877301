"""One file has one writer: who comes second is told who the first is, and a killed one makes room at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from drmviz.errors import StoreBusyError
from drmviz.store import Writer
from drmviz.store.lock import lock_path

ROOT = Path(__file__).parents[1]
RACES = 50

# For each file named on stdin: waits for the common moment, tries to become its writer, tells, and lets go when told.
RACER = """
import sys, time
from drmviz.errors import StoreBusyError
from drmviz.store import Writer
for line in sys.stdin:
    path, at = line.split()
    while time.monotonic() < float(at):
        pass
    try:
        writer = Writer.open(path)
    except StoreBusyError as error:
        print("busy", error.pid, flush=True)
        sys.stdin.readline()
    else:
        print("writes", flush=True)
        sys.stdin.readline()
        writer.close()
"""

# Opens the file named, says so, and never lets go by itself.
HOLDER = """
import sys
from drmviz.store import Writer
writer = Writer.open(sys.argv[1])
print("writes", flush=True)
sys.stdin.read()
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def test_of_two_that_begin_at_once_exactly_one_writes_and_the_other_is_told_its_pid(tmp_path: Path) -> None:
    racers = [start(RACER), start(RACER)]
    outcomes: list[tuple[str, ...]] = []
    try:
        for race in range(RACES):
            path = tmp_path / f"{race}.drmviz"
            lock_path(path).write_text("2147483646")  # what a killed writer leaves: the pid of nobody
            at_s = time.monotonic() + 0.01
            for racer in racers:
                tell(racer, f"{path} {at_s}")
            outcomes.append(tuple(said(racer) for racer in racers))
            for racer in racers:
                tell(racer, "go on")
    finally:
        for racer in racers:
            racer.communicate()

    one, two = (racer.pid for racer in racers)
    expected = {("writes", f"busy {one}"), (f"busy {two}", "writes")}
    assert set(outcomes) <= expected
    assert len(outcomes) == RACES


def test_the_lock_of_a_killed_writer_is_free_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    for _ in range(5):
        holder = start(HOLDER, str(path))
        assert said(holder) == "writes"
        with pytest.raises(StoreBusyError, match=f"process {holder.pid} is writing it"):
            Writer.open(path)
        holder.kill()
        killed_s = time.monotonic()
        while True:
            try:
                Writer.open(path).close()
            except StoreBusyError:
                assert time.monotonic() - killed_s < 1.0
            else:
                break
        assert time.monotonic() - killed_s < 1.0
        holder.communicate()


def test_a_child_that_outlives_a_killed_writer_does_not_hold_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    forks = HOLDER.replace("print(", "import os, signal\nif not os.fork():\n    signal.pause()\nprint(")
    holder = start(forks, str(path))
    try:
        assert said(holder) == "writes"
        children = psutil.Process(holder.pid).children()
        assert len(children) == 1
        with pytest.raises(StoreBusyError):
            Writer.open(path)  # the child let go of its copy of the lock, not of the lock
    finally:
        holder.kill()
        holder.wait()
    try:
        assert children[0].is_running()
        Writer.open(path).close()
    finally:
        children[0].kill()
        holder.communicate()

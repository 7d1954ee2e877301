"""Ending a verb that goes on by itself."""

from __future__ import annotations

import subprocess
import sys
import time

from drmviz.cli.ending import Ending, asked_to_end

# Sends the signal at each line that a wait goes through in turn, those of the standard library too: a lock
# that is held there and wanted by the handler is found every time, not once in a thousand runs.
AT_EVERY_LINE = """
import signal, sys
from drmviz.cli.ending import Ending, asked_to_end

def at(line, ending):
    passed = 0
    def trace(frame, event, argument):
        nonlocal passed
        if event == "line":
            passed += 1
            if passed == line:
                signal.raise_signal(signal.SIGTERM)
        return trace
    sys.settrace(trace)
    ending.wait(0.0)
    sys.settrace(None)
    return passed

line = passed = 1
while line <= passed:
    with asked_to_end() as ending:
        passed = at(line, ending)
        assert line > passed or ending.wait(60.0)
    line += 1
print(passed)
"""


def test_a_signal_at_any_moment_of_a_wait_ends_it() -> None:
    command = [sys.executable, "-c", AT_EVERY_LINE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3


def test_nobody_asked_within_the_time() -> None:
    with asked_to_end() as ending:
        begun_s = time.monotonic()
        assert ending.wait(0.02) is False
        assert time.monotonic() - begun_s >= 0.015
        assert not ending.is_set()


def test_asked_twice_and_long_before_anybody_waits() -> None:
    ending = Ending()
    ending.ask()
    ending.ask()

    assert ending.is_set()
    assert ending.wait() is True
    assert ending.wait(10.0) is True
    ending.close()

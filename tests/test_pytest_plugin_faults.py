"""What fails in our hooks never changes an outcome."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.spooled import clean_environment, run_pytest

THREE = "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip\ndef test_c(): pass\n"


@pytest.mark.parametrize("distribution", ["-n0", "-n2"])
@pytest.mark.parametrize(
    "sabotage",
    [
        "from drmviz.recorder import spool\ndef broken(*_): raise RuntimeError('append')\nspool.append = broken\n",
        "from drmviz.recorder import measuring\ndef broken(*_): raise ValueError('meter')\n"
        "measuring.TestMeter.begin = broken\n",
        "from drmviz.recorder import outcomes\ndef broken(*_): raise ZeroDivisionError\n"
        "outcomes.Outcomes.follow = broken\n",
    ],
)
def test_a_hook_that_fails_changes_no_outcome(tmp_path: Path, distribution: str, sabotage: str) -> None:
    ran = run_pytest(tmp_path / "with", distribution, "-W", "error", source=THREE, conftest=sabotage)

    assert ran.code == 1
    assert [case[1:] for case in ran.cases] == [
        ("test_a", "passed", ""),
        ("test_b", "failure", "assert 0"),
        ("test_c", "skipped", "unconditional skip"),
    ]
    assert "INTERNALERROR" not in ran.output
    workers = [event["worker"] for event in ran.of("problem")]
    assert len(workers) == len(set(workers)), "a problem is told once per process"
    if "append" not in sabotage:
        assert workers


@pytest.mark.parametrize("distribution", ["-n0", "-n2"])
def test_a_spool_deleted_while_tests_run_changes_no_outcome(tmp_path: Path, distribution: str) -> None:
    source = (
        "import glob, shutil\n"
        f"def test_0(): [shutil.rmtree(p) for p in glob.glob({str(tmp_path / 'with')!r} + '/drmviz-*')]\n"
    )
    source += "".join(f"def test_{i}(): assert {i} != 3\n" for i in range(1, 6))
    ran = run_pytest(tmp_path / "with", distribution, "-W", "error", source=source)

    assert ran.code == 1
    assert sorted(name for _, name, outcome, _ in ran.cases if outcome == "failure") == ["test_3"]
    assert len(ran.cases) == 6
    assert "INTERNALERROR" not in ran.output


def test_a_spool_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(): pass\n")
    environment = clean_environment() | {"DRMVIZ_SPOOL": str(tmp_path / "nowhere")}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=."], cwd=tmp_path, env=environment, check=False
    )

    assert done.returncode == 0


def test_a_test_that_closes_every_descriptor_and_replaces_the_clock_is_recorded(tmp_path: Path) -> None:
    source = """
import os, time
def test_closes(): os.closerange(20, 256)
def test_replaces(monkeypatch):
    def broken(*_): raise AssertionError("ours must not be called")
    for module, name in ((os, "open"), (os, "write"), (time, "monotonic"), (os, "getpid")):
        monkeypatch.setattr(module, name, broken)
def test_leaves_replaced():
    def broken(*_): raise AssertionError("ours must not be called")
    os.write, time.monotonic = broken, broken
def test_after(): pass
"""
    ran = run_pytest(tmp_path, "-p", "no:faulthandler", source=source)

    assert ran.outcomes == dict.fromkeys(
        ["test_closes", "test_replaces", "test_leaves_replaced", "test_after"], "passed"
    )
    assert not ran.of("problem")


def test_a_forked_child_that_goes_on_as_pytest_tells_nothing(tmp_path: Path) -> None:
    source = """
import os
def test_forks():
    if child := os.fork():
        os.waitpid(child, 0)
def test_after(): pass
"""
    ran = run_pytest(tmp_path, source=source)

    assert [event["nodeid"] for event in ran.of("test")] == ["test_it.py::test_forks", "test_it.py::test_after"]
    assert len(ran.of("end")) == 1

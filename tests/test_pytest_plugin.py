"""The hooks in real pytest runs: every test once, with its outcome, its worker and what it used."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from drmviz.recorder import spool
from tests.spooled import clean_environment, read_events, run_pytest

EVERY_OUTCOME = """
import pytest
def test_passed(): pass
def test_failed(): assert 0, "no"
@pytest.mark.skip(reason="later")
def test_skipped(): pass
def test_skipped_inside(): pytest.skip("later")
@pytest.mark.xfail
def test_xfailed(): assert 0
@pytest.mark.xfail(run=False)
def test_not_run(): assert 0
@pytest.mark.xfail
def test_xpassed(): pass
@pytest.mark.xfail(strict=True)
def test_strict(): pass
@pytest.fixture
def broken(): raise OSError("setup")
def test_error(broken): pass
@pytest.fixture
def leaving():
    yield
    raise OSError("teardown")
def test_late_error(leaving): pass
def test_failed_then_error(leaving): assert 0
def test_parts(subtests):
    for i in range(3):
        with subtests.test(i=i):
            assert i != 1
@pytest.mark.parametrize("word", ["a::b", "ü", "x[1]"])
def test_words(word): pass
"""

EXPECTED = {
    "test_passed": "passed",
    "test_failed": "failed",
    "test_skipped": "skipped",
    "test_skipped_inside": "skipped",
    "test_xfailed": "xfailed",
    "test_not_run": "xfailed",
    "test_xpassed": "xpassed",
    "test_strict": "failed",
    "test_error": "error",
    "test_late_error": "error",
    "test_failed_then_error": "failed",
    "test_parts": "failed",
}


@pytest.mark.parametrize("distribution", [("-n2", "-W", "error"), ("-n0",), ("-p", "no:xdist")])
def test_every_test_is_told_once_with_the_outcome_pytest_gave_it(tmp_path: Path, distribution: tuple[str, ...]) -> None:
    ran = run_pytest(tmp_path / "with", *distribution, source=EVERY_OUTCOME)
    without = run_pytest(tmp_path / "without", *distribution, source=EVERY_OUTCOME, recorded=False)

    assert ran.code == without.code == 1
    assert len(without.cases) >= 15
    assert ran.cases == without.cases
    nodeids = [event["nodeid"] for event in ran.of("test")]
    assert len(nodeids) == len(set(nodeids)) == 15
    outcomes = {event["nodeid"].removeprefix("test_it.py::"): event["outcome"] for event in ran.of("test")}
    assert {name: outcomes[name] for name in EXPECTED} == EXPECTED
    assert "test_words[a::b]" in outcomes
    assert ran.of("collected")[0]["tests"] == 15
    assert not ran.of("problem")
    assert ran.events[-1]["event"] == "end"
    assert ran.events[-1]["exitstatus"] == 1


def test_two_workers_have_two_real_pids_and_share_the_tests(tmp_path: Path) -> None:
    source = "import pytest, os\n@pytest.mark.parametrize('i', range(12))\ndef test_it(i): print(os.getpid())\n"
    ran = run_pytest(tmp_path, "-n2", source=source)

    session = ran.of("session")[0]
    pids = {event["worker"]: event["pid"] for event in ran.of("worker")}
    assert session["workers"] == 2
    assert set(pids) == {"gw0", "gw1"}
    assert len({*pids.values(), session["pid"]}) == 3
    assert {(event["worker"], event["pid"]) for event in ran.of("test")} == set(pids.items())
    assert {(event["worker"], event["why"]) for event in ran.of("left")} == {("gw0", "finished"), ("gw1", "finished")}
    assert len(ran.of("start")) == 12


def test_without_xdist_the_only_worker_is_pytest_itself(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, source="def test_it(): pass\n")

    (session,), (worker,) = ran.of("session"), ran.of("worker")
    assert session["workers"] == 0
    assert (worker["worker"], worker["pid"]) == ("main", session["pid"])
    assert ran.test("test_it")["worker"] == "main"


def test_dist_each_tells_every_test_once_per_worker(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--dist=each", "--tx=2*popen", source="def test_a(): pass\ndef test_b(): pass\n")

    told = sorted((event["worker"], event["nodeid"]) for event in ran.of("test"))
    assert told == [(w, f"test_it.py::test_{t}") for w in ("gw0", "gw1") for t in ("a", "b")]
    assert ran.of("session")[0]["workers"] == 2


@pytest.mark.parametrize("death", ["os._exit(7)", "os.kill(os.getpid(), 9)"])
def test_a_crash_is_told_once_and_its_worker_is_replaced(tmp_path: Path, death: str) -> None:
    source = f"import os\ndef test_dies(): {death}\ndef test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
    ran = run_pytest(tmp_path / "with", "-n2", source=source)

    assert ran.code == 1
    assert [(name, outcome) for _, name, outcome, _ in ran.cases] == [
        ("test_a", "passed"),
        ("test_b", "passed"),
        ("test_c", "passed"),
        ("test_dies", "error"),
    ]
    assert ran.outcomes == {"test_dies": "crashed", "test_a": "passed", "test_b": "passed", "test_c": "passed"}
    assert len(ran.of("test")) == 4
    crashed = ran.test("test_dies")
    assert crashed["cpu_s"] is None
    assert [event["worker"] for event in ran.of("left") if event["why"] == "crashed"] == [crashed["worker"]]
    assert {event["worker"] for event in ran.of("worker")} == {"gw0", "gw1", "gw2"}
    assert any(event["nodeid"].endswith("test_dies") for event in ran.of("start"))


def test_cpu_seconds_are_those_of_setup_call_teardown_and_of_children(tmp_path: Path) -> None:
    source = """
import subprocess, sys, time, pytest
def burn(seconds):
    begun = time.process_time()
    while time.process_time() - begun < seconds: pass
@pytest.fixture
def busy():
    burn(0.1)
    yield
    burn(0.1)
def test_phases(busy): burn(0.1)
def test_child():
    subprocess.run([sys.executable, "-S", "-c", "import time\\nwhile time.process_time() < 0.3: pass"], check=True)
def test_idle(): time.sleep(0.3)
"""
    begun_s = time.monotonic()
    ran = run_pytest(tmp_path, source=source)
    took_s = time.monotonic() - begun_s

    assert 0.3 <= ran.test("test_phases")["cpu_s"] < 0.45
    assert 0.3 <= ran.test("test_child")["cpu_s"] < 0.6
    assert ran.test("test_idle")["cpu_s"] < 0.1
    idle = ran.test("test_idle")
    assert 0.3 <= idle["end"] - idle["start"] < took_s
    assert (
        begun_s < ran.test("test_phases")["start"] < ran.test("test_phases")["end"] <= ran.test("test_child")["start"]
    )


def test_memory_belongs_to_the_test_that_took_it(tmp_path: Path) -> None:
    source = """
def test_before(): pass
def test_large():
    held = bytearray(100_000_000)
    held[::4096] = b"x" * len(held[::4096])
def test_same_again():
    held = bytearray(50_000_000)
    held[::4096] = b"x" * len(held[::4096])
def test_after(): pass
"""
    ran = run_pytest(tmp_path, source=source)

    rises = {name: ran.test(name)["memory_bytes"] for name in ran.outcomes}
    assert 95_000_000 < rises.pop("test_large") < 130_000_000
    assert all(0 <= rise < 10_000_000 for rise in rises.values()), rises
    assert ran.test("test_after")["peak_bytes"] > 100_000_000


def test_a_rerun_counts_once_with_its_attempt(tmp_path: Path) -> None:
    source = """
import pathlib
def test_flaky():
    tries = pathlib.Path("tries")
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    assert len(tries.read_text()) == 3
"""
    for distribution in ("-n0", "-n1"):
        ran = run_pytest(tmp_path / distribution, distribution, "--reruns=4", source=source)

        assert ran.code == 0
        *earlier, told = ran.of("test")
        assert [(event["outcome"], event["attempt"]) for event in earlier] == [("rerun", 1), ("rerun", 2)]
        assert (told["outcome"], told["attempt"]) == ("passed", 3)


def test_a_pytest_inside_a_test_is_no_run_of_its_own(tmp_path: Path) -> None:
    source = """
import os, subprocess, sys
def test_outer(tmp_path):
    assert "DRMVIZ_SPOOL" not in os.environ
    (tmp_path / "test_inner.py").write_text("def test_inner(): pass")
    subprocess.run([sys.executable, "-m", "pytest", "-n1", str(tmp_path)], check=True, timeout=30)
"""
    ran = run_pytest(tmp_path, "-n1", source=source)

    assert ran.outcomes == {"test_outer": "passed"}
    assert len(ran.of("session")) == 1


def test_two_pytests_after_each_other_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    path = spool.create(str(tmp_path))
    environment = clean_environment() | {spool.ENVIRONMENT_VARIABLE: path}
    for _ in range(2):
        command = [sys.executable, "-m", "pytest", "-q", "--rootdir=."]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)

    events = read_events(Path(path))
    assert [event["event"] for event in events if event["event"] in ("session", "end")] == ["session", "end"] * 2


def test_stopping_early_and_interrupting_end_the_session(tmp_path: Path) -> None:
    source = "def test_a(): assert 0\ndef test_b(): pass\n"
    for folder, distribution in (("n0", "-n0"), ("n2", "-n1")):
        stopped = run_pytest(tmp_path / folder, "-x", distribution, source=source)
        assert stopped.code in (1, 2)
        assert stopped.outcomes["test_a"] == "failed"
        assert stopped.events[-1]["event"] == "end"

    source = "def test_a(): pass\ndef test_b(): raise KeyboardInterrupt\n"
    interrupted = run_pytest(tmp_path / "interrupted", source=source)
    assert interrupted.code == 2
    assert interrupted.outcomes == {"test_a": "passed"}
    assert interrupted.events[-1]["exitstatus"] == 2


def test_a_worker_elsewhere_measures_itself_and_the_controller_tells_it(tmp_path: Path) -> None:
    conftest = """
import pytest
@pytest.hookimpl(trylast=True, optionalhook=True)
def pytest_configure_node(node): node.workerinput["drmviz"]["host"] = "another-machine"
"""
    source = "def test_a(): sum(range(100_000))\ndef test_b(): pass\n"
    ran = run_pytest(tmp_path, "-n1", source=source, conftest=conftest)

    (worker,) = ran.of("worker")
    assert worker["pid"] != ran.of("session")[0]["pid"]
    assert not ran.of("start")
    assert ran.outcomes == {"test_a": "passed", "test_b": "passed"}
    samples = ran.of("sample")
    assert [sample["worker"] for sample in samples] == ["gw0", "gw0"]
    assert 0 < samples[0]["cpu_s"] < samples[1]["cpu_s"]
    assert samples[0]["memory_bytes"] > 10_000_000
    for told in ran.of("test"):
        assert ran.events[0]["at"] < told["start"] <= told["end"] <= told["at"]


def test_the_cost_of_the_hooks_is_told_and_small(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.parametrize('i', range(200))\ndef test_it(i): pass\n"
    ran = run_pytest(tmp_path, "-n1", source=source)

    (hooks,) = ran.of("hooks")
    assert hooks["tests"] == 200
    assert 0 < hooks["hooks_s"] / 200 < 500e-6
    assert 0 < ran.of("end")[0]["hooks_s"] / 200 < 500e-6


def test_an_unused_plugin_loads_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    heavy = ["numpy", "psutil", "apsw", "plotly", "matplotlib", "pynvml", "sqlite3", "threading_of_ours"]
    program = f"import sys, drmviz.pytest_plugin; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    source = "def test_it(request): assert not hasattr(request.node, 'drmviz')\n"
    unused = run_pytest(tmp_path, source=source, recorded=False)

    assert loaded.strip() == "[]"
    assert unused.code == 0
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("__")) == [
        "junit.xml",
        "pytest.ini",
        "test_it.py",
    ]

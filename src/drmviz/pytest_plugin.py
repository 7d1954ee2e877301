"""Hooks of pytest: off unless asked; a test process only measures its tests and appends lines to a spool."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from drmviz.recorder import spool
from drmviz.recorder.measuring import TestMeter, cpu_seconds, resident_bytes
from drmviz.recorder.outcomes import CRASHED_WHEN, Outcomes
from drmviz.recorder.spool import KERNEL

MAIN = "main"
"""The id of the only worker where tests run in pytest's own process."""

_WORKERINPUT = "drmviz"


class Guard:
    """Runs every hook body of ours: an error in one is told once, switches all off, and changes no outcome."""

    def __init__(self, worker: str, path: str | None) -> None:
        self.worker = worker
        self.path = path
        """The spool; None where this process cannot write to it."""
        self.problem: str | None = None
        self.seconds = 0.0
        """CPU time of this thread that our hooks took."""
        self._pid = KERNEL.getpid()

    def run(self, body: Callable[..., None], *arguments: Any) -> None:
        if self.problem is not None:
            return
        begun = KERNEL.thread_time()
        try:
            body(*arguments)
        except Exception as error:  # noqa: BLE001  the one guard around our pytest hooks
            self.problem = f"{type(error).__name__}: {error}"[:1000]
            with contextlib.suppress(Exception):  # what failed may be the writing itself
                self.write("problem", type=type(error).__name__, message=str(error)[:1000])
        self.seconds += KERNEL.thread_time() - begun

    def write(self, kind: str, **facts: Any) -> None:
        if self.path is not None and self.is_own_process():
            spool.append(self.path, {"event": kind, "at": KERNEL.monotonic(), "worker": self.worker} | facts)

    def is_own_process(self) -> bool:
        """Return False in a process that a test forked off: it must not speak for us."""
        return KERNEL.getpid() == self._pid


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drmviz", "recording how the workers are used")
    group.addoption("--drm", action="store_true", default=False, help="record this run with drmviz")
    group.addoption("--drm-store", metavar="PATH", default=None, help="append the recording to this file")
    group.addoption("--drm-interval", metavar="S", default=None, help="seconds between two samples")
    group.addoption("--drm-report", metavar="PATH", default=None, help="write a report page at the end")
    parser.addini("drm", "record every run with drmviz", type="bool", default=False)
    parser.addini("drm_store", "append the recording to this file", default="")
    parser.addini("drm_interval", "seconds between two samples", default="")
    parser.addini("drm_report", "write a report page at the end", default="")


def pytest_configure(config: pytest.Config) -> None:
    guard = Guard(MAIN, None)
    if hasattr(config, "workerinput"):
        guard.run(_configure_worker, config, guard)
    elif not getattr(config.option, "collectonly", False):
        guard.run(_configure_controller, config, guard)


def _configure_worker(config: pytest.Config, guard: Guard) -> None:
    workerinput: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]  # xdist puts it there
    given = workerinput.get(_WORKERINPUT)
    if not isinstance(given, dict):
        return
    guard.worker = workerinput["workerid"]
    is_local = given["host"] == socket.gethostname() and spool.read_token(given["path"]) == given["token"]
    if is_local:
        guard.path = given["path"]
        guard.write("worker", pid=os.getpid(), host=given["host"])
    config.pluginmanager.register(TestHooks(guard, is_local=is_local), "drmviz-tests")


def _configure_controller(config: pytest.Config, guard: Guard) -> None:
    guard.path = os.environ.pop(spool.ENVIRONMENT_VARIABLE, None)
    is_wanted = _is_asked_for(config) if guard.path is None else spool.claim(guard.path)
    if not is_wanted:
        return
    controller = Controller(config, guard, starts_recorder=guard.path is None)
    config.pluginmanager.register(controller, "drmviz-controller")
    config.pluginmanager.register(TestHooks(guard, is_local=True), "drmviz-tests")


def _is_asked_for(config: pytest.Config) -> bool:
    if "--drm" in config.invocation_params.args:
        return True
    # A setting of the project also reaches a pytest that one of its tests runs; that is no run of its own.
    return bool(config.getoption("drm") or config.getini("drm")) and "PYTEST_CURRENT_TEST" not in os.environ


class TestHooks:
    """Measures the tests that run in this process and says when one starts."""

    __test__ = False

    def __init__(self, guard: Guard, *, is_local: bool) -> None:
        self._guard = guard
        self._is_local = is_local
        self._meter = TestMeter()
        self._tests = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._guard.run(self._begin, item)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            self._guard.run(self._attach, report)
        return report

    def pytest_sessionfinish(self) -> None:
        self._guard.run(self._finish)

    def _begin(self, item: pytest.Item) -> None:
        self._tests += 1
        self._guard.write("start", nodeid=item.nodeid)
        self._meter.begin()

    def _attach(self, report: pytest.TestReport) -> None:
        facts = self._meter.end_attempt()
        if not self._is_local:
            facts["host"] = socket.gethostname()
            facts["total_cpu_s"] = cpu_seconds()
            facts["resident_bytes"] = resident_bytes()
        report.drmviz = facts  # type: ignore[attr-defined]  # xdist carries extra attributes to the controller

    def _finish(self) -> None:
        if self._tests:
            self._guard.write("hooks", hooks_s=self._guard.seconds, tests=self._tests)


class Controller:
    """Runs in pytest's first process: tells who works, what came out, and when it is over."""

    def __init__(self, config: pytest.Config, guard: Guard, *, starts_recorder: bool) -> None:
        self._config = config
        self._guard = guard
        self._starts_recorder = starts_recorder
        self._recorder_pid: int | None = None
        self._outcomes = Outcomes()
        self._has_collected = False
        self._remote: set[str] = set()
        self._has_ended = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._guard.run(self._begin)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        self._guard.run(self._invite, node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._guard.run(self._collected, len(ids))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._guard.run(self._collected, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self._guard.run(self._left, node, error)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        facts = report.__dict__.pop("drmviz", None) or {}  # other plugins see the report as it always was
        result = yield
        self._guard.run(self._follow, report, facts)  # only now: other plugins may have changed its outcome
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._guard.run(self._end, exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._starts_recorder and self._guard.is_own_process():
            self._guard.run(self._print_summary, terminalreporter)
            if self._guard.problem is not None:
                terminalreporter.write_line(f"drmviz: recording stopped: {self._guard.problem}")

    def pytest_unconfigure(self) -> None:
        self._guard.run(self._end, None)

    def _begin(self) -> None:
        if self._starts_recorder:
            self._guard.path = spool.create()  # not before: `--help` and its like have no session
            self._recorder_pid = _start_recorder(self._config, self._guard.path)
        is_distributed = self._config.pluginmanager.hasplugin("dsession")
        xdist = self._config.pluginmanager.getplugin("xdist")
        self._guard.write(
            "session",
            pid=os.getpid(),
            host=socket.gethostname(),
            workers=_number_of_workers(self._config) if is_distributed else 0,
            rootdir=str(self._config.rootpath),
            args=[str(argument) for argument in self._config.invocation_params.args],
            pytest=pytest.__version__,
            xdist=None if xdist is None else getattr(sys.modules.get("xdist"), "__version__", None),
        )
        if not is_distributed:
            self._guard.write("worker", pid=os.getpid(), host=socket.gethostname())

    def _invite(self, node: Any) -> None:
        path = self._guard.path
        if path is not None:
            given = {"path": path, "token": spool.read_token(path), "host": socket.gethostname()}
            node.workerinput[_WORKERINPUT] = given

    def _collected(self, tests: int) -> None:
        if not self._has_collected:
            self._has_collected = True
            self._guard.write("collected", tests=tests)

    def _left(self, node: Any, error: object) -> None:
        self._guard.write("left", worker=node.gateway.id, why="crashed" if error else "finished")

    def _follow(self, report: pytest.TestReport, facts: dict[str, Any]) -> None:
        node = getattr(report, "node", None)
        worker = MAIN if node is None else node.gateway.id
        if "host" in facts:
            self._relay(worker, facts)
        outcome = self._outcomes.follow(worker, report)
        if outcome is None:
            return
        is_crash = report.when == CRASHED_WHEN
        self._guard.write(
            "test",
            worker=worker,
            nodeid=report.nodeid,
            outcome=outcome,
            pid=facts.get("pid"),
            start=facts.get("start"),
            end=KERNEL.monotonic() if is_crash else facts.get("end"),
            cpu_s=facts.get("cpu_s"),
            memory_bytes=facts.get("memory_bytes"),
            peak_bytes=facts.get("peak_bytes"),
            attempt=facts.get("attempt", 1) + self._outcomes.crashes(report.nodeid),
        )

    def _relay(self, worker: str, facts: dict[str, Any]) -> None:
        """Tell what a worker on another machine measured of itself, on our clock instead of its own."""
        if worker not in self._remote:
            self._remote.add(worker)
            self._guard.write("worker", worker=worker, pid=facts["pid"], host=facts["host"])
        behind_s = KERNEL.monotonic() - facts["end"]
        facts["start"] += behind_s
        facts["end"] += behind_s
        self._guard.write("sample", worker=worker, cpu_s=facts["total_cpu_s"], memory_bytes=facts["resident_bytes"])

    def _end(self, exitstatus: int | None) -> None:
        path = self._guard.path
        if self._has_ended or path is None or not self._guard.is_own_process():
            return
        self._has_ended = True
        self._guard.write(
            "end", exitstatus=None if exitstatus is None else int(exitstatus), hooks_s=self._guard.seconds
        )
        if not self._starts_recorder:
            spool.release(path)

    def _print_summary(self, terminalreporter: Any) -> None:
        folder = self._guard.path
        if folder is None:
            return
        summary = Path(folder) / spool.SUMMARY
        _wait_for(summary, self._recorder_pid, patience_s=15.0)
        terminalreporter.section("drmviz")
        if summary.exists():
            for line in summary.read_text(encoding="utf-8").splitlines():
                terminalreporter.write_line(line)
            spool.remove(folder)
        else:
            terminalreporter.write_line(f"drmviz: the recorder gave no answer; its log is {folder}/recorder.log")


def _number_of_workers(config: pytest.Config) -> int:
    """Count xdist's `--tx`, where `3*popen` is three."""
    count = 0
    for spec in config.getoption("tx", None) or []:
        times = str(spec).partition("*")[0]
        count += int(times) if times.isdigit() else 1
    return count


_IN_BACKGROUND = '"$@" </dev/null >"$0" 2>&1 & echo $!'
"""A shell between us and the recorder, so that it is nobody's child: a test that waits for any child never meets it."""


def _start_recorder(config: pytest.Config, path: str) -> int:
    import subprocess  # only where a recorder is started

    command = [sys.executable, "-P", "-m", "drmviz", "follow", "--spool", path, "--follow-pid", str(os.getpid())]
    for option in ("store", "interval", "report"):
        value = config.getoption(f"drm_{option}") or config.getini(f"drm_{option}")
        if value:
            text = str(value) if option == "interval" else str(config.invocation_params.dir / value)
            command += [f"--{option}", text]
    unwanted = ("COV_CORE_", "COVERAGE_", "PYTEST_", "PYTHONWARNINGS", "PYTHONSTARTUP")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    started = subprocess.run(
        ["/bin/sh", "-c", _IN_BACKGROUND, os.path.join(path, "recorder.log"), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
        check=True,
        timeout=10,
    )
    return int(started.stdout)


def _wait_for(file: Path, pid: int | None, *, patience_s: float) -> None:
    deadline = KERNEL.monotonic() + patience_s
    while not file.exists() and _is_running(pid) and KERNEL.monotonic() < deadline:
        KERNEL.sleep(0.02)


def _is_running(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        return True  # it lives, but nothing tells in which state
    return state != "Z"

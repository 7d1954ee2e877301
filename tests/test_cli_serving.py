"""What records shows itself meanwhile: `run`, `watch` and `demo` on a real socket, each a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from drmviz.dashboard.doorway import Doorway
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving
from tests.browsers import chromium, path_of_chromium
from tests.commands import Bench
from tests.dashboards import TOKEN, ask, history

BEARER = ("Authorization", f"Bearer {TOKEN}")
URL = re.compile(rf"http://127\.0\.0\.1:(\d+)/\?token={TOKEN}")
ENDLESS = (sys.executable, "-c", "import time; time.sleep(1000)")
RECORDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run": (("run", "--no-report", "--interval", "0.2"), ("--", *ENDLESS)),
    "watch": (("watch", "local", "--interval", "0.2"), ()),
    "demo": (("demo", "--workers", "3", "--interval", "0.2"), ()),
}
HANGS = """
import threading

class Hangs:
    name = "hangs"

    def read(self, now_s):
        threading.Event().wait()
"""
OWN = """
from drmviz import Reading

class Own:
    name = "own"

    def read(self, now_s):
        return Reading.of(now_s, {"w1": {"cpu_ratio": 0.5, "memory_ratio": None, "capacity": {"cpu_cores": 8}}})

class Wrong:
    def __init__(self):
        raise KeyError("no such engine")

class Empty:
    pass
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@contextmanager
def started(bench: Bench, verb: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a recorder, and give its process and the port of its page."""
    before, after = RECORDERS[verb]
    with begun(bench, verb == "run", *before, "--store", "h.drmviz", "--port", "0", *options, *after) as found:
        yield found


@contextmanager
def begun(bench: Bench, on_stderr: bool, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = bench.start(sys.executable, "-m", "drmviz", *arguments, env={"DRMVIZ_TOKEN": TOKEN})
    try:
        stream = process.stderr if on_stderr else process.stdout
        assert stream is not None
        line = stream.readline().rstrip("\n")
        while line and not URL.fullmatch(line):
            line = stream.readline().rstrip("\n")
        found = URL.fullmatch(line)
        assert found is not None, process.communicate(timeout=20)
        yield process, int(found[1])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(ValueError):  # read to its end already
            process.communicate(timeout=20)


def read(port: int, path: str) -> Any:
    reply = ask(port, path, headers=[BEARER])
    assert reply.status == 200, reply.body
    return orjson.loads(reply.body)


def look_on(port: int) -> ClientConnection:
    viewer: ClientConnection = connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers=[BEARER], compression=None, open_timeout=30
    )
    return viewer


def frames(viewer: ClientConnection, count: int) -> None:
    while count:
        count -= isinstance(viewer.recv(timeout=20), bytes)


@pytest.mark.parametrize("verb", RECORDERS)
def test_what_is_recorded_is_shown_meanwhile(bench: Bench, verb: str) -> None:
    with started(bench, verb) as (_, port):
        assert ask(port, "/api/v1/snapshot").status == 401
        with look_on(port) as viewer:
            frames(viewer, 3)
        now = read(port, "/api/v1/snapshot")
        status = read(port, "/api/v1/status")
        page = ask(port, "/", headers=[BEARER])

    assert now["is_being_written"] is True
    assert now["sequence"] >= 2
    assert status["parts"]["store"]["state"] == "OK"
    assert len(status["parts"]) == 2
    assert page.status == 200
    run = bench.recorded()
    assert run.header.ended_at_s is not None
    assert run.measured_ticks >= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["watch", "demo"])
def test_a_signal_ends_it_with_0_and_soon_whoever_looks_on(bench: Bench, verb: str, number: signal.Signals) -> None:
    with started(bench, verb) as (process, port), look_on(port) as viewer:
        frames(viewer, 2)
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET /healthz HT")
            asked_s = time.monotonic()
            process.send_signal(number)
            _, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    assert time.monotonic() - asked_s < 5.0
    assert "Traceback" not in err
    assert TOKEN not in err
    assert bench.recorded().header.ended_at_s is not None
    assert not list(bench.folder.glob("h.drmviz-*"))


def test_a_run_that_is_ended_ends_as_its_command_did_and_soon_whoever_looks_on(bench: Bench) -> None:
    with started(bench, "run") as (process, port), look_on(port) as viewer:
        frames(viewer, 2)
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM, err
    assert time.monotonic() - asked_s < 5.0
    assert bench.recorded().header.ended_at_s is not None


def test_a_run_gives_its_command_stdout_alone_and_prints_the_address_once(bench: Bench) -> None:
    done = bench.drmviz(
        *("run", "--no-report", "--store", "h.drmviz", "--port", "0", "--", "echo", "mine"), env={"DRMVIZ_TOKEN": TOKEN}
    )

    assert (done.returncode, done.stdout) == (0, "mine\n")
    assert URL.fullmatch(done.stderr.splitlines()[0])
    assert done.stderr.count(TOKEN) == 1


@pytest.mark.parametrize("verb", RECORDERS)
def test_a_port_that_is_taken_is_named_at_once_and_nothing_has_begun(bench: Bench, verb: str) -> None:
    before, after = RECORDERS[verb]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = bench.drmviz(*before, "--store", "h.drmviz", "--port", port, *after)

    assert done.returncode == (125 if verb == "run" else 1)
    assert done.stderr == (
        f"drmviz: Port {port} of 127.0.0.1 is taken by another program. "
        "Name another one with --port, or --port 0 for any that is free.\n"
    )
    assert done.stdout == ""
    assert list(bench.folder.iterdir()) == []


def test_runs_on_one_machine_never_wait_for_each_others_port(bench: Bench) -> None:
    with socket.socket() as ours:
        with suppress(OSError):  # somebody else has it already
            ours.bind(("127.0.0.1", 8889))
            ours.listen()
        done = bench.drmviz("run", "--no-report", "--store", "h.drmviz", "--", "true", env={"DRMVIZ_TOKEN": TOKEN})

    said = done.stderr.splitlines()
    assert done.returncode == 0
    assert said[0] == "drmviz: port 8889 is taken by another program, so the page has another one"
    found = URL.fullmatch(said[1])
    assert found is not None
    assert found[1] != "8889"


@pytest.mark.parametrize("verb", RECORDERS)
def test_without_a_dashboard_nothing_listens(bench: Bench, verb: str) -> None:
    before, after = RECORDERS[verb]
    command = (sys.executable, "-m", "drmviz", *before, "--store", "h.drmviz", "--no-dashboard", *after)
    process = bench.start(*command, env={"DRMVIZ_TOKEN": TOKEN})
    deadline_s = time.monotonic() + 60
    while not (bench.folder / "h.drmviz").exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    listening = [each for each in psutil.Process(process.pid).net_connections() if each.status == psutil.CONN_LISTEN]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)

    assert TOKEN not in out + err
    assert listening == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "8080"), "--port"),
        (("--port", "0"), "--port"),
        (("--host", "0.0.0.0"), "--host"),
        (("--allowed-host", "box"), "--allowed-host"),
        (("--insecure-http",), "--insecure-http"),
        (("--url-prefix", "/x"), "--url-prefix"),
    ],
)
def test_an_option_of_a_page_that_there_is_not_is_refused(bench: Bench, options: tuple[str, ...], said: str) -> None:
    done = bench.drmviz("watch", "local", "--no-dashboard", *options)

    assert done.returncode == 2
    assert done.stderr == (
        f"drmviz: {said} is about a page, and with --no-dashboard there is none. Leave one of them out.\n"
    )
    assert list(bench.folder.iterdir()) == []


@pytest.mark.parametrize("verb", RECORDERS)
def test_other_machines_are_let_in_only_when_told_so(bench: Bench, verb: str) -> None:
    before, after = RECORDERS[verb]

    done = bench.drmviz(*before, "--store", "h.drmviz", "--host", "0.0.0.0", *after)

    assert done.returncode == 2
    assert "--insecure-http" in done.stderr
    assert list(bench.folder.iterdir()) == []


def test_with_controls_who_has_the_token_ends_it_and_without_nobody_does(bench: Bench) -> None:
    def end(port: int, *headers: tuple[str, str]) -> int:
        return ask(port, "/api/v1/end", method="POST", headers=headers).status

    with started(bench, "watch") as (process, port):
        assert end(port, BEARER) == 404
        assert process.poll() is None
    with started(bench, "watch", "--controls") as (process, port):
        assert end(port) == 403
        assert end(port, ("Authorization", "Bearer " + "x" * 32)) == 403
        assert end(port, BEARER, ("Origin", "http://evil.example")) == 403
        assert ask(port, "/api/v1/end", headers=[BEARER]).status == 405
        assert process.poll() is None
        assert end(port, BEARER) == 202
        process.communicate(timeout=20)
    with started(bench, "run", "--controls") as (command, port):
        assert end(port, BEARER) == 202
        command.communicate(timeout=20)

    assert process.returncode == 0
    assert command.returncode == 128 + signal.SIGTERM


@pytest.mark.skipif(path_of_chromium() is None, reason="no Chromium on this machine")
def test_with_controls_the_page_has_a_button_that_ends_it_after_asking(bench: Bench) -> None:
    with started(bench, "watch") as (_, port), chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
        page.get_by_role("tab", name="Overview").wait_for()
        assert page.locator("#end").count() == 0
    with started(bench, "watch", "--controls") as (process, port), chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
        page.get_by_role("button", name="End", exact=True).click()
        page.get_by_role("button", name="Go on").click()
        assert process.poll() is None
        page.get_by_role("button", name="End", exact=True).click()
        with page.expect_response("**/api/v1/end") as answer:
            page.get_by_role("button", name="End it").click()
        assert answer.value.status == 202
        process.communicate(timeout=20)

    assert process.returncode == 0


# watch


def test_a_source_of_ones_own_is_recorded(bench: Bench) -> None:
    bench.write(mine=OWN)
    with begun(bench, False, "watch", "mine:Own", "--store", "h.drmviz", "--interval", "0.2", "--port", "0",
               "--label", "team=search") as (process, port):  # fmt: skip
        with look_on(port) as viewer:
            frames(viewer, 2)
        worker = read(port, "/api/v1/snapshot")["workers"][0]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)

    assert (worker["id"], worker["cpu_ratio"], worker["memory_ratio"]) == ("w1", 0.5, None)
    assert re.fullmatch(r"\d+ ticks, 1 worker at the end: h\.drmviz\n", out)
    header = bench.recorded().header
    assert (header.title, header.source, header.labels) == ("drmviz watch mine:Own", "own", {"team": "search"})


def test_a_source_that_hangs_keeps_nobody_from_ending_it(bench: Bench) -> None:
    bench.write(mine=HANGS)
    with begun(bench, False, "watch", "mine:Hangs", "--store", "h.drmviz", "--interval", "60", "--port", "0") as (
        process,
        port,
    ):
        status = read(port, "/api/v1/status")["parts"]
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)

    assert set(status) == {"hangs", "store"}
    assert process.returncode == 0, err
    assert time.monotonic() - asked_s < 5.0
    assert "hangs: its last call has not returned" in err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nonsense", "is not one that there is"),
        ("spark://127.0.0.1:7077", "is not one that there is"),
        ("missing_module:Own", "No module named 'missing_module'"),
        ("mine:Missing", "Missing"),
        ("mine:Wrong", "KeyError: 'no such engine'"),
        ("mine:Empty", "it needs a name and read(now_s)"),
    ],
)
def test_a_source_that_there_is_not_is_named_in_one_line(bench: Bench, source: str, said: str) -> None:
    bench.write(mine=OWN)

    done = bench.drmviz("watch", source, "--no-dashboard", "--store", "h.drmviz")

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (bench.folder / "h.drmviz").exists()


# nobody looks


LOADED = """
import sys
from pathlib import Path
from drmviz.dashboard.doorway import Doorway
from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving

doorway = Doorway(Serving(port=0))
doorway.open(Fleet([Path("h.drmviz")], may_be_missing=True))
doorway.close()
print(sorted({"uvicorn", "starlette", "jinja2", "plotly"} & set(sys.modules)))
"""


def test_until_somebody_comes_no_server_is_loaded(bench: Bench) -> None:
    done = bench.run(sys.executable, "-W", "error", "-c", LOADED)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_first_visitor_is_answered_and_nothing_is_left_behind(tmp_path: Path) -> None:
    history(tmp_path / "h.drmviz")
    before = set(threading.enumerate())
    doorway = Doorway(Serving(port=0))
    port = int(doorway.url.partition("/?")[0].rpartition(":")[2])
    waiting = socket.create_connection(("127.0.0.1", port))  # it comes before there is anything to be shown
    waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    seen = [doorway.has_visitors]

    doorway.open(Fleet([tmp_path / "h.drmviz"]))
    waiting.settimeout(30)
    with waiting:
        assert waiting.recv(100).startswith(b"HTTP/1.1 200")
    seen.append(doorway.has_visitors)
    began_s = time.monotonic()
    doorway.close()
    doorway.close()

    assert seen == [False, True]
    assert time.monotonic() - began_s < 2.0
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/healthz")


def test_a_doorway_that_nothing_came_of_lets_its_port_go() -> None:
    doorway = Doorway(Serving(port=0))
    port = int(doorway.url.partition("/?")[0].rpartition(":")[2])

    doorway.close()

    with pytest.raises(ConnectionRefusedError):
        ask(port, "/healthz")

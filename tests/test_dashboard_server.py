"""The server of a dashboard begins at once or says why not, is held up by nobody, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Serving
from drmviz.dashboard.server import DashboardServer
from drmviz.errors import InvalidValueError, ServerError, UsageError
from drmviz.live import Hub
from drmviz.model.run import RunHeader
from drmviz.store import Writer
from drmviz.visualization import DRMVisualization
from tests.commands import Bench
from tests.dashboards import HANDSHAKE, TOKEN, ask, history, raw, serving, wait_until
from tests.fleets import START_S, KnownFleet

BEARER = ("Authorization", f"Bearer {TOKEN}")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    history(tmp_path / "h.drmviz")
    return Fleet([tmp_path / "h.drmviz"])


def look_on(server: DashboardServer, query: str = "", **how: Any) -> ClientConnection:
    address = f"ws://127.0.0.1:{server.port}/ws{query}"
    viewer: ClientConnection = connect(address, additional_headers=[BEARER], compression=None, **how)
    return viewer


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("drmviz")]


def test_fifty_dashboards_begin_and_end_and_leave_no_thread_and_no_socket(fleet: Fleet) -> None:
    """Ten at a time, each asked and looked at, ended while somebody looks on."""
    with serving(fleet) as server:  # whatever is loaded once
        ask(server.port, "/api/v1/status", headers=[BEARER])
    gc.collect()
    files, longest_s = open_files(), 0.0

    def end(server: DashboardServer) -> float:
        begun_s = time.monotonic()
        server.stop()
        return time.monotonic() - begun_s

    for _ in range(5):
        servers = [DashboardServer(fleet, Serving(port=0), token=TOKEN) for _ in range(10)]
        with ExitStack() as viewers, ThreadPoolExecutor(10) as ending:
            for server in servers:
                server.start()
                assert ask(server.port, "/api/v1/status", headers=[BEARER]).status == 200
                viewers.enter_context(look_on(server)).recv(timeout=10)
            assert len(ours()) >= 10
            longest_s = max(longest_s, *ending.map(end, servers))

    assert ours() == []
    gc.collect()
    assert open_files() <= files
    assert longest_s < 2.0


def test_the_real_address_is_of_this_machine_alone(fleet: Fleet) -> None:
    with serving(fleet) as server:
        assert server.address == ("127.0.0.1", server.port)
        assert server.url == f"http://127.0.0.1:{server.port}/?token={TOKEN}"


def test_stopping_again_and_stopping_what_never_started_does_nothing(fleet: Fleet) -> None:
    server = DashboardServer(fleet, Serving(port=0), token=TOKEN)
    server.stop()
    server.stop()

    assert ours() == []


def test_a_port_that_is_taken_is_named_at_once(fleet: Fleet) -> None:
    with serving(fleet) as server:
        began_s = time.monotonic()
        with pytest.raises(ServerError, match=rf"Port {server.port} of 127.0.0.1 is taken.*--port 0"):
            DashboardServer(fleet, Serving(port=server.port), token=TOKEN)

        assert time.monotonic() - began_s < 1.0
        assert ask(server.port, "/healthz").status == 200


@pytest.mark.parametrize("port", [-1, 65536, True, 1.5])
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(InvalidValueError, match="port = "):
        Serving(port=port)


def test_an_address_that_is_not_of_this_machine_is_named(fleet: Fleet) -> None:
    for host in ("203.0.113.7", "no.such.host.invalid"):
        with pytest.raises(ServerError, match=f"{host}.*is no address of this machine"):
            DashboardServer(fleet, Serving(host=host, port=0, insecure_http=True), token=TOKEN)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "box.example.org"])
def test_other_machines_are_let_in_only_by_tls_or_when_told_so(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--insecure-http"):
        Serving(host=host)

    assert Serving(host=host, insecure_http=True).tls() is None


def certificate(folder: Path) -> tuple[Path, Path]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


def test_over_tls_the_cookie_is_secure_and_the_origin_has_that_scheme(fleet: Fleet, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(fleet, ssl_certfile=cert, ssl_keyfile=key) as server:
        trusted = ssl.create_default_context(cafile=str(cert))
        with connect(
            f"wss://127.0.0.1:{server.port}/ws",
            ssl=trusted,
            origin=Origin(f"https://127.0.0.1:{server.port}"),
            additional_headers={"Cookie": f"{server.access.cookie}={server.access.session}"},
        ) as viewer:
            assert orjson.loads(viewer.recv(timeout=10))["type"] == "snapshot"

        assert server.url.startswith("https://")
        assert server.access.set_cookie().endswith("; Secure")


def test_who_is_leaving_while_it_stops_disturbs_nothing(fleet: Fleet, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(fleet, ssl_certfile=cert, ssl_keyfile=key) as server:
        trusted = ssl.create_default_context(cafile=str(cert))
        lines = [f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {TOKEN}"]
        lines += [f"{name}: {value}" for name, value in HANDSHAKE]
        with trusted.wrap_socket(
            socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1"
        ) as tls:
            tls.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            assert b" 101 " in tls.recv(4096)
            tls.sendall(bytes([0x88, 0x80, 0, 0, 0, 0]))  # it says goodbye, and then not that TLS ends
            wait_until(lambda: server.viewers == 0)
            server.stop()


def test_a_certificate_that_cannot_be_used_is_named(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    for path in (tmp_path / "bad.pem", tmp_path / "missing.pem"):
        with pytest.raises(ServerError, match=f"{path.name}' cannot be used"):
            DashboardServer(fleet, Serving(port=0, ssl_certfile=path), token=TOKEN)
    with pytest.raises(UsageError, match="--ssl-certfile"):
        Serving(ssl_keyfile=tmp_path / "key.pem")


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET / HTT",
        b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf",
    ],
    ids=["nothing", "half a line", "half of the headers", "half of a body"],
)
def test_who_does_not_finish_a_request_is_cut_off(fleet: Fleet, request_: bytes) -> None:
    with serving(fleet, patience_s=0.3) as server:
        began_s = time.monotonic()
        raw(server.port, request_, patience_s=10)

        assert time.monotonic() - began_s < 5.0
        assert ask(server.port, "/healthz").status == 200


def test_who_sends_a_letter_now_and_then_is_cut_off_all_the_same(fleet: Fleet) -> None:
    with serving(fleet, patience_s=0.3) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(0.05)
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(100):
            try:
                slow.sendall(b"x")
                if slow.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return  # reset
    raise AssertionError("still connected after 5 s")


def test_a_second_request_on_the_same_connection_has_its_time_too(fleet: Fleet) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving(fleet, patience_s=0.3) as server:
        answer = raw(server.port, first + first + b"GET /hea", patience_s=10)

        assert answer.count(b'{"healthy":true}') == 2


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /api/v1/status HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 2_000_000,
    ],
    ids=["TLS", "version", "empty lines", "absolute", "no host", "CONNECT", "smuggled", "large header"],
)
def test_what_is_no_request_ends_without_an_answer_of_ours(fleet: Fleet, request_: bytes) -> None:
    with serving(fleet, patience_s=0.5) as server:
        answer = raw(server.port, request_, patience_s=10)

        assert not answer.startswith(b"HTTP/1.1 2")
        assert ask(server.port, "/healthz").status == 200


class Feed:
    """A hub that is fed by hand."""

    def __init__(self, workers: int = 2) -> None:
        self.known = KnownFleet()
        self.hub = Hub(RunHeader(id="0123456789ab", title="live", started_at_s=START_S, interval_s=1.0))
        self._names = [f"w{i}" for i in range(workers)]
        self._n = 0

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.hub.add(self.known.tick(START_S + self._n, self._names))
            self._n += 1


def test_who_never_reads_is_let_go_and_holds_up_nobody(tmp_path: Path) -> None:
    feed = Feed(workers=5000)
    feed.tick()
    with serving(Fleet([tmp_path / "none"], hub=feed.hub), patience_s=0.5) as server:
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", server.port))
        lines = [f"{name}: {value}" for name, value in (*HANDSHAKE, BEARER)]
        stuck.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
                      + "\r\n".join(lines).encode() + b"\r\n\r\n")  # fmt: skip
        slowest_s, seen = 0.0, 0
        with look_on(server, max_size=None) as healthy, stuck:
            deadline_s = time.monotonic() + 30
            while server.viewers > 1 or seen < 40:
                assert time.monotonic() < deadline_s
                feed.tick()
                began_s = time.monotonic()
                while not isinstance(healthy.recv(timeout=5), bytes):
                    pass
                slowest_s, seen = max(slowest_s, time.monotonic() - began_s), seen + 1

    assert slowest_s < 1.0


def test_so_many_may_look_on_and_one_more_is_told_to_come_later(fleet: Fleet) -> None:
    with serving(fleet, most_viewers=2) as server, look_on(server), look_on(server):
        refused = ask(server.port, "/ws", headers=[*HANDSHAKE, BEARER])

        assert refused.status == 503
        assert b"2 look on already" in refused.body


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("x" * 70_000, 1009),
        (b"x" * 70_000, 1009),
        ("not JSON", 1008),
        (b"\x00", 1008),
        ('{"after": -2}', 1008),
        ('{"after": true}', 1008),
        ('{"after": 1, "more": 2}', 1008),
        ("[" * 5000, 1008),
    ],
    ids=["large text", "large", "text", "bytes", "negative", "bool", "more", "deep"],
)
def test_a_viewer_that_says_what_nobody_understands_is_let_go(fleet: Fleet, sent: str | bytes, code: int) -> None:
    with serving(fleet) as server:
        with look_on(server) as viewer:
            viewer.recv(timeout=10)
            viewer.send(sent)
            with pytest.raises(ConnectionClosed) as closed:
                viewer.recv(timeout=10)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        assert ask(server.port, "/healthz").status == 200


def test_frames_are_never_compressed(fleet: Fleet) -> None:
    with serving(fleet) as server, connect(
        f"ws://127.0.0.1:{server.port}/ws", additional_headers=[BEARER], compression="deflate"
    ) as viewer:  # fmt: skip
        assert viewer.protocol.extensions == []


# from Python


class Manager:
    def get_worker_statistics(self) -> dict[str, Any]:
        return {"workers": {"w1": {"utilization": {"cpu": 0.25}, "tasks": 1}}}


def test_a_visualization_serves_what_it_collects_until_it_is_cleaned_up(tmp_path: Path) -> None:
    visualization = DRMVisualization(Manager(), output_dir=tmp_path, update_interval=0)
    visualization.collect()
    url = visualization.start_dashboard_server(0)
    port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(.+)", url).groups()  # type: ignore[union-attr]
    bearer = ("Authorization", f"Bearer {token}")

    now = orjson.loads(ask(int(port), "/api/v1/snapshot", headers=[bearer]).body)
    status = orjson.loads(ask(int(port), "/api/v1/status", headers=[bearer]).body)

    assert visualization.start_dashboard_server(0) == url
    assert [(worker["id"], worker["cpu_ratio"], worker["gpu_ratio"]) for worker in now["workers"]] == [
        ("w1", 0.25, None)
    ]
    assert now["is_being_written"] is True
    assert set(status["parts"]) == set(visualization.statuses)
    with pytest.raises(UsageError, match=f"served on port {port} already"):
        visualization.start_dashboard_server(1)
    began_s = time.monotonic()
    visualization.cleanup()
    assert time.monotonic() - began_s < 2.0
    assert ours() == []
    with pytest.raises(ConnectionRefusedError):
        ask(int(port), "/healthz")
    visualization.stop_dashboard_server()


def test_dashboard_port_is_where_it_is_served_unless_another_one_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with DRMVisualization(output_dir=tmp_path, dashboard_port=port) as visualization:
            with pytest.raises(ServerError, match=f"Port {port} "):
                visualization.start_dashboard_server()
            url = visualization.start_dashboard_server(0)
            other = int(url.partition("/?")[0].rpartition(":")[2])
            token = url.partition("token=")[2]

            assert other != port
            page = ask(other, "/", headers=[("Authorization", f"Bearer {token}")])
            assert page.status == 200
            assert b"Nothing has been recorded yet" in page.body
            visualization.stop_dashboard_server()
            assert visualization.start_dashboard_server(0) != url


def test_a_visualization_that_nobody_holds_any_more_serves_nothing(tmp_path: Path) -> None:
    visualization = DRMVisualization(Manager(), output_dir=tmp_path, update_interval=0)
    visualization.start_dashboard_server(0)

    del visualization
    gc.collect()

    deadline_s = time.monotonic() + 10
    while "drmviz-dashboard" in ours():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


# from the command line


def served(bench: Bench, *options: str, env: dict[str, str] | None = None) -> tuple[subprocess.Popen[str], int]:
    process = bench.start(sys.executable, "-m", "drmviz", "serve", *options, env={"DRMVIZ_TOKEN": TOKEN, **(env or {})})
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise AssertionError(process.stderr.read())
    return process, int(line.partition("/?")[0].rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_well_and_soon_on_a_signal_whoever_looks_on(bench: Bench, number: signal.Signals) -> None:
    history(bench.folder / "h.drmviz")
    process, port = served(bench, "h.drmviz", "--port", "0")
    with (
        connect(f"ws://127.0.0.1:{port}/ws", additional_headers=[BEARER]) as viewer,
        socket.create_connection(("127.0.0.1", port)) as idle,
    ):
        idle.sendall(b"GET /healthz HT")
        viewer.recv(timeout=10)
        began_s = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert time.monotonic() - began_s < 5.0
    assert process.returncode == 0
    assert "Traceback" not in err
    assert TOKEN not in err
    assert out == ""


def test_serve_shows_what_is_written_meanwhile(bench: Bench) -> None:
    known = KnownFleet()
    with Writer.open(bench.folder / "h.drmviz") as writer:
        recording = writer.begin(title="live", started_at_s=START_S, interval_s=1.0)
        recording.append(known.tick(START_S, ["w1"]))
        process, port = served(bench, "h.drmviz", "--port", "0")
        try:
            with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=[BEARER]) as viewer:
                first = orjson.loads(viewer.recv(timeout=20))
                recording.append(known.tick(START_S + 1, ["w1", "w2"]))
                then = orjson.loads(viewer.recv(timeout=20))
        finally:
            process.terminate()
            process.communicate(timeout=20)
        recording.finish(START_S + 2)

    assert [worker["id"] for worker in first["workers"]] == ["w1"]
    assert [worker["id"] for worker in then["workers"]] == ["w1", "w2"]
    assert first["is_being_written"] is True
    assert then["at_s"] - first["at_s"] == 1.0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["missing.drmviz"], 1, "missing.drmviz"),
        (["h.drmviz", "--run", "nothing"], 1, "is not in this store"),
        (["h.drmviz", "--host", "0.0.0.0"], 2, "--insecure-http"),
        (["h.drmviz", "--allowed-host", "*"], 2, "--allowed-host"),
        (["h.drmviz", "--url-prefix", "a b"], 2, "--url-prefix"),
        (["h.drmviz", "--ssl-certfile", "missing.pem"], 1, "missing.pem"),
        (["h.drmviz", "--port", "70000"], 2, "65535"),
    ],
)
def test_serve_says_in_one_line_what_is_wrong(bench: Bench, options: list[str], code: int, words: str) -> None:
    history(bench.folder / "h.drmviz")

    done = bench.drmviz("serve", *options)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_serve_on_a_port_that_is_taken_says_so_at_once(bench: Bench) -> None:
    history(bench.folder / "h.drmviz")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = bench.drmviz("serve", "h.drmviz", "--port", str(port))

    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr

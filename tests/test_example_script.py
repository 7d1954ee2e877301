"""`run_drm_visualization_example.py`, started as a newcomer starts it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from drmviz.store import Store
from tests.commands import Bench
from tests.dashboards import TOKEN

SCRIPT = Path(__file__).parents[1] / "run_drm_visualization_example.py"
PICTURES = {
    f"{name}.html"
    for name in (
        "dashboard",
        "resource_utilization_heatmap",
        "scaling_history",
        "resource_allocation",
        "resource_efficiency",
        "cloud_resources",
    )
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def example(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bench.run(sys.executable, str(SCRIPT), "--port", "0", *arguments)


def files(bench: Bench, folder: str = "drm_example") -> set[str]:
    return {path.name for path in (bench.folder / folder).iterdir()}


def test_it_renews_six_pictures_and_tells_what_happens(bench: Bench) -> None:
    began_s = time.monotonic()
    done = example(bench, "--duration", "0.1", "--workers", "6", "--update-interval", "2")

    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began_s >= 6
    assert files(bench) == {*PICTURES, "history.drmviz"}
    lines = done.stdout.splitlines()
    assert lines[0] == "A simulated fleet of 6 workers for 0.1 min; Ctrl-C ends it earlier."
    assert all(len(line) <= 80 for line in lines if "://" not in line)
    told = [line for line in lines if re.match(r"\d\d:\d\d:\d\d  6 workers · CPU \d+ % · ", line)]
    assert 2 <= len(told) <= 5
    assert lines[-1] == "It is over. The pictures stay in drm_example"
    with Store.open(bench.folder / "drm_example" / "history.drmviz") as store:
        run = store.read()
    assert run.header.ended_at_s is not None
    assert len(run.workers) == 6
    assert {usage.provider for usage in run.cloud} == {"aws", "on-premises"}
    assert run.policy.scale_up_threshold == 0.8
    for name in PICTURES:
        page = (bench.folder / "drm_example" / name).read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>")
        assert "rack-01" in page or name in ("scaling_history.html", "cloud_resources.html")


def test_a_second_start_leaves_no_more_files_and_draws_its_own_time_only(bench: Bench) -> None:
    for workers in ("5", "3"):
        done = example(bench, "--duration", "0.03", "--workers", workers, "--output-dir", "out")
        assert done.returncode == 0, done.stderr

    assert files(bench, "out") == {*PICTURES, "history.drmviz"}
    heatmap = (bench.folder / "out" / "resource_utilization_heatmap.html").read_text(encoding="utf-8")
    assert "spot-03" in heatmap or "aws-03" in heatmap
    assert "-05" not in re.sub(r"<script.*?</script>", "", heatmap, flags=re.DOTALL)


@pytest.mark.parametrize("interval", ["61", "0.5"])
def test_any_update_interval_will_do(bench: Bench, interval: str) -> None:
    done = example(bench, "--duration", "0.04", "--workers", "3", "--update-interval", interval)

    assert (done.returncode, done.stderr) == (0, "")
    assert files(bench) == {*PICTURES, "history.drmviz"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(bench: Bench, number: signal.Signals) -> None:
    process = bench.start(sys.executable, str(SCRIPT), "--port", "0", "--duration", "10", "--workers", "4")
    last = bench.folder / "drm_example" / "cloud_resources.html"
    deadline_s = time.monotonic() + 60
    while not last.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)

    process.send_signal(number)
    asked_s = time.monotonic()
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - asked_s < 10
    assert "It is over." in out
    assert files(bench) == {*PICTURES, "history.drmviz"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--duration", "0"),
        ("--duration", "nan"),
        ("--duration", "-1"),
        ("--workers", "0"),
        ("--workers", "2.5"),
        ("--update-interval", "0"),
        ("--update-interval", "often"),
        ("--port", "70000"),
        ("--port", "web"),
        ("--host", "two words"),
        ("--host", ""),
    ],
)
def test_wrong_use_ends_with_2_and_leaves_nothing_behind(bench: Bench, wrong: tuple[str, str]) -> None:
    done = example(bench, *wrong)

    assert done.returncode == 2
    assert wrong[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert list(bench.folder.iterdir()) == []


def test_it_is_shown_live_on_a_page_whose_address_stands_alone_on_a_line(bench: Bench) -> None:
    process = bench.start(
        *(sys.executable, str(SCRIPT), "--port", "0", "--duration", "10", "--workers", "4"), env={"DRMVIZ_TOKEN": TOKEN}
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    while line and "token=" not in line:
        line = process.stdout.readline()
    found = re.fullmatch(rf"http://127\.0\.0\.1:(\d+)/\?token={TOKEN}\n", line)
    assert found is not None
    port = int(found[1])
    with connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers=[("Authorization", f"Bearer {TOKEN}")], open_timeout=30
    ) as viewer:
        first = json.loads(viewer.recv(timeout=30))
        while not isinstance(viewer.recv(timeout=30), bytes):
            pass
        process.send_signal(signal.SIGTERM)
        asked_s = time.monotonic()
        _, err = process.communicate(timeout=30)

    assert len(first["workers"]) == 4
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - asked_s < 5


def test_a_port_that_is_taken_is_named_before_anything_begins(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = bench.run(sys.executable, str(SCRIPT), "--port", str(port), "--duration", "10")

    assert (done.returncode, done.stdout) == (1, "")
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(bench.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_in_one_line(bench: Bench) -> None:
    (bench.folder / "taken").write_text("a file", encoding="utf-8")

    done = example(bench, "--duration", "0.02", "--output-dir", "taken")

    assert done.returncode == 1
    assert "taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_drmviz_is_not_installed_it_says_how_to_install_it(bench: Bench) -> None:
    done = bench.run(sys.executable, "-S", "-E", str(SCRIPT))

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "drmviz is not installed. In the folder of this file: pip install .\n"

"""The command line as a user meets it: exit codes, one clear line for each error, files where they were asked for."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from drmviz.cli.run import meet
from drmviz.errors import InvalidValueError, StoreError
from drmviz.figures import FIGURES
from drmviz.store import Store, Writer
from tests.commands import Bench, pytest_command
from tests.fleets import START_S, KnownFleet, written

SUITE = """
import os, time

def test_computes():
    end = time.process_time() + 0.4
    while time.process_time() < end:
        pass

def test_allocates():
    assert len(bytearray(80_000_000)) == 80_000_000

def test_skips():
    import pytest
    pytest.skip("not today")
"""


def record(bench: Bench, workers: list[str], *, seconds: int, title: str = "a run") -> KnownFleet:
    fleet = KnownFleet()
    written(bench.folder / "h.drmviz", [fleet.tick(START_S + s, workers) for s in range(seconds)], title=title)
    return fleet


def test_run_records_a_suite_and_leaves_report_and_figures(bench: Bench) -> None:
    bench.write(test_it=SUITE)

    done = bench.drmviz(
        "run",
        "--store",
        "h.drmviz",
        "--interval",
        "0.1",
        "--label",
        "team=search",
        "--",
        *pytest_command("-q", "-n", "2"),
    )
    run = bench.recorded()
    tests = json.loads(bench.drmviz("tests", "h.drmviz", "--json").stdout)["tests"]
    runs = json.loads(bench.drmviz("runs", "h.drmviz", "--json").stdout)["runs"]

    assert done.returncode == 0, done.stderr
    assert "2 passed, 1 skipped" in done.stdout
    assert "drmviz" not in done.stdout, "the command's own streams stay untouched"
    assert {"h.drmviz", "h.html", "h-resource_utilization_heatmap.png", "h-test_timeline.png"} <= set(
        os.listdir(bench.folder)
    )
    assert [worker.id for worker in run.workers] == ["gw0", "gw1"]
    assert len({worker.pid for worker in run.workers}) == 2
    by_name = {test["nodeid"].partition("::")[2]: test for test in tests}
    assert {name: test["outcome"] for name, test in by_name.items()} == {
        "test_computes": "passed",
        "test_allocates": "passed",
        "test_skips": "skipped",
    }
    assert 0.35 < by_name["test_computes"]["cpu_s"] < 0.7
    assert by_name["test_allocates"]["memory_bytes"] > 70_000_000
    assert by_name["test_computes"]["pid"] in {worker.pid for worker in run.workers}
    assert runs[0]["labels"] == {"team": "search"}
    closing = [line for line in done.stderr.splitlines() if line.startswith("drmviz: ")]
    said = ["busy", "host", "memory", "tail", "advice"]
    assert [line.split()[1] for line in closing if line.split()[1] in said] == said


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("-c", "raise SystemExit(3)"), 3),
        (("-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), 143),
        (("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), 137),
        (("-m", "pytest", "-q", "nothing_here.py"), 4),
    ],
)
def test_run_ends_with_the_commands_own_code(bench: Bench, command: tuple[str, ...], code: int) -> None:
    done = bench.drmviz("run", "--no-report", "--", sys.executable, *command)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_command_without_our_plugin_is_recorded_as_its_process_tree_and_says_so(bench: Bench) -> None:
    program = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass"
    done = bench.drmviz("run", "--store", "h.drmviz", "--interval", "0.1", "--", sys.executable, "-c", program)
    run = bench.recorded(metrics=["cpu_ratio"])

    assert done.returncode == 0
    assert "the process tree was recorded" in done.stderr
    assert run.workers[0].kind == "process"
    assert run.tasks == ()
    busiest = run.values("cpu_ratio")
    assert busiest[busiest == busiest].max() > 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "--", "no-such-command-anywhere"), 127, "no such command"),
        (("run", "--", "./plain.txt"), 126, "Cannot start './plain.txt'"),
        (("run", "--no-dashboard", "--port", "1", "--", "true"), 2, "--port is about a page, and with --no-dashboard"),
        (("run", "--label", "nonsense", "--", "true"), 2, "not of the form key=value"),
        (("run", "--interval", "soon", "--", "true"), 2, "must be a number of seconds"),
        (("run", "--store", "plain.txt", "--", "true"), 125, "it is not a drmviz store"),
        (("draw", "plain.txt"), 1, "it is not a drmviz store"),
        (("draw", "missing.drmviz"), 1, "there is no such file"),
        (("draw",), 2, "Nothing is recorded in"),
        (("draw", "h.drmviz", "--figure", "nonsense"), 2, "no figure 'nonsense'. Choose one of"),
        (("draw", "h.drmviz", "--format", "gif"), 2, "'gif' is not a format"),
        (("draw", "h.drmviz", "--metric", "warmth"), 2, "--metric 'warmth' is not one of"),
        (("draw", "h.drmviz", "--run", "zz"), 1, "is not in this store"),
        (("draw", "h.drmviz", "--workers", "nobody"), 1, "did not live in this window"),
        (("draw", "h.drmviz", "--start", "tomorrow"), 2, "neither an ISO 8601 time nor"),
        (("draw", "h.drmviz", "--output-dir", "plain.txt/sub"), 1, "Cannot write"),
        (("report", "h.drmviz", "-o", "plain.txt/r.html"), 1, "Cannot write"),
        (("tests", "plain.txt"), 1, "it is not a drmviz store"),
        (("runs", "plain.txt"), 1, "it is not a drmviz store"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_to_do(
    bench: Bench, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (bench.folder / "plain.txt").write_text("plain text, long enough to be looked at as a file of something else " * 20)
    record(bench, ["a"], seconds=3)

    done = bench.drmviz(*arguments)

    lines = [
        line for line in done.stderr.strip().splitlines() if "recording into" not in line and "/?token=" not in line
    ]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert done.returncode == code


def test_a_store_that_is_being_written_is_refused_with_the_pid(bench: Bench) -> None:
    with Writer.open(bench.folder / "h.drmviz"):
        done = bench.drmviz("run", "--store", "h.drmviz", "--", "true")

    assert done.returncode == 125
    assert f"process {os.getpid()} is writing it" in done.stderr


def test_ctrl_c_reaches_the_tests_and_what_was_recorded_is_closed(bench: Bench) -> None:
    bench.write(
        test_it="import time, pathlib\ndef test_waits():\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
    )
    process = bench.start(
        sys.executable,
        "-m",
        "drmviz",
        "run",
        "--store",
        "h.drmviz",
        "--no-report",
        "--interval",
        "0.1",
        "--",
        *pytest_command("-q"),
        start_new_session=True,
    )
    while not (bench.folder / "started").exists():
        assert process.poll() is None

    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    out, err = process.communicate(timeout=60)

    assert process.returncode == 2, err
    assert "KeyboardInterrupt" in out
    run = bench.recorded()
    assert run.header.ended_at_s is not None
    assert run.header.facts["exit_code"] == 2
    assert os.listdir(bench.folder).count("h.drmviz") == 1
    assert not [name for name in os.listdir(bench.folder) if name.startswith("h.drmviz-")]


def test_draw_writes_every_format_of_every_figure(bench: Bench) -> None:
    record(bench, ["a", "b"], seconds=9)

    done = bench.drmviz(
        "draw", "h.drmviz", "--format", "html,png,svg,pdf,json", "--output-dir", "out", "--theme", "dark"
    )

    assert done.returncode == 0, done.stderr
    stems = tuple(FIGURES)
    assert sorted(os.listdir(bench.folder / "out")) == sorted(
        f"{stem}.{kind}" for stem in stems for kind in ("html", "json", "pdf", "png", "svg")
    )
    assert done.stdout.splitlines() == [
        str(Path("out", name))
        for name in [f"{stem}.{kind}" for stem in stems for kind in ("html", "png", "svg", "pdf", "json")]
    ]


def test_the_json_figure_holds_the_numbers_of_the_window_by_worker_and_time(bench: Bench) -> None:
    fleet = KnownFleet()
    written(bench.folder / "h.drmviz", [fleet.tick(START_S + s, ["b", "a"]) for s in range(9)])

    bench.drmviz(
        "draw",
        "h.drmviz",
        "--figure",
        "resource_utilization_heatmap",
        "--format",
        "json",
        "--metric",
        "memory",
        "--statistic",
        "max",
        "--workers",
        "b,a",
        "--start",
        str(START_S + 2),
    )
    figure = json.loads((bench.folder / "resource_utilization_heatmap.json").read_text())

    (trace,) = figure["data"]
    assert trace["type"] == "heatmap"
    assert list(trace["y"]) == ["b", "a"]
    assert len(trace["x"]) == 7
    for row, worker in enumerate(("b", "a")):
        for column in range(7):
            exact = float(fleet.samples[round((START_S + 2 + column) * 1e6), worker][1])
            drawn = trace["z"][row][column]
            assert drawn is None if exact != exact else drawn == pytest.approx(exact * 100, abs=1e-4)


def test_the_step_summary_of_a_ci_job_gets_the_closing_lines(bench: Bench) -> None:
    bench.write(test_it="def test_nothing(): pass")
    (bench.folder / "summary.md").write_text("before\n")

    bench.drmviz(
        "run", "--no-report", "--", *pytest_command("-q"), env={"GITHUB_STEP_SUMMARY": str(bench.folder / "summary.md")}
    )

    text = (bench.folder / "summary.md").read_text()
    assert text.startswith("before\n")
    assert "busy" in text


def test_doctor_says_what_works_and_what_a_store_holds(bench: Bench) -> None:
    written(bench.folder / "h.drmviz", [KnownFleet().tick(START_S, ["a"])], title="my run")

    done = bench.drmviz("doctor", "h.drmviz", "--json")
    plain = bench.drmviz("doctor", "h.drmviz")

    findings = {finding["about"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert {"drmviz", "plotly", "matplotlib", "machine", "runs"} <= set(findings)
    assert any("1 ticks of 1 workers, 0 tests: my run" in finding["sentence"] for finding in findings.values())
    assert plain.returncode == done.returncode == 0
    assert "my run" in plain.stdout


def test_tests_that_end_before_the_recorder_is_up_are_recorded(bench: Bench) -> None:
    bench.write(test_it="import pytest\n@pytest.mark.parametrize('n', range(300))\ndef test_quick(n): pass\n")

    done = bench.pytest("-q", "--drm", "--drm-store", "h.drmviz")

    assert done.returncode == 0
    assert len(bench.recorded().tasks) == 300
    assert "no tests were recorded" not in done.stdout


def test_a_slow_machine_and_a_short_interval_lose_no_test(bench: Bench) -> None:
    bench.write(test_it="import pytest\n@pytest.mark.parametrize('n', range(200))\ndef test_quick(n): pass\n")

    done = bench.drmviz(
        "run", "--store", "h.drmviz", "--no-report", "--interval", "0.05", "--", *pytest_command("-q", "-n", "8")
    )

    assert done.returncode == 0
    assert len(bench.recorded().tasks) == 200


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("where", ["2> >(head -1 >/dev/null)", "2>&-", ">&- 2>&-"])
def test_the_exit_code_stands_when_nobody_reads_what_we_say(bench: Bench, code: int, where: str) -> None:
    command = (
        f"{sys.executable} -m drmviz run --store h.drmviz -- {sys.executable} -c 'raise SystemExit({code})' {where}"
    )

    done = bench.run("bash", "-c", command)

    assert done.returncode == code
    assert bench.recorded().header.facts["exit_code"] == code


def test_a_command_that_does_not_start_leaves_no_store(bench: Bench) -> None:
    done = bench.drmviz("run", "--store", "h.drmviz", "--", "no-such-command-anywhere")

    assert done.returncode == 127
    assert not [name for name in os.listdir(bench.folder) if name.startswith("h.drmviz")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small filesystem")
@pytest.mark.parametrize("free_kb", [0, 40, 120, 200, 260])
def test_a_full_disk_changes_neither_the_tests_nor_their_exit_code(bench: Bench, free_kb: int) -> None:
    small = bench.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small filesystem")
    try:
        (small / "filler").write_bytes(b"x" * (512 - 4 - free_kb) * 1024)
        program = "import time, sys; time.sleep(1); open('finished', 'w').close(); sys.exit(3)"
        done = bench.drmviz(
            "run", "--store", "small/h.drmviz", "--interval", "0.05", "--", sys.executable, "-c", program
        )
        finished = (bench.folder / "finished").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert "Traceback" not in done.stderr
    assert done.returncode == (3 if finished else 125), "either the command ran to its own end, or it was never started"
    assert finished or "Store " in done.stderr


def test_a_recorder_ends_although_nobody_reaps_the_killed_pytest(bench: Bench) -> None:
    bench.write(
        test_it="import pathlib, time\ndef test_waits():\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
    )
    process = bench.start(*pytest_command("-q", "--drm", "--drm-store", "h.drmviz", "--drm-interval", "0.1"))
    while not (bench.folder / "started").exists():
        assert process.poll() is None
    (recorder,) = [p for p in psutil.process_iter(["cmdline"]) if str(process.pid) in (p.info["cmdline"] or [])]

    os.kill(process.pid, signal.SIGKILL)  # and no wait: it stays a zombie
    gone, _ = psutil.wait_procs([recorder], timeout=30)
    process.communicate()

    assert gone
    assert bench.recorded().header.ended_at_s is not None


def test_nothing_is_written_over_the_history_itself(bench: Bench) -> None:
    record(bench, ["a"], seconds=3)
    (bench.folder / "test_timeline.png").write_bytes((bench.folder / "h.drmviz").read_bytes())

    refused = [
        bench.drmviz("report", "h.drmviz", "-o", "./h.drmviz"),
        bench.drmviz("draw", "test_timeline.png", "--format", "png"),
        bench.drmviz("run", "--store", "h.drmviz", "--report", "h.drmviz", "--", "true"),
    ]
    beside = bench.drmviz("run", "--store", "hist.html", "--", "true")

    for done in refused:
        assert "it is the recorded history itself" in done.stderr
    assert [done.returncode for done in refused] == [1, 1, 0]
    assert len(bench.recorded("test_timeline.png").workers) == 1
    assert bench.recorded("hist.html").header.title == "true"
    assert "wrote" in beside.stderr
    assert (bench.folder / "hist.html.html").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_written_to_and_a_link_stays_a_link(bench: Bench) -> None:
    record(bench, ["a"], seconds=3)
    null, link = bench.folder / "null", bench.folder / "link.html"
    os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    link.symlink_to("target.html")

    codes = [bench.drmviz("report", "h.drmviz", "-o", name).returncode for name in ("null", "link.html")]

    assert codes == [0, 0]
    assert null.is_char_device()
    assert link.is_symlink()
    assert (bench.folder / "target.html").read_bytes().startswith(b"<!doctype html>")


def test_every_attempt_of_a_rerun_test_counts_as_time_and_the_test_once(bench: Bench) -> None:
    bench.write(
        test_it="import pathlib, time\ndef test_flaky():\n    tries = pathlib.Path('tries')\n"
        "    tries.write_text((tries.read_text() if tries.exists() else '') + 'x')\n"
        "    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n"
        "    assert len(tries.read_text()) == 3\n"
    )
    done = bench.drmviz("run", "--store", "h.drmviz", "--no-report", "--", *pytest_command("-q", "--reruns", "2"))
    (test,) = json.loads(bench.drmviz("tests", "h.drmviz", "--json").stdout)["tests"]

    assert done.returncode == 0
    assert (test["outcome"], test["attempts"]) == ("passed", 3)
    assert sum(task.cpu_s or 0 for task in bench.recorded().tasks) > 0.55


@pytest.mark.parametrize("options", [("-p", "no:xdist"), ("-n", "0")])
def test_a_test_that_takes_pytest_with_it_is_crashed_and_told(bench: Bench, options: tuple[str, ...]) -> None:
    bench.write(
        test_it="import os\ndef test_fine(): pass\ndef test_kills(): os.kill(os.getpid(), 9)\ndef test_never(): pass\n"
    )

    done = bench.drmviz("run", "--store", "h.drmviz", "--no-report", "--", *pytest_command("-q", *options))

    assert done.returncode == 137
    assert {task.name.partition("::")[2]: task.outcome for task in bench.recorded().tasks} == {
        "test_fine": "passed",
        "test_kills": "crashed",
    }
    assert "pytest never said that it ended" in done.stderr
    assert any("never said that it ended" in note for note in bench.recorded().notes)


@pytest.mark.parametrize(("body", "code"), [("pass", 0), ("assert False", 1)])
def test_the_exit_code_of_a_pytest_that_recorded_itself_is_kept(bench: Bench, body: str, code: int) -> None:
    bench.write(test_it=f"def test_it(): {body}")

    assert bench.pytest("-q", "--drm", "--drm-store", "h.drmviz").returncode == code
    assert bench.recorded().header.facts["exit_code"] == code


def test_a_flipped_bit_anywhere_is_never_a_traceback(bench: Bench) -> None:
    fleet = record(bench, ["a", "b", "\u202e🦄"], seconds=40)
    whole = (bench.folder / "h.drmviz").read_bytes()
    seeded = random.Random(11)
    path = bench.folder / "flipped.drmviz"
    read = refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(seeded.choice((1, 1, 20))):
            damaged[seeded.randrange(len(damaged))] ^= 1 << seeded.randrange(8)
        path.write_bytes(damaged)
        try:
            with Store.open(path) as store:
                run = store.read(columns=100, metrics=["cpu_ratio"])
            read += 1
        except (StoreError, InvalidValueError):
            refused += 1
            continue
        for row, worker in enumerate(run.workers):
            for column in range(run.columns):
                drawn = float(run.values("cpu_ratio")[row, column])
                exact = fleet.samples.get((round(float(run.starts_at_s[column]) * 1e6), worker.id))
                assert drawn != drawn or run.width_s != 1.0 or exact is None or drawn == float(exact[0])
    assert read > 100
    assert refused > 0


def test_what_steers_a_terminal_never_reaches_it_in_an_error(bench: Bench) -> None:
    record(bench, ["\x1b[31mred\x1b]0;title\x07\u202e"], seconds=3)

    done = bench.drmviz("draw", "h.drmviz", "--workers", "nope")

    assert "red" in done.stderr
    assert not set(done.stderr) & {"\x1b", "\x07", "\u202e"}


def test_a_terminal_that_cannot_show_a_sign_gets_an_escape(bench: Bench) -> None:
    record(bench, ["🦄"], seconds=3, title="née")

    for verb in ("runs", "tests", "doctor"):
        done = bench.drmviz(verb, "h.drmviz", env={"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("mkdir gone && cd gone && rmdir ../gone && {drmviz} runs", 0, "Nothing is recorded"),
        ("mkdir $'nu\\x80' && cd $'nu\\x80' && {drmviz} run --store x.drmviz -- true", 125, "its path is not UTF-8"),
        ("{drmviz} report h.drmviz -o ''", 1, "Cannot write"),
        ("{drmviz} report h.drmviz -o .", 1, "Cannot write"),
        ("{drmviz} draw h.drmviz --start 0001-01-01", 2, "lies before 1970"),
        ("echo 'tool = 3' > pyproject.toml; {drmviz} run --no-report -- true", 0, "busy"),
        ("printf '[tool]\\ndrmviz = 3' > pyproject.toml; {drmviz} run -- true", 2, "not a table"),
        ("{drmviz} tests h.drmviz > /dev/full", 1, "No space left on device"),
        ("{drmviz} runs h.drmviz --json >&-", 0, ""),
    ],
)
def test_an_odd_place_is_one_clear_line(bench: Bench, shell: str, code: int, said: str) -> None:
    record(bench, ["a"], seconds=3)

    done = bench.run("bash", "-c", shell.replace("{drmviz}", f"{sys.executable} -m drmviz"))

    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert said in done.stderr + done.stdout


def test_progress_is_shown_only_where_it_meets_nothing_of_the_command(tmp_path: Path) -> None:
    (reading, writing), (controller, terminal) = os.pipe(), os.openpty()
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    same_file = os.open(tmp_path / "log", os.O_WRONLY)
    same_pipe = os.dup(writing)
    try:
        assert meet(writing, same_pipe), "2>&1 into a pipe"
        assert meet(file, same_file), "2>&1 into a file"
        assert meet(terminal, terminal)
        assert not meet(writing, terminal), "the output of the command is piped, we have the terminal"
        assert not meet(file, writing)
    finally:
        for descriptor in (reading, writing, controller, terminal, file, same_file, same_pipe):
            os.close(descriptor)


def test_plain_lines_tell_the_progress_of_a_long_run_whose_streams_are_apart(bench: Bench) -> None:
    bench.write(
        test_it="import pytest, time\n@pytest.mark.parametrize('n', range(56))\ndef test_waits(n): time.sleep(0.2)\n"
    )

    done = bench.drmviz("run", "--no-report", "--", *pytest_command("-q"))

    told = [line for line in done.stderr.splitlines() if " tests" in line and "1 worker" in line]
    assert done.returncode == 0
    assert told, done.stderr
    assert "drmviz" not in done.stdout

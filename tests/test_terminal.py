"""Live progress and tables on terminals of every kind."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from drmviz.model.run import Run
from drmviz.report import tables, terminal
from drmviz.report.progress import Progress, WorkerProgress
from tests.building import START_S, header, ran, recorded
from tests.test_summary import HOSTILE


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedTerminal(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def workers(count: int, **more: object) -> tuple[WorkerProgress, ...]:
    return tuple(WorkerProgress(id=f"gw{i}", cpu_ratio=0.87, memory_ratio=0.31, **more) for i in range(count))  # type: ignore[arg-type]


def drawn(progress: Progress, *, width: int = 80, ascii_only: bool = False) -> list[str]:
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    console.print(terminal.block(progress, width=width, ascii_only=ascii_only))
    return stream.getvalue().splitlines()


def test_the_plain_line_has_every_number() -> None:
    progress = Progress(elapsed_s=41.9, tests_done=812, tests_failed=2, workers=workers(2))

    assert terminal.line(progress) == "drmviz 00:41  812 tests, 2 failed  2 workers  cpu 87 %  memory 31 %"


def test_the_plain_line_says_what_is_not_known_and_what_is_wrong() -> None:
    progress = Progress(elapsed_s=1, tests_done=1, tests_total=9, statuses=("disk full",))

    assert terminal.line(progress) == (
        "drmviz 00:01  1/9 tests  0 workers  cpu not measured  memory not measured  ! disk full"
    )


def test_workers_that_left_count_in_no_mean() -> None:
    gone = WorkerProgress(id="gw9", cpu_ratio=0.0, state="crashed")

    assert "1 worker  cpu 87 %" in terminal.line(Progress(elapsed_s=0, workers=(*workers(1), gone)))


def test_few_workers_have_a_bar_each_and_their_test() -> None:
    one = WorkerProgress(id="gw0", cpu_ratio=0.5, memory_ratio=0.31, test="tests/test_x.py::test_y")
    states = (one, WorkerProgress(id="gw1"), WorkerProgress(id="gw2", state="crashed"))

    lines = drawn(Progress(elapsed_s=41, tests_done=3, tests_running=1, workers=states))

    assert lines[0].startswith("drmviz 00:41  3 tests  1 running  2 workers  cpu 50 %  memory 31 %")
    assert lines[1].rstrip() == " gw0          ██████████░░░░░░░░░░  50 %  mem  31 %  tests/test_x.py::test_y"
    assert lines[2].rstrip() == " gw1          ····················   ? %  idle"
    assert lines[3].rstrip() == " gw2          x crashed"


def test_many_workers_become_a_grid_and_the_rest_is_counted() -> None:
    lines = drawn(Progress(elapsed_s=1, workers=workers(36)))

    assert len(lines) == 1 + terminal.MOST_ROWS
    assert lines[1].count("87 %") == 3
    assert "+13 more" in lines[-1]


@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for count in (3, 100):
        progress = Progress(elapsed_s=1, tests_done=10**6, workers=workers(count, test="t" * 300))

        assert max(len(line.rstrip()) for line in drawn(progress, width=width)) <= width


def test_ascii_terminals_get_ascii() -> None:
    assert all(line.isascii() for line in drawn(Progress(elapsed_s=1, workers=workers(2)), ascii_only=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_reach_the_terminal(name: str) -> None:
    hostile = WorkerProgress(id=name, cpu_ratio=0.5, test=name)
    for count in (1, 20):
        progress = Progress(elapsed_s=1, workers=(hostile,) * count, statuses=(name,))

        assert all(line.isprintable() for line in drawn(progress))
        assert terminal.line(progress).isprintable()


def test_piped_output_gets_a_line_every_ten_seconds() -> None:
    stream = io.StringIO()
    live = terminal.LiveProgress(stream)

    for elapsed_s in (0, 5, 9.9, 10, 12, 35, 36, 41):
        live.show(Progress(elapsed_s=elapsed_s))
    live.close()

    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["00:10", "00:35", "00:41"]


def test_a_terminal_gets_a_block_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    live = terminal.LiveProgress(stream)

    live.show(Progress(elapsed_s=41, workers=workers(2)))
    live.close()
    live.close()

    assert "drmviz 00:41" in stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert stream.getvalue().rstrip().endswith("\x1b[2K")  # the last thing it does is erase its lines


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    live = terminal.LiveProgress(stream)

    live.show(Progress(elapsed_s=41, tests_failed=1, tests_done=1, workers=workers(2)))
    live.close()

    assert "\x1b[31m" not in stream.getvalue()
    assert "\x1b[36m" not in stream.getvalue()


def test_a_reader_that_went_away_costs_nothing() -> None:
    live = terminal.LiveProgress(ClosedTerminal())

    live.show(Progress(elapsed_s=10))
    live.show(Progress(elapsed_s=20))
    live.close()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_line_that_is_said_meanwhile_stays_whole_whatever_its_length(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = kind()
    live = terminal.LiveProgress(stream)
    sentence = f"recording is degraded: {'x' * 150} [red]\x1b[31m is full"

    live.show(Progress(elapsed_s=41, workers=workers(2)))
    live.say(sentence)
    live.close()

    said = "drmviz: " + sentence.replace("\x1b", "\\x1b")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert [line.strip() for line in plain.splitlines()].count(said) == 1


def test_a_reader_that_went_away_is_told_nothing_more() -> None:
    live = terminal.LiveProgress(ClosedTerminal())

    live.say("recording is degraded: full")
    live.close()


def test_the_terminal_room_is_imported_without_rich_and_plotly() -> None:
    code = (
        "import sys, drmviz.report.terminal, drmviz.report.tables, drmviz.report.summary, drmviz.report.progress;"
        "print([m for m in ('rich', 'plotly', 'matplotlib', 'jinja2') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)

    assert done.stdout.strip() == "[]"


def some_run() -> Run:
    return recorded(
        {"gw0": [0.5] * 4, "gw1": [0.5] * 4},
        absent={"gw1": [3]},
        tasks=[
            ran("t.py::a", end=1, cpu_s=0.5, memory_bytes=0, peak_bytes=5),
            ran("t.py::b", "gw1", end=1, outcome="failed"),
            ran("t.py::b", "gw1", start=1, end=3),
        ],
        exit_code=0,
    )


def test_tests_as_json_have_each_test_once_with_null_for_the_unknown() -> None:
    told = json.loads(json.dumps(tables.tests_json(some_run())))

    assert told["tests"][0] == {
        "nodeid": "t.py::a",
        "outcome": "passed",
        "worker": "gw0",
        "pid": None,
        "start_s": START_S,
        "end_s": START_S + 1,
        "duration_s": 1.0,
        "cpu_s": 0.5,
        "memory_bytes": 0,
        "peak_bytes": 5,
        "attempts": 1,
    }
    assert (told["tests"][1]["attempts"], told["tests"][1]["cpu_s"], told["tests"][1]["memory_bytes"]) == (
        2,
        None,
        None,
    )


def test_runs_as_json_have_their_workers_those_that_left_too() -> None:
    (run,) = json.loads(json.dumps(tables.runs_json([some_run()], stores=["/x.drmviz"])))["runs"]

    assert (run["id"], run["title"], run["labels"], run["ended_at"]) == ("0123456789ab", "pytest -n 2", {}, None)
    assert run["started_at"] == "2026-09-21T14:13:20.000Z"
    assert (run["store"], run["exit_code"]) == ("/x.drmviz", 0)
    assert run["workers"][1] == {
        "id": "gw1",
        "kind": "worker",
        "host": "host-1",
        "pid": 1001,
        "incarnation": 1,
        "joined_at_s": START_S,
        "left_at_s": START_S + 3,
        "why_left": None,
        "capacity": {"cpu_cores": 1.0, "memory_bytes": 2**32, "gpus": None, "gpu_memory_bytes": None},
    }


def test_nothing_recorded_is_empty_json_and_empty_tables() -> None:
    assert tables.runs_json([]) == {"runs": []}
    assert tables.tests_json(Run.empty(header())) == {"tests": []}
    assert len(tables.tables_of_tests(Run.empty(header()))) == 2


def test_tables_name_the_slowest_first() -> None:
    stream = io.StringIO()

    tables.print_tables([*tables.tables_of_tests(some_run(), top=1), tables.runs_table([some_run()])], stream)

    text = stream.getvalue()
    assert "Slowest tests (of 2)" in text
    assert "2.0 s" in text.splitlines()[4]
    assert "t.py::b" in text.splitlines()[4]
    assert "2026-09-21 14:13:20Z" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_reach_a_table(name: str) -> None:
    run = recorded({name: [0.5]}, tasks=[ran(name, worker=name, outcome=name, memory_bytes=1)], title=name)
    stream = io.StringIO()

    tables.print_tables([*tables.tables_of_tests(run), tables.runs_table([run], stores=[name])], stream)

    assert all(line.isprintable() for line in stream.getvalue().splitlines())

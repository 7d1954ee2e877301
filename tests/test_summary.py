"""The closing summary: five lines, whatever was known and whatever names say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from drmviz.report import summary, wording
from tests.building import header, ran, recorded

MIB = 2**20
LABELS = ["busy", "host", "memory", "tail", "advice"]
HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "a\nb\r\nc",
    "\u202egnp.exe",
    "\x07\x08\x9b2J",
    "<script>alert(1)</script>",
    "`a` | b | [x](javascript:x)",
    "👩‍👩‍👧 family",
    "x" * 10_000,
    "漢字" * 200,
    "@everyone #1 http://evil.example",
    "\x00\u2028\u2029\ufeff",
]


def full_run() -> tuple[Run, Run]:
    run = recorded(
        {"gw0": [0.75] * 10, "gw1": [1.0] * 10},
        more={"memory_ratio": {"gw0": [0.25] * 10, "gw1": [0.5] * 10}},
        tasks=[
            ran("t.py::a", "gw0", end=4, cpu_s=3.0, memory_bytes=2 * MIB, peak_bytes=100 * MIB),
            ran("t.py::b", "gw1", end=9.5, cpu_s=9.0, memory_bytes=0, peak_bytes=90 * MIB),
        ],
    )
    host = recorded(
        {"h": [0.5] * 10},
        more={"memory_ratio": {"h": [0.25] * 10}},
        kind="host",
        capacity=WorkerCapacity(cpu_millicores=8000, memory_bytes=2**35),
    )
    return run, host


def test_a_full_run_is_told_in_five_lines_of_numbers() -> None:
    lines = summary.lines(*full_run())

    assert lines == [
        "busy      CPU 88 % of 2 workers over 10.0 s (tests ran 68 % of the time), memory 38 %",
        "host      6 of 8 cores had no worker, 50 % of the machine's CPU was idle (40 core-seconds), "
        "memory at most 25 %",
        "memory    highest 100 MiB in gw0, raised by t.py::a",
        "tail      5.5 s at the end with workers idle (5.5 s in all); mostly t.py::b (9.5 s)",
        "advice    Nothing worth changing: workers ran tests 68 % of the time, the tail is 5.5 s",
    ]


def test_what_was_not_measured_is_said_with_the_reason() -> None:
    lines = summary.lines(recorded({"gw0": [None, None]}, tasks=[ran("a", end=1)]))

    assert lines[0] == (
        "busy      CPU of 1 worker not measured over 2.0 s (tests ran 50 % of the time): "
        "its processes could not be read"
    )
    assert lines[1] == "host      not measured: the machine's capacity is not known"
    assert lines[2].startswith("memory    not measured: ")
    assert lines[3] == "tail      none with one worker; slowest test a (1.0 s)"


def test_a_process_tree_speaks_about_processes() -> None:
    lines = summary.lines(recorded({"make": [0.5] * 4}, kind="process", more={"memory_ratio": {"make": [0.5] * 4}}))

    assert lines[0] == "busy      CPU 50 % of 1 process over 4.0 s, memory 50 %"
    assert lines[2] == "memory    highest sample 2.0 GiB in make; no tests were recorded"
    assert lines[3] == "tail      not measured: no tests were recorded, only processes"
    assert "Install drmviz" in lines[4]


def test_an_empty_run_still_has_five_lines() -> None:
    lines = summary.lines(Run.empty(header()))

    assert [line.split()[0] for line in lines] == LABELS
    assert all("not measured" in line for line in lines[:4])


def test_long_names_are_cut_in_the_middle_to_fit() -> None:
    name = "tests/" + "deep/" * 60 + "test_x.py::test_the_end_of_it"
    tasks = [ran(name, memory_bytes=1, peak_bytes=2**30, end=9), ran("b", "gw1", end=1)]

    lines = summary.lines(recorded({"gw0": [0.5] * 10, "gw1": [0.5] * 10}, tasks=tasks))

    assert max(map(len, lines)) <= 120
    assert "…" in lines[2]
    assert lines[2].endswith("test_the_end_of_it")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_reach_neither_terminal_nor_markdown(name: str) -> None:
    tasks = [ran(name, worker=name, memory_bytes=1, peak_bytes=2**30, end=9), ran("b", "gw1", end=1)]
    run = recorded({name: [0.5] * 10, "gw1": [0.5] * 10}, tasks=tasks, title=name, notes=[name])

    lines = summary.lines(run)
    text = summary.markdown(run)

    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert all(wording.columns_of(line) <= 120 for line in lines)
    for row in text.splitlines():
        assert row.isprintable()
        told = row.replace("<code>", "").replace("</code>", "").replace("**", "")
        assert not re.search(r"[<>`\[\]@]|://", told)
        if row.startswith("|"):
            assert row.count("|") in (3, 7)


def test_markdown_has_the_counts_the_five_facts_and_the_notes() -> None:
    run, host = full_run()

    rows = summary.markdown(run, host).splitlines()

    assert rows[0] == "### drmviz: pytest -n 2"
    assert rows[2] == "2 tests: 2 passed"
    assert rows[6].startswith("| **busy** | CPU 88 % of 2 workers")
    assert sum(row.startswith("| **") for row in rows) == 5


@given(st.text(max_size=60), st.integers(2, 40))
def test_cutting_never_exceeds_the_width_and_never_leaves_what_steers(text: str, width: int) -> None:
    short = wording.cut(text, width)

    assert wording.columns_of(short) <= width
    assert short.isprintable()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "not measured"),
        (0.0, "0.0 s"),
        (0.0123, "0.012 s"),
        (41.2, "41.2 s"),
        (123, "2 min 03 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_seconds_are_told_as_people_count_them(value: float | None, told: str) -> None:
    assert wording.seconds(value) == told


def test_sizes_and_times() -> None:
    assert [wording.size(v) for v in (None, 0, 2048, 1.5 * 2**20, 2**30)] == [
        "not measured",
        "0 B",
        "2.0 KiB",
        "1.5 MiB",
        "1.0 GiB",
    ]
    assert wording.iso(0) == "1970-01-01T00:00:00.000Z"
    assert wording.iso(None) is None
    assert [wording.elapsed(v) for v in (-1, 41, 3641)] == ["00:00", "00:41", "1:00:41"]

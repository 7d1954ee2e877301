"""What `drmviz doctor` says of a store, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from drmviz.store import Store
from drmviz.store.schema import PAGE_BYTES, SCHEMA_VERSION
from tests.commands import Bench
from tests.damaged import RUNS, KnownHistory, assert_nothing_but_the_truth, known_history
from tests.golden_files import golden


@pytest.fixture
def history(bench: Bench) -> KnownHistory:
    return known_history(bench.folder / "h.drmviz")


def damage(path: Path, *pages: int) -> None:
    content = bytearray(path.read_bytes())
    for page in pages:
        content[page * PAGE_BYTES - 500] ^= 0x0F
    path.write_bytes(content)


def own_page(history: KnownHistory, run: str) -> tuple[int, int]:
    """Return a page that only one block of a run lies on, and the number of that block."""
    for (of, number), pages in sorted(history.pages.items()):
        alone = pages - set().union(*(other for place, other in history.pages.items() if place != (of, number)))
        if of == run and alone:
            return min(alone), number
    raise AssertionError(f"every page of {run} is shared")


def findings(printed: str) -> list[tuple[str, str, str]]:
    return [(f["about"], f["state"], f["sentence"]) for f in json.loads(printed)["findings"]]


def test_a_whole_store_is_said_to_be_whole(bench: Bench, history: KnownHistory) -> None:
    done = bench.drmviz("doctor", "h.drmviz", "--json")

    told = findings(done.stdout)
    assert done.returncode == 0
    assert ("blocks", "ok", "12 of 12 blocks of ten minutes are whole") in told
    assert any(about == "h.drmviz" and f"closed, format {SCHEMA_VERSION}" in said for about, _, said in told)
    assert not any(about == "h.drmviz" and "no checksums" in said for about, _, said in told)
    assert not [line for line in told if line[1] == "wrong"]


def test_a_damaged_block_is_named_by_run_time_and_page(bench: Bench, history: KnownHistory) -> None:
    page, number = own_page(history, RUNS[0])
    damage(history.path, page)

    done = bench.drmviz("doctor", "h.drmviz", env={"TZ": "UTC"})

    assert done.returncode == 1
    assert "WRONG    blocks: 11 of 12 blocks of ten minutes are whole" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "lost" in line]
    minute = number * 10 % 60
    assert line.startswith(f"WRONG    run {RUNS[0]}: 2026-09-21 ")
    assert f":{minute:02d}:00 to " in line or number == min(n for run, n in history.pages if run == RUNS[0])
    assert line.endswith(f"lost (page {page})")
    assert "`drmviz doctor h.drmviz --repair` writes a new file of everything that is whole" in done.stdout
    assert not done.stderr


def test_repair_writes_a_new_file_that_the_doctor_finds_whole_and_leaves_the_old_one(
    bench: Bench, history: KnownHistory
) -> None:
    page, number = own_page(history, RUNS[0])
    damage(history.path, page)
    before = history.path.read_bytes()

    done = bench.drmviz("doctor", "h.drmviz", "--repair")
    named = bench.drmviz("doctor", "h.drmviz", "--repair", "kept/new.drmviz", "--json")
    again = bench.drmviz("doctor", "h.repaired.drmviz")
    twice = bench.drmviz("doctor", "h.drmviz", "--repair")

    assert (done.returncode, named.returncode, again.returncode) == (0, 0, 0)
    assert "ok       h.repaired.drmviz: everything whole of h.drmviz, which stays as it is" in done.stdout
    assert "missing  blocks: 11 of 12 blocks of ten minutes are whole" in done.stdout
    assert f"lost (page {page})" in done.stdout
    assert json.loads(named.stdout)["repaired"] == "kept/new.drmviz"
    assert "12 of 12 blocks" in again.stdout
    assert "are left out of this repaired copy" in again.stdout
    assert twice.returncode == 1
    assert "something is there already, and a repair writes over nothing" in twice.stderr
    assert history.path.read_bytes() == before
    assert sorted(os.listdir(bench.folder / "kept")) == ["new.drmviz"]
    whole = history.blocks() - {(RUNS[0], number)}
    assert_nothing_but_the_truth(bench.folder / "h.repaired.drmviz", history, whole=whole)


def test_a_store_that_sqlite_cannot_open_is_examined_all_the_same(bench: Bench, history: KnownHistory) -> None:
    damage(history.path, 1)

    done = bench.drmviz("doctor", "h.drmviz")
    repaired = bench.drmviz("doctor", "h.drmviz", "--repair")

    assert done.returncode == 1
    assert "closed, its header is damaged" in done.stdout
    assert "page 1 does not match its checksum" in done.stdout
    assert "12 of 12 blocks of ten minutes are whole" in done.stdout
    assert repaired.returncode == 0
    with Store.open(bench.folder / "h.repaired.drmviz") as store:
        assert [header.id for header in store.runs()] == list(RUNS)


def test_a_file_of_an_earlier_version_is_said_to_have_no_checksums(bench: Bench) -> None:
    (bench.folder / "old.drmviz").write_bytes(golden(1).read_bytes())

    done = bench.drmviz("doctor", "old.drmviz", "--json")

    told = findings(done.stdout)
    assert done.returncode == 0
    assert any(about == "old.drmviz" and "format 1" in said for about, _, said in told)
    assert any(state == "note" and "its pages carry no checksums" in said for _, state, said in told)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--repair"], 2, "--repair takes a store"),
        (["a", "b", "c", "--repair"], 2, "--repair takes a store"),
        (["nowhere", "--repair"], 1, "there is no such file"),
        (["text", "--repair"], 1, "it is not a drmviz store"),
        (["h.drmviz", "text", "--repair"], 1, "something is there already"),
        (["h.drmviz", "text/new.drmviz", "--repair"], 1, "Name another file behind the store"),
    ],
)
def test_what_cannot_be_repaired_is_said_in_one_line(
    bench: Bench, history: KnownHistory, arguments: list[str], code: int, said: str
) -> None:
    (bench.folder / "text").write_text("mine")

    done = bench.drmviz("doctor", *arguments)

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (bench.folder / "text").read_text() == "mine"

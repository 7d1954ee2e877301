"""The registry of written figures: shared, whole after every fault, and never a way out of its folder."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.errors import InvalidValueError, RegistryError
from drmviz.model.status import OK
from drmviz.registry import REGISTRY_NAME, Entry, Known, Registry
from drmviz.registry.entries import MOST_BYTES, parse, written
from drmviz.system import SimulatedClock
from tests.building import START_S  # 2026-09-21 14:13:20 UTC

KNOWN = {
    "heat": Known(title="Heat", description="Who was busy.", stem="heatmap"),
    "grow": Known(title="Growth", description="Who came.", stem="growth"),
}
HEAT = Entry(
    type="heat",
    title="Heat · °C",
    description="Two workers.",
    path="heatmap.html",
    updated_at_s=START_S + 0.25,
    run="0123456789ab",
    options={"metric": "cpu", "width": 900, "workers": ["a", "b"], "title": None},
)
GROW = Entry(type="grow", title="Growth", description="", path="sub/growth.png", updated_at_s=START_S, options={})
STAMP = "20260921T141320Z"


def registry(folder: Path, **more: Any) -> Registry:
    return Registry(folder, KNOWN, clock=SimulatedClock(wall=START_S), **more)


def found_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a registry of two figures, and the figures."""
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    (here / "heatmap.html").write_bytes(b"<html>heat")
    (here / "sub" / "growth.png").write_bytes(b"\x89PNG growth")
    os.utime(here / "heatmap.html", (START_S + 7, START_S + 7))
    registry(here).record(HEAT, GROW)
    return here


def test_what_is_recorded_is_read_back_by_another(folder: Path) -> None:
    other = registry(folder)

    assert other.read() == {"heat": HEAT, "grow": GROW}
    assert other.status == OK
    assert other.file("grow") == folder / "sub" / "growth.png"
    assert other.content("heat") == b"<html>heat"
    assert other.content("none") is None


def test_the_file_is_what_was_promised(folder: Path) -> None:
    assert json.loads((folder / REGISTRY_NAME).read_bytes()) == {
        "heat": {
            "type": "heat",
            "title": "Heat · °C",
            "description": "Two workers.",
            "path": "heatmap.html",
            "updated_at": "2026-09-21T14:13:20.250+00:00",
            "run": "0123456789ab",
            "options": {"metric": "cpu", "width": 900, "workers": ["a", "b"], "title": None},
            "version": 1,
        },
        "grow": {
            "type": "grow",
            "title": "Growth",
            "description": "",
            "path": "sub/growth.png",
            "updated_at": "2026-09-21T14:13:20.000+00:00",
            "run": None,
            "options": {},
            "version": 1,
        },
    }


def test_one_type_is_replaced_and_the_others_stay_with_what_strangers_added(folder: Path) -> None:
    held = json.loads((folder / REGISTRY_NAME).read_bytes())
    held["grow"]["colour"] = {"of": ["the", "house"]}
    (folder / REGISTRY_NAME).write_text(json.dumps(held))

    registry(folder).record(replace(HEAT, title="Warmer"))

    after = json.loads((folder / REGISTRY_NAME).read_bytes())
    assert after["heat"]["title"] == "Warmer"
    assert after["grow"] == held["grow"]


def test_an_entry_as_small_as_the_promised_one_is_read(tmp_path: Path) -> None:
    small = {
        "type": "heat",
        "title": "",
        "description": "",
        "path": "a.html",
        "updated_at": "2026-09-21T16:13:20+02:00",
    }
    (tmp_path / REGISTRY_NAME).write_text(json.dumps({"heat": small}))

    (entry,) = registry(tmp_path).read().values()

    assert (entry.updated_at_s, entry.run, entry.options) == (START_S, None, None)


def test_a_folder_that_was_moved_keeps_its_figures(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")

    assert registry(moved).file("heat") == moved / "heatmap.html"
    assert registry(moved).content("grow") == b"\x89PNG growth"


def test_reading_where_there_is_nothing_makes_nothing(tmp_path: Path) -> None:
    empty = registry(tmp_path / "none")

    assert empty.read() == {}
    assert empty.status == OK
    assert not (tmp_path / "none").exists()


# damage


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    held = json.loads((folder / REGISTRY_NAME).read_bytes())
    change(held)
    return json.dumps(held).encode()


def of_heat(**said: Any) -> Callable[[Path], bytes]:
    return lambda folder: changed(folder, lambda held: held["heat"].update(said))


def twice(folder: Path) -> bytes:
    content = (folder / REGISTRY_NAME).read_bytes()
    return content.replace(b'"grow": {', b'"heat": {"type": "heat"}, "grow": {')


DAMAGE: dict[str, tuple[Callable[[Path], bytes], str, str]] = {
    "empty": (lambda _: b"", "it is empty", "scan"),
    "half": (lambda folder: (folder / REGISTRY_NAME).read_bytes()[:300], "it is not JSON", "scan"),
    "zeros": (lambda folder: b"\0" * (folder / REGISTRY_NAME).stat().st_size, "it is not JSON", "scan"),
    "a zero inside": (lambda folder: (folder / REGISTRY_NAME).read_bytes()[:90] + b"\0}", "it is not JSON", "scan"),
    "a byte order mark": (
        lambda folder: b"\xef\xbb\xbf" + (folder / REGISTRY_NAME).read_bytes(),
        "it begins with a byte order mark",
        "all",
    ),
    "utf-16": (lambda folder: (folder / REGISTRY_NAME).read_text().encode("utf-16"), "it is not JSON", "scan"),
    "a list": (lambda _: b"[]", "it is not an object by type", "scan"),
    "null": (lambda _: b"null", "it is not an object by type", "scan"),
    "nested": (lambda _: b'{"heat":' * 200_000, "it is nested too deeply", "scan"),
    "nested lists": (lambda _: b"[" * 1_000_000, "it is nested too deeply", "scan"),
    "a long number": (lambda _: b'{"heat": ' + b"9" * 100_000 + b"}", "it is not JSON", "scan"),
    "100 MB": (lambda _: b" " * 100_000_000, "it has 100,000,000 bytes, a registry at most 4,194,304", "scan"),
    "a type twice": (twice, "is there twice", "but heat"),
    "a key twice": (
        lambda folder: (
            (folder / REGISTRY_NAME).read_bytes().replace(b'"title": "Heat', b'"path": "a.html", "title": "')
        ),
        "are there twice",
        "but heat",
    ),
    "an option twice": (
        lambda folder: (folder / REGISTRY_NAME).read_bytes().replace(b'"width": 900', b'"metric": 1, "width": 900'),
        "are there twice",
        "but heat",
    ),
    "a path upwards": (of_heat(path="../secret.html"), "leaves the folder", "but heat"),
    "a path up and down": (of_heat(path="sub/../../secret.html"), "leaves the folder", "but heat"),
    "an absolute path": (of_heat(path="/etc/a.html"), "must be relative", "but heat"),
    "a path with a zero": (of_heat(path="a\0.html"), "none holds a zero byte", "but heat"),
    "a path of half a letter": (of_heat(path="a\ud800.html"), "is not the name of a file", "but heat"),
    "a path of no figure": (of_heat(path="history.drmviz"), "must end in one of .html", "but heat"),
    "no path": (of_heat(path=None), "must be text", "but heat"),
    "a time without a zone": (of_heat(updated_at="2026-09-21T14:13:20"), "names no zone", "but heat"),
    "no time": (of_heat(updated_at=5), "must be ISO 8601", "but heat"),
    "a title of numbers": (of_heat(title=5), "must be text", "but heat"),
    "another type": (of_heat(type="grow"), "is not the key", "but heat"),
    "an infinite option": (of_heat(options={"width": float("inf")}), "Infinity is no number of JSON", "scan"),
    "a deep option": (of_heat(options={"width": [[1]]}), "must be text, a number", "but heat"),
    "version nought": (of_heat(version=0), "must be a whole number from 1", "but heat"),
    "a number for an entry": (
        lambda folder: changed(folder, lambda held: held.update(heat=3)),
        "an object",
        "but heat",
    ),
}
FROM_FOLDER = Entry(
    type="heat", title="Heat", description="Who was busy.", path="heatmap.html", updated_at_s=START_S + 7
)
KEPT = {
    "scan": {"heat": FROM_FOLDER},  # growth.png lies in a folder below: nobody knows that it is one of ours
    "all": {"heat": HEAT, "grow": GROW},
    "but heat": {"heat": FROM_FOLDER, "grow": GROW},
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_put_aside_rebuilt_and_said(folder: Path, name: str) -> None:
    damage, reason, kept = DAMAGE[name]
    content = damage(folder)
    (folder / REGISTRY_NAME).write_bytes(content)
    before = registry(folder)

    entries = before.read()

    assert entries == KEPT[kept]
    aside = folder / f"{REGISTRY_NAME}.corrupt-{STAMP}"
    assert aside.read_bytes() == content
    assert before.status.state == "DEGRADED"
    assert before.status.since_s == START_S
    assert reason in before.status.reason
    assert aside.name in before.status.reason
    assert registry(folder).read() == entries, "it is whole again for the next one"
    assert found_in(folder) == sorted(["heatmap.html", "sub", REGISTRY_NAME, aside.name])
    assert (folder / "heatmap.html").read_bytes() == b"<html>heat"


def test_a_change_repairs_first_and_loses_nothing_of_what_could_be_kept(folder: Path) -> None:
    def damage(held: dict[str, Any]) -> None:
        held["heat"]["path"] = "../secret.html"
        held["grow"]["colour"] = "blue"

    (folder / REGISTRY_NAME).write_bytes(changed(folder, damage))
    newer = replace(HEAT, updated_at_s=START_S + 60)

    changing = registry(folder)
    changing.record(newer)

    assert registry(folder).read() == {"heat": newer, "grow": GROW}
    assert json.loads((folder / REGISTRY_NAME).read_bytes())["grow"]["colour"] == "blue", "a stranger's word"
    assert changing.status.state == "DEGRADED"


def test_two_damages_within_a_second_are_both_kept(folder: Path) -> None:
    for content in (b"first", b"second"):
        (folder / REGISTRY_NAME).write_bytes(content)
        registry(folder).read()

    assert (folder / f"{REGISTRY_NAME}.corrupt-{STAMP}").read_bytes() == b"first"
    assert (folder / f"{REGISTRY_NAME}.corrupt-{STAMP}-2").read_bytes() == b"second"


def make_link(path: Path) -> None:
    path.with_name("elsewhere.json").write_text("{}")
    path.symlink_to("elsewhere.json")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, make_link], ids=["folder", "pipe", "link"])
def test_what_is_no_file_is_put_aside(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / REGISTRY_NAME).unlink()
    make(folder / REGISTRY_NAME)
    repairing = registry(folder)

    assert repairing.read() == KEPT["scan"]
    assert "no plain file" in repairing.status.reason
    assert os.path.lexists(folder / f"{REGISTRY_NAME}.corrupt-{STAMP}")
    assert not (folder / REGISTRY_NAME).is_symlink()
    if make is make_link:
        assert (folder / "elsewhere.json").read_text() == "{}"


def test_a_registry_cut_anywhere_is_rebuilt_and_never_half_believed(folder: Path) -> None:
    whole = (folder / REGISTRY_NAME).read_bytes()

    for length in range(len(whole) - 2):  # the line end may go
        document = parse(whole[:length])
        assert document.damage, length
        assert not document.entries, length
    assert parse(whole[:-1]).entries == {"heat": HEAT, "grow": GROW}


@given(st.binary(max_size=400))
def test_no_bytes_are_an_error(content: bytes) -> None:
    document = parse(content)

    assert document.damage or all(entry.type == type_ for type_, entry in document.entries.items())


SCALAR = st.sampled_from([None, True, 0, -(2**70), 1.5, 5e-324, "", "text", "\ud800", "a\0b", "\u0130"])
VALUES = SCALAR | st.lists(SCALAR, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), SCALAR, max_size=2)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["heat", "grow", "", 3]),
        "title": st.just("t") | VALUES,
        "description": st.just("d") | VALUES,
        "path": st.sampled_from(["a.html", "sub/a.png", "../a.html", "/a.html", ".", ".html"]) | VALUES,
        "updated_at": st.sampled_from(["2026-09-21T14:13:20Z", "0001-01-01T00:00:00+23:59", "noon"]) | VALUES,
        "run": VALUES,
        "options": VALUES,
        "version": st.sampled_from([1, 0, 2, 10**30, True]) | VALUES,
    },
)


@given(st.dictionaries(st.sampled_from(["heat", "grow", "version", ""]), ENTRY | VALUES, max_size=4))
def test_what_is_believed_of_any_json_is_inside_the_folder_and_can_be_written_again(document: dict[str, Any]) -> None:
    found = parse(json.dumps(document).encode())

    assert not found.damage or not found.is_newer
    for entry in found.entries.values():
        parts = Path(entry.path).parts
        assert ".." not in parts
        assert not Path(entry.path).is_absolute()
        again = parse(written({entry.type: entry.as_json()}))
        assert not again.damage
        assert again.entries[entry.type].path == entry.path
        assert again.entries[entry.type].options == entry.options
    assert set(found.raw) == set(found.entries)


@given(st.data())
def test_one_flipped_byte_is_found_or_changes_no_more_than_one_text(data: st.DataObject) -> None:
    whole = written({"heat": HEAT.as_json(), "grow": GROW.as_json()})
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))

    document = parse(bytes(flipped))

    assert document.damage or document.is_newer or len(document.entries) == 2


# a newer version


@pytest.mark.parametrize(
    "newer",
    [of_heat(version=2, title="Newer"), lambda folder: changed(folder, lambda held: held.update(version=2))],
    ids=["entry", "top"],
)
def test_a_newer_version_is_read_said_and_never_changed(folder: Path, newer: Callable[[Path], bytes]) -> None:
    content = newer(folder)
    (folder / REGISTRY_NAME).write_bytes(content)
    old = registry(folder)

    assert set(old.read()) == {"heat", "grow"}
    assert old.status.state == "DEGRADED"
    assert "written by a newer drmviz (format 2, this one knows 1)" in old.status.reason
    with pytest.raises(RegistryError, match="Upgrade drmviz"):
        old.record(HEAT)
    assert (folder / REGISTRY_NAME).read_bytes() == content
    assert len(found_in(folder)) == 3


def test_a_newer_version_of_another_shape_is_not_called_damaged(folder: Path) -> None:
    content = json.dumps({"version": 3, "figures": [1, 2], "heat": {"where": "../up"}}).encode()
    (folder / REGISTRY_NAME).write_bytes(content)
    old = registry(folder)

    assert old.read() == {}
    assert "format 3" in old.status.reason
    assert (folder / REGISTRY_NAME).read_bytes() == content


def test_once_the_newer_one_is_gone_the_status_is_good_again(folder: Path) -> None:
    whole = (folder / REGISTRY_NAME).read_bytes()
    (folder / REGISTRY_NAME).write_bytes(of_heat(version=2)(folder))
    old = registry(folder)
    old.read()
    (folder / REGISTRY_NAME).write_bytes(whole)

    old.record(HEAT)

    assert old.status == OK


# what is opened


@pytest.mark.parametrize(
    ("link", "path"), [("heatmap.html", "heatmap.html"), ("sub", "sub/growth.png")], ids=["file", "folder"]
)
def test_a_link_leads_nobody_out_of_the_folder(folder: Path, tmp_path: Path, link: str, path: str) -> None:
    outside = tmp_path / "outside"
    (folder / link).rename(outside)
    (folder / link).symlink_to(outside)
    type_ = {entry.path: type_ for type_, entry in registry(folder).read().items()}[path]

    for opening in (registry(folder).content, registry(folder).file):
        with pytest.raises(RegistryError, match="links are not followed"):
            opening(type_)


def test_a_pipe_in_the_place_of_a_figure_stops_nobody(folder: Path) -> None:
    (folder / "heatmap.html").unlink()
    os.mkfifo(folder / "heatmap.html")

    with pytest.raises(RegistryError, match="no plain file"):
        registry(folder).content("heat")


def test_a_figure_that_was_deleted_is_none(folder: Path) -> None:
    (folder / "heatmap.html").unlink()

    assert registry(folder).content("heat") is None
    assert registry(folder).file("heat") is None
    assert set(registry(folder).read()) == {"heat", "grow"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "../a.html"), ("path", "/a.html"), ("path", "a.txt"), ("type", ""), ("type", "version"),
        ("updated_at_s", float("nan")), ("updated_at_s", 1e300), ("options", {"a": {"b": 1}}), ("run", 3),
    ],
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidValueError, match="^" + name):
        replace(HEAT, **{name: value})


def test_more_than_can_be_read_back_is_not_written(folder: Path) -> None:
    whole = (folder / REGISTRY_NAME).read_bytes()

    with pytest.raises(InvalidValueError, match="must fit in"):
        registry(folder).record(replace(HEAT, description="x" * MOST_BYTES))

    assert (folder / REGISTRY_NAME).read_bytes() == whole


# many at once

UPDATING = """
import sys
from pathlib import Path
from drmviz.registry import Entry, Registry
folder, name, updates = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
registry = Registry(folder)
for n in range(updates):
    registry.record(Entry(
        type=f"{name}-{n}", title=f"{n}", description="", path=f"{name}-{n}.html", updated_at_s=1.79e9 + n, options={}
    ))
    print(n, flush=True)
"""


def updating(folder: Path, name: str, updates: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UPDATING, str(folder), name, str(updates)], stdout=subprocess.PIPE, text=True
    )


def test_four_processes_that_update_fifty_times_each_lose_nothing(tmp_path: Path) -> None:
    processes = [updating(tmp_path, name, 50) for name in "abcd"]
    for process in processes:
        process.communicate(timeout=100)

    assert [process.returncode for process in processes] == [0] * 4
    entries = registry(tmp_path).read()
    assert set(entries) == {f"{name}-{n}" for name in "abcd" for n in range(50)}
    assert all(entry.title == type_.partition("-")[2] for type_, entry in entries.items())
    assert found_in(tmp_path) == [REGISTRY_NAME]


def test_threads_of_one_process_lose_nothing_and_readers_see_only_whole_files(tmp_path: Path) -> None:
    shared = registry(tmp_path)
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.002):
            seen.append(len(registry(tmp_path).read()))

    def update(name: str) -> None:
        for n in range(25):
            shared.record(replace(HEAT, type=f"{name}-{n}"))

    reader = threading.Thread(target=read)
    threads = [threading.Thread(target=update, args=(name,)) for name in "abcd"]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()

    assert len(shared.read()) == 100
    assert seen == sorted(seen), "an entry that was there is never missing again"
    assert shared.status == OK
    assert found_in(tmp_path) == [REGISTRY_NAME]


def test_one_that_is_killed_anywhere_leaves_all_that_it_acknowledged_and_holds_nobody_up(tmp_path: Path) -> None:
    seeded = random.Random(9)
    for round_ in range(10):
        process = updating(tmp_path, f"r{round_}", 10_000)
        assert process.stdout is not None
        acknowledged = -1
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= seeded.randint(0, 20):
                break
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout)])
        process.stdout.close()
        process.wait()

        after = registry(tmp_path, patience_s=5.0)
        entries = after.read()
        mine = {type_ for type_ in entries if type_.startswith(f"r{round_}-")}
        assert {f"r{round_}-{n}" for n in range(acknowledged + 1)} <= mine
        assert len(mine) <= acknowledged + 2, "one more may be written than was said"
        after.record(HEAT)
        assert after.status == OK
        assert not list(tmp_path.glob(".*.partial"))


def test_what_a_killed_one_left_half_written_is_cleared_away(folder: Path) -> None:
    (folder / f".{REGISTRY_NAME}.999999.partial").write_bytes(b"{")
    (folder / f".{REGISTRY_NAME}.{os.getpid()}.partial").write_bytes(b"{")

    registry(folder).record(HEAT)

    assert not list(folder.glob(".*.partial"))
    assert registry(folder).read() == {"heat": HEAT, "grow": GROW}


def test_what_one_program_wrote_another_one_reads_after_it_ended(tmp_path: Path) -> None:
    for name in ("first", "second"):
        process = updating(tmp_path, name, 1)
        process.communicate(timeout=60)
        assert process.returncode == 0

    assert {type_: entry.path for type_, entry in registry(tmp_path).read().items()} == {
        "first-0": "first-0.html",
        "second-0": "second-0.html",
    }


def test_a_lock_that_is_never_let_go_is_named(folder: Path) -> None:
    waiting = registry(folder, patience_s=0.02)
    with open(folder / f".{REGISTRY_NAME}.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert waiting.read() == {"heat": HEAT, "grow": GROW}, "reading waits for nobody"
        with pytest.raises(RegistryError, match=r"has held its lock for 0\.02 s.*lslocks"):
            waiting.record(HEAT)
        (folder / REGISTRY_NAME).write_bytes(b"")
        assert waiting.read() == KEPT["scan"]
        assert str(waiting.status).startswith("FAILED: ")

    assert waiting.read() == KEPT["scan"]
    assert str(waiting.status).startswith("DEGRADED: visualization_registry.json was damaged: it is empty")


def test_a_place_that_is_no_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = registry(tmp_path / "file")

    assert wrong.read() == {}
    with pytest.raises(RegistryError, match=r"cannot be locked \((File exists|Not a directory)\)"):
        wrong.record(HEAT)

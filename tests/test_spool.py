"""The spool: private, claimed once, read whatever was written so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drmviz.recorder import spool
from drmviz.sources.spool_tail import EVENTS, Tail

TEXT = st.text(st.characters(codec=None), max_size=20)
EVENT = st.dictionaries(TEXT, st.none() | st.integers() | TEXT, max_size=4).map(lambda facts: facts | {"event": "x"})


def test_a_spool_is_private_and_claimed_by_one(tmp_path: Path) -> None:
    path = Path(spool.create(str(tmp_path)))

    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in path.iterdir()} == {
        "token": 0o600,
        "events.jsonl": 0o600,
    }
    assert len(spool.read_token(str(path)) or "") == 32
    assert spool.claim(str(path))
    assert not spool.claim(str(path))
    spool.release(str(path))
    assert spool.claim(str(path))
    spool.remove(str(path))
    spool.remove(str(path))
    assert not path.exists()
    assert spool.read_token(str(path)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(events=st.lists(EVENT, max_size=6), cuts=st.lists(st.integers(0, 600), max_size=6))
def test_a_tail_cut_at_any_byte_reads_every_event_once(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], cuts: list[int]
) -> None:
    path = spool.create(str(tmp_path_factory.mktemp("spool")))
    for event in events:
        spool.append(path, event)
    file = Path(path) / EVENTS
    content = file.read_bytes()
    tail = Tail(Path(path))

    read: list[dict[str, Any]] = []
    for cut in [*sorted(cuts), len(content)]:
        file.write_bytes(content[:cut])
        read += tail.read()

    assert read == events
    assert tail.bad_lines == 0
    assert tail.read() == []


@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_garbage_between_events_is_counted_and_skipped(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = Path(spool.create(str(tmp_path_factory.mktemp("spool"))))
    good = json.dumps({"event": "start"}).encode()
    content = b"".join(line + b"\n" + good + b"\n" for line in lines)
    (path / EVENTS).write_bytes(content)
    tail = Tail(path)

    assert tail.read() == [{"event": "start"}] * len(lines)
    assert tail.bad_lines == len(lines)


@pytest.mark.parametrize("line", ["[1]", '"event"', "{}", '{"event": 3}', "[" * 50_000, "nul", "NaN"])
def test_a_line_that_is_no_event_is_bad(tmp_path: Path, line: str) -> None:
    (tmp_path / EVENTS).write_text(line + "\n")
    tail = Tail(tmp_path)

    assert tail.read() == []
    assert tail.bad_lines == 1


def test_a_spool_that_is_gone_reads_as_nothing(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "nowhere")

    assert tail.read() == []
    assert tail.is_missing

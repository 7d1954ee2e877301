"""Power loss at any moment: what was acknowledged is there with every number exact, and nothing else is.

The engine's writes and syncs are recorded below it while a recording goes through all that a store does; then the disk
is put together as power loss might have left it, thousands of times, and opened.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import apsw
import numpy as np
import pytest

from drmviz.errors import StoreError
from drmviz.model.metrics import METRICS
from drmviz.store import Retention, Store, Writer
from tests.disks import Created, Deleted, Event, Platter, Said, disk
from tests.fleets import START_S, KnownFleet

STEP_S = 20.0  # thirty ticks to a block
TICKS = 130
FORGETS_BEFORE_TICK = 70
FORGETS_AT_THE_END = FORGETS_BEFORE_TICK + TICKS - 1 - 100
NAME = "h.drmviz"


@dataclass(frozen=True)
class Recorded:
    """What was done, and what is known of it."""

    fleet: KnownFleet
    log: Sequence[Event]
    workers: tuple[tuple[str, ...], ...]
    """Who lived at each tick."""


@cache
def recorded_once(folder: Path) -> Recorded:
    """Record through all that writes: ticks, a changing fleet, sealing, checkpoints, retention, closing; then again."""
    fleet = KnownFleet()
    workers = tuple(("a", "b") if n < 40 else ("b", "c", f"once-{n // 8}") for n in range(TICKS))
    with disk() as made:
        made.log = []
        retention = Retention().capped((100 - FORGETS_BEFORE_TICK) * STEP_S)
        with Writer.open(folder / NAME, retention=retention) as writer:
            recording = writer.begin(title="t", started_at_s=START_S, interval_s=STEP_S)
            for n in range(TICKS):
                recording.append(fleet.tick(START_S + n * STEP_S, workers[n]), seal=False)
                writer.advance_sealing()
                made.log.append(Said("acknowledged", n))
                if n == 100:
                    made.log.append(Said("forgetting", FORGETS_BEFORE_TICK))
                    while writer.advance_forgetting(START_S + 100 * STEP_S, budget_s=0):
                        pass
                    made.log.append(Said("forgotten", FORGETS_BEFORE_TICK))
            made.log.append(Said("forgetting", FORGETS_AT_THE_END))
            recording.finish(START_S + TICKS * STEP_S)
            made.log.append(Said("forgotten", FORGETS_AT_THE_END))
        made.log.append(Said("closed", TICKS))
        with Writer.open(folder / NAME) as writer:  # the same file again: it is taken up, and closed once more
            again = writer.begin(title="again", started_at_s=START_S + 2 * TICKS * STEP_S, interval_s=STEP_S)
            again.append(KnownFleet(seed=2).tick(START_S + 2 * TICKS * STEP_S, ["a"]))
            made.log.append(Said("acknowledged again", 0))
        return Recorded(fleet, tuple(made.log), workers)


def images(recorded: Recorded, count: int, *, seed: int) -> Iterator[tuple[int, dict[str, bytes], dict[str, int]]]:
    """Yield where power was lost, the files that are left, and the last of each thing that was said before.

    Half of the moments lie where files come and go or blocks are forgotten: few events, and the delicate ones.
    """
    seeded = random.Random(seed)
    end = len(recorded.log)
    rare = [i for i, event in enumerate(recorded.log) if isinstance(event, Created | Deleted) or _is_rare(event)]
    near = sorted({place for i in rare for place in range(max(0, i - 8), min(end, i + 20) + 1)})
    cuts = sorted([*seeded.choices(range(end + 1), k=count - count // 2), *seeded.choices(near, k=count // 2)])
    platter = Platter()
    said: dict[str, int] = {}
    reached = 0
    for cut in cuts:
        for event in recorded.log[reached:cut]:
            platter.happen(event)
            if isinstance(event, Said):
                said[event.what] = event.number
        reached = cut
        yield cut, platter.after_power_loss(seeded), dict(said)


def _is_rare(event: Event) -> bool:
    return isinstance(event, Said) and event.what in ("forgetting", "forgotten")


def put(files: dict[str, bytes], folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / NAME


def assert_nothing_lost(path: Path, recorded: Recorded, said: dict[str, int], cut: int) -> None:
    """Read the whole file and compare it with what was acknowledged."""
    acknowledged = said.get("acknowledged", -1) + 1
    run, again = None, None
    try:
        with Store.open(path) as store:
            runs = store.runs()
            run = store.read(runs[0].id, columns=10_000, statistics=("max",)) if runs else None
            again = store.read(runs[1].id, workers=["a"], metrics=["cpu_ratio"]) if len(runs) > 1 else None
    except StoreError as error:
        if acknowledged:
            pytest.fail(f"power lost at {cut}, {acknowledged} ticks acknowledged: {error}")
    if "acknowledged again" in said:
        assert again is not None, f"power lost at {cut}: the second run is gone"
        assert again.measured_ticks == 1
    if run is None or run.is_empty:
        assert not acknowledged, f"power lost at {cut}: no tick where {acknowledged} were acknowledged"
        return
    known = np.any([np.isfinite(run.values(metric, "max")).any(axis=0) for metric in METRICS], axis=0)
    first = 0
    if "forgetting" in said:  # whole blocks go, the oldest first; meanwhile they may be left in wider buckets
        first = max(0, round((run.starts_at_s[np.flatnonzero(known)[0]] - START_S) / STEP_S))
        assert first <= said["forgetting"], f"power lost at {cut}: ticks up to {first} are gone"
        assert first > said.get("forgotten", 0) - 30, f"power lost at {cut}: {first} is still there"
    there = run.measured_ticks
    assert first + there in (acknowledged, acknowledged + 1), f"power lost at {cut}: {first} + {there} ticks"
    assert run.width_s == STEP_S or said.get("forgetting") != said.get("forgotten")
    ids = [worker.id for worker in run.workers]
    first_us, end_us = (round((START_S + n * STEP_S) * 1e6) for n in (first, first + there))
    left = {place: sample for place, sample in recorded.fleet.samples.items() if first_us <= place[0] < end_us}
    for metric in METRICS:
        expected = KnownFleet(samples=left).expected(
            metric, "max", workers=ids, starts_at_s=run.starts_at_s, width_s=run.width_s
        )
        np.testing.assert_array_equal(
            run.values(metric, "max"), expected.astype(np.float32), err_msg=f"power lost at {cut}"
        )


def lose_power(recorded: Recorded, folder: Path, *, count: int, seed: int) -> int:
    """Check so many images, each fifth after a writer took it up again; return how many held a tick."""
    held = 0
    for number, (cut, files, said) in enumerate(images(recorded, count, seed=seed)):
        path = put(files, folder)
        assert_nothing_lost(path, recorded, said, cut)
        if number % 5 == 0:
            path = put(files, folder)
            with Writer.open(path) as writer:
                while writer.advance_sealing():
                    pass
                assert writer.problem is None
            assert_nothing_lost(path, recorded, said, cut)
        held += "acknowledged" in said
    return held


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded_once(tmp_path_factory.mktemp("power"))


def test_four_hundred_power_losses_cost_nothing_that_was_acknowledged(recorded: Recorded, tmp_path: Path) -> None:
    assert lose_power(recorded, tmp_path / "image", count=400, seed=0) > 200


def test_what_was_half_changed_without_the_log_is_undone_also_for_readers(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with Writer.open(path) as writer:
        for n in range(300):
            writer.begin(title=f"old {n} " + "x" * 500, started_at_s=START_S + n, interval_s=1)
    left = tmp_path / "left"
    left.mkdir()
    changing = apsw.Connection(str(path))
    changing.execute("PRAGMA cache_size=5")  # so that pages reach the file before the end
    changing.execute("BEGIN; UPDATE run SET title = 'new'")
    for name in (NAME, f"{NAME}-journal"):
        shutil.copyfile(tmp_path / name, left / name)
    changing.close()

    with Store.open(left / NAME) as store:
        titles = [header.title for header in store.runs()]

    assert b"new" in (left / NAME).read_bytes(), "some of it had reached the disk"
    assert [title.split(" x")[0] for title in titles] == [f"old {n}" for n in range(300)]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_five_thousand_power_losses_cost_nothing_that_was_acknowledged(
    recorded: Recorded, tmp_path: Path, seed: int
) -> None:
    assert lose_power(recorded, tmp_path / "image", count=500, seed=seed) > 250

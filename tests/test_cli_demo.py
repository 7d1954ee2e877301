"""`drmviz demo`: recorded like a real run, in no time or in real time, and closed however it ends."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from drmviz import __version__
from drmviz.manager import DynamicResourceManager
from drmviz.model.metrics import METRICS
from drmviz.recorder.demonstration import Demonstration, demonstrate
from drmviz.report.account import Account
from drmviz.store import Store, Writer
from drmviz.system import SimulatedClock
from tests.commands import Bench

BEGAN_S = 1_790_000_000.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def headless(plan: Demonstration) -> None:
    clock = SimulatedClock(wall=BEGAN_S)

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    demonstrate(plan, clock=clock, wait=wait)


def words(lines: list[str]) -> list[str]:
    """Return lines of an account without their times."""
    assert all(re.match(r"\d\d:\d\d:\d\d  \S", line) for line in lines)
    assert all(len(line) <= 80 for line in lines)
    return [line[10:] for line in lines]


# As fast as it can


def test_a_headless_demo_is_a_history_of_that_length_that_ends_now(bench: Bench) -> None:
    began_s = time.time()
    done = bench.drmviz(
        "demo", "--headless", "--workers", "5", "--duration", "90", "--store", "h.drmviz", "--label", "team=search"
    )
    run = bench.recorded()

    assert done.returncode == 0
    assert run.measured_ticks == 90
    assert run.header.ended_at_s is not None
    assert began_s - 2 < run.header.ended_at_s < time.time()
    assert run.header.ended_at_s - run.header.started_at_s == 90
    assert run.header.source == "simulated"
    assert run.header.title == "drmviz demo --workers 5 --seed 7"
    assert run.header.labels == {"team": "search"}
    assert run.header.facts["seed"] == 7
    assert run.header.facts["drmviz"] == __version__
    assert (run.policy.scale_up_threshold, run.policy.evaluation_window_s) == (0.8, 60)
    assert len(run.workers) >= 5
    assert len(run.tasks) > 50
    assert {usage.provider for usage in run.cloud} == {"aws", "on-premises"}
    assert run.notes == ()


def test_at_the_end_it_says_where_the_history_is_and_what_to_do_with_it(bench: Bench) -> None:
    done = bench.drmviz("demo", "--headless", "--workers", "3", "--duration", "20", "--store", "my run.drmviz")

    assert done.stderr == "drmviz: recording 3 simulated workers into my run.drmviz\n"
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"20 ticks, \d+ tests, 3 workers at the end: my run\.drmviz", lines[0])
    assert lines[1:] == [
        "Look at it:",
        "  drmviz draw 'my run.drmviz' --figure all --format html,png --output-dir pictures",
        "  drmviz decisions 'my run.drmviz'",
        "  drmviz report 'my run.drmviz' -o report.html",
    ]


@pytest.mark.parametrize("verb", ["draw", "decisions", "report"])
def test_the_commands_that_it_names_work(bench: Bench, verb: str) -> None:
    done = bench.drmviz("demo", "--headless", "--workers", "4", "--duration", "70", "--store", "h.drmviz")
    command = next(line.strip() for line in done.stdout.splitlines() if line.strip().startswith(f"drmviz {verb} "))

    next_one = bench.drmviz(*shlex.split(command)[1:])

    assert next_one.returncode == 0, next_one.stderr


def test_without_a_store_it_goes_where_runs_are_kept(bench: Bench) -> None:
    done = bench.drmviz("demo", "--headless", "--workers", "2", "--duration", "5")

    stores = list((bench.folder / "home" / "runs").glob("*.drmviz"))
    assert len(stores) == 1
    assert str(stores[0]) in done.stdout
    with Store.open(stores[0]) as store:
        assert len(store.runs()) == 1


def test_a_second_demo_is_appended_to_the_file_that_was_named(bench: Bench) -> None:
    for seed in ("1", "2"):
        bench.drmviz("demo", "--headless", "--workers", "2", "--duration", "5", "--seed", seed, "--store", "h.drmviz")

    with Store.open(bench.folder / "h.drmviz") as store:
        assert [header.facts["seed"] for header in store.runs()] == [1, 2]


def test_the_same_seed_is_recorded_as_the_same_history(tmp_path: Path) -> None:
    for name in ("a", "b"):
        headless(Demonstration(store=tmp_path / name, workers=6, duration_s=240, seed=3))

    with Store.open(tmp_path / "a") as one, Store.open(tmp_path / "b") as other:
        a, b = one.read(), other.read()
    for metric in METRICS:
        np.testing.assert_array_equal(a.values(metric), b.values(metric))
    assert (a.decisions, a.changes, a.tasks, a.cloud) == (b.decisions, b.changes, b.tasks, b.cloud)


def test_how_often_a_fleet_is_recorded_does_not_change_what_it_does(tmp_path: Path) -> None:
    for interval_s in (1.0, 10.0):
        plan = Demonstration(store=tmp_path / f"{interval_s}", workers=6, duration_s=240, interval_s=interval_s)
        headless(plan)

    with Store.open(tmp_path / "1.0") as often, Store.open(tmp_path / "10.0") as seldom:
        one, other = often.read(columns=1000), seldom.read(columns=1000)
    assert (one.measured_ticks, other.measured_ticks) == (240, 24)
    np.testing.assert_array_equal(one.values("cpu_ratio")[:, ::10], other.values("cpu_ratio"))
    assert [each for each in one.decisions if each.decided_at_s <= BEGAN_S + 230] == list(other.decisions)


def test_what_was_recorded_follows_the_policy_that_was_recorded_with_it(tmp_path: Path) -> None:
    headless(Demonstration(store=tmp_path / "h", workers=12, duration_s=1200, seed=2))

    with Store.open(tmp_path / "h") as store:
        run = store.read()
    scaled = [decision for decision in run.decisions if decision.action != "maintain"]
    assert {decision.action for decision in scaled} == {"scale_up", "scale_down"}
    for decision in scaled:
        assert decision.value is not None
        assert decision.threshold is not None
        if decision.action == "scale_up":
            assert decision.value >= decision.threshold
        else:
            assert decision.value <= decision.threshold == run.policy.scale_down_threshold
    for before, after in pairwise(scaled):
        cooldown_s = run.policy.scale_up_cooldown_s if after.action == "scale_up" else run.policy.scale_down_cooldown_s
        assert cooldown_s is not None
        assert after.decided_at_s - before.decided_at_s >= cooldown_s


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("demo", "--headless", "--seed", str(2**63)), "9223372036854775807"),
        (("draw", "h.drmviz", "--workers", ","), "names no worker"),
        (("draw", "h.drmviz", "--start", "10", "--end", "5"), "--end '5' is not after --start '10'"),
    ],
)
def test_wrong_use_ends_with_2_before_anything_is_read_or_written(
    bench: Bench, wrong: tuple[str, ...], says: str
) -> None:
    done = bench.drmviz(*wrong)

    assert done.returncode == 2
    assert says in done.stderr
    assert not list(bench.folder.rglob("*.drmviz"))


# In real time


def test_a_demo_in_real_time_tells_of_the_fleet_and_ends_when_its_time_is_over(bench: Bench) -> None:
    began_s = time.monotonic()
    done = bench.drmviz(
        *("demo", "--workers", "4", "--duration", "2.5", "--interval", "0.5", "--store", "h.drmviz", "--port", "0"),
        env={"TZ": "UTC"},
    )
    run = bench.recorded()

    assert done.returncode == 0
    assert time.monotonic() - began_s >= 2.5
    assert 4 <= run.measured_ticks <= 7
    assert run.header.ended_at_s is not None
    said = done.stderr.splitlines()
    assert said[:2] == [
        "drmviz: recording 4 simulated workers into h.drmviz",
        "drmviz: it lasts 2.5 s; Ctrl-C ends it earlier",
    ]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  4 workers · CPU \d+ % · memory \d+ %( · GPU \d+ %)? · \d+ tests running", said[2]
    )
    assert len(said) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", [("--port", "0"), ("--headless",)])
def test_a_signal_ends_it_with_0_and_a_closed_history(
    bench: Bench, number: signal.Signals, how: tuple[str, ...]
) -> None:
    store = bench.folder / "h.drmviz"
    process = bench.start(
        *(sys.executable, "-m", "drmviz", "demo"), *how, "--workers", "6", "--duration", "80000", "--store", str(store)
    )
    deadline_s = time.monotonic() + 60
    while not (store.exists() and store.stat().st_size) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(1.0)

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "Look at it:" in out
    assert "Traceback" not in err
    assert not list(bench.folder.glob("h.drmviz-*"))
    with Store.open(store) as history:
        assert history.read().header.ended_at_s is not None
        assert history.read().measured_ticks >= 1


# Wrong use


@pytest.mark.parametrize(
    "wrong",
    [
        ("--duration", "0"),
        ("--duration", "-3"),
        ("--duration", "nan"),
        ("--duration", "inf"),
        ("--duration", "1e9"),
        ("--duration", "soon"),
        ("--workers", "0"),
        ("--workers", "10001"),
        ("--workers", "2.5"),
        ("--seed", "-1"),
        ("--interval", "0"),
        ("--interval", "4000"),
        ("--label", "nothing"),
        ("unexpected",),
        ("--port", "8080"),
    ],
)
def test_wrong_use_ends_with_2_and_leaves_nothing_behind(bench: Bench, wrong: tuple[str, ...]) -> None:
    done = bench.drmviz("demo", "--headless", "--store", "h.drmviz", *wrong)

    assert done.returncode == 2
    assert wrong[0].strip("-") in done.stderr
    assert "Traceback" not in done.stderr
    assert list(bench.folder.iterdir()) == []


def test_a_store_that_somebody_writes_is_refused_with_his_pid(bench: Bench) -> None:
    with Writer.open(bench.folder / "h.drmviz"):
        done = bench.drmviz("demo", "--headless", "--store", "h.drmviz")

    assert done.returncode == 1
    assert f"process {os.getpid()} is writing it" in done.stderr


# The account


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(wall=BEGAN_S)


@pytest.fixture
def manager(clock: SimulatedClock) -> DynamicResourceManager:
    return DynamicResourceManager(evaluation_window=60, scale_up_cooldown=60, scale_down_cooldown=60, clock=clock)


def test_an_account_tells_why_a_fleet_grew_and_who_came(manager: DynamicResourceManager, clock: SimulatedClock) -> None:
    manager.register_worker("w1", {"cpu_cores": 8}, why="recording began")
    account = Account(manager)
    for _ in range(60):
        manager.record_usage("w1", cpu_ratio=0.86)
        clock.advance(1.0)
    manager.evaluate_scaling()
    manager.register_worker("w2", {"cpu_cores": 8}, why="asked for")
    manager.register_worker("w3", {"cpu_cores": 8}, why="repaired")

    assert words(account.news()) == [
        "1 more worker asked for: CPU 86 % over 80 % for 60 s",
        "w2 joined: CPU 86 % over 80 % for 60 s",
        "w3 joined: it is repaired",
    ]
    assert account.news() == []


def test_an_account_tells_who_left_together_and_why(manager: DynamicResourceManager) -> None:
    for number in range(9):
        manager.register_worker(f"w{number}", {"cpu_cores": 8}, why="recording began")
    account = Account(manager)
    for number in range(5):
        manager.deregister_worker(f"w{number}", why="idle")
    manager.deregister_worker("w5", why="crashed")
    manager.deregister_worker("w6", why="reclaimed")
    manager.deregister_worker("w7")
    manager.deregister_worker("w8", why="the cleaner needed the socket")

    assert words(account.news()) == [
        "w0, w1, w2 and 2 more left, no longer needed",
        "w5 crashed",
        "w6 went back to the provider, who wanted it",
        "w7 left",
        "w8 left: the cleaner needed the socket",
    ]


def test_an_account_says_how_a_fleet_is_doing_and_nothing_of_what_is_not_known(
    manager: DynamicResourceManager, clock: SimulatedClock
) -> None:
    manager.register_worker("w1", {"cpu_cores": 8, "memory_mb": 1024, "gpus": 0})
    account = Account(manager)

    before = account.state(clock.wall_s())
    manager.record_usage("w1", cpu_ratio=0.5, memory_bytes=2**28)
    manager.reserve_resources("t", {"cpu_cores": 1})

    assert words([before, account.state(clock.wall_s())]) == [
        "1 worker · 0 tests running",
        "1 worker · CPU 50 % · memory 25 % · 1 test running",
    ]


def test_names_that_steer_a_terminal_are_shown_harmless_and_short(manager: DynamicResourceManager) -> None:
    account = Account(manager)
    manager.register_worker("\x1b[2Jevil\nname", {"cpu_cores": 1})
    manager.register_worker("x" * 500, {"cpu_cores": 1}, why="asked for")

    lines = words(account.news())

    assert lines == [r"\x1b[2Jevil\x0aname joined", f"{'x' * 7}…{'x' * 16} joined"]

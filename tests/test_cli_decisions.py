"""`drmviz decisions`: reasons for people, every field for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drmviz.model.decisions import Action, FleetChange, ScalingDecision
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.store import Writer
from tests.commands import Bench

START_S = 1_790_000_000.0


def decided(action: Action, at: float, **more: Any) -> ScalingDecision:
    return ScalingDecision(action=action, decided_at_s=START_S + at, **more)


def record(
    bench: Bench, *decisions: ScalingDecision, changes: tuple[FleetChange, ...] = (), seconds: int = 300
) -> None:
    """Record one worker, and a second one from the moment on that it joins."""
    tracker = RosterTracker()
    with Writer.open(bench.folder / "h.drmviz") as writer:
        recording = writer.begin(title="a fleet", started_at_s=START_S, interval_s=1.0)
        for second in range(seconds):
            now_s = START_S + second
            came = {change.worker for change in changes if change.change == "joined" and change.at_s <= now_s}
            went = {change.worker for change in changes if change.change == "left" and change.at_s <= now_s}
            reading = Reading.of(
                now_s,
                {worker: {"cpu_ratio": 0.5} for worker in sorted({"w1"} | came - went)},
                decisions=[each for each in decisions if now_s <= each.decided_at_s < now_s + 1],
                changes=[each for each in changes if now_s <= each.at_s < now_s + 1],
            )
            recording.append(tracker.observe([reading], at_s=now_s, wall_s=now_s))
        recording.finish(START_S + seconds)


def test_json_holds_every_decision_with_every_field_and_every_change(bench: Bench) -> None:
    record(
        bench,
        decided(
            "scale_up", 10.5, count=2, reason="CPU 86 % over 80 % for 90 s", metric="cpu_ratio", value=0.86,
            threshold=0.8, window_s=90.0, cooldown_remaining_s=0.0, worker_type="gpu", utilization=0.85,
        ),
        decided("maintain", 20),
        decided("scale_down", 30, count=1, worker_ids=("w2",)),
        changes=(
            FleetChange(at_s=START_S + 12, worker="w2", change="joined", why="asked for"),
            FleetChange(at_s=START_S + 31, worker="w2", change="left", why="idle"),
        ),
        seconds=40,
    )  # fmt: skip

    done = bench.drmviz("decisions", "h.drmviz", "--json")
    told = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert told["decisions"][0] == {
        "at_s": START_S + 10.5, "action": "scale_up", "count": 2, "reason": "CPU 86 % over 80 % for 90 s",
        "metric": "cpu_ratio", "value": 0.86, "threshold": 0.8, "window_s": 90.0, "cooldown_remaining_s": 0.0,
        "worker_ids": [], "worker_type": "gpu", "utilization": 0.85,
    }  # fmt: skip
    assert told["decisions"][1] == {
        "at_s": START_S + 20, "action": "maintain", "count": 0, "reason": "", "metric": None, "value": None,
        "threshold": None, "window_s": None, "cooldown_remaining_s": None, "worker_ids": [], "worker_type": None,
        "utilization": None,
    }  # fmt: skip
    assert told["decisions"][2]["worker_ids"] == ["w2"]
    assert told["changes"] == [
        {"at_s": START_S, "worker": "w1", "change": "joined", "why": None},
        {"at_s": START_S + 12, "worker": "w2", "change": "joined", "why": "asked for"},
        {"at_s": START_S + 31, "worker": "w2", "change": "left", "why": "idle"},
    ]


def test_the_table_gives_reasons_folds_what_was_held_and_says_what_followed(bench: Bench) -> None:
    record(
        bench,
        *(decided("maintain", at, reason=f"CPU {at} % inside the band") for at in (1, 2, 3)),
        decided("scale_up", 10, count=1, reason="CPU 86 % over 80 %", metric="cpu_ratio", value=0.86, threshold=0.8),
        changes=(FleetChange(at_s=START_S + 40, worker="w2", change="joined", why="asked for"),),
    )

    folded = bench.drmviz("decisions", "h.drmviz").stdout
    every = bench.drmviz("decisions", "h.drmviz", "--all").stdout

    lines = [" ".join(line.split()) for line in folded.splitlines()]
    assert "14:13:21–14:13:23 = 3× CPU 3 % inside the band" in lines
    assert "14:13:30 +1 CPU 86 % over 80 % 86 % 80 %" in lines
    assert "→ 1 joined within 30 s · CPU 50 % 3 min later" in lines
    assert "joined asked for 1 14:14:00 w2" in lines
    assert "Scaling decisions, 2026-09-21 UTC" in folded
    assert sum("inside the band" in line for line in every.splitlines()) == 3


def test_times_of_several_days_carry_their_date(bench: Bench) -> None:
    tracker = RosterTracker()
    with Writer.open(bench.folder / "h.drmviz") as writer:
        recording = writer.begin(title="days", started_at_s=START_S, interval_s=1.0)
        late = [decided("scale_up", -86400, count=1), decided("scale_down", 1, count=1)]
        reading = Reading.of(START_S, {"w1": {"cpu_ratio": 0.5}}, decisions=late)
        recording.append(tracker.observe([reading], at_s=START_S, wall_s=START_S))
        recording.finish(START_S + 1)

    said = bench.drmviz("decisions", "h.drmviz").stdout

    assert "2026-09-20 14:13:20" in said
    assert "2026-09-21 14:13:21" in said


def test_a_run_in_which_nothing_decided_says_so_and_what_to_do_and_still_lists_who_came(bench: Bench) -> None:
    record(bench, seconds=3)

    done = bench.drmviz("decisions", "h.drmviz")

    assert done.returncode == 0
    assert done.stdout.startswith("Nothing decided about the fleet's size in this run.")
    assert "drmviz demo" in done.stdout
    assert "joined" in done.stdout
    assert json.loads(bench.drmviz("decisions", "h.drmviz", "--json").stdout)["decisions"] == []


def test_reasons_and_names_that_steer_a_terminal_are_only_text(bench: Bench) -> None:
    evil = "\x1b[2J[red]a\nb\u202e"
    record(
        bench,
        decided("scale_up", 1, count=1, reason=evil),
        changes=(FleetChange(at_s=START_S + 1, worker=evil, change="joined", why=evil),),
        seconds=3,
    )

    done = bench.drmviz("decisions", "h.drmviz")

    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert done.stdout.count("[red]a") == 3
    assert evil in json.loads(bench.drmviz("decisions", "h.drmviz", "--json").stdout)["decisions"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("decisions", "missing.drmviz"), 1, "there is no such file"),
        (("decisions", "h.drmviz", "--run", "zz"), 1, "is not in this store"),
        (("decisions", "h.drmviz", "missing.drmviz"), 1, "'missing.drmviz': there is no such file"),
    ],
)
def test_a_wrong_call_is_one_line(bench: Bench, arguments: tuple[str, ...], code: int, said: str) -> None:
    record(bench, seconds=2)

    done = bench.drmviz(*arguments)

    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert said in done.stderr


def test_who_was_there_at_the_first_tick_is_not_said_to_have_joined_for_an_unknown_reason(bench: Bench) -> None:
    came = FleetChange(at_s=START_S + 100, worker="w2", change="joined", why=None)
    record(bench, changes=(came,))

    lines = bench.drmviz("decisions", "h.drmviz").stdout.splitlines()

    assert [line.split()[:3] for line in lines if " joined " in line] == [
        ["joined", "not", "known"],
        ["joined", "recording", "began"],
    ]

"""Why a fleet grew or shrank, by hand-computed numbers: intent and fact, kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.scaling import (
    Aftermath,
    episodes,
    fleet_changes,
    fleet_size,
    fleet_use,
    is_ratio,
    leading_metric,
    metric_of,
)
from drmviz.model.decisions import RECORDING_BEGAN, RECORDING_ENDED, Action, FleetChange, ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from tests.building import START_S, recorded

NAN = float("nan")


def decided(
    action: Action, at: float, *, count: int = 0, reason: str = "", metric: str | None = "cpu_ratio",
    workers: tuple[str, ...] = (),
) -> ScalingDecision:  # fmt: skip
    return ScalingDecision(
        action=action, decided_at_s=START_S + at, count=count, reason=reason, metric=metric, worker_ids=workers
    )


def joined(worker: str, at: float, why: str | None = None) -> FleetChange:
    return FleetChange(at_s=START_S + at, worker=worker, change="joined", why=why)


def left(worker: str, at: float, why: str | None = None) -> FleetChange:
    return FleetChange(at_s=START_S + at, worker=worker, change="left", why=why)


def lived(run: Run, **lives: tuple[float, float | None, str | None]) -> Run:
    """Return the run with workers that joined and left at these seconds, for these reasons."""
    workers = []
    for worker in run.workers:
        begin, end, why = lives[worker.id]
        life = replace(
            worker.latest,
            joined_at_s=START_S + begin,
            left_at_s=None if end is None else START_S + end,
            why_left=why,
        )
        workers.append(replace(worker, incarnations=(life,)))
    return replace(run, workers=tuple(workers))


def test_the_fleets_use_is_weighted_by_what_each_worker_has() -> None:
    small, large = WorkerCapacity(cpu_millicores=1000), WorkerCapacity(cpu_millicores=3000)
    run = recorded({"a": [1.0, None, None], "b": [0.5, 0.25, None]}, capacity={"a": small, "b": large})

    use = fleet_use(run, "cpu_ratio")

    np.testing.assert_allclose(use, [(1.0 + 3 * 0.5) / 4, 0.25, NAN])


def test_running_tasks_are_added_up_and_not_averaged() -> None:
    run = recorded({"a": [0.5] * 3, "b": [0.5] * 3}, more={"tasks_running": {"a": [2, None, None], "b": [3, 1, None]}})

    np.testing.assert_allclose(fleet_use(run, "tasks_running"), [5.0, 1.0, NAN])


def test_the_number_of_workers_changes_at_the_moment_and_not_at_the_column() -> None:
    run = lived(recorded({"a": [0.5] * 4, "b": [0.5] * 4}), a=(0, None, None), b=(0.25, 2.5, "idle"))

    size = fleet_size(run)

    np.testing.assert_allclose(size.at_s - START_S, [0, 0.25, 2.5, 4])
    assert size.workers.tolist() == [1, 2, 1, 1]


def test_who_replaces_another_at_one_instant_does_not_make_the_fleet_larger() -> None:
    run = lived(recorded({"a": [0.5] * 4, "b": [0.5] * 4}), a=(0, 2, "crashed"), b=(2, None, None))

    size = fleet_size(run)

    np.testing.assert_allclose(size.at_s - START_S, [0, 4])
    assert size.workers.tolist() == [1, 1]


def test_after_a_recording_ended_the_number_of_workers_is_unknown_and_not_zero() -> None:
    cpu = recorded({"a": [0.5] * 6, "b": [0.5] * 6})

    unknown = fleet_size(lived(cpu, a=(0, 2, RECORDING_ENDED), b=(4, None, None)))
    gone = fleet_size(lived(cpu, a=(0, 2, "idle"), b=(4, None, None)))

    np.testing.assert_allclose(unknown.workers, [1, NAN, 1, 1])
    np.testing.assert_allclose(gone.workers, [1, 0, 1, 1])


def test_a_fleet_of_nobody_is_zero_workers_all_the_time() -> None:
    size = fleet_size(replace(recorded({"a": [0.5] * 3}), workers=()))

    assert size.workers.tolist() == [0, 0]


@given(
    st.lists(
        st.tuples(st.integers(-5, 25), st.integers(0, 25)).map(lambda life: (life[0], life[0] + life[1])), max_size=12
    )
)
def test_the_size_is_at_every_moment_the_number_of_those_who_live(lives: list[tuple[int, int]]) -> None:
    names = [f"w{i}" for i in range(len(lives))]
    run = lived(
        recorded({name: [0.5] * 20 for name in names}) if names else replace(recorded({"a": [0.5] * 20}), workers=()),
        **{name: (float(begin), float(end), None) for name, (begin, end) in zip(names, lives, strict=True)},
    )

    size = fleet_size(run)

    assert (np.diff(size.at_s) > 0).all()
    for moment in np.arange(0.5, 20):
        place = int(np.searchsorted(size.at_s - START_S, moment, side="right")) - 1
        assert size.workers[place] == sum(begin <= moment < end for begin, end in lives)


def test_who_was_there_at_the_beginning_did_not_join() -> None:
    changes = [
        joined("a", 0), joined("b", 0.9), joined("b", 1.0, RECORDING_BEGAN), left("b", 2, "idle"), joined("b", 3),
        left("a", 4, "finished"), joined("stranger", 3),
    ]  # fmt: skip

    run = recorded({"a": [0.5] * 5, "b": [0.5] * 5}, changes=changes)

    assert [(change.worker, change.at_s - START_S) for change in fleet_changes(run)] == [("b", 2), ("b", 3)]


def test_a_decision_to_scale_up_is_followed_by_those_who_joined_and_by_what_its_metric_became() -> None:
    cpu = [0.9] * 100 + [0.5] * 200
    run = recorded(
        {"a": cpu, "b": cpu, "c": cpu, "d": cpu},
        decisions=[decided("scale_up", 10, count=2)],
        changes=[left("d", 12, "crashed"), joined("b", 40), joined("c", 70), joined("d", 90)],
    )

    (episode,) = episodes(run, {"cpu_ratio": fleet_use(run, "cpu_ratio")})

    assert episode.aftermath == Aftermath(
        change="joined", asked=2, happened=2, took_s=60.0, watched_s=290.0, is_whole=False, metric="cpu_ratio",
        later_s=180.0, later_ratio=0.5,
    )  # fmt: skip


def test_a_decision_is_watched_for_its_cooldown_and_only_up_to_the_next_of_its_kind() -> None:
    cpu = {"a": [0.9] * 300, "b": [0.9] * 300, "c": [0.9] * 300}
    decisions = [decided("scale_up", 10, count=1), decided("scale_down", 20), decided("scale_up", 60, count=1)]
    policy = {"scale_up_cooldown_s": 100}

    first, _, second = episodes(
        recorded(cpu, decisions=decisions, changes=[joined("b", 80), joined("c", 200)], scaling_policy=policy)
    )

    assert first.aftermath is not None
    assert second.aftermath is not None
    assert (first.aftermath.happened, first.aftermath.watched_s, first.aftermath.is_whole) == (0, 50.0, False)
    assert (second.aftermath.happened, second.aftermath.took_s, second.aftermath.is_whole) == (1, 20.0, True)


def test_those_who_were_lost_did_not_leave_because_of_a_decision_and_neither_did_others_than_it_named() -> None:
    run = recorded(
        {name: [0.2] * 60 for name in "abc"},
        decisions=[decided("scale_down", 10, count=2, workers=("a", "c"))],
        changes=[left("a", 11, "reclaimed"), left("b", 12, "idle"), left("c", 13, "idle")],
    )

    (episode,) = episodes(run)

    assert episode.aftermath is not None
    assert (episode.aftermath.change, episode.aftermath.happened, episode.aftermath.took_s) == ("left", 1, 3.0)


@pytest.mark.parametrize(
    ("at", "cpu", "known"),
    [
        (10, [0.5] * 300, True),
        (200, [0.5] * 300, False),  # the window ends before
        (10, [0.5] * 180 + [None] * 120, False),  # not measured there
        (-10, [0.5] * 300, False),  # before the window
    ],
)
def test_what_became_of_the_metric_is_unknown_where_nobody_measured_it(
    at: float, cpu: list[float | None], known: bool
) -> None:
    run = recorded({"a": cpu}, decisions=[decided("scale_up", at)])

    (episode,) = episodes(run, {"cpu_ratio": fleet_use(run, "cpu_ratio")})

    assert episode.aftermath is not None
    assert (episode.aftermath.later_ratio == 0.5) is known
    assert (episode.aftermath.later_s is None) is not known


def test_one_column_says_nothing_about_three_minutes_later() -> None:
    run = recorded({"a": [0.5, 0.7]}, decisions=[decided("scale_up", 10)], width_s=600)

    (episode,) = episodes(run, {"cpu_ratio": fleet_use(run, "cpu_ratio")})

    assert episode.aftermath is not None
    assert episode.aftermath.later_ratio is None


def test_decisions_to_hold_are_folded_as_long_as_their_reason_differs_in_numbers_only() -> None:
    reasons = [
        "CPU 55 % under 80 % for 60 s: nothing to change",
        "Memory 31.5 % over 30 % for 60 s: nothing to change",
        "CPU 86 % over 80 %, but the fleet may not grow for another 40 s",
        "CPU 86 % over 80 %, but the fleet may not grow for another 30 s",
    ]
    decisions = [decided("maintain", at, reason=reason) for at, reason in enumerate(reasons)]
    decisions.insert(2, decided("scale_up", 1.5, count=1))

    found = episodes(recorded({"a": [0.5] * 5}, decisions=decisions[::-1]))

    assert [(len(episode.decisions), episode.newest.action) for episode in found] == [
        (2, "maintain"),
        (1, "scale_up"),
        (2, "maintain"),
    ]
    assert (found[0].since_s, found[0].newest.reason) == (START_S, reasons[1])
    assert [episode.aftermath is None for episode in found] == [True, False, True]


@given(st.lists(st.sampled_from(["scale_up", "scale_down", "maintain"]), max_size=30))
def test_no_decision_is_lost_and_none_is_told_twice(actions: list[Action]) -> None:
    decisions = [decided(action, at, reason=f"because of {at % 3}") for at, action in enumerate(actions)]

    found = episodes(recorded({"a": [0.5] * 30}, decisions=decisions))

    assert [decision for episode in found for decision in episode.decisions] == decisions


@pytest.mark.parametrize(
    ("name", "metric", "ratio"),
    [
        ("cpu", "cpu_ratio", True),
        ("CPU_Utilization", "cpu_ratio", True),
        ("gpu_reserved_ratio", "gpu_reserved_ratio", True),
        ("overall", None, True),
        ("requests_unplaced", None, False),
        ("tasks_running", None, False),
        (None, None, False),
    ],
)
def test_a_decision_names_a_metric_of_the_run_or_something_else(
    name: str | None, metric: str | None, ratio: bool
) -> None:
    decision = decided("scale_up", 0, metric=name)

    assert metric_of(decision) == metric
    assert is_ratio(decision) is ratio


def test_the_leading_metric_is_the_one_that_scaled_the_fleet_most_often() -> None:
    holds = [decided("maintain", at, metric="cpu") for at in range(9)]

    assert leading_metric([*holds, decided("scale_up", 9, metric="memory")]) == "memory_ratio"
    assert leading_metric(holds) == "cpu_ratio"
    assert leading_metric([decided("scale_up", 0, metric="queue")]) is None


def test_before_a_recording_began_nobody_knows_who_came() -> None:
    decisions = (
        decided("scale_up", -3600, count=2), decided("scale_up", -30, count=2), decided("scale_up", -10, count=1),
    )  # fmt: skip
    run = recorded({"a": [0.5] * 900, "b": [0.5] * 900}, decisions=decisions, changes=(joined("b", 5),))

    early, late, filled = (episode.aftermath for episode in episodes(run))

    assert [of and (of.happened, of.is_whole, of.took_s) for of in (early, late, filled)] == [
        (0, False, None),
        (0, False, None),  # of two one may have come before
        (1, False, 15.0),
    ]


def test_a_decision_is_not_watched_beyond_the_end_of_the_recording() -> None:
    run = recorded({"a": [0.5] * 900}, decisions=(decided("scale_up", 90, count=3),))
    run = lived(run, a=(0, 100, RECORDING_ENDED))

    (only,) = episodes(run)

    assert only.aftermath is not None
    assert (only.aftermath.watched_s, only.aftermath.is_whole) == (10.0, False)


def test_before_the_first_tick_the_number_of_workers_is_unknown_and_not_zero() -> None:
    run = lived(recorded({"a": [0.5] * 4}, width_s=10.0), a=(16, None, None))
    run = replace(run, header=replace(run.header, started_at_s=START_S + 4))

    size = fleet_size(run)

    np.testing.assert_array_equal(size.at_s - START_S, [0, 4, 16, 40])
    np.testing.assert_array_equal(size.workers, [NAN, 0, 1, 1])


def test_who_came_back_larger_weighs_in_each_column_by_what_it_had_then() -> None:
    run = recorded({"a": [1.0, 1.0, 1.0], "b": [0.0] * 3}, capacity=WorkerCapacity(cpu_millicores=1000))
    a, b = run.workers
    large = replace(a.latest.entry, capacity=WorkerCapacity(cpu_millicores=3000))
    a = replace(a, incarnations=(a.latest, replace(a.latest, entry=large, joined_at_s=START_S + 2, ordinal=2)))

    use = fleet_use(replace(run, workers=(a, b)), "cpu_ratio")

    np.testing.assert_allclose(use, [0.5, 0.5, 0.75])

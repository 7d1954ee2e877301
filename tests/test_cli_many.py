"""Several stores on the command line: one report, one table, one picture of all machines, and by which clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drmviz.drawing import draw, write_report
from drmviz.errors import OutputError
from tests.commands import Bench
from tests.fleets import START_S
from tests.test_store_many import Machine, eventful, recorder

STORES = ("ci-1.drmviz", "ci-2.drmviz")


def recorded(bench: Bench) -> None:
    """Record on two machines; the second one's clock is a hundred seconds ahead."""
    eventful(bench.folder / STORES[0], host="ci-1")
    eventful(bench.folder / STORES[1], host="ci-2", begin_s=START_S + 100)


def test_tests_of_several_stores_are_those_of_each_with_their_host(bench: Bench) -> None:
    recorded(bench)

    told = json.loads(bench.drmviz("tests", *STORES, "--offset", "ci-2=-100", "--json").stdout)
    apart = [json.loads(bench.drmviz("tests", store, "--json").stdout)["tests"] for store in STORES]
    shown = bench.drmviz("tests", *STORES, "--offset", "ci-2=-100").stdout

    assert [(test["nodeid"], test["worker"], test["start_s"]) for test in told["tests"]] == [
        ("t", "ci-1/gw0", START_S + 7),
        ("t", "ci-2/gw0", START_S + 7),
    ]
    assert len(told["tests"]) == sum(map(len, apart))
    assert [(r["name"], r["host"], r["store"], r["offset_s"], r["state"]) for r in told["recordings"]] == [
        ("ci-1", "ci-1", STORES[0], 0.0, "finished"),
        ("ci-2", "ci-2", STORES[1], -100.0, "finished"),
    ]
    assert shown.splitlines()[0].strip() == "2 recordings read as one, 1 offset given, 2026-09-21 UTC"
    rows = [line.split() for line in shown.splitlines()]
    assert ["ci-2", "ci-2", "14:15:00", "14:15:10", "-100", "s", "finished", "ci-2.drmviz"] in rows
    assert ["ci-1/gw0", "1", "0", "1.0", "s", "?"] in rows


def test_decisions_of_several_stores_stand_beside_their_host(bench: Bench) -> None:
    recorded(bench)

    shown = bench.drmviz("decisions", *STORES).stdout
    told = json.loads(bench.drmviz("decisions", *STORES, "--json").stdout)

    assert shown.splitlines()[0].strip() == "2 recordings read as one, recorded wall time, 2026-09-21 UTC"
    rows = [line.split() for line in shown.splitlines()]
    assert ["14:15:04", "ci-1", "−1", "idle"] in rows
    assert ["14:16:44", "ci-2", "−1", "idle"] in rows
    assert shown.count("→ 1 left within 1 s") == 2
    assert [(each["host"], each["worker_ids"], each["reason"]) for each in told["decisions"]] == [
        ("ci-1", ["ci-1/gw1"], "idle"),
        ("ci-2", ["ci-2/gw1"], "idle"),
    ]
    left = [(each["worker"], each["at_s"]) for each in told["changes"] if each["why"] is None]
    assert left == [("ci-1/gw1", START_S + 5), ("ci-2/gw1", START_S + 105)]


def test_one_store_is_told_as_before(bench: Bench) -> None:
    recorded(bench)

    assert set(json.loads(bench.drmviz("tests", STORES[0], "--json").stdout)) == {"tests"}
    told = json.loads(bench.drmviz("decisions", STORES[0], "--json").stdout)
    assert set(told) == {"decisions", "changes"}
    assert "host" not in told["decisions"][0]
    assert "recordings" not in bench.drmviz("tests", STORES[0]).stdout


def test_pictures_of_several_stores_have_a_row_for_every_worker_of_every_host_and_say_the_offsets(
    bench: Bench,
) -> None:
    recorded(bench)

    done = bench.drmviz("draw", *STORES, "--offset", "ci-2=-100", "--format", "json", "--metric", "cpu")
    assert done.returncode == 0, done.stderr
    drawn = {path: json.loads((bench.folder / path).read_text()) for path in done.stdout.split()}
    heatmap = drawn["resource_utilization_heatmap.json"]

    assert len(drawn) == 6
    assert sorted(heatmap["data"][0]["y"]) == ["ci-1/gw0", "ci-1/gw1", "ci-2/gw0", "ci-2/gw1"]
    for path, figure in drawn.items():
        assert "2 recordings, offset ci-2 -100 s" in json.dumps(figure["layout"]), path
    assert "ci-2: idle" in json.dumps(drawn["scaling_history.json"])


def test_report_and_dashboard_of_several_stores_list_the_recordings(bench: Bench) -> None:
    recorded(bench)
    Machine(host="", closes=False).record(bench.folder / "left.drmviz")

    done = bench.drmviz("report", *STORES, "left.drmviz", "--offset", "ci-2.drmviz=-99.75", "-o", "all.html")
    drawn = bench.drmviz("draw", *STORES, "left.drmviz", "--offset", "ci-2=-99.75", "--figure", "dashboard")

    assert (done.returncode, done.stderr, drawn.returncode) == (0, "", 0)
    for page in ("all.html", "dashboard.html"):
        html = (bench.folder / page).read_text(encoding="utf-8")
        assert "3 recordings read as one, 1 offset given" in html
        assert html.count('<th scope="row" class="id">ci-2</th>') == 1
        assert "-99.75 s" in html
        assert "left: its recorder ended without closing the run" in html
        assert "cut off" in html
    assert "Next decision" not in html, "there is one of each fleet"


def test_one_being_recorded_one_killed_and_one_finished_are_one_report_from_the_command_line(bench: Bench) -> None:
    paths = [bench.folder / f"{host}.drmviz" for host in "abc"]
    with recorder(paths[0], "a", START_S) as finished:
        finished.communicate()
    with recorder(paths[1], "b", START_S + 3600) as killed, recorder(paths[2], "c", START_S - 3600):
        killed.kill()
        killed.wait()
        names = [path.name for path in paths]
        done = bench.drmviz("report", *names, "--offset", "b=-3600", "--offset", "c=3600", "-o", "all.html")
        told = json.loads(
            bench.drmviz("tests", *names, "--offset", "b=-3600", "--offset", "c=3600", "--json").stdout
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert [(each["name"], each["state"], each["first_at_s"]) for each in told["recordings"]] == [
        ("a", "finished", START_S),
        ("b", "cut off", START_S),
        ("c", "being written", START_S),
    ]
    assert {test["worker"] for test in told["tests"]} == {f"{host}/gw{n}" for host in "abc" for n in (0, 1)}
    assert len(told["tests"]) == 6, "the same test again on the same worker is an attempt"


def test_runs_of_several_stores_name_host_and_offset(bench: Bench) -> None:
    recorded(bench)

    told = json.loads(bench.drmviz("runs", *STORES, STORES[0], "--offset", "ci-2=-100", "--json").stdout)["runs"]
    shown = bench.drmviz("runs", *STORES, "--offset", "ci-2=-100").stdout

    assert [(run["host"], run["offset_s"], run["started_at"]) for run in told] == [
        ("ci-1", 0.0, "2026-09-21T14:15:00.000Z"),
        ("ci-2", -100.0, "2026-09-21T14:15:00.000Z"),
    ]
    assert "offset -100 s: t" in shown
    assert [line.split()[-2:] for line in shown.splitlines() if "Z " in line] == [
        ["ci-1", "ci-1.drmviz"],
        ["ci-2", "ci-2.drmviz"],
    ]


def test_a_copy_among_the_stores_is_said_and_counted_once(bench: Bench) -> None:
    recorded(bench)
    bench.drmviz("backup", STORES[0], "copy.drmviz")

    done = bench.drmviz("tests", STORES[0], "copy.drmviz")

    assert done.returncode == 0
    assert "is counted once, from ci-1.drmviz: copy.drmviz holds it too" in done.stderr
    assert "Slowest tests (of 1)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tests", *STORES, "--offset", "ci-2"), 2, "is not of the form HOST=SECONDS"),
        (("tests", *STORES, "--offset", "ci-2=soon"), 2, "is not of the form HOST=SECONDS"),
        (("tests", *STORES, "--offset", "ci-2=inf"), 2, "is not of the form HOST=SECONDS"),
        (("draw", *STORES, "--offset", "=5"), 2, "is not of the form HOST=SECONDS"),
        (("report", *STORES, "--offset", "ci-2=5", "--offset", "ci-2=6"), 2, "is the second one for 'ci-2'"),
        (("decisions", *STORES, "--offset", "ci-3=5"), 1, "is no host and no file of those that are read"),
        (("runs", *STORES, "--offset", "ci-3=5"), 1, "there are ci-1, ci-2"),
        (("draw", *STORES, "--workers", "gw0"), 1, "did not live in this window; there were ci-1/gw0"),
        (("report", *STORES, "nowhere.drmviz"), 1, "'nowhere.drmviz': there is no such file"),
        (("report", *STORES, "bad.drmviz"), 1, "'bad.drmviz': it is not a drmviz store"),
        (("report", *STORES, "-o", "ci-2.drmviz"), 1, "it is the recorded history itself"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_what_is_wrong(
    bench: Bench, arguments: tuple[str, ...], code: int, said: str
) -> None:
    recorded(bench)
    (bench.folder / "bad.drmviz").write_bytes(b"not at all a database, but long enough to be one" * 30)

    done = bench.drmviz(*arguments)

    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert said in done.stderr


def test_from_python_several_histories_are_a_list(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in STORES]
    for path in paths:
        Machine(host=path.stem).record(path)

    (picture,) = draw(
        paths, figures=["resource_utilization_heatmap"], formats=["json"], output_dir=tmp_path, offsets={"ci-2": 0.5}
    )
    report = write_report(paths, tmp_path / "report.html", offsets={"ci-2": 0.5})

    assert "ci-2/gw1" in picture.read_text()
    assert "1 offset given" in report.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="recorded history itself"):
        write_report(paths, paths[1])

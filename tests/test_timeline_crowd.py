"""The timeline of more workers than rows have pixels: shares of time instead of bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drmviz.figures.base import FigureOptions
from drmviz.figures.crowd import COLUMNS, crowd
from drmviz.figures.saving import figure, write
from drmviz.figures.test_timeline import arrange
from tests.building import ran, recorded

LIGHT = FigureOptions()


def test_a_cell_is_the_share_of_its_workers_time_that_tests_took() -> None:
    workers = tuple(f"w{i}" for i in range(320))  # two in a row
    rows = np.array([0, 1, 2, 319])
    begin, end = np.array([0.0, 0.5, 1.25, 0.0]), np.array([1.0, 2.0, 1.75, 600.0])

    laid = crowd(workers, rows, begin, end, np.array([False, True, False, False]), start_s=0.0, stop_s=float(COLUMNS))

    assert laid.per_row == 2
    assert laid.labels[0] == "w0–w1 (2)"
    np.testing.assert_allclose(laid.busy[0, :3], [0.75, 0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(laid.busy[1, :3], [0.0, 0.25, 0.0], atol=1e-6)
    np.testing.assert_allclose(laid.busy[159], 0.5, atol=1e-6)
    assert np.flatnonzero(laid.bad.ravel()).tolist() == [2]


def test_the_whole_time_of_all_tests_is_in_the_cells() -> None:
    random = np.random.default_rng(3)
    row = random.integers(0, 999, 5000)
    begin = random.uniform(-50, 1000, 5000)
    end = begin + random.exponential(20, 5000)
    workers = tuple(f"w{i}" for i in range(1001))  # the last row holds fewer workers than the others

    laid = crowd(workers, row, begin, end, np.zeros(5000, dtype=bool), start_s=0.0, stop_s=1000.0)

    members = np.array([min(7, 1001 - 7 * i) for i in range(len(laid.labels))])
    once = laid.busy < 1  # where workers overlap themselves in this made-up input the share is capped
    inside = np.clip(end, 0, 1000) - np.clip(begin, 0, 1000)
    assert once.all()
    np.testing.assert_allclose((laid.busy * members[:, None]).sum() * laid.width_s, inside.sum(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["html", "png"])
def test_a_thousand_workers_are_seen_from_the_first_to_the_last(tmp_path: Path, kind: str) -> None:
    names = {f"w{i}": [0.5] * 10 for i in range(1000)}
    tasks = [ran(f"t{i}", f"w{i}", start=0, end=5, outcome="failed" if i == 999 else "passed") for i in range(1000)]
    run = recorded(names, tasks=tasks)

    numbers = arrange(run, LIGHT)
    path = write("test_timeline", run, tmp_path / f"t.{kind}", LIGHT)

    assert "1,000 workers, 7 per row" in numbers.subtitle
    assert numbers.crowd is not None
    assert numbers.crowd.busy[:, : COLUMNS // 2].min() > 0.99
    assert numbers.crowd.busy[:, COLUMNS // 2 + 1 :].max() < 0.01
    if kind == "png":
        picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
        blue = (picture[..., 2] - picture[..., 0] > 100).sum(axis=1)  # the accent colour, by pixel row
        assert (blue[140:560] > 100).all()
    else:
        traces = figure("test_timeline", run, LIGHT).data
        assert [trace.name for trace in traces[:2]] == ["in tests", "ended badly"]

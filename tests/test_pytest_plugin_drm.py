"""`pytest --drm`: a recorder beside the tests, and its lines in pytest's own report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spooled import clean_environment

SOURCE = """
import os
def test_a(): pass
def test_b(): assert 0
def test_has_no_child_of_ours():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    raise AssertionError("there is a child")
"""


def pytest_drm(folder: Path, *arguments: str, ini: str = "", source: str = SOURCE) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")
    (folder / "test_it.py").write_text(source)
    (folder / "tmp").mkdir(exist_ok=True)
    environment = clean_environment() | {"TMPDIR": str(folder / "tmp"), "DRMVIZ_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def spools(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder / "tmp") if name.startswith("drmviz-")]


@pytest.mark.parametrize("distribution", [("-n0", "-W", "error"), ("-n2",)])
def test_a_run_is_recorded_and_summed_up_at_its_end(tmp_path: Path, distribution: tuple[str, ...]) -> None:
    done = pytest_drm(tmp_path, "--drm", "--drm-store", "it.drmviz", "--drm-interval", "0.1", *distribution)

    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    head, _, said = done.stdout.partition("= drmviz =")
    assert head
    assert str(tmp_path / "it.drmviz") in said
    assert (tmp_path / "it.drmviz").stat().st_size > 0
    assert spools(tmp_path) == []


def test_the_setting_of_the_project_does_the_same(tmp_path: Path) -> None:
    done = pytest_drm(tmp_path, "-q", ini="drm = true\ndrm_store = it.drmviz\ndrm_interval = 0.1\n")

    assert done.returncode == 1
    assert (tmp_path / "it.drmviz").exists()


def test_the_setting_is_no_run_of_its_own_for_a_pytest_inside_a_test(tmp_path: Path) -> None:
    source = """
import os, subprocess, sys
def test_outer():
    if "INNER" not in os.environ:
        os.environ["INNER"] = "yes"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        assert b"drmviz" not in subprocess.run(command, check=True, capture_output=True).stdout
"""
    done = pytest_drm(tmp_path, "-q", ini="drm = true\ndrm_store = it.drmviz\n", source=source)

    assert done.returncode == 0, done.stdout
    assert "= drmviz =" in done.stdout


def test_a_recorder_that_dies_is_one_line_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.executable = '/bin/false'\n")
    done = pytest_drm(tmp_path, "--drm")

    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert "drmviz: the recorder gave no answer" in done.stdout
    assert "INTERNALERROR" not in done.stdout


@pytest.mark.parametrize("arguments", [("--collect-only",), ("--help",), ("--version",), ("--markers",)])
def test_what_runs_no_tests_starts_no_recorder(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = pytest_drm(tmp_path, "--drm", *arguments)

    assert done.returncode == 0
    assert spools(tmp_path) == []


def test_without_a_terminal_report_nothing_is_printed_and_nothing_fails(tmp_path: Path) -> None:
    done = pytest_drm(tmp_path, "--drm", "--drm-store", "it.drmviz", "-p", "no:terminal")

    assert done.returncode == 1
    assert "drmviz" not in done.stdout

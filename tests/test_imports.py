"""Importing is cheap: what draws, and what the tests of others do not need, is loaded on first use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import drmviz

HEAVY = {
    "plotly",
    "matplotlib",
    "numpy",
    "apsw",
    "jinja2",
    "rich",
    "psutil",
    "zstandard",
    "orjson",
    "starlette",
    "uvicorn",
}


def loaded_after(program: str) -> set[str]:
    """Run a program in a new Python and return the top-level modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_drmviz_loads_nothing_heavy() -> None:
    assert not loaded_after("import drmviz") & HEAVY


def test_a_pytest_run_that_did_not_ask_for_us_loads_nothing_heavy(tmp_path: Path) -> None:
    runs = (
        f"import os, pytest; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; pytest.main(['-q', {str(tmp_path)!r}"
    )
    plain = loaded_after(f"{runs}])")
    ours = loaded_after(f"{runs}, '-p', 'drmviz.pytest_plugin'])")

    assert "drmviz" in ours
    assert not (ours - plain) & HEAVY


def test_the_help_of_the_command_loads_no_drawing_library() -> None:
    program = (
        "import sys; sys.argv = ['drmviz', '--help']\nfrom drmviz.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert not loaded_after(program) & {"plotly", "matplotlib", "numpy", "apsw"}


def test_every_public_name_resolves_and_an_unknown_one_lists_them() -> None:
    for name in drmviz.__all__:
        assert getattr(drmviz, name) is not None
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'; it has .*DRMVizError"):
        drmviz.nonsense  # noqa: B018


@pytest.mark.parametrize("alias", ["dynamic_resource_manager", "dynamic_resource_management_visualization"])
def test_the_promised_modules_are_other_doors_to_the_same_names(alias: str) -> None:
    module = import_module(alias)

    assert module.Store is drmviz.Store


def test_a_suite_of_somebody_else_can_be_run_in_our_folder_with_nothing_of_ours_for_tests(tmp_path: Path) -> None:
    program = (
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('playwright', 'hypothesis', 'PIL', 'drmviz'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import os, pytest; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--pyargs', 'networkx.utils.tests.test_heaps']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr

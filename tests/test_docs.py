"""Every code block of the documentation runs: shell blocks of a page in one folder, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drmviz.configuration import read_settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|#)(?P<target>[^)#\s]+)")
NEWCOMER = "sh newcomer"
"""The README's two commands: they begin with a clone, so the second tier runs them in one."""


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match["info"].strip(), match["body"]) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_code_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DRMVIZ_HOME": str(tmp_path / "home"),
    }
    environ.pop("GITHUB_STEP_SUMMARY", None)
    for info, body in blocks(page):
        language, _, option = info.partition(" ")
        if info == NEWCOMER or language == "text":
            continue
        if option.startswith("file="):
            target = tmp_path / option.removeprefix("file=")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body, encoding="utf-8")
            continue
        if language == "toml":
            folder = tmp_path / "settings"
            folder.mkdir(exist_ok=True)
            (folder / "pyproject.toml").write_text(body, encoding="utf-8")
            assert tomllib.loads(body)
            read_settings(environ={"DRMVIZ_HOME": str(folder)}, folder=folder)
            continue
        assert language in ("sh", "python"), f"{page.name}: nobody knows how to run a block of {info!r}"
        program = ["bash", "-euc", body] if language == "sh" else [sys.executable, "-c", body]
        done = subprocess.run(program, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page.name}:\n{body}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_of_the_repository_leads_somewhere(page: Path) -> None:
    broken = [t for t in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / t).exists()]

    assert not broken

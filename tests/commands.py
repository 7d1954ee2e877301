"""Runs the `drmviz` command and pytest as a user does: real processes, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drmviz.model.run import Run
from drmviz.store import Store

WITHOUT_CACHE = ("-p", "no:cacheprovider", "-p", "no:schemathesis")  # the latter takes a second to load


@dataclass(frozen=True)
class Bench:
    """A folder with a suite in it, and commands that run there."""

    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DRMVIZ", "PYTEST", "GITHUB"))}
        return {
            **kept,
            "DRMVIZ_HOME": str(self.folder / "home"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
            **more,
        }

    def write(self, **files: str) -> None:
        for name, content in files.items():
            (self.folder / f"{name}.py").write_text(content, encoding="utf-8")

    def start(self, *command: str, env: Mapping[str, str] | None = None, **how: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(**(env or {})),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **how,
        )

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, env=env)
        out, err = process.communicate(timeout=110)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def drmviz(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "drmviz", *arguments, env=env)

    def pytest(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return self.run(*pytest_command(*arguments), env=env)

    def recorded(self, name: str = "h.drmviz", **window: Any) -> Run:
        with Store.open(self.folder / name) as store:
            return store.read(**window)


def pytest_command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", *WITHOUT_CACHE, *arguments)

"""Real pytest runs in their own process, and what they wrote into a spool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drmviz.recorder import spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one pytest run showed to the outside, and to us."""

    code: int
    output: str
    cases: list[tuple[str, str, str, str]]
    """From the JUnit file: class, name, outcome, message; in the order of their names."""
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def outcomes(self) -> dict[str, str]:
        return {event["nodeid"].rpartition("::")[2]: event["outcome"] for event in self.of("test")}

    def test(self, name: str) -> dict[str, Any]:
        (found,) = [event for event in self.of("test") if event["nodeid"].rpartition("::")[2] == name]
        return found


def clean_environment() -> dict[str, str]:
    """Return our environment without what the pytest around us put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DRMVIZ_", "COV_"))}


def run_pytest(folder: Path, *arguments: str, source: str = "", conftest: str = "", recorded: bool = True) -> Ran:
    """Write the test file, run pytest over it, and collect its traces."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    if source:
        (folder / "test_it.py").write_text(source)
    if conftest:
        (folder / "conftest.py").write_text(conftest)
    path = spool.create(str(folder)) if recorded else None
    environment = clean_environment() | ({} if path is None else {spool.ENVIRONMENT_VARIABLE: path})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=junit.xml", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return Ran(
        code=done.returncode,
        output=done.stdout,
        cases=read_junit(folder / "junit.xml"),
        events=[] if path is None else read_events(Path(path)),
    )


def read_events(path: Path) -> list[dict[str, Any]]:
    file = path / "events.jsonl"
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def read_junit(file: Path) -> list[tuple[str, str, str, str]]:
    if not file.exists():
        return []
    cases = []
    for case in ET.parse(file).getroot().iter("testcase"):
        kinds = [child for child in case if child.tag in ("failure", "error", "skipped")]
        outcome = "+".join(child.tag for child in kinds) or "passed"
        message = " ".join(child.get("message") or "" for child in kinds)
        assert not list(case.iter("property"))
        cases.append((case.get("classname") or "", case.get("name") or "", outcome, message))
    return sorted(cases)

"""Fixtures that several files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Bench

pytest_plugins = ["pytester"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)

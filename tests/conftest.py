"""Fixtures that several files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browsers import chromium, path_of_chromium
from tests.commands import Bench

pytest_plugins = ["pytester"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if path_of_chromium() is None:
        pytest.skip("this machine has no chromium")
    with chromium() as started:
        yield started

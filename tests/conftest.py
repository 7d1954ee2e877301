"""Fixtures that several files share.

pytest reads this file also when somebody else's suite is run in the folder above: by itself it imports nothing of ours.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.commands import Bench


def pytest_configure() -> None:
    """Take Ctrl-C as a terminal gives it: a shell that starts the suite in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    from tests.commands import Bench

    return Bench(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.browsers import chromium, path_of_chromium

    if path_of_chromium() is None:
        pytest.skip("this machine has no chromium")
    with chromium() as started:
        yield started

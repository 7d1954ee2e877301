"""Whatever happened to a file: what is whole of it is brought back, and never a number that was not written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drmviz.errors import StoreError
from drmviz.store.repairing import examine, repair
from tests.damaged import KnownHistory, assert_nothing_but_the_truth, cut, flipped, known_history


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> KnownHistory:
    return known_history(tmp_path_factory.mktemp("repair") / "h.drmviz")


def assert_repaired(history: KnownHistory, content: bytes, hit: set[int], folder: Path) -> bool:
    """Damage, repair and compare; return whether a new file was written."""
    damaged, to = folder / "damaged.drmviz", folder / "new.drmviz"
    damaged.write_bytes(content)
    to.unlink(missing_ok=True)
    whole = {(run, number) for (run, number), pages in history.pages.items() if not (pages | history.names[run]) & hit}
    try:
        _, account = repair(damaged, to)
    except StoreError:
        assert not to.exists()
        assert not whole
        return False
    assert_nothing_but_the_truth(to, history, whole=whole)
    ids = account.run_ids
    said = {(ids[block.run], block.number) for block in account.blocks.values() if block.is_whole}
    touched = {place for place, pages in history.pages.items() if pages & hit}
    assert not said & touched
    assert not account.is_whole or not hit & set().union(*history.pages.values())
    again = examine(to)
    assert again.is_whole or again.strangers, again
    assert damaged.read_bytes() == content
    return True


def tried(history: KnownHistory, folder: Path, *, times: int, seed: int) -> None:
    content = history.path.read_bytes()
    seeded = random.Random(seed)
    written = 0
    for n in range(times):
        damaged, hit = (cut if n % 2 else flipped)(content, seeded)
        try:
            written += assert_repaired(history, damaged, hit, folder)
        except Exception as error:
            raise AssertionError(f"round {n}: pages {sorted(hit)[:5]} of {len(content) // 8192}") from error
    assert written > 0.9 * times


def test_a_file_hit_at_a_hundred_places_gives_back_every_block_that_is_whole(
    history: KnownHistory, tmp_path: Path
) -> None:
    tried(history, tmp_path, times=100, seed=100)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_file_hit_at_two_thousand_places_gives_back_every_block_that_is_whole(
    history: KnownHistory, tmp_path: Path
) -> None:
    tried(history, tmp_path, times=2000, seed=2000)

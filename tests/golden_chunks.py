"""One chunk of each format, as the version wrote it that had it first: `python -m tests.golden_chunks` adds those that
are not there yet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drmviz.model.metrics import FloatArray
from drmviz.store.chunks import MAXIMUM, VALUE, Chunk, encode

FOLDER = Path(__file__).parent / "golden"
MEMBERS = np.array([4, 5, 1009])
FIRST_TICK = 1000
TICKS = 40
PER_ONE = 100
STATISTIC = {1: VALUE, 2: VALUE, 3: VALUE, 4: MAXIMUM, 5: MAXIMUM}
"""By format."""


def golden_chunk(form: int) -> Path:
    return FOLDER / f"chunk-format-{form}.blob"


def values(form: int) -> FloatArray:
    """Return float32 of shape (members, ticks) that are packed in this format."""
    tick, member = np.arange(TICKS), np.arange(len(MEMBERS))[:, None]
    numbers = {
        1: np.sqrt(tick + member),
        2: np.sqrt(tick + member) * 1e-3,
        3: tick * (member + 1) % 5 / 4,
        4: (tick * 7 + member * 13) % 23 / PER_ONE,
        5: (tick // 7 + member * 30) / PER_ONE,
    }[form]
    return np.where(tick % 11 + member == 2, np.nan, numbers).astype(np.float32)


if __name__ == "__main__":
    for form, statistic in STATISTIC.items():
        if not golden_chunk(form).exists():
            chunk = Chunk(
                metric=2, statistic=statistic, tier=0 if statistic == VALUE else 1, members=MEMBERS,
                first_tick=FIRST_TICK, values=values(form), per_one=PER_ONE if form in (4, 5) else 0,
            )  # fmt: skip
            golden_chunk(form).write_bytes(encode(chunk))
            print(golden_chunk(form))

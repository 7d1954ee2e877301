"""What tests arrive when: waves, bursts and kinds of tests, all of it a function of a seed and a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from drmviz.model.metrics import FloatArray

GIB = 2**30

WAVE_S = 560.0
"""From one busy time to the next."""
_SLOT_S = 150.0
"""Each stretch of this length has one burst."""
_QUIET, _BUSY = 0.05, 1.65
_LARGE_CORES = 2500
"""Of more, the tests are longer, up to three times: large fleets are for large tests."""
_BEFORE = 10_000
"""Seeds are not negative, seconds may be."""
_NAMES = 40
"""Tests of each kind; the same one runs again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Tests that are alike: what each reserves, and what share of that it uses."""

    stem: str
    """Of its node ids; `{n}` is the number of the test."""
    share: float
    """Of all arriving work in cores, or in GPUs for those that need one."""
    typical_s: float
    spread: float
    """Sigma of the logarithm of the duration."""
    cpu_cores: int
    memory_bytes: int
    gpus: int = 0
    cpu_use: float = 0.9
    memory_use: float = 0.7
    gpu_use: float = 0.0

    @property
    def mean_s(self) -> float:
        return self.typical_s * math.exp(self.spread**2 / 2)


KINDS: tuple[Kind, ...] = (
    Kind(
        stem="tests/unit/test_pricing.py::test_rounds_like_the_ledger[{n}]",
        share=0.10, typical_s=6.0, spread=0.5, cpu_cores=1, memory_bytes=GIB, cpu_use=1.05, memory_use=0.45,
    ),
    Kind(
        stem="tests/service/test_orders.py::test_survives_a_restart[{n}]",
        share=0.34, typical_s=18.0, spread=0.6, cpu_cores=2, memory_bytes=2 * GIB, cpu_use=1.0, memory_use=0.65,
    ),
    Kind(
        stem="tests/browser/test_checkout.py::test_pays_with_card[{n}]",
        share=0.26, typical_s=28.0, spread=0.4, cpu_cores=1, memory_bytes=3 * GIB, cpu_use=1.25, memory_use=0.8,
    ),
    Kind(
        stem="tests/data/test_join.py::test_joins_everything[{n}]",
        share=0.30, typical_s=40.0, spread=0.5, cpu_cores=2, memory_bytes=9 * GIB, cpu_use=1.02, memory_use=0.95,
    ),
    Kind(
        stem="tests/model/test_training.py::test_converges[{n}]",
        share=0.65, typical_s=34.0, spread=0.4, cpu_cores=3, memory_bytes=8 * GIB, gpus=1, cpu_use=0.7, memory_use=0.75,
        gpu_use=0.86,
    ),
)  # fmt: skip


class Arrival(NamedTuple):
    """One test that wants to run."""

    kind: Kind
    name: str
    task_id: str
    """Its name and which of its runs this is."""
    duration_s: float
    cpu_use: float
    """Used of what is reserved; above 1 is more than that."""
    memory_use: float
    gpu_use: float
    outcome: str
    attempt: int = 1


class Load:
    """The tests that people start, for a fleet of that many cores and GPUs; the same seed is the same load."""

    def __init__(self, *, seed: int, cpu_cores: float, gpus: int = 0) -> None:
        self._seed = seed
        self._cpu_cores, self._gpus = cpu_cores, gpus
        self._longer = min(3.0, max(1.0, cpu_cores / _LARGE_CORES))
        self._rates = np.array([self.rate(kind) for kind in KINDS])
        shape = np.random.default_rng((seed, 0))
        self._wave_s = WAVE_S * shape.uniform(0.94, 1.06)
        self._ripple_s = self._wave_s / shape.uniform(3.2, 4.1)
        self._ripple_phase = shape.uniform(0.2, 1.0)
        self._bursts = lru_cache(maxsize=8)(self._burst)

    @property
    def longest_s(self) -> float:
        """So long do most tests take at most."""
        return 60.0 * self._longer

    def rate(self, kind: Kind) -> float:
        """Return how many tests of a kind each second keep its share of the fleet reserved."""
        wanted = self._gpus / kind.gpus if kind.gpus else self._cpu_cores / kind.cpu_cores
        return kind.share * wanted / (kind.mean_s * self._longer)

    def demand(self, at_s: FloatArray) -> FloatArray:
        """Return what is wanted at those seconds, as a share of what the fleet began with; float64, shape of `at_s`.

        A run of waves, the first top after some two minutes, with a burst now and then.
        """
        turn = 2 * np.pi * np.asarray(at_s, dtype=np.float64)
        wave = 0.76 + 0.52 * np.sin(turn / self._wave_s + 0.5)
        ripple = 0.09 * np.sin(turn / self._ripple_s + self._ripple_phase)
        demand: FloatArray = np.clip(wave + ripple + self._burst_height(np.asarray(at_s)), _QUIET, _BUSY)
        return demand

    def arrivals(self, second: int) -> list[Arrival]:
        """Return the tests that arrive in that second, in the order in which they want to run; before 0 too."""
        random = np.random.default_rng((self._seed, 1, _BEFORE + second))
        wanted = random.poisson(self._rates * float(self.demand(np.array(second + 0.5))))
        count = int(wanted.sum())
        if not count:
            return []
        kinds = random.permutation(np.repeat(np.arange(len(KINDS)), wanted)).tolist()
        z = random.standard_normal((count, 4)).tolist()
        names = random.integers(0, _NAMES, count).tolist()
        luck = random.random(count).tolist()
        return [
            self._arrival(KINDS[kinds[i]], z[i], luck[i], number=names[i], run=f"{second}.{i}") for i in range(count)
        ]

    def _arrival(self, kind: Kind, z: list[float], luck: float, *, number: int, run: str) -> Arrival:
        name = kind.stem.replace("{n}", str(number))
        outcome = "failed" if luck < 0.016 else "error" if luck < 0.02 else "skipped" if luck < 0.03 else "passed"
        lasts_s = 0.4 if outcome == "skipped" else self._longer * kind.typical_s * math.exp(kind.spread * z[0])
        return Arrival(
            kind=kind,
            name=name,
            task_id=f"{name} run {run}",
            duration_s=max(0.4, lasts_s),
            cpu_use=max(0.1, kind.cpu_use + 0.1 * z[1]),
            memory_use=max(0.1, kind.memory_use + 0.12 * z[2]),
            gpu_use=min(1.0, max(0.1, kind.gpu_use + 0.08 * z[3])) if kind.gpus else 0.0,
            outcome=outcome,
        )

    def _burst_height(self, at_s: FloatArray) -> FloatArray:
        height = np.zeros(at_s.shape)
        slots = np.unique(np.floor(at_s / _SLOT_S).astype(int))
        for slot in sorted({int(s) - back for s in slots for back in (0, 1)}):
            begins_s, rises, lasts_s = self._bursts(slot)
            since_s = at_s - begins_s
            fading = np.exp(-np.maximum(since_s, 0.0) / lasts_s)
            height += np.where(since_s >= 0, rises * np.minimum(since_s / 4.0, 1.0) * fading, 0.0)
        return height

    def _burst(self, slot: int) -> tuple[float, float, float]:
        """Return when the burst of a slot begins, how high it rises and how fast it fades."""
        if slot < 0:
            return 0.0, 0.0, 1.0
        random = np.random.default_rng((self._seed, 2, slot))
        return (slot + random.uniform(0.1, 0.7)) * _SLOT_S, random.uniform(0.15, 0.5), random.uniform(8.0, 22.0)

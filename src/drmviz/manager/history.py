"""A value that changes in steps, remembered over a window, in bounded space."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

_STEPS_PER_WINDOW = 240
"""Steps that lie closer than this share of the window are remembered as their mean."""


class Mean(NamedTuple):
    """A time-weighted mean, and how many seconds of knowledge it rests on."""

    value: float
    known_s: float


@dataclass(slots=True)
class _Step:
    start_s: float
    end_s: float
    known_s: float
    value: float


class StepHistory:
    """A value holds from when it was set until the next one; None is not known and counts as nothing."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._finest_s = window_s / _STEPS_PER_WINDOW
        self._steps: deque[_Step] = deque()
        self._value: float | None = None
        self._since_s = float("-inf")

    def __len__(self) -> int:
        return len(self._steps)

    def set(self, value: float | None, at_s: float) -> None:
        """Say what holds from `at_s` on; times never go back."""
        if value == self._value:
            return
        if self._value is not None and at_s > self._since_s:
            self._remember(self._since_s, at_s, self._value)
        self._value, self._since_s = value, at_s

    def mean(self, now_s: float, *, since_s: float) -> Mean | None:
        """Return the mean from `since_s` (at most a window ago) until now; None when nothing is known now."""
        if self._value is None:
            return None
        since_s = max(since_s, now_s - self._window_s)
        known_s = now_s - max(since_s, self._since_s)
        difference = 0.0  # from the present value, so that the mean of a value that never changed is that value
        for step in reversed(self._steps):
            if step.end_s <= since_s:
                break
            share = 1.0 if step.start_s >= since_s else (step.end_s - since_s) / (step.end_s - step.start_s)
            difference += (step.value - self._value) * step.known_s * share
            known_s += step.known_s * share
        mean = self._value + difference / known_s if known_s else self._value
        return Mean(mean, min(known_s, self._window_s))  # shares of steps may add up to a hair more

    def _remember(self, start_s: float, end_s: float, value: float) -> None:
        known_s = end_s - start_s
        last = self._steps[-1] if self._steps else None
        if last is not None and end_s - last.start_s <= self._finest_s:
            last.known_s += known_s
            last.value += (value - last.value) * known_s / last.known_s
            last.end_s = end_s
        else:
            self._steps.append(_Step(start_s, end_s, known_s, value))
        while self._steps[0].end_s <= end_s - self._window_s:
            self._steps.popleft()

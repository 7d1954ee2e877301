"""Tells measured use from reservations that are called use."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drmviz.model.metrics import BoolArray, FloatArray

_EXACT = 1e-6
_DIGITS = (2, 3, 4)
"""Rounding that people use for ratios."""


class UseJudge:
    """Decides whether the utilization of one manager is measured.

    As long as every one that could be compared is what is reserved, none of them counts: there is no fleet whose tasks
    always use exactly what they asked for. The first that differs proves that they are measured.
    """

    def __init__(self) -> None:
        self._has_compared = False
        self._has_differed = False

    @property
    def saw_reservations_only(self) -> bool:
        """Whether there was something to compare, and none of it differed."""
        return self._has_compared and not self._has_differed

    def is_measured(self, used: Mapping[str, FloatArray], reserved: Mapping[str, FloatArray]) -> bool:
        """Take ratios by resource, one for each worker, NaN where not known; return whether the used ones count."""
        if not self._has_differed:
            for resource, of_reserved in reserved.items():
                self._compare(used[resource], of_reserved)
        return not self.saw_reservations_only

    def _compare(self, used: FloatArray, reserved: FloatArray) -> None:
        both = np.isfinite(used) & np.isfinite(reserved)
        if both.any():
            self._has_compared = True
            self._has_differed |= bool(np.any(_differs(used[both], reserved[both])))


def _differs(used: FloatArray, reserved: FloatArray) -> BoolArray:
    """Return where two ratios are not the same number, one of them perhaps rounded."""
    tolerance = np.full(used.shape, _EXACT)
    for digits in reversed(_DIGITS):
        looks_rounded = np.abs(used - np.round(used, digits)) < 1e-9
        tolerance[looks_rounded] = 0.5 * 10**-digits + 1e-9
    differs: BoolArray = np.abs(used - reserved) > tolerance
    return differs

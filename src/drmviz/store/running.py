"""Running sums of bytes, modulo 256: what leads from steps back to what they were made of."""

from __future__ import annotations

import numpy as np

from drmviz.model.metrics import IntArray

_FEW = 2048
"""So many bytes are summed up one by one before it pays to take eight at a time."""
_EVERY_OTHER = np.uint64(0x00FF00FF00FF00FF)
_EVERY_PAIR = np.uint64(0x0001000100010001)
_BYTE, _LAST_PAIR = np.uint64(8), np.uint64(48)


def running_sums(steps: IntArray) -> IntArray:
    """Return uint8 of the shape (rows, columns) of the steps: the sum of each and all before it in its row.

    The same as `numpy.cumsum` along the rows, which waits for each sum before it begins the next one: eight bytes of a
    row are summed up as four pairs in one word of 64 bits, where no pair can reach into the next one.
    """
    rows, columns = steps.shape
    if steps.size < _FEW:
        return np.cumsum(steps, axis=1, dtype=np.uint8)
    words = -(-columns // 8)
    padded = np.empty((rows, words * 8), dtype=np.uint8)
    padded[:, :columns] = steps
    padded[:, columns:] = 0
    sums = padded.view("<u8")
    seconds = sums >> _BYTE
    seconds &= _EVERY_OTHER
    sums &= _EVERY_OTHER
    sums += seconds
    sums *= _EVERY_PAIR  # of each pair and those before it in the word: at most 8 x 255
    before = np.zeros((rows, words), dtype=np.uint8)
    np.cumsum((sums[:, :-1] >> _LAST_PAIR).astype(np.uint8), axis=1, dtype=np.uint8, out=before[:, 1:])
    sums += before * _EVERY_PAIR
    firsts = np.subtract(sums, seconds, out=seconds)
    firsts &= _EVERY_OTHER
    sums &= _EVERY_OTHER
    sums <<= _BYTE
    sums |= firsts
    return padded[:, :columns]

"""The promised import path of the manager: whatever `drmviz` has under the same name."""

from __future__ import annotations

from typing import Any

import drmviz


def __getattr__(name: str) -> Any:
    return getattr(drmviz, name)

"""Examines a store page by page without SQLite, and writes a new one from everything that is whole."""

from __future__ import annotations

from drmviz.store.repairing.account import Account, Loss
from drmviz.store.repairing.repair import examine, repair

__all__ = ["Account", "Loss", "examine", "repair"]

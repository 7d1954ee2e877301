"""Examines a store page by page without SQLite, and writes a new one from everything that is whole."""

from __future__ import annotations

from drmviz.store.repairing.account import EVENTS, Account, Loss
from drmviz.store.repairing.repair import examine, repair

__all__ = ["EVENTS", "Account", "Loss", "examine", "repair"]

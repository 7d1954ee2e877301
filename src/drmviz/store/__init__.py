"""One SQLite file per recorded history: a writer that acknowledges what is durable, readers beside it."""

from __future__ import annotations

from drmviz.store.backup import back_up
from drmviz.store.reader import Store, Stores
from drmviz.store.recording import Recording
from drmviz.store.retention import Retention
from drmviz.store.writer import Writer

__all__ = ["Recording", "Retention", "Store", "Stores", "Writer", "back_up"]

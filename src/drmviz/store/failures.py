"""What SQLite and broken rows raise while a store is read, as errors that name the file and the remedy."""

from __future__ import annotations

from json import JSONDecodeError
from pathlib import Path
from types import TracebackType

import apsw

from drmviz.errors import StoreError
from drmviz.store.connections import damaged


class errors_named:  # noqa: N801  reads as a phrase where it is used
    """Turns what reading this file raises inside the `with` into a StoreError of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError | JSONDecodeError | TypeError):
            raise damaged(self._path, error) from error
        if isinstance(error, apsw.Error):
            raise StoreError(self._path, f"it cannot be read ({error})", remedy="Try again.") from error

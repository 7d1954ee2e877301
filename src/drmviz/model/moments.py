"""Points in time as people and programs state them: epoch seconds, a datetime, ISO 8601 text."""

from __future__ import annotations

import math
from datetime import datetime

from drmviz.errors import InvalidValueError

LATEST_S = 1e11
"""The year 5138: what is later was given in another unit."""


def seconds_of(stated: object, name: str) -> float:
    """Return seconds since the epoch; what names no zone is local time, as everywhere in Python.

    Raises:
        InvalidValueError: it is nothing of these, or lies before 1970 or after the year 5000.
    """
    seconds = math.nan
    if isinstance(stated, str):
        try:
            seconds = datetime.fromisoformat(stated).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidValueError(name, stated, "is not an ISO 8601 time") from error
    elif isinstance(stated, datetime):
        try:
            seconds = stated.timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidValueError(name, stated, "is a moment that this machine cannot count") from error
    elif isinstance(stated, int | float) and not isinstance(stated, bool):
        seconds = float(stated) if abs(stated) < LATEST_S else math.inf
    else:
        raise InvalidValueError(name, stated, "must be epoch seconds, a datetime or ISO 8601 text")
    if not 0 <= seconds < LATEST_S:
        raise InvalidValueError(name, stated, "lies before 1970 or after the year 5000")
    return seconds

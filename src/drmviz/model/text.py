"""Names from outside, made storable without losing what they say."""

from __future__ import annotations

LONGEST_NAME = 65_536


def storable(name: str) -> str:
    """Return the name with lone surrogates written as escapes, so that it can be encoded as UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode("utf-8")
    return name

"""Where an integration is found by browsers, and whose pages may frame it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from drmviz.dashboard.access import Origin, parsed_origin
from drmviz.errors import InvalidValueError

_PATH = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Checked, and written as browsers compare it."""

    url: str = ""
    """Without a slash at its end; empty is not known."""
    own: tuple[str, ...] = ()
    """The origin of that address."""
    ancestors: tuple[str, ...] = ()
    """Origins whose pages may show what is served there in a frame."""

    @classmethod
    def of(cls, base_url: str | None, embed_origins: Sequence[str]) -> Self:
        """Read what was given.

        Raises:
            InvalidValueError: the address or an origin is none.
        """
        if isinstance(embed_origins, str):
            raise InvalidValueError("embed_origins", embed_origins, "must be a list of origins")
        ancestors = tuple(dict.fromkeys(_written(each) for each in embed_origins))
        if base_url is None:
            return cls(ancestors=ancestors)
        reason = "must be where browsers find asgi_app(), such as https://ci.example.org/team/drm"
        if not isinstance(base_url, str):
            raise InvalidValueError("base_url", base_url, reason)
        try:
            parts = urlsplit(base_url)
        except ValueError as error:
            raise InvalidValueError("base_url", base_url, reason) from error
        origin = f"{parts.scheme}://{parts.netloc}"
        if parsed_origin(origin) is None or not _PATH.fullmatch(parts.path) or parts.query or parts.fragment:
            raise InvalidValueError("base_url", base_url, reason)
        return cls(url=f"{origin}{parts.path.rstrip('/')}", own=(origin,), ancestors=ancestors)


def _written(given: object) -> str:
    origin = parsed_origin(given) if isinstance(given, str) else None
    if origin is None:
        raise InvalidValueError(
            "embed_origins", given, "must be origins: scheme, host and port alone, such as https://wiki.example.org"
        )
    return _text(origin)


def _text(origin: Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}" if (scheme, port) in (("http", 80), ("https", 443)) else f"{scheme}://{host}:{port}"

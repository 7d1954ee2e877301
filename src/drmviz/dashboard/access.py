"""Who may come in: the token, the session cookie made from it, and the hosts and origins that are ours."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from drmviz.errors import UsageError

TOKEN_VARIABLE = "DRMVIZ_TOKEN"
_SHORTEST_TOKEN = 22
"""Letters of base64 that make 132 bits."""
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_HOST = re.compile(r"(?P<name>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{_HOST.pattern}")
_USUAL_PORT = {"http": 80, "https": 443}
_OURS = frozenset({"127.0.0.1", "localhost", "[::1]"})

Origin = tuple[str, str, int]
"""Scheme, host and port, as browsers compare them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one dashboard lets in; made once when its port is known."""

    token: str = field(repr=False)
    port: int
    hosts: frozenset[str] = _OURS
    """Names without a port that a Host header may have; lower case, IPv6 in brackets."""
    origins: frozenset[Origin] = frozenset()
    """Where a proxy in front of it serves its pages, beside the address that was asked for."""
    prefix: str = ""
    """Under which path everything lies: empty, or `/name`."""
    secure: bool = False
    """Whether it is served over TLS."""
    is_mounted: bool = False
    """Whether another application serves it, on a port and below a path that only requests tell: links are relative."""
    public_url: str = ""
    """Where that is, as browsers see it; empty is not known."""
    remedy: str = "--allowed-host"
    """What adds a name or an origin."""

    @property
    def cookie(self) -> str:
        """The name of the session cookie: browsers do not keep cookies of two ports apart."""
        return self.cookie_at(self.port)

    def cookie_at(self, port: int) -> str:
        """Return that name where requests arrive on this port."""
        return f"drmviz_{self.port or port}"

    @property
    def link_prefix(self) -> str:
        """What the links of a page begin with; pages lie side by side."""
        return "." if self.is_mounted else self.prefix

    @property
    def api_server(self) -> str:
        """Where the paths of the API lie, seen from its description."""
        return self.public_url or ("../.." if self.is_mounted else self.prefix)

    @property
    def session(self) -> str:
        """What the cookie holds: made from the token, which it does not tell."""
        return hmac.new(self.token.encode(), b"drmviz session", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def is_session(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.session.encode())

    def set_cookie(self, *, port: int = 0, secure: bool = False) -> str:
        """Return the header that logs a browser in until it is closed, for a request that came to this port.

        Without a path in it browsers take that of the address which they asked for, whatever a proxy made of it.
        """
        path = "" if self.is_mounted else f"; Path={self.prefix or '/'}"
        is_secure = "; Secure" if self.secure or secure else ""
        return f"{self.cookie_at(port)}={self.session}{path}; HttpOnly; SameSite=Strict{is_secure}"

    def signature(self, path: str, expires_s: int) -> str:
        """Return what lets anybody read this one path until then."""
        key = hmac.new(self.token.encode(), b"drmviz signed address", hashlib.sha256).digest()
        return hmac.new(key, f"{path}\n{expires_s}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def is_signature(self, given: str, path: str, expires_s: int) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.signature(path, expires_s).encode())

    def is_host(self, host: str) -> bool:
        """Tell whether a Host header names us, whatever its port: that may be the port of a tunnel."""
        found = _HOST.fullmatch(host.lower())
        return found is not None and found["name"] in self.hosts

    def is_origin(self, origin: str, *, host: str, scheme: str) -> bool:
        """Tell whether a page of this origin is one of ours: exactly the address that was asked for, or a proxy's."""
        theirs = parsed_origin(origin)
        return theirs is not None and (theirs == parsed_origin(f"{scheme}://{host}") or theirs in self.origins)


def parsed_origin(text: str) -> Origin | None:
    """Return scheme, host and port of an origin; None where it is none, such as `null`."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else _USUAL_PORT[found["scheme"]]
    return found["scheme"], found["name"], port


def chosen_token(environ: Mapping[str, str] | None = None) -> str:
    """Return the token of the environment, else a new one of 256 bits.

    Raises:
        UsageError: the one of the environment can be guessed, or does not fit into a URL.
    """
    given = (os.environ if environ is None else environ).get(TOKEN_VARIABLE)
    if not given:
        return secrets.token_urlsafe(32)
    if len(given) < _SHORTEST_TOKEN or len(set(given)) < 6 or not _TOKEN.fullmatch(given):
        raise UsageError(
            f"{TOKEN_VARIABLE} must be at least {_SHORTEST_TOKEN} letters, digits or . _ ~ - that nobody can guess. "
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return given


def hosts_and_origins(
    bound: str, allowed: Iterable[str], *, said: str = "--allowed-host"
) -> tuple[frozenset[str], frozenset[Origin]]:
    """Return the names by which a server may be called, and the origins of proxies before it.

    Args:
        bound: the address that it listens on; where that is one address, it is a name too.
        allowed: more names, such as `ci.example.org`, or origins, such as `https://ci.example.org`.
        said: what they are called where they are asked for.

    Raises:
        UsageError: one of them is neither.
    """
    hosts, origins = set(_OURS), set()
    if not is_any_address(bound):
        hosts.add(in_url(bound).lower())
    for text in allowed:
        origin = parsed_origin(text.rstrip("/"))
        name = _HOST.fullmatch(in_url(text).lower())
        if origin is not None:
            origins.add(origin)
            hosts.add(origin[1])
        elif name is not None and name["port"] is None:
            hosts.add(name["name"])
        else:
            raise UsageError(f"{said} {text!r} is neither a name, such as ci.example.org, nor an origin, such "
                             "as https://ci.example.org.")  # fmt: skip
    return frozenset(hosts), frozenset(origins)


def in_url(host: str) -> str:
    """Return a host as URLs write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") and "//" not in host and _is_address(host) else host


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches it; a name other than localhost may stand for anything."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def is_any_address(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_unspecified


def checked_prefix(prefix: str) -> str:
    """Return a path prefix as it is compared: empty, or `/name` without a slash at its end.

    Raises:
        UsageError: it is no such path.
    """
    bare = prefix.strip("/")
    if bare and (not re.fullmatch(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*", bare) or ".." in bare):
        raise UsageError(f"--url-prefix {prefix!r} is not a path such as /drmviz.")
    return f"/{bare}" if bare else ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

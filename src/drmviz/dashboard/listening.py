"""The port of a dashboard: checked and held before anything else begins, by whoever is to answer there later.

Nothing here loads a server.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drmviz.dashboard.access import (
    Access,
    checked_prefix,
    chosen_token,
    hosts_and_origins,
    in_url,
    is_any_address,
    is_loopback,
)
from drmviz.errors import InvalidValueError, ServerError, UsageError

DEFAULT_PORT = 8889


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a dashboard is served; checked before anything is opened."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0 is any free one."""
    url_prefix: str = ""
    allowed_hosts: Sequence[str] = ()
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    insecure_http: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise InvalidValueError("port", self.port, "must be a whole number from 0 (any free one) to 65535")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None) and self.ssl_certfile is None:
            raise UsageError("--ssl-keyfile needs --ssl-certfile, the certificate that belongs to it.")
        if not is_loopback(self.host) and self.ssl_certfile is None and not self.insecure_http:
            raise UsageError(
                f"--host {self.host} is reached from other machines, and without TLS everybody on the way reads the "
                "token. Give --ssl-certfile and --ssl-keyfile, or --insecure-http where something else encrypts."
            )

    def tls(self) -> ssl.SSLContext | None:
        """Return what encrypts, None without a certificate.

        Raises:
            ServerError: it cannot be used.
        """
        if self.ssl_certfile is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except OSError as error:  # ssl.SSLError is one
            raise ServerError(
                f"The certificate {str(self.ssl_certfile)!r} cannot be used: {error.strerror or error}. "
                "Name a PEM file with --ssl-certfile, and its key with --ssl-keyfile."
            ) from error
        return context


class Listening:
    """A port that is held from now on, and who is let in there; who comes meanwhile waits."""

    def __init__(self, serving: Serving | None = None, *, token: str | None = None) -> None:
        """Bind it.

        Raises:
            UsageError: an option makes no sense.
            ServerError: the address cannot be had.
        """
        serving = serving or Serving()
        hosts, origins = hosts_and_origins(serving.host, serving.allowed_hosts)
        prefix = checked_prefix(serving.url_prefix)
        self.tls = serving.tls()
        token = token or chosen_token()
        self.socket = _bound(serving.host, serving.port)
        self._host = serving.host
        self.access = Access(
            token=token, port=self.socket.getsockname()[1], hosts=hosts, origins=origins, prefix=prefix,
            secure=self.tls is not None,
        )  # fmt: skip

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens."""
        bound = self.socket.getsockname()
        return bound[0], bound[1]

    @property
    def port(self) -> int:
        return self.access.port

    @property
    def url(self) -> str:
        """The address to open, token in it."""
        host = "127.0.0.1" if is_any_address(self._host) else self._host
        scheme = "https" if self.access.secure else "http"
        return f"{scheme}://{in_url(host)}:{self.port}{self.access.prefix}/?token={self.access.token}"

    def close(self) -> None:
        """Let the port go; calling it again does nothing."""
        self.socket.close()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ServerError: it cannot be had; the message names it.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServerError(
            f"--host {host!r} is no address of this machine ({error.strerror}). Name one, such as 127.0.0.1."
        ) from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ServerError(_why_not(host, port, error)) from error
    listening.setblocking(False)
    return listening


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (f"Port {port} of {host} is taken by another program. Name another one with --port, or --port 0 for any "
                "that is free.")  # fmt: skip
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} may not be used by this user. Name one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Name one with --host, such as 127.0.0.1."
    return f"Port {port} of {host} cannot be used: {os.strerror(error.errno or 0)}. Name another one with --port."

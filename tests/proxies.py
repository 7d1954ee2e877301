"""nginx, as Debian has it, before an application: a process of its own on loopback, with a configuration of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_CONFIGURATION = """
daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


def rewriting(prefix: str, to: str, *, host: str = "$http_host") -> str:
    """Return a location that takes this prefix away, or puts what stands in `to` in its place, as README pages tell."""
    return f"""
    location {prefix}/ {{
      proxy_pass {to}/;
      proxy_http_version 1.1;
      proxy_set_header Host {host};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h;
    }}
    """


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def nginx(folder: Path, port: int, *locations: str) -> Iterator[None]:
    """Run it on this port until the end of the block."""
    assert NGINX is not None
    folder.mkdir()
    configuration = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        _CONFIGURATION.format(folder=folder, port=port, user=user, locations="\n".join(locations)), encoding="utf-8"
    )
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(configuration)], stderr=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

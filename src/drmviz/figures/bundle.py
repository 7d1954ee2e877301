"""The Plotly script of the installed package, compressed once for each of its versions."""

from __future__ import annotations

import gzip
import os
import zlib
from base64 import b64encode
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_dir

from drmviz.errors import MissingExtraError
from drmviz.system import Files, SystemFiles


def bundle_path() -> Path:
    """Return where the installed package keeps its script.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    found = find_spec("plotly")
    for place in (found.submodule_search_locations or ()) if found else ():
        path = Path(place) / "package_data" / "plotly.min.js"
        if path.is_file():
            return path
    raise MissingExtraError("Drawing HTML", "plotly")


def cache_folder() -> Path:
    """Return where what can be made again is kept; `DRMVIZ_HOME` moves it."""
    home = os.environ.get("DRMVIZ_HOME")
    return Path(home) / "cache" if home else Path(user_cache_dir("drmviz"))


def compressed_bundle() -> str:
    """Return the script, gzipped, in base64."""
    return b64encode(gzipped_bundle()).decode("ascii")


@lru_cache(maxsize=1)
def gzipped_bundle() -> bytes:
    """Return the script as it goes over the wire.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    return _compressed(bundle_path(), cache_folder(), SystemFiles())


@lru_cache(maxsize=1)
def bundle_key() -> str:
    """Return what is another one for another script.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    return sha256(bundle_path().read_bytes()).hexdigest()[:16]


def _compressed(script: Path, folder: Path, files: Files) -> bytes:
    cached = folder / f"plotly-{_plotly_version()}-{script.stat().st_size}.js.gz"
    with suppress(OSError):  # not there yet, or not readable: made again
        content = files.read_bytes(cached)
        if zlib.crc32(content[:-4]) == int.from_bytes(content[-4:], "little"):
            return content[:-4]
    content = gzip.compress(files.read_bytes(script), compresslevel=9, mtime=0)
    with suppress(OSError):  # slower next time, and nothing else
        files.replace(cached, content + zlib.crc32(content).to_bytes(4, "little"))
    return content


def _plotly_version() -> str:
    try:
        return version("plotly")
    except PackageNotFoundError:  # put on the path by hand
        return "unknown"

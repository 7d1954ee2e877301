"""Where settings come from: options, then DRMVIZ_* in the environment, then [tool.drmviz], then the user's file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from drmviz.errors import UsageError

DEFAULT_INTERVAL_S = 0.5
SHORTEST_INTERVAL_S = 0.05
STORE_SUFFIX = ".drmviz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was set anywhere; each field names where it came from in `origins`."""

    interval_s: float = DEFAULT_INTERVAL_S
    store: Path | None = None
    report: Path | None = None
    theme: str = "light"
    labels: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


def read_settings(
    *,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Merge all places; `options` holds what the command line said, None where it said nothing.

    Raises:
        UsageError: a value makes no sense or a key is unknown; the message names the place.
    """
    environ = os.environ if environ is None else environ
    folder = folder or _here()
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("the command line", {k: v for k, v in (options or {}).items() if v is not None}),
        ("the environment", _from_environment(environ)),
        *_from_files(folder, environ),
    ]
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for place, layer in layers:
        for key, value in layer.items():
            if key not in _READERS:
                raise UsageError(f"{place}: {key!r} is not a setting; there are {', '.join(sorted(_READERS))}.")
            if key not in chosen:
                chosen[key] = _READERS[key](value, f"{key} from {place}")
                origins[key] = place
    if "interval" in chosen:
        chosen["interval_s"] = chosen.pop("interval")
    return Settings(**chosen, origins=origins)


def data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where runs are kept: DRMVIZ_HOME, or the user's data folder."""
    home = (os.environ if environ is None else environ).get("DRMVIZ_HOME")
    return Path(home).expanduser().absolute() if home else Path(platformdirs.user_data_dir("drmviz"))


def runs_folder(environ: Mapping[str, str] | None = None) -> Path:
    return data_folder(environ) / "runs"


def charges_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where imported bills are kept: beside the folder of the runs, so that importing waits for no recorder."""
    return data_folder(environ) / "charges.sqlite3"


def new_store_path(started_at_s: float, unique: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the place of a new run: `<data folder>/runs/<UTC>-<id>.drmviz`."""
    stamp = datetime.fromtimestamp(started_at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    return runs_folder(environ) / f"{stamp}-{unique}{STORE_SUFFIX}"


def recorded_stores(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the stores of the data folder, oldest first."""
    folder = runs_folder(environ)
    if not folder.is_dir():
        return []
    return sorted(folder.glob(f"*{STORE_SUFFIX}"), key=lambda path: (path.name, path))


def newest_store(environ: Mapping[str, str] | None = None) -> Path:
    """Return the newest store of the data folder.

    Raises:
        UsageError: nothing was recorded there yet.
    """
    stores = recorded_stores(environ)
    if not stores:
        raise UsageError(
            f"Nothing is recorded in {runs_folder(environ)} yet. Record a run with: drmviz run -- COMMAND, "
            "or name a store."
        )
    return stores[-1]


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {"interval": "DRMVIZ_INTERVAL", "store": "DRMVIZ_STORE", "report": "DRMVIZ_REPORT", "theme": "DRMVIZ_THEME"}
    return {key: environ[name] for key, name in names.items() if environ.get(name)}


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # somebody deleted the folder we stand in
        return None


def _from_files(folder: Path | None, environ: Mapping[str, str]) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for parent in () if folder is None else (folder, *folder.parents):
        project = parent / "pyproject.toml"
        if project.is_file():
            tools = _toml(project).get("tool")
            table = tools.get("drmviz") if isinstance(tools, dict) else None
            if isinstance(table, dict):
                found.append((f"[tool.drmviz] of {project}", table))
            elif table is not None:
                raise UsageError(f"{project}: tool.drmviz is {table!r}, not a table.")
            break
    home = environ.get("DRMVIZ_HOME")
    user = (Path(home).expanduser() if home else Path(platformdirs.user_config_dir("drmviz"))) / "config.toml"
    try:
        is_there = user.is_file()
    except OSError as error:
        raise UsageError(
            f"{user} cannot be looked at ({error.strerror}). Set DRMVIZ_HOME to another folder."
        ) from error
    if is_there:
        found.append((str(user), _toml(user)))
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _interval(value: object, said: str) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = float("nan")
    if isinstance(value, bool) or not SHORTEST_INTERVAL_S <= seconds <= 3600:
        raise UsageError(f"{said} is {value!r}: it must be a number of seconds from {SHORTEST_INTERVAL_S} to 3600.")
    return seconds


def _path(value: object, said: str) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise UsageError(f"{said} is {value!r}: it must be a path.")
    return Path(value).expanduser()


def _theme(value: object, said: str) -> str:
    if value not in ("light", "dark"):
        raise UsageError(f"{said} is {value!r}: it must be light or dark.")
    return str(value)


def _labels(value: object, said: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{said} is {value!r}: it must be a table of key = value.")
    return {str(key): str(text) for key, text in value.items()}


_READERS = {"interval": _interval, "store": _path, "report": _path, "theme": _theme, "labels": _labels}

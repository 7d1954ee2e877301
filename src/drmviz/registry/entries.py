"""What a registry file holds: read from bytes that may be anything, and written back."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.figures.saving import FORMATS

VERSION = 1
"""Each entry carries it; a file with a higher one, in an entry or at its top, is read and never changed."""
MOST_BYTES = 4 * 2**20
"""A registry is some kilobytes; what is larger than this is not read."""
_VERSION_KEY = "version"
_LONGEST_TYPE = 256

Option = str | int | float | bool | None | Sequence[str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One figure that was written; raises InvalidValueError where it makes no sense."""

    type: str
    title: str
    description: str
    path: str
    """Relative to the folder of the registry and inside it, with `/`."""
    updated_at_s: float
    run: str | None = None
    """Id of the newest run that it shows; None is not known."""
    options: Mapping[str, Option] | None = None
    """What it was drawn with; empty is the defaults, None is not known."""

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not 0 < len(self.type) <= _LONGEST_TYPE or self.type == _VERSION_KEY:
            raise InvalidValueError("type", self.type, f"must be text of at most {_LONGEST_TYPE} characters")
        for name in ("title", "description"):
            if not isinstance(getattr(self, name), str):
                raise InvalidValueError(name, getattr(self, name), "must be text")
        if self.run is not None and not isinstance(self.run, str):
            raise InvalidValueError("run", self.run, "must be the id of a run")
        _check_path(self.path)
        _moment(self.updated_at_s)
        if self.options is not None:
            _check_options(self.options)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        return {
            "type": self.type,
            "title": self.title,
            "description": self.description,
            "path": self.path,
            "updated_at": _moment(self.updated_at_s).isoformat(timespec="milliseconds"),
            "run": self.run,
            "options": None if self.options is None else dict(self.options),
            _VERSION_KEY: VERSION,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A registry file as it was found."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    """What of it makes sense, by type."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The same as it stood there, with what others have added."""
    damage: tuple[str, ...] = ()
    """What is wrong with it."""
    version: int = VERSION

    @property
    def is_newer(self) -> bool:
        return self.version > VERSION


def parse(content: bytes) -> Document:
    """Read a registry file; never fails: what is wrong is said in `damage`."""
    if not content:
        return Document(damage=("it is empty",))
    damage = []
    if content.startswith(b"\xef\xbb\xbf"):
        damage.append("it begins with a byte order mark")
        content = content[3:]
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except RecursionError:
        return Document(damage=(*damage, "it is nested too deeply"))
    except ValueError as error:  # no UTF-8, no JSON, NaN, a number of a million digits
        return Document(damage=(*damage, f"it is not JSON ({error})"))
    if not isinstance(found, _Object):
        return Document(damage=(*damage, "it is not an object by type"))
    version, entries, faults = VERSION, {}, {}
    top = found.get(_VERSION_KEY)
    if type(top) is int:
        version = max(version, top)
    for type_, given in found.items():
        if type_ == _VERSION_KEY and type(given) is int:
            continue
        stated = given.get(_VERSION_KEY) if isinstance(given, _Object) else None
        if type(stated) is int:
            version = max(version, stated)
        try:
            entries[type_] = _entry(type_, given, is_repeated=type_ in found.repeated)
        except InvalidValueError as error:
            faults[type_] = f"the entry {type_[:64]!r} is wrong ({error})"
    if version == VERSION:  # what a newer version means is not ours to judge
        damage += faults.values()
    return Document(
        entries=entries, raw={type_: found[type_] for type_ in entries}, damage=tuple(damage), version=version
    )


def written(raw: Mapping[str, Any]) -> bytes:
    """Return the bytes of a registry file.

    Raises:
        InvalidValueError: they would be more than can be read back.
    """
    content = json.dumps(raw, indent=2, allow_nan=False).encode("ascii") + b"\n"
    if len(content) > MOST_BYTES:
        raise InvalidValueError("entries", f"{len(content):,} bytes", f"must fit in {MOST_BYTES:,} bytes together")
    return content


class _Object(dict[str, Any]):
    """An object of JSON that remembers which of its keys were there more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.repeated = {key for key, _ in pairs if key in seen or seen.add(key)}  # type: ignore[func-returns-value]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _entry(type_: str, given: Any, *, is_repeated: bool) -> Entry:
    if is_repeated:
        raise InvalidValueError("type", type_, "is there twice")
    if not isinstance(given, _Object):
        raise InvalidValueError("entry", given, "must be an object")
    options = given.get("options")
    if isinstance(options, _Object) and options.repeated:
        raise InvalidValueError("options", sorted(options.repeated), "are there twice")
    if given.repeated:
        raise InvalidValueError("keys", sorted(given.repeated), "are there twice")
    if given.get("type") != type_:
        raise InvalidValueError("type", given.get("type"), "is not the key that it stands under")
    if _VERSION_KEY in given and (type(given[_VERSION_KEY]) is not int or given[_VERSION_KEY] < 1):
        raise InvalidValueError(_VERSION_KEY, given[_VERSION_KEY], "must be a whole number from 1")
    return Entry(
        type=type_,
        title=given.get("title"),  # type: ignore[arg-type]  # Entry says what must be text
        description=given.get("description"),  # type: ignore[arg-type]
        path=given.get("path"),  # type: ignore[arg-type]
        updated_at_s=_seconds(given.get("updated_at")),
        run=given.get("run"),
        options=options,
    )


def _seconds(given: Any) -> float:
    if not isinstance(given, str):
        raise InvalidValueError("updated_at", given, "must be ISO 8601 with a zone")
    try:
        moment = datetime.fromisoformat(given)
        seconds = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidValueError("updated_at", given, "must be ISO 8601 with a zone") from error
    if moment.tzinfo is None:
        raise InvalidValueError("updated_at", given, "names no zone")
    return seconds


def _moment(seconds: float) -> datetime:
    try:
        if isinstance(seconds, bool) or not math.isfinite(seconds):
            raise ValueError("not finite")
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise InvalidValueError("updated_at_s", seconds, "must be seconds since the epoch") from error


def _check_path(given: Any) -> None:
    """Raise InvalidValueError unless it names a figure below the folder, as far as words tell."""
    if not isinstance(given, str) or not given:
        raise InvalidValueError("path", given, "must be text")
    path = PurePosixPath(given)
    if path.is_absolute():
        raise InvalidValueError("path", given, "must be relative to the folder of the registry")
    if ".." in path.parts:
        raise InvalidValueError("path", given, "leaves the folder of the registry")
    try:
        encoded = os.fsencode(given)
    except UnicodeEncodeError as error:
        raise InvalidValueError("path", given, "is not the name of a file") from error
    if b"\0" in encoded:
        raise InvalidValueError("path", given, "is not the name of a file: none holds a zero byte")
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise InvalidValueError("path", given, f"must end in one of {', '.join(f'.{known}' for known in FORMATS)}")


def _check_options(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise InvalidValueError("options", given, "must be an object")
    for name, value in given.items():
        if not isinstance(name, str):
            raise InvalidValueError("options", name, "must have names that are text")
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and not isinstance(each, str | int | float):
                raise InvalidValueError(f"options[{name!r}]", each, "must be text, a number, true, false or null")
            if isinstance(each, float) and not math.isfinite(each):
                raise InvalidValueError(f"options[{name!r}]", each, "must be finite")

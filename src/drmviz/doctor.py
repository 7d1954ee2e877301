"""What works on this machine, and what a store holds: one sentence each, with the remedy where something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from drmviz import __version__
from drmviz.configuration import read_settings, recorded_stores, runs_folder
from drmviz.errors import DRMVizError
from drmviz.machine import limits
from drmviz.machine.gpu import Gpus
from drmviz.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: Literal["ok", "missing", "wrong"]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine_machine() -> list[Finding]:
    """Look at everything that recording and drawing need here."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _packages, _pytest, _machine, _gpus, _places)
    return [finding for look in looks for finding in look()]


def examine_store(path: Path) -> list[Finding]:
    """Say what a store holds and how it is doing."""
    findings = []
    with Store.open(path) as store:
        size = path.stat().st_size
        writing = "being written right now" if store.is_being_written else "closed"
        findings.append(Finding(about=str(path), state="ok", sentence=f"{size / 1e6:.1f} MB, {writing}"))
        for header in store.runs():
            run = store.read(header.id, columns=1, metrics=("cpu_ratio",))
            said = f"{run.measured_ticks} ticks of {len(run.workers)} workers, {len(run.tasks)} tests: {header.title}"
            findings.append(Finding(about=f"run {header.id}", state="ok", sentence=said))
            findings.extend(Finding(about=f"run {header.id}", state="wrong", sentence=note) for note in run.notes)
    return findings


def _python() -> Iterator[Finding]:
    import apsw

    yield Finding(
        about="drmviz",
        state="ok",
        sentence=f"{__version__} on Python {platform.python_version()} ({sys.executable}),"
        f" SQLite {apsw.sqlite_lib_version()}",
    )
    if sys.platform != "linux":
        yield Finding(about="platform", state="wrong", sentence=f"{sys.platform} is not tested; Linux is")


def _packages() -> Iterator[Finding]:
    for package, doing in (("plotly", "HTML figures and the report"), ("matplotlib", "PNG, SVG and PDF figures")):
        try:
            yield Finding(about=package, state="ok", sentence=f"{version(package)}: {doing}")
        except PackageNotFoundError:
            yield Finding(about=package, state="missing", sentence=f"no {doing}. Install with: pip install {package}")


def _pytest() -> Iterator[Finding]:
    if importlib.util.find_spec("pytest") is None:
        yield Finding(
            about="pytest",
            state="missing",
            sentence="not in this environment: use per test is recorded where drmviz is installed beside pytest",
        )
        return
    try:
        yield Finding(
            about="pytest", state="ok", sentence=f"{version('pytest')} with pytest-xdist {version('pytest-xdist')}"
        )
    except PackageNotFoundError:
        yield Finding(
            about="pytest-xdist",
            state="missing",
            sentence="tests run in one process. Install with: pip install 'drmviz[xdist]'",
        )


def _machine() -> Iterator[Finding]:
    found = limits.read_limits()
    cores = "unknown" if found.cpu_millicores is None else f"{found.cpu_millicores / 1000:g}"
    memory = "unknown" if found.memory_bytes is None else f"{found.memory_bytes / 2**30:.1f} GiB"
    limited = [name for name, group in (("CPU", found.cpu_group), ("memory", found.memory_group)) if group is not None]
    where = f"{' and '.join(limited)} limited by a cgroup" if limited else "the whole machine"
    yield Finding(about="machine", state="ok", sentence=f"{cores} cores, {memory} of memory, {where}")


def _gpus() -> Iterator[Finding]:
    gpus = Gpus()
    devices = gpus.read()
    gpus.close()
    if not devices:
        why = gpus.why_none or "the driver names none"
        yield Finding(about="gpu", state="ok", sentence=f"GPU use is unknown, not zero: {why}")
    for device in devices:
        yield Finding(about=f"gpu {device.index}", state="ok", sentence=f"{device.name} ({device.uuid})")


def _places() -> Iterator[Finding]:
    try:
        settings = read_settings()
    except DRMVizError as error:
        yield Finding(about="settings", state="wrong", sentence=str(error))
    else:
        said = ", ".join(f"{key} from {place}" for key, place in settings.origins.items()) or "all defaults"
        yield Finding(about="settings", state="ok", sentence=said)
    folder = runs_folder()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        yield Finding(about="runs", state="ok", sentence=f"{len(recorded_stores())} stores in {folder}")
    else:
        yield Finding(
            about="runs",
            state="wrong",
            sentence=f"{folder} cannot be written. Set DRMVIZ_HOME, or name a place with --store",
        )

"""What works on this machine, and what a store holds: one sentence each, with the remedy where something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from drmviz import __version__
from drmviz.configuration import read_settings, recorded_stores, runs_folder
from drmviz.errors import DRMVizError, StoreError
from drmviz.machine import limits
from drmviz.machine.gpu import Gpus
from drmviz.model.run import RunHeader, TierReach
from drmviz.report.wording import kept_said, size
from drmviz.store import Store, repairing
from drmviz.store.lock import is_being_written

State = Literal["ok", "note", "missing", "wrong"]
_FAULTS_NAMED, _PAGES_NAMED = 20, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: State
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine_machine() -> list[Finding]:
    """Look at everything that recording and drawing need here."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _packages, _pytest, _machine, _gpus, _places)
    return [finding for look in looks for finding in look()]


def examine_store(path: Path) -> list[Finding]:
    """Say what a store holds and verify every page and checksum of it.

    Raises:
        StoreError: there is no such file, it is something else, or a newer version wrote it.
    """
    account = repairing.examine(path)
    writing = "being written right now" if is_being_written(path.resolve()) else "closed"
    form = "its header is damaged" if account.version is None else f"format {account.version}"
    findings = [Finding(about=str(path), state="ok", sentence=f"{path.stat().st_size / 1e6:.1f} MB, {writing}, {form}")]
    if not account.has_checksums:
        sentence = (
            "its pages carry no checksums, as an earlier version wrote it: damage of anything but samples may go"
            " unseen. `drmviz doctor --repair` writes a copy that has them"
        )
        findings.append(Finding(about=str(path), state="note", sentence=sentence))
    try:
        with Store.open(path) as store:
            for header in store.runs():
                findings.extend(_run(store, header))
            findings.extend(
                Finding(about="structure", state="wrong", sentence=f"SQLite says: {fault}")
                for fault in store.structure_faults(_FAULTS_NAMED)
            )
    except StoreError as error:
        findings.append(Finding(about=str(path), state="wrong", sentence=error.reason))
    findings.extend(_damage(account, state="wrong"))
    if not account.is_whole:
        sentence = f"`drmviz doctor {path} --repair` writes a new file of everything that is whole; this one stays"
        findings.append(Finding(about="remedy", state="note", sentence=sentence))
    return findings


def repair_store(path: Path, to: Path | None) -> tuple[Path, list[Finding]]:
    """Write everything that is whole of a store into a new file; return where it lies, and what is lost.

    Raises:
        StoreError: somebody writes it, it is something else, or nothing of it is whole.
        OutputError: the new file cannot be written, or something is there already.
    """
    target, account = repairing.repair(path, to)
    taken = Finding(about=str(target), state="ok", sentence=f"everything whole of {path}, which stays as it is")
    return target, [taken, *_damage(account, state="missing")]


def _run(store: Store, header: RunHeader) -> Iterator[Finding]:
    about = f"run {header.id}"
    try:
        run = store.read(header.id, columns=1, metrics=("cpu_ratio",), tiers=True)
    except StoreError as error:
        yield Finding(about=about, state="wrong", sentence=error.reason)
        return
    said = f"{run.measured_ticks} ticks of {len(run.workers)} workers, {len(run.tasks)} tests: {header.title}"
    yield Finding(about=about, state="ok", sentence=said)
    if run.tiers:
        yield Finding(about=f"{about} keeps", state="ok", sentence=f"{kept_said(run.tiers)} ({_sizes(run.tiers)})")
    for note in run.notes:
        yield Finding(about=about, state="note", sentence=note)


def _sizes(tiers: Sequence[TierReach]) -> str:
    return ", ".join(f"{reach.tier} {size(reach.bytes)}" for reach in tiers)


def _damage(account: repairing.Account, *, state: State) -> Iterator[Finding]:
    """Say what is whole, and name what is not by run, time and page."""
    blocks = len(account.blocks)
    whole = f"{account.whole_blocks} of {blocks} blocks of ten minutes are whole"
    yield Finding(about="blocks", state="ok" if account.whole_blocks == blocks else state, sentence=whole)
    losses = account.losses()
    for loss in losses[:_FAULTS_NAMED]:
        yield Finding(about=f"run {loss.run_id}", state=state, sentence=_loss(loss))
    if len(losses) > _FAULTS_NAMED:
        yield Finding(about="blocks", state=state, sentence=f"and {len(losses) - _FAULTS_NAMED} more are not whole")
    for run in sorted(account.lost_headers):
        sentence = "its header is lost: its title, labels and beginning are unknown"
        yield Finding(about=f"run {account.run_ids[run]}", state=state, sentence=sentence)
    for table, rows in account.rows.items():
        if table in ("block", "chunk", "tick"):
            continue
        for run, count in sorted(rows.lost.items()):
            sentence = f"{count} {repairing.EVENTS.get(table, table)} lost{_on(rows.pages)}"
            yield Finding(about=f"run {account.run_ids[run]}", state=state, sentence=sentence)
        if not rows.lost and (rows.pages or rows.refused):
            sentence = f"{repairing.EVENTS.get(table, table)} are lost, nobody can say how many{_on(rows.pages)}"
            yield Finding(about=table, state=state, sentence=sentence)
    if account.index_pages:
        sentence = f"damaged, without loss of what is recorded{_on(account.index_pages)}"
        yield Finding(about="structure", state=state, sentence=sentence)
    for run, count in sorted(account.strangers.items()):
        sentence = f"samples of {count} workers are here whose names are lost: they are not shown"
        yield Finding(about=f"run {account.run_ids[run]}", state="note", sentence=sentence)
    yield from _log(account, state=state)


def _log(account: repairing.Account, *, state: State) -> Iterator[Finding]:
    if account.log_commits:
        sentence = f"its -wal holds {account.log_commits} commits that are not in the file itself yet"
        yield Finding(about="-wal", state="ok", sentence=sentence)
    if account.log_loss is not None:
        yield Finding(about="-wal", state=state, sentence=account.log_loss)


def _loss(loss: repairing.Loss) -> str:
    start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (loss.start_s, loss.end_s))
    when = f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC"
    pieces = "one piece" if loss.lost_pieces == 1 else f"{loss.lost_pieces or 'an unknown number of'} pieces"
    what = "nothing is left" if loss.is_lost else f"{pieces} lost"
    return f"{when}: {what}{_on(loss.pages)}" if loss.pages or not loss.why else f"{when}: {what} ({loss.why})"


def _on(pages: Collection[int]) -> str:
    named = sorted(pages)[:_PAGES_NAMED]
    more = f" and {len(pages) - len(named)} more" if len(pages) > len(named) else ""
    return f" (page{'s' if len(pages) > 1 else ''} {', '.join(map(str, named))}{more})" if pages else ""


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

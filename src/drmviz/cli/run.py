"""`drmviz run`: a test command, recorded."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drmviz.cli.arguments import labels_of
from drmviz.cli.saying import say
from drmviz.cli.serving import (
    AllowedHosts,
    Certificate,
    Controls,
    Host,
    InsecureHttp,
    Key,
    NoDashboard,
    Port,
    UrlPrefix,
    page_beside,
    serving_if,
)
from drmviz.configuration import STORE_SUFFIX, Settings, new_store_path, read_settings
from drmviz.errors import DRMVizError

if TYPE_CHECKING:
    from drmviz.model.samples import Tick
    from drmviz.recorder.process import Recorded, Show, Tell, Watch
    from drmviz.recorder.underway import Begun
    from drmviz.report.progress import Progress

FAILED_BEFORE_THE_START = 125


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="The test command.")],
    store: Annotated[
        Path | None, typer.Option(help="File to record into; a new one in the data folder by default.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where the report goes; beside the store by default.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write neither report nor pictures.")] = False,
    interval: Annotated[
        str | None, typer.Option(metavar="S", help="Seconds between two samples [default: 0.5].")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the run; repeat for more.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_dashboard: NoDashboard = False,
    url_prefix: UrlPrefix = "",
    allowed_host: AllowedHosts = None,
    controls: Controls = False,
    ssl_certfile: Certificate = None,
    ssl_keyfile: Key = None,
    insecure_http: InsecureHttp = False,
) -> None:
    """Run a test command, record it, and end with its exit code."""
    page = {
        "host": host,
        "port": port,
        "url_prefix": url_prefix,
        "allowed_hosts": allowed_host,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "insecure_http": insecure_http,
    }
    serving = serving_if("--no-dashboard" if no_dashboard else "", **page)
    settings = read_settings(options={"store": store, "report": report, "interval": interval})
    labels = {**settings.labels, **labels_of(label)}
    try:
        with page_beside(serving, has_controls=controls, out=sys.stderr, may_move=port is None) as begun:
            recorded = _record(command, settings, labels, begun)
    except DRMVizError as error:
        say(str(error))
        raise typer.Exit(error.exit_code if error.exit_code in (126, 127) else FAILED_BEFORE_THE_START) from error
    _say_what_happened(recorded, None if no_report else settings.report or beside(recorded.store))
    raise typer.Exit(recorded.exit_code or 0)


def beside(store: Path) -> Path:
    """Return where the report of a store goes unless something else was said."""
    return store.with_name(store.name.removesuffix(STORE_SUFFIX) + ".html")


def _record(command: list[str], settings: Settings, labels: dict[str, str], begun: Begun | None) -> Recorded:
    from drmviz.recorder.process import Plan, record_command

    run_id = uuid.uuid4().hex[:12]
    path = settings.store or new_store_path(time.time(), run_id)
    say(f"recording into {path}")
    with _progress() as (show, tell):
        return record_command(
            command,
            Plan(store=path.absolute(), interval_s=settings.interval_s, labels=labels, run_id=run_id),
            show=show,
            tell=tell,
            begun=begun,
        )


@contextmanager
def _progress() -> Iterator[tuple[Show | None, Tell]]:
    """Show progress on stderr where it meets nothing of the command: a live block on a terminal, else plain lines.

    What the disk does to the recording is told in any case.
    """
    if meet(1, 2):
        yield None, say
        return
    from drmviz.report.terminal import LiveProgress

    live = LiveProgress(sys.stderr)
    try:
        yield lambda watch, tick: live.show(_seen(watch, tick)), live.say
    finally:
        live.close()


def meet(one: int, other: int) -> bool:
    """Tell whether two descriptors lead to the same terminal, pipe or file, where lines of both would mix."""
    if os.isatty(one) and os.isatty(other):
        return True
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _seen(watch: Watch, tick: Tick) -> Progress:
    from drmviz.model.metrics import METRIC_ROW
    from drmviz.report.progress import Progress, WorkerProgress

    def known(name: str, column: int) -> float | None:
        value = float(tick.values[METRIC_ROW[name], column])
        return None if value != value else value

    done = watch.source.progress
    return Progress(
        elapsed_s=watch.elapsed_s,
        tests_done=done.done,
        tests_failed=done.failed,
        tests_running=done.running,
        tests_total=done.collected,
        workers=tuple(
            WorkerProgress(
                id=life.id,
                cpu_ratio=known("cpu_ratio", column),
                memory_ratio=known("memory_ratio", column),
                test=watch.source.running.get(life.id),
            )
            for column, life in enumerate(tick.roster.incarnations)
            if life.entry.kind == "worker"
        ),
        statuses=tuple(f"{name}: {status.reason}" for name, status in watch.statuses.items() if status.state != "OK"),
    )


def _say_what_happened(recorded: Recorded, report: Path | None) -> None:
    """Sum the run up on stderr; whatever becomes of that, the command's exit code stands."""
    from drmviz.closing import summary_lines, write_pictures

    try:
        for line in summary_lines(recorded):
            say(line)
    except DRMVizError as error:
        say(str(error))
    if report is not None:
        written, failed = write_pictures(recorded, report)
        for path in written:
            say(f"wrote {path}")
        for reason in failed:
            say(reason)

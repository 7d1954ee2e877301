"""`drmviz follow`: the recorder that `pytest --drm` starts beside itself; not for people."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Annotated

import typer

from drmviz.configuration import new_store_path, read_settings
from drmviz.errors import DRMVizError
from drmviz.recorder.spool import SUMMARY
from drmviz.system import SystemFiles


def follow(
    spool: Annotated[Path, typer.Option()],
    follow_pid: Annotated[int, typer.Option()],
    store: Annotated[Path | None, typer.Option()] = None,
    interval: Annotated[str | None, typer.Option()] = None,
    report: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Record the pytest with this pid through its spool, and leave the closing lines in the spool."""
    from drmviz.recorder.process import clean_up_after

    try:
        lines = _followed(spool, follow_pid, store, interval, report)
    except DRMVizError as error:
        lines = [str(error)]
    SystemFiles().replace(spool / SUMMARY, ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    clean_up_after(str(spool), follow_pid)


def _followed(spool: Path, pid: int, store: Path | None, interval: str | None, report: Path | None) -> list[str]:
    from drmviz.closing import summary_lines, write_pictures
    from drmviz.recorder.process import Plan, record_pytest

    settings = read_settings(options={"store": store, "interval": interval, "report": report})
    run_id = uuid.uuid4().hex[:12]
    path = (settings.store or new_store_path(time.time(), run_id)).absolute()
    plan = Plan(store=path, interval_s=settings.interval_s, labels=settings.labels, run_id=run_id)
    recorded = record_pytest(str(spool), pid, plan)
    lines = [*summary_lines(recorded), f"recorded  {path}"]
    if settings.report is not None:
        written, failed = write_pictures(recorded, settings.report)
        lines += [f"wrote     {file}" for file in written] + [f"note      {reason}" for reason in failed]
    return lines
